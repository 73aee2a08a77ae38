// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving and ending, what once went wrong: failed messages delivered in part, keep-alive against a slow reader,
 * messages not examined yet at close(), ends that changed later, MSG_PEEK that was not pure, errors of another call
 * that stopped pongs.
 */
#include <sys/time.h>

#include "intact.h"

FIXTURE(regress_rx) { struct link link; };
FIXTURE_VARIANT(regress_rx) { struct shape shape; };
SHAPE(regress_rx, server, SEGMENT_ALL, IPV4, false, false);
SHAPE(regress_rx, client, SEGMENT_ALL, IPV6, false, true);

FIXTURE_SETUP(regress_rx)
{
	link_start_default(LINK, &variant->shape);
}

FIXTURE_TEARDOWN(regress_rx)
{
	link_close(LINK);
}

/* Anew, with this receive buffer and configuration. */
static void again(struct link *l, int rcvbuf, const struct websocket_config *config)
{
	struct shape shape = l->shape;

	link_close(l);
	shape.rcvbuf = rcvbuf;
	link_open(l, &shape);
	if (config)
		link_start(l, config);
}

/* Nothing of a message that is not text comes, not even its good start. */
CASE(regress_rx, no_part_of_what_is_no_text)
{
	unsigned char *bytes = new_pattern(5000, 91);
	struct received r;
	char buffer[6000];
	int way;

	memset(bytes, 'a', 5000);
	bytes[4999] = 0xff;
	for (way = 0; way < 6; way++) {
		again(LINK, 0, &(struct websocket_config){ .flags = way == 5 ? WEBSOCKET_F_BATCH : 0 });
		switch (way) {
		case 0:		/* ends within a character */
		case 4:
		case 5:
			put(OUT, .opcode = OP_TEXT, .text = "abc\xc3");
			break;
		case 1:
			put(OUT, .opcode = OP_TEXT, .more = true, .text = "hello");
			put(OUT, .opcode = OP_CONTINUATION, .text = "\xff");
			break;
		case 2:
			put(OUT, .opcode = OP_TEXT, .payload = bytes, .len = 5000);
			break;
		case 3:		/* behind a good one */
			put(OUT, .opcode = OP_TEXT, .text = "good");
			put(OUT, .opcode = OP_TEXT, .text = "abc\xc3");
			break;
		}
		peer_write(LINK);
		peer_settle(LINK);
		if (way == 3)
			expect_text(LINK, "good");
		memset(buffer, 0, sizeof(buffer));
		r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), way == 4 ? MSG_WAITALL : 0);
		if (r.n != -1 || r.error != EILSEQ)
			fail("way %d: %zd bytes, opcode %u, flags %u", way, r.n, r.record.opcode, r.record.flags);
		expect_failure(LINK, EILSEQ, 1007);
	}
	free(bytes);
}

#define STREAM	65536
#define PIECE	1000

/* What the peer has to say is more than this socket takes now. */
static void stream_of_messages(struct link *l, unsigned char *bytes)
{
	int i;

	for (i = 0; i < STREAM / PIECE; i++)
		put(&l->out, .opcode = OP_BINARY, .payload = bytes + i, .len = PIECE);
}

static void wait_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* No pong can come through a window that we have closed. */
CASE(regress_rx, keep_alive_and_a_slow_reader)
{
	unsigned char *bytes = new_pattern(PIECE + STREAM / PIECE, 92);
	struct websocket_config config = { .ping_interval_ms = 150, .pong_timeout_ms = 150 };
	int i;

	again(LINK, 8192, &config);
	stream_of_messages(LINK, bytes);
	peer_feed(LINK);
	wait_ms(1200);
	equal(0, ws_info(self->link.ws).error);
	check(!(ws_poll(self->link.ws) & (POLLERR | POLLHUP)));
	check(ws_info(self->link.ws).tx_pings > 1);
	config.ping_interval_ms = 0;	/* this peer answers nothing */
	link_configure(LINK, &config);
	for (i = 0; i < STREAM / PIECE; i++)
		expect_parts(LINK, OP_BINARY, bytes + i, PIECE, PIECE);
	peer_fed(LINK);
	expect_nothing(LINK);
	free(bytes);
}

