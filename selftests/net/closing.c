// SPDX-License-Identifier: GPL-2.0
/*
 * The closing handshake of RFC 6455 5.5.1 and 7: begun by either side, with every kind of code and reason, what is read
 * and sent before, between and after; the end as recvmsg(), poll() and the options tell it.
 * Ends without a handshake are in ending.c, time-outs in keepalive.c.
 * time limit: 240 s
 */
#include <signal.h>

#include "shapes.h"

FIXTURE_CUTS(closing);

static const unsigned int good_codes[] = {
	1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
};

static const unsigned int bad_codes[] = {
	0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65535,
};

static void expect_reason(int fd, const char *reason)
{
	char buffer[200];
	socklen_t len = sizeof(buffer);

	must(getsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_CLOSE_REASON, buffer, &len));
	equal(strlen(reason), len);
	check(!memcmp(buffer, reason, len));
	equal(len, ws_info(fd).close_reason_len);
}

/* After both Closes a server ends the TCP connection at once, a client leaves that to the server. */
static void expect_tcp_end(struct link *l)
{
	char byte;

	if (l->shape.client) {
		peer_settle(l);
		refuses(EAGAIN, recv(l->peer, &byte, 1, MSG_DONTWAIT));
		must(shutdown(l->peer, SHUT_WR));
	} else {
		wire_expect_end_(&l->wire);
	}
}

static void peer_closes(const struct shape *shape, unsigned int code, const char *reason)
{
	unsigned int told = code ? code : 1005;
	struct websocket_info info;
	struct link l;

	link_start_default(&l, shape);
	expect_reason(l.ws, "");
	put_close(&l.out, code, reason);
	peer_feed(&l);
	expect_end(&l, told);
	wire_expect_close(&l.wire, told);
	info = ws_info(l.ws);
	equal(told, info.received_close_code);
	equal(told, info.sent_close_code);
	equal(WEBSOCKET_STATE_CLOSED, info.state);
	equal(0, info.error);
	expect_reason(l.ws, reason);
	check(ws_poll(l.ws) & POLLRDHUP);
	refuses(EPIPE, ws_send(l.ws, 0, "x", 1, MSG_NOSIGNAL));
	peer_fed(&l);
	expect_tcp_end(&l);
	expect_end(&l, told);
	link_close(&l);
}

CASE(closing, by_the_peer_with_each_code)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good_codes); i++)
		peer_closes(&variant->shape, good_codes[i], i % 2 ? "Grund" : "");
}

CASE(closing, by_the_peer_without_code)
{
	peer_closes(&variant->shape, 0, "");
}

CASE(closing, by_the_peer_with_the_longest_reason)
{
	char reason[CONTROL_MAX] = "";

	while (strlen(reason) + 3 < CONTROL_MAX - 1)
		strcat(reason, "€");
	equal(123, strlen(reason));
	peer_closes(&variant->shape, 1000, reason);
}

static void bad_close(const struct shape *shape, const void *payload, size_t len, int error, unsigned int code)
{
	struct link l;

	link_start_default(&l, shape);
	put(&l.out, .opcode = OP_TEXT, .text = "complete");
	put(&l.out, .opcode = OP_CLOSE, .payload = payload, .len = len);
	peer_feed(&l);
	expect_text(&l, "complete");
	expect_failure(&l, error, code);
	peer_fed(&l);
	link_close(&l);
}

/* RFC 6455 7.4 */
CASE(closing, by_the_peer_with_bad_code)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad_codes); i++) {
		unsigned char payload[4] = { bad_codes[i] >> 8, bad_codes[i], 'n', 'o' };

		bad_close(&variant->shape, payload, i % 2 ? 4 : 2, EPROTO, 1002);
	}
}

/* RFC 6455 5.5.1: if there is a body, its first two bytes are the code. */
CASE(closing, by_the_peer_with_one_byte)
{
	bad_close(&variant->shape, "\x03", 1, EPROTO, 1002);
}

