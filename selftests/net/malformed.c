// SPDX-License-Identifier: GPL-2.0
/*
 * Frames that RFC 6455 forbids: each ends the connection with the right Close and errno, for every later call too, after
 * the complete message before it was delivered; and what looks forbidden but is not. The first two bytes in all their
 * values are in first_two.c, text in utf8.c, Close payloads in closing.c.
 * time limit: 240 s
 */
#include "shapes.h"

FIXTURE_CUTS(malformed);

/* A message, then what @frames puts, then a message that must not be looked at. */
static void fails(struct link *l, int error, unsigned int code)
{
	put(&l->out, .opcode = OP_TEXT, .text = "not looked at");
	peer_feed(l);
	expect_text(l, "complete");
	expect_failure_(l, error, code);
	peer_fed(l);
	equal(1, ws_info(l->ws).rx_messages);
}

#define MALFORMED(name, ...)							\
	CASE(malformed, name)							\
	{									\
		put(OUT, .opcode = OP_TEXT, .text = "complete");		\
		__VA_ARGS__;							\
		check_file = __FILE__;						\
		check_line = __LINE__;						\
		fails(LINK, EPROTO, 1002);					\
	}

/* RFC 6455 5.1: a client masks, a server does not. */
#define WRONG_MASK (self->link.shape.client ? MASK_ON : MASK_OFF)
MALFORMED(mask_of_text, put(OUT, .opcode = OP_TEXT, .mask = WRONG_MASK, .text = "wrong"))
MALFORMED(mask_of_empty, put(OUT, .opcode = OP_BINARY, .mask = WRONG_MASK))
MALFORMED(mask_of_ping, put(OUT, .opcode = OP_PING, .mask = WRONG_MASK, .text = "wrong"))
MALFORMED(mask_of_close, put(OUT, .opcode = OP_CLOSE, .mask = WRONG_MASK))
MALFORMED(mask_of_continuation,
	  put(OUT, .opcode = OP_TEXT, .more = true, .text = "right");
	  put(OUT, .opcode = OP_CONTINUATION, .mask = WRONG_MASK, .text = "wrong"))

/* RFC 6455 5.2: RSV1-3, no extension having been negotiated. */
MALFORMED(rsv1, put(OUT, .opcode = OP_TEXT, .rsv = 4, .text = "x"))
MALFORMED(rsv2, put(OUT, .opcode = OP_BINARY, .rsv = 2, .text = "x"))
MALFORMED(rsv3, put(OUT, .opcode = OP_TEXT, .rsv = 1))
MALFORMED(rsv_of_ping, put(OUT, .opcode = OP_PING, .rsv = 7))
MALFORMED(rsv_of_continuation,
	  put(OUT, .opcode = OP_TEXT, .more = true, .text = "x");
	  put(OUT, .opcode = OP_CONTINUATION, .rsv = 4, .text = "x"))

/* RFC 6455 5.2: opcodes 3-7 and 11-15. */
MALFORMED(opcode_3, put(OUT, .opcode = 3, .text = "x"))
MALFORMED(opcode_7_empty, put(OUT, .opcode = 7))
MALFORMED(opcode_11, put(OUT, .opcode = 11, .text = "x"))
MALFORMED(opcode_15_empty, put(OUT, .opcode = 15))

/* RFC 6455 5.4 */
MALFORMED(continuation_of_nothing, put(OUT, .opcode = OP_CONTINUATION, .text = "x"))
MALFORMED(fragment_of_nothing, put(OUT, .opcode = OP_CONTINUATION, .more = true, .text = "x"))
MALFORMED(text_in_open_message,
	  put(OUT, .opcode = OP_TEXT, .more = true, .text = "a");
	  put(OUT, .opcode = OP_PING, .text = "x");
	  put(OUT, .opcode = OP_TEXT, .text = "b"))
MALFORMED(empty_text_in_open_message,
	  put(OUT, .opcode = OP_BINARY, .more = true);
	  put(OUT, .opcode = OP_TEXT))

/* RFC 6455 5.5 */
MALFORMED(ping_fragmented, put(OUT, .opcode = OP_PING, .more = true, .text = "x"))
MALFORMED(pong_fragmented, put(OUT, .opcode = OP_PONG, .more = true))
MALFORMED(close_fragmented, put(OUT, .opcode = OP_CLOSE, .more = true))
MALFORMED(ping_of_126, put(OUT, .opcode = OP_PING, .payload = "", .len = 0, .announce = 126))
MALFORMED(pong_of_65536, put(OUT, .opcode = OP_PONG, .payload = "", .len = 0, .announce = 65536))
MALFORMED(close_of_126, put(OUT, .opcode = OP_CLOSE, .payload = "", .len = 0, .announce = 126))

/* RFC 6455 5.2: the minimal number of bytes MUST be used; the most significant bit MUST be 0. */
MALFORMED(length_0_in_16_bits, put(OUT, .opcode = OP_TEXT, .encoding = LENGTH_16))
MALFORMED(length_125_in_16_bits,
	  put(OUT, .opcode = OP_BINARY, .encoding = LENGTH_16, .payload = (char[125]){ 0 }, .len = 125))
MALFORMED(length_0_in_64_bits, put(OUT, .opcode = OP_TEXT, .encoding = LENGTH_64))
MALFORMED(length_126_in_64_bits, put(OUT, .opcode = OP_BINARY, .encoding = LENGTH_64, .announce = 126))
MALFORMED(length_65535_in_64_bits, put(OUT, .opcode = OP_BINARY, .encoding = LENGTH_64, .announce = 65535))
MALFORMED(ping_length_in_16_bits, put(OUT, .opcode = OP_PING, .encoding = LENGTH_16, .text = "x"))
MALFORMED(row23_top_bit, put(OUT, .opcode = OP_BINARY, .announce = 1ULL << 63))
MALFORMED(row23_all_bits, put(OUT, .opcode = OP_BINARY, .announce = ~0ULL))
MALFORMED(row23_top_bit_of_continuation,
	  put(OUT, .opcode = OP_BINARY, .more = true, .text = "x");
	  put(OUT, .opcode = OP_CONTINUATION, .announce = 1ULL << 63 | 5, .text = "hello"))

