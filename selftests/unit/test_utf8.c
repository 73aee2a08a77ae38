// SPDX-License-Identifier: GPL-2.0 OR MIT
/* UTF-8: kmod/core/utf8.c against RFC 3629, as RFC 6455 5.6 and 8.1 ask for it. */
#include <stdlib.h>
#include <string.h>

#include "reference.h"
#include "tap.h"
#include "utf8.h"

enum verdict { WHOLE, PARTIAL, BAD };

static enum verdict verdict_of(u8 state)
{
	return state == WS_UTF8_START ? WHOLE : state == WS_UTF8_BAD ? BAD : PARTIAL;
}

static enum verdict check(const u8 *p, size_t n)
{
	return verdict_of(ws_utf8_check(WS_UTF8_START, p, n));
}

static enum verdict reference_verdict(const struct ref_utf8 *u)
{
	return u->bad ? BAD : u->left ? PARTIAL : WHOLE;
}

static enum verdict reference(const u8 *p, size_t n)
{
	struct ref_utf8 u = { 0 };

	while (n--)
		ref_utf8_byte(&u, *p++);
	return reference_verdict(&u);
}

/* All sequences of @n bytes that start with @p[0..@have): each in one call. Counts the verdicts. */
static void exhaust(u8 *p, unsigned int have, unsigned int n, const struct ref_utf8 *before, unsigned long count[3])
{
	unsigned int byte;

	for (byte = 0; byte < 256; byte++) {
		struct ref_utf8 u = *before;
		enum verdict verdict;

		p[have] = byte;
		ref_utf8_byte(&u, byte);
		if (have + 1 < n) {
			exhaust(p, have + 1, n, &u, count);
			continue;
		}
		verdict = reference_verdict(&u);
		count[verdict]++;
		CHECK(check(p, n) == verdict, "%u bytes %02x %02x %02x %02x: not %u",
		      n, p[0], p[1], p[2], p[3], verdict);
	}
}

/*
 * All sequences of one, two and three bytes. Because every prefix is among them, this also says that a text fails with
 * its first wrong byte. The numbers of legal ones are those of the code points: 128, 1920 and 61440.
 */
static void short_sequences(void)
{
	static const unsigned long whole[] = {
		128, 128 * 128 + 1920, 128 * 128 * 128 + 2 * 128 * 1920 + 61440,
	};
	unsigned int n;

	for (n = 1; n <= 3; n++) {
		struct ref_utf8 u = { 0 };
		unsigned long count[3] = { 0 };
		u8 *p = calloc(1, 4);

		if (!p)
			abort();
		exhaust(p, 0, n, &u, count);
		CHECK(count[WHOLE] == whole[n - 1], "%u bytes: %lu are legal", n, count[WHOLE]);
		free(p);
	}
}

/* All sequences of four bytes that a four-byte lead starts, and two leads around them: 2^20 code points. */
static void long_sequences(void)
{
	unsigned long count[3] = { 0 };
	unsigned int lead;

	for (lead = 0xef; lead <= 0xf5; lead++) {
		u8 p[4] = { lead };
		struct ref_utf8 u = { 0 };

		ref_utf8_byte(&u, lead);
		if (lead == 0xef) {
			unsigned long three[3] = { 0 };

			exhaust(p, 1, 4, &u, three);
			CHECK(three[WHOLE] == 64 * 64 * 128, "after EF: %lu", three[WHOLE]);
		} else {
			exhaust(p, 1, 4, &u, count);
		}
	}
	CHECK(count[WHOLE] == 0x100000, "%lu are legal", count[WHOLE]);
}

/* The rows of the table in RFC 3629 4: the ranges, one below and one above each of them. */
static void syntax_table(void)
{
	static const struct {
		unsigned int n;
		u8 range[4][2];
	} rows[] = {
		{ 1, { { 0x00, 0x7f } } },
		{ 2, { { 0xc2, 0xdf }, { 0x80, 0xbf } } },
		{ 3, { { 0xe0, 0xe0 }, { 0xa0, 0xbf }, { 0x80, 0xbf } } },
		{ 3, { { 0xe1, 0xec }, { 0x80, 0xbf }, { 0x80, 0xbf } } },
		{ 3, { { 0xed, 0xed }, { 0x80, 0x9f }, { 0x80, 0xbf } } },
		{ 3, { { 0xee, 0xef }, { 0x80, 0xbf }, { 0x80, 0xbf } } },
		{ 4, { { 0xf0, 0xf0 }, { 0x90, 0xbf }, { 0x80, 0xbf }, { 0x80, 0xbf } } },
		{ 4, { { 0xf1, 0xf3 }, { 0x80, 0xbf }, { 0x80, 0xbf }, { 0x80, 0xbf } } },
		{ 4, { { 0xf4, 0xf4 }, { 0x80, 0x8f }, { 0x80, 0xbf }, { 0x80, 0xbf } } },
	};
	unsigned int r, i, corner, at;

	for (r = 0; r < ARRAY_SIZE(rows); r++)
		for (corner = 0; corner < 1U << rows[r].n; corner++) {
			u8 p[4] = { 0 };

			for (i = 0; i < rows[r].n; i++)
				p[i] = rows[r].range[i][corner >> i & 1];
			for (i = 1; i < rows[r].n; i++)
				CHECK(check(p, i) == PARTIAL, "row %u, corner %u, %u bytes", r, corner, i);
			CHECK(check(p, rows[r].n) == WHOLE, "row %u, corner %u", r, corner);
			/* the bytes behind the lead: outside of the range it is wrong at once */
			for (at = 1; at < rows[r].n; at++) {
				u8 right = p[at];

				p[at] = rows[r].range[at][0] - 1;
				CHECK(check(p, at) == PARTIAL && check(p, at + 1) == BAD, "row %u, %02x at %u",
				      r, p[at], at);
				p[at] = rows[r].range[at][1] + 1;
				CHECK(check(p, at) == PARTIAL && check(p, at + 1) == BAD, "row %u, %02x at %u",
				      r, p[at], at);
				p[at] = right;
			}
		}
}

