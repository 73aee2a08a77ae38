// SPDX-License-Identifier: GPL-2.0
/*
 * What goes out, below the user's calls: pages handed to TCP, what TCP has not taken yet, control frames.
 *
 * DESIGN NOTES
 *
 * A frame is in kernel pages, whole, before its header is handed over; TCP is never asked to wait. What TCP does not take
 * at once stays in ws->rest and goes before anything else: from sk_write_space when room comes, from release_cb, from the next
 * send, or from the timer when TCP refused for want of memory (then no ACK may ever call us). So there is no frame that is
 * announced and not delivered, a writer killed at any point owes nothing, and a control frame fits behind every frame.
 *
 * sendmmsg() marks all messages but its last with MSG_BATCH. They are held back as ws->rest, where the next one joins them if it
 * lies right behind in memory, so that TCP is called once for many. If the last one never comes, the timer sends them.
 * WEBSOCKET_F_CORK does the same with single messages, as long as there is something to read.
 *
 * Control frames sent from softirq lie in pages of their own, one for each CPU, filled one frame after the other: not in the page
 * fragment of the interrupted task, and not in one of the socket's, which would stay with the socket.
 */
#include "compat/compat.h"
#include "core/mask.h"
#include "stats.h"
#include "trace.h"
#include "websocket.h"

struct control_page {
	struct page *page;
	unsigned int used;
};

static DEFINE_PER_CPU(struct control_page, control_pages);

/**
 * ws_tx_allowed() - can this socket send?
 * @sk: the socket
 */
bool ws_tx_allowed(const struct sock *sk)
{
	return (1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT) &&
	       !(sk->sk_shutdown & SEND_SHUTDOWN) && !sock_flag(sk, SOCK_DEAD) && sk->sk_socket;
}

/**
 * ws_tx_blocked() - would a send have to wait for bytes or for a sender before it?
 * @ws: its context
 */
bool ws_tx_blocked(const struct ws *ws)
{
	return (READ_ONCE(ws->rest.page) && !READ_ONCE(ws->held)) || READ_ONCE(ws->tx_busy);
}

/* Keeps what TCP left of @bv, @nr pieces: its bytes from @done on. Takes over @more, in which @bv[1] and on stand. */
static void keep_rest(struct ws *ws, const struct bio_vec *bv, unsigned int nr, struct ws_more *more, size_t done)
{
	unsigned int i = 0;

	while (done >= bv[i].bv_len) {
		done -= bv[i].bv_len;
		put_page(bv[i++].bv_page);
	}
	ws->rest.off = bv[i].bv_offset + done;
	ws->rest.len = bv[i].bv_len - done;
	if (more) {
		more->next = i + 1;
		more->nr = nr;
	}
	ws->rest.more = more;
	WRITE_ONCE(ws->rest.page, bv[i].bv_page);
}

/* The next page of the rest; false: none. */
static bool next_rest(struct ws *ws)
{
	struct ws_more *more = ws->rest.more;

	put_page(ws->rest.page);
	if (more && more->next < more->nr) {
		const struct bio_vec *bv = &more->bv[more->next++];

		ws->rest.off = bv->bv_offset;
		ws->rest.len = bv->bv_len;
		ws->rest.page = bv->bv_page;
		return true;
	}
	kfree(more);
	ws->rest.more = NULL;
	WRITE_ONCE(ws->rest.page, NULL);
	return false;
}

/**
 * ws_tx_advance() - the first bytes of the rest have gone
 * @ws: its context
 * @n: how many
 */
void ws_tx_advance(struct ws *ws, size_t n)
{
	while (n >= ws->rest.len) {
		n -= ws->rest.len;
		if (!next_rest(ws))
			return;
	}
	ws->rest.off += n;
	ws->rest.len -= n;
}

/**
 * ws_tx_free() - forget what was not sent
 * @ws: its context
 */
void ws_tx_free(struct ws *ws)
{
	while (ws->rest.page)
		next_rest(ws);
	kfree(ws->pong);
	ws->pong = NULL;
}

