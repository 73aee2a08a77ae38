// SPDX-License-Identifier: GPL-2.0
/*
 * Fragmented messages: any number of fragments, empty ones in every place, control frames between them (answered,
 * delivered, or ending the connection), characters cut in two, and nothing kept per fragment.
 * time limit: 240 s
 */
#include "shapes.h"

FIXTURE_ALL_SHAPES(fragments);

/* @bytes as fragments of these lengths, which add up. */
static void put_fragments(struct stream *s, __u8 opcode, const void *bytes, const size_t *lens, size_t count)
{
	size_t i, at = 0;

	for (i = 0; i < count; i++) {
		put(s, .opcode = i ? OP_CONTINUATION : opcode, .more = i + 1 < count,
		    .payload = (const char *)bytes + at, .len = lens[i]);
		at += lens[i];
	}
}

#define FRAGMENTS(s, opcode, bytes, ...) put_fragments(s, opcode, bytes, (size_t[]){ __VA_ARGS__ },	\
		sizeof((size_t[]){ __VA_ARGS__ }) / sizeof(size_t))

CASE(fragments, of_many_lengths)
{
	unsigned char *bytes = new_pattern(1000, 5);

	FRAGMENTS(OUT, OP_BINARY, bytes, 1, 1);
	FRAGMENTS(OUT, OP_BINARY, bytes, 3, 5, 7, 11);
	FRAGMENTS(OUT, OP_BINARY, bytes, 125, 126, 127);
	FRAGMENTS(OUT, OP_BINARY, bytes, 900, 1);
	FRAGMENTS(OUT, OP_BINARY, bytes, 1, 900);
	peer_feed(LINK);
	expect_message(LINK, OP_BINARY, bytes, 2);
	expect_message(LINK, OP_BINARY, bytes, 26);
	expect_message(LINK, OP_BINARY, bytes, 378);
	expect_message(LINK, OP_BINARY, bytes, 901);
	expect_message(LINK, OP_BINARY, bytes, 901);
	peer_fed(LINK);
	free(bytes);
}

CASE(fragments, row32_empty_ones)
{
	FRAGMENTS(OUT, OP_TEXT, "first", 0, 5);
	FRAGMENTS(OUT, OP_TEXT, "last", 4, 0);
	FRAGMENTS(OUT, OP_TEXT, "middle", 3, 0, 0, 3);
	FRAGMENTS(OUT, OP_TEXT, "everywhere", 0, 0, 1, 0, 9, 0, 0);
	FRAGMENTS(OUT, OP_TEXT, "", 0, 0);
	FRAGMENTS(OUT, OP_BINARY, "", 0, 0, 0, 0);
	peer_feed(LINK);
	expect_text(LINK, "first");
	expect_text(LINK, "last");
	expect_text(LINK, "middle");
	expect_text(LINK, "everywhere");
	expect_text(LINK, "");
	expect_message(LINK, OP_BINARY, "", 0);
	peer_fed(LINK);
	expect_nothing(LINK);
}

/* What has no byte yet is no message, and its last, empty fragment makes it one. */
CASE(fragments, empty_last_completes)
{
	put(OUT, .opcode = OP_TEXT, .more = true);
	put(OUT, .opcode = OP_CONTINUATION, .more = true, .text = "all is here");
	peer_write(LINK);
	peer_settle(LINK);
	expect_nothing(LINK);
	put(OUT, .opcode = OP_CONTINUATION);
	peer_write(LINK);
	expect_text(LINK, "all is here");
	peer_settle(LINK);
	expect_nothing(LINK);
}

CASE(fragments, pings_between)
{
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "one ");
	put(OUT, .opcode = OP_PING, .text = "a");
	put(OUT, .opcode = OP_CONTINUATION, .more = true);
	put(OUT, .opcode = OP_PONG, .text = "nobody asked");
	put(OUT, .opcode = OP_CONTINUATION, .more = true, .text = "two ");
	put(OUT, .opcode = OP_PONG);
	put(OUT, .opcode = OP_PONG);
	put(OUT, .opcode = OP_CONTINUATION, .text = "three");
	put(OUT, .opcode = OP_TEXT, .text = "next");
	peer_feed(LINK);
	expect_text(LINK, "one two three");
	expect_text(LINK, "next");
	wire_expect(WIRE, OP_PONG, true, "a", 1);
	peer_fed(LINK);
}

