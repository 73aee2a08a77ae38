/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Masking with AVX2, for long payload. The rest is in kmod/wide.h.
 *
 * WS_WIDE_FAULT(at, next), which whoever includes this defines, says what happens if the instruction at the label @at faults: the CPU
 * goes on at @next. In user space, where nothing but memory of one's own is written, it is nothing.
 */
#ifndef WS_CORE_WIDE_H
#define WS_CORE_WIDE_H

#include "types.h"

#ifndef __KERNEL__
#define __user
#endif

#define WS_WIDE_BLOCK	128	/* bytes that are stored together */

/**
 * ws_wide_put() - unmask straight into user memory
 * @to: where to, between user_write_access_begin() and _end()
 * @from: received bytes
 * @n: how many; only whole blocks are done
 * @key: masking key as it applies to the first byte
 * @high: set to other than 0 if a byte was stored that is not ASCII
 * Context: between ws_wide_begin() and ws_wide_end()
 *
 * Each byte is loaded once: what is judged is what was stored.
 * Return: bytes stored, in whole blocks; less than there are: a fault.
 */
static __always_inline size_t ws_wide_put(void __user *to, const u8 *from, size_t n, u32 key, u32 *high)
{
	size_t left = n / WS_WIDE_BLOCK, blocks = left;

	*high = 0;
	if (!left)
		return 0;
	/* the compiler uses none of these registers */
	asm volatile("vmovd %[key], %%xmm5\n\t"
		     "vpbroadcastd %%xmm5, %%ymm5\n\t"
		     "vpxor %%ymm4, %%ymm4, %%ymm4\n"
		     "1:\n\t"
		     "vpxor (%[from]), %%ymm5, %%ymm0\n\t"
		     "vpxor 32(%[from]), %%ymm5, %%ymm1\n\t"
		     "vpxor 64(%[from]), %%ymm5, %%ymm2\n\t"
		     "vpxor 96(%[from]), %%ymm5, %%ymm3\n"
		     "2:\n\t"
		     "vmovdqu %%ymm0, (%[to])\n"
		     "3:\n\t"
		     "vmovdqu %%ymm1, 32(%[to])\n"
		     "4:\n\t"
		     "vmovdqu %%ymm2, 64(%[to])\n"
		     "5:\n\t"
		     "vmovdqu %%ymm3, 96(%[to])\n\t"
		     "vpor %%ymm0, %%ymm1, %%ymm0\n\t"
		     "vpor %%ymm2, %%ymm3, %%ymm2\n\t"
		     "vpor %%ymm0, %%ymm4, %%ymm4\n\t"
		     "vpor %%ymm2, %%ymm4, %%ymm4\n\t"
		     "sub $-128, %[from]\n\t"
		     "sub $-128, %[to]\n\t"
		     "dec %[left]\n\t"
		     "jnz 1b\n"
		     "6:\n\t"
		     "vpmovmskb %%ymm4, %[high]\n\t"
		     "vzeroupper\n"
		     WS_WIDE_FAULT(2b, 6b)
		     WS_WIDE_FAULT(3b, 6b)
		     WS_WIDE_FAULT(4b, 6b)
		     WS_WIDE_FAULT(5b, 6b)
		     : [to] "+r" (to), [from] "+r" (from), [left] "+r" (left), [high] "=r" (*high)
		     : [key] "rm" (key)
		     : "memory", "cc");
	return (blocks - left) * WS_WIDE_BLOCK;
}

#endif
