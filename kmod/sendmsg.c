// SPDX-License-Identifier: GPL-2.0
/*
 * sendmsg(): a message, or several, from user memory into frames in kernel pages (tx.c sends them).
 *
 * DESIGN NOTES
 *
 * Each frame is gathered whole before its header is written, so a header announces only bytes that are there. A frame is as
 * long as the send buffer has room; if the message is longer, it goes on in the next frame (RFC 6455 5.4), now or, after a short
 * return, with the next call. While a sender sleeps between two frames of a message, ws->tx_busy keeps other senders out.
 */
#include <linux/uaccess.h>
#include "compat/compat.h"
#include "core/mask.h"
#include "websocket.h"
#include "whole.h"

#define GATHER_MAX	64		/* pages, or runs of pages, in one frame or batch */
#define FRAME_MAX	(1U << 20)	/* payload of one frame */
#define SCARCE_MAX	4096		/* likewise, when memory is short */

/* What the control messages of one sendmsg() say. */
struct send {
	u8 opcode;		/* 0: not given */
	const struct websocket_batch *batch;
	unsigned int nr;
};

/* Frames in kernel pages, not handed to TCP yet. */
struct gather {
	struct bio_vec one;
	struct ws_more *more;	/* NULL: all in one */
	unsigned int nr;
	size_t size;
};

static struct bio_vec *gather_bvec(struct gather *g)
{
	return g->more ? g->more->bv : &g->one;
}

/* Back to the first @nr pieces, of @size bytes together. */
static void gather_rewind(struct gather *g, unsigned int nr, size_t size)
{
	while (g->nr > nr) {
		struct bio_vec *last = &gather_bvec(g)[--g->nr];

		g->size -= last->bv_len;
		put_page(last->bv_page);
	}
	if (g->more)
		g->more->nr = nr;
	if (nr)
		gather_bvec(g)[nr - 1].bv_len -= g->size - size;
	g->size = size;
	if (!nr) {
		kfree(g->more);
		g->more = NULL;
	}
}

/* Appends the first @n bytes behind @pfrag's offset. False: too many pieces, or no memory to list them. */
static bool gather_add(struct gather *g, struct page_frag *pfrag, unsigned int n)
{
	struct bio_vec *last = g->nr ? &gather_bvec(g)[g->nr - 1] : NULL;

	if (last && last->bv_page == pfrag->page && last->bv_offset + last->bv_len == pfrag->offset) {
		last->bv_len += n;
	} else {
		if (g->nr == 1 && !g->more) {
			g->more = kmalloc(struct_size(g->more, bv, GATHER_MAX), GFP_KERNEL);
			if (!g->more)
				return false;
			g->more->bv[0] = g->one;
		}
		if (g->nr == GATHER_MAX)
			return false;
		get_page(pfrag->page);
		last = &gather_bvec(g)[g->nr++];
		*last = (struct bio_vec){ .bv_page = pfrag->page, .bv_offset = pfrag->offset, .bv_len = n };
		if (g->more)
			g->more->nr = g->nr;
	}
	pfrag->offset += n;
	g->size += n;
	return true;
}

/* Copies @n bytes behind what was gathered, masked. Returns how many could be; *@err says why not all. */
static size_t gather_payload(struct sock *sk, struct gather *g, struct iov_iter *iter, size_t n, u32 key, int *err)
{
	struct page_frag *pfrag = sk_page_frag(sk);
	size_t done = 0;

	while (done < n) {
		size_t len, copied;
		u8 *to;

		*err = -ENOMEM;
		if (!sk_page_frag_refill(sk, pfrag))
			break;
		to = page_address(pfrag->page) + pfrag->offset;
		len = min_t(size_t, n - done, pfrag->size - pfrag->offset);
		/* without the check for objects: it is a page of ours */
		copied = _copy_from_iter(to, len, iter);
		if (key)
			ws_mask_copy(to, to, copied, ws_mask_advance(key, done));
		if (copied && !gather_add(g, pfrag, copied)) {
			iov_iter_revert(iter, copied);
			break;
		}
		done += copied;
		if (copied < len) {
			*err = -EFAULT;
			break;
		}
	}
	return done;
}

