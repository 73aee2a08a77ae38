// SPDX-License-Identifier: GPL-2.0
/*
 * Where a WebSocket's bytes come from: a queue of skbs that is read in place.
 *
 * DESIGN NOTES
 *
 * The queue is TCP's receive queue. Looking at bytes (tail, peek, chunk, header) asks only for a queue whose skbs carry running
 * numbers in TCP_SKB_CB()->seq, so that another source can be put there: ws->queue.
 *
 * Nothing outside this file knows sk_receive_queue, copied_seq, rcv_nxt or sk_rcvlowat. The rest speaks of stream offsets.
 *
 * Received bytes are only ever read: they may lie in pages that belong to a file or to another process. For the same reason
 * they may change between two looks at them; whoever decides something by a byte decides it on a copy.
 *
 * The queue may hold overlapping skbs (retransmits). For each byte the first skb from the head that has it counts, as it
 * does for TCP's own readers. skb ends rise strictly along the queue, so walking from the tail, where new data is, and
 * stepping back while the one before ends later finds the same skb.
 */
#include "compat/compat.h"
#include "source.h"
#include "websocket.h"

#ifdef CONFIG_HIGHMEM
#error "websocket reads pages by their kernel address: it needs a kernel without HIGHMEM"
#endif

static const struct sk_buff *locate(const struct ws *ws, u64 off)
{
	const struct sk_buff_head *queue = ws->queue;
	const struct sk_buff *skb, *prev;
	u32 seq = ws_seq(ws, off);

	if (off == ws->head) {
		skb_queue_walk(queue, skb)
			if (before(seq, ws_skb_end(skb)))
				return skb;
		return NULL;
	}
	skb_queue_reverse_walk(queue, skb)
		if (!before(seq, ws_skb_start(skb)))
			break;
	if (skb == (const struct sk_buff *)queue || !before(seq, ws_skb_end(skb)))
		return NULL;
	while (!skb_queue_is_first(queue, skb)) {
		prev = skb_queue_prev(queue, skb);
		if (!before(seq, ws_skb_end(prev)))
			break;
		skb = prev;
	}
	return skb;
}

/* The contiguous bytes at @off of @skb; *@n gets their number. NULL: the CPU cannot read them (device memory). */
static const u8 *skb_chunk(const struct sk_buff *skb, u32 off, size_t *n)
{
	const struct sk_buff *child;
	unsigned int i, size;

again:
	size = skb_headlen(skb);
	if (off < size) {
		*n = size - off;
		return skb->data + off;
	}
	off -= size;
	if (unlikely(!ws_frags_readable(skb)))
		return NULL;
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];

		size = skb_frag_size(frag);
		if (off < size) {
			*n = size - off;
			return (const u8 *)skb_frag_address(frag) + off;
		}
		off -= size;
	}
	for (child = skb_shinfo(skb)->frag_list; child; child = child->next) {
		if (off < child->len) {
			skb = child;
			goto again;
		}
		off -= child->len;
	}
	return NULL;
}

/**
 * ws_source_chunk() - look at received bytes in place
 * @sk: the socket
 * @ws: its context
 * @spot: remembers where the last look was; offsets asked for through one spot only rise
 * @off: stream offset, from ws->head to below the tail
 * @n: set to the number of bytes that stand there in one piece, at least 1
 *
 * Return: the bytes, never to be written, valid until the lock is dropped or TCP is called; NULL if they cannot be read.
 */
const u8 *ws_source_chunk(struct sock *sk, struct ws *ws, struct ws_spot *spot, u64 off, size_t *n)
{
	const struct sk_buff_head *queue = ws->queue;
	const struct sk_buff *skb = spot->skb;
	u32 seq;

	if (likely(off - spot->off < spot->n)) {
		*n = spot->n - (off - spot->off);
		return spot->p + (off - spot->off);
	}
	seq = ws_seq(ws, off);
	if (!skb)
		skb = locate(ws, off);
	else
		while (skb && !before(seq, ws_skb_end(skb)))
			skb = skb_queue_is_last(queue, skb) ? NULL : skb_queue_next(queue, skb);
	spot->skb = skb;
	spot->n = 0;
	if (unlikely(!skb || before(seq, ws_skb_start(skb))))
		return NULL;
	spot->p = skb_chunk(skb, seq - ws_skb_start(skb), &spot->n);
	if (unlikely(!spot->p))
		spot->n = 0;
	spot->off = off;
	*n = spot->n;
	return spot->p;
}

/**
 * ws_source_peek() - copy received bytes without consuming them
 * @sk: the socket
 * @ws: its context
 * @n: bytes
 * @spot: see ws_source_chunk()
 * @off: stream offset; may be the tail. The spot stays there.
 * @buf: gets at most @n bytes
 *
 * Return: how many bytes there were, up to @n.
 */
