// SPDX-License-Identifier: GPL-2.0
/*
 * Peers that want to cost much: what a connection may hold of the kernel's memory stays bounded, whatever they send or do not
 * take, and another connection works meanwhile. Pings whose pongs nobody reads are in ping.c, resets in every state in
 * segments.c. TIMES=n in the environment makes each n times as much. time limit: 300 s
 */
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "intact.h"

enum {
	SMALL = 64 << 10,	/* for a connection on which nothing is unread: a few buffers that one segment may have brought */
};

/* long enough for any TIMES */
#define ATTACK(name) TEST_F_TIMEOUT(hostile, name, 3600)

FIXTURE(hostile) { struct link link, other; __u64 usual; };
FIXTURE_VARIANT(hostile) { struct shape shape; };
SHAPE(hostile, server, SEGMENT_ALL, IPV4, false, false);
SHAPE(hostile, client, SEGMENT_ALL, IPV6, true, true);

/* Nanoseconds for a round of messages on a connection, both ends: the least of many rounds. */
static __u64 cost(struct link *l)
{
	__u64 least = ~0ULL;
	int round, i;

	for (round = 0; round < 20; round++) {
		struct timespec from, to;
		__u64 took;

		must(clock_gettime(CLOCK_MONOTONIC, &from));
		for (i = 0; i < 10; i++) {
			put(&l->out, OP_TEXT, .text = "a message of somebody else");
			peer_write(l);
			expect_text(l, "a message of somebody else");
			equal(3, ws_send(l->ws, OP_TEXT, "yes", 3, 0));
			wire_expect(&l->wire, OP_TEXT, true, "yes", 3);
		}
		must(clock_gettime(CLOCK_MONOTONIC, &to));
		took = (to.tv_sec - from.tv_sec) * 1000000000ULL + to.tv_nsec - from.tv_nsec;
		if (took < least)
			least = took;
	}
	return least;
}

FIXTURE_SETUP(hostile)
{
	link_start_default(&self->link, &variant->shape);
	link_start_default(&self->other, &variant->shape);
	self->usual = cost(&self->other);
}

FIXTURE_TEARDOWN(hostile)
{
	intact(&self->other);
	link_close(&self->other);
	link_close(&self->link);
}

static int times(int n)
{
	const char *more = getenv("TIMES");

	return more ? n * atoi(more) : n;
}

struct memory { __u32 of[SK_MEMINFO_VARS]; };

static struct memory memory(int fd)
{
	struct memory m = {};
	socklen_t len = sizeof(m);

	must(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, &m, &len));
	return m;
}

/*
 * While the attack is at its height another connection's messages cost at most twice what they did. A machine that is busy meanwhile
 * looks the same, so for 20 seconds it may be tried again.
 */
static void others_pay(struct link *other, __u64 usual)
{
	time_t until = time(NULL) + 20;
	__u64 now;

	do
		now = cost(other);
	while (now > 2 * usual && time(NULL) < until);
	printf("# %llu.%02llu times the usual cost for others\n", now / usual, now * 100 / usual % 100);
	fflush(stdout);
	if (now > 2 * usual)
		fail("%llu ns for a round of messages, %llu before", now, usual);
}

static void holds_at_most(int fd, __u32 bytes)
{
	struct memory m = memory(fd);

	if (m.of[SK_MEMINFO_RMEM_ALLOC] > bytes)
		fail("%u bytes received are kept, more than %u", m.of[SK_MEMINFO_RMEM_ALLOC], bytes);
}

/* Fragments without payload, at full rate. Behind payload that cannot be delivered yet they stay, as the bytes that they are. */
static void empty_fragments(struct link *l, const char *begins, int rounds)
{
	size_t on_the_wire = 0;
	char whole[32];
	int i;

	put(&l->out, OP_TEXT, .more = true, .text = begins);
	while (rounds--) {
		for (i = 0; i < 10000; i++)
			put(&l->out, OP_CONTINUATION, .more = true);
		on_the_wire += l->out.len;
		peer_write(l);
		peer_settle(l);
		holds_at_most(l->ws, *begins ? 2 * on_the_wire + SMALL : SMALL);
	}
	put(&l->out, OP_CONTINUATION, .text = " ends");
	peer_write(l);
	snprintf(whole, sizeof(whole), "%s ends", begins);
	expect_text(l, whole);
	holds_at_most(l->ws, SMALL);
}

ATTACK(row20_empty_fragments)
{
	empty_fragments(LINK, "", times(10));
}

ATTACK(row20_empty_fragments_behind_payload)
{
	empty_fragments(LINK, "begins and", 5);
}

/* Frames of two bytes and a mask, each a message, that nobody reads: the window closes. */
ATTACK(tiny_messages_unread)
{
	struct link *l = LINK;
	struct pollfd p = { .fd = l->peer, .events = POLLOUT };
	unsigned char frames[6000];
	size_t one = variant->shape.client ? 2 : 6, len, done = 0;
	__u64 seen = 0;
	ssize_t n;

	for (len = 0; len < sizeof(frames); len += one)
		memcpy(frames + len, variant->shape.client ? "\x82\x00" : "\x82\x80mask", one);
	do {
		n = send(l->peer, frames + done % one, sizeof(frames) - done % one, MSG_DONTWAIT);
		if (n > 0)
			done += n;
	} while (n > 0 || poll(&p, 1, 1000));
	/* as TCP would: what it has announced, and the overhead of small segments */
	holds_at_most(l->ws, 2 * memory(l->ws).of[SK_MEMINFO_RCVBUF]);
	others_pay(&self->other, self->usual);
	/* each of them is there */
	while (seen < done / one) {
		struct received r = ws_receive(l, frames, sizeof(frames), 0);

		check(!r.error && !r.n && r.record.opcode == OP_BINARY);
		seen++;
		if (seen == 2000 && !getenv("TIMES"))
			break;
	}
}