/* What RFC 3629 3 and 10 and RFC 6455 warn of, by name. */
static void named(void)
{
	static const struct {
		const char *bytes;
		size_t n;
		enum verdict verdict;
	} cases[] = {
		{ "", 0, WHOLE },
		{ "\0", 1, WHOLE },
		{ "A\xe2\x89\xa2\xce\x91.", 7, WHOLE },				/* RFC 3629 7 */
		{ "\xed\x95\x9c\xea\xb5\xad\xec\x96\xb4", 9, WHOLE },		/* RFC 3629 7 */
		{ "\xef\xbb\xbf\xf0\xa3\x8e\xb4", 7, WHOLE },			/* RFC 3629 7 */
		{ "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", 11, WHOLE },
		{ "\xef\xbf\xbe", 3, WHOLE },					/* U+FFFE is a code point */
		{ "\xef\xbf\xbf", 3, WHOLE },
		{ "\xf4\x8f\xbf\xbf", 4, WHOLE },				/* U+10FFFF */
		{ "\xf4\x90\x80\x80", 4, BAD },					/* U+110000 */
		{ "\xf4\x90", 2, BAD },
		{ "\xf5", 1, BAD },
		{ "\xf8\x88\x80\x80\x80", 5, BAD },
		{ "\xfc\x84\x80\x80\x80\x80", 6, BAD },
		{ "\xfe", 1, BAD },
		{ "\xff", 1, BAD },
		{ "\xc0\x80", 2, BAD },						/* overlong NUL */
		{ "\xc0", 1, BAD },
		{ "\xc1\xbf", 2, BAD },
		{ "/\xc0\xae./", 5, BAD },					/* RFC 3629 10 */
		{ "\xe0\x80\x80", 3, BAD },
		{ "\xe0\x9f", 2, BAD },
		{ "\xf0\x80\x80\x80", 4, BAD },
		{ "\xf0\x8f", 2, BAD },
		{ "\xed\x9f\xbf", 3, WHOLE },					/* U+D7FF */
		{ "\xed\xa0\x80", 3, BAD },					/* U+D800 */
		{ "\xed\xa0", 2, BAD },
		{ "\xed\xaf\xbf\xed\xbf\xbf", 6, BAD },				/* a pair of surrogates */
		{ "\xed\xbf\xbf", 3, BAD },					/* U+DFFF */
		{ "\xee\x80\x80", 3, WHOLE },					/* U+E000 */
		{ "\x80", 1, BAD },
		{ "\xbf", 1, BAD },
		{ "\xc3(", 2, BAD },
		{ "\xe2\x82(", 3, BAD },
		{ "\xf0\x9f\x98(", 4, BAD },
		{ "\xe2\x82", 2, PARTIAL },
		{ "\xf0\x9f\x98", 3, PARTIAL },
		{ "\xf4", 1, PARTIAL },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const u8 *p = (const u8 *)cases[i].bytes;

		CHECK(check(p, cases[i].n) == cases[i].verdict, "case %u", i);
		CHECK(reference(p, cases[i].n) == cases[i].verdict, "case %u: the reference is wrong", i);
	}
}

/* One byte of each kind that the table tells apart, at both ends of its range. */
static const u8 kinds[] = {
	0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0,
	0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
};

