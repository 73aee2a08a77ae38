// SPDX-License-Identifier: GPL-2.0
/*
 * The socket's one timer: keep-alive pings, the time limits of pong and Close, and what could not be done at once.
 *
 * DESIGN NOTES
 *
 * Receiving a segment never touches the timer: the handler looks at when TCP last received data and arms itself for the rest
 * of the interval. So a busy connection costs one run in an interval, and an idle one that and a ping.
 *
 * The peer's time for its pong begins when the ping has left, and again as long as it takes what stands before the ping: a slow
 * peer that nobody hears while it is sent much is not a dead one.
 */
#include "compat/compat.h"
#include "stats.h"
#include "websocket.h"

/* An interval shortened by up to an eighth at random, so that a million sockets do not fire together. */
static unsigned long jittered(u32 ms)
{
	unsigned long t = msecs_to_jiffies(ms);

	return t - reciprocal_scale(get_random_u32(), t / 8 + 1);
}

/* Jiffies from now until @delay behind @since, at least one. */
static unsigned long left(u32 since, unsigned long delay)
{
	u32 elapsed = tcp_jiffies32 - since;

	return elapsed < delay ? delay - elapsed : 1;
}

/* The peer is expected to answer pings. */
static bool alive(const struct sock *sk, const struct ws *ws)
{
	return ws->state == WEBSOCKET_STATE_OPEN && !ws->error && !ws->ending && !ws_source_ended(sk, ws);
}

/* When something was received last, or a ping was sent: tcp_jiffies32. */
static u32 last_life(const struct sock *sk, const struct ws *ws)
{
	u32 received = inet_csk(sk)->icsk_ack.lrcvtime;

	return ws->ping_sent && tcp_jiffies32 - ws->ping_sent < tcp_jiffies32 - received ? ws->ping_sent : received;
}

/*
 * A pending timer holds a reference to the socket. It is taken first: sk_reset_timer() takes it behind mod_timer(), and if the CPU
 * is taken away for a few jiffies between the two (a virtual machine's may be), the timer has fired and has given up a reference
 * that it did not have: a system call would find its socket freed.
 */
static void set_timer(struct sock *sk, struct ws *ws, unsigned long expires)
{
	sock_hold(sk);
	if (mod_timer(&ws->timer, expires))
		__sock_put(sk);
}

/**
 * ws_timer_arm() - set the timer for what is due next, if anything is
 * @sk: the socket
 * @ws: its context
 */
void ws_timer_arm(struct sock *sk, struct ws *ws)
{
	unsigned long next = MAX_JIFFY_OFFSET;

	ws_assert_locked(sk);
	if (ws->retry)
		next = timer_pending(&ws->timer) ? max_t(long, ws->timer.expires - jiffies, 1) : 1;
	if (ws->close_waits)
		next = min(next, left(ws->close_sent, msecs_to_jiffies(ws->close_timeout_ms)));
	if (ws->ending)
		next = min(next, left(ws->ending_since, msecs_to_jiffies(ws_control_patience(ws))));
	if (ws->ping_waits)
		/* nobody tells when the pong comes: look after an interval, for the next ping may be due before the time limit */
		next = min3(next, left(ws->ping_sent, msecs_to_jiffies(ws->pong_timeout_ms)),
			    max(jittered(ws->ping_interval_ms), 1UL));
	else if (ws->ping_interval_ms && alive(sk, ws))
		next = min(next, left(last_life(sk, ws), jittered(ws->ping_interval_ms)));
	if (next != MAX_JIFFY_OFFSET)
		set_timer(sk, ws, jiffies + next);
}

/**
 * ws_timer_retry() - run again soon: more is queued than one pass may do
 * @sk: the socket
 * @ws: its context
 * @delay: jiffies
 */
void ws_timer_retry(struct sock *sk, struct ws *ws, unsigned long delay)
{
	ws_assert_locked(sk);
	if (ws->retry && timer_pending(&ws->timer) && time_before(ws->timer.expires, jiffies + delay + 1))
		return;
	ws->retry = true;
	set_timer(sk, ws, jiffies + delay);
}

/**
 * ws_timer_retry_memory() - run again when memory may be there, as long from now as TCP waits for it
 * @sk: the socket
 * @ws: its context
 */
void ws_timer_retry_memory(struct sock *sk, struct ws *ws)
{
	ws_timer_retry(sk, ws, 2 + reciprocal_scale(get_random_u32(), HZ / 5));
}

/**
 * ws_timer_restart() - the peer gets its whole time again, for pong and for Close
 * @ws: the context
 */
void ws_timer_restart(struct ws *ws)
{
	ws->ping_sent = tcp_jiffies32;
	ws->close_sent = tcp_jiffies32;
}