#define TOO_BIG(name, limit, ...)						\
	CASE(malformed, name)							\
	{									\
		link_configure(LINK, &(struct websocket_config){ .max_message = limit });	\
		put(OUT, .opcode = OP_TEXT, .text = "complete");		\
		__VA_ARGS__;							\
		check_file = __FILE__;						\
		check_line = __LINE__;						\
		fails(LINK, EMSGSIZE, 1009);					\
	}

TOO_BIG(row23_limit_by_one, 1000, put(OUT, .opcode = OP_BINARY, .announce = 1001))
TOO_BIG(row23_default_limit_by_one, 0, put(OUT, .opcode = OP_BINARY, .announce = (1 << 20) + 1))
TOO_BIG(row23_4_gib, 0, put(OUT, .opcode = OP_BINARY, .announce = (1ULL << 32) + 5, .text = "hello"))
TOO_BIG(row23_2_63_less_1, 1 << 20, put(OUT, .opcode = OP_BINARY, .announce = ~0ULL >> 1))
TOO_BIG(limit_by_the_sum_of_fragments, 10,
	put(OUT, .opcode = OP_BINARY, .more = true, .text = "01234");
	put(OUT, .opcode = OP_PING, .text = "not counted");
	put(OUT, .opcode = OP_CONTINUATION, .more = true, .text = "56789");
	put(OUT, .opcode = OP_CONTINUATION, .text = "x"))
TOO_BIG(limit_by_the_sum_of_huge_fragments, ~0ULL >> 1,
	put(OUT, .opcode = OP_BINARY, .more = true, .text = "01");
	put(OUT, .opcode = OP_CONTINUATION, .announce = ~0ULL >> 1, .text = "x"))

/* Exactly the limit, in one frame and in several, is not too big; control frames and empty fragments do not count. */
CASE(malformed, not_the_limit_itself)
{
	link_configure(LINK, &(struct websocket_config){ .max_message = 10 });
	put(OUT, .opcode = OP_BINARY, .text = "0123456789");
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "01234");
	put(OUT, .opcode = OP_PING, .text = "longer than ten");
	put(OUT, .opcode = OP_CONTINUATION, .more = true, .text = "56789");
	put(OUT, .opcode = OP_CONTINUATION);
	peer_feed(LINK);
	expect_message(LINK, OP_BINARY, "0123456789", 10);
	expect_text(LINK, "0123456789");
	peer_fed(LINK);
}

/* Pitfall 3, row 23: without a limit a length of more than 32 bits is just long. */
CASE(malformed, not_row23_4_gib_without_a_limit)
{
	struct received r;
	char buffer[16];

	link_configure(LINK, &(struct websocket_config){ .max_message = WEBSOCKET_NO_LIMIT });
	put(OUT, .opcode = OP_BINARY, .announce = (1ULL << 32) + 5, .text = "hello");
	peer_write(LINK);
	peer_settle(LINK);
	equal(0, ws_info(self->link.ws).rx_messages);
	equal((1ULL << 32) + 5, ws_info(self->link.ws).partial_bytes);
	expect_nothing(LINK);
	must(shutdown(self->link.peer, SHUT_WR));
	ws_wait(self->link.ws, POLLRDHUP);
	r = ws_receive(LINK, buffer, sizeof(buffer), 0);
	check(!(r.flags & MSG_EOR));
	if (r.n)
		check(r.n == 5 && r.record.frame_left == 1ULL << 32);
	expect_end(LINK, 1006);
}

/* The header alone decides: nothing of its payload has come. */
CASE(malformed, at_the_header)
{
	put(OUT, .opcode = OP_BINARY, .announce = (1 << 20) + 1);
	peer_write(LINK);
	expect_failure(LINK, EMSGSIZE, 1009);
}

/* Row 37: all that was complete is delivered, however much it is, and only then the error. */
CASE(malformed, row37_complete_messages_first)
{
	unsigned char *bytes = new_pattern(3000, 17);
	int i;

	for (i = 0; i < 10; i++)
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = i * 31);
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "never");
	put(OUT, .opcode = OP_TEXT, .text = "complete");
	peer_feed(LINK);
	wire_expect_close(WIRE, 1002);
	peer_fed(LINK);
	check(ws_poll(self->link.ws) & POLLIN);
	equal(0, ws_poll(self->link.ws) & POLLERR);
	for (i = 0; i < 10; i++)
		expect_message(LINK, OP_BINARY, bytes, i * 31);
	expect_error(LINK, EPROTO);
	check(ws_poll(self->link.ws) & POLLERR);
	free(bytes);
}

/* SO_ERROR is asked, and takes away nothing. */
CASE(malformed, row37_sticky_over_so_error)
{
	int error;
	socklen_t len = sizeof(error);

	put(OUT, .opcode = 5, .text = "x");
	peer_write(LINK);
	expect_error(LINK, EPROTO);
	must(getsockopt(self->link.ws, SOL_SOCKET, SO_ERROR, &error, &len));
	expect_error(LINK, EPROTO);
	refuses(EPROTO, ws_send(self->link.ws, OP_PING, NULL, 0, MSG_NOSIGNAL));
	link_close_peer(LINK);
	expect_error(LINK, EPROTO);
	equal(EPROTO, ws_info(self->link.ws).error);
}

SELFTEST_MAIN