/* And neither its Close. */
CASE(regress_rx, close_time_and_a_slow_reader)
{
	unsigned char *bytes = new_pattern(PIECE + STREAM / PIECE, 93);
	int i;

	again(LINK, 8192, &(struct websocket_config){ .close_timeout_ms = 150 });
	stream_of_messages(LINK, bytes);
	put_close(OUT, 1000, "");
	peer_feed(LINK);
	ws_wait(self->link.ws, POLLIN);
	wait_ms(100);
	equal(2, ws_send(self->link.ws, OP_CLOSE, "\x03\xe8", 2, 0));
	wait_ms(700);
	equal(0, ws_info(self->link.ws).error);
	for (i = 0; i < STREAM / PIECE; i++)
		expect_parts(LINK, OP_BINARY, bytes + i, PIECE, PIECE);
	peer_fed(LINK);
	expect_end(LINK, 1000);
	free(bytes);
}

/* More frames than one look goes over. */
static void pings_and_a_message(struct link *l)
{
	int i;

	for (i = 0; i < 300; i++)
		put(&l->out, .opcode = OP_PING, .payload = &i, .len = sizeof(i));
	put(&l->out, .opcode = OP_TEXT, .text = "behind them");
	peer_write(l);
	peer_settle(l);
}

/* close() with a message unread resets, also when the message was not examined yet. */
CASE(regress_rx, message_behind_many_pings_at_close)
{
	enum wire_result result;
	int i;

	for (i = 0; i < 8; i++) {
		again(LINK, 0, &(struct websocket_config){ 0 });
		pings_and_a_message(LINK);
		link_close_ws(LINK);
		while ((result = wire_read(WIRE)) == WIRE_FRAME)
			equal(OP_PONG, self->link.wire.seen.opcode);
		equal(WIRE_RESET, result);
	}
}

CASE(regress_rx, message_behind_many_pings_at_recv)
{
	struct received r;
	char buffer[16];
	int i;

	for (i = 0; i < 8; i++) {
		pings_and_a_message(LINK);
		r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (r.n == -1)
			fail("round %d: %s", i, error_name(r.error));
		equal(11, r.n);
		check(!memcmp(buffer, "behind them", 11));
	}
}

/* Unread, and all of it seen by poll() without another segment. */
CASE(regress_rx, many_large_messages_at_once)
{
	unsigned char *bytes = new_pattern(70000, 94);
	int i;

	again(LINK, 400000, NULL);
	for (i = 0; i < 2; i++)
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 70000);
	peer_write(LINK);
	peer_settle(LINK);
	link_start(LINK, &(struct websocket_config){ 0 });
	for (i = 0; i < 2; i++) {
		check(ws_poll(self->link.ws) & POLLIN);
		expect_message(LINK, OP_BINARY, bytes, 70000);
	}
	expect_nothing(LINK);
	free(bytes);
}

#define TIMES { .ping_interval_ms = 100, .pong_timeout_ms = 100, .close_timeout_ms = 200 }

/* The end without Close stays the end: nobody is pinged who can answer no more. */
CASE(regress_rx, end_stays_after_the_keep_alive_times)
{
	static const struct websocket_config times = TIMES;
	unsigned int pings;

	again(LINK, 0, &times);
	must(shutdown(self->link.peer, SHUT_WR));
	expect_end(LINK, 1006);
	pings = ws_info(self->link.ws).tx_pings;
	wait_ms(600);
	expect_end(LINK, 1006);
	check(!(ws_poll(self->link.ws) & POLLERR));
	equal(0, ws_info(self->link.ws).error);
	equal(pings, ws_info(self->link.ws).tx_pings);
}

CASE(regress_rx, end_stays_after_the_close_time)
{
	static const struct websocket_config times = TIMES;

	again(LINK, 0, &times);
	must(shutdown(self->link.ws, SHUT_WR));
	must(shutdown(self->link.peer, SHUT_WR));
	expect_end(LINK, 1006);
	wait_ms(600);
	expect_end(LINK, 1006);
	equal(0, ws_info(self->link.ws).error);
}

static int take_error(int fd)
{
	socklen_t len = sizeof(int);
	int error;

	must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	return error;
}

