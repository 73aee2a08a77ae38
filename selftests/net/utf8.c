// SPDX-License-Identifier: GPL-2.0
/*
 * RFC 6455 8.1 and RFC 3629: text must be UTF-8, whatever frames and segments cut it. Valid sequences at every cut pass;
 * invalid ones end the connection with 1007 and EILSEQ, also while their message is not complete; binary messages and
 * WEBSOCKET_F_NO_UTF8 are not looked at.
 * time limit: 240 s
 */
#include "shapes.h"

static const char *const valid[] = {
	"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xe1\x80\x80", "\xec\xbf\xbf", "\xed\x80\x80",
	"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xef\xbf\xbe", "\xef\xbf\xbf", "\xef\xb7\x90",
	"\xf0\x90\x80\x80", "\xf0\xbf\xbf\xbf", "\xf1\x80\x80\x80", "\xf3\xbf\xbf\xbf", "\xf4\x80\x80\x80",
	"\xf4\x8f\xbf\xbf", "κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "\xef\xbb\xbfwith a BOM", "日本語テキスト",
};

static const char *const invalid[] = {
	"\x80", "\xbf", "\xc0\x80", "\xc0\xaf", "\xc1\xbf", "\xc2", "\xc2\x41", "\xc2\xc2", "\xdf", "\xe0\x80\x80",
	"\xe0\x9f\xbf", "\xe0\xa0", "\xe1\x80", "\xe1\x80\x41", "\xe1\x80\xc0", "\xed\xa0\x80", "\xed\xaf\xbf",
	"\xed\xb0\x80", "\xed\xbf\xbf", "\xef\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80",
	"\xf0\x90\x80\x41", "\xf0\x41\x80\x80", "\xf4\x90\x80\x80", "\xf4\xbf\xbf\xbf", "\xf5\x80\x80\x80",
	"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xfe", "\xff", "κόσμε\xed\xa0\x80" "edited",
};

FIXTURE_CUTS(utf8);

/* In front of it and behind it stands plain text of many lengths, so that it meets every alignment. */
CASE(utf8, valid)
{
	char text[100];
	size_t i, k;

	for (k = 0; k < 2; k++) {
		for (i = 0; i < ARRAY_SIZE(valid); i++) {
			sprintf(text, "%.*s%s%.*s", (int)(i % 9), "12345678", valid[i], (int)(i * 5 % 17),
				"1234567890123456");
			if (!k)
				put(OUT, .opcode = OP_TEXT, .text = text);
			else
				expect_text(LINK, text);
		}
		if (!k)
			peer_feed(LINK);
	}
	peer_fed(LINK);
}

CASE(utf8, valid_cut_everywhere)
{
	size_t i, k, len;

	for (i = 0; i < ARRAY_SIZE(valid); i++)
		for (len = strlen(valid[i]), k = 0; k <= len && k < 5; k++) {
			put(OUT, .opcode = OP_TEXT, .more = true, .payload = valid[i], .len = k);
			put(OUT, .opcode = OP_CONTINUATION, .payload = valid[i] + k, .len = len - k);
		}
	peer_feed(LINK);
	for (i = 0; i < ARRAY_SIZE(valid); i++)
		for (len = strlen(valid[i]), k = 0; k <= len && k < 5; k++)
			expect_message(LINK, OP_TEXT, valid[i], len);
	peer_fed(LINK);
}

/* A connection for each, with @cut bytes in the first fragment. */
static void refused(const struct shape *shape, const char *text, size_t len, size_t cut, int room)
{
	struct link l;
	struct received r;
	char buffer[64];

	link_start_default(&l, shape);
	put(&l.out, .opcode = OP_TEXT, .text = "complete €");
	if (cut) {
		put(&l.out, .opcode = OP_TEXT, .more = true, .payload = text, .len = cut);
		put(&l.out, .opcode = OP_CONTINUATION, .payload = text + cut, .len = len - cut);
	} else {
		put(&l.out, .opcode = OP_TEXT, .payload = text, .len = len);
	}
	peer_feed(&l);
	expect_text(&l, "complete €");
	while ((r = ws_receive(&l, buffer, room, 0)).n >= 0)
		if (r.flags & MSG_EOR || !r.n)
			fail("\"%s\", cut at %zu, passed", text, cut);
	expect_failure(&l, EILSEQ, 1007);
	peer_fed(&l);
	link_close(&l);
}

