// SPDX-License-Identifier: GPL-2.0
/*
 * The end comes in order (ENDING IN ORDER in kmod/control.c): what the program answers to messages that stand before the peer's
 * Close, or before a bad frame, still goes out; then the Close does. A program that does not come back does not hold it up for
 * ever.
 */
#include "shapes.h"

#define NEVER	86400000	/* close_timeout_ms: not while a test runs */

FIXTURE_CUTS(order);

/* Both Closes are out, or ours with the failure's code. */
static void expect_closed(struct link *l, unsigned int code)
{
	wire_expect_close(&l->wire, code);
	equal(code, ws_info(l->ws).sent_close_code);
}

static void answer(struct link *l, const char *text)
{
	equal(strlen(text), ws_send(l->ws, OP_TEXT, text, strlen(text), MSG_NOSIGNAL));
	wire_expect(&l->wire, OP_TEXT, true, text, strlen(text));
}

static void wait_forever(struct link *l)
{
	struct websocket_config config = { .flags = l->shape.client ? WEBSOCKET_F_CLIENT : 0, .close_timeout_ms = NEVER };

	link_configure(l, &config);
}

/* The peer's Close stands behind messages: each of them is answered, then the Close. */
CASE(order, close_behind_unread_messages)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_TEXT, .text = "two");
	put_close(OUT, 4000, "bye");
	put(OUT, .opcode = OP_PING, .text = "not looked at");
	peer_write(LINK);
	peer_settle(LINK);
	check(ws_poll(self->link.ws) & POLLIN);
	check(ws_poll(self->link.ws) & POLLRDHUP);
	check(ws_poll(self->link.ws) & POLLOUT);
	equal(WEBSOCKET_STATE_OPEN, ws_info(self->link.ws).state);
	equal(4000, ws_info(self->link.ws).received_close_code);
	expect_text(LINK, "one");
	answer(LINK, "re: one");
	expect_text(LINK, "two");
	answer(LINK, "re: two");
	check(ws_poll(self->link.ws) & POLLIN);
	equal(WEBSOCKET_STATE_OPEN, ws_info(self->link.ws).state);
	expect_end(LINK, 4000);
	expect_closed(LINK, 4000);
	equal(0, ws_info(self->link.ws).rx_pings);
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
}

/* So does a bad frame: the program's answers, Close 1002, and then the error. */
CASE(order, bad_frame_behind_an_unread_message)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "good");
	put(OUT, .opcode = OP_TEXT, .rsv = 2, .text = "bad");
	put(OUT, .opcode = OP_PING, .text = "not looked at");
	peer_write(LINK);
	peer_settle(LINK);
	equal(0, ws_info(self->link.ws).error);
	check(!(ws_poll(self->link.ws) & POLLERR));
	expect_text(LINK, "good");
	check(ws_poll(self->link.ws) & POLLERR);
	answer(LINK, "re: good");
	expect_failure(LINK, EPROTO, 1002);
	equal(0, ws_info(self->link.ws).rx_pings);
}

/* Invalid text in a message that is not complete yet is noticed at once, and acted on in order. */
CASE(order, invalid_text_behind_an_unread_message)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "good");
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "b\xff");
	peer_write(LINK);
	peer_settle(LINK);
	expect_text(LINK, "good");
	answer(LINK, "re: good");
	expect_failure(LINK, EILSEQ, 1007);
}

/* Close comes between a message and the answer to it. */
CASE(order, close_while_a_message_is_in_hand)
{
	put(OUT, .opcode = OP_TEXT, .text = "one");
	peer_write(LINK);
	expect_text(LINK, "one");
	put_close(OUT, 1001, "");
	peer_write(LINK);
	answer(LINK, "re: one");
	expect_end(LINK, 1001);
	expect_closed(LINK, 1001);
}

CASE(order, bad_frame_while_a_message_is_in_hand)
{
	put(OUT, .opcode = OP_TEXT, .text = "one");
	peer_write(LINK);
	expect_text(LINK, "one");
	put(OUT, .opcode = 3);
	peer_write(LINK);
	answer(LINK, "re: one");
	expect_failure(LINK, EPROTO, 1002);
}

/* A program that waits for more, in poll() or in a call, has nothing in hand: Close is answered at once. */
CASE(order, at_once_when_the_program_waits)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	peer_write(LINK);
	expect_text(LINK, "one");
	equal(0, ws_poll(self->link.ws) & POLLIN);
	put_close(OUT, 1000, "");
	peer_write(LINK);
	peer_settle(LINK);
	equal(WEBSOCKET_STATE_CLOSED, ws_info(self->link.ws).state);
	expect_closed(LINK, 1000);
	expect_end(LINK, 1000);
}

