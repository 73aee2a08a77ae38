// SPDX-License-Identifier: GPL-2.0
/*
 * The read cursor: recvmsg(), which copies payload out of the receive queue, unmasks it on the way and checks its UTF-8.
 *
 * DESIGN NOTES
 *
 * A call works on a copy of the cursor (struct take): headers are decoded again from the queue, payload is copied, records are
 * put, and only then the copy becomes ws->read and the bytes are consumed. So EFAULT loses nothing, and MSG_PEEK is the same
 * call without the last step.
 *
 * The bytes may have changed since the scan looked at them. The decode here must fit what the scan found: every frame lies
 * before ws->scan. What does not fit fails the connection (UNSTABLE) and can never reach beyond the queue.
 */
#include <linux/errqueue.h>
#include <net/compat.h>
#include "compat/compat.h"
#include "core/utf8.h"
#include "source.h"
#include "unmask.h"
#include "websocket.h"
#include "whole.h"

/* Over TLS a caller who does not wait looks so often for a message behind what carries nothing. */
#define PULLS_ANYWAY	4

/* A call in progress. */
struct take {
	struct ws_read rd;
	u64 off;		/* stream offset of the cursor */
	struct ws_spot spot;
	size_t copied;		/* bytes in the caller's buffer */
	size_t start;		/* how many of them belong to the messages of a batch before this one */
	u8 opcode;		/* of this message */
	u8 flags;		/* WEBSOCKET_MSG_* */
	bool moved;		/* bytes of this call were consumed already (MSG_WAITALL) */
	u32 takes;		/* ws_read.takes then */
	enum ws_failure failure;
	unsigned int nr;	/* entries in batch[] */
	struct websocket_batch *batch;	/* NULL: no batches */
};

/* Result of taking from one message. */
enum took {
	TOOK_NOTHING,		/* no bytes; the cursor may have moved over frames without payload */
	TOOK_PART,		/* up to the end of the buffer, or of what has arrived */
	TOOK_SPLIT,		/* up to a control frame that is delivered by the next call */
	TOOK_ALL,		/* up to the end of the message */
	TOOK_FAULT,		/* the caller's buffer ended in a fault */
	TOOK_FAILURE,		/* the connection fails with take->failure */
};

static bool checks_text(const struct ws_read *rd)
{
	return rd->opcode == WS_OP_TEXT && !rd->control && rd->utf8 != WS_UTF8_UNCHECKED;
}

static enum took take_failure(struct take *t, enum ws_failure failure)
{
	t->failure = failure;
	return TOOK_FAILURE;
}

/* Copies @n bytes of payload at the cursor; they have arrived. */
static enum took take_payload(struct sock *sk, struct ws *ws, struct take *t, size_t n, struct iov_iter *iter)
{
	bool text = checks_text(&t->rd);
	enum took took = TOOK_PART;
	struct ws_wide wide = {};

	while (n && took == TOOK_PART) {
		size_t len, copied;
		const u8 *p = ws_source_chunk(sk, ws, &t->spot, t->off, &len);

		if (unlikely(!p)) {
			took = take_failure(t, WS_FAIL_UNREADABLE);
			break;
		}
		if (wide.done >= WS_WIDE_MAX)
			ws_wide_end(&wide);
		if (n >= WS_WIDE_MIN && !wide.on && t->rd.key)
			ws_wide_begin(&wide);
		len = min(len, n);
		copied = ws_unmask(iter, p, len, t->rd.key, text ? &t->rd.utf8 : NULL, &wide);
		if (text && t->rd.utf8 == WS_UTF8_BAD) {
			took = take_failure(t, WS_FAIL_UTF8);
			break;
		}
		t->rd.key = ws_mask_advance(t->rd.key, copied);
		t->rd.left -= copied;
		t->off += copied;
		t->copied += copied;
		n -= copied;
		if (copied < len)
			took = TOOK_FAULT;
	}
	ws_wide_end(&wide);
	return took;
}

