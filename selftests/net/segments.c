// SPDX-License-Identifier: GPL-2.0
/*
 * What only a peer that makes its own TCP segments can do (tunpeer.h): overlapping retransmits, holes that are filled late,
 * a queue that TCP collapses and prunes, a window that opens by single bytes, resets in every state.
 * time limit: 900 s
 */
#include <time.h>

#include "shapes.h"
#include "tunpeer.h"

FIXTURE(segments) { struct tunpeer p; struct link link; };

FIXTURE_SETUP(segments)
{
	self->link.shape = (struct shape){ .segmentation = SEGMENT_ALL, .nonblocking = true };
	stream_init(OUT, true);
	self->p.fd = -1;
}

FIXTURE_TEARDOWN(segments)
{
	tunpeer_free(&self->p);
	stream_free(OUT);
	wire_free(WIRE);
}

#define PEER	(&self->p)

static const struct websocket_config defaults;

static void connect_peer(struct tunpeer *p, struct link *l)
{
	tunpeer_free(p);
	tunpeer_connect(p);
	l->ws = p->fd;
	must(ulp_attach(l->ws));
	must(ws_configure(l->ws, &defaults));
}

/* A line of /proc/net/netstat. */
static long long tcp_counter(const char *name)
{
	static char names[8192], values[8192];
	FILE *f = fopen("/proc/net/netstat", "r");
	char *n, *v, *end_n, *end_v;

	check(f && fgets(names, sizeof(names), f) && fgets(values, sizeof(values), f));
	fclose(f);
	n = strtok_r(names, " \n", &end_n);
	v = strtok_r(values, " \n", &end_v);
	while (n && v && strcmp(n, name)) {
		n = strtok_r(NULL, " \n", &end_n);
		v = strtok_r(NULL, " \n", &end_v);
	}
	check(n && v);
	return atoll(v);
}

/* Two messages and a ping; every position in them is inside a header, a key or a payload. */
static void put_sample(struct stream *s)
{
	put(s, .opcode = OP_TEXT, .more = true, .text = "one");
	put(s, .opcode = OP_PING, .text = "P");
	put(s, .opcode = OP_CONTINUATION, .text = "!");
	put(s, .opcode = OP_BINARY, .text = "two");
}

static void expect_sample(struct link *l)
{
	expect_message(l, OP_TEXT, "one!", 4);
	expect_message(l, OP_BINARY, "two", 3);
}

/* Row 27, pitfall 6: what was there first counts; the bytes of the second version are never seen. */
CASE(segments, row27_pitfall6_retransmit_with_other_bytes)
{
	unsigned char other[128];
	size_t cut, back, len, i;
	__u32 base = 0;

	tunpeer_world(0);
	connect_peer(PEER, LINK);
	put_sample(OUT);
	len = self->link.out.len;
	for (cut = 1; cut < len; cut++)
		for (back = 1; back <= cut && back < 9; back += 1 + (back > 2)) {
			memcpy(other, self->link.out.bytes + cut - back, len - cut + back);
			for (i = 0; i < back; i++)
				other[i] ^= 0x5a + i;
			tunpeer_send(PEER, base, self->link.out.bytes, cut);
			tunpeer_send(PEER, base + cut - back, other, len - cut + back);
			expect_sample(LINK);
			base += len;
			tunpeer_settle(PEER, base);
		}
	expect_nothing(LINK);
}

/* The second version is a whole message in one piece. The first has the length all the same. */
CASE(segments, row27_pitfall6_retransmit_of_another_message)
{
	unsigned char other[128];
	size_t cut, len;
	__u32 base = 0;

	tunpeer_world(0);
	connect_peer(PEER, LINK);
	put(OUT, .opcode = OP_BINARY, .text = "right");
	len = self->link.out.len;
	memcpy(other, self->link.out.bytes, len);
	other[1]--;	/* it ends one byte earlier */
	for (cut = 2; cut < len; cut++) {
		tunpeer_send(PEER, base, self->link.out.bytes, cut);
		tunpeer_send(PEER, base, other, len);
		expect_message(LINK, OP_BINARY, "right", 5);
		base += len;
		tunpeer_settle(PEER, base);
	}
	expect_nothing(LINK);
}