/* The peer resets what is sent after its FIN. */
CASE(regress_rx, end_stays_after_a_reset)
{
	int i;

	must(shutdown(self->link.peer, SHUT_WR));
	expect_end(LINK, 1006);
	link_reset_peer(LINK);
	for (i = 0; i < 3; i++) {
		send(self->link.ws, "x", 1, MSG_NOSIGNAL);
		wait_ms(10);
	}
	expect_end(LINK, 1006);
	take_error(self->link.ws);
	expect_end(LINK, 1006);
}

/* An error that was fetched does not come again as another. */
CASE(regress_rx, reset_stays_a_reset)
{
	static const struct websocket_config times = TIMES;

	again(LINK, 0, &times);
	link_reset_peer(LINK);
	ws_wait(self->link.ws, POLLIN);
	expect_error(LINK, ECONNRESET);
	take_error(self->link.ws);
	wait_ms(600);
	equal(0, take_error(self->link.ws));
	expect_error(LINK, ECONNRESET);
	equal(ECONNRESET, ws_info(self->link.ws).error);
}

/* The reader stands in a ping between two fragments of a long text; its bytes are not text. */
CASE(regress_rx, ping_between_long_fragments_read_in_part)
{
	enum { LONG = 150000 };
	char *text = malloc(LONG), *buffer = malloc(LONG), ping[CONTROL_MAX];
	struct received r;
	size_t have = 0;

	memset(text, 'u', LONG);
	memset(ping, 0xff, sizeof(ping));
	again(LINK, 400000, NULL);
	put(OUT, .opcode = OP_TEXT, .more = true, .payload = text, .len = LONG);
	put(OUT, .opcode = OP_PING, .payload = ping, .len = sizeof(ping));
	put(OUT, .opcode = OP_CONTINUATION, .more = true, .text = "more");
	peer_write(LINK);
	peer_settle(LINK);
	link_start(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_PING });
	while (have < LONG) {
		r = ws_recvmsg(self->link.ws, buffer, LONG, 0);
		check(r.n > 0 && !memcmp(text, buffer, r.n));
		equal(OP_TEXT, r.record.opcode);
		have += r.n;
	}
	r = ws_recvmsg(self->link.ws, buffer, 10, 0);
	equal(10, r.n);
	equal(OP_PING, r.record.opcode);
	put(OUT, .opcode = OP_CONTINUATION, .text = "end");
	peer_write(LINK);
	peer_settle(LINK);
	r = ws_recvmsg(self->link.ws, buffer, LONG, 0);
	equal(CONTROL_MAX - 10, r.n);
	check(!memcmp(buffer, ping, r.n));
	check(r.flags & MSG_EOR);
	r = ws_recvmsg(self->link.ws, buffer, LONG, 0);
	equal(7, r.n);
	check(!memcmp(buffer, "moreend", 7));
	equal(WEBSOCKET_MSG_END, r.record.flags);
	free(text);
	free(buffer);
}

/* recvmmsg() leaves the error of a later message on the socket; it ends nothing. */
static void leave_error(struct link *l)
{
	char buffer[16];
	struct iovec iov[2] = { { buffer, sizeof(buffer) }, { (void *)8, sizeof(buffer) } };
	struct mmsghdr m[2] = { 0 };

	m[0].msg_hdr = (struct msghdr){ .msg_iov = &iov[0], .msg_iovlen = 1 };
	m[1].msg_hdr = (struct msghdr){ .msg_iov = &iov[1], .msg_iovlen = 1 };
	put(&l->out, .opcode = OP_TEXT, .text = "one");
	put(&l->out, .opcode = OP_TEXT, .text = "two");
	peer_write(l);
	peer_settle(l);
	equal(1, recvmmsg(l->ws, m, 2, 0, NULL));
	check(ws_poll(l->ws) & POLLIN);
}

CASE(regress_rx, error_of_recvmmsg_stops_no_pong)
{
	leave_error(LINK);
	put(OUT, .opcode = OP_PING, .text = "still there?");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "still there?", 12);
	equal(EFAULT, take_error(self->link.ws));
	expect_text(LINK, "two");
	expect_nothing(LINK);
}

