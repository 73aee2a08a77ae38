// SPDX-License-Identifier: GPL-2.0
/*
 * Every length encoding at its edges, and max_message: 0 to 130 bytes one by one, 65535, 65536, 70000, 1 MiB, which is
 * the default limit. What is longer is in stream.c, wrong encodings are in malformed.c.
 * time limit: 240 s
 */
#include "shapes.h"

FIXTURE_ALL_SHAPES(sizes);

static void one(struct link *l, size_t len)
{
	unsigned char *bytes = new_pattern(len, len);

	put(&l->out, .opcode = OP_BINARY, .payload = bytes, .len = len);
	put(&l->out, .opcode = OP_TEXT, .text = "behind");
	peer_feed(l);
	expect_message(l, OP_BINARY, bytes, len);
	expect_text(l, "behind");
	peer_fed(l);
	free(bytes);
}

CASE(sizes, up_to_130)
{
	bool slow = variant->shape.segmentation == SEGMENT_BYTE;
	unsigned char *bytes = new_pattern(130, 8);
	size_t len;

	for (len = 0; len <= 130; len += slow && len < 120 ? 17 : 1)
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = len);
	peer_feed(LINK);
	for (len = 0; len <= 130; len += slow && len < 120 ? 17 : 1)
		expect_message(LINK, OP_BINARY, bytes, len);
	peer_fed(LINK);
	free(bytes);
}

CASE(sizes, bytes_65535)
{
	one(LINK, 65535);
}

CASE(sizes, bytes_65536)
{
	one(LINK, 65536);
}

CASE(sizes, bytes_70000_in_fragments)
{
	unsigned char *bytes = new_pattern(70000, 9);

	put(OUT, .opcode = OP_BINARY, .more = true, .payload = bytes, .len = 126);
	put(OUT, .opcode = OP_CONTINUATION, .more = true, .payload = bytes + 126, .len = 65536);
	put(OUT, .opcode = OP_CONTINUATION, .payload = bytes + 65662, .len = 70000 - 65662);
	peer_feed(LINK);
	expect_message(LINK, OP_BINARY, bytes, 70000);
	peer_fed(LINK);
	free(bytes);
}

CASE(sizes, the_default_limit)
{
	one(LINK, 1 << 20);
}

/* The key may be anything: 0, where masking changes nothing, and one byte repeated. */
CASE(sizes, any_key)
{
	static const __u32 keys[] = { 0x00000001, 0xff000000, 0xffffffff, 0x80808080, 0x12345678 };
	unsigned char *bytes = new_pattern(37, 10);
	size_t i;

	put(OUT, .opcode = OP_BINARY, .key_zero = true, .payload = bytes, .len = 37);
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		put(OUT, .opcode = OP_BINARY, .key = keys[i], .payload = bytes, .len = 37);
	peer_feed(LINK);
	for (i = 0; i <= ARRAY_SIZE(keys); i++)
		expect_message(LINK, OP_BINARY, bytes, 37);
	peer_fed(LINK);
	free(bytes);
}

/* Text of many alignments and lengths passes the check, its last character right at the end. */
CASE(sizes, text_lengths)
{
	char text[64];
	int i, n;

	for (i = 0; i < 40; i++) {
		memset(text, 'a', i);
		strcpy(text + i, i % 2 ? "€" : "𝄞");
		put(OUT, .opcode = OP_TEXT, .text = text);
	}
	peer_feed(LINK);
	for (i = 0; i < 40; i++) {
		memset(text, 'a', i);
		strcpy(text + i, i % 2 ? "€" : "𝄞");
		n = strlen(text);
		expect_message(LINK, OP_TEXT, text, n);
	}
	peer_fed(LINK);
}

SELFTEST_MAIN