/* The same bytes in pieces that overlap, in any order, some of them twice. */
CASE(segments, row27_row28_overlaps_out_of_order)
{
	unsigned int round, i, seed = 12345;
	size_t len, from[12], n[12];
	__u32 base = 0;

	tunpeer_world(0);
	connect_peer(PEER, LINK);
	put_sample(OUT);
	len = self->link.out.len;
	for (round = 0; round < 300; round++) {
		for (i = 0; i < 12; i++) {
			seed = seed * 1664525 + 1013904223;
			from[i] = (seed >> 8) % len;
			n[i] = 1 + (seed >> 16) % (len - from[i]);
			tunpeer_send(PEER, base + from[i], self->link.out.bytes + from[i], n[i]);
		}
		/* whatever is missing */
		for (i = 0; i < len; i += 5)
			tunpeer_send(PEER, base + i, self->link.out.bytes + i, len - i < 7 ? len - i : 7);
		expect_sample(LINK);
		base += len;
		tunpeer_settle(PEER, base);
	}
	check(tcp_counter("TCPOFOQueue") > 100);
	expect_nothing(LINK);
}

/*
 * Row 28: a buffer full of tiny segments, in and out of order, while a message is half read and SO_RCVBUF shrinks: TCP
 * collapses and prunes its queues. Bytes that it drops are sent again.
 */
CASE(segments, row28_collapse_and_prune)
{
	enum { LEN = 60000, STEP = 40 };
	unsigned char *payload = new_pattern(LEN, 1), buffer[1000];
	struct received r;
	size_t got = 0;
	__u32 off;

	tunpeer_world(65536);
	connect_peer(PEER, LINK);
	put(OUT, .opcode = OP_BINARY, .payload = payload, .len = LEN);
	put(OUT, .opcode = OP_TEXT, .text = "behind it");
	tunpeer_poll(PEER, 100);
	for (;;) {
		/* every second piece first: each is an skb of its own */
		for (off = PEER->acked; off < PEER->acked + PEER->window && off < self->link.out.len; off += 2 * STEP)
			if (off > PEER->acked)
				tunpeer_send(PEER, off, self->link.out.bytes + off,
					     self->link.out.len - off < STEP ? self->link.out.len - off : STEP);
		off = PEER->acked;
		tunpeer_send(PEER, off, self->link.out.bytes + off,
			     self->link.out.len - off < STEP ? self->link.out.len - off : STEP);
		tunpeer_poll(PEER, 1);
		if (PEER->acked >= self->link.out.len)
			break;
		if (ws_poll(self->link.ws) & POLLIN) {
			r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT);
			check(r.n > 0 && got + r.n <= LEN);
			check(!memcmp(buffer, payload + got, r.n));
			got += r.n;
			set_option(self->link.ws, SOL_SOCKET, SO_RCVBUF, 20000);
		}
	}
	while (got < LEN) {
		ws_wait(self->link.ws, POLLIN);
		r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT);
		check(r.n > 0 && got + r.n <= LEN && !memcmp(buffer, payload + got, r.n));
		got += r.n;
		check(!(r.flags & MSG_EOR) == (got < LEN));
	}
	expect_text(LINK, "behind it");
	printf("# pruned %lld times, %lld buffers collapsed, %lld dropped\n", tcp_counter("PruneCalled"),
	       tcp_counter("TCPRcvCollapsed"), tcp_counter("OfoPruned") + tcp_counter("RcvPruned"));
	fflush(stdout);
	check(tcp_counter("PruneCalled") > 0);
	check(tcp_counter("TCPRcvCollapsed") > 0);
	free(payload);
}

/*
 * Row 31: TCP's buffer is used up, so that what is there of a message is delivered; but of this one there is no payload yet, only
 * empty fragments. The message before it is all there is to read.
 */
static void no_payload_yet(struct tunpeer *p, struct link *l, bool announced)
{
	unsigned char bytes[8192];
	__u32 off, len, n;

	pattern(bytes, sizeof(bytes), 3);
	connect_peer(p, l);
	check(p->window > 1000 && p->window < sizeof(bytes));
	n = p->window - 500;
	put(&l->out, .opcode = OP_BINARY, .payload = bytes, .len = n);
	off = l->out.len;
	put(&l->out, .opcode = OP_TEXT, .more = true);
	put(&l->out, .opcode = OP_CONTINUATION, .more = true);
	len = l->out.len + (announced ? 6 : 0);
	put(&l->out, .opcode = OP_CONTINUATION, .text = "late");
	tunpeer_send(p, 0, l->out.bytes, off);
	tunpeer_send(p, off, l->out.bytes + off, len - off);
	tunpeer_settle(p, len);
	expect_message(l, OP_BINARY, bytes, n);
	equal(0, ws_poll(l->ws) & POLLIN);
	expect_nothing(l);
	tunpeer_send(p, len, l->out.bytes + len, l->out.len - len);
	expect_parts(l, OP_TEXT, "late", 4, 10);
	stream_free(&l->out);
	stream_init(&l->out, true);
}