CASE(regress_rx, error_of_recvmmsg_stops_no_close)
{
	leave_error(LINK);
	put_close(OUT, 1001, "bye");
	peer_write(LINK);
	wire_expect_close(WIRE, 1001);
	expect_text(LINK, "two");
	take_error(self->link.ws);
	expect_end(LINK, 1001);
}

/* Nor is it why the connection ended, when that comes meanwhile. */
CASE(regress_rx, error_of_recvmmsg_ends_nothing)
{
	int i;

	leave_error(LINK);
	must(shutdown(self->link.peer, SHUT_WR));
	must(shutdown(self->link.ws, SHUT_WR));
	for (i = 0; i < 1000 && !(ws_poll(self->link.ws) & POLLHUP); i++)
		usleep(1000);
	take_error(self->link.ws);
	expect_text(LINK, "two");
	expect_end(LINK, 1006);
}

/* The rest of a message goes out too. */
CASE(regress_rx, error_of_recvmmsg_stops_no_rest)
{
	enum { BIG = 200000 };
	unsigned char *bytes = new_pattern(BIG, 95);
	ssize_t n, sent = 0;
	size_t have;

	link_start_narrow(LINK, 8192);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	do {
		n = ws_send(self->link.ws, OP_BINARY, bytes + sent, BIG - sent, MSG_DONTWAIT);
		sent += n > 0 ? n : 0;
	} while (n != -1 || !ws_stuck(LINK));
	check(sent < BIG);
	leave_error(LINK);
	for (have = 0; have < (size_t)sent; have += self->link.wire.seen.len) {
		equal(WIRE_FRAME, wire_read(WIRE));
		check(have + self->link.wire.seen.len <= (size_t)sent);
		check(!memcmp(bytes + have, self->link.wire.seen.payload, self->link.wire.seen.len));
	}
	free(bytes);
}

/* Leaves a cursor in the middle of a frame where the next call's will be: what it does not set, it finds. */
static void read_in_part(const struct shape *shape)
{
	unsigned char bytes[100];
	struct received r;
	struct link l;
	char buffer[10];

	link_start_default(&l, shape);
	memset(bytes, 'z', sizeof(bytes));
	put(&l.out, .opcode = OP_TEXT, .payload = bytes, .len = sizeof(bytes));
	peer_write(&l);
	r = ws_recvmsg(l.ws, buffer, sizeof(buffer), 0);
	equal(10, r.n);
	link_close(&l);
}

/* The first message of a connection. */
CASE(regress_rx, peek_at_the_first_message)
{
	struct received r;
	char buffer[16];

	put(OUT, .opcode = OP_BINARY, .text = "first");
	peer_write(LINK);
	peer_settle(LINK);
	read_in_part(&variant->shape);
	r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), MSG_PEEK);
	equal(5, r.n);
	check(!memcmp(buffer, "first", 5));
	equal(OP_BINARY, r.record.opcode);
	equal(WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END, r.record.flags);
	expect_message(LINK, OP_BINARY, "first", 5);
}

/* Looking past an empty message, which a caller without a control buffer is not shown, takes nothing away. */
CASE(regress_rx, peek_past_empty_messages)
{
	char buffer[16];
	int i;

	put(OUT, .opcode = OP_TEXT, .text = "begin");
	put(OUT, .opcode = OP_TEXT);
	put(OUT, .opcode = OP_BINARY, .more = true);
	put(OUT, .opcode = OP_CONTINUATION);
	peer_write(LINK);
	peer_settle(LINK);
	expect_text(LINK, "begin");
	for (i = 0; i < 3; i++) {
		refuses(EAGAIN, recv(self->link.ws, buffer, sizeof(buffer), MSG_PEEK | MSG_DONTWAIT));
		equal(0, ws_info(self->link.ws).skipped_messages);
	}
	put(OUT, .opcode = OP_TEXT, .text = "seen");
	peer_write(LINK);
	peer_settle(LINK);
	for (i = 0; i < 3; i++) {
		equal(4, recv(self->link.ws, buffer, sizeof(buffer), MSG_PEEK));
		check(!memcmp(buffer, "seen", 4));
	}
	equal(0, ws_info(self->link.ws).skipped_messages);
	expect_text(LINK, "");
	equal(4, recv(self->link.ws, buffer, sizeof(buffer), MSG_PEEK));
	expect_message(LINK, OP_BINARY, "", 0);
	expect_text(LINK, "seen");
	expect_nothing(LINK);
}

