// SPDX-License-Identifier: GPL-2.0
/*
 * The way out over kTLS: what is to be sent (ws->rest) goes to TLS' sendmsg(), and a close_notify behind the last of it.
 *
 * DESIGN NOTES
 *
 * It is called without the lock, by one task at a time (tls->pushing; DESIGN NOTES in tls.c), never waits for room, and encrypts
 * straight from our pages. What TLS does not take stays the rest; the socket's write_space or its timer makes somebody try again.
 */
#include <linux/tls.h>
#include <net/tls.h>
#include "compat/compat.h"
#include "stats.h"
#include "tls.h"

/* In the last call that can send: a signal alone does not make it leave something behind. */
#define PUSH_TRIES	5

/* A call of TLS' sendmsg() without the lock. A control frame passes Nagle and TCP_CORK, whose options wait: ws_tls_nagle(). */
static int encrypt(struct sock *sk, struct ws *ws, struct msghdr *msg, size_t size)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct ws_tls *tls = ws->tls;
	bool uncork = tls->uncork, again = false;
	u8 nonagle = tp->nonagle;
	int err = 0, n;

	tls->uncork = false;
	if (uncork)
		tp->nonagle = TCP_NAGLE_OFF | TCP_NAGLE_PUSH;
again:
	/* one that has not ended the connection is for the program: ws_tx_control() */
	if (sk->sk_state != TCP_CLOSE)
		err = xchg(&sk->sk_err, 0) ?: err;
	tls->room = false;
	msg->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	WRITE_ONCE(tls->pushing, true);
	release_sock(sk);
	/* a thread that came before the attach may sleep there: the work item, which serves others too, does not wait for it */
	if (unlikely(current->flags & PF_WQ_WORKER) && !tls->closing && mutex_is_locked(&tls_get_ctx(sk)->tx_lock))
		n = -EAGAIN;
	else
		n = ws->base->prot->sendmsg(sk, msg, size);
	lock_sock(sk);
	ws_tls_done(tls, &tls->pushing);
	/* a record that cannot be read stops TLS for once only, and before it takes anything */
	if (unlikely(n == -EBADMSG && !again && iov_iter_count(&msg->msg_iter) == size && sk->sk_state != TCP_CLOSE)) {
		again = true;
		goto again;
	}
	if (uncork)
		tp->nonagle = nonagle;
	/* what was not taken is tried again */
	if (uncork && n != size)
		tls->uncork = true;
	if (unlikely(err))
		cmpxchg(&sk->sk_err, 0, err);
	return n;
}

/**
 * ws_tls_nagle() - TCP_NODELAY and TCP_CORK: not while a control frame passes them
 * @sk: the socket
 * @ws: its context
 * @name: the option
 * @val: what the caller gave
 * @len: bytes of it
 * Context: process, without the lock
 */
int ws_tls_nagle(struct sock *sk, struct ws *ws, int name, sockptr_t val, unsigned int len)
{
	struct ws_tls *tls = ws->tls;
	int value, err;

	/* reading it may take as long as the program likes */
	if (len < sizeof(value))
		return -EINVAL;
	if (copy_from_sockptr(&value, val, sizeof(value)))
		return -EFAULT;
	lock_sock(sk);
	ws_tls_wait(sk, tls, &tls->pushing);
	WRITE_ONCE(tls->pushing, true);
	release_sock(sk);
	err = ws->base->prot->setsockopt(sk, SOL_TCP, name, KERNEL_SOCKPTR(&value), sizeof(value));
	lock_sock(sk);
	ws_tls_done(tls, &tls->pushing);
	ws_tls_push(sk, ws);
	release_sock(sk);
	return err;
}

/* It was not taken, or not all: when to try again. False: never. */
static bool try_later(struct sock *sk, struct ws *ws, int err)
{
	switch (err) {
	case -EAGAIN:
	case -ENOMEM:
		if (sk->sk_socket)
			set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		if (!sk_stream_memory_free(sk))
			return true;
		/* room came meanwhile; or there was no memory, or another thread has TLS' mutex */
		if (ws->tls->room)
			ws_tls_kick(ws);
		else
			ws_timer_retry_memory(sk, ws);
		return true;
	case -EINTR:
	case -ERESTARTSYS:
		/* a signal, and TLS' own work has its mutex */
		ws_tls_kick(ws);
		return true;
	case -EPIPE:
	case -EBADMSG:
		break;
	default:
		/* TLS has failed, or the connection ended; else it was in sk_err, is for the program, and nothing was lost by it */
		if (sk->sk_state == TCP_CLOSE || sk->sk_err == EBADMSG)
			break;
		cmpxchg(&sk->sk_err, 0, -err);
		ws_timer_retry_memory(sk, ws);
		return true;
	}
	ws->tls->broken = true;
	ws_mirror_error(sk, ws);
	return false;
}