/* All sequences of five such bytes in all sixteen segmentations. */
static void splits(void)
{
	unsigned int index[5] = { 0 };
	unsigned int cuts, i;
	u8 p[5];

	for (;;) {
		enum verdict verdict;

		for (i = 0; i < 5; i++)
			p[i] = kinds[index[i]];
		verdict = reference(p, 5);
		for (cuts = 0; cuts < 16; cuts++) {
			u8 state = WS_UTF8_START;
			unsigned int from = 0;

			for (i = 1; i <= 5; i++)
				if (i == 5 || cuts >> (i - 1) & 1) {
					state = ws_utf8_check(state, p + from, i - from);
					from = i;
				}
			CHECK(verdict_of(state) == verdict, "%02x %02x %02x %02x %02x cut %x",
			      p[0], p[1], p[2], p[3], p[4], cuts);
		}
		for (i = 0; i < 5 && ++index[i] == sizeof(kinds); i++)
			index[i] = 0;
		if (i == 5)
			break;
	}
}

/* An empty call changes nothing, and what is bad stays bad. */
static void sticky(void)
{
	unsigned int state, byte;
	u8 one;

	for (state = WS_UTF8_START; state <= WS_UTF8_BAD; state += WS_UTF8_BAD / 8)
		CHECK(ws_utf8_check(state, &one, 0) == state, "state %u", state);
	for (byte = 0; byte < 256; byte++) {
		u8 p[40];

		memset(p, byte, sizeof(p));
		CHECK(ws_utf8_check(WS_UTF8_BAD, p, 1) == WS_UTF8_BAD, "%02x", byte);
		CHECK(ws_utf8_check(WS_UTF8_BAD, p, sizeof(p)) == WS_UTF8_BAD, "%02x", byte);
	}
}

#define TEXT_MAX	201

/*
 * @n bytes of ASCII with @what in them, at every place and alignment. Exactly so many bytes are allocated: the
 * sanitizer sees a look behind them.
 */
static void in_ascii(const u8 *what, size_t len, enum verdict verdict)
{
	size_t n, at, cut;
	unsigned int align;

	for (n = len; n <= TEXT_MAX; n += n < 80 ? 1 : 11)
		for (align = 0; align < 8; align++) {
			u8 *start = malloc(align + n), *p = start + align;

			if (!start)
				abort();
			for (at = 0; at + len <= n; at++) {
				memset(p, 'a', n);
				memcpy(p + at, what, len);
				CHECK(check(p, n) == verdict, "%02x at %zu of %zu", what[0], at, n);
				CHECK(check(p, at) == WHOLE, "%zu bytes of ASCII", at);
				/* cut before, in and behind it */
				for (cut = at; cut <= at + len; cut++) {
					u8 state = ws_utf8_check(WS_UTF8_START, p, cut);

					CHECK(verdict_of(ws_utf8_check(state, p + cut, n - cut)) == verdict,
					      "%02x at %zu of %zu, cut at %zu", what[0], at, n, cut);
				}
			}
			free(start);
		}
}

static void in_long_ascii(void)
{
	static const u8 bad[] = { 0x80, 0xbf, 0xc0, 0xc1, 0xf5, 0xff };
	unsigned int i;

	for (i = 0; i < sizeof(bad); i++)
		in_ascii(&bad[i], 1, BAD);
	in_ascii((const u8 *)"\xc3\xa9", 2, WHOLE);
	in_ascii((const u8 *)"\xe2\x82\xac", 3, WHOLE);
	in_ascii((const u8 *)"\xf0\x9f\x98\x80", 4, WHOLE);
	in_ascii((const u8 *)"\xe2\x82(", 3, BAD);
}

/* One bad byte at each of 0..200, and the verdict with exactly that byte, not before. */
static void first_wrong_byte(void)
{
	u8 p[TEXT_MAX];
	unsigned int at, byte;
	size_t n;

	for (at = 0; at < sizeof(p); at++)
		for (byte = 0x80; byte < 0x100; byte++) {
			if (byte >= 0xc2 && byte <= 0xf4)
				continue;
			memset(p, '~', sizeof(p));
			p[at] = byte;
			for (n = at > 40 ? at - 40 : 0; n <= sizeof(p); n += n < at + 40 ? 1 : 13)
				CHECK(check(p, n) == (n > at ? BAD : WHOLE), "%02x at %u of %zu", byte, at, n);
		}
}

static const struct tap_test tests[] = {
	{ "RFC 3629 4: all sequences of one, two and three bytes", short_sequences },
	{ "RFC 3629 4: all sequences of four bytes from EF, F0-F4, F5", long_sequences },
	{ "RFC 3629 4: each row of the syntax table, and one beside it", syntax_table },
	{ "RFC 3629 3, 7, 10: overlong, surrogates, above U+10FFFF, the examples", named },
	{ "RFC 6455 5.6: a character cut by fragments, five bytes in all segmentations", splits },
	{ "RFC 6455 8.1: what is bad stays bad", sticky },
	{ "RFC 6455 8.1: in ASCII, at every place and alignment", in_long_ascii },
	{ "RFC 6455 8.1: refused with the first wrong byte", first_wrong_byte },
};

TAP_MAIN(tests)