/* Nobody reads for close_timeout_ms: Close is answered all the same, and what is unread stays readable. */
CASE(order, nobody_reads)
{
	struct websocket_config config = { .flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0, .close_timeout_ms = 400 };

	link_configure(LINK, &config);
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	put_close(OUT, 1000, "");
	peer_write(LINK);
	expect_closed(LINK, 1000);
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	expect_text(LINK, "unread");
	expect_end(LINK, 1000);
}

/* The program has read everything and does not come back: a quarter of a second, whatever close_timeout_ms is. */
CASE(order, nobody_comes_back)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put_close(OUT, 4002, "");
	peer_write(LINK);
	expect_text(LINK, "one");
	expect_closed(LINK, 4002);
	equal(WEBSOCKET_STATE_CLOSED, ws_info(self->link.ws).state);
	expect_end(LINK, 4002);
}

CASE(order, nobody_comes_back_to_a_bad_frame)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_CONTINUATION, .text = "of nothing");
	peer_write(LINK);
	expect_text(LINK, "one");
	wire_expect_close(WIRE, 1002);
	expect_error(LINK, EPROTO);
}

/* A program that ends sending by itself answers with the peer's code, with Close it says its own. */
CASE(order, shutdown_answers)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	put_close(OUT, 4003, "");
	peer_write(LINK);
	peer_settle(LINK);
	must(shutdown(self->link.ws, SHUT_WR));
	expect_closed(LINK, 4003);
	expect_text(LINK, "unread");
	expect_end(LINK, 4003);
}

CASE(order, own_close_goes_first)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	put_close(OUT, 4003, "");
	peer_write(LINK);
	peer_settle(LINK);
	equal(2, ws_send(self->link.ws, OP_CLOSE, "\x0f\xa4", 2, 0));
	expect_closed(LINK, 4004);
	equal(WEBSOCKET_STATE_CLOSED, ws_info(self->link.ws).state);
	expect_text(LINK, "unread");
	expect_end(LINK, 4003);
}

/* The peer does not wait: what it said last counts. */
CASE(order, reset_behind_close)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	put_close(OUT, 4003, "");
	peer_write(LINK);
	peer_settle(LINK);
	link_reset_peer(LINK);
	ws_wait(self->link.ws, POLLHUP);
	expect_text(LINK, "unread");
	expect_end(LINK, 4003);
}

CASE(order, reset_behind_a_bad_frame)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	put(OUT, .opcode = 11);
	peer_write(LINK);
	peer_settle(LINK);
	link_reset_peer(LINK);
	ws_wait(self->link.ws, POLLHUP);
	expect_text(LINK, "unread");
	expect_error(LINK, EPROTO);
}

/* close() in between: a message in hand is no unread one. */
CASE(order, close_with_a_message_in_hand)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put_close(OUT, 4003, "");
	peer_write(LINK);
	expect_text(LINK, "one");
	peer_settle(LINK);
	link_close_ws(LINK);
	wire_expect_close(WIRE, 4003);
	wire_expect_end(WIRE);
}

/* MSG_WAITALL has part of a message that will never be complete: first that, then the error. */
CASE(order, waitall_of_a_broken_message)
{
	char buffer[16];
	struct received r;

	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY, .more = true, .text = "part");
	put(OUT, .opcode = OP_BINARY, .text = "no continuation");
	peer_write(LINK);
	peer_settle(LINK);
	r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), MSG_WAITALL);
	equal(3, r.n);
	answer(LINK, "re: one");
	expect_failure(LINK, EPROTO, 1002);
}

/* It has ended its answer: from then on the peer's Close does not wait for it as for one that is sending. */
CASE(order, nobody_comes_back_behind_an_answer)
{
	wait_forever(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put_close(OUT, 4002, "");
	peer_write(LINK);
	expect_text(LINK, "one");
	equal(3, ws_send(self->link.ws, OP_TEXT, "re:", 3, MSG_MORE));
	usleep(400000);
	equal(4, ws_send(self->link.ws, 0, " one", 4, 0));
	wire_expect_message(WIRE, OP_TEXT, "re: one", 7);
	expect_closed(LINK, 4002);
	expect_end(LINK, 4002);
}

SELFTEST_MAIN
