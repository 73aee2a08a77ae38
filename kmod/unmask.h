/* SPDX-License-Identifier: GPL-2.0 */
/* Unmasking payload into the caller's buffer. */
#ifndef WS_UNMASK_H
#define WS_UNMASK_H

#include <linux/uaccess.h>
#include <linux/uio.h>
#include "core/mask.h"
#include "wide.h"

/* Set in every byte that is not ASCII. */
#define WS_NOT_ASCII 0x8080808080808080ULL

#ifdef CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS
/**
 * ws_put_unmasked() - unmask straight into user memory
 * @to: where to, between user_write_access_begin() and _end()
 * @from: received bytes
 * @n: how many
 * @key: masking key as it applies to the first byte
 * @bits: NULL, or gets all bits that were stored or'ed together. OPTIMIZER_HIDE_VAR() keeps the compiler from loading a
 *	word, which somebody may change, once for each of the two
 *
 * Return: bytes stored: @n, or fewer at a fault.
 */
static __always_inline size_t ws_put_unmasked(void __user *to, const u8 *from, size_t n, u32 key, u64 *bits)
{
	u64 word = ws_mask_word(key), v, all = 0;
	size_t size = n;
	u8 __user *p = to;
	unsigned int i;

#define PUT(i) do { \
		v = ws_load64(from + 8 * (i)) ^ word; \
		OPTIMIZER_HIDE_VAR(v); \
		if (bits) \
			all |= v; \
		unsafe_put_user(v, (u64 __user *)(p + 8 * (i)), fault); \
	} while (0)
	for (; n >= 128; n -= 128, p += 128, from += 128) {
		PUT(0); PUT(1); PUT(2); PUT(3); PUT(4); PUT(5); PUT(6); PUT(7);
		PUT(8); PUT(9); PUT(10); PUT(11); PUT(12); PUT(13); PUT(14); PUT(15);
	}
	for (; n >= 8; n -= 8, p += 8, from += 8)
		PUT(0);
	if (n && size >= 8) {
		/* the last word, the first bytes of which were stored already */
		word = ws_mask_word(ws_mask_advance(key, size - 8));
		p -= 8 - n;
		from -= 8 - n;
		PUT(0);
		p += 8;
		n = 0;
	}
#undef PUT
	for (i = 0; i < n; i++, p++) {
		u8 byte = from[i] ^ ws_mask_byte(key, i & 3);

		OPTIMIZER_HIDE_VAR(byte);
		if (bits)
			all |= byte;
		unsafe_put_user(byte, p, fault);
	}
fault:
	if (bits)
		*bits = all;
	return p - (u8 __user *)to;
}
#else
static inline size_t ws_put_unmasked(void __user *to, const u8 *from, size_t n, u32 key, u64 *bits)
{
	return 0;
}
#endif

size_t ws_unmask(struct iov_iter *iter, const u8 *from, size_t n, u32 key, u8 *utf8, struct ws_wide *wide);

#endif
