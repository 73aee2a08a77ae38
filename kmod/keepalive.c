// SPDX-License-Identifier: GPL-2.0
/*
 * The socket's one timer: keep-alive pings, the time limits of pong and Close, and what could not be done at once.
 *
 * DESIGN NOTES
 *
 * Receiving a segment never touches the timer: the handler looks at when TCP last received data and arms itself for the rest
 * of the interval. So a busy connection costs one run in an interval, and an idle one that and a ping.
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
	s32 n = since + (u32)delay - tcp_jiffies32;

	return max(n, 1);
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
		next = 1;
	if (ws->close_waits)
		next = min(next, left(ws->close_sent, msecs_to_jiffies(ws->close_timeout_ms)));
	if (ws->ping_waits)
		next = min(next, left(ws->ping_sent, msecs_to_jiffies(ws->pong_timeout_ms)));
	else if (ws->ping_interval_ms && ws->state == WEBSOCKET_STATE_OPEN)
		next = min(next, left(inet_csk(sk)->icsk_ack.lrcvtime, jittered(ws->ping_interval_ms)));
	if (next != MAX_JIFFY_OFFSET)
		sk_reset_timer(sk, &ws->timer, jiffies + next);
}

/**
 * ws_timer_retry() - run again at the next tick: memory was short, or more is queued than one pass may do
 * @sk: the socket
 * @ws: its context
 */
void ws_timer_retry(struct sock *sk, struct ws *ws)
{
	ws_assert_locked(sk);
	if (ws->retry)
		return;
	ws->retry = true;
	sk_reset_timer(sk, &ws->timer, jiffies + 1);
}

static bool reached(u32 since, u32 ms)
{
	return (s32)(tcp_jiffies32 - since - (u32)msecs_to_jiffies(ms)) >= 0;
}

static void send_ping(struct sock *sk, struct ws *ws)
{
	u32 id = get_random_u32();

	ws->ping_sent = tcp_jiffies32;
	/* whether it left or waits behind a full buffer: the peer is silent, and its time runs */
	ws->ping_waits = true;
	if (ws_tx_control(sk, ws, WS_OP_PING, &id, sizeof(id), false))
		return;
	ws->ping_id = id;
	ws->ping_ns = ktime_get_ns();
	ws->ping_timed = true;
	ws->tx_pings++;
	ws_count(sk, WS_STAT_KEEPALIVE_PINGS);
}

static void keep_alive(struct sock *sk, struct ws *ws)
{
	u32 received = inet_csk(sk)->icsk_ack.lrcvtime;

	if (ws->ping_waits && (s32)(received - ws->ping_sent) >= 0)
		ws->ping_waits = false;
	if (ws->state != WEBSOCKET_STATE_OPEN || !ws->ping_interval_ms)
		ws->ping_waits = false;
	else if (ws->ping_waits && reached(ws->ping_sent, ws->pong_timeout_ms))
		ws_fail(sk, ws, WS_FAIL_PONG_TIMEOUT);
	else if (!ws->ping_waits && reached(received, ws->ping_interval_ms - ws->ping_interval_ms / 8))
		send_ping(sk, ws);
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
		ws_tx_run(sk, ws);
		ws_rx_run(sk, ws);
	}
	if (ws->close_waits && reached(ws->close_sent, ws->close_timeout_ms)) {
		ws->close_waits = false;
		ws_control_close_timeout(sk, ws);
	}
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
			ws->deferred |= WS_DEFER_TIMER;
		else
			ws_timer_run(sk, ws);
	}
	bh_unlock_sock(sk);
	sock_put(sk);
}
