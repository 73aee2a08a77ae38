// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The user-space engine: its transport and state. kmod/control.c has the reasons. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"

#define FLAGS_KNOWN (WEBSOCKET_F_CLIENT | WEBSOCKET_F_NO_UTF8 | WEBSOCKET_F_PING | WEBSOCKET_F_PONG | WEBSOCKET_F_BATCH | \
		     WEBSOCKET_F_TEXT | WEBSOCKET_F_CORK)
#define DEFAULT_MAX_MESSAGE	(1U << 20)
#define DEFAULT_PONG_MS		10000
#define DEFAULT_CLOSE_MS	5000
#define IN_HAND_MS		250

static const struct {
	int error;
	u16 code;
} failures[WS_FAIL_COUNT] = {
#define X(name, error, code, text) [WS_FAIL_##name] = { error, code },
	WS_FAILURES(X)
#undef X
};

/* Grows in each child: it must not go on with the parent's numbers. */
static unsigned int forks;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int unwatched;

static void forked(void)
{
	forks++;
}

static void watch_fork(void)
{
	unwatched = pthread_atfork(NULL, NULL, forked);
}

/* RFC 6455 10.3: masking keys that nobody can foretell; one system call for many. */
int engine_random(u32 *number)
{
	static _Thread_local u32 pool[64];
	static _Thread_local unsigned int left, generation;

	if (!left || generation != forks) {
		ssize_t n;

		pthread_once(&once, watch_fork);
		if (unwatched)
			return -unwatched;
		do {
			n = getrandom(pool, sizeof(pool), 0);
		} while (n < 0 && errno == EINTR);
		generation = forks;
		left = n > 0 ? n / sizeof(*pool) : 0;
		if (!left)
			return n < 0 ? -errno : -EIO;
	}
	*number = pool[--left];
	return 0;
}

/*
 * A socket as the transport
 */