/* POLLERR says that nothing is left before the error. */
CASE(regress_rx, no_pollerr_before_messages)
{
	short events;

	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_TEXT, .text = "two");
	peer_write(LINK);
	peer_settle(LINK);
	link_reset_peer(LINK);
	do
		events = ws_wait(self->link.ws, POLLIN | POLLHUP);
	while (!(events & POLLHUP));
	equal(0, events & POLLERR);
	expect_text(LINK, "one");
	equal(0, ws_poll(self->link.ws) & POLLERR);
	expect_text(LINK, "two");
	check(ws_poll(self->link.ws) & POLLERR);
	expect_error(LINK, ECONNRESET);
}

/* The record that was asked for comes also when MSG_WAITALL gets less than all. */
CASE(regress_rx, batch_record_of_a_short_waitall)
{
	enum { LONG = 60000, SENT = 40000 };
	char control[CMSG_SPACE(4 * sizeof(struct websocket_batch))] __attribute__((aligned(8)));
	unsigned char *bytes = new_pattern(LONG, 96), *buffer = malloc(LONG);
	struct iovec iov = { buffer, LONG };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct timeval soon = { .tv_usec = 700000 };
	struct websocket_batch entry;
	size_t whole;
	ssize_t n;

	again(LINK, 8192, &(struct websocket_config){ .flags = WEBSOCKET_F_BATCH });
	must(setsockopt(self->link.ws, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = LONG);
	whole = self->link.out.len;
	self->link.out.len -= LONG - SENT;
	peer_feed(LINK);
	n = must(recvmsg(self->link.ws, &h, MSG_WAITALL));
	check(n > 0 && n <= SENT && !memcmp(buffer, bytes, n));
	equal(0, h.msg_flags & MSG_EOR);
	check(CMSG_FIRSTHDR(&h) && CMSG_FIRSTHDR(&h)->cmsg_type == WEBSOCKET_BATCH);
	memcpy(&entry, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(entry));
	equal(n, entry.len);
	equal(OP_BINARY, entry.opcode);
	equal(WEBSOCKET_MSG_BEGIN, entry.flags);
	check(whole > LONG);
	peer_fed(LINK);
	free(bytes);
	free(buffer);
}

static int tcp_state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info.tcpi_state;
}

/* Two of ours on one host: the answer to close()'s Close is there before close() is done, and is not unread data. */
CASE(regress_rx, close_towards_one_of_ours)
{
	enum { ROUNDS = 10 };
	struct websocket_config config = { .flags = variant->shape.client ? 0 : WEBSOCKET_F_CLIENT };
	int i, resets = 0;
	char buffer[16];

	for (i = 0; i < ROUNDS; i++) {
		struct received r;

		again(LINK, 0, &(struct websocket_config){ 0 });
		must(ulp_attach(self->link.peer));
		must(ws_configure(self->link.peer, &config));
		link_close_ws(LINK);
		r = ws_recvmsg(self->link.peer, buffer, sizeof(buffer), 0);
		equal(0, r.n);
		equal(1000, r.record.close_code);
		while (tcp_state(self->link.peer) == TCP_ESTABLISHED)
			usleep(500);
		wait_ms(20);
		resets += !!take_error(self->link.peer);
	}
	/* under load the answer may come later than close() */
	if (resets * 2 > ROUNDS)
		fail("%d of %d connections were reset", resets, ROUNDS);
}

/* A call that waits for all of a message. */
struct whole_reader { struct link *l; pid_t tid; struct received r; unsigned char bytes[STREAM]; };

static void *read_whole(void *argument)
{
	struct whole_reader *w = argument;

	__atomic_store_n(&w->tid, gettid(), __ATOMIC_RELAXED);
	w->r = ws_recvmsg(w->l->ws, w->bytes, sizeof(w->bytes), MSG_WAITALL);
	return NULL;
}

