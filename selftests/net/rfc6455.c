// SPDX-License-Identifier: GPL-2.0
/*
 * What RFC 6455 asks of an endpoint over time, and no other program shows: fresh keys for control frames, which side
 * ends the TCP connection and when, a Close that nobody answers, a Close in the middle of a send, silence after a
 * failure.
 * rfc6455.tsv lists all that it asks, and which test shows it.
 */
#include <time.h>

#include "shapes.h"

FIXTURE_ROLES(rfc6455);

/* 5.3: control frames too; wire_read() refuses a frame that is masked by the wrong side, or not by the right one. */
CASE(rfc6455, control_frames_have_fresh_keys)
{
	enum { FRAMES = 48 };
	__u32 keys[FRAMES];
	int i, k;

	for (i = 0; i < FRAMES; i++) {
		if (i % 3 == 2) {
			put(OUT, .opcode = OP_PING, .text = "hello");
			peer_write(LINK);
		} else {
			equal(5, ws_send(self->link.ws, i % 3 ? OP_PONG : OP_PING, "hello", 5, 0));
		}
		wire_expect(WIRE, i % 3 ? OP_PONG : OP_PING, true, "hello", 5);
		equal(variant->shape.client, self->link.wire.seen.masked);
		keys[i] = self->link.wire.seen.key;
		for (k = 0; k < i && variant->shape.client; k++)
			check(keys[k] != keys[i]);
	}
}

/* 5.5.1, 7.1.1: the server ends the TCP connection at once, though its program has not read yet. */
CASE(rfc6455, server_ends_tcp_at_once)
{
	char byte;

	put(OUT, .opcode = OP_TEXT, .text = "unread");
	put_close(OUT, 1001, "");
	peer_write(LINK);
	wire_expect_close(WIRE, 1001);
	if (variant->shape.client) {
		peer_settle(LINK);
		refuses(EAGAIN, recv(self->link.peer, &byte, 1, MSG_DONTWAIT));
	} else {
		wire_expect_end(WIRE);
	}
	expect_text(LINK, "unread");
	expect_end(LINK, 1001);
}

/* 5.5.1, 7.1.1: the client waits for the server's FIN, but not for ever. */
CASE(rfc6455, client_goes_ahead_without_fin)
{
	double start = seconds();

	link_configure(LINK, &(struct websocket_config){ .close_timeout_ms = 300 });
	put_close(OUT, 1000, "");
	peer_write(LINK);
	wire_expect_close(WIRE, 1000);
	expect_end(LINK, 1000);
	wire_expect_end(WIRE);
	if (variant->shape.client && seconds() - start < 0.25)
		fail("FIN after %.0f ms", (seconds() - start) * 1000);
	equal(WEBSOCKET_STATE_CLOSED, ws_info(self->link.ws).state);
	equal(0, ws_info(self->link.ws).error);
	expect_end(LINK, 1000);
}

/* 5.5.2: pings are answered until the peer's Close comes, also behind our own. */
CASE(rfc6455, pings_are_answered_until_the_peers_close)
{
	int i;

	equal(2, ws_send(self->link.ws, OP_CLOSE, "\x03\xe8", 2, 0));
	wire_expect_close(WIRE, 1000);
	for (i = 0; i < 5; i++) {
		put(OUT, .opcode = OP_PING, .payload = &i, .len = sizeof(i));
		peer_write(LINK);
		self->link.wire.closed = false;		/* no data follows a Close, this may */
		wire_expect(WIRE, OP_PONG, true, &i, sizeof(i));
	}
	put_close(OUT, 1000, "");
	put(OUT, .opcode = OP_PING, .text = "no answer");
	self->link.shape.segmentation = SEGMENT_ALL;
	peer_write(LINK);
	expect_end(LINK, 1000);
	link_close_ws(LINK);
	wire_expect_end(WIRE);
}