CASE(utf8, invalid)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(invalid); i++)
		refused(&variant->shape, invalid[i], strlen(invalid[i]), 0, 64);
}

CASE(utf8, invalid_cut_everywhere)
{
	size_t i, cut, len;

	for (i = 0; i < ARRAY_SIZE(invalid); i += 2)
		for (len = strlen(invalid[i]), cut = 1; cut < len && cut < 5; cut++)
			refused(&variant->shape, invalid[i], len, cut, 64);
}

/* The reader's buffer cuts characters too. */
CASE(utf8, invalid_read_bytewise)
{
	size_t i;

	for (i = 1; i < ARRAY_SIZE(invalid); i += 3)
		refused(&variant->shape, invalid[i], strlen(invalid[i]), 0, 1);
}

CASE(utf8, invalid_at_every_offset)
{
	char text[41];
	size_t i;

	for (i = 0; i < 40; i += 3) {
		memset(text, 'x', sizeof(text));
		text[i] = "\xff\x80\xc0\xf8"[i % 4];
		refused(&variant->shape, text, sizeof(text), 0, 64);
	}
}

CASE(utf8, valid_read_bytewise)
{
	static const char text[] = "a€b𝄞cüd";

	put(OUT, .opcode = OP_TEXT, .text = text);
	put(OUT, .opcode = OP_TEXT, .text = text);
	peer_feed(LINK);
	expect_parts(LINK, OP_TEXT, text, strlen(text), 1);
	expect_parts(LINK, OP_TEXT, text, strlen(text), 3);
	peer_fed(LINK);
}

/* As early as the bytes are there: the frame, or the message, does not end. */
CASE(utf8, invalid_in_an_open_message)
{
	put(OUT, .opcode = OP_TEXT, .text = "complete");
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "open \xff");
	peer_feed(LINK);
	peer_fed(LINK);
	wire_expect_close(WIRE, 1007);
	expect_text(LINK, "complete");
	expect_error(LINK, EILSEQ);
}

CASE(utf8, invalid_in_an_open_frame)
{
	put(OUT, .opcode = OP_TEXT, .announce = 1000, .text = "κόσμε\xed\xa0\x80" "edited");
	peer_feed(LINK);
	peer_fed(LINK);
	wire_expect_close(WIRE, 1007);
	expect_error(LINK, EILSEQ);
}

/* A character whose first bytes are right may still come; one that cannot be completed may not. */
CASE(utf8, open_character)
{
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "\xf4\x8f");
	peer_write(LINK);
	peer_settle(LINK);
	expect_nothing(LINK);
	put(OUT, .opcode = OP_CONTINUATION, .more = true, .text = "\xbf");
	put(OUT, .opcode = OP_PING, .text = "\xff");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "\xff", 1);
	expect_nothing(LINK);
	put(OUT, .opcode = OP_CONTINUATION, .text = "\xbf.");
	peer_write(LINK);
	expect_text(LINK, "\xf4\x8f\xbf\xbf.");
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "\xf4\x90");
	peer_write(LINK);
	expect_failure(LINK, EILSEQ, 1007);
}

CASE(utf8, binary_and_control_frames_may_be_anything)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(invalid); i++)
		put(OUT, .opcode = OP_BINARY, .text = invalid[i]);
	put(OUT, .opcode = OP_PING, .text = "\xed\xa0\x80");
	put(OUT, .opcode = OP_PONG, .text = "\xff");
	peer_feed(LINK);
	for (i = 0; i < ARRAY_SIZE(invalid); i++)
		expect_message(LINK, OP_BINARY, invalid[i], strlen(invalid[i]));
	wire_expect(WIRE, OP_PONG, true, "\xed\xa0\x80", 3);
	peer_fed(LINK);
}

CASE(utf8, not_checked_if_told_so)
{
	size_t i;

	link_close(LINK);
	link_open(LINK, &variant->shape);
	link_start(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_NO_UTF8 });
	for (i = 0; i < ARRAY_SIZE(invalid); i++)
		put(OUT, .opcode = OP_TEXT, .text = invalid[i]);
	peer_feed(LINK);
	for (i = 0; i < ARRAY_SIZE(invalid); i++)
		expect_text(LINK, invalid[i]);
	peer_fed(LINK);
}

SELFTEST_MAIN
