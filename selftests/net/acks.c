// SPDX-License-Identifier: GPL-2.0
/*
 * Messages of many small segments, for whose acknowledgements the peer's TCP waits: nobody reads before a message is complete, and all the
 * same none of them waits for the timer of delayed ACKs.
 */
#include "veth.h"

#ifndef SIOCGSKNS
#define SIOCGSKNS	0x894c
#endif

#define MESSAGES	8

FIXTURE(acks) { struct link link; };

FIXTURE_SETUP(acks)
{
	int ns;

	veth_open(LINK, false, false, (const __u32[]){ ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, 0 });
	/* whose counters are looked at */
	ns = must(ioctl(self->link.ws, SIOCGSKNS));
	must(setns(ns, CLONE_NEWNET));
	close(ns);
}

FIXTURE_TEARDOWN(acks)
{
	link_close(LINK);
}

/* ACKs that the timer has sent, in this namespace: TcpExt has a line of names, then one of numbers. */
static long delayed_acks(void)
{
	char names[8192], numbers[8192], *name, *number, *at_name, *at_number;
	FILE *f = fopen("/proc/thread-self/net/netstat", "r");

	check(f && fgets(names, sizeof(names), f) && fgets(numbers, sizeof(numbers), f));
	fclose(f);
	name = strtok_r(names, " \n", &at_name);
	number = strtok_r(numbers, " \n", &at_number);
	while (name && number && strcmp(name, "DelayedACKs")) {
		name = strtok_r(NULL, " \n", &at_name);
		number = strtok_r(NULL, " \n", &at_number);
	}
	check(name && number);
	return atol(number);
}

/* Each begins with a small congestion window, for nothing was sent for a while, and is answered. */
static long delayed_by(struct link *l, unsigned char opcode)
{
	enum { LEN = 60000 };
	static char bytes[LEN];
	long before = delayed_acks();
	int i;

	memset(bytes, 'x', LEN);
	for (i = 0; i < MESSAGES; i++) {
		usleep(400000);
		put(&l->out, .opcode = opcode, .payload = bytes, .len = LEN);
		peer_feed(l);
		expect_message(l, opcode, bytes, LEN);
		peer_fed(l);
		equal(2, ws_send(l->ws, OP_TEXT, "ok", 2, 0));
		wire_expect(&l->wire, OP_TEXT, true, "ok", 2);
	}
	return delayed_acks() - before;
}

/* A machine may be too busy to answer before the timer does, but not three times in a row for each of them. */
static void in_time(struct link *l, unsigned char opcode)
{
	long n = 0;
	int i;

	delayed_by(l, OP_BINARY);
	for (i = 0; i < 3; i++) {
		n = delayed_by(l, opcode);
		if (n < MESSAGES / 2)
			return;
	}
	fail("%ld delayed ACKs for %d messages", n, MESSAGES);
}

CASE(acks, text)
{
	in_time(LINK, OP_TEXT);
}

CASE(acks, binary)
{
	in_time(LINK, OP_BINARY);
}

SELFTEST_MAIN
