// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/net/websocket_stat: one counter for each way in which a connection fails, one for each other event, per network
 * namespace. Every failure counts once, in its own line and in no other.
 */
#include <fcntl.h>
#include <sched.h>

#include "shapes.h"

FIXTURE(counters) { struct link link; };
FIXTURE_VARIANT(counters) { struct shape shape; };
SHAPE(counters, server, SEGMENT_FRAME, IPV4, false, false);
SHAPE(counters, client, SEGMENT_BYTE, IPV6, true, true);

FIXTURE_SETUP(counters)
{
	fresh_netns();
	equal(0, counter(NULL));
	link_start_default(LINK, &variant->shape);
}

FIXTURE_TEARDOWN(counters)
{
	link_close(LINK);
}

/* The sum of all failures. */
static long long failures(void)
{
	FILE *f = fopen("/proc/net/websocket_stat", "r");
	long long value, sum = 0;
	char name[64];

	check(f);
	while (fscanf(f, "%63s %lld", name, &value) == 2)
		if (!strncmp(name, "Fail", 4)) {
			if (value)
				printf("# %s %lld\n", name, value);
			sum += value;
		}
	fclose(f);
	return sum;
}

#define FAILURE(test, name, error, ...)						\
	CASE(counters, test)							\
	{									\
		__VA_ARGS__;							\
		peer_feed(LINK);						\
		expect_error(LINK, error);					\
		peer_fed(LINK);							\
		expect_error(LINK, error);					\
		equal(1, counter(name));					\
		equal(1, failures());						\
	}

FAILURE(rsv, "FailRsv", EPROTO, put(OUT, .opcode = OP_TEXT, .rsv = 2))
FAILURE(opcode, "FailOpcode", EPROTO, put(OUT, .opcode = 11))
FAILURE(mask, variant->shape.client ? "FailMasked" : "FailUnmasked", EPROTO,
	put(OUT, .opcode = OP_TEXT, .mask = variant->shape.client ? MASK_ON : MASK_OFF, .text = "x"))
FAILURE(control_fragment, "FailControlFragment", EPROTO, put(OUT, .opcode = OP_PING, .more = true))
FAILURE(control_length, "FailControlLength", EPROTO, put(OUT, .opcode = OP_PING, .announce = 126))
FAILURE(length_form, "FailLengthForm", EPROTO, put(OUT, .opcode = OP_TEXT, .encoding = LENGTH_16, .text = "x"))
FAILURE(length_top_bit, "FailLengthTopBit", EPROTO, put(OUT, .opcode = OP_BINARY, .announce = 1ULL << 63))
FAILURE(continuation, "FailContinuation", EPROTO, put(OUT, .opcode = OP_CONTINUATION))
FAILURE(interleaved, "FailInterleaved", EPROTO,
	put(OUT, .opcode = OP_TEXT, .more = true);
	put(OUT, .opcode = OP_TEXT))
FAILURE(close_length, "FailCloseLength", EPROTO, put(OUT, .opcode = OP_CLOSE, .text = "x"))
FAILURE(close_code, "FailCloseCode", EPROTO, put_close(OUT, 1005, ""))
FAILURE(close_utf8, "FailCloseUtf8", EILSEQ, put_close(OUT, 1000, "\xff"))
FAILURE(utf8, "FailUtf8", EILSEQ, put(OUT, .opcode = OP_TEXT, .text = "\xff"))
FAILURE(too_big, "FailTooBig", EMSGSIZE, put(OUT, .opcode = OP_BINARY, .announce = 2 << 20))

CASE(counters, of_the_rest)
{
	equal(1, counter("Attached"));
	equal(1, counter("Opened"));
	put(OUT, .opcode = OP_PING);
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "", 0);
	equal(1, counter("PongsSent"));
	put_close(OUT, 1000, "");
	peer_write(LINK);
	expect_end(LINK, 1000);
	equal(1, counter("ClosesReceived"));
	equal(1, counter("ClosesSent"));
	link_close_ws(LINK);
	equal(1, counter("Ended"));
	equal(0, failures());
}