/* It is answered although the message around it is not complete. */
CASE(fragments, ping_in_an_open_message)
{
	put(OUT, .opcode = OP_BINARY, .more = true, .text = "open");
	put(OUT, .opcode = OP_PING, .text = "now");
	peer_feed(LINK);
	wire_expect(WIRE, OP_PONG, true, "now", 3);
	peer_fed(LINK);
	expect_nothing(LINK);
	put(OUT, .opcode = OP_CONTINUATION, .text = " and closed");
	peer_feed(LINK);
	expect_message(LINK, OP_BINARY, "open and closed", 15);
	peer_fed(LINK);
}

static void expect_part(struct link *l, __u8 opcode, const char *text, __u32 flags)
{
	char buffer[64];
	struct received r = ws_receive(l, buffer, sizeof(buffer), 0);

	if (r.n != (ssize_t)strlen(text) || memcmp(buffer, text, r.n) || r.record.opcode != opcode)
		fail("%zd bytes, %s, opcode %u instead of \"%s\"", r.n, error_name(r.error), r.record.opcode, text);
	equal(flags, r.record.flags);
	equal(flags & WEBSOCKET_MSG_END ? MSG_EOR : 0, r.flags & MSG_EOR);
	equal(0, r.record.frame_left);
}

/* A delivered ping or pong splits the message that it stands in. */
CASE(fragments, delivered_control_frames_between)
{
	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_PING | WEBSOCKET_F_PONG });
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "before");
	put(OUT, .opcode = OP_PING, .text = "ping");
	put(OUT, .opcode = OP_CONTINUATION, .more = true, .text = "between");
	put(OUT, .opcode = OP_PONG, .text = "pong");
	put(OUT, .opcode = OP_CONTINUATION, .text = "after");
	peer_feed(LINK);
	peer_fed(LINK);
	peer_settle(LINK);
	expect_part(LINK, OP_TEXT, "before", WEBSOCKET_MSG_BEGIN);
	expect_part(LINK, OP_PING, "ping", WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END);
	expect_part(LINK, OP_TEXT, "between", 0);
	expect_part(LINK, OP_PONG, "pong", WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END);
	expect_part(LINK, OP_TEXT, "after", WEBSOCKET_MSG_END);
	wire_expect(WIRE, OP_PONG, true, "ping", 4);
	expect_nothing(LINK);
}

/* A Close ends the open message, which is never delivered; the complete one before it is. */
CASE(fragments, close_between)
{
	put(OUT, .opcode = OP_TEXT, .text = "whole");
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "never ");
	put_close(OUT, 1000, "enough");
	put(OUT, .opcode = OP_CONTINUATION, .text = "complete");
	peer_feed(LINK);
	expect_text(LINK, "whole");
	expect_end(LINK, 1000);
	wire_expect_close(WIRE, 1000);
	peer_fed(LINK);
}

/* Fragments may cut a character anywhere: €, 𝄞 and ü at every position. */
CASE(fragments, characters_cut)
{
	static const char text[] = "a€𝄞ü";
	size_t len = strlen(text), i;

	for (i = 0; i <= len; i++)
		FRAGMENTS(OUT, OP_TEXT, text, i, len - i);
	FRAGMENTS(OUT, OP_TEXT, text, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);
	peer_feed(LINK);
	for (i = 0; i <= len + 1; i++)
		expect_text(LINK, text);
	peer_fed(LINK);
}

CASE(fragments, read_in_small_pieces)
{
	unsigned char *bytes = new_pattern(200, 6);

	FRAGMENTS(OUT, OP_BINARY, bytes, 10, 0, 1, 100, 89);
	FRAGMENTS(OUT, OP_BINARY, bytes, 50, 50, 50, 50);
	peer_feed(LINK);
	expect_parts(LINK, OP_BINARY, bytes, 200, 3);
	expect_parts(LINK, OP_BINARY, bytes, 200, 50);
	peer_fed(LINK);
	free(bytes);
}

/* Row 20: a thousand fragments of one byte, half of them with a ping behind. */
CASE(fragments, row20_a_thousand_of_one_byte)
{
	unsigned char *bytes = new_pattern(1000, 7);
	int i;

	for (i = 0; i < 1000; i++) {
		put(OUT, .opcode = i ? OP_CONTINUATION : OP_BINARY, .more = i < 999, .payload = bytes + i, .len = 1);
		if (i % 2 && self->link.shape.segmentation != SEGMENT_BYTE)
			put(OUT, .opcode = OP_PONG);
	}
	peer_feed(LINK);
	expect_message(LINK, OP_BINARY, bytes, 1000);
	peer_fed(LINK);
	equal(1000, ws_info(self->link.ws).rx_frames);
	equal(1, ws_info(self->link.ws).rx_messages);
	free(bytes);
}

SELFTEST_MAIN
