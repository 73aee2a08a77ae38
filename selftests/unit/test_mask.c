// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Masking: kmod/core/mask.c against RFC 6455 5.3. */
#include <stdlib.h>
#include <string.h>

#include "mask.h"
#include "tap.h"

#define LEN_MAX	100

static const u8 keys[][4] = {
	{ 0x37, 0xfa, 0x21, 0x3d }, { 0, 0, 0, 0 }, { 0xff, 0xff, 0xff, 0xff }, { 1, 2, 3, 4 }, { 0x80, 0, 0, 0 },
	{ 0, 0, 0, 1 },
};

static u32 key_of(const u8 *bytes)
{
	u32 key;

	memcpy(&key, bytes, sizeof(key));
	return key;
}

/* RFC 6455 5.3: "j = i MOD 4, transformed-octet-i = original-octet-i XOR masking-key-octet-j" */
static void reference(u8 *p, size_t n, const u8 *key)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] ^= key[i % 4];
}

static void fill(u8 *p, size_t n)
{
	u32 state = 12345;
	size_t i;

	for (i = 0; i < n; i++) {
		state = state * 1103515245 + 12345;
		p[i] = state >> 16;
	}
}

/* Exactly @n bytes: the sanitizer sees a look or a write behind them. */
static u8 *allocate(size_t n)
{
	u8 *p = malloc(n ? n : 1);

	if (!p)
		abort();
	return p;
}

/* From every alignment to every alignment, every length. */
static void copies(void)
{
	unsigned int from, to, k;
	size_t n;

	for (from = 0; from < 8; from++)
		for (to = 0; to < 8; to++)
			for (n = 0; n <= LEN_MAX; n++) {
				u8 *src = allocate(from + n);
				u8 *dst = allocate(to + n);
				u8 before[8 + LEN_MAX], expected[8 + LEN_MAX];

				fill(src, from + n);
				memcpy(before, src, from + n);
				for (k = 0; k < ARRAY_SIZE(keys); k++) {
					memset(dst, 0x5a, to + n);
					memset(expected, 0x5a, to);
					memcpy(expected + to, src + from, n);
					reference(expected + to, n, keys[k]);
					ws_mask_copy(dst + to, src + from, n, key_of(keys[k]));
					CHECK(!memcmp(dst, expected, to + n), "%u to %u, %zu bytes, key %u",
					      from, to, n, k);
					CHECK(!memcmp(src, before, from + n), "%u to %u, %zu bytes: source",
					      from, to, n);
				}
				free(src);
				free(dst);
			}
}

static void in_place(void)
{
	unsigned int at, k;
	size_t n;

	for (at = 0; at < 8; at++)
		for (n = 0; n <= LEN_MAX; n++) {
			u8 *p = allocate(at + n);
			u8 before[8 + LEN_MAX], expected[8 + LEN_MAX];

			fill(before, at + n);
			for (k = 0; k < ARRAY_SIZE(keys); k++) {
				memcpy(p, before, at + n);
				memcpy(expected, before, at + n);
				reference(expected + at, n, keys[k]);
				ws_mask_copy(p + at, p + at, n, key_of(keys[k]));
				CHECK(!memcmp(p, expected, at + n), "at %u, %zu bytes, key %u", at, n, k);
				/* 5.3: "the same algorithm applies regardless of the direction of the translation" */
				ws_mask_copy(p + at, p + at, n, key_of(keys[k]));
				CHECK(!memcmp(p, before, at + n), "at %u, %zu bytes, key %u: back", at, n, k);
			}
			free(p);
		}
}