/* Calls TCP, and keeps account of it. */
static __always_inline ssize_t call_tcp(struct sock *sk, struct ws *ws, struct bio_vec *bv, unsigned int nr, size_t size, int flags)
{
	ssize_t n;

	ws->in_tcp = true;
	n = ws_tcp_push(sk, bv, nr, size, flags);
	ws->in_tcp = false;
	ws->tx_seq = tcp_sk(sk)->write_seq;
	return n;
}

static ssize_t push(struct sock *sk, struct ws *ws, struct bio_vec *bv, unsigned int nr, size_t size, int flags)
{
	struct tcp_sock *tp = tcp_sk(sk);
	u8 nonagle = tp->nonagle;
	ssize_t n;

	/* what is to be sent becomes the rest, and goes from there */
	if (ws_over_tls(ws))
		return -EAGAIN;
	/* the bytes of somebody else would stand in the middle of ours */
	if (unlikely(ws_tx_stolen(sk, ws)))
		return -EPIPE;
	/* what MSG_MORE or TCP_CORK kept back would keep the next frame from going: nothing is acknowledged that was not sent */
	if (unlikely(tcp_notsent_lowat(tp) != UINT_MAX || 2 * (sk->sk_wmem_queued + size) > sk->sk_sndbuf)) {
		flags &= ~MSG_MORE;
		tp->nonagle = TCP_NAGLE_OFF | TCP_NAGLE_PUSH;
	}
	n = call_tcp(sk, ws, bv, nr, size, flags);
	tp->nonagle = nonagle;
	return n;
}

/* TCP has room and took nothing or not all: memory is short, and no ACK need come to tell when it is not. */
static void retry_later(struct sock *sk, struct ws *ws)
{
	if (ws_over_tls(ws)) {
		ws_tls_flush(sk, ws);
		return;
	}
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	if (sk_stream_memory_free(sk))
		ws_timer_retry_memory(sk, ws);
}

/**
 * ws_tx_flush() - send what TCP has not taken
 * @sk: the socket
 * @ws: its context
 * Return: 0: nothing is left. -EAGAIN: it has to wait; SOCK_NOSPACE is set. -EPIPE: it cannot be sent any more.
 */
int ws_tx_flush(struct sock *sk, struct ws *ws)
{
	ws_assert_locked(sk);
	WRITE_ONCE(ws->held, false);
	if (ws_over_tls(ws))
		return ws_tls_flush(sk, ws);
	while (unlikely(ws->rest.page)) {
		struct bio_vec bv = {
			.bv_page = ws->rest.page,
			.bv_offset = ws->rest.off,
			.bv_len = ws->rest.len,
		};
		bool more = ws->rest.more && ws->rest.more->next < ws->rest.more->nr;
		ssize_t n;

		if (!ws_tx_allowed(sk))
			return -EPIPE;
		n = push(sk, ws, &bv, 1, bv.bv_len, more ? MSG_MORE : 0);
		if (n < 0 && n != -EAGAIN)
			return -EPIPE;
		if (n == bv.bv_len) {
			next_rest(ws);
			continue;
		}
		if (n > 0) {
			ws->rest.off += n;
			ws->rest.len -= n;
		}
		retry_later(sk, ws);
		return -EAGAIN;
	}
	return 0;
}

/* Bytes at @off of @page would stand right behind those that are held back. */
static bool joins_held(const struct ws *ws, const struct page *page, unsigned int off)
{
	return !ws->rest.more && page == ws->rest.page && off == ws->rest.off + ws->rest.len;
}

/*
 * Puts a frame behind those that are held back. False: it does not lie right behind them; they go first.
 */
static bool join_held(struct ws *ws, const struct bio_vec *bv, unsigned int nr, struct ws_more *more)
{
	if (nr > 1 || !joins_held(ws, bv->bv_page, bv->bv_offset))
		return false;
	ws->rest.len += bv->bv_len;
	put_page(bv->bv_page);
	kfree(more);
	return true;
}

/* Holds a frame back, for more is about to come. */
static void hold(struct sock *sk, struct ws *ws, const struct bio_vec *bv, unsigned int nr, struct ws_more *more)
{
	keep_rest(ws, bv, nr, more, 0);
	WRITE_ONCE(ws->held, true);
	ws_timer_retry(sk, ws, 1);
}

