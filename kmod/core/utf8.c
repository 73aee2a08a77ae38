// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * RFC 3629: is a stream of bytes UTF-8 so far?
 *
 * The states are the rows of the RFC's section 4: between characters, one to three continuation bytes to come, and the four
 * lead bytes (E0, ED, F0, F4) that narrow the byte after them. The columns are the classes of bytes which those rows
 * tell apart.
 */
#include "utf8.h"

enum {
	START = WS_UTF8_START,
	TAIL1, TAIL2, TAIL3,	/* so many bytes 80..BF to come */
	AFTER_E0,		/* A0..BF, then one: no overlong forms */
	AFTER_ED,		/* 80..9F, then one: no surrogates */
	AFTER_F0,		/* 90..BF, then two: no overlong forms */
	AFTER_F4,		/* 80..8F, then two: nothing above U+10FFFF */
	BAD = WS_UTF8_BAD,
};

/* How 80..8F, 90..9F and A0..BF continue each state. */
static const u8 continuation[9][3] = {
	[START]		= { BAD,   BAD,   BAD },
	[TAIL1]		= { START, START, START },
	[TAIL2]		= { TAIL1, TAIL1, TAIL1 },
	[TAIL3]		= { TAIL2, TAIL2, TAIL2 },
	[AFTER_E0]	= { BAD,   BAD,   TAIL1 },
	[AFTER_ED]	= { TAIL1, TAIL1, BAD },
	[AFTER_F0]	= { BAD,   TAIL2, TAIL2 },
	[AFTER_F4]	= { TAIL2, BAD,   BAD },
	[BAD]		= { BAD,   BAD,   BAD },
};

/* What the lead bytes C0..FF start. */
static u8 lead(u8 byte)
{
	if (byte < 0xc2)
		return BAD;
	if (byte < 0xe0)
		return TAIL1;
	if (byte < 0xf0)
		return byte == 0xe0 ? AFTER_E0 : byte == 0xed ? AFTER_ED : TAIL2;
	if (byte > 0xf4)
		return BAD;
	return byte == 0xf0 ? AFTER_F0 : byte == 0xf4 ? AFTER_F4 : TAIL3;
}

static u8 step(u8 state, u8 byte)
{
	if (byte < 0x80)
		return state == START ? START : BAD;
	if (byte < 0xc0)
		return continuation[state][byte < 0x90 ? 0 : byte < 0xa0 ? 1 : 2];
	return state == START ? lead(byte) : BAD;
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

	while (p < end) {
		/* runs of ASCII: eight, then 32 bytes at a time */
		if (state == START) {
			while (end - p >= 32 && !((ws_load64(p) | ws_load64(p + 8) | ws_load64(p + 16) |
						   ws_load64(p + 24)) & 0x8080808080808080ULL))
				p += 32;
			while (end - p >= 8 && !(ws_load64(p) & 0x8080808080808080ULL))
				p += 8;
			if (p == end)
				break;
		}
		state = step(state, *p++);
		if (state == BAD)
			break;
	}
	return state;
}
