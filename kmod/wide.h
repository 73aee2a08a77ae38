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
#define WS_WIDE_BLOCK	128	/* bytes that are stored together */

struct ws_wide {
	bool on;
	size_t done;		/* bytes since ws_wide_begin() */
};

#if defined(CONFIG_X86_64) && !defined(CONFIG_KMSAN)
#include <asm/asm.h>

void ws_wide_init(void);
void ws_wide_begin(struct ws_wide *wide);
void ws_wide_end(struct ws_wide *wide);

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
		     _ASM_EXTABLE_UA(2b, 6b)
		     _ASM_EXTABLE_UA(3b, 6b)
		     _ASM_EXTABLE_UA(4b, 6b)
		     _ASM_EXTABLE_UA(5b, 6b)
		     : [to] "+r" (to), [from] "+r" (from), [left] "+r" (left), [high] "=r" (*high)
		     : [key] "rm" (key)
		     : "memory", "cc");
	return (blocks - left) * WS_WIDE_BLOCK;
}
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