static bool reached(u32 since, u32 ms)
{
	return tcp_jiffies32 - since >= msecs_to_jiffies(ms);
}

/**
 * ws_timer_ping() - send a keep-alive ping, or have it sent when there is room or memory
 * @sk: the socket
 * @ws: its context
 */
void ws_timer_ping(struct sock *sk, struct ws *ws)
{
	bool first = !ws->ping_waits || tcp_sk(sk)->snd_una != ws->ping_una;
	u32 id = get_random_u32();
	int err;

	ws_assert_locked(sk);
	ws->ping_due = false;
	if (!alive(sk, ws))
		return;
	ws->ping_waits = true;
	err = ws_tx_control(sk, ws, WS_OP_PING, &id, sizeof(id), false);
	ws->ping_due = err == -EAGAIN || err == -ENOMEM;
	/* any segment of the peer makes it be tried again: that alone gives it no more time */
	if (first || !err) {
		ws->ping_sent = tcp_jiffies32;
		ws->ping_una = tcp_sk(sk)->snd_una;
	}
	if (err == -ENOMEM)
		ws_timer_retry_memory(sk, ws);
	if (err)
		return;
	ws->ping_seq = tcp_sk(sk)->write_seq + (ws->rest.page ? ws->rest.len : 0);
	ws->ping_id = id;
	ws->ping_us = tcp_clock_us();
	ws->ping_timed = true;
	ws->tx_pings++;
	ws_count(sk, WS_STAT_KEEPALIVE_PINGS);
}

/* Has the peer's TCP taken more since the last look, of what stands before the ping, or the ping itself? */
static bool ping_under_way(const struct sock *sk, struct ws *ws)
{
	u32 last = ws->ping_una;

	ws->ping_una = tcp_sk(sk)->snd_una;
	return ws->ping_una != last && (ws->ping_due || before(last, ws->ping_seq));
}

static void keep_alive(struct sock *sk, struct ws *ws)
{
	u32 received = inet_csk(sk)->icsk_ack.lrcvtime, last = last_life(sk, ws), now = tcp_jiffies32;
	bool wanted = ws->ping_interval_ms && alive(sk, ws);

	/* TCP itself finds out about a dead host: the ping is retransmitted */
	if (!wanted || now - received <= now - ws->ping_sent || (ws_readable(ws) && ws_source_shut(sk, ws)))
		ws->ping_waits = false;
	if (!ws->ping_waits)
		ws->ping_due = false;
	if (ws->ping_waits && ping_under_way(sk, ws))
		ws->ping_sent = now;
	else if (ws->ping_waits && reached(ws->ping_sent, ws->pong_timeout_ms))
		ws_fail(sk, ws, WS_FAIL_PONG_TIMEOUT);
	else if (wanted && !ws->ping_waits && reached(last, ws->ping_interval_ms - ws->ping_interval_ms / 8))
		ws_timer_ping(sk, ws);
}

/**
 * ws_timer_run() - do what is due
 * @sk: the socket
 * @ws: its context
 */
void ws_timer_run(struct sock *sk, struct ws *ws)
{
	ws_assert_locked(sk);
	if (ws->retry) {
		ws->retry = false;
		if (ws_over_tls(ws))
			ws_tls_retry(ws);
		if (ws->rest.page || ws->pong || ws->ping_due || ws->close_due || ws->fin_due || ws->end_due)
			ws_tx_run(sk, ws);
		ws_rx_run(sk, ws);
	}
	ws_rx_look(sk, ws);
	if (ws->close_waits && reached(ws->close_sent, ws->close_timeout_ms)) {
		/* its Close may wait behind what we have not read */
		ws->close_sent = tcp_jiffies32;
		ws->close_waits = ws_readable(ws) && ws_source_shut(sk, ws);
		if (!ws->close_waits)
			ws_control_close_timeout(sk, ws);
	}
	if (ws->ending && reached(ws->ending_since, ws_control_patience(ws)))
		ws_control_settle(sk, ws);
	keep_alive(sk, ws);
	ws_timer_arm(sk, ws);
}

/**
 * ws_timer() - the timer's function
 * @t: the timer
 * Context: softirq. ws_close() may have run meanwhile: then sk_user_data no longer leads here. RCU keeps the memory.
 */
void ws_timer(struct timer_list *t)
{
	struct ws *ws = timer_container_of(ws, t, timer);
	struct sock *sk = ws->sk;

	bh_lock_sock(sk);
	if (ws_get(sk) == ws) {
		if (sock_owned_by_user(sk))
			ws->timer_deferred = true;
		else
			ws_timer_run(sk, ws);
	}
	bh_unlock_sock(sk);
	sock_put(sk);
}