CASE(segments, row31_streaming_without_payload)
{
	long long before;

	tunpeer_world(4096);
	before = counter("Streamed");
	no_payload_yet(PEER, LINK, false);
	no_payload_yet(PEER, LINK, true);
	equal(before + 2, counter("Streamed"));
}

/* Likewise, but payload of that message, and a pong behind it, have been read: the empty fragment after them is nothing to read. */
static void no_more_payload_yet(struct tunpeer *p, struct link *l, bool pong)
{
	static unsigned char bytes[8192];
	struct received r;
	__u32 len, n;

	connect_peer(p, l);
	link_configure(l, &(struct websocket_config){ .flags = WEBSOCKET_F_PONG });
	check(p->window > 1000 && p->window < sizeof(bytes));
	n = p->window - 500;
	put(&l->out, .opcode = OP_BINARY, .payload = bytes, .len = n, .more = true);
	if (pong)
		put(&l->out, .opcode = OP_PONG, .text = "pong");
	put(&l->out, .opcode = OP_CONTINUATION, .more = true);
	len = l->out.len + 6;
	put(&l->out, .opcode = OP_CONTINUATION, .text = "late");
	tunpeer_send(p, 0, l->out.bytes, len);
	tunpeer_settle(p, len);
	r = ws_receive(l, bytes, n, 0);
	check(r.n == n && !(r.flags & MSG_EOR));
	if (pong)
		expect_message(l, OP_PONG, "pong", 4);
	equal(0, ws_poll(l->ws) & POLLIN);
	expect_nothing(l);
	tunpeer_send(p, len, l->out.bytes + len, l->out.len - len);
	tunpeer_settle(p, l->out.len);
	r = ws_receive(l, bytes, sizeof(bytes), 0);
	check(r.n == 4 && r.flags & MSG_EOR && !memcmp(bytes, "late", 4));
	stream_free(&l->out);
	stream_init(&l->out, true);
}

CASE(segments, row31_streaming_behind_what_was_read)
{
	tunpeer_world(4096);
	no_more_payload_yet(PEER, LINK, false);
	no_more_payload_yet(PEER, LINK, true);
}

/* Pitfall 19, row 39: one segment fills a hole, and as many headers as the window holds, up to a million, are there at once. */
TEST_F_TIMEOUT(segments, pitfall19_row39_a_million_headers, 300)
{
	enum { FRAMES = 1000000, SIZE = 6, CHUNK = 16380 };
	static const unsigned char pong[SIZE] = { 0x8a, 0x80, 1, 2, 3, 4 };
	unsigned char *bytes = malloc(FRAMES * SIZE + 100);
	struct timespec from, to;
	__u32 off, len, base, limit;
	int idle;

	tunpeer_world(48 << 20);
	connect_peer(PEER, LINK);
	for (off = 0; off < FRAMES * SIZE; off += SIZE)
		memcpy(bytes + off, pong, SIZE);
	/* TCP opens its window wide for a sender that has used it before */
	for (base = 0; PEER->window < FRAMES * SIZE + CHUNK && base < 1000 * CHUNK; base += CHUNK) {
		tunpeer_send(PEER, base, bytes, CHUNK);
		tunpeer_settle(PEER, base + CHUNK);
	}
	while (ws_info(self->link.ws).rx_pongs < base / SIZE)
		usleep(10000);
	/* all but the first byte, as far as the window lets us: it opens as segments come */
	for (off = 1, idle = 0; off < FRAMES * SIZE && idle < 3;) {
		limit = PEER->acked + PEER->window - base;
		len = FRAMES * SIZE - off < CHUNK ? FRAMES * SIZE - off : CHUNK;
		if (off + len > limit) {
			idle += !tunpeer_poll(PEER, 50);
			continue;
		}
		tunpeer_send(PEER, base + off, bytes + off, len);
		off += len;
		tunpeer_poll(PEER, 0);
	}
	/* the window may have ended inside a frame */
	stream_raw(OUT, bytes + off, (SIZE - off % SIZE) % SIZE);
	put(OUT, .opcode = OP_TEXT, .text = "at last");
	equal(base / SIZE, ws_info(self->link.ws).rx_pongs);
	clock_gettime(CLOCK_MONOTONIC, &from);
	tunpeer_send(PEER, base, bytes, 1);
	tunpeer_settle(PEER, base + off);
	while (PEER->acked < base + off + self->link.out.len) {
		tunpeer_send(PEER, base + off, self->link.out.bytes, self->link.out.len);
		tunpeer_poll(PEER, 1000);
	}
	/* so many headers in a tick of the timer: this is not fast, but nobody else has to wait for it */
	for (idle = 0; !(ws_poll(self->link.ws) & POLLIN); idle++) {
		check(idle < 2000);
		usleep(100000);
	}
	expect_text(LINK, "at last");
	clock_gettime(CLOCK_MONOTONIC, &to);
	len = (off + SIZE - 1) / SIZE;
	printf("# %u headers in one go: %.1f s\n", len,
	       to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9);
	fflush(stdout);
	equal(base / SIZE + len, ws_info(self->link.ws).rx_pongs);
	check(len > 100000);
	free(bytes);
}