/* Decodes the header at the cursor, which the scan has seen before. */
static enum ws_failure take_header(struct sock *sk, struct ws *ws, struct take *t, struct ws_header *h)
{
	u8 buf[WS_HEADER_ROOM];
	unsigned int n = ws_source_header(sk, ws, &t->spot, t->off, buf);

	if (ws_frame_decode(h, buf, n, !ws_client(ws), t->rd.opcode) <= 0 ||
	    h->size + h->len > ws->scan - t->off)
		return WS_FAIL_UNSTABLE;
	return WS_FAIL_NONE;
}

/* The cursor stands behind the last byte of a message. */
static enum took take_end(struct take *t)
{
	struct ws_read *rd = &t->rd;

	t->flags = WEBSOCKET_MSG_END;
	if (rd->control) {
		t->opcode = rd->control;
		rd->control = 0;
		if (!rd->control_begun)
			t->flags |= WEBSOCKET_MSG_BEGIN;
		return TOOK_ALL;
	}
	/* RFC 6455 8.1: text does not end within a character */
	if (checks_text(rd) && rd->utf8 != WS_UTF8_START)
		return take_failure(t, WS_FAIL_UTF8);
	if (!rd->begun)
		t->flags |= WEBSOCKET_MSG_BEGIN;
	t->opcode = rd->opcode;
	rd->opcode = 0;
	return TOOK_ALL;
}

/* The caller gets a message up to the cursor, which is not its end. */
static enum took take_part(struct take *t, enum took took)
{
	struct ws_read *rd = &t->rd;
	bool *begun = rd->control ? &rd->control_begun : &rd->begun;

	t->opcode = rd->control ?: rd->opcode;
	t->flags = *begun ? 0 : WEBSOCKET_MSG_BEGIN;
	return took;
}

/* Copies what there is of one message, as far as the buffer goes. */
static enum took take_message(struct sock *sk, struct ws *ws, struct take *t, struct iov_iter *iter)
{
	struct ws_read *rd = &t->rd;
	enum took took;

	while (t->off < ws->ready) {
		struct ws_header h;
		size_t n;

		if (!rd->left) {
			t->failure = take_header(sk, ws, t, &h);
			if (t->failure)
				return TOOK_FAILURE;
			/* a message of a batch is taken whole or left */
			if (t->nr && h.len > iov_iter_count(iter))
				return TOOK_PART;
			if (!ws_op_is_control(h.opcode)) {
				ws_rx_enter(ws, rd, &h);
			} else if (!ws_rx_delivers(ws, h.opcode)) {
				t->off += h.size + h.len;
				continue;
			} else if (t->copied > t->start) {
				return take_part(t, TOOK_SPLIT);
			} else {
				rd->control = h.opcode;
				rd->control_begun = false;
				rd->left = h.len;
				rd->key = h.key;
			}
			t->off += h.size;
			if (!h.len && (rd->control || rd->fin))
				return take_end(t);
			if (!h.len)
				continue;
		}
		n = min3(rd->left, ws->ready - min(ws->ready, t->off), (u64)iov_iter_count(iter));
		took = take_payload(sk, ws, t, n, iter);
		if (took == TOOK_FAILURE)
			return took;
		if (took == TOOK_FAULT)
			return t->copied > t->start ? take_part(t, took) : took;
		if (rd->left)
			break;
		if (rd->control || rd->fin)
			return take_end(t);
	}
	return take_part(t, t->copied > t->start || !iov_iter_count(iter) ? TOOK_PART : TOOK_NOTHING);
}

/* Whole messages: one, or, as entries of a batch, as many as there may be up to @max. False: take_message() has to. */
static bool take_messages(struct sock *sk, struct ws *ws, struct take *t, struct iov_iter *iter, unsigned int max)
{
	struct ws_run run = {};
	const u8 *p;
	size_t n;

	if (t->rd.left || t->rd.opcode || t->rd.control || t->off >= ws->ready)
		return false;
	p = ws_source_chunk(sk, ws, &t->spot, t->off, &n);
	if (!p || !ws_whole_copy(ws, p, min_t(u64, n, ws->ready - t->off), iter, max ? t->batch + t->nr : NULL,
				 max ? max - t->nr : 1, &run))
		return false;
	iov_iter_advance(iter, run.copied);
	t->opcode = run.opcode;
	t->flags = WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END;
	t->off += run.stream;
	t->copied += run.copied;
	if (max) {
		t->nr += run.nr;
		t->start = t->copied;
	}
	return true;
}