unsigned int ws_source_peek(struct sock *sk, struct ws *ws, struct ws_spot *spot, u64 off, u8 *buf, unsigned int n)
{
	u64 tail = ws_source_tail(ws);
	unsigned int done = 0;
	struct ws_spot ahead;

	n = min_t(u64, n, tail > off ? tail - off : 0);
	while (done < n) {
		size_t len;
		const u8 *p = ws_source_chunk(sk, ws, done ? &ahead : spot, off + done, &len);

		if (unlikely(!p))
			break;
		/* the caller goes on somewhere between @off and @off + @n */
		if (!done)
			ahead = *spot;
		len = min_t(size_t, len, n - done);
		memcpy(buf + done, p, len);
		done += len;
	}
	return done;
}

/**
 * ws_source_header() - copy what there may be of a frame header
 * @sk: the socket
 * @ws: its context
 * @spot: see ws_source_chunk(); stays there
 * @off: stream offset; may be the tail
 * @buf: gets the bytes
 *
 * Return: how many there were, up to WS_HEADER_MAX.
 */
unsigned int ws_source_header(struct sock *sk, struct ws *ws, struct ws_spot *spot, u64 off, u8 buf[WS_HEADER_ROOM])
{
	size_t n;
	const u8 *p = ws_source_chunk(sk, ws, spot, off, &n);

	if (likely(p && n >= WS_HEADER_ROOM)) {
		ws_store64(buf, ws_load64(p));
		ws_store64(buf + 8, ws_load64(p + 8));
		return WS_HEADER_MAX;
	}
	/* a short frame and nothing behind it */
	if (p && n >= 8 && off + n == ws_source_tail(ws)) {
		ws_store64(buf, ws_load64(p));
		ws_store64(buf + n - 8, ws_load64(p + n - 8));
		return min_t(size_t, n, WS_HEADER_MAX);
	}
	return ws_source_peek(sk, ws, spot, off, buf, WS_HEADER_MAX);
}

/*
 * The beginning of a header or of a control frame keeps the whole skb in which it came, and that may be more than the window
 * allows for: then the rest of it can never come. Such a remainder goes into an skb of its own size, as TCP's own collapse does it.
 */
static void compact(struct sock *sk, struct sk_buff *old)
{
	u32 off = tcp_sk(sk)->copied_seq - ws_skb_start(old);
	u32 len = old->len - off;
	struct sk_buff *skb = alloc_skb(len, GFP_ATOMIC | __GFP_NOWARN);

	if (!skb)
		return;
	memcpy(skb->cb, old->cb, sizeof(skb->cb));
	TCP_SKB_CB(skb)->seq += off;
	if (skb_copy_bits(old, off, skb_put(skb, len), len)) {
		kfree_skb(skb);
		return;
	}
	__skb_queue_after(&sk->sk_receive_queue, old, skb);
	__skb_unlink(old, &sk->sk_receive_queue);
	/* TCP counts what this is charged for when it gives back the other */
	skb_set_owner_r(skb, sk);
	kfree_skb(old);
}

/* The remainder behind @n bytes is small, and holds much memory. */
static struct sk_buff *pinned(struct sock *sk, const struct ws *ws, u64 n)
{
	u64 left = ws_source_tail(ws) - ws->head - n;
	struct sk_buff *skb = skb_peek_tail(ws->queue);

	if (likely(!left) || left > WS_HEADER_MAX + WS_CONTROL_MAX || n < 2 || skb->truesize < sk->sk_rcvbuf / 4 ||
	    TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN || before(ws_seq(ws, ws->head + n - 1), ws_skb_start(skb)))
		return NULL;
	return skb;
}

/**
 * ws_source_consume() - give bytes back to TCP
 * @sk: the socket
 * @ws: its context
 * @n: how many, from ws->head on; they have arrived
 *
 * May send an ACK. Ends every pointer into the queue.
 */
void ws_source_consume(struct sock *sk, struct ws *ws, u64 n)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct sk_buff *skb;

	ws_assert_locked(sk);
	if (!n)
		return;
	if (ws_over_tls(ws)) {
		ws_tls_consume(sk, ws, n);
		return;
	}
	skb = pinned(sk, ws, n);
	if (unlikely(skb)) {
		/* the last byte goes when the memory has gone, so that the window is looked at then */
		tcp_read_done(sk, n - 1);
		compact(sk, skb);
		tcp_read_done(sk, 1);
	} else {
		tcp_read_done(sk, n);
	}
	WRITE_ONCE(ws->head, ws->head + n);
	/* tcp_read_done() steps over a FIN behind the last byte: take its word, there is no more data then */
	ws->head_seq = tp->copied_seq;
	if (unlikely(tp->urg_data) && !before(tp->copied_seq, tp->urg_seq)) {
		/* as TCP's own readers: header prediction is off while urgent data is unread */
		WRITE_ONCE(tp->urg_data, 0);
		tcp_fast_path_check(sk);
	}
}