CASE(counters, of_keep_alive)
{
	link_configure(LINK, &(struct websocket_config){ .ping_interval_ms = 50, .pong_timeout_ms = 20000 });
	equal(WIRE_FRAME, wire_read(WIRE));
	equal(OP_PING, self->link.wire.seen.opcode);
	link_configure(LINK, &(struct websocket_config){ 0 });
	check(counter("KeepalivePings") >= 1);
	equal(ws_info(self->link.ws).tx_pings, counter("KeepalivePings"));
	equal(0, counter("PongsSent"));
}

/* Each ping is answered, or a later one is. */
CASE(counters, of_pings_that_are_not_read)
{
	enum { PINGS = 2000 };
	unsigned char payload[CONTROL_MAX] = { 0 };
	int i, last;

	link_start_narrow(LINK, 16384);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 4096);
	for (i = 1; i <= PINGS; i++) {
		payload[0] = i;
		payload[1] = i >> 8;
		put(OUT, .opcode = OP_PING, .payload = payload, .len = sizeof(payload));
	}
	self->link.shape.segmentation = SEGMENT_FRAME;
	peer_write(LINK);
	peer_settle(LINK);
	check(counter("PongsDelayed") > 0 && counter("PingsCoalesced") > 0);
	do {
		equal(WIRE_FRAME, wire_read(WIRE));
		last = self->link.wire.seen.payload[0] | self->link.wire.seen.payload[1] << 8;
	} while (last != PINGS);
	equal(ws_info(self->link.ws).tx_pongs, counter("PongsSent"));
	equal(PINGS, counter("PongsSent") + counter("PingsCoalesced"));
	equal(0, counter("PongsLost"));
}

CASE(counters, of_messages_that_nobody_read)
{
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	peer_write(LINK);
	peer_settle(LINK);
	link_close_ws(LINK);
	equal(1, counter("ResetUnread"));
	equal(1, counter("Ended"));
	equal(0, counter("ClosesSent"));
}

CASE(counters, of_a_message_in_parts)
{
	enum { LENGTH = 200000 };
	unsigned char *bytes = new_pattern(LENGTH, 95);
	struct shape shape = variant->shape;

	shape.rcvbuf = 8192;
	shape.segmentation = SEGMENT_FRAME;
	link_close(LINK);
	link_start_default(LINK, &shape);
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 100);
	peer_write(LINK);
	expect_message(LINK, OP_BINARY, bytes, 100);
	equal(0, counter("Streamed"));
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = LENGTH);
	peer_feed(LINK);
	expect_parts(LINK, OP_BINARY, bytes, LENGTH, LENGTH);
	peer_fed(LINK);
	equal(1, counter("Streamed"));
	free(bytes);
}

/* Another namespace counts for itself. */
CASE(counters, per_namespace)
{
	equal(1, counter("Opened"));
	fresh_netns();
	equal(0, counter(NULL));
	put(OUT, .opcode = 3);
	peer_write(LINK);
	expect_error(LINK, EPROTO);
	equal(0, counter(NULL));
}

/* Row 17: a namespace that only its sockets keep; it ends with them. */
CASE(counters, row17_namespace_of_sockets_alone)
{
	int home = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)), i;

	for (i = 0; i < 8; i++) {
		must(setns(home, CLONE_NEWNET));
		fresh_netns();
		link_close(LINK);
		link_start_default(LINK, &variant->shape);
		equal(1, counter("Opened"));
		must(setns(home, CLONE_NEWNET));
		link_configure(LINK, &(struct websocket_config){ .ping_interval_ms = 60000 });
		put(OUT, .opcode = OP_TEXT, .text = "is anybody there?");
		peer_write(LINK);
		expect_text(LINK, "is anybody there?");
		equal(2, ws_send(self->link.ws, OP_TEXT, "no", 2, 0));
		wire_expect(WIRE, OP_TEXT, true, "no", 2);
		equal(1, counter("Opened"));
		/* the last words are said when no process has a socket any more */
		if (i & 1)
			link_close_peer(LINK);
		if (i & 2)
			equal(4, ws_send(self->link.ws, OP_TEXT, "open", 4, MSG_MORE));
	}
	close(home);
}

SELFTEST_MAIN
