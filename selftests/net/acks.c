// SPDX-License-Identifier: GPL-2.0
/*
 * Messages of many small segments, for whose acknowledgements the peer's TCP waits: nobody reads before a message is complete, and all the
 * same none of them is acknowledged so late that it costs time.
 */
#include "veth.h"

FIXTURE(acks) { struct link link; };

FIXTURE_SETUP(acks)
{
	veth_open(LINK, false, false, (const __u32[]){ ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, 0 });
}

FIXTURE_TEARDOWN(acks)
{
	link_close(LINK);
}

/* Seconds for some messages that each begin with a small congestion window and are answered. */
static double time_of(struct link *l, unsigned char opcode)
{
	enum { LEN = 60000 };
	static char bytes[LEN];
	double all = 0;
	int i;

	memset(bytes, 'x', LEN);
	for (i = 0; i < 8; i++) {
		double begin;

		usleep(400000);
		put(&l->out, .opcode = opcode, .payload = bytes, .len = LEN);
		begin = seconds();
		peer_feed(l);
		expect_message(l, opcode, bytes, LEN);
		all += seconds() - begin;
		peer_fed(l);
		equal(2, ws_send(l->ws, OP_TEXT, "ok", 2, 0));
		wire_expect(&l->wire, OP_TEXT, true, "ok", 2);
	}
	return all;
}

/* A busy machine may be slow three times in a row, but not by 40 ms a message each time. */
CASE(acks, text_as_binary)
{
	double text = 0, binary = 0;
	int i;

	time_of(LINK, OP_BINARY);
	for (i = 0; i < 3; i++) {
		binary = time_of(LINK, OP_BINARY);
		text = time_of(LINK, OP_TEXT);
		if (text < 2 * binary + 0.1)
			return;
	}
	fail("text %.3f s, binary %.3f s", text, binary);
}

SELFTEST_MAIN