static void batch_add(struct take *t)
{
	t->batch[t->nr++] = (struct websocket_batch){
		.len = t->copied - t->start,
		.opcode = t->opcode,
		.flags = t->flags,
	};
	t->start = t->copied;
}

/* More messages behind the first, as long as they are there and fit whole. */
static void take_batch(struct sock *sk, struct ws *ws, struct take *t, struct iov_iter *iter, unsigned int max)
{
	while (t->nr < max && t->off < ws->ready) {
		struct ws_read rd = t->rd;
		u8 flags = t->flags;
		u64 off = t->off;

		if (take_messages(sk, ws, t, iter, max))
			continue;
		if (take_message(sk, ws, t, iter) != TOOK_ALL) {
			/* as if it had not been touched; a failure shows again when it is the first */
			iov_iter_revert(iter, t->copied - t->start);
			t->copied = t->start;
			t->off = off;
			t->rd = rd;
			t->flags = flags;
			t->spot = (struct ws_spot){};
			return;
		}
		batch_add(t);
	}
}

/* How many batch entries the caller's control buffer holds; 0: no batch. */
static unsigned int batch_room(const struct msghdr *msg)
{
	size_t head = CMSG_LEN(0);

	if (!msg->msg_control)
		return 0;
#ifdef CONFIG_COMPAT
	if (msg->msg_flags & MSG_CMSG_COMPAT)
		head = sizeof(struct compat_cmsghdr);
#endif
	if (msg->msg_controllen < head)
		return 0;
	return min_t(size_t, (msg->msg_controllen - head) / sizeof(struct websocket_batch), WEBSOCKET_BATCH_MAX);
}

/*
 * Steps over frames at the cursor that the scan has dealt with, so that they do not count as unread. Of a message that comes in parts
 * there may be such frames before ws->ready too.
 */
static enum ws_failure step_over(struct sock *sk, struct ws *ws, struct take *t)
{
	while (!t->rd.left && (t->off >= ws->ready || ws->streaming) && t->off < ws->scan) {
		struct ws_header h;

		if (take_header(sk, ws, t, &h))
			return WS_FAIL_UNSTABLE;
		if (ws_op_is_control(h.opcode) && (t->off >= ws->ready || !ws_rx_delivers(ws, h.opcode)))
			t->off += h.len;
		else if (ws_op_is_control(h.opcode) || h.len || h.fin)
			break;
		else
			ws_rx_enter(ws, &t->rd, &h);
		t->off += h.size;
	}
	return WS_FAIL_NONE;
}

/* The program has got the first @n bytes: they go back to TCP. */
static inline void consume(struct sock *sk, struct ws *ws, u64 n)
{
	/* until now the peer could not answer: its time begins when the window opens */
	if (unlikely(ws->ping_waits || ws->close_waits) && ws_source_shut(sk, ws))
		ws_timer_restart(ws);
	ws_source_consume(sk, ws, n);
	if (unlikely(ws->ending)) {
		ws->ending_since = tcp_jiffies32;
		ws_timer_arm(sk, ws);
	}
	WRITE_ONCE(ws->read.takes, ws->read.takes + 1);
	WRITE_ONCE(ws->in_hand, true);
	if (unlikely(ws->read.tell_takes)) {
		ws->read.tell_takes = false;
		/* which says nothing of a message: io_uring believes what it is told */
		ws->base->state_change(sk);
	}
}