static int buffer_limit(const struct sock *sk)
{
	if (sk->sk_userlocks & SOCK_RCVBUF_LOCK)
		return sk->sk_rcvbuf;
	return READ_ONCE(sock_net(sk)->ipv4.sysctl_tcp_rmem[2]);
}

/*
 * TCP grows the receive buffer only when somebody reads. While a message is incomplete nobody does, so it grows here: twofold,
 * when half of it is in use. A peer makes us promise memory for twice what it has sent, not for what it announced.
 */
static bool grow(struct sock *sk, struct ws *ws)
{
	u64 queued = ws_source_tail(ws) - ws->head;
	int limit = buffer_limit(sk);
	int size = sk->sk_rcvbuf;

	if (size >= limit ||
	    (queued < tcp_win_from_space(sk, size) / 2 && atomic_read(&sk->sk_rmem_alloc) < size / 2))
		return false;
	size = size > limit / 2 ? limit : size * 2;
	WRITE_ONCE(sk->sk_rcvbuf, size);
	WRITE_ONCE(tcp_sk(sk)->window_clamp, tcp_win_from_space(sk, size));
	return true;
}

/**
 * ws_source_want() - nothing can be done before more has arrived
 * @sk: the socket
 * @ws: its context
 * @until: the offset up to which bytes are needed; 0: call at the next byte
 *
 * Sets sk_rcvlowat, so that TCP does not call for every segment in between. It counts from copied_seq: called again after
 * each consume. It does not hide a full buffer, for which TCP calls anyway.
 */
void ws_source_want(struct sock *sk, struct ws *ws, u64 until)
{
	u64 n = 1;

	/* TLS asks for whole records */
	if (ws_over_tls(ws))
		return;
	if (until > ws->head)
		n = clamp_t(u64, until - ws->head, 1, tcp_win_from_space(sk, sk->sk_rcvbuf) / 2);
	if (sk->sk_rcvlowat != n)
		WRITE_ONCE(sk->sk_rcvlowat, n);
}

/**
 * ws_source_acknowledge() - bytes have come that nobody reads yet
 * @sk: the socket
 * @ws: its context
 *
 * TCP leaves it to readers to acknowledge every other segment: by itself it does so only as long as the window grows, or less is there
 * than sk_rcvlowat. Without it a peer with a small congestion window waits for the delayed ACK.
 */
void ws_source_acknowledge(struct sock *sk, const struct ws *ws)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	if (!ws_over_tls(ws) && inet_csk_ack_scheduled(sk) && tp->rcv_nxt - tp->rcv_wup > inet_csk(sk)->icsk_ack.rcv_mss)
		ws_tcp_send_ack(sk);
}

/**
 * ws_source_full() - can TCP hold no more of an incomplete message?
 * @sk: the socket
 * @ws: its context
 *
 * The window is used up although the buffer was grown as far as it may, or memory is short: what is there has to be read.
 * Below that limit TCP opens the window again by itself: with the next ACK.
 */
bool ws_source_full(struct sock *sk, struct ws *ws)
{
	bool grown;

	/* over TLS nobody looks again when the bytes are taken already: as far as it helps at once */
	do
		grown = grow(sk, ws);
	while (grown && ws_over_tls(ws) && ws_source_shut(sk, ws));
	if (ws_over_tls(ws) && unlikely(ws_tls_starved(sk, ws)))
		return true;
	/* beyond its buffer TCP drops what comes, whatever window was announced: SO_RCVBUF was made smaller */
	if (likely(!ws_source_shut(sk, ws) && atomic_read(&sk->sk_rmem_alloc) <= sk->sk_rcvbuf))
		return false;
	if (tcp_under_memory_pressure(sk))
		return true;
	return !grown && sk->sk_rcvbuf >= buffer_limit(sk);
}

/**
 * ws_source_ended() - will no more bytes come?
 * @sk: the socket
 * @ws: its context
 */
bool ws_source_ended(const struct sock *sk, const struct ws *ws)
{
	if (ws_over_tls(ws))
		return ws_tls_ended(ws);
	return READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN || sk->sk_state == TCP_CLOSE;
}

/**
 * ws_source_shut() - is it us who keep the peer from sending?
 * @sk: the socket
 * @ws: its context
 *
 * Unread data has used up the window: then nothing that the peer does can show that it lives.
 */
bool ws_source_shut(const struct sock *sk, const struct ws *ws)
{
	if (ws_over_tls(ws))
		return ws_tls_full(sk, ws);
	return tcp_epollin_ready(sk, INT_MAX);
}
