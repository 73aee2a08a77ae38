/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unmasking with the CPU's wide registers, where it has them: AVX2 on x86-64.
 *
 * DESIGN NOTES
 *
 * The registers belong to user space: the kernel has to save them before and to have them restored after, some hundred cycles that
 * only long payload is worth (WS_WIDE_MIN). Between ws_wide_begin() and ws_wide_end() the CPU cannot be given up, so nothing may
 * sleep: page faults are off, a store to a page that is not there just ends early, and whoever asked leaves the section and goes
 * on without. It is left after WS_WIDE_MAX bytes too.
 */
#ifndef WS_WIDE_H
#define WS_WIDE_H

#include <linux/uaccess.h>

#define WS_WIDE_MIN	4096
#define WS_WIDE_MAX	65536

struct ws_wide {
	bool on;
	size_t done;		/* bytes since ws_wide_begin() */
};

#if defined(CONFIG_X86_64) && !defined(CONFIG_KMSAN)
#include <asm/asm.h>

#define WS_WIDE_FAULT(at, next)	_ASM_EXTABLE_UA(at, next)
#include "core/wide.h"

void ws_wide_init(void);
void ws_wide_begin(struct ws_wide *wide);
void ws_wide_end(struct ws_wide *wide);
#else
static inline void ws_wide_init(void)
{
}

static inline void ws_wide_begin(struct ws_wide *wide)
{
}

static inline void ws_wide_end(struct ws_wide *wide)
{
}

static inline size_t ws_wide_put(void __user *to, const u8 *from, size_t n, u32 key, u32 *high)
{
	*high = 0;
	return 0;
}
#endif

#endif