/* Messages as they left, from what the peer has. */
static void expect_frames(struct tunpeer *p, const unsigned char *payload, size_t len, unsigned int pongs)
{
	size_t at = 0, have = 0, n, head;
	unsigned int seen = 0;

	while (at < p->in_len) {
		const unsigned char *f = p->in + at;

		n = f[1];
		head = 2;
		if (n == 126)
			n = f[2] << 8 | f[3], head = 4;
		check(n < 65536 && at + head + n <= p->in_len);
		if ((f[0] & 15) == OP_PONG) {
			equal(1, n);
			seen++;
		} else {
			equal(have ? OP_CONTINUATION : OP_BINARY, f[0] & 15);
			check(have + n <= len && !memcmp(f + head, payload + have, n));
			have += n;
			equal(have == len, f[0] >> 7);
		}
		at += head + n;
	}
	equal(len, have);
	check(seen >= 1 && seen <= pongs);
}

/* Sends on without waiting, as much as fits, and be it a byte; what is left. */
static size_t send_on(struct link *l, const unsigned char *payload, size_t len, size_t left)
{
	ssize_t n = ws_send(l->ws, left == len ? OP_BINARY : 0, payload + len - left, left, MSG_DONTWAIT);

	if (n == -1 && errno == EAGAIN && left > 1)
		n = ws_send(l->ws, left == len ? OP_BINARY : 0, payload + len - left, 1, MSG_DONTWAIT | MSG_MORE);
	if (n == -1) {
		equal(EAGAIN, errno);
		return left;
	}
	return left - n;
}

/*
 * Row 6, pitfalls 9 and 10: a full send buffer and pongs wait while the window opens by 128 bytes at a time, less than TCP likes
 * to send: only its window probes do.
 */
CASE(segments, row6_pitfall9_pitfall10_small_windows)
{
	enum { LEN = 60000, WINDOWS = 12, PINGS = 6 };
	unsigned char *payload = new_pattern(LEN, 2);
	size_t left = LEN, before, seen;
	__u32 off = 0, i;

	tunpeer_world(0);
	connect_peer(PEER, LINK);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 4096);
	PEER->silent = true;
	for (i = 0; i < WINDOWS; i++) {
		/* a new segment: an old one could not close the window (RFC 9293 3.10.7.4) */
		PEER->offer = i ? 128 : 0;
		stream_clear(OUT);
		put(OUT, .opcode = i < PINGS ? OP_PING : OP_PONG, .text = "P");
		seen = PEER->in_len;
		tunpeer_send(PEER, off, self->link.out.bytes, self->link.out.len);
		off += self->link.out.len;
		tunpeer_settle(PEER, off);
		do {
			before = left;
			left = send_on(LINK, payload, LEN, left);
		} while (left && left != before);
		check(left);
		while (i && PEER->in_len == seen)
			check(tunpeer_poll(PEER, 20000));
	}
	PEER->offer = 1 << 20;
	PEER->silent = false;
	tunpeer_ack(PEER);
	while (left || tunpeer_poll(PEER, 1000)) {
		tunpeer_poll(PEER, 1);
		left = left ? send_on(LINK, payload, LEN, left) : 0;
	}
	expect_frames(PEER, payload, LEN, PINGS);
	free(payload);
}