static void drop(struct bio_vec *bv, unsigned int nr, struct ws_more *more)
{
	while (nr)
		put_page(bv[--nr].bv_page);
	kfree(more);
}

/**
 * ws_tx_send() - hand a frame, or several, to TCP
 * @sk: the socket
 * @ws: its context
 * @bv: the pages, @nr of them, with a reference each that passes to this function
 * @nr: at least 1
 * @more: the object in which @bv[1] and on stand, from kmalloc(); NULL if @bv is not in one
 * @size: their bytes
 * @flags: MSG_MORE, MSG_BATCH or 0
 *
 * Call with nothing pending but what is held back, and ws_tx_allowed(). What TCP does not take becomes the rest.
 * Return: 0; -EAGAIN: nothing was taken, for what is held back has to go first and cannot; or a negative errno if the connection
 * cannot send any more.
 */
int ws_tx_send(struct sock *sk, struct ws *ws, struct bio_vec *bv, unsigned int nr, struct ws_more *more, size_t size,
	       int flags)
{
	ssize_t n;

	ws_assert_locked(sk);
	/* a control frame, where ws_tls_joins() has let it pass what is pending */
	if (ws_over_tls(ws) && ws->rest.page && !ws->held) {
		if (join_held(ws, bv, nr, more))
			return 0;
		drop(bv, nr, more);
		return -EAGAIN;
	}
	if (ws->held) {
		bool joined = join_held(ws, bv, nr, more);

		if (joined && flags & MSG_BATCH)
			return 0;
		n = ws_tx_flush(sk, ws);
		/* it counts as sent when it is the rest */
		if (joined)
			return n == -EAGAIN ? 0 : n;
		if (n) {
			drop(bv, nr, more);
			return n;
		}
	}
	if (flags & MSG_BATCH) {
		hold(sk, ws, bv, nr, more);
		return 0;
	}
	n = push(sk, ws, bv, nr, size, flags);
	if (n == size || (n < 0 && n != -EAGAIN)) {
		drop(bv, nr, more);
		return min_t(ssize_t, n, 0);
	}
	keep_rest(ws, bv, nr, more, max_t(ssize_t, n, 0));
	retry_later(sk, ws);
	return 0;
}

/* Nothing is in the way of what stands behind the offset of @pfrag, but what is held back and what it joins. */
static bool clear(const struct sock *sk, const struct ws *ws, const struct page_frag *pfrag)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	/* without scatter-gather TCP copies (from 6.5 on), into this very fragment, whose page nobody else holds for us yet */
	return sk->sk_route_caps & NETIF_F_SG && ws->state == WEBSOCKET_STATE_OPEN && !ws->error && !sk->sk_err &&
	       !(sk->sk_shutdown & SEND_SHUTDOWN) && (1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT) &&
	       ws->tx_seq == READ_ONCE(tp->write_seq) && tcp_notsent_lowat(tp) == UINT_MAX &&
	       (!ws->rest.page || (ws->held && joins_held(ws, pfrag->page, pfrag->offset)));
}

/**
 * ws_tx_frame() - hand a frame, or several, to TCP, in the common case
 * @sk: the socket
 * @ws: its context; not over TLS, and no message is open (then a sender may sleep in the middle of it)
 * @pfrag: they stand behind its offset, which moves on
 * @size: their bytes
 * @later: more is about to come, they are to wait for it
 * Context: owner, from a system call
 * Return: 0; -EAGAIN: it is not the common case, nothing has happened; or another negative errno if the connection cannot send
 * any more.
 */
int ws_tx_frame(struct sock *sk, struct ws *ws, struct page_frag *pfrag, size_t size, bool later)
{
	struct bio_vec bv = { .bv_page = pfrag->page, .bv_offset = pfrag->offset, .bv_len = size };
	ssize_t n = 0;

	ws_assert_locked(sk);
	if (!clear(sk, ws, pfrag))
		return -EAGAIN;
	pfrag->offset += size;
	if (ws->rest.page) {
		ws->rest.len += size;
		/* it counts as sent when it is the rest */
		n = later ? 0 : ws_tx_flush(sk, ws);
		return n == -EAGAIN ? 0 : n;
	}
	if (!later) {
		n = call_tcp(sk, ws, &bv, 1, size, 0);
		if (likely(n == size))
			return 0;
		if (n < 0 && n != -EAGAIN)
			return n;
	}
	get_page(bv.bv_page);
	if (later) {
		hold(sk, ws, &bv, 1, NULL);
		return 0;
	}
	keep_rest(ws, &bv, 1, NULL, max_t(ssize_t, n, 0));
	retry_later(sk, ws);
	return 0;
}

