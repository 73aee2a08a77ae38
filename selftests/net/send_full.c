// SPDX-License-Identifier: GPL-2.0
/*
 * Sending more than fits: short writes on a full socket, blocking sends larger than the send buffer, time-outs and
 * signals, control frames meanwhile, and shutdown() before all has left. The peer reads with a strict decoder: every
 * message arrives intact, every short write ends at a frame boundary, no control frame stands inside another.
 * time limit: 240 s
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/time.h>

#include "shapes.h"

FIXTURE(send_full) { struct link link; unsigned char *bytes; };
FIXTURE_VARIANT(send_full) { struct shape shape; };
SHAPE(send_full, server_v4, SEGMENT_FRAME, IPV4, false, false);
SHAPE(send_full, server_v6, SEGMENT_FRAME, IPV6, false, false);
SHAPE(send_full, client_v4, SEGMENT_FRAME, IPV4, false, true);
SHAPE(send_full, client_v6, SEGMENT_FRAME, IPV6, false, true);

#define BIG	300000

FIXTURE_SETUP(send_full)
{
	link_open(LINK, &variant->shape);
	link_start_narrow(LINK, 16384);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	self->bytes = new_pattern(BIG, 50);
}

FIXTURE_TEARDOWN(send_full)
{
	link_close(LINK);
	free(self->bytes);
}

/* The peer, in a thread: reads one message of @len bytes. */
struct reader {
	pthread_t	thread;
	struct link	*link;
	unsigned char	*bytes;
	size_t		len;
	int		pongs;
};

static void *read_message(void *argument)
{
	struct reader *r = argument;
	size_t have = 0;

	do {
		equal(WIRE_FRAME, wire_read(&r->link->wire));
		if (r->link->wire.seen.opcode == OP_PONG) {
			r->pongs++;
			continue;
		}
		check(have || r->link->wire.seen.opcode == OP_BINARY);
		check(have + r->link->wire.seen.len <= r->len);
		check(!memcmp(r->bytes + have, r->link->wire.seen.payload, r->link->wire.seen.len));
		have += r->link->wire.seen.len;
	} while (r->link->wire.seen.opcode == OP_PONG || !r->link->wire.seen.fin);
	equal(r->len, have);
	return r;
}

static void reader_start(struct reader *r, struct link *l, unsigned char *bytes, size_t len)
{
	*r = (struct reader){ .link = l, .bytes = bytes, .len = len };
	check(!pthread_create(&r->thread, NULL, read_message, r));
}

static void reader_end(struct reader *r)
{
	check(!pthread_join(r->thread, NULL));
}

/*
 * Sends without waiting until nothing fits, also after TCP has moved on what it could; how much did. Where much does not fit
 * a byte may.
 */
static size_t fill(struct link *l, const unsigned char *bytes, size_t len)
{
	size_t at = 0;
	ssize_t n;

	do {
		n = ws_send(l->ws, at ? 0 : OP_BINARY, bytes + at, len - at, MSG_DONTWAIT);
		if (n == -1 && errno == EAGAIN)
			n = ws_send(l->ws, at ? 0 : OP_BINARY, bytes + at, 1, MSG_DONTWAIT | MSG_MORE);
		if (n == -1)
			equal(EAGAIN, errno);
		else
			at += n;
	} while (n != -1 || !ws_stuck(l));
	check(at && at < len);
	return at;
}

CASE(send_full, blocking)
{
	struct reader r;

	reader_start(&r, LINK, self->bytes, BIG);
	equal(BIG, ws_send(self->link.ws, OP_BINARY, self->bytes, BIG, 0));
	reader_end(&r);
	equal(1, ws_info(self->link.ws).tx_messages);
	equal(BIG, ws_info(self->link.ws).tx_bytes);
}

CASE(send_full, short_writes)
{
	struct reader r;
	size_t at = fill(LINK, self->bytes, BIG);
	ssize_t n;

	refuses(EAGAIN, ws_send(self->link.ws, 0, self->bytes, 1, MSG_DONTWAIT));
	equal(0, ws_poll(self->link.ws) & POLLOUT);
	reader_start(&r, LINK, self->bytes, BIG);
	while (at < BIG) {
		ws_wait(self->link.ws, POLLOUT);
		n = ws_send(self->link.ws, 0, self->bytes + at, BIG - at, MSG_DONTWAIT);
		if (n == -1)
			equal(EAGAIN, errno);
		else
			at += n;
	}
	reader_end(&r);
	equal(1, ws_info(self->link.ws).tx_messages);
	equal(BIG, ws_info(self->link.ws).tx_bytes);
}

