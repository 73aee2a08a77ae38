// SPDX-License-Identifier: GPL-2.0
/*
 * Keep-alive by the kernel: pings when nothing is received, none when something is, at times that differ, the round-trip time,
 * the end of a connection whose peer is silent, and all of it, Close time-outs too, while the process is stopped. Other Close
 * time-outs are in rfc6455.c.
 */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "shapes.h"

FIXTURE_ROLES(keepalive);

static void every(struct link *l, __u32 interval_ms, __u32 timeout_ms)
{
	link_configure(l, &(struct websocket_config){ .ping_interval_ms = interval_ms, .pong_timeout_ms = timeout_ms });
}

/* Answers one ping of the kernel. */
static void answer(struct link *l)
{
	unsigned char payload[CONTROL_MAX];
	size_t len;

	equal(WIRE_FRAME, wire_read(&l->wire));
	equal(OP_PING, l->wire.seen.opcode);
	len = l->wire.seen.len;
	memcpy(payload, l->wire.seen.payload, len);
	put(&l->out, .opcode = OP_PONG, .payload = payload, .len = len);
	peer_write(l);
	peer_settle(l);
}

CASE(keepalive, pings_and_round_trip_time)
{
	struct websocket_info info;
	int i;

	every(LINK, 50, 20000);
	for (i = 0; i < 3; i++)
		answer(LINK);
	info = ws_info(self->link.ws);
	check(info.tx_pings >= 3 && info.rx_pongs == 3 && info.rtt_us > 0);
	equal(WEBSOCKET_STATE_OPEN, info.state);
	expect_nothing(LINK);
}

/* Bytes of a message that does not end, more often than the interval says; the longest time between two of them. */
static double trickle(struct link *l, double duration)
{
	double begin = seconds(), last = begin, now = begin, pause = 0;

	do {
		usleep(10000);
		peer_write_raw(l, "x", 1);
		now = seconds();
		pause = now - last > pause ? now - last : pause;
		last = now;
	} while (now - begin < duration);
	return pause;
}

/* Whatever is received counts as life. A try in which this test came too late says nothing. */
CASE(keepalive, none_while_something_is_received)
{
	enum { INTERVAL = 1000 };
	__u32 pings;
	int i;

	put(OUT, .opcode = OP_BINARY, .text = "x", .announce = 1 << 20);
	peer_write(LINK);
	for (i = 0; i < 10; i++) {
		double pause;

		peer_write_raw(LINK, "x", 1);
		peer_settle(LINK);
		every(LINK, INTERVAL, 20000);
		pings = ws_info(self->link.ws).tx_pings;
		pause = trickle(LINK, 2.5 * INTERVAL / 1000);
		pings = ws_info(self->link.ws).tx_pings - pings;
		every(LINK, 0, 0);
		if (pause < 0.7 * INTERVAL / 1000) {
			equal(0, pings);
			return;
		}
	}
	fail("never in time");
}

/* How far apart sockets that heard something at the same time send their first pings, each from its own time on. */
static double spread(const struct shape *shape, __u32 interval_ms)
{
	enum { LINKS = 24 };
	struct pollfd polls[LINKS];
	struct link l[LINKS];
	double since[LINKS], first = 1e9, last = 0;
	int i, left = LINKS;

	for (i = 0; i < LINKS; i++)
		link_start_default(&l[i], shape);
	for (i = 0; i < LINKS; i++) {
		put(&l[i].out, .opcode = OP_PONG);
		peer_write(&l[i]);
		peer_settle(&l[i]);
		every(&l[i], interval_ms, 20000);
		since[i] = seconds();
		polls[i] = (struct pollfd){ .fd = l[i].peer, .events = POLLIN };
	}
	while (left) {
		check(must(poll(polls, LINKS, 20000)));
		for (i = 0; i < LINKS; i++) {
			double delay = seconds() - since[i];

			if (!polls[i].revents)
				continue;
			first = delay < first ? delay : first;
			last = delay > last ? delay : last;
			polls[i] = (struct pollfd){ .fd = -1 };
			left--;
		}
	}
	for (i = 0; i < LINKS; i++)
		link_close(&l[i]);
	return last - first;
}

/* Intervals are shortened by up to an eighth at random: 200 ms here. The best two of three, for a machine may be busy. */
CASE(keepalive, jittered)
{
	int i, wide = 0;

	for (i = 0; i < 3; i++) {
		double s = spread(&variant->shape, 1600);

		printf("# %.0f ms\n", s * 1000);
		wide += s > 0.1;
	}
	check(wide >= 2);
}