/*
 * Appends a frame with @n bytes of payload. If memory or the caller's buffer ends before, the first frame becomes shorter, and is
 * not final; one behind others is not appended at all.
 * Returns the bytes of payload in it, -EFAULT or -ENOMEM.
 */
static ssize_t gather_frame(struct sock *sk, struct ws *ws, struct gather *g, struct iov_iter *iter, u8 opcode, bool fin,
			    size_t n)
{
	u32 key = ws_client(ws) ? get_random_u32() : 0;
	struct page_frag *pfrag = sk_page_frag(sk);
	u8 buf[WS_HEADER_MAX];
	unsigned int head_len = ws_frame_encode(buf, opcode, fin, n, ws_client(ws), key), less;
	unsigned int nr = g->nr;
	size_t size = g->size, done;
	int err = -ENOMEM;
	u8 *head;

	/* a short frame in one piece */
	if (!skb_page_frag_refill(min_t(size_t, head_len + n, 2048), pfrag, sk->sk_allocation))
		return -ENOMEM;
	head = page_address(pfrag->page) + pfrag->offset;
	if (likely(head_len + n <= pfrag->size - pfrag->offset)) {
		done = _copy_from_iter(head + head_len, n, iter);
		if (likely(done == n)) {
			memcpy(head, buf, head_len);
			if (key)
				ws_mask_copy(head + head_len, head + head_len, n, key);
			if (likely(gather_add(g, pfrag, head_len + n)))
				return n;
			iov_iter_revert(iter, n);
			return -ENOMEM;
		}
		iov_iter_revert(iter, done);
	}
	if (!gather_add(g, pfrag, head_len))
		return -ENOMEM;
	done = gather_payload(sk, g, iter, n, key, &err);
	if (done == n) {
		memcpy(head, buf, head_len);
		return n;
	}
	if (!done || nr) {
		iov_iter_revert(iter, done);
		gather_rewind(g, nr, size);
		return err;
	}
	less = head_len - ws_frame_encode(buf, opcode, false, done, ws_client(ws), key);
	memcpy(head + less, buf, head_len - less);
	gather_bvec(g)->bv_offset += less;
	gather_bvec(g)->bv_len -= less;
	g->size -= less;
	return done;
}

/*
 * Payload bytes that TCP would take now, of @want; 0: wait until it says it is writeable. When memory is short it may not take them
 * after all, and they are nobody's account: few, then.
 */
static size_t send_room(const struct sock *sk, size_t want)
{
	int room = READ_ONCE(sk->sk_sndbuf) - READ_ONCE(sk->sk_wmem_queued);
	u32 lowat = tcp_notsent_lowat(tcp_sk(sk));

	if (!sk_stream_memory_free(sk))
		return 0;
	if (unlikely(tcp_under_memory_pressure(sk)))
		room = min(room, SCARCE_MAX);
	/* TCP would leave us with what is above the mark */
	room = max_t(int, min_t(u32, room - room / 16, lowat), 1024);
	if (want > room && !sk_stream_is_writeable(sk))
		return 0;
	return min_t(size_t, room, FRAME_MAX);
}

/* Why nothing can be sent: the connection's error, EPIPE; 0: it can. */
static int send_error(struct sock *sk, struct ws *ws)
{
	ws_mirror_error(sk, ws);
	if (unlikely(ws->error))
		return -ws->error;
	if (ws->state != WEBSOCKET_STATE_OPEN || sk->sk_shutdown & SEND_SHUTDOWN)
		return -EPIPE;
	if (unlikely(sk->sk_err && ws_over_tls(ws) && ws_tls_unreadable(sk) && !ws_source_ended(sk, ws))) {
		/* TLS tells nobody but this caller, and calls it what are the caller's own mistakes here */
		ws_tls_come(ws);
		return -EBADMSG;
	}
	if (unlikely(sk->sk_err))
		return sock_error(sk);
	if (!ws_tx_allowed(sk))
		return -EPIPE;
	if (unlikely(ws_tx_stolen(sk, ws))) {
		/* a thread that was inside TCP's own sendmsg() when the protocol started */
		ws_fail(sk, ws, WS_FAIL_STOLEN);
		return -EPIPE;
	}
	return 0;
}