/* The rest may be less than what was offered, and the message ends where the caller says. */
CASE(send_full, short_write_continued_by_less)
{
	struct reader r;
	size_t at = fill(LINK, self->bytes, BIG);

	reader_start(&r, LINK, self->bytes, at + 100);
	equal(60, ws_send(self->link.ws, 0, self->bytes + at, 60, MSG_MORE));
	equal(40, ws_send(self->link.ws, OP_BINARY, self->bytes + at + 60, 40, 0));
	reader_end(&r);
}

CASE(send_full, other_messages_wait_for_the_open_one)
{
	struct reader r;
	size_t at = fill(LINK, self->bytes, BIG);

	reader_start(&r, LINK, self->bytes, at);
	ws_wait(self->link.ws, POLLOUT);
	refuses(EINVAL, ws_send(self->link.ws, OP_TEXT, "no", 2, MSG_DONTWAIT));
	equal(0, ws_send(self->link.ws, 0, NULL, 0, 0));
	reader_end(&r);
	equal(2, ws_send(self->link.ws, OP_TEXT, "go", 2, 0));
	wire_expect(WIRE, OP_TEXT, true, "go", 2);
}

/* Nothing that was taken is lost, nothing that was not is sent, over many small messages. */
CASE(send_full, many_messages)
{
	static const size_t lens[] = { 1, 3000, 17, 125, 126, 9000, 700, 65536, 5 };
	struct reader r;
	size_t i, at;
	ssize_t n;

	for (i = 0; i < 40; i++) {
		size_t len = lens[i % ARRAY_SIZE(lens)];

		reader_start(&r, LINK, self->bytes, len);
		for (at = 0; at < len;) {
			n = ws_send(self->link.ws, at ? 0 : OP_BINARY, self->bytes + at, len - at, MSG_DONTWAIT);
			if (n == -1) {
				equal(EAGAIN, errno);
				ws_wait(self->link.ws, POLLOUT);
			} else {
				at += n;
			}
		}
		reader_end(&r);
	}
	equal(40, ws_info(self->link.ws).tx_messages);
}

/* Row 45: pings come while a sender is blocked in the middle of its message. */
CASE(send_full, row45_pings_meanwhile)
{
	struct reader r;
	int i;

	for (i = 0; i < 200; i++)
		put(OUT, .opcode = OP_PING, .text = "now and then");
	peer_feed(LINK);
	reader_start(&r, LINK, self->bytes, BIG);
	equal(BIG, ws_send(self->link.ws, OP_BINARY, self->bytes, BIG, 0));
	reader_end(&r);
	peer_fed(LINK);
	put(OUT, .opcode = OP_PING, .text = "last");
	peer_write(LINK);
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.len != 4);
	equal(201, ws_info(self->link.ws).rx_pings);
}

/* A pong that finds no room follows as soon as there is. */
CASE(send_full, row45_ping_when_full)
{
	struct reader r;
	size_t at = fill(LINK, self->bytes, BIG);

	put(OUT, .opcode = OP_PING, .text = "when you can");
	peer_write(LINK);
	peer_settle(LINK);
	reader_start(&r, LINK, self->bytes, BIG);
	equal(BIG - at, ws_send(self->link.ws, 0, self->bytes + at, BIG - at, 0));
	reader_end(&r);
	equal(1, r.pongs);
}

/* Nobody sends again: what was taken leaves on its own, and so does the pong. */
CASE(send_full, pitfall9_rest_leaves_alone)
{
	size_t at = fill(LINK, self->bytes, BIG), have = 0;

	put(OUT, .opcode = OP_PING, .text = "behind all");
	peer_write(LINK);
	while (have < at || self->link.wire.seen.opcode != OP_PONG) {
		equal(WIRE_FRAME, wire_read(WIRE));
		if (self->link.wire.seen.opcode == OP_PONG)
			break;
		check(!memcmp(self->bytes + have, self->link.wire.seen.payload, self->link.wire.seen.len));
		have += self->link.wire.seen.len;
	}
	while (have < at) {
		equal(WIRE_FRAME, wire_read(WIRE));
		have += self->link.wire.seen.len;
	}
	equal(at, have);
	ws_wait(self->link.ws, POLLOUT);
}