/* Only the pong that answers the last ping tells the round-trip time. */
CASE(keepalive, round_trip_time_of_the_right_pong)
{
	int i;

	every(LINK, 50, 20000);
	equal(WIRE_FRAME, wire_read(WIRE));
	equal(OP_PING, self->link.wire.seen.opcode);
	put(OUT, .opcode = OP_PONG);
	put(OUT, .opcode = OP_PONG, .text = "no, not this one");
	put(OUT, .opcode = OP_PONG, .payload = "\0\0\0\0", .len = 4);
	peer_write(LINK);
	peer_settle(LINK);
	equal(3, ws_info(self->link.ws).rx_pongs);
	equal(0, ws_info(self->link.ws).rtt_us);
	/* the next ping may have left when its answer comes */
	for (i = 0; i < 100 && !ws_info(self->link.ws).rtt_us; i++)
		answer(LINK);
	check(ws_info(self->link.ws).rtt_us);
}

CASE(keepalive, silent_peer)
{
	socklen_t len;
	int error;

	put(OUT, .opcode = OP_TEXT, .text = "still read");
	peer_write(LINK);
	every(LINK, 50, 200);
	ws_wait(self->link.ws, POLLHUP);
	expect_text(LINK, "still read");
	expect_error(LINK, ETIMEDOUT);
	check((ws_poll(self->link.ws) & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP));
	refuses(ETIMEDOUT, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	equal(ETIMEDOUT, ws_info(self->link.ws).error);
	len = sizeof(error);
	must(getsockopt(self->link.ws, SOL_SOCKET, SO_ERROR, &error, &len));
	equal(ETIMEDOUT, error);
	expect_error(LINK, ETIMEDOUT);
}

/* A reader that sleeps learns of it. */
CASE(keepalive, silent_peer_and_a_waiting_reader)
{
	every(LINK, 50, 200);
	expect_error(LINK, ETIMEDOUT);
}

/* Without an interval there are none, and the old ones end when it is taken away. */
/*
 * A peer that takes what it is sent slowly, and has nothing to say, is not dead: the ping stands behind what is still to go, or finds
 * no room at first.
 */
CASE(keepalive, slow_peer)
{
	enum { LEN = 1000, INTERVAL = 100, TIME = 1000 };
	unsigned char *bytes = new_pattern(LEN, 7);
	int sent = 0, i;

	link_start_narrow(LINK, 16384);
	do
		while (ws_send(self->link.ws, OP_BINARY, bytes, LEN, MSG_DONTWAIT | MSG_NOSIGNAL) == LEN)
			sent++;
	while (!ws_stuck(LINK));
	check(sent > 100);
	every(LINK, INTERVAL, TIME);
	for (i = 0; i < sent; i++) {
		equal(WIRE_FRAME, wire_read(WIRE));
		equal(OP_BINARY, self->link.wire.seen.opcode);
		usleep(4000 * TIME / sent);
	}
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.opcode != OP_PING);
	equal(WEBSOCKET_STATE_OPEN, ws_info(self->link.ws).state);
	free(bytes);
}

CASE(keepalive, switched_off)
{
	__u32 pings;

	every(LINK, 50, 20000);
	answer(LINK);
	every(LINK, 0, 0);
	pings = ws_info(self->link.ws).tx_pings;
	usleep(300000);
	put(OUT, .opcode = OP_PING, .text = "marker");
	peer_write(LINK);
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.opcode == OP_PING);
	equal(OP_PONG, self->link.wire.seen.opcode);
	equal(pings, ws_info(self->link.ws).tx_pings);
}

static int do_nothing(void *unused)
{
	(void)unused;
	pause();
	return 0;
}

CASE(keepalive, of_a_stopped_process)
{
	pid_t pid;
	int i, status;

	every(LINK, 50, 20000);
	pid = spawn(do_nothing, NULL);
	link_close_ws(LINK);
	must(kill(pid, SIGSTOP));
	must(waitpid(pid, &status, WUNTRACED));
	for (i = 0; i < 3; i++)
		answer(LINK);
	must(kill(pid, SIGKILL));
	equal(128 + SIGKILL, reap(pid));
}