/* What a sender is about to send. */
enum turn {
	TURN_FIRST,		/* the first frame of a message: other senders finish theirs before */
	TURN_NEXT,		/* the next frame of its message */
	TURN_CONTROL,		/* a control frame: it may stand between those */
};

static bool worth_waking(const struct sock *sk, const struct ws *ws, enum turn turn)
{
	return READ_ONCE(ws->error) || READ_ONCE(ws->state) != WEBSOCKET_STATE_OPEN || READ_ONCE(sk->sk_err) ||
	       READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN ||
	       ((turn != TURN_FIRST || !READ_ONCE(ws->tx_busy)) && !READ_ONCE(ws->rest.page) && sk_stream_is_writeable(sk));
}

/* Sleeps with the lock dropped. Returns 0, -EAGAIN, -EINTR, -ERESTARTSYS or -EPIPE. */
static int wait_writeable(struct sock *sk, struct ws *ws, enum turn turn, long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int rc;

	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	if (!*timeo)
		return -EAGAIN;
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	add_wait_queue(sk_sleep(sk), &wait);
	rc = sk_wait_event(sk, timeo, worth_waking(sk, ws, turn), &wait);
	remove_wait_queue(sk_sleep(sk), &wait);
	return rc < 0 ? rc : 0;
}

/* Waits until a frame may be sent. Returns its room, or an errno. */
static ssize_t wait_room(struct sock *sk, struct ws *ws, size_t want, enum turn turn, long *timeo)
{
	ssize_t room;
	int err;

	for (;;) {
		if (ws_over_tls(ws)) {
			/* the lock is dropped in the middle of a message */
			if (turn == TURN_NEXT)
				WRITE_ONCE(ws->tx_busy, true);
			ws_tls_wait_push(sk, ws);
		}
		err = send_error(sk, ws);
		if (err)
			return err;
		if (turn != TURN_FIRST || !ws->tx_busy) {
			/* what is held back waits for this frame to join it */
			room = ws->held ? 0 : ws_tx_flush(sk, ws);
			if (!room)
				room = send_room(sk, want);
			if (room > 0 && ws_over_tls(ws))
				ws_tls_promise(ws);
			if (room > 0 || room == -EPIPE)
				return room;
		}
		if (turn == TURN_NEXT)
			WRITE_ONCE(ws->tx_busy, true);
		err = wait_writeable(sk, ws, turn, timeo);
		if (err)
			return err;
	}
}

static void count_frame(struct ws *ws, bool fin, size_t n)
{
	ws->tx_frames++;
	ws->tx_bytes += n;
	ws->tx_messages += fin;
}

/* The next frame of a message, at most @n bytes; returns how many it took. */
static ssize_t send_frame(struct sock *sk, struct ws *ws, struct iov_iter *iter, u8 opcode, bool fin, size_t n, int flags)
{
	struct gather g = {};
	ssize_t done;
	int err;

	done = gather_frame(sk, ws, &g, iter, ws->tx_opcode ? WS_OP_CONTINUATION : opcode, fin, n);
	if (done < 0)
		return done;
	fin = fin && done == n;
	err = ws_tx_send(sk, ws, gather_bvec(&g), g.nr, g.more, g.size, flags);
	if (err == -EAGAIN)
		iov_iter_revert(iter, done);
	if (err)
		return err;
	ws->tx_opcode = fin ? 0 : ws->tx_opcode ?: opcode;
	if (fin)
		ws->end_due = false;
	count_frame(ws, fin, done);
	return done;
}