/* A frame of 2^62 bytes, of which none comes. */
ATTACK(row23_2_to_the_62_and_silence)
{
	static const unsigned char server[14] = "\x82\xff\x40", client[10] = "\x82\x7f\x40";
	struct link *l = LINK;

	link_configure(l, &(struct websocket_config){ .max_message = WEBSOCKET_NO_LIMIT });
	if (variant->shape.client)
		peer_write_raw(l, client, sizeof(client));
	else
		peer_write_raw(l, server, sizeof(server));
	peer_settle(l);
	holds_at_most(l->ws, SMALL);
	expect_nothing(l);
	equal(1ULL << 62, ws_info(l->ws).partial_bytes);
	equal(3, ws_send(l->ws, OP_TEXT, "yes", 3, 0));
	wire_expect_message(WIRE, OP_TEXT, "yes", 3);
}

/* Many connections, each a byte at a time. */
ATTACK(one_byte_at_a_time)
{
	enum { MOST = 5000, FRAME = 31 };
	static struct link links[MOST];
	static unsigned char bytes[MOST][64];
	static size_t len[MOST];
	int i, k, n = times(100);

	check(n <= MOST);
	for (i = 0; i < n; i++) {
		link_start_default(&links[i], &variant->shape);
		put(&links[i].out, OP_BINARY, .text = "these bytes come one at a time.");
		len[i] = links[i].out.len;
		check(len[i] <= sizeof(bytes[i]));
		memcpy(bytes[i], links[i].out.bytes, len[i]);
		stream_clear(&links[i].out);
	}
	for (k = 0; k < (int)len[0]; k++) {
		if (k == (int)len[0] / 2)
			others_pay(&self->other, self->usual);
		for (i = 0; i < n; i++)
			equal(1, send(links[i].peer, bytes[i] + k, 1, 0));
	}
	for (i = 0; i < n; i++) {
		struct received r;

		peer_settle(&links[i]);
		holds_at_most(links[i].ws, SMALL);
		r = ws_receive(&links[i], bytes[i], sizeof(bytes[i]), 0);
		equal(FRAME, r.n);
		link_close(&links[i]);
	}
}

/* Peers that take nothing, ever. */
ATTACK(windows_that_stay_closed)
{
	static struct link links[20];
	unsigned char *big = new_pattern(8 << 20, 1);
	int i;

	for (i = 0; i < 20; i++) {
		struct link *l = &links[i];
		struct memory m;
		ssize_t n;

		link_start_default(l, &variant->shape);
		do
			n = ws_send(l->ws, OP_BINARY, big, 8 << 20, MSG_DONTWAIT | MSG_NOSIGNAL);
		while (n > 0);
		m = memory(l->ws);
		/* TCP goes over its limit by one buffer */
		if (m.of[SK_MEMINFO_WMEM_QUEUED] > m.of[SK_MEMINFO_SNDBUF] + 2 * SMALL)
			fail("%u bytes wait to be sent, more than %u", m.of[SK_MEMINFO_WMEM_QUEUED],
			     m.of[SK_MEMINFO_SNDBUF]);
	}
	others_pay(&self->other, self->usual);
	for (i = 0; i < 20; i++)
		link_close(&links[i]);
	free(big);
}

struct flood { struct link *l; bool begin, stop; };

/*
 * Pings as fast as they can be sent; their pongs are read now and then, or the window would close. Until it begins it takes as much of
 * its CPU: what that alone costs others, where the guest's CPUs share one, is not the module's.
 */
static void *flood(void *argument)
{
	static const unsigned char server[6] = { 0x89, 0x80 }, client[2] = { 0x89 };
	struct flood *f = argument;
	unsigned char frames[6000], pongs[6000];
	size_t one = f->l->shape.client ? 2 : 6, at;

	for (at = 0; at < sizeof(frames); at += one)
		memcpy(frames + at, f->l->shape.client ? client : server, one);
	while (!__atomic_load_n(&f->begin, __ATOMIC_RELAXED))
		;
	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		send(f->l->peer, frames, sizeof(frames), 0);
		recv(f->l->peer, pongs, sizeof(pongs), MSG_DONTWAIT);
	}
	return NULL;
}

/* Row 39 from the point of view of others. */
ATTACK(row39_others_during_a_flood)
{
	struct flood f = { .l = LINK };
	pthread_t thread;

	equal(0, pthread_create(&thread, NULL, flood, &f));
	self->usual = cost(&self->other);
	__atomic_store_n(&f.begin, true, __ATOMIC_RELAXED);
	while (ws_info(self->link.ws).rx_pings < 10000)
		usleep(1000);
	others_pay(&self->other, self->usual);
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

SELFTEST_MAIN