static int hears_later(void *argument)
{
	struct link *l = argument;
	char byte;

	raise(SIGSTOP);
	refuses(ETIMEDOUT, recv(l->ws, &byte, 1, 0));
	return 0;
}

static int closes_and_hears_later(void *argument)
{
	equal(2, ws_send(((struct link *)argument)->ws, OP_CLOSE, "\x03\xe8", 2, 0));
	return hears_later(argument);
}

/* A process that has the socket alone, and is stopped. */
static pid_t stopped(struct link *l, int (*run)(void *))
{
	pid_t pid = spawn(run, l);
	int status;

	link_close_ws(l);
	must(waitpid(pid, &status, WUNTRACED));
	check(WIFSTOPPED(status));
	return pid;
}

/* Until the connection ends: pings, and at most one Close behind them. It is reset if its time had run out before close(). */
static void expect_pings_and_the_end(struct wire *w, bool may_time_out)
{
	enum wire_result result;
	bool closed = false;

	while ((result = wire_read(w)) == WIRE_FRAME) {
		check(!closed && (w->seen.opcode == OP_PING || w->seen.opcode == OP_CLOSE));
		closed = w->seen.opcode == OP_CLOSE;
	}
	check(result == WIRE_END || (may_time_out && result == WIRE_RESET));
}

/* Both time limits end the connection without the process, which hears of it when it goes on. */
CASE(keepalive, silent_peer_of_a_stopped_process)
{
	pid_t pid;

	every(LINK, 50, 200);
	pid = stopped(LINK, hears_later);
	expect_pings_and_the_end(WIRE, false);
	must(kill(pid, SIGCONT));
	equal(0, reap(pid));
}

CASE(keepalive, close_time_of_a_stopped_process)
{
	pid_t pid;

	link_configure(LINK, &(struct websocket_config){ .close_timeout_ms = 300 });
	pid = stopped(LINK, closes_and_hears_later);
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
	must(kill(pid, SIGCONT));
	equal(0, reap(pid));
}

/* Row 57, pitfall 31: close() at any moment, with timers that are pending, firing, or waiting for the lock. */
CASE(keepalive, row57_pitfall31_timers_at_close)
{
	enum { LINKS = 20, ROUNDS = 6 };
	struct link l[LINKS];
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < LINKS; i++) {
			link_start_default(&l[i], &variant->shape);
			/* the third time the pong is due at once too, and so are Close and failure */
			every(&l[i], 1, i % 3 ? 20000 : 1);
		}
		usleep(1000 * round);
		for (i = 0; i < LINKS; i++)
			link_close_ws(&l[i]);
		for (i = 0; i < LINKS; i++) {
			expect_pings_and_the_end(&l[i].wire, i % 3 == 0);
			link_close(&l[i]);
		}
	}
}

FIXTURE(late) { struct link link; };
FIXTURE_SETUP(late) { link_open(LINK, &(struct shape){ .segmentation = SEGMENT_ALL, .family = IPV4 }); }
FIXTURE_TEARDOWN(late) { link_close(LINK); }

/* The time for the pong begins when the peer's TCP has the ping, behind whatever else it had to take, not when that was looked at last. */
CASE(late, the_ping_is_taken_late)
{
	enum { LEN = 1000, INTERVAL = 6000, TIME = 2000 };
	unsigned char *bytes = new_pattern(LEN, 8);
	int sent = 0, i;
	double pinged;

	link_start_narrow(LINK, 16384);
	do
		while (ws_send(self->link.ws, OP_BINARY, bytes, LEN, MSG_DONTWAIT | MSG_NOSIGNAL) == LEN)
			sent++;
	while (!ws_stuck(LINK));
	/* room for the ping */
	for (i = 0; i < sent / 2; i++)
		equal(WIRE_FRAME, wire_read(WIRE));
	every(LINK, INTERVAL, TIME);
	while (!ws_info(self->link.ws).tx_pings)
		usleep(10000);
	pinged = seconds();
	/* and what is left is more than the peer's TCP holds: the ping stays here */
	for (; i < sent - 50; i++) {
		equal(WIRE_FRAME, wire_read(WIRE));
		usleep(1700000 * 2 / sent);
	}
	while (seconds() - pinged < 3.2)
		usleep(10000);
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.opcode != OP_PING);
	while (seconds() - pinged < 4.8)
		usleep(10000);
	equal(WEBSOCKET_STATE_OPEN, ws_info(self->link.ws).state);
	free(bytes);
}

SELFTEST_MAIN