static ssize_t socket_read(void *ctx, void *buf, size_t len)
{
	ssize_t n;

	do {
		n = recv((intptr_t)ctx, buf, len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t socket_write(void *ctx, const struct iovec *iov, int count, bool more)
{
	struct msghdr mh = { .msg_iov = (struct iovec *)iov, .msg_iovlen = count };
	ssize_t n;

	do {
		n = sendmsg((intptr_t)ctx, &mh, MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0));
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void socket_shutdown(void *ctx)
{
	shutdown((intptr_t)ctx, SHUT_WR);
}

void kws_layer_close(int fd, bool abort)
{
	struct linger now = { .l_onoff = 1 };
	char scrap[4096];

	if (abort)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	/* close() with bytes unread would reset the connection */
	else
		for (int i = 0; i < 64 && recv(fd, scrap, sizeof(scrap), MSG_DONTWAIT) > 0; i++)
			;
	close(fd);
}

static void socket_close(void *ctx, bool abort)
{
	kws_layer_close((intptr_t)ctx, abort);
}

static const struct transport socket_transport = {
	.read = socket_read,
	.write = socket_write,
	.shutdown = socket_shutdown,
	.close = socket_close,
};

/*
 * State
 */

int engine_check_config(const struct websocket_config *cfg)
{
	if (cfg->flags & ~FLAGS_KNOWN || cfg->ping_interval_ms > WEBSOCKET_MAX_MS ||
	    cfg->pong_timeout_ms > WEBSOCKET_MAX_MS || cfg->close_timeout_ms > WEBSOCKET_MAX_MS)
		return -EINVAL;
	return 0;
}

void engine_send_fin(struct engine *e)
{
	if (e->fin_sent)
		return;
	e->fin_sent = true;
	e->transport->shutdown(e->ctx);
}

/* What follows when our Close is out; again when the rest before it has gone. */
static void finish(struct engine *e)
{
	if (e->state == WEBSOCKET_STATE_CLOSE_RECEIVED)
		e->state = WEBSOCKET_STATE_CLOSED;
	/* RFC 6455 7.1.1: the server closes first, the client waits for it; 7.1.7: after a failure both close */
	if (e->state != WEBSOCKET_STATE_FAILED && (e->state != WEBSOCKET_STATE_CLOSED || engine_client(e)))
		return;
	e->fin_due = e->rest;
	if (!e->fin_due)
		engine_send_fin(e);
}

static void send_close(struct engine *e, const u8 *data, size_t len)
{
	/* without a masking key it is not sent, and the connection ends when its time is over */
	if (!engine_send_control(e, WS_OP_CLOSE, data, len) || !e->error) {
		e->close_waits = true;
		e->close_sent = engine_now_ms();
	}
	finish(e);
}

/* A Close with a code and no reason; WS_CLOSE_NO_STATUS: without either (RFC 6455 7.4.1). */
static void send_close_code(struct engine *e, u16 code)
{
	u8 data[2] = { code >> 8, code };

	e->sent_code = code;
	send_close(e, data, code == WS_CLOSE_NO_STATUS ? 0 : 2);
}

/* The application sends Close; its payload was checked. */
void engine_send_close(struct engine *e, const u8 *data, size_t len)
{
	ws_close_check(data, len, &e->sent_code);
	e->state = WEBSOCKET_STATE_CLOSE_SENT;
	send_close(e, data, len);
	engine_settle(e);
}

void engine_shutdown(struct engine *e, u16 code)
{
	engine_settle(e);
	if (e->state != WEBSOCKET_STATE_OPEN)
		return;
	e->state = WEBSOCKET_STATE_CLOSE_SENT;
	send_close_code(e, code);
}

enum ws_failure engine_received_close(struct engine *e, const u8 *data, size_t len)
{
	enum ws_failure failure = ws_close_check(data, len, &e->peer_code);

	if (failure) {
		e->peer_code = 0;
		return failure;
	}
	e->reason = len > 2 ? malloc(len - 2) : NULL;
	if (e->reason) {
		e->reason_len = len - 2;
		memcpy(e->reason, data + 2, len - 2);
	}
	return WS_FAIL_NONE;
}

/* The peer's Close was received: answer it (RFC 6455 5.5.1), or it is the answer. */
void engine_reply_close(struct engine *e)
{
	bool answer = e->state == WEBSOCKET_STATE_CLOSE_SENT;

	e->state = WEBSOCKET_STATE_CLOSE_RECEIVED;
	if (answer)
		finish(e);
	else
		send_close_code(e, e->peer_code);
}

void engine_received_pong(struct engine *e, const u8 *data, size_t len)
{
	if (!e->ping_timed || len != sizeof(e->ping_id) || memcmp(data, &e->ping_id, len))
		return;
	e->ping_timed = false;
	e->rtt_us = engine_now_us() - e->ping_us;
	e->rtt_us += !e->rtt_us;
}

/* RFC 6455 5.5.2, 5.5.3: one that cannot leave waits, in the place of an earlier one. */
void engine_pong(struct engine *e, const u8 *data, size_t len)
{
	/* RFC 6455 5.5.2: "unless it already received a Close frame" */
	if (e->state > WEBSOCKET_STATE_CLOSE_SENT)
		return;
	if (!e->pong && !engine_send_control(e, WS_OP_PONG, data, len)) {
		e->tx_pongs++;
		return;
	}
	if (!e->pong)
		e->pong = malloc(1 + WS_CONTROL_MAX);
	if (!e->pong)
		return;
	e->pong[0] = len;
	memcpy(e->pong + 1, data, len);
}

/* The errno that every call gets from now on, behind the messages that are complete. */
void engine_set_error(struct engine *e, int error)
{
	if (!e->error)
		e->error = error;
}

void engine_look_for_reset(struct engine *e)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int err = 0;

	/* ws_mirror_error() */
	if (!e->ended || e->eof || e->ending || engine_rx_ended(e) || getsockopt(e->fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
	    info.tcpi_state != TCP_CLOSE)
		return;
	len = sizeof(err);
	if (!getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &err, &len) && err)
		engine_set_error(e, err == EPIPE ? ECONNRESET : err);
}

/* Fails the connection (RFC 6455 7.1.7), once. */
void engine_fail(struct engine *e, enum ws_failure failure)
{
	u16 code = failures[failure].code;
	bool close_sent = e->state != WEBSOCKET_STATE_OPEN;

	if (e->state == WEBSOCKET_STATE_FAILED)
		return;
	engine_set_error(e, failures[failure].error);
	e->state = WEBSOCKET_STATE_FAILED;
	e->ending = 0;
	if (code && !close_sent)
		send_close_code(e, code);
	else
		finish(e);
	engine_drop(e);
}

/* See ENDING IN ORDER in kmod/control.c. */
bool engine_defer(struct engine *e, u8 ending, bool unread)
{
	if ((!unread && !e->in_hand) || e->state != WEBSOCKET_STATE_OPEN || e->error)
		return false;
	e->ending = ending;
	e->ending_since = engine_now_ms();
	return true;
}

u64 engine_patience(const struct engine *e)
{
	return engine_readable(e) || e->tx_opcode || e->rest ? e->close_timeout_ms : IN_HAND_MS;
}

void engine_settle(struct engine *e)
{
	u8 ending = e->ending;

	e->ending = 0;
	if (ending == ENDING_CLOSE) {
		engine_reply_close(e);
		engine_drop(e);
	} else if (ending) {
		engine_fail(e, ending);
	}
}

void engine_ask(struct engine *e)
{
	if (engine_readable(e))
		return;
	e->in_hand = false;
	engine_settle(e);
}

void engine_in_hand(struct engine *e)
{
	e->in_hand = true;
	if (e->ending)
		e->ending_since = engine_now_ms();
}

/*
 * Bytes in
 */

/* The reader, or the scan, is done with them. */
void engine_consume(struct engine *e, u64 n)
{
	e->head += n;
	e->start += n;
	if (e->head != e->tail)
		return;
	free(e->buf);
	e->buf = NULL;
	e->start = e->room = 0;
}

/* Moves what is buffered to a buffer of this size. */
static bool resize(struct engine *e, size_t size)
{
	size_t len = e->tail - e->head;
	u8 *buf = malloc(size);

	if (!buf)
		return false;
	if (len)
		memcpy(buf, e->buf + e->start, len);
	free(e->buf);
	e->buf = buf;
	e->start = 0;
	e->room = size;
	return true;
}

bool engine_may_read(const struct engine *e)
{
	return !e->ended && !e->ending && e->tail - e->head < (engine_readable(e) ? READ_AHEAD : HOLD_MAX);
}

/* Reads what there is; of what is done with at once, pings say, only so much: the caller has other things to do. */
static void fill(struct engine *e)
{
	size_t gone = 0;

	e->more = e->drained = false;
	while (engine_may_read(e)) {
		size_t len = e->tail - e->head, room = e->room - e->start - len;
		ssize_t n;

		e->more = gone >= GONE_MAX;
		if (e->more)
			break;
		if (room < READ_SIZE / 4) {
			if (!resize(e, len < READ_SIZE / 2 ? READ_SIZE : 2 * len + READ_SIZE))
				return;		/* later, perhaps */
			room = e->room - len;
		}
		n = e->transport->read(e->ctx, e->buf + e->start + len, room);
		if (n <= 0) {
			e->drained = true;
			e->ended = n != -EAGAIN;
			if (n < 0 && e->ended && !engine_rx_ended(e) && !e->ending && !e->eof)
				engine_set_error(e, -n);
			break;
		}
		e->received = engine_now_ms();
		e->tail += n;
		engine_scan(e);
		gone += len + n - (e->tail - e->head);
		/* the caller comes again for what is behind it */
		if ((size_t)n < room && engine_readable(e))
			break;
	}
	/* what stays may stay for long */
	if (e->buf && e->head == e->tail)
		engine_consume(e, 0);
	else if (e->buf && !engine_readable(e) && e->tail - e->head < e->room / 4)
		resize(e, e->tail - e->head);
}

void engine_read_on(struct engine *e)
{
	u64 tail;

	do {
		tail = e->tail;
		fill(e);
	} while (e->tail != tail && engine_may_read(e) && !e->drained && !e->more);
}

/*
 * The calls
 */

static void send_waiting(struct engine *e)
{
	if (e->rest && engine_flush(e) == -EAGAIN)
		return;
	if (e->fin_due)
		finish(e);
	if (e->ping_due)
		engine_ping(e);
	if (e->pong && (e->state > WEBSOCKET_STATE_CLOSE_SENT || e->error)) {
		free(e->pong);
		e->pong = NULL;
	} else if (e->pong && engine_send_control(e, WS_OP_PONG, e->pong + 1, e->pong[0]) != -EAGAIN) {
		e->tx_pongs++;
		free(e->pong);
		e->pong = NULL;
	}
}

void engine_run(struct engine *e)
{
	fill(e);
	engine_run_timers(e);
	if (e->rest || e->fin_due || e->pong || e->ping_due)
		send_waiting(e);
}

short engine_events(const struct engine *e)
{
	short events = (engine_may_read(e) ? POLLIN : 0) | (e->rest || e->pong || e->ping_due ? POLLOUT : 0);

	return events | (e->transport->events ? e->transport->events(e->ctx) : 0);
}

bool engine_pending(const struct engine *e)
{
	return engine_readable(e) || e->error || e->ending || ((e->ended || engine_rx_ended(e)) && !engine_closing(e));
}

short engine_poll(const struct engine *e)
{
	struct pollfd p = { .fd = e->fd, .events = POLLOUT | POLLRDHUP };
	short mask = poll(&p, 1, 0) < 0 ? 0 : p.revents;
	bool error = e->error || (e->ending && e->ending != ENDING_CLOSE);

	if (engine_readable(e))
		mask = (mask & ~POLLERR) | POLLIN;
	else if (error)
		mask |= POLLIN | POLLERR;
	else if (engine_pending(e))
		mask |= POLLIN;
	if (e->ending || engine_rx_ended(e))
		mask |= POLLRDHUP;
	if (e->rest && !error)
		mask &= ~POLLOUT;
	return mask;
}

/* When a blocking call gives up, by the socket's own time limit. */
static u64 time_limit(int fd, int option)
{
	struct timeval t = { 0 };
	socklen_t len = sizeof(t);

	if (getsockopt(fd, SOL_SOCKET, option, &t, &len) || (!t.tv_sec && !t.tv_usec))
		return UINT64_MAX;
	return engine_now_ms() + t.tv_sec * 1000 + (t.tv_usec + 999) / 1000;
}

int engine_wait(struct engine *e, bool sending, int flags, u64 *deadline)
{
	struct pollfd p = { .fd = e->fd, .events = engine_events(e) | (sending ? POLLOUT : 0) };
	int timeout = engine_timeout(e);
	u64 now;

	if (flags & MSG_DONTWAIT || fcntl(e->fd, F_GETFL) & O_NONBLOCK)
		return -EAGAIN;
	if (!*deadline)
		*deadline = time_limit(e->fd, sending ? SO_SNDTIMEO : SO_RCVTIMEO);
	now = engine_now_ms();
	if (now >= *deadline)
		return -EAGAIN;
	if (*deadline != UINT64_MAX && (timeout < 0 || *deadline - now < (u64)timeout))
		timeout = *deadline - now;
	return poll(&p, 1, timeout) < 0 ? -errno : 0;
}

/*
 * Life
 */

int engine_configure(struct engine *e, const struct websocket_config *cfg)
{
	static const struct websocket_config defaults;
	int err;

	if (!cfg)
		cfg = &defaults;
	err = engine_check_config(cfg);
	/* the frames that are buffered were judged by the role */
	if (!err && e->transport && (cfg->flags ^ e->flags) & WEBSOCKET_F_CLIENT)
		err = -EINVAL;
	if (err)
		return err;
	e->flags = cfg->flags;
	e->max_message = cfg->max_message ? cfg->max_message : DEFAULT_MAX_MESSAGE;
	e->ping_interval_ms = cfg->ping_interval_ms;
	e->pong_timeout_ms = cfg->pong_timeout_ms ? cfg->pong_timeout_ms : DEFAULT_PONG_MS;
	e->close_timeout_ms = cfg->close_timeout_ms ? cfg->close_timeout_ms : DEFAULT_CLOSE_MS;
	engine_jitter(e);
	return 0;
}

void engine_get_config(const struct engine *e, struct websocket_config *cfg)
{
	*cfg = (struct websocket_config){
		.flags = e->flags,
		.ping_interval_ms = e->ping_interval_ms,
		.max_message = e->max_message,
		.pong_timeout_ms = e->pong_timeout_ms,
		.close_timeout_ms = e->close_timeout_ms,
	};
}

struct engine *engine_new_over(int fd, const struct websocket_config *config, const struct transport *transport, void *ctx)
{
	struct engine *e = calloc(1, sizeof(*e));
	int err = e ? engine_configure(e, config) : -ENOMEM;

	if (err) {
		free(e);
		errno = -err;
		return NULL;
	}
	e->transport = transport;
	e->ctx = ctx;
	e->fd = fd;
	e->state = WEBSOCKET_STATE_OPEN;
	e->received = engine_now_ms();
	engine_run(e);
	return e;
}

struct engine *engine_new(int fd, const struct websocket_config *config)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int on = 1;

	/* where it is TCP: as the kernel's protocol refuses it */
	if (!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) && info.tcpi_state != TCP_ESTABLISHED &&
	    info.tcpi_state != TCP_CLOSE_WAIT) {
		errno = ENOTCONN;
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* the stream has no urgent byte: one that TCP takes out would be missing in a message */
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	return engine_new_over(fd, config, &socket_transport, (void *)(intptr_t)fd);
}

/* As close() of the kernel's socket: Close before the end if nothing is lost by it, a reset if messages are unread. */
void engine_free(struct engine *e)
{
	struct linger linger = { 0 };
	socklen_t len = sizeof(linger);
	unsigned int runs = 0;
	bool abort;

	if (!e)
		return;
	/* a message, or Close, may be behind what was done with at once */
	do
		engine_run(e);
	while (e->more && ++runs < FREE_RUNS);
	getsockopt(e->fd, SOL_SOCKET, SO_LINGER, &linger, &len);
	abort = engine_readable(e) || (e->more && e->state == WEBSOCKET_STATE_OPEN) || e->cut || e->error == ETIMEDOUT ||
		(linger.l_onoff && !linger.l_linger);
	if (!abort)
		engine_shutdown(e, WS_CLOSE_NORMAL);
	e->transport->close(e->ctx, abort);
	free(e->buf);
	free(e->rest);
	free(e->pong);
	free(e->reason);
	free(e);
}

void engine_info(const struct engine *e, struct websocket_info *info)
{
	*info = (struct websocket_info){
		.state = e->error ? WEBSOCKET_STATE_FAILED : e->state,
		.sent_close_code = e->sent_code,
		.received_close_code = e->peer_code,
		.close_reason_len = e->reason_len,
		.error = e->error,
		.flags = e->flags,
		.rx_messages = e->rx_messages, .rx_frames = e->rx_frames, .rx_bytes = e->rx_bytes,
		.tx_messages = e->tx_messages, .tx_frames = e->tx_frames, .tx_bytes = e->tx_bytes,
		.rx_pings = e->rx_pings, .rx_pongs = e->rx_pongs,
		.tx_pings = e->tx_pings, .tx_pongs = e->tx_pongs,
		.rtt_us = e->rtt_us,
		.unread_bytes = engine_readable(e) ? e->ready - e->head : 0,
		.partial_bytes = e->scan_opcode ? e->message_len : 0,
	};
}