CASE(send_full, time_out)
{
	struct timeval limit = { .tv_usec = 100000 };
	struct reader r;
	ssize_t n;
	size_t at;

	must(setsockopt(self->link.ws, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	n = ws_send(self->link.ws, OP_BINARY, self->bytes, BIG, 0);
	check(n > 0 && n < BIG);
	at = n;
	refuses(EAGAIN, ws_send(self->link.ws, 0, self->bytes + at, BIG - at, 0));
	reader_start(&r, LINK, self->bytes, BIG);
	while (at < BIG) {
		n = ws_send(self->link.ws, 0, self->bytes + at, BIG - at, 0);
		at += n == -1 && errno == EAGAIN ? 0 : must(n);
	}
	reader_end(&r);
}

/* A batch that waits and gives up amid a message has sent part of that one, which the next call continues. */
CASE(send_full, batch_gives_up_amid_a_message)
{
	struct websocket_batch b[2] = { { .len = 5, .opcode = OP_TEXT }, { .len = BIG - 5, .opcode = OP_BINARY } };
	struct timeval limit = { .tv_usec = 100000 };
	struct reader r;
	ssize_t n;
	size_t at;

	must(setsockopt(self->link.ws, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	n = must(ws_send_batch(self->link.ws, self->bytes, BIG, b, sizeof(b), 0));
	check(n > 5 && n < BIG);
	wire_expect(WIRE, OP_TEXT, true, self->bytes, 5);
	reader_start(&r, LINK, self->bytes + 5, BIG - 5);
	for (at = n; at < BIG; at += n == -1 && errno == EAGAIN ? 0 : must(n))
		n = ws_send(self->link.ws, 0, self->bytes + at, BIG - at, 0);
	reader_end(&r);
}

static void nothing(int signal)
{
	(void)signal;
}

/* Row 38: a signal ends the send, not the connection. */
CASE(send_full, row38_signals)
{
	struct sigaction action = { .sa_handler = nothing };
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } }, never = { 0 };
	struct reader r;
	size_t at;
	ssize_t n;

	must(sigaction(SIGALRM, &action, NULL));
	must(setitimer(ITIMER_REAL, &often, NULL));
	n = ws_send(self->link.ws, OP_BINARY, self->bytes, BIG, 0);
	check(n > 0 && n < BIG);
	/* the peer's TCP may still take something; in the end nothing fits */
	for (at = 0; n > 0; n = ws_send(self->link.ws, 0, self->bytes + at, BIG - at, 0))
		at += n;
	equal(EINTR, errno);
	must(setitimer(ITIMER_REAL, &never, NULL));
	reader_start(&r, LINK, self->bytes, BIG);
	must(setitimer(ITIMER_REAL, &often, NULL));
	while (at < BIG) {
		n = ws_send(self->link.ws, 0, self->bytes + at, BIG - at, 0);
		if (n == -1)
			equal(EINTR, errno);
		else
			at += n;
	}
	must(setitimer(ITIMER_REAL, &never, NULL));
	reader_end(&r);
}

/* Row 53: what was taken goes out before the Close and the FIN. */
CASE(send_full, row53_shutdown)
{
	size_t at = fill(LINK, self->bytes, BIG), have = 0;

	must(shutdown(self->link.ws, SHUT_WR));
	while (1) {
		equal(WIRE_FRAME, wire_read(WIRE));
		if (self->link.wire.seen.opcode == OP_CLOSE)
			break;
		check(!memcmp(self->bytes + have, self->link.wire.seen.payload, self->link.wire.seen.len));
		have += self->link.wire.seen.len;
	}
	equal(at, have);
	wire_expect_end(WIRE);
}

struct sender { FIXTURE_DATA(send_full) *self; pid_t tid; };

static void *send_all(void *argument)
{
	struct sender *s = argument;
	ssize_t n;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELAXED);
	n = ws_send(s->self->link.ws, 0, s->self->bytes, BIG, MSG_NOSIGNAL);
	check(n > 0 ? n < BIG : n == -1 && errno == EPIPE);
	return NULL;
}

/* Close comes behind what was taken; nobody waits for more room. */
CASE(send_full, close_ends_another_send)
{
	struct sender sender = { .self = self };
	pthread_t thread;

	link_configure(LINK, &(struct websocket_config){ .close_timeout_ms = 3600000 });
	fill(LINK, self->bytes, BIG);
	check(!pthread_create(&thread, NULL, send_all, &sender));
	until_asleep(&sender.tid);
	equal(0, ws_poll(self->link.ws) & POLLOUT);
	equal(0, ws_send(self->link.ws, OP_CLOSE, "", 0, 0));
	check(!pthread_join(thread, NULL));
	check(ws_poll(self->link.ws) & POLLOUT);
	refuses(EPIPE, ws_send(self->link.ws, OP_BINARY, "x", 1, MSG_NOSIGNAL));
}

/* The next message is the first @len bytes. */
static void read_one(struct link *l, const unsigned char *bytes, size_t len)
{
	size_t have = 0;

	do {
		equal(WIRE_FRAME, wire_read(&l->wire));
		check(have + l->wire.seen.len <= len);
		check(!memcmp(bytes + have, l->wire.seen.payload, l->wire.seen.len));
		have += l->wire.seen.len;
	} while (!l->wire.seen.fin);
	equal(len, have);
}

/* The file ends, so the message does; sendfile() does not wait for room for that where it may not wait. */
CASE(send_full, sendfile_beyond_the_end)
{
	int file = must(memfd_create("payload", 0));
	size_t len;

	must(fcntl(self->link.ws, F_SETFL, O_NONBLOCK));
	for (len = 100; len < 8000; len += 97) {
		int messages = 0;
		off_t at = 0;

		must(ftruncate(file, 0));
		equal(len, pwrite(file, self->bytes, len, 0));
		while (sendfile(self->link.ws, file, &at, 1 << 20) > 0)
			if (at == (off_t)len) {
				messages++;
				at = 0;
			}
		check(messages);
		for (; messages; messages--)
			read_one(LINK, self->bytes, len);
		if (!at)
			continue;
		while (at < (off_t)len)
			must(sendfile(self->link.ws, file, &at, 1 << 20));
		read_one(LINK, self->bytes, len);
	}
	close(file);
}

/* What MSG_MORE keeps back is not waited for: the buffer would never get room. TCP would push it after 200 ms or more. */
CASE(send_full, msg_more_fills_the_buffer)
{
	enum { LEN = 1000, NR = 100 };
	double least = 100, start;
	struct reader r;
	int round, i;

	/* segments of this host may be larger than the buffer */
	link_close(LINK);
	link_start_default(LINK, &variant->shape);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	for (round = 0; round < 5 && least > 0.5; round++) {
		reader_start(&r, LINK, self->bytes, LEN * NR);
		start = seconds();
		for (i = 0; i < NR; i++)
			equal(LEN, ws_send(self->link.ws, i ? 0 : OP_BINARY, self->bytes + i * LEN, LEN, i < NR - 1 ? MSG_MORE : 0));
		reader_end(&r);
		least = seconds() - start < least ? seconds() - start : least;
	}
	if (least > 0.5)
		fail("%.1f s at least", least);
}

CASE(send_full, row53_close)
{
	size_t at = fill(LINK, self->bytes, BIG), have = 0;

	link_close_ws(LINK);
	while (1) {
		equal(WIRE_FRAME, wire_read(WIRE));
		if (self->link.wire.seen.opcode == OP_CLOSE)
			break;
		check(!memcmp(self->bytes + have, self->link.wire.seen.payload, self->link.wire.seen.len));
		have += self->link.wire.seen.len;
	}
	equal(at, have);
	wire_expect_end(WIRE);
}

/* The peer's Close is answered behind what was taken. */
CASE(send_full, peers_close)
{
	size_t at = fill(LINK, self->bytes, BIG), have = 0;

	put_close(OUT, 1001, "");
	peer_write(LINK);
	expect_end(LINK, 1001);
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	while (1) {
		equal(WIRE_FRAME, wire_read(WIRE));
		if (self->link.wire.seen.opcode == OP_CLOSE)
			break;
		have += self->link.wire.seen.len;
	}
	equal(at, have);
}

/* A blocked sender learns that the peer reset the connection. */
CASE(send_full, reset)
{
	ssize_t n;

	fill(LINK, self->bytes, BIG);
	link_reset_peer(LINK);
	n = ws_send(self->link.ws, 0, self->bytes, BIG, MSG_NOSIGNAL);
	check(n == -1 && errno == ECONNRESET);
	expect_error(LINK, ECONNRESET);
}

/* A bad frame waits for a program that has something to read (ENDING IN ORDER): that makes no room for sending. */
CASE(send_full, no_room_before_a_bad_frame)
{
	link_configure(LINK, &(struct websocket_config){ .flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0,
							 .close_timeout_ms = 60000 });
	fill(LINK, self->bytes, BIG);
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	put(OUT, .opcode = OP_TEXT, .rsv = 4, .text = "bad");
	peer_write(LINK);
	peer_settle(LINK);
	equal(POLLIN, ws_poll(self->link.ws) & (POLLIN | POLLOUT));
	refuses(EAGAIN, ws_send(self->link.ws, 0, self->bytes, 1, MSG_DONTWAIT));
}

SELFTEST_MAIN
