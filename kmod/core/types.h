/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Fixed-width names and unaligned access for code that is built in the kernel and in user space. */
#ifndef WS_CORE_TYPES_H
#define WS_CORE_TYPES_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/errno.h>
#include <linux/string.h>
#else
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
#endif

/* Unaligned loads and stores in memory order; compilers make one instruction of each. */
static inline u64 ws_load64(const void *p)
{
	u64 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static inline u32 ws_load32(const void *p)
{
	u32 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static inline void ws_store64(void *p, u64 v)
{
	__builtin_memcpy(p, &v, sizeof(v));
}

static inline void ws_store32(void *p, u32 v)
{
	__builtin_memcpy(p, &v, sizeof(v));
}

#endif