/* The cursor becomes the socket's, the bytes before it go back to TCP. */
static void commit(struct sock *sk, struct ws *ws, struct take *t)
{
	enum ws_failure failure;

	if (t->copied && !(t->flags & WEBSOCKET_MSG_END)) {
		if (t->rd.control)
			t->rd.control_begun = true;
		else
			t->rd.begun = true;
	}
	failure = step_over(sk, ws, t);
	if (unlikely(t->off > ws_source_tail(ws))) {
		failure = WS_FAIL_UNSTABLE;
		t->off = ws_source_tail(ws);
	}
	ws->read = t->rd;
	consume(sk, ws, t->off - ws->head);
	t->spot = (struct ws_spot){};
	t->moved = true;
	t->takes = ws->read.takes;
	if (failure)
		ws_fail(sk, ws, failure);
	else if (ws_rx_waits(ws))
		ws_rx_run(sk, ws);
}

static bool sees_records(const struct msghdr *msg)
{
	return msg->msg_control && msg->msg_controllen;
}

static int put_record(struct msghdr *msg, u8 opcode, u8 flags, u16 close_code, u64 frame_left)
{
	struct websocket_msg record = {
		.opcode = opcode,
		.flags = flags,
		.close_code = close_code,
		.frame_left = frame_left,
	};

	if (!sees_records(msg))
		return 0;
	return put_cmsg(msg, SOL_WEBSOCKET, WEBSOCKET_MSG, sizeof(record), &record);
}

static int put_batch(struct msghdr *msg, struct websocket_batch *batch, unsigned int nr)
{
	return put_cmsg(msg, SOL_WEBSOCKET, WEBSOCKET_BATCH, nr * sizeof(*batch), batch);
}

static int put_records(struct msghdr *msg, struct take *t)
{
	if (t->nr)
		return put_batch(msg, t->batch, t->nr);
	return put_record(msg, t->opcode, t->flags, 0, t->flags & WEBSOCKET_MSG_END ? 0 : t->rd.left);
}

/* A caller who cannot see records would take an empty message for the end. */
static bool hides_message(const struct msghdr *msg, const struct take *t, enum took took)
{
	return took == TOOK_ALL && !t->copied && !sees_records(msg);
}

/* Takes what there is; puts nothing, consumes nothing. A failure ends what can be delivered at the message before. */
static enum took receive_some(struct sock *sk, struct ws *ws, struct msghdr *msg, struct take *t, unsigned int max)
{
	size_t copied = t->copied;
	u8 opcode = t->opcode, flags = t->flags;
	enum took took;

	if (take_messages(sk, ws, t, &msg->msg_iter, max)) {
		if (max)
			take_batch(sk, ws, t, &msg->msg_iter, max);
		return TOOK_ALL;
	}
	took = take_message(sk, ws, t, &msg->msg_iter);
	if (took == TOOK_FAILURE) {
		iov_iter_revert(&msg->msg_iter, t->copied - copied);
		t->copied = copied;
		t->opcode = opcode;
		t->flags = flags;
		return took;
	}
	/* MSG_WAITALL: what earlier rounds took belongs to the same message */
	t->flags |= flags & WEBSOCKET_MSG_BEGIN;
	if (max && took != TOOK_NOTHING && t->copied + (took == TOOK_ALL)) {
		batch_add(t);
		if (took == TOOK_ALL)
			take_batch(sk, ws, t, &msg->msg_iter, max);
	}
	return took;
}

/* MSG_WAITALL, and the rest will not come in time, or not to this call. */
static int short_of_all(struct msghdr *msg, struct take *t)
{
	if (t->batch && batch_room(msg))
		batch_add(t);
	if (put_records(msg, t))
		msg->msg_flags |= MSG_CTRUNC;
	return t->copied;
}

/*
 * What recvmsg() does while something can be delivered.
 * Returns bytes or -errno in *@ret and true when the call is done; false: go on, or wait for more.
 */