CASE(closing, by_the_peer_with_bad_reason)
{
	static const char *const reasons[] = { "\xff", "a\xc0\xaf", "\xed\xa0\x80", "cut \xe2\x82", "\xf4\x90\x80\x80" };
	char payload[64] = { 1000 >> 8, (char)1000 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reasons); i++) {
		strcpy(payload + 2, reasons[i]);
		bad_close(&variant->shape, payload, 2 + strlen(reasons[i]), EILSEQ, 1007);
	}
}

CASE(closing, messages_before_it_come_first)
{
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY);
	put(OUT, .opcode = OP_PING, .text = "also answered");
	put(OUT, .opcode = OP_TEXT, .text = "two");
	put_close(OUT, 4321, "done");
	peer_feed(LINK);
	wire_expect(WIRE, OP_PONG, true, "also answered", 13);
	peer_fed(LINK);
	check(ws_poll(self->link.ws) & POLLIN);
	expect_text(LINK, "one");
	expect_message(LINK, OP_BINARY, "", 0);
	expect_text(LINK, "two");
	expect_end(LINK, 4321);
	wire_expect_close(WIRE, 4321);
}

/* RFC 6455 5.5.1, 1.4: what stands behind a Close is not processed. */
CASE(closing, nothing_is_processed_after_it)
{
	put_close(OUT, 1000, "");
	put(OUT, .opcode = OP_PING, .text = "no answer");
	put(OUT, .opcode = OP_TEXT, .text = "not delivered");
	put(OUT, .opcode = 7, .rsv = 7, .text = "not looked at");
	put_close(OUT, 1002, "nor this");
	self->link.shape.segmentation = SEGMENT_ALL;
	peer_write(LINK);
	expect_end(LINK, 1000);
	wire_expect_close(WIRE, 1000);
	expect_reason(self->link.ws, "");
	equal(0, ws_info(self->link.ws).rx_pings);
	equal(0, ws_info(self->link.ws).rx_messages);
	equal(WEBSOCKET_STATE_CLOSED, ws_info(self->link.ws).state);
	expect_tcp_end(LINK);
}

/* The program begins: the peer may go on with messages until its Close. */
CASE(closing, by_the_program)
{
	static const char payload[] = "\x0f\xa1" "genug für heute";
	struct websocket_info info;

	equal(sizeof(payload) - 1, ws_send(self->link.ws, OP_CLOSE, payload, sizeof(payload) - 1, 0));
	wire_expect(WIRE, OP_CLOSE, true, payload, sizeof(payload) - 1);
	equal(WEBSOCKET_STATE_CLOSE_SENT, ws_info(self->link.ws).state);
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	refuses(EPIPE, ws_send(self->link.ws, OP_CLOSE, "", 0, MSG_NOSIGNAL));
	refuses(EPIPE, ws_send(self->link.ws, OP_PING, "", 0, MSG_NOSIGNAL));
	put(OUT, .opcode = OP_TEXT, .text = "but one more");
	peer_feed(LINK);
	expect_text(LINK, "but one more");
	peer_fed(LINK);
	expect_nothing(LINK);
	put_close(OUT, 4001, "well then");
	peer_feed(LINK);
	expect_end(LINK, 4001);
	peer_fed(LINK);
	info = ws_info(self->link.ws);
	equal(4001, info.sent_close_code);
	equal(4001, info.received_close_code);
	equal(WEBSOCKET_STATE_CLOSED, info.state);
	expect_reason(self->link.ws, "well then");
	expect_tcp_end(LINK);
}

CASE(closing, by_the_program_without_code)
{
	equal(0, ws_send(self->link.ws, OP_CLOSE, NULL, 0, 0));
	wire_expect_close(WIRE, 1005);
	put_close(OUT, 0, "");
	peer_feed(LINK);
	expect_end(LINK, 1005);
	peer_fed(LINK);
	equal(1005, ws_info(self->link.ws).sent_close_code);
	equal(1005, ws_info(self->link.ws).received_close_code);
	expect_tcp_end(LINK);
}