/* The end of a message in which others had to wait. */
static void leave_message(struct sock *sk, struct ws *ws, bool mine)
{
	if (!mine || !ws->tx_busy)
		return;
	WRITE_ONCE(ws->tx_busy, false);
	/* pollers were told of no room because of it: if there is none either, TCP is to tell them when */
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	ws_tx_run(sk, ws);
}

/* An open message goes on (RFC 6455 5.4): with its own opcode or none. */
static bool continues(const struct ws *ws, u8 given)
{
	return !ws->tx_opcode || !given || given == ws->tx_opcode;
}

/* The sender will come back: it has messages to read, and recvmsg() sends what was held back when there are none. */
static bool holds(const struct ws *ws, int flags)
{
	return flags & MSG_BATCH || (ws->flags & WEBSOCKET_F_CORK && ws_readable(ws));
}

static u8 default_opcode(const struct ws *ws)
{
	return ws->flags & WEBSOCKET_F_TEXT ? WS_OP_TEXT : WS_OP_BINARY;
}

/*
 * @n bytes of one message; @given: its opcode, or 0; @flags: of the call. Returns bytes sent, or an errno if none were.
 */
static ssize_t send_message(struct sock *sk, struct ws *ws, struct iov_iter *iter, size_t n, u8 given, int flags,
			    long *timeo)
{
	bool more = flags & WS_MSG_MORE;
	u8 opcode = given ?: default_opcode(ws);
	bool hold = holds(ws, flags);
	bool mine = false;
	size_t done = 0;
	ssize_t rc;

	for (;;) {
		size_t left = n - done, len;

		rc = wait_room(sk, ws, left, mine ? TURN_NEXT : TURN_FIRST, timeo);
		if (rc < 0)
			break;
		/* meanwhile another sender may have left a message open */
		rc = !mine && !continues(ws, given) ? -EINVAL : rc;
		if (rc < 0)
			break;
		len = min_t(size_t, left, rc);
		rc = send_frame(sk, ws, iter, opcode, !more && len == left, len,
				more ? MSG_MORE : hold ? MSG_BATCH : 0);
		if (rc == -EAGAIN)
			continue;
		if (rc < 0)
			break;
		done += rc;
		mine = true;
		if (done == n)
			break;
	}
	leave_message(sk, ws, mine);
	return done ? done : min_t(ssize_t, rc, 0);
}

/* Appends up to @nr messages of a batch, in @room bytes, at once. Returns how many; the rest is gather_frame()'s. */
static unsigned int gather_messages(struct sock *sk, struct ws *ws, struct gather *g, struct iov_iter *iter,
				    const struct websocket_batch *b, unsigned int nr, size_t room)
{
	struct page_frag *pfrag = sk_page_frag(sk);
	unsigned int i;
	size_t n;

	if (ws_client(ws) || !skb_page_frag_refill(min_t(size_t, iov_iter_count(iter), 2048), pfrag, sk->sk_allocation))
		return 0;
	room = min_t(size_t, room - g->size, pfrag->size - pfrag->offset);
	n = ws_whole_gather(page_address(pfrag->page) + pfrag->offset, room, iter, b, &nr);
	if (!nr || !gather_add(g, pfrag, n))
		return 0;
	for (i = 0; i < nr; i++)
		iov_iter_advance(iter, b[i].len);
	return nr;
}

/*
 * As many whole messages as fit in @room, gathered and sent at once. Returns how many; 0: not even the first fits; or an errno.
 */