/* On the CPU of the reader, which does not run as long as this thread has something to do. */
static void before_all_others(bool on)
{
	struct sched_param p = { .sched_priority = on };
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	must(sched_setaffinity(0, sizeof(one), &one));
	must(sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &p));
}

/* It has part of a message and waits for the rest, which another reader takes: the next message is not what it waits for. */
CASE(regress_rx, waitall_beside_another_reader)
{
	enum { LEN = 20000 };
	unsigned char *bytes = new_pattern(LEN, 95), other[LEN];
	struct whole_reader *w = calloc(1, sizeof(*w));
	size_t sent, have = 0;
	struct received r;
	pthread_t thread;

	again(LINK, 4096, &(struct websocket_config){});
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = LEN);
	before_all_others(false);
	w->l = LINK;
	check(!pthread_create(&thread, NULL, read_whole, w));
	until_asleep(&w->tid);
	/* as long as the first reader takes what comes */
	for (sent = 0; sent < LEN / 2; sent += 500) {
		equal(500, send(self->link.peer, self->link.out.bytes + sent, 500, 0));
		until_asleep(&w->tid);
	}
	before_all_others(true);
	for (r.flags = 0; !(r.flags & MSG_EOR);) {
		size_t n = self->link.out.len - sent < 500 ? self->link.out.len - sent : 500;

		equal(n, send(self->link.peer, self->link.out.bytes + sent, n, 0));
		sent += n;
		r = ws_recvmsg(self->link.ws, other + have, sizeof(other) - have, MSG_DONTWAIT);
		if (r.error == EAGAIN)
			continue;
		check(r.n > 0);
		have += r.n;
	}
	before_all_others(false);
	/* nothing more comes before that */
	check(!pthread_join(thread, NULL));
	stream_clear(OUT);
	put(OUT, .opcode = OP_TEXT, .text = "the next message");
	peer_write(LINK);
	check(w->r.n > 0 && !(w->r.flags & MSG_EOR));
	equal(LEN, w->r.n + have);
	check(!memcmp(w->bytes, bytes, w->r.n) && !memcmp(other, bytes + w->r.n, have));
	expect_text(LINK, "the next message");
	free(bytes);
	free(w);
}

/* TCP drops what still comes, and shuts the window: the message cannot become complete, and what is there of it has to be read. */
CASE(regress_rx, row28_buffer_shrinks_under_a_message)
{
	enum { LEN = 138474 };
	unsigned char *bytes = new_pattern(LEN, 97), *seen = malloc(LEN);
	struct received r = {};
	size_t have;

	again(LINK, 0, &(struct websocket_config){});
	put(OUT, .opcode = OP_TEXT, .text = "first");
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = LEN);
	equal(self->link.out.len, send(self->link.peer, self->link.out.bytes, self->link.out.len, 0));
	expect_text(LINK, "first");
	set_option(self->link.ws, SOL_SOCKET, SO_RCVBUF, 1);
	for (have = 0; !(r.flags & MSG_EOR); have += r.n) {
		ws_wait(self->link.ws, POLLIN);
		r = ws_recvmsg(self->link.ws, seen + have, LEN - have, 0);
		check(r.n > 0);
	}
	equal(LEN, have);
	check(!memcmp(seen, bytes, LEN));
	stream_clear(OUT);
	intact(LINK);
	free(bytes);
	free(seen);
}

/*
 * Behind an empty message, which such a caller is not shown, the beginning of one; then Close, which waits for the program, and bytes
 * that fill the buffer. The call ends.
 */
CASE(regress_rx, row34_peek_before_a_close_in_a_full_buffer)
{
	static unsigned char filler[100000];
	char byte;
	int i;

	again(LINK, 4096, &(struct websocket_config){ .close_timeout_ms = 60000 });
	put(OUT, .opcode = OP_TEXT);
	put(OUT, .opcode = OP_BINARY, .more = true, .text = "begin");
	put_close(OUT, 1000, "");
	peer_write(LINK);
	for (i = 0; i < 10; i++, wait_ms(20))
		send(self->link.peer, filler, sizeof(filler), MSG_DONTWAIT | MSG_NOSIGNAL);
	for (i = 0; i < 3; i++)
		check(recv(self->link.ws, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0);
}

SELFTEST_MAIN
