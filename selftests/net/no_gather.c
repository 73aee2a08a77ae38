// SPDX-License-Identifier: GPL-2.0
/*
 * A route without scatter-gather: what TCP is handed as pages it copies, in 6.12 and 7.3 into the page fragment of the task in which
 * they lie. Such a route needs a device without it, and something that keeps TCP from cutting segments late, as TCP_MD5SIG does: for a
 * socket that connects, for an accepted one TCP asks the device before it looks at the keys.
 */
#include "intact.h"
#include "veth.h"

FIXTURE(no_gather) { struct link link; };
FIXTURE_VARIANT(no_gather) { bool md5, client; };
FIXTURE_VARIANT_ADD(no_gather, server) { .md5 = true };
FIXTURE_VARIANT_ADD(no_gather, client) { .md5 = true, .client = true };
FIXTURE_VARIANT_ADD(no_gather, segments_cut_late) { .md5 = false };

FIXTURE_SETUP(no_gather)
{
	veth_open(LINK, variant->client, variant->md5, (const __u32[]){ ETHTOOL_SSG, 0 });
}

FIXTURE_TEARDOWN(no_gather)
{
	link_close(LINK);
}

CASE(no_gather, messages_of_all_sizes)
{
	unsigned char *bytes = new_pattern(40020, 41);
	int round, size;

	for (round = 0; round < 20; round++)
		for (size = 1; size < 40000; size = size * 3 + round) {
			equal(size, ws_send(self->link.ws, OP_BINARY, bytes + round, size, 0));
			wire_expect_message(WIRE, OP_BINARY, bytes + round, size);
		}
	free(bytes);
}

/* Several are on their way at a time, and the task sends on other sockets from the same fragment. */
CASE(no_gather, bursts)
{
	unsigned char *bytes = new_pattern(3000, 42);
	int round, i, n;

	for (round = 0; round < 60; round++) {
		for (i = 0; i < 8; i++)
			equal(100 + 300 * i, ws_send(self->link.ws, OP_BINARY, bytes + i, 100 + 300 * i, 0));
		for (i = 0; i < 8; i++) {
			n = 100 + 300 * i;
			wire_expect(WIRE, OP_BINARY, true, bytes + i, n);
		}
	}
	free(bytes);
}

CASE(no_gather, a_batch)
{
	struct websocket_config config = { .flags = WEBSOCKET_F_BATCH };
	unsigned char *bytes = new_pattern(64 * 700, 43);
	struct websocket_batch b[64];
	int round, i;

	link_configure(LINK, &config);
	for (i = 0; i < 64; i++)
		b[i] = (struct websocket_batch){ .len = 700, .opcode = OP_BINARY, .flags = WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END };
	for (round = 0; round < 10; round++) {
		equal(64 * 700, ws_send_batch(self->link.ws, bytes, 64 * 700, b, sizeof(b), 0));
		for (i = 0; i < 64; i++)
			wire_expect(WIRE, OP_BINARY, true, bytes + i * 700, 700);
	}
	free(bytes);
}

CASE(no_gather, control_frames)
{
	int i;

	for (i = 0; i < 100; i++) {
		put(OUT, .opcode = OP_PING, .text = "over there");
		put(OUT, .opcode = OP_TEXT, .text = "message");
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, "over there", 10);
		expect_text(LINK, "message");
		equal(6, ws_send(self->link.ws, OP_TEXT, "answer", 6, 0));
		wire_expect(WIRE, OP_TEXT, true, "answer", 6);
	}
}

CASE(no_gather, the_closing_handshake)
{
	intact(LINK);
	put_close(OUT, 1000, "");
	peer_write(LINK);
	expect_end(LINK, 1000);
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
}

SELFTEST_MAIN