static ssize_t send_some(struct sock *sk, struct ws *ws, struct iov_iter *iter, const struct websocket_batch *b,
			 unsigned int nr, size_t room)
{
	struct gather g = {};
	unsigned int i;
	int err = 0;

	for (i = 0; i < nr && g.size + b[i].len <= room; i++) {
		ssize_t n;

		i += gather_messages(sk, ws, &g, iter, b + i, nr - i, room);
		if (i == nr || g.size + b[i].len > room)
			break;
		n = gather_frame(sk, ws, &g, iter, b[i].opcode, true, b[i].len);
		if (n == b[i].len)
			continue;
		if (n > 0) {
			/* the first one, cut short: send_message() does that */
			iov_iter_revert(iter, n);
			gather_rewind(&g, 0, 0);
			return 0;
		}
		err = n;
		break;
	}
	if (!i)
		return err;
	err = ws_tx_send(sk, ws, gather_bvec(&g), g.nr, g.more, g.size, 0);
	if (err == -EAGAIN) {
		for (nr = 0; nr < i; nr++)
			iov_iter_revert(iter, b[nr].len);
	}
	if (err)
		return err;
	for (nr = 0; nr < i; nr++)
		ws->tx_bytes += b[nr].len;
	ws->tx_frames += i;
	ws->tx_messages += i;
	return i;
}

/*
 * Several messages from one buffer. Returns bytes sent: up to the end of a message, unless only part of the first fitted, or the
 * time or the connection ended amid a later one.
 */
static ssize_t send_batch(struct sock *sk, struct ws *ws, struct iov_iter *iter, const struct websocket_batch *b,
			  unsigned int nr, long *timeo)
{
	size_t done = 0;
	ssize_t rc = 0;

	while (nr) {
		rc = wait_room(sk, ws, b->len, TURN_FIRST, timeo);
		if (rc < 0)
			break;
		rc = ws->tx_opcode ? -EINVAL : send_some(sk, ws, iter, b, nr, rc);
		if (rc == -EAGAIN)
			continue;
		if (rc < 0)
			break;
		if (!rc) {
			if (done && !*timeo) {
				/* the next call sends part of it: there is room, which who waits for an edge has to be told */
				ws_tx_run(sk, ws);
				break;
			}
			rc = send_message(sk, ws, iter, b->len, b->opcode, 0, timeo);
			if (rc < 0)
				break;
			done += rc;
			if (rc < b->len)
				break;
			rc = 1;
		} else {
			unsigned int i;

			for (i = 0; i < rc; i++)
				done += b[i].len;
		}
		b += rc;
		nr -= rc;
	}
	return done ? done : min_t(ssize_t, rc, 0);
}

/* PING, PONG and CLOSE from the application (RFC 6455 5.5). */
static ssize_t send_control(struct sock *sk, struct ws *ws, struct msghdr *msg, size_t n, u8 opcode, long *timeo)
{
	u8 data[WS_CONTROL_MAX];
	ssize_t rc;
	u16 code;

	if (n > WS_CONTROL_MAX)
		return -EMSGSIZE;
	if (msg->msg_flags & WS_MSG_MORE)
		return -EINVAL;
	if (copy_from_iter(data, n, &msg->msg_iter) != n)
		return -EFAULT;
	if (opcode == WS_OP_CLOSE) {
		/* behind what is on its way or held back, with its reason */
		if (ws_over_tls(ws)) {
			ws_tls_push_all(sk, ws, false);
			ws_tls_promise(ws);
		}
		rc = send_error(sk, ws);
		if (rc)
			return rc;
		if (ws_close_check(data, n, &code))
			return -EINVAL;
		if (unlikely(ws->end_due))
			ws_send_end(sk, ws);
		ws_control_send_close(sk, ws, data, n);
		return n;
	}
	do {
		/* it cannot join what is held back, which goes before it */
		if (ws_over_tls(ws))
			WRITE_ONCE(ws->held, false);
		rc = wait_room(sk, ws, n, TURN_CONTROL, timeo);
		if (rc < 0)
			break;
		rc = ws_tx_control(sk, ws, opcode, data, n, false);
	} while (rc == -EAGAIN && *timeo);
	if (rc) {
		/* io_uring calls again with the same iterator */
		iov_iter_revert(&msg->msg_iter, n);
		return rc;
	}
	if (opcode == WS_OP_PING)
		ws->tx_pings++;
	else
		ws->tx_pongs++;
	return n;
}

