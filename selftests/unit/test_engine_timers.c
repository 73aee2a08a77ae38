// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The user-space engine's timers: Close and a program that reads slowly, keep-alive and a peer that does. */
#include <poll.h>

#include "fake.h"

/* More than is read ahead, then Close; the program's reads. */
static void begin_slow_reader(void)
{
	static const u8 text[1000] = { 'a' };

	fake_begin(&(struct websocket_config){ .close_timeout_ms = 1000 });
	fake_frames(WS_OP_BINARY, text, sizeof(text), 600);
	fake_frame(WS_OP_CLOSE, "\x03\xe8", 2);
}

static void expect_all(int left)
{
	struct kws_message msg;
	ssize_t n;

	while ((n = fake_recv(MSG_DONTWAIT, &msg)) == 1000) {
		fake.ms += 100;
		engine_run(fake.e);
		left--;
	}
	CHECK(n == 0 && kws_is_end(&msg) && msg.close_code == 1000, "%zd, code %u", n, msg.close_code);
	CHECK(!left, "%d messages are missing", left);
}

static void close_behind_what_nobody_reads(void)
{
	begin_slow_reader();
	engine_run(fake.e);
	fake_send_close();
	CHECK(engine_timeout(fake.e) == 1000, "%d ms", engine_timeout(fake.e));
	for (int i = 0; i < 5; i++) {
		fake.ms += 1000;
		engine_run(fake.e);
		CHECK(fake.e->state == WEBSOCKET_STATE_CLOSE_SENT, "state %u", fake.e->state);
	}
	expect_all(600);
	fake_end();
}

/* TLS gives a record at a time, and not what is behind it. */
static void close_behind_the_next_record(void)
{
	begin_slow_reader();
	fake.in_most = 16384;
	engine_run(fake.e);
	fake_send_close();
	fake.ms += 1000;
	engine_run(fake.e);
	CHECK(fake.e->state == WEBSOCKET_STATE_CLOSE_SENT, "state %u", fake.e->state);
	expect_all(600);
	fake_end();
}

/* The peer could not send Close before there was room. */
static void time_for_close_begins_with_room(void)
{
	struct kws_message msg;

	begin_slow_reader();
	/* its last 330 messages and its Close come later */
	fake.in_len -= 330 * 1004 + 4;
	engine_run(fake.e);
	fake_send_close();
	fake.ms += 900;
	for (int i = 0; i < 200; i++)
		CHECK(fake_recv(MSG_DONTWAIT, &msg) == 1000, "message");
	fake.ms += 900;
	engine_run(fake.e);
	CHECK(fake.e->state == WEBSOCKET_STATE_CLOSE_SENT, "state %u", fake.e->state);
	fake.ms += 101;
	engine_run(fake.e);
	CHECK(fake.e->error == ETIMEDOUT, "error %d", fake.e->error);
	fake_end();
}

static void no_close_behind_what_is_read(void)
{
	struct kws_message msg;

	fake_begin(&(struct websocket_config){ .close_timeout_ms = 1000 });
	fake_frame(WS_OP_TEXT, "unread", 6);
	engine_run(fake.e);
	fake_send_close();
	fake.ms += 1000;
	engine_run(fake.e);
	CHECK(fake.e->error == ETIMEDOUT, "error %d", fake.e->error);
	CHECK(fake_recv(0, &msg) == 6, "the message");
	CHECK(fake_recv(0, &msg) == -ETIMEDOUT, "the end");
	fake_end();
}

/* A peer that sends on and does not close is not waited for because more of it has come. */
static void messages_behind_close(void)
{
	fake_begin(&(struct websocket_config){ .close_timeout_ms = 1000 });
	fake_frames(WS_OP_TEXT, "x", 1, 10);
	fake.in_most = 3;
	engine_run(fake.e);
	fake_send_close();
	fake.ms += 1000;
	engine_run(fake.e);
	CHECK(fake.e->error == ETIMEDOUT, "error %d", fake.e->error);
	fake_end();
}

/*
 * Keep-alive and a peer that takes little
 */

static void begin_slow_peer(void)
{
	fake_begin(&(struct websocket_config){ .ping_interval_ms = 100, .pong_timeout_ms = 1000 });
	fake.room = 10;
	CHECK(fake_send(WS_OP_BINARY, 1000, 0) == 1000, "send");
	fake.ms += 100;
	engine_run(fake.e);
	CHECK(!fake.e->tx_pings && engine_events(fake.e) & POLLOUT, "%u pings", fake.e->tx_pings);
}

/* RFC 6455 5.5.2: a masked ping of 4 bytes */
static bool ping_is_last(void)
{
	return fake.out_len >= 10 && fake.out[fake.out_len - 10] == (0x80 | WS_OP_PING) && fake.out[fake.out_len - 9] == 0x84;
}

static void slow_peer(void)
{
	begin_slow_peer();
	for (int i = 0; i < 9; i++) {
		fake.ms += 900;
		fake.room = 100;
		engine_run(fake.e);
		CHECK(fake.e->state == WEBSOCKET_STATE_OPEN && !fake.e->error, "round %d, error %d", i, fake.e->error);
	}
	CHECK(!ping_is_last(), "too early");
	fake.ms += 900;
	fake.room = SIZE_MAX;
	engine_run(fake.e);
	CHECK(fake.e->tx_pings == 1 && ping_is_last(), "%u pings", fake.e->tx_pings);
	/* its time begins when it has left */
	fake.ms += 999;
	engine_run(fake.e);
	CHECK(!fake.e->error, "error %d", fake.e->error);
	fake.ms++;
	engine_run(fake.e);
	CHECK(fake.e->error == ETIMEDOUT, "error %d", fake.e->error);
	fake_end();
}

/* Nothing waits before it, but there is no room. */
static void refused_ping(void)
{
	fake_begin(&(struct websocket_config){ .ping_interval_ms = 100, .pong_timeout_ms = 1000 });
	fake.refuse = 3;
	fake.ms += 100;
	engine_run(fake.e);
	CHECK(!fake.e->tx_pings && engine_events(fake.e) & POLLOUT, "%u pings", fake.e->tx_pings);
	for (int i = 0; i < 3; i++)
		engine_run(fake.e);
	CHECK(fake.e->tx_pings == 1 && ping_is_last(), "%u pings", fake.e->tx_pings);
	fake_end();
}

static void peer_that_takes_nothing(void)
{
	begin_slow_peer();
	fake.ms += 999;
	engine_run(fake.e);
	CHECK(!fake.e->error, "error %d", fake.e->error);
	fake.ms++;
	engine_run(fake.e);
	CHECK(fake.e->error == ETIMEDOUT, "error %d", fake.e->error);
	fake_end();
}

static const struct tap_test tests[] = {
	{ "Close behind what nobody reads", close_behind_what_nobody_reads },
	{ "Close behind the next record", close_behind_the_next_record },
	{ "the time for Close begins when there is room", time_for_close_begins_with_room },
	{ "no Close behind a message that nobody reads", no_close_behind_what_is_read },
	{ "messages behind our Close, and none of the peer's", messages_behind_close },
	{ "a slow peer is not a dead one, and gets its ping", slow_peer },
	{ "a ping that finds no room is sent later", refused_ping },
	{ "a peer that takes nothing is dead", peer_that_takes_nothing },
};

TAP_MAIN(tests)