/* Hands ws->rest to TLS. False: not now. */
static bool push_rest(struct sock *sk, struct ws *ws)
{
	struct bio_vec one = { .bv_page = ws->rest.page, .bv_offset = ws->rest.off, .bv_len = ws->rest.len };
	struct ws_more *more = ws->rest.more;
	struct bio_vec *bv = &one;
	unsigned int i, nr = 1;
	struct msghdr msg = {};
	size_t size = 0;
	int n;

	if (more) {
		/* the piece in ws->rest itself is the one before the next */
		bv = &more->bv[more->next - 1];
		*bv = one;
		nr = more->nr - (more->next - 1);
	}
	for (i = 0; i < nr; i++)
		size += bv[i].bv_len;
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, bv, nr, size);
	n = encrypt(sk, ws, &msg, size);
	if (n > 0)
		ws_tx_advance(ws, n);
	if (n == size)
		return true;
	try_later(sk, ws, min(n, 0) ?: -EAGAIN);
	return false;
}

/* Our last record. False: not now. */
static bool push_alert(struct sock *sk, struct ws *ws)
{
	struct ws_tls *tls = ws->tls;
	u8 cbuf[CMSG_SPACE(sizeof(u8))] __aligned(sizeof(size_t)) = {};
	u8 payload[2] = { tls->alert ? 2 : 1, tls->alert };
	struct kvec kv = { .iov_base = payload, .iov_len = sizeof(payload) };
	struct msghdr msg = { .msg_control = cbuf, .msg_controllen = CMSG_LEN(sizeof(u8)) };
	struct cmsghdr *cmsg = (void *)cbuf;
	int n;

	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(sizeof(u8));
	*(u8 *)CMSG_DATA(cmsg) = WS_TLS_ALERT;
	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, &kv, 1, sizeof(payload));
	/* nothing may follow it */
	tls->notified = true;
	n = encrypt(sk, ws, &msg, sizeof(payload));
	if (n < 0 && try_later(sk, ws, n))
		tls->notified = false;
	return n > 0;
}

/* Something waits behind ws->rest, or for room. */
static bool waited_for(const struct sock *sk, const struct ws *ws)
{
	/* behind ws->rest: ws_poll() says that it waits, and then looks at that */
	smp_mb();
	return ws->pong || ws->ping_due || ws->close_due || ws->fin_due || ws->end_due ||
	       (sk->sk_socket && test_bit(SOCK_NOSPACE, &sk->sk_socket->flags));
}

static bool alert_due(const struct ws *ws)
{
	return ws->fin_due && !ws->tls->notified && !ws->tls->broken;
}

/**
 * ws_tls_promise() - the caller calls ws_tls_push() before it drops the lock
 * @ws: its context
 */
void ws_tls_promise(struct ws *ws)
{
	ws->tls->promise = true;
}

/**
 * ws_tls_uncork() - a control frame is among what is to be sent
 * @ws: its context
 */
void ws_tls_uncork(struct ws *ws)
{
	ws->tls->uncork = true;
}

/**
 * ws_tls_pong() - a pong is among what is to be sent
 * @ws: its context
 */
void ws_tls_pong(struct ws *ws)
{
	ws->tls->pong = true;
}

/**
 * ws_tls_pong_waits() - is it still?
 * @ws: its context
 */
bool ws_tls_pong_waits(const struct ws *ws)
{
	return ws->tls->pong;
}

/**
 * ws_tls_push() - hand to TLS what is to be sent, and what follows from that
 * @sk: the socket
 * @ws: its context
 *
 * Drops the lock meanwhile. If another task is pushing, it goes on with what is there now.
 * Context: process, owner
 */
void ws_tls_push(struct sock *sk, struct ws *ws)
{
	struct ws_tls *tls = ws->tls;

	ws_assert_locked(sk);
	tls->promise = false;
	if (tls->pushing)
		return;
	/* nobody comes back to add to it */
	if (ws->fin_due)
		WRITE_ONCE(ws->held, false);
	while (!tls->broken && !tls->notified) {
		if (ws->rest.page && !ws->held) {
			if (!push_rest(sk, ws))
				break;
		} else if (!alert_due(ws)) {
			break;
		} else if (!push_alert(sk, ws)) {
			break;
		}
		if (tls->pong) {
			tls->pong = false;
			ws->pong_seq = tcp_sk(sk)->write_seq;
		}
		if (waited_for(sk, ws)) {
			tls->promise = true;
			ws_tx_run(sk, ws);
			tls->promise = false;
		}
	}
}

/* The send buffer takes whatever there is, also at TCP's memory limit, until narrow() was called as often. */
static void widen(struct sock *sk, struct ws_tls *tls)
{
	struct tcp_sock *tp = tcp_sk(sk);

	if (tls->wide++)
		return;
	tls->sndbuf = sk->sk_sndbuf;
	tls->notsent_lowat = tp->notsent_lowat;
	tls->sndbuf_lock = sk->sk_userlocks & SOCK_SNDBUF_LOCK;
	sk->sk_userlocks &= ~SOCK_SNDBUF_LOCK;
	WRITE_ONCE(sk->sk_sndbuf, INT_MAX);
	WRITE_ONCE(tp->notsent_lowat, UINT_MAX);
}