static bool is_data(u8 opcode)
{
	return opcode == WS_OP_TEXT || opcode == WS_OP_BINARY;
}

/* The lengths of a batch add up to the buffer, and its entries are data messages. */
static bool batch_valid(const struct send *send, size_t size)
{
	unsigned int i;
	u64 sum = 0;

	if (!send->nr || send->nr > WEBSOCKET_BATCH_MAX)
		return false;
	for (i = 0; i < send->nr; i++) {
		if (!is_data(send->batch[i].opcode) || send->batch[i].reserved ||
		    send->batch[i].flags & ~(WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END))
			return false;
		sum += send->batch[i].len;
	}
	return sum == size;
}

/* Reads the control messages, which are in kernel memory by now. */
static int parse_records(struct msghdr *msg, size_t size, struct send *send)
{
	struct cmsghdr *c;

	for_each_cmsghdr(c, msg) {
		size_t len;

		if (!CMSG_OK(msg, c) || c->cmsg_level != SOL_WEBSOCKET)
			return -EINVAL;
		len = c->cmsg_len - CMSG_LEN(0);
		switch (c->cmsg_type) {
		case WEBSOCKET_OPCODE:
			if (len != 1 || send->batch)
				return -EINVAL;
			send->opcode = *(u8 *)CMSG_DATA(c);
			if (!is_data(send->opcode) && send->opcode != WS_OP_CLOSE && send->opcode != WS_OP_PING &&
			    send->opcode != WS_OP_PONG)
				return -EINVAL;
			break;
		case WEBSOCKET_BATCH:
			send->batch = CMSG_DATA(c);
			send->nr = len / sizeof(*send->batch);
			if (len % sizeof(*send->batch) || send->opcode || !batch_valid(send, size))
				return -EINVAL;
			break;
		default:
			return -EINVAL;
		}
	}
	if (send->batch && msg->msg_flags & WS_MSG_MORE)
		return -EINVAL;
	return 0;
}

static noinline_for_stack ssize_t send_any(struct sock *sk, struct ws *ws, struct msghdr *msg, size_t size,
					   const struct send *send)
{
	long time = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT), *timeo = &time;
	u8 opcode = send->opcode;

	if (opcode && !is_data(opcode))
		return send_control(sk, ws, msg, size, opcode, timeo);
	while (unlikely(ws->end_due)) {
		int rc = wait_room(sk, ws, 0, TURN_CONTROL, timeo);

		/* the timer may have been there meanwhile */
		if (rc >= 0)
			rc = ws->end_due ? ws_send_end(sk, ws) : 0;
		if (rc && (rc != -EAGAIN || !*timeo))
			return rc;
	}
	if (send->batch)
		return send_batch(sk, ws, &msg->msg_iter, send->batch, send->nr, timeo);
	if (!ws->tx_busy && !continues(ws, opcode))
		return -EINVAL;
	return send_message(sk, ws, &msg->msg_iter, size, opcode, msg->msg_flags, timeo);
}

