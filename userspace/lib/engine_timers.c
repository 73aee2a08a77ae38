// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The user-space engine's timers: keep-alive, and the time limits of Close. kmod/keepalive.c has the reasons. */
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "engine.h"
#include "tcp.h"

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

/* How far the peer's TCP has come, or else the transport, in what waits. */
static u64 taken(const struct engine *e)
{
	u64 n;

	return tcp_acknowledged(e->fd, &n) ? n : e->flushed;
}

/* Where it is when it has all that was sent until now. */
static u64 taken_all(const struct engine *e)
{
	int queued = 0;
	u64 n;

	/* first: what is acknowledged between the two calls must not make it less */
	ioctl(e->fd, SIOCOUTQ, &queued);
	return (tcp_acknowledged(e->fd, &n) ? n + queued : e->flushed) + e->rest_len;
}

void engine_ping(struct engine *e)
{
	bool first = !e->ping_waits || taken(e) != e->ping_taken;
	u32 id;
	int err;

	e->ping_due = false;
	if (!alive(e))
		return;
	if (engine_random(&id))
		id = engine_now_us();
	e->ping_waits = true;
	engine_jitter(e);
	err = engine_send_control(e, WS_OP_PING, &id, sizeof(id));
	e->ping_due = err == -EAGAIN;
	/* that it is tried again gives the peer no more time */
	if (first || !err) {
		e->ping_sent = e->ping_look = engine_now_ms();
		e->ping_taken = taken(e);
	}
	e->ping_end = e->ping_due ? UINT64_MAX : taken_all(e);
	if (err)
		return;
	e->ping_id = id;
	e->ping_us = engine_now_us();
	e->ping_timed = true;
	e->tx_pings++;
}

/* As often as this a ping is looked after that may still be on its way. */
static u64 look_ms(const struct engine *e)
{
	return e->pong_timeout_ms / 4 + 1;
}

static bool on_its_way(const struct engine *e)
{
	return e->ping_taken < e->ping_end;
}

/* Has the peer's TCP taken more since the last look, of what stands before the ping, or the ping itself? */
static bool under_way(struct engine *e, u64 now)
{
	u64 last = e->ping_taken;

	if (!on_its_way(e) || (now < e->ping_look + look_ms(e) && now < e->ping_sent + e->pong_timeout_ms))
		return false;
	e->ping_look = now;
	e->ping_taken = taken(e);
	return e->ping_taken != last;
}

static void keep_alive(struct engine *e, u64 now)
{
	bool wanted = e->ping_interval_ms && alive(e);

	if (!wanted || e->received >= e->ping_sent || !engine_may_read(e))
		e->ping_waits = false;
	if (!e->ping_waits)
		e->ping_due = false;
	if (e->ping_waits && under_way(e, now))
		e->ping_sent = now;
	else if (e->ping_waits && now >= e->ping_sent + e->pong_timeout_ms)
		engine_fail(e, WS_FAIL_PONG_TIMEOUT);
	else if (wanted && !e->ping_waits && now >= last_life(e) + e->ping_interval_ms - e->jitter)
		engine_ping(e);
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
		/* its Close may have come, or wait behind what the program has not read: then it is us who keep it */
		engine_read_on(e);
		e->close_sent = now;
		e->close_waits = engine_readable(e) && !e->ended && !engine_may_read(e);
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
		bool waits = e->ping_waits && e->received < e->ping_sent;

		t = waits ? e->ping_sent + e->pong_timeout_ms : last_life(e) + e->ping_interval_ms - e->jitter;
		next = t < next ? t : next;
		t = waits && on_its_way(e) ? e->ping_look + look_ms(e) : next;
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