/* Each side has sent its Close before it saw the other's. */
CASE(closing, by_both)
{
	put(OUT, .opcode = OP_TEXT, .text = "on its way");
	peer_write(LINK);
	peer_settle(LINK);
	equal(2, ws_send(self->link.ws, OP_CLOSE, "\x03\xe9", 2, 0));
	put_close(OUT, 4000, "me too");
	peer_feed(LINK);
	expect_text(LINK, "on its way");
	expect_end(LINK, 4000);
	peer_fed(LINK);
	wire_expect_close(WIRE, 1001);
	equal(1001, ws_info(self->link.ws).sent_close_code);
	equal(4000, ws_info(self->link.ws).received_close_code);
	expect_tcp_end(LINK);
}

/* What RFC 6455 forbids to receive is forbidden to send, and changes nothing. */
CASE(closing, by_the_program_with_bad_payload)
{
	unsigned char *long_one = new_pattern(CONTROL_MAX + 1, 23);
	size_t i;

	memset(long_one, 'a', CONTROL_MAX + 1);
	long_one[0] = 1000 >> 8;
	long_one[1] = (unsigned char)1000;
	for (i = 0; i < ARRAY_SIZE(bad_codes); i++) {
		unsigned char payload[2] = { bad_codes[i] >> 8, bad_codes[i] };

		refuses(EINVAL, ws_send(self->link.ws, OP_CLOSE, payload, 2, 0));
	}
	refuses(EINVAL, ws_send(self->link.ws, OP_CLOSE, "\x03", 1, 0));
	refuses(EINVAL, ws_send(self->link.ws, OP_CLOSE, "\x03\xe8\xff", 3, 0));
	refuses(EINVAL, ws_send(self->link.ws, OP_CLOSE, "\x03\xe8 cut \xe2\x82", 9, 0));
	refuses(EINVAL, ws_send(self->link.ws, OP_CLOSE, "\x03\xe8", 2, MSG_MORE));
	refuses(EMSGSIZE, ws_send(self->link.ws, OP_CLOSE, long_one, CONTROL_MAX + 1, 0));
	equal(WEBSOCKET_STATE_OPEN, ws_info(self->link.ws).state);
	equal(0, ws_info(self->link.ws).sent_close_code);
	peer_expect_silence(LINK);
	equal(CONTROL_MAX, ws_send(self->link.ws, OP_CLOSE, long_one, CONTROL_MAX, 0));
	wire_expect(WIRE, OP_CLOSE, true, long_one, CONTROL_MAX);
	free(long_one);
}

/* Fragments of a message that stays open may be followed by a Close. */
CASE(closing, in_an_open_message)
{
	equal(4, ws_send(self->link.ws, OP_TEXT, "open", 4, MSG_MORE));
	put_close(OUT, 1001, "leaving");
	peer_feed(LINK);
	expect_end(LINK, 1001);
	peer_fed(LINK);
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.opcode != OP_CLOSE);
	refuses(EPIPE, ws_send(self->link.ws, 0, " never closed", 13, MSG_NOSIGNAL));
	expect_tcp_end(LINK);
}

static volatile sig_atomic_t sigpipes;

static void on_sigpipe(int signal)
{
	(void)signal;
	sigpipes++;
}

CASE(closing, sigpipe_unless_unwanted)
{
	struct sigaction action = { .sa_handler = on_sigpipe };

	must(sigaction(SIGPIPE, &action, NULL));
	put_close(OUT, 1000, "");
	peer_feed(LINK);
	expect_end(LINK, 1000);
	peer_fed(LINK);
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	equal(0, sigpipes);
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, 0));
	equal(1, sigpipes);
	refuses(EPIPE, write(self->link.ws, "x", 1));
	equal(2, sigpipes);
}

CASE(closing, reason_in_any_length)
{
	char buffer[64];
	socklen_t len, i;

	put_close(OUT, 1000, "0123456789");
	peer_feed(LINK);
	expect_end(LINK, 1000);
	peer_fed(LINK);
	for (i = 0; i < 20; i++) {
		memset(buffer, '#', sizeof(buffer));
		len = i;
		must(getsockopt(self->link.ws, SOL_WEBSOCKET, WEBSOCKET_CLOSE_REASON, buffer, &len));
		equal(i < 10 ? i : 10, len);
		check(!memcmp(buffer, "0123456789", len) && buffer[len] == '#');
	}
}

SELFTEST_MAIN
