// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Frame headers: kmod/core/frame.c against RFC 6455 5.2 to 5.5. */
#include <string.h>

#include "frame.h"
#include "reference.h"
#include "tap.h"

/* Decode a copy that ends where the array ends: the sanitizer sees a look behind it. What is not filled in is wrong. */
static int decode(struct ws_header *h, const u8 *p, size_t n, bool masked, bool open)
{
	static u8 copy[32];
	u8 *start = copy + sizeof(copy) - n;

	memcpy(start, p, n);
	memset(h, 0x55, sizeof(*h));
	h->fin = n && p[0] < 128;
	return ws_frame_decode(h, start, n, masked, open);
}

static bool in_set(int verdict, u64 set)
{
	return verdict < 0 && verdict > -WS_FAIL_COUNT && set >> -verdict & 1;
}

static u64 number(const u8 *p, unsigned int n)
{
	return n ? number(p, n - 1) * 256 + p[n - 1] : 0;
}

/* Compare the verdict on the first @n of the WS_HEADER_MAX bytes (or more) at @p with the reference. */
static void check_decode(const u8 *p, size_t n, bool masked, bool open)
{
	unsigned int extended = ref_length_bytes(p[1]);
	unsigned int size = 2 + extended + (masked ? 4 : 0);
	u64 len = extended ? number(p + 2, extended) : p[1] % 128;
	u64 start = ref_start(p[0], p[1], masked, open);
	u64 length = ref_length(extended, len);
	struct ws_header h;
	int verdict = decode(&h, p, n, masked, open);

#define TRIED	"%02x %02x + %u, masked %d, open %d, %zu bytes: %d", p[0], p[1], extended, masked, open, n, verdict
	if (n < 2) {
		CHECK(verdict == 0, TRIED);
	} else if (start) {
		CHECK(in_set(verdict, start), TRIED);
	} else if (length) {
		/* refused when the length is there; the key need not be */
		if (n >= 2 + extended)
			CHECK(in_set(verdict, length), TRIED);
		else
			CHECK(verdict == 0 || in_set(verdict, length), TRIED);
	} else if (n < size) {
		CHECK(verdict == 0, TRIED);
	} else {
		CHECK(verdict == (int)size, TRIED);
		CHECK(h.size == size, TRIED);
		CHECK(h.len == len, TRIED);
		CHECK(h.opcode == p[0] % 16, TRIED);
		CHECK(h.fin == p[0] / 128, TRIED);
		if (masked)
			CHECK(!memcmp(&h.key, p + size - 4, 4), TRIED);
		else
			CHECK(h.key == 0, TRIED);
	}
#undef TRIED
}

/* Every start x {masked, unmasked} x {open, not}, with few, many and mixed bits behind it, cut everywhere. */
static void every_start(void)
{
	static const u8 rest[][WS_HEADER_MAX] = {
		{ 0 },
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		{ 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x37, 0xfa, 0x21, 0x3d, 0x01, 0x80 },
		{ 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0xff, 0x00, 0xaa, 0x55, 0x00, 0xff },
	};
	unsigned int start, variant, r;
	size_t n;

	for (start = 0; start < 65536; start++) {
		u8 p[2 + WS_HEADER_MAX] = { start >> 8, start & 0xff };

		for (r = 0; r < ARRAY_SIZE(rest); r++) {
			memcpy(p + 2, rest[r], sizeof(rest[r]));
			for (variant = 0; variant < 4; variant++)
				for (n = 0; n <= sizeof(p); n++)
					check_decode(p, n, variant & 1, variant & 2);
		}
	}
}

