// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * RFC 3629: is a stream of bytes UTF-8 so far?
 *
 * The states are the rows of the RFC's section 4: between characters, one to three continuation bytes to come, and the four
 * lead bytes (E0, ED, F0, F4) that narrow the byte after them. A state is the place, in bits, of its successor in the word that
 * belongs to the next byte: so a step is one load and one shift, without a branch.
 */
#include "utf8.h"

#define BITS 6

enum {
	START		= WS_UTF8_START,
	TAIL1		= 1 * BITS,	/* so many bytes 80..BF to come */
	TAIL2		= 2 * BITS,
	TAIL3		= 3 * BITS,
	AFTER_E0	= 4 * BITS,	/* A0..BF, then one: no overlong forms */
	AFTER_ED	= 5 * BITS,	/* 80..9F, then one: no surrogates */
	AFTER_F0	= 6 * BITS,	/* 90..BF, then two: no overlong forms */
	AFTER_F4	= 7 * BITS,	/* 80..8F, then two: nothing above U+10FFFF */
	BAD		= WS_UTF8_BAD,	/* 8 * BITS */
};

/* Successors of START, the three TAILs, E0, ED, F0, F4; BAD stays BAD. */
#define NEXT(start, t1, t2, t3, e0, ed, f0, f4) \
	((u64)(start) << START | (u64)(t1) << TAIL1 | (u64)(t2) << TAIL2 | (u64)(t3) << TAIL3 | (u64)(e0) << AFTER_E0 | \
	 (u64)(ed) << AFTER_ED | (u64)(f0) << AFTER_F0 | (u64)(f4) << AFTER_F4 | (u64)BAD << BAD)
/* What is only allowed between characters. */
#define LEAD(next) NEXT(next, BAD, BAD, BAD, BAD, BAD, BAD, BAD)

static const u64 successors[256] = {
	[0x00 ... 0x7f] = LEAD(START),
	[0x80 ... 0x8f] = NEXT(BAD, START, TAIL1, TAIL2, BAD, TAIL1, BAD, TAIL2),
	[0x90 ... 0x9f] = NEXT(BAD, START, TAIL1, TAIL2, BAD, TAIL1, TAIL2, BAD),
	[0xa0 ... 0xbf] = NEXT(BAD, START, TAIL1, TAIL2, TAIL1, BAD, TAIL2, BAD),
	[0xc0 ... 0xc1] = LEAD(BAD),
	[0xc2 ... 0xdf] = LEAD(TAIL1),
	[0xe0]		= LEAD(AFTER_E0),
	[0xe1 ... 0xec] = LEAD(TAIL2),
	[0xed]		= LEAD(AFTER_ED),
	[0xee ... 0xef] = LEAD(TAIL2),
	[0xf0]		= LEAD(AFTER_F0),
	[0xf1 ... 0xf3] = LEAD(TAIL3),
	[0xf4]		= LEAD(AFTER_F4),
	[0xf5 ... 0xff] = LEAD(BAD),
};

static bool ascii(const u8 *p, unsigned int words)
{
	u64 all = 0;

	while (words--)
		all |= ws_load64(p + 8 * words);
	return !(all & 0x8080808080808080ULL);
}

/**
 * ws_utf8_check() - go on checking a text
 * @state: WS_UTF8_START, or what the call for the bytes before returned
 * @p: the next bytes; they must not change meanwhile
 * @n: how many
 *
 * Return: the state after them. WS_UTF8_BAD: not UTF-8; it is known with the first wrong byte.
 */
u8 ws_utf8_check(u8 state, const u8 *p, size_t n)
{
	const u8 *end = p + n;
	/* above the lowest bits stand other successors */
	u64 s = state;
	int i;

	while (end - p >= 16) {
		if ((s & 63) == START && ascii(p, 2)) {
			p += 16;
			while (end - p >= 32 && ascii(p, 4))
				p += 32;
			continue;
		}
		for (i = 0; i < 16; i++)
			s = successors[*p++] >> (s & 63);
	}
	while (p < end)
		s = successors[*p++] >> (s & 63);
	return s & 63;
}