/* What it was, unless the program has set it meanwhile. Behind close() TLS sends what it has still got. */
static void narrow(struct sock *sk, struct ws_tls *tls)
{
	if (--tls->wide || tls->closing)
		return;
	/* else it has; at its limit TCP makes the buffer small */
	if (!(sk->sk_userlocks & SOCK_SNDBUF_LOCK)) {
		sk->sk_userlocks |= tls->sndbuf_lock;
		WRITE_ONCE(sk->sk_sndbuf, tls->sndbuf);
	}
	cmpxchg(&tcp_sk(sk)->notsent_lowat, UINT_MAX, tls->notsent_lowat);
}

/* Something is left that could go. */
static bool unsent(const struct sock *sk, const struct ws *ws, bool end)
{
	const struct ws_tls *tls = ws->tls;

	return !tls->broken && !tls->notified && ws_tx_allowed(sk) && (ws->rest.page || end);
}

/**
 * ws_tls_push_all() - send also into a full send buffer: nobody will do it later
 * @sk: the socket
 * @ws: its context
 * @end: and end sending: with an alert, behind which FIN may go
 * Context: process, owner
 */
void ws_tls_push_all(struct sock *sk, struct ws *ws, bool end)
{
	struct ws_tls *tls = ws->tls;
	unsigned int tries = 0;
	u32 seq;

	ws_tls_wait(sk, tls, &tls->pushing);
	WRITE_ONCE(ws->held, false);
	widen(sk, tls);
	do {
		seq = tcp_sk(sk)->write_seq;
		ws_tls_push(sk, ws);
		if (end && !ws->rest.page && unsent(sk, ws, end))
			push_alert(sk, ws);
		if (!unsent(sk, ws, end))
			break;
		/* a signal is there, and TLS' own work has its mutex for a moment */
		if (signal_pending(current)) {
			tries++;
			release_sock(sk);
			schedule_timeout_uninterruptible(1);
			lock_sock(sk);
		} else if (seq == tcp_sk(sk)->write_seq) {
			break;
		}
	} while (tries < PUSH_TRIES);
	narrow(sk, tls);
}

/**
 * ws_tls_push_held() - what was held back goes
 * @sk: the socket
 * @ws: its context
 *
 * Drops the lock meanwhile.
 * Context: process, owner
 */
void ws_tls_push_held(struct sock *sk, struct ws *ws)
{
	WRITE_ONCE(ws->held, false);
	ws_tls_push(sk, ws);
}

/**
 * ws_tls_wait_push() - before a send: nothing of what was to go before is left, if TLS takes it
 * @sk: the socket
 * @ws: its context
 *
 * The caller promises to push afterwards.
 * Context: process, owner
 */
void ws_tls_wait_push(struct sock *sk, struct ws *ws)
{
	ws_tls_wait(sk, ws->tls, &ws->tls->pushing);
	ws_tls_push(sk, ws);
}

/**
 * ws_tls_flush() - what ws_tx_flush() is over TLS: somebody will push
 * @sk: the socket
 * @ws: its context
 * Return: as ws_tx_flush()
 */
int ws_tls_flush(struct sock *sk, struct ws *ws)
{
	struct ws_tls *tls = ws->tls;

	if (tls->broken || tls->notified)
		return -EPIPE;
	if (!ws->rest.page)
		return 0;
	if (!ws_tx_allowed(sk))
		return -EPIPE;
	/* the caller pushes; if not all goes, it is told then when there is room */
	if (tls->promise)
		return -EAGAIN;
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	if (tls->pushing)
		tls->room = true;
	else if (sk_stream_memory_free(sk))
		ws_tls_kick(ws);
	return -EAGAIN;
}

/**
 * ws_tls_joins() - may a control frame try to join what is to be sent, which nobody is sending yet?
 * @ws: its context
 *
 * It does if it lies right behind that in memory, as frames of one burst do: many pongs go out together.
 */
bool ws_tls_joins(const struct ws *ws)
{
	const struct ws_tls *tls = ws->tls;

	return ws->rest.page && !tls->pushing && !tls->notified && !tls->broken;
}

/**
 * ws_tls_fin_waits() - has FIN to wait for TLS?
 * @sk: the socket
 * @ws: its context
 *
 * For the rest, for the alert, which somebody will push, and until TCP has got all of it.
 */
bool ws_tls_fin_waits(struct sock *sk, struct ws *ws)
{
	const struct tls_context *ctx = tls_get_ctx(sk);
	struct ws_tls *tls = ws->tls;

	if (tls->broken || !ws_tx_allowed(sk))
		return false;
	if (ws->rest.page)
		return true;
	if (!tls->notified) {
		set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		if (!tls->pushing && sk_stream_memory_free(sk))
			ws_tls_kick(ws);
		return true;
	}
	if (tls->pushing || ctx->partially_sent_record || !list_empty(&tls_sw_ctx_tx(ctx)->tx_list)) {
		ws_timer_retry_memory(sk, ws);
		return true;
	}
	return false;
}