/* One broken rule, two bytes: that one is reported, and at once. */
static void early_refusal(void)
{
	static const struct {
		u8 start[2];
		bool masked, open;
		int verdict;
	} cases[] = {
		{ { 0xc1, 0x00 }, 0, 0, -WS_FAIL_RSV },
		{ { 0xa1, 0x00 }, 0, 0, -WS_FAIL_RSV },
		{ { 0x91, 0x00 }, 0, 0, -WS_FAIL_RSV },
		{ { 0xf1, 0x80 }, 1, 0, -WS_FAIL_RSV },
		{ { 0x83, 0x00 }, 0, 0, -WS_FAIL_OPCODE },
		{ { 0x07, 0x00 }, 0, 1, -WS_FAIL_OPCODE },
		{ { 0x8b, 0x00 }, 0, 0, -WS_FAIL_OPCODE },
		{ { 0x8f, 0x80 }, 1, 1, -WS_FAIL_OPCODE },
		{ { 0x81, 0x00 }, 1, 0, -WS_FAIL_UNMASKED },
		{ { 0x81, 0x7f }, 1, 0, -WS_FAIL_UNMASKED },
		{ { 0x89, 0x7d }, 1, 0, -WS_FAIL_UNMASKED },
		{ { 0x81, 0x80 }, 0, 0, -WS_FAIL_MASKED },
		{ { 0x82, 0xfe }, 0, 0, -WS_FAIL_MASKED },
		{ { 0x8a, 0xfd }, 0, 0, -WS_FAIL_MASKED },
		{ { 0x08, 0x00 }, 0, 0, -WS_FAIL_CONTROL_FRAGMENT },
		{ { 0x09, 0x80 }, 1, 0, -WS_FAIL_CONTROL_FRAGMENT },
		{ { 0x0a, 0x01 }, 0, 1, -WS_FAIL_CONTROL_FRAGMENT },
		{ { 0x88, 0x7e }, 0, 0, -WS_FAIL_CONTROL_LENGTH },
		{ { 0x89, 0xff }, 1, 0, -WS_FAIL_CONTROL_LENGTH },
		{ { 0x8a, 0x7f }, 0, 1, -WS_FAIL_CONTROL_LENGTH },
		{ { 0x80, 0x00 }, 0, 0, -WS_FAIL_CONTINUATION },
		{ { 0x00, 0xff }, 1, 0, -WS_FAIL_CONTINUATION },
		{ { 0x81, 0x05 }, 0, 1, -WS_FAIL_INTERLEAVED },
		{ { 0x02, 0xfe }, 1, 1, -WS_FAIL_INTERLEAVED },
		/* nothing is broken */
		{ { 0x81, 0x7e }, 0, 0, 0 },
		{ { 0x81, 0x80 }, 1, 0, 0 },
		{ { 0x80, 0x7f }, 0, 1, 0 },
		{ { 0x81, 0x00 }, 0, 0, 2 },
		{ { 0x01, 0x7d }, 0, 0, 2 },
		{ { 0x80, 0x00 }, 0, 1, 2 },
		{ { 0x00, 0x7d }, 0, 1, 2 },
		{ { 0x88, 0x7d }, 0, 1, 2 },
		{ { 0x8a, 0x00 }, 0, 0, 2 },
	};
	struct ws_header h;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int verdict = decode(&h, cases[i].start, 2, cases[i].masked, cases[i].open);

		CHECK(verdict == cases[i].verdict, "case %u: %d, not %d", i, verdict, cases[i].verdict);
	}
}

static const u64 boundaries[] = {
	0, 1, 124, 125, 126, 127, 128, 255, 256, 257, 65534, 65535, 65536, 65537, (1ULL << 24) - 1, 1ULL << 24,
	(1ULL << 31) - 1, 1ULL << 31, (1ULL << 31) + 1, (1ULL << 32) - 1, 1ULL << 32, (1ULL << 32) + 5, 1ULL << 48,
	(1ULL << 62) + 126, (1ULL << 63) - 1, 1ULL << 63, (1ULL << 63) + 125, ~0ULL,
};

/* Write @len into @bytes bytes, most significant first (RFC 6455 5.2: "network byte order"). */
static void put(u8 *p, u64 len, unsigned int bytes)
{
	unsigned int i;

	for (i = 0; i < bytes; i++)
		p[i] = len >> 8 * (bytes - 1 - i);
}

static int length_verdict(unsigned int extended, u64 len, bool masked, size_t n)
{
	unsigned int size = 2 + extended + (masked ? 4 : 0);

	if (n < 2 + extended)
		return 0;
	if (extended == 2 && len < 126)
		return -WS_FAIL_LENGTH_FORM;
	if (extended == 8 && len < 65536)
		return -WS_FAIL_LENGTH_FORM;
	if (extended == 8 && len > 0x7fffffffffffffff)
		return -WS_FAIL_LENGTH_TOP_BIT;
	return n < size ? 0 : (int)size;
}

/* Each boundary in each form that can hold it, cut after every byte; what follows the header does not matter. */
static void length_forms(void)
{
	static const u8 opcodes[] = { 0x82, 0x01, 0x80, 0x00 };
	static const unsigned int forms[] = { 0, 2, 8 };
	unsigned int b, f, o, masked;
	struct ws_header h;
	size_t n;

	for (b = 0; b < ARRAY_SIZE(boundaries); b++)
		for (f = 0; f < 3; f++)
			for (o = 0; o < ARRAY_SIZE(opcodes); o++)
				for (masked = 0; masked < 2; masked++) {
					u8 p[20] = { opcodes[o] };
					unsigned int extended = forms[f];
					u64 len = boundaries[b];

					if ((extended == 0 && len > 125) || (extended == 2 && len > 65535))
						continue;
					p[1] = extended == 0 ? len : extended == 2 ? 126 : 127;
					p[1] |= masked << 7;
					put(p + 2, len, extended);
					put(p + 2 + extended, 0xc0ffee0123456789, 8);
					for (n = 0; n <= sizeof(p); n++) {
						int verdict = decode(&h, p, n, masked, !(p[0] & 15));

						CHECK(verdict == length_verdict(extended, len, masked, n),
						      "length %llu in %u bytes, masked %u, %zu bytes: %d",
						      (unsigned long long)len, extended, masked, n, verdict);
						CHECK(verdict <= 0 || h.len == len, "%llu became %llu",
						      (unsigned long long)len, (unsigned long long)h.len);
						check_decode(p, n, masked, !(p[0] & 15));
					}
				}
}

