/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* RFC 6455 5.3: masking, fused into a copy. */
#ifndef WS_CORE_MASK_H
#define WS_CORE_MASK_H

#include "types.h"

/* The key as it applies @n bytes further on. Keys are in memory order, so the direction depends on the byte order. */
static __always_inline u32 ws_mask_advance(u32 key, u64 n)
{
	unsigned int shift = 8 * (n & 3);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return key >> shift | key << (-shift & 31);
#else
	return key << shift | key >> (-shift & 31);
#endif
}

/* The key for eight bytes at a time. */
static __always_inline u64 ws_mask_word(u32 key)
{
	return (u64)key << 32 | key;
}

/* Byte @i of the key, in memory order, for 0 <= @i < 4. */
static inline u8 ws_mask_byte(u32 key, unsigned int i)
{
	return ((const u8 *)&key)[i];
}

void ws_mask_copy(u8 *dst, const u8 *src, size_t n, u32 key);

#endif
