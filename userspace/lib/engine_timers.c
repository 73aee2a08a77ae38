// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The user-space engine's timers: keep-alive, and the time limits of Close. kmod/keepalive.c has the reasons. */
#include <time.h>

#include "engine.h"

u64 engine_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

u64 engine_now_ms(void)
{
	return engine_now_us() / 1000;
}

/* Whether anything can still come, or shows that the peer lives. */
static bool alive(const struct engine *e)
{
	return e->state == WEBSOCKET_STATE_OPEN && !e->error && !e->ending && !e->ended;
}

static u64 last_life(const struct engine *e)
{
	return e->ping_sent > e->received ? e->ping_sent : e->received;
}

/* An interval is shortened by up to an eighth. No random number: not at all. */
void engine_jitter(struct engine *e)
{
	u32 r;

	e->jitter = engine_random(&r) ? 0 : r % (e->ping_interval_ms / 8 + 1);
}

static void send_ping(struct engine *e)
{
	u32 id;

	if (engine_random(&id))
		id = engine_now_us();
	e->ping_sent = engine_now_ms();
	/* whether it left or waits behind what is to be sent: the peer is silent, and its time runs */
	e->ping_waits = true;
	engine_jitter(e);
	if (engine_send_control(e, WS_OP_PING, &id, sizeof(id)))
		return;
	e->ping_id = id;
	e->ping_us = engine_now_us();
	e->ping_timed = true;
	e->tx_pings++;
}

static void keep_alive(struct engine *e, u64 now)
{
	if (e->ping_waits && (e->received >= e->ping_sent || !engine_may_read(e)))
		e->ping_waits = false;
	if (!alive(e) || !e->ping_interval_ms)
		e->ping_waits = false;
	else if (e->ping_waits && now >= e->ping_sent + e->pong_timeout_ms)
		engine_fail(e, WS_FAIL_PONG_TIMEOUT);
	else if (!e->ping_waits && now >= last_life(e) + e->ping_interval_ms - e->jitter)
		send_ping(e);
}

/* Without the peer's Close the connection has failed; with it, only its FIN is missing (RFC 6455 7.1.1). */
static void close_timeout(struct engine *e)
{
	if (e->state == WEBSOCKET_STATE_CLOSE_SENT && !e->error && !e->ended)
		engine_fail(e, WS_FAIL_CLOSE_TIMEOUT);
	else
		engine_send_fin(e);
}

void engine_restart_timers(struct engine *e)
{
	if ((e->ping_waits || e->close_waits) && engine_readable(e) && !engine_may_read(e))
		e->ping_sent = e->close_sent = engine_now_ms();
}

void engine_run_timers(struct engine *e)
{
	u64 now;

	if (!e->close_waits && !e->ending && !e->ping_interval_ms)
		return;
	now = engine_now_ms();
	if (e->close_waits && now >= e->close_sent + e->close_timeout_ms) {
		/* its Close may wait behind what the program has not read */
		e->close_sent = now;
		e->close_waits = engine_readable(e) && !e->drained;
		if (!e->close_waits)
			close_timeout(e);
	}
	if (e->ending && now >= e->ending_since + engine_patience(e))
		engine_settle(e);
	keep_alive(e, now);
}

int engine_timeout(const struct engine *e)
{
	u64 now = engine_now_ms(), next = UINT64_MAX, t;

	if (e->more)
		return 0;
	if (e->close_waits)
		next = e->close_sent + e->close_timeout_ms;
	if (alive(e) && e->ping_interval_ms) {
		t = e->ping_waits && e->received < e->ping_sent ? e->ping_sent + e->pong_timeout_ms :
			last_life(e) + e->ping_interval_ms - e->jitter;
		next = t < next ? t : next;
	}
	if (e->ending) {
		t = e->ending_since + engine_patience(e);
		next = t < next ? t : next;
	}
	if (next == UINT64_MAX)
		return -1;
	return next > now ? next - now : 0;
}
