// SPDX-License-Identifier: GPL-2.0
/*
 * What the module does by itself, when a packet comes or a timer fires, with each of its allocations failing once: what the peer
 * is owed comes later, or the connection ends in good order. time limit: 600 s
 */
#include "inject.h"
#include "shapes.h"

#define UNACKED	16	/* pongs; control.c */
#define PLENTY	900	/* seconds for one test */

FIXTURE(arrives) { struct link link; };
FIXTURE_VARIANT(arrives) { struct shape shape; };
SHAPE(arrives, server, SEGMENT_ALL, IPV6, false, false);
SHAPE(arrives, client, SEGMENT_ALL, IPV4, false, true);
FIXTURE_SETUP(arrives)
{
	inject_setup();
	self->link.shape = variant->shape;
}
FIXTURE_TEARDOWN(arrives) { }

static void talk(struct link *l)
{
	equal(7, ws_send(l->ws, OP_TEXT, "outward", 7, MSG_NOSIGNAL));
	wire_expect_message(&l->wire, OP_TEXT, "outward", 7);
	put(&l->out, OP_BINARY, .text = "inward");
	peer_write(l);
	expect_message(l, OP_BINARY, "inward", 6);
}

/* Enough of them for a new page of control frames. */
TEST_F_TIMEOUT(arrives, pings, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		char payload[125];
		int i;

		link_start_default(l, &variant->shape);
		nth_arm(&at);
		for (i = 0; i < 36; i++) {
			memset(payload, 'a' + i, sizeof(payload));
			put(OUT, OP_PING, .payload = payload, .len = sizeof(payload));
			peer_write(l);
		}
		peer_settle(l);
		do {
			equal(WIRE_FRAME, wire_read(WIRE));
			equal(OP_PONG, WIRE->seen.opcode);
		} while (memcmp(WIRE->seen.payload, payload, sizeof(payload)));
		nth_disarm(&at);
		talk(l);
		link_close(l);
	}
}

/* While pongs cannot go, each ping replaces the one that waits. */
TEST_F_TIMEOUT(arrives, pings_unanswered, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		unsigned char *big = new_pattern(4 << 20, 1);
		ssize_t n;
		int i;

		link_start_default(l, &variant->shape);
		/* nothing can leave: the peer does not read */
		do
			n = ws_send(l->ws, OP_BINARY, big, 4 << 20, MSG_DONTWAIT | MSG_NOSIGNAL);
		while (n > 0 || !ws_stuck(l));
		/* as many pongs as may be unacknowledged, then one that has to wait */
		for (i = 0; i < UNACKED; i++) {
			put(OUT, OP_PING, .text = "early");
			peer_write(l);
		}
		peer_settle(l);
		nth_arm(&at);
		put(OUT, OP_PING, .text = "late");
		put(OUT, OP_TEXT, .text = "still here");
		peer_write(l);
		peer_settle(l);
		nth_disarm(&at);
		expect_text(l, "still here");
		link_close(l);
		free(big);
	}
}

TEST_F_TIMEOUT(arrives, close, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		char reason[128];
		socklen_t len = sizeof(reason);

		link_start_default(l, &variant->shape);
		nth_arm(&at);
		put_close(OUT, 3000, "a reason");
		peer_write(l);
		wire_expect_close(WIRE, 3000);
		nth_disarm(&at);
		expect_end(l, 3000);
		must(getsockopt(l->ws, SOL_WEBSOCKET, WEBSOCKET_CLOSE_REASON, reason, &len));
		check(len == 8 || (at.hit && !len));
		link_close(l);
	}
}

TEST_F_TIMEOUT(arrives, nonsense, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		link_start_default(l, &variant->shape);
		nth_arm(&at);
		put(OUT, 3, .text = "bad");
		peer_write(l);
		wire_expect_close(WIRE, 1002);
		nth_disarm(&at);
		expect_error(l, EPROTO);
		link_close(l);
	}
}

TEST_F_TIMEOUT(arrives, time_for_a_ping, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		struct websocket_config config = { .ping_interval_ms = 50, .pong_timeout_ms = 20000 };

		link_open(l, &variant->shape);
		link_start(l, &config);
		nth_arm(&at);
		equal(WIRE_FRAME, wire_read(WIRE));
		nth_disarm(&at);
		equal(OP_PING, WIRE->seen.opcode);
		link_close(l);
	}
}

/* The beginning of a control frame keeps a large buffer: it is copied into a small one, if there is memory. */
TEST_F_TIMEOUT(arrives, tiny_frames, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		int i;

		link_start_default(l, &variant->shape);
		for (i = 0; i < (variant->shape.client ? 90000 : 30000); i++)
			put(OUT, OP_PONG, .len = 0);
		put(OUT, OP_TEXT, .text = "behind them");
		nth_arm(&at);
		peer_feed(l);
		peer_fed(l);
		peer_settle(l);
		nth_disarm(&at);
		expect_text(l, "behind them");
		talk(l);
		link_close(l);
	}
}

/* The timer may fire before the function that sets it has returned. */
TEST_F_TIMEOUT(arrives, timer_that_fires_at_once, PLENTY)
{
	struct websocket_config config = { .ping_interval_ms = 1, .pong_timeout_ms = 20000 };
	struct link *l = LINK;

	link_open(l, &variant->shape);
	inject_stall(30);
	link_start(l, &config);
	inject_stall(0);
	config.ping_interval_ms = 0;
	link_configure(l, &config);
	put(OUT, OP_TEXT, .text = "still here");
	peer_write(l);
	expect_text(l, "still here");
	link_close(l);
}

SELFTEST_MAIN