static void reach_attached(struct tunpeer *p, struct link *l)
{
	tunpeer_free(p);
	tunpeer_connect(p);
	l->ws = p->fd;
	must(ulp_attach(l->ws));
}

static void reach_inside(struct tunpeer *p, struct link *l, size_t bytes)
{
	connect_peer(p, l);
	stream_clear(&l->out);
	put_sample(&l->out);
	tunpeer_send(p, 0, l->out.bytes, bytes);
	tunpeer_settle(p, bytes);
}

/* The reset is the error of every call, in every state that has none of its own. */
CASE(segments, row55_reset_in_every_state)
{
	char byte;
	size_t at;

	tunpeer_world(0);
	reach_attached(PEER, LINK);
	tunpeer_reset(PEER, 0);
	refuses(ECONNRESET, recv(self->link.ws, &byte, 1, 0));
	for (at = 0; at < 12; at++) {		/* inside the first frame and the second */
		reach_inside(PEER, LINK, at);
		tunpeer_reset(PEER, at);
		ws_wait(self->link.ws, POLLHUP);
		expect_error(LINK, ECONNRESET);
		refuses(ECONNRESET, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	}
	/* our Close is sent */
	reach_inside(PEER, LINK, 0);
	must(shutdown(self->link.ws, SHUT_WR));
	tunpeer_poll(PEER, 200);
	tunpeer_reset(PEER, 0);
	ws_wait(self->link.ws, POLLHUP);
	expect_error(LINK, ECONNRESET);
	/* the peer's Close is there, then both: the end stays the end */
	reach_inside(PEER, LINK, 0);
	stream_clear(OUT);
	put_close(OUT, 1001, "");
	tunpeer_send(PEER, 0, self->link.out.bytes, self->link.out.len);
	expect_end(LINK, 1001);
	tunpeer_poll(PEER, 200);
	tunpeer_reset(PEER, self->link.out.len);
	tunpeer_poll(PEER, 50);
	expect_end(LINK, 1001);
	/* failed */
	reach_inside(PEER, LINK, 0);
	tunpeer_send(PEER, 0, "\xff\xff", 2);
	expect_error(LINK, EPROTO);
	tunpeer_reset(PEER, 2);
	tunpeer_poll(PEER, 50);
	expect_error(LINK, EPROTO);
}

static void *close_it(void *fd)
{
	close(*(int *)fd);
	return NULL;
}

/* Row 10: a writer waits for the window; it opens at the moment of close(). */
CASE(segments, row10_window_opens_at_close)
{
	unsigned char *payload = new_pattern(100000, 3);
	pthread_t closer;
	int i;

	tunpeer_world(0);
	for (i = 0; i < 150; i++) {
		connect_peer(PEER, LINK);
		PEER->silent = true;
		PEER->offer = 1000;
		tunpeer_ack(PEER);
		while (ws_send(self->link.ws, OP_BINARY, payload, 100000, MSG_DONTWAIT) == 100000)
			;
		check(!pthread_create(&closer, NULL, close_it, &PEER->fd));
		PEER->silent = false;
		PEER->offer = 1 << 20;
		usleep(i * 7);
		tunpeer_ack(PEER);
		tunpeer_poll(PEER, 5);
		check(!pthread_join(closer, NULL));
		PEER->fd = -1;
		tunpeer_reset(PEER, 0);
	}
	free(payload);
}

/* A peer that hangs: its TCP answers, and takes nothing. That it answers gives it no more time for a pong that it was not even asked for. */
CASE(segments, row57_hung_peer_whose_tcp_answers)
{
	unsigned char bytes[1000] = { 0 };
	int i;

	tunpeer_world(0);
	connect_peer(PEER, LINK);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 16384);
	self->p.silent = true;
	self->p.offer = 0;
	for (i = 0; i < 2; i++) {
		while (ws_send(self->link.ws, OP_BINARY, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
		while (tunpeer_poll(PEER, 50))
			;
		tunpeer_ack(PEER);
	}
	link_configure(LINK, &(struct websocket_config){ .ping_interval_ms = 100, .pong_timeout_ms = 1000 });
	for (i = 0; i < 20 && !(ws_poll(self->link.ws) & POLLHUP); i++) {
		usleep(300000);
		while (tunpeer_poll(PEER, 0))
			;
		tunpeer_ack(PEER);
	}
	check(i < 15);
	expect_error(LINK, ETIMEDOUT);
}

SELFTEST_MAIN