static bool receive(struct sock *sk, struct ws *ws, struct msghdr *msg, int flags, struct take *t, int *ret)
{
	bool peek = flags & MSG_PEEK, waits = flags & MSG_WAITALL && !peek;
	u64 start;
	enum took took;

	/* MSG_WAITALL: another reader has gone on with the message meanwhile, and what comes now may be of the next one */
	if (unlikely(t->copied && t->takes != ws->read.takes)) {
		*ret = short_of_all(msg, t);
		return true;
	}
	if (!peek || t->off <= ws->head) {
		t->rd = ws->read;
		t->off = ws->head;
		t->spot = (struct ws_spot){};
	}
	start = t->off;
	took = receive_some(sk, ws, msg, t, t->batch && !waits ? batch_room(msg) : 0);
	if (took == TOOK_FAILURE) {
		/* everything before it was delivered, or stepped over by MSG_PEEK */
		WRITE_ONCE(ws->ready, start);
		ws_fail(sk, ws, t->failure);
		return false;
	}
	if (took == TOOK_FAULT && !t->copied) {
		*ret = -EFAULT;
		return true;
	}
	if (took == TOOK_NOTHING || hides_message(msg, t, took)) {
		if (!peek) {
			ws->skipped_messages += took == TOOK_ALL && t->flags & WEBSOCKET_MSG_BEGIN;
			t->flags = 0;
			commit(sk, ws, t);
		}
		cond_resched();
		return false;
	}
	if (took == TOOK_PART && waits && iov_iter_count(&msg->msg_iter)) {
		commit(sk, ws, t);
		return false;
	}
	*ret = put_records(msg, t);
	if (*ret && !t->moved)
		return true;
	if (*ret)
		msg->msg_flags |= MSG_CTRUNC;
	if (took == TOOK_ALL)
		msg->msg_flags |= MSG_EOR;
	*ret = t->copied;
	if (!peek)
		commit(sk, ws, t);
	return true;
}

/* The end of the stream, which is final: the same result every time. False: it has not come. */
static bool at_end(struct sock *sk, struct ws *ws, struct msghdr *msg, int *ret)
{
	u16 code = WS_CLOSE_ABNORMAL;

	ws_mirror_error(sk, ws);
	if (ws->error && !ws->eof) {
		*ret = -ws->error;
		return true;
	}
	if (ws_rx_ended(ws) && !ws->eof) {
		code = ws->peer_code;
	} else if (unlikely(sk->sk_err) && !ws->eof) {
		/* does not end the connection; 0: SO_ERROR has taken it meanwhile */
		*ret = sock_error(sk);
		return *ret;
	} else if (!ws_source_ended(sk, ws)) {
		return false;
	} else {
		ws->eof = true;
	}
	*ret = put_record(msg, WS_OP_CLOSE, 0, code, 0);
	return true;
}

/* Behind the messages that are there comes the end, or an error. */
static bool over(const struct sock *sk, const struct ws *ws)
{
	return READ_ONCE(ws->error) || ws_rx_ended(ws) || READ_ONCE(sk->sk_err) || ws_source_ended(sk, ws);
}

/* @from: what comes before it was looked at already (MSG_PEEK) */
static bool something_is(const struct sock *sk, const struct ws *ws, u64 from)
{
	return READ_ONCE(ws->ready) > max(READ_ONCE(ws->head), from) || READ_ONCE(ws->ending) || over(sk, ws);
}

/* MSG_WAITALL: the message whose beginning was taken is another reader's now. */
static bool lost_message(const struct ws *ws, const struct take *t)
{
	return t->copied && t->takes != READ_ONCE(ws->read.takes);
}

static bool worth_waking(const struct sock *sk, const struct ws *ws, const struct take *t, u64 from)
{
	return something_is(sk, ws, from) || lost_message(ws, t) || (ws_over_tls(ws) && ws_tls_waiting(ws));
}

