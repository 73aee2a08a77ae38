// SPDX-License-Identifier: GPL-2.0
/*
 * Keep-alive by the kernel: pings when nothing is received, none when something is, the round-trip time, the end of a
 * connection whose peer is silent, and all of it while the process is stopped. Close time-outs are in rfc6455.c.
 */
#include <signal.h>
#include <sys/wait.h>

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

CASE(keepalive, silent_peer)
{
	put(OUT, .opcode = OP_TEXT, .text = "still read");
	peer_write(LINK);
	every(LINK, 50, 200);
	ws_wait(self->link.ws, POLLHUP);
	expect_text(LINK, "still read");
	expect_error(LINK, ETIMEDOUT);
	check((ws_poll(self->link.ws) & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP));
	refuses(ETIMEDOUT, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	equal(ETIMEDOUT, ws_info(self->link.ws).error);
}

/* A reader that sleeps learns of it. */
CASE(keepalive, silent_peer_and_a_waiting_reader)
{
	every(LINK, 50, 200);
	expect_error(LINK, ETIMEDOUT);
}

/* Without an interval there are none, and the old ones end when it is taken away. */
CASE(keepalive, switched_off)
{
	every(LINK, 50, 20000);
	answer(LINK);
	every(LINK, 0, 0);
	usleep(300000);
	put(OUT, .opcode = OP_PING, .text = "marker");
	peer_write(LINK);
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.opcode == OP_PING);
	equal(OP_PONG, self->link.wire.seen.opcode);
	check(ws_info(self->link.ws).tx_pings <= 2);
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

SELFTEST_MAIN