/* A control frame in this CPU's page; -ENOMEM. The caller gets a reference. */
static int control_bvec(struct bio_vec *bv, u8 opcode, const u8 *data, unsigned int len, bool masked)
{
	unsigned int room = WS_HEADER_MAX + len, head;
	u32 key = masked ? get_random_u32() : 0;
	struct control_page *c;
	int err = -ENOMEM;

	local_bh_disable();
	c = this_cpu_ptr(&control_pages);
	if (!c->page || c->used + room > PAGE_SIZE) {
		if (c->page)
			put_page(c->page);
		c->page = alloc_page(GFP_ATOMIC | __GFP_NOWARN);
		c->used = 0;
	}
	if (c->page) {
		u8 *frame = page_address(c->page) + c->used;

		head = ws_frame_encode(frame, opcode, true, len, masked, key);
		ws_mask_copy(frame + head, data, len, key);
		get_page(c->page);
		*bv = (struct bio_vec){ .bv_page = c->page, .bv_offset = c->used, .bv_len = head + len };
		c->used += head + len;
		err = 0;
	}
	local_bh_enable();
	return err;
}

/**
 * ws_tx_exit() - free the pages for control frames; nobody sends any more
 */
void ws_tx_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct control_page *c = per_cpu_ptr(&control_pages, cpu);

		if (c->page)
			put_page(c->page);
	}
}

/* What TCP's settings are while a control frame goes out, and what they were. */
struct tcp_mode {
	int err;
	gfp_t allocation;
	bool use_task_frag;
	u8 nonagle;
	u8 userlocks;
	int sndbuf;
	u32 notsent_lowat;
};

/*
 * A send of the module's own neither takes sk_err away, nor sleeps, nor uses the interrupted task's pages; it passes Nagle and
 * TCP_CORK; forced, also a full send buffer.
 */
static void enter_control_mode(struct sock *sk, struct tcp_mode *saved, bool force)
{
	struct tcp_sock *tp = tcp_sk(sk);

	/* one that has not ended the connection (recvmmsg, IP_RECVERR) is for the application */
	saved->err = xchg(&sk->sk_err, 0);
	saved->allocation = sk->sk_allocation;
	saved->use_task_frag = sk->sk_use_task_frag;
	saved->nonagle = tp->nonagle;
	saved->userlocks = sk->sk_userlocks;
	saved->sndbuf = sk->sk_sndbuf;
	saved->notsent_lowat = tp->notsent_lowat;
	sk->sk_allocation = GFP_ATOMIC;
	sk->sk_use_task_frag = false;
	tp->nonagle = TCP_NAGLE_OFF | TCP_NAGLE_PUSH;
	if (force) {
		/* at its memory limit TCP makes the buffer small, and then takes more; but not one that the program has set */
		sk->sk_userlocks &= ~SOCK_SNDBUF_LOCK;
		WRITE_ONCE(sk->sk_sndbuf, INT_MAX);
		WRITE_ONCE(tp->notsent_lowat, UINT_MAX);
	}
}

static void leave_control_mode(struct sock *sk, const struct tcp_mode *saved, bool force)
{
	struct tcp_sock *tp = tcp_sk(sk);

	if (unlikely(saved->err))
		cmpxchg(&sk->sk_err, 0, saved->err);
	sk->sk_allocation = saved->allocation;
	sk->sk_use_task_frag = saved->use_task_frag;
	tp->nonagle = saved->nonagle;
	if (force) {
		sk->sk_userlocks = saved->userlocks;
		WRITE_ONCE(sk->sk_sndbuf, saved->sndbuf);
		WRITE_ONCE(tp->notsent_lowat, saved->notsent_lowat);
	}
}