/* Sleeps with the lock dropped. Returns 0, -EAGAIN, -EINTR, -ERESTARTSYS or -EPIPE. */
static int wait_readable(struct sock *sk, struct ws *ws, const struct take *t, u64 from, long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int rc;

	if (!*timeo)
		return -EAGAIN;
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	add_wait_queue(sk_sleep(sk), &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	if (t->copied)
		ws->read.tell_takes = true;
	if (ws_over_tls(ws))
		ws_tls_sleep(ws, &wait);
	rc = sk_wait_event(sk, timeo, worth_waking(sk, ws, t, from), &wait);
	if (ws_over_tls(ws))
		ws_tls_wake(ws, &wait);
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	remove_wait_queue(sk_sleep(sk), &wait);
	return rc < 0 ? rc : 0;
}

/*
 * Over TLS a peer may send what carries nothing as fast as it is decrypted: is the caller, who has looked so often for more, to look
 * once more?
 */
static bool pulls_on(const struct ws *ws, unsigned int pulls, unsigned long until, long *timeo)
{
	/* no more comes, but messages may stand before the reset */
	if (!pulls || ws->sk->sk_state == TCP_CLOSE)
		return true;
	if (ws_rx_ended(ws) || (*timeo && signal_pending(current)))
		return false;
	if (pulls < PULLS_ANYWAY || time_before(jiffies, until))
		return true;
	*timeo = 0;
	return false;
}

/* What recvmsg() does unless the common case is there. */
static noinline_for_stack int receive_any(struct sock *sk, struct ws *ws, struct msghdr *msg, int flags,
					  struct websocket_batch *batch)
{
	long timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);
	unsigned long until = jiffies + timeo;
	struct take t = { .batch = batch };
	unsigned int pulls = 0;
	int ret;

	for (;;) {
		u64 from = flags & MSG_PEEK ? t.off : 0;
		size_t had = t.copied;

		/* TCP's sendmsg() has worked off the backlog: messages may stand before the end that it found there */
		if (unlikely(ws->deferred & WS_DEFER_RX)) {
			ws->deferred &= ~WS_DEFER_RX;
			ws_rx_run(sk, ws);
			t.spot = (struct ws_spot){};
		}
		if (unlikely(!ws_source_ok(sk, ws)))
			ws_fail(sk, ws, WS_FAIL_STOLEN);
		if (ws->ready > max(ws->head, from) && likely(!ws->eof)) {
			if (receive(sk, ws, msg, flags, &t, &ret))
				break;
			if (t.copied > had)
				pulls = 0;
			if (!timeo || !signal_pending(current) || !ws_readable(ws))
				continue;
			/* many frames that carry nothing: the next call goes on */
			ret = t.copied ? short_of_all(msg, &t) : sock_intr_errno(timeo);
			break;
		}
		if (unlikely(ws->scan_again)) {
			/* there may be messages before the end or the error */
			ws_rx_run(sk, ws);
			t.spot = (struct ws_spot){};
			cond_resched();
			continue;
		}
		if (ws_over_tls(ws) && pulls_on(ws, pulls++, until, &timeo) && ws_tls_pull(sk, ws)) {
			t.spot = (struct ws_spot){};
			continue;
		}
		if (t.copied && (timeo == 0 || signal_pending(current) || something_is(sk, ws, from) || lost_message(ws, &t))) {
			ret = short_of_all(msg, &t);
			break;
		}
		if (unlikely(ws->held) && ws_over_tls(ws)) {
			ws_tls_push_held(sk, ws);
			t.spot = (struct ws_spot){};
			continue;
		}
		if (ws_rx_look(sk, ws)) {
			t.spot = (struct ws_spot){};
			continue;
		}
		/* TCP would take an error away that is for the program; the timer sends it then */
		if (unlikely(ws->held) && !sk->sk_err) {
			ws_tx_flush(sk, ws);
			t.spot = (struct ws_spot){};
			continue;
		}
		/* ENDING IN ORDER: the program wants more, and there is nothing before the end */
		WRITE_ONCE(ws->in_hand, false);
		ws_control_settle(sk, ws);
		if (at_end(sk, ws, msg, &ret))
			break;
		ret = wait_readable(sk, ws, &t, from, &timeo);
		t.spot = (struct ws_spot){};
		if (ret && !t.copied)
			break;
	}
	return ret;
}