/* The examples of RFC 6455 5.7: decoded, and encoded to the same bytes. */
static void examples(void)
{
	static const struct {
		u8 bytes[14];
		unsigned int size;
		bool masked, open, fin;
		u8 opcode;
		u64 len;
	} cases[] = {
		{ { 0x81, 0x05 }, 2, 0, 0, 1, WS_OP_TEXT, 5 },
		{ { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d }, 6, 1, 0, 1, WS_OP_TEXT, 5 },
		{ { 0x01, 0x03 }, 2, 0, 0, 0, WS_OP_TEXT, 3 },
		{ { 0x80, 0x02 }, 2, 0, 1, 1, WS_OP_CONTINUATION, 2 },
		{ { 0x89, 0x05 }, 2, 0, 0, 1, WS_OP_PING, 5 },
		{ { 0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d }, 6, 1, 0, 1, WS_OP_PONG, 5 },
		{ { 0x82, 0x7e, 0x01, 0x00 }, 4, 0, 0, 1, WS_OP_BINARY, 256 },
		{ { 0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0 }, 10, 0, 0, 1, WS_OP_BINARY, 65536 },
	};
	struct ws_header h;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 bytes[WS_HEADER_MAX];
		int verdict = decode(&h, cases[i].bytes, 14, cases[i].masked, cases[i].open);
		unsigned int size;

		CHECK(verdict == (int)cases[i].size, "example %u: %d", i, verdict);
		CHECK(h.opcode == cases[i].opcode, "example %u: opcode %u", i, h.opcode);
		CHECK(h.fin == cases[i].fin, "example %u: fin %d", i, h.fin);
		CHECK(h.len == cases[i].len, "example %u: length %llu", i, (unsigned long long)h.len);
		size = ws_frame_encode(bytes, h.opcode, h.fin, h.len, cases[i].masked, h.key);
		CHECK(size == cases[i].size, "example %u: encoded to %u bytes", i, size);
		CHECK(!memcmp(bytes, cases[i].bytes, size), "example %u: other bytes", i);
	}
}

/* Every start that the reference accepts x every boundary: encoded, compared bit by bit, decoded again. */
static void encode_decode(void)
{
	static const u8 keys[][4] = {
		{ 0x37, 0xfa, 0x21, 0x3d }, { 0, 0, 0, 0 }, { 0xff, 0xff, 0xff, 0xff }, { 0, 0, 0, 1 },
	};
	unsigned int first, masked, k, b;

	for (first = 0; first < 256; first++)
		for (b = 0; b < ARRAY_SIZE(boundaries); b++)
			for (masked = 0; masked < 2; masked++)
				for (k = 0; k < ARRAY_SIZE(keys); k++) {
					u64 len = boundaries[b];
					unsigned int extended = len < 126 ? 0 : len < 65536 ? 2 : 8;
					u8 second = extended == 0 ? len : extended == 2 ? 126 : 127;
					bool open = first % 16 == 0;
					u8 p[WS_HEADER_MAX + 1];
					struct ws_header h;
					unsigned int size;
					u32 key;

					if (len >> 63 || ref_start(first, second | masked << 7, masked, open))
						continue;
					memcpy(&key, keys[k], 4);
					memset(p, 0xa5, sizeof(p));
					size = ws_frame_encode(p, first % 16, first / 128, len, masked, key);
					CHECK(size == 2 + extended + 4 * masked, "length %llu, masked %u: %u bytes",
					      (unsigned long long)len, masked, size);
					CHECK(p[0] == first, "%02x became %02x", first, p[0]);
					CHECK(p[1] == (second | masked << 7), "%02x became %02x", second, p[1]);
					CHECK(number(p + 2, extended) == (extended ? len : 0), "length %llu",
					      (unsigned long long)len);
					CHECK(!masked || !memcmp(p + size - 4, keys[k], 4), "key %u", k);
					CHECK(p[WS_HEADER_MAX] == 0xa5, "wrote behind its room");

					CHECK(decode(&h, p, size, masked, open) == (int)size, "%02x, length %llu",
					      first, (unsigned long long)len);
					CHECK(h.len == len && h.opcode == first % 16 && h.fin == first / 128 &&
					      h.key == (masked ? key : 0) && h.size == size, "%02x, length %llu", first,
					      (unsigned long long)len);
				}
}

static void control_opcodes(void)
{
	unsigned int opcode;

	for (opcode = 0; opcode < 16; opcode++)
		CHECK(ws_op_is_control(opcode) == (opcode >= 8), "opcode %u", opcode);
}

static const struct tap_test tests[] = {
	{ "RFC 6455 5.2-5.5: every start, masked or not, open or not, cut everywhere", every_start },
	{ "RFC 6455 5.1, 5.2, 5.4, 5.5: two bytes are refused for the rule they break", early_refusal },
	{ "RFC 6455 5.2: every length form at its boundaries, cut everywhere", length_forms },
	{ "RFC 6455 5.7: the examples", examples },
	{ "RFC 6455 5.2: encoding is minimal and decodes to the same", encode_decode },
	{ "RFC 6455 5.5: control opcodes have the top bit", control_opcodes },
};

TAP_MAIN(tests)