static int send_control(struct sock *sk, struct ws *ws, u8 opcode, const void *data, unsigned int len, bool force)
{
	struct bio_vec bv;
	int err;

	err = ws_tx_flush(sk, ws);
	if (err && !(ws_over_tls(ws) && ws_tls_joins(ws)))
		return err;
	if (!force && !sk_stream_memory_free(sk)) {
		set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		return -EAGAIN;
	}
	err = control_bvec(&bv, opcode, data, len, ws_client(ws));
	if (err)
		return err;
	return ws_tx_send(sk, ws, &bv, 1, NULL, bv.bv_len, 0);
}

/**
 * ws_tx_control() - send a control frame, or the empty end of a message
 * @sk: the socket
 * @ws: its context
 * @opcode: WS_OP_CLOSE, WS_OP_PING or WS_OP_PONG; WS_OP_CONTINUATION
 * @data: payload, masked here in the client role
 * @len: at most WS_CONTROL_MAX
 * @force: also when the send buffer is full: for Close, of which there is one, and for what one system call sends once
 *
 * Return: 0: TCP has it, or it is in the rest. -EAGAIN: no room now; SOCK_NOSPACE is set. -ENOMEM: no memory now.
 * -EPIPE: sending has ended.
 */
int ws_tx_control(struct sock *sk, struct ws *ws, u8 opcode, const void *data, unsigned int len, bool force)
{
	struct tcp_mode saved;
	int err;

	ws_assert_locked(sk);
	if (!ws_tx_allowed(sk))
		return -EPIPE;
	if (unlikely(ws_tx_stolen(sk, ws))) {
		ws_fail(sk, ws, WS_FAIL_STOLEN);
		return -EPIPE;
	}
	enter_control_mode(sk, &saved, force);
	err = send_control(sk, ws, opcode, data, len, force);
	leave_control_mode(sk, &saved, force);
	if (err)
		return err;
	if (ws_over_tls(ws))
		ws_tls_uncork(ws);
	if (ws_op_is_control(opcode))
		trace_websocket_control(sk, opcode, len, true);
	return 0;
}

/**
 * ws_tx_close() - send the rest also into a full send buffer, for nobody will call later
 * @sk: the socket
 * @ws: its context
 */
void ws_tx_close(struct sock *sk, struct ws *ws)
{
	struct tcp_mode saved;
	u32 seq;

	ws_assert_locked(sk);
	if (!ws->rest.page)
		return;
	if (ws_over_tls(ws)) {
		ws_tls_push_all(sk, ws, false);
		return;
	}
	/* at its memory limit TCP takes one piece at a time */
	do {
		seq = ws->tx_seq;
		enter_control_mode(sk, &saved, true);
		ws_tx_flush(sk, ws);
		leave_control_mode(sk, &saved, true);
	} while (ws->rest.page && ws->tx_seq != seq);
}

/**
 * ws_tx_run() - there may be room: send what waits, and tell senders
 * @sk: the socket
 * @ws: its context
 */
void ws_tx_run(struct sock *sk, struct ws *ws)
{
	struct tcp_mode saved;
	int err;

	ws_assert_locked(sk);
	if (ws->rest.page) {
		enter_control_mode(sk, &saved, false);
		err = ws_tx_flush(sk, ws);
		leave_control_mode(sk, &saved, false);
		/* our own FIN counts as a byte */
		if (unlikely(err == -EPIPE && ws_tx_allowed(sk) && ws_tx_stolen(sk, ws))) {
			ws_tx_free(ws);
			ws_fail(sk, ws, WS_FAIL_STOLEN);
		}
		if (err)
			return;
	}
	ws_control_retry(sk, ws);
	ws->base->write_space(sk);
	/* that has cleared it; these still wait */
	if (ws->pong || ws->ping_due)
		set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
}

/**
 * ws_write_space() - sk->sk_write_space: the send buffer has room
 * @sk: the socket
 * Context: softirq, or the owner of the socket, also from inside TCP's send functions
 */
void ws_write_space(struct sock *sk)
{
	struct ws *ws = ws_get(sk);

	if (unlikely(!ws) || ws->in_tcp || !sk->sk_socket)
		return;
	if (sock_owned_by_user(sk))
		ws->deferred |= WS_DEFER_TX;
	else
		ws_tx_run(sk, ws);
}