/* The common case: whole messages are there, and nothing is that the scan has only begun. False: receive_any() has to look. */
static bool receive_whole(struct sock *sk, struct ws *ws, struct msghdr *msg, int flags, struct websocket_batch *batch,
			  int *ret)
{
	unsigned int max = batch ? batch_room(msg) : 0;
	struct ws_run run = {};

	if (flags & (MSG_PEEK | MSG_WAITALL) || ws->ready != ws->scan || unlikely(ws->eof) ||
	    !ws_whole_take(sk, ws, &msg->msg_iter, max ? batch : NULL, max ?: 1, &run))
		return false;
	/* those who see no records must not see empty messages either */
	if (unlikely(!run.copied))
		return false;
	if (max)
		*ret = put_batch(msg, batch, run.nr);
	else
		*ret = put_record(msg, run.opcode, WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END, 0, 0);
	if (*ret)
		return true;
	iov_iter_advance(&msg->msg_iter, run.copied);
	msg->msg_flags |= MSG_EOR;
	*ret = run.copied;
	consume(sk, ws, run.stream);
	if (ws_rx_waits(ws))
		ws_rx_run(sk, ws);
	return true;
}

static int do_recvmsg(struct sock *sk, struct ws *ws, struct msghdr *msg, int flags, struct websocket_batch *batch)
{
	int ret;

	lock_sock(sk);
	if (!receive_whole(sk, ws, msg, flags, batch, &ret))
		ret = receive_any(sk, ws, msg, flags, batch);
	/* io_uring asks for it: is the next call worth it? More than 1 would make it put two messages into one bundle. */
	if (msg->msg_get_inq)
		msg->msg_inq = ws_readable(ws) || over(sk, ws);
	if (ws_over_tls(ws)) {
		if (ret > 0)
			ws_tls_took(ws);
		ws_tls_leave(sk, ws);
	}
	release_sock(sk);
	return ret;
}

/* The entries of a batch take half a KiB of stack, which is only for those who want them. */
static noinline_for_stack int recv_batch(struct sock *sk, struct ws *ws, struct msghdr *msg, int flags)
{
	struct websocket_batch batch[WEBSOCKET_BATCH_MAX];

	return do_recvmsg(sk, ws, msg, flags, batch);
}

/**
 * ws_recvmsg() - proto->recvmsg
 * @sk: the socket
 * @msg: what the caller gave
 * @len: bytes
 * @flags: MSG_*
 * Context: process
 * Return: bytes, or a negative errno as uapi/linux/websocket.h has it.
 */
int ws_recvmsg(struct sock *sk, struct msghdr *msg, size_t len, int flags)
{
	struct ws *ws = ws_get(sk);

	/* io_uring looks at it also after an error */
	msg->msg_inq = 0;
	if (unlikely(flags & MSG_ERRQUEUE))
		return sk->sk_family == AF_INET6 ? sock_recv_errqueue(sk, msg, len, SOL_IPV6, IPV6_RECVERR) :
						   sock_recv_errqueue(sk, msg, len, SOL_IP, IP_RECVERR);
	if (unlikely(flags & (MSG_OOB | MSG_TRUNC)))
		return -EOPNOTSUPP;
	/* io_uring goes on until its buffer is full, whatever ends in between, unless there may be a record */
	if (unlikely(flags & MSG_WAITALL && msg->msg_get_inq && !sees_records(msg)))
		return -EOPNOTSUPP;
	if (READ_ONCE(ws->flags) & WEBSOCKET_F_BATCH)
		return recv_batch(sk, ws, msg, flags);
	return do_recvmsg(sk, ws, msg, flags, NULL);
}

/**
 * ws_inq() - SIOCINQ: payload bytes of the first frame that can be read now
 * @sk: the socket
 * Context: process
 * Return: 0 if no message is there, or an empty one.
 */
int ws_inq(struct sock *sk)
{
	struct ws *ws = ws_get(sk);
	struct take t = { .rd.left = 0 };
	struct ws_header h;
	u64 n;

	lock_sock(sk);
	t.rd = ws->read;
	t.off = ws->head;
	while (!t.rd.left && t.off < ws->ready && !take_header(sk, ws, &t, &h)) {
		t.off += h.size;
		if (!ws_op_is_control(h.opcode) || ws_rx_delivers(ws, h.opcode)) {
			ws_rx_enter(ws, &t.rd, &h);
			if (h.fin)
				break;
		} else {
			t.off += h.len;
		}
	}
	n = t.off < ws->ready ? min(t.rd.left, ws->ready - t.off) : 0;
	release_sock(sk);
	return min_t(u64, n, INT_MAX);
}