/* The common case: whole messages from one piece of memory, and nothing in their way. False: send_any() has to look. */
static bool send_whole(struct sock *sk, struct ws *ws, struct msghdr *msg, size_t size, const struct send *send, ssize_t *ret)
{
	struct websocket_batch one = { .len = size, .opcode = send->opcode ?: default_opcode(ws) };
	const struct websocket_batch *b = send->batch ?: &one;
	unsigned int nr = send->batch ? send->nr : 1, taken = nr;
	struct page_frag *pfrag = sk_page_frag(sk);
	/* the headers are of four bytes at most */
	size_t need = size + 4 * nr, n;

	if (msg->msg_flags & WS_MSG_MORE || ws->tx_opcode || ws_client(ws) || ws_over_tls(ws) || !is_data(one.opcode) ||
	    2 * (READ_ONCE(sk->sk_wmem_queued) + need) > READ_ONCE(sk->sk_sndbuf) || tcp_under_memory_pressure(sk))
		return false;
	if (!pfrag->page || need > pfrag->size - pfrag->offset) {
		if (need > 2048 || !skb_page_frag_refill(need, pfrag, sk->sk_allocation))
			return false;
	}
	n = ws_whole_gather(page_address(pfrag->page) + pfrag->offset, need, &msg->msg_iter, b, &taken);
	if (taken < nr)
		return false;
	*ret = ws_tx_frame(sk, ws, pfrag, n, !send->batch && holds(ws, msg->msg_flags));
	if (*ret == -EAGAIN)
		return false;
	if (*ret)
		return true;
	/* all of it was taken: nobody looks at it again */
	iov_iter_truncate(&msg->msg_iter, 0);
	ws->tx_messages += nr;
	ws->tx_frames += nr;
	ws->tx_bytes += size;
	*ret = size;
	return true;
}

/**
 * ws_sendmsg() - proto->sendmsg
 * @sk: the socket
 * @msg: what the caller gave
 * @size: bytes
 * Context: process
 * Return: bytes of payload, or a negative errno as uapi/linux/websocket.h has it.
 */
int ws_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)
{
	struct ws *ws = ws_get(sk);
	struct send send = {};
	ssize_t rc;

	if (unlikely(msg->msg_flags & (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN)))
		return -EOPNOTSUPP;
	if (msg->msg_controllen) {
		rc = parse_records(msg, size, &send);
		if (rc)
			return rc;
	}
	lock_sock(sk);
	if (!send_whole(sk, ws, msg, size, &send, &rc))
		rc = send_any(sk, ws, msg, size, &send);
	if (ws_over_tls(ws)) {
		ws_tls_push(sk, ws);
		ws_tls_leave(sk, ws);
	}
	/* it waits less long for a program that is not amid a message */
	if (unlikely(ws->ending))
		ws_timer_arm(sk, ws);
	release_sock(sk);
	if (rc == -EPIPE && !(msg->msg_flags & MSG_NOSIGNAL))
		send_sig(SIGPIPE, current, 0);
	return rc;
}

/**
 * ws_send_end() - end the message that sendfile() has left open, with an empty frame
 * @sk: the socket
 * @ws: its context
 *
 * As for Close, the send buffer may be full.
 * Return: 0; or a negative errno: there is no memory now, and the timer tries again, as the next send does.
 */
int ws_send_end(struct sock *sk, struct ws *ws)
{
	int err;

	ws_assert_locked(sk);
	ws->end_due = false;
	/* a sender that sleeps in the middle of the message ends it */
	if (!ws->tx_opcode || ws->tx_busy || ws->state != WEBSOCKET_STATE_OPEN || ws->error)
		return 0;
	err = ws_tx_control(sk, ws, WS_OP_CONTINUATION, "", 0, true);
	if (!err) {
		ws->tx_opcode = 0;
		count_frame(ws, true, 0);
	} else if (err == -EAGAIN || err == -ENOMEM) {
		ws->end_due = true;
		ws_timer_retry_memory(sk, ws);
	}
	return err;
}

/**
 * ws_splice_eof() - proto->splice_eof: the file ended before sendfile() had what it was to send
 * @sock: the socket
 * Context: process
 *
 * Its last piece was sent as one that more would follow.
 */
void ws_splice_eof(struct socket *sock)
{
	struct sock *sk = sock->sk;
	struct ws *ws = ws_get(sk);

	if (!READ_ONCE(ws->tx_opcode))
		return;
	lock_sock(sk);
	if (ws_over_tls(ws)) {
		ws_tls_push_all(sk, ws, false);
		ws_tls_promise(ws);
	}
	ws_send_end(sk, ws);
	if (ws_over_tls(ws)) {
		ws_tls_push(sk, ws);
		ws_tls_leave(sk, ws);
	}
	release_sock(sk);
}