/* Cut at every two places, with the key advanced by what went before. */
static void chunks(void)
{
	u8 p[LEN_MAX], before[LEN_MAX], expected[LEN_MAX];
	size_t n, a, b;
	unsigned int k;

	fill(before, sizeof(before));
	for (k = 0; k < ARRAY_SIZE(keys); k++)
		for (n = 0; n <= LEN_MAX; n++) {
			memcpy(expected, before, n);
			reference(expected, n, keys[k]);
			for (a = 0; a <= n; a++)
				for (b = a; b <= n; b++) {
					u32 key = key_of(keys[k]);

					ws_mask_copy(p, before, a, key);
					key = ws_mask_advance(key, a);
					ws_mask_copy(p + a, before + a, b - a, key);
					key = ws_mask_advance(key, b - a);
					ws_mask_copy(p + b, before + b, n - b, key);
					CHECK(!memcmp(p, expected, n), "%zu bytes cut at %zu and %zu, key %u",
					      n, a, b, k);
				}
		}
}

static void bytewise(void)
{
	u8 p[LEN_MAX], expected[LEN_MAX];
	unsigned int k;
	size_t i;

	for (k = 0; k < ARRAY_SIZE(keys); k++) {
		u32 key = key_of(keys[k]);

		fill(p, sizeof(p));
		memcpy(expected, p, sizeof(p));
		reference(expected, sizeof(p), keys[k]);
		for (i = 0; i < sizeof(p); i++) {
			ws_mask_copy(p + i, p + i, 1, key);
			key = ws_mask_advance(key, 1);
		}
		CHECK(!memcmp(p, expected, sizeof(p)), "key %u", k);
	}
}

/* Frames may be as long as 2^63: the key after so many bytes, byte by byte. */
static void advances(void)
{
	static const u64 bases[] = {
		0, 1ULL << 31, 1ULL << 32, (1ULL << 32) + 2, 1ULL << 62, (1ULL << 63) - 8, ~0ULL - 16,
	};
	unsigned int base, step, i, k;

	for (k = 0; k < ARRAY_SIZE(keys); k++)
		for (base = 0; base < ARRAY_SIZE(bases); base++)
			for (step = 0; step < 16; step++) {
				u64 n = bases[base] + step;
				u32 key = ws_mask_advance(key_of(keys[k]), n);

				for (i = 0; i < 4; i++) {
					CHECK(((const u8 *)&key)[i] == keys[k][(n % 4 + i) % 4],
					      "%llu bytes on, byte %u", (unsigned long long)n, i);
					CHECK(ws_mask_byte(key, i) == ((const u8 *)&key)[i], "byte %u", i);
				}
			}
}

static void words(void)
{
	unsigned int i, k;

	for (k = 0; k < ARRAY_SIZE(keys); k++) {
		u64 word = ws_mask_word(key_of(keys[k]));

		for (i = 0; i < 8; i++)
			CHECK(((const u8 *)&word)[i] == keys[k][i % 4], "key %u, byte %u", k, i);
	}
}

static void large(void)
{
	size_t n = (1 << 20) + 3;
	u8 *p = allocate(n), *q = allocate(n);

	fill(p, n);
	ws_mask_copy(q, p, n, key_of(keys[0]));
	reference(p, n, keys[0]);
	CHECK(!memcmp(p, q, n), "a megabyte");
	free(p);
	free(q);
}

/* RFC 6455 5.7: "Hello", masked */
static void example(void)
{
	u8 p[5];

	ws_mask_copy(p, (const u8 *)"\x7f\x9f\x4d\x51\x58", 5, key_of(keys[0]));
	CHECK(!memcmp(p, "Hello", 5), "%02x %02x %02x %02x %02x", p[0], p[1], p[2], p[3], p[4]);
}

static const struct tap_test tests[] = {
	{ "RFC 6455 5.3: copies, every alignment and length", copies },
	{ "RFC 6455 5.3: in place, and back", in_place },
	{ "RFC 6455 5.3: in chunks, cut at every two places", chunks },
	{ "RFC 6455 5.3: byte by byte", bytewise },
	{ "RFC 6455 5.3: the key after any number of bytes", advances },
	{ "RFC 6455 5.3: the key in memory order, twice", words },
	{ "RFC 6455 5.3: a megabyte", large },
	{ "RFC 6455 5.7: the masked example", example },
};

TAP_MAIN(tests)