/* 7.1.7: without the peer's Close the connection fails. Its messages are still read. */
CASE(rfc6455, close_is_never_answered)
{
	struct websocket_info info;

	link_configure(LINK, &(struct websocket_config){ .close_timeout_ms = 300 });
	put(OUT, .opcode = OP_TEXT, .text = "before");
	peer_write(LINK);
	peer_settle(LINK);
	equal(2, ws_send(self->link.ws, OP_CLOSE, "\x03\xe8", 2, 0));
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
	ws_wait(self->link.ws, POLLHUP);
	expect_text(LINK, "before");
	expect_error(LINK, ETIMEDOUT);
	check(ws_poll(self->link.ws) & POLLERR);
	refuses(ETIMEDOUT, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	info = ws_info(self->link.ws);
	equal(WEBSOCKET_STATE_FAILED, info.state);
	equal(ETIMEDOUT, info.error);
	equal(1000, info.sent_close_code);
	equal(0, info.received_close_code);
}

/* 7.1.7: both roles send Close and end TCP; nothing that comes afterwards is looked at, a Close neither. */
CASE(rfc6455, nothing_is_processed_after_a_failure)
{
	struct websocket_info info;

	put(OUT, .opcode = OP_TEXT, .text = "complete");
	put(OUT, .opcode = OP_TEXT, .rsv = 2, .text = "broken");
	put(OUT, .opcode = OP_PING, .text = "no answer");
	put(OUT, .opcode = OP_TEXT, .text = "not delivered");
	put_close(OUT, 1000, "not looked at");
	self->link.shape.segmentation = SEGMENT_ALL;
	peer_write(LINK);
	expect_text(LINK, "complete");
	expect_failure(LINK, EPROTO, 1002);
	wire_expect_end(WIRE);
	info = ws_info(self->link.ws);
	equal(1, info.rx_messages);
	equal(0, info.rx_pings);
	equal(0, info.received_close_code);
	equal(0, info.close_reason_len);
}

struct sender {
	pthread_t	thread;
	struct link	*link;
	unsigned char	*bytes;
	size_t		len;
	ssize_t		n;
	int		error;
};

static void *send_all(void *argument)
{
	struct sender *s = argument;

	s->n = ws_send(s->link->ws, OP_BINARY, s->bytes, s->len, MSG_NOSIGNAL);
	s->error = s->n == -1 ? errno : 0;
	return NULL;
}

/* 6.1: when the connection leaves the state OPEN, a send that is under way ends. 5.5.1: Close follows whole frames. */
CASE(rfc6455, close_comes_during_a_send)
{
	struct sender s = { .link = LINK, .len = 4 << 20 };
	size_t have = 0;

	s.bytes = new_pattern(s.len, 80);
	link_start_narrow(LINK, 16384);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	check(!pthread_create(&s.thread, NULL, send_all, &s));
	while (!ws_info(self->link.ws).tx_bytes || ws_poll(self->link.ws) & POLLOUT)
		usleep(1000);
	put_close(OUT, 1001, "");
	peer_write(LINK);
	check(!pthread_join(s.thread, NULL));
	if (s.n == -1)
		equal(EPIPE, s.error);
	else
		check(s.n > 0 && (size_t)s.n < s.len);
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	while (wire_read(WIRE) == WIRE_FRAME && self->link.wire.seen.opcode != OP_CLOSE) {
		check(!self->link.wire.seen.fin && have + self->link.wire.seen.len <= s.len);
		check(!memcmp(s.bytes + have, self->link.wire.seen.payload, self->link.wire.seen.len));
		have += self->link.wire.seen.len;
	}
	equal(OP_CLOSE, self->link.wire.seen.opcode);
	equal(s.n == -1 ? 0 : s.n, have);
	expect_end(LINK, 1001);
	free(s.bytes);
}

/* 5.4: what one thread leaves open is not mixed with another message, whoever sends it, until it is finished. */
CASE(rfc6455, messages_are_not_interleaved)
{
	equal(3, ws_send(self->link.ws, OP_TEXT, "one", 3, MSG_MORE));
	refuses(EINVAL, ws_send(self->link.ws, OP_BINARY, "two", 3, 0));
	equal(0, ws_send(self->link.ws, OP_PING, NULL, 0, 0));
	equal(0, ws_send(self->link.ws, OP_TEXT, NULL, 0, 0));
	equal(3, ws_send(self->link.ws, OP_BINARY, "two", 3, 0));
	wire_expect_message(WIRE, OP_TEXT, "one", 3);
	wire_expect(WIRE, OP_BINARY, true, "two", 3);
	equal(1, ws_info(self->link.ws).tx_pings);
}

SELFTEST_MAIN
