/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The short questions to the queue of received bytes, which are asked for every message; the rest of source.c is in websocket.h.
 *
 * See source.c for what offsets, the head and the tail are, and for what may be done with the bytes: looking, no more.
 */
#ifndef WS_SOURCE_H
#define WS_SOURCE_H

#include "compat/compat.h"
#include "websocket.h"

static inline u32 ws_skb_start(const struct sk_buff *skb)
{
	return TCP_SKB_CB(skb)->seq;
}

/* end_seq counts a FIN, which is not data. */
static inline u32 ws_skb_end(const struct sk_buff *skb)
{
	return TCP_SKB_CB(skb)->seq + skb->len;
}

/* The sequence number of a stream offset that is in the queue, or right behind it. */
static inline u32 ws_seq(const struct ws *ws, u64 off)
{
	return ws->head_seq + (u32)(off - ws->head);
}

/**
 * ws_source_tail() - where the bytes that have arrived end
 * @ws: its context
 * Return: the offset behind the last byte. Not derived from rcv_nxt, which counts the FIN.
 */
static inline u64 ws_source_tail(const struct ws *ws)
{
	const struct sk_buff *skb = skb_peek_tail(ws->queue);
	s32 n = skb ? (s32)(ws_skb_end(skb) - ws->head_seq) : 0;

	return ws->head + max(n, 0);
}

/**
 * ws_source_ok() - has nobody else consumed from the stream?
 * @sk: the socket
 * @ws: its context
 *
 * A thread that was inside TCP's own recvmsg() when the protocol started takes raw bytes, and urgent data that is not
 * inline moves copied_seq from softirq. Then the framing is lost for good.
 */
static inline bool ws_source_ok(struct sock *sk, const struct ws *ws)
{
	/* SO_OOBINLINE can be changed behind our back; urgent bytes are ordinary bytes of the stream */
	if (unlikely(!sock_flag(sk, SOCK_URGINLINE)))
		sock_set_flag(sk, SOCK_URGINLINE);
	return likely(READ_ONCE(tcp_sk(sk)->copied_seq) == ws->head_seq) || ws_over_tls(ws);
}

/* The bytes at @off of @skb if they lie in its linear part or in its first page, as they do nearly always. NULL: elsewhere. */
static inline const u8 *ws_skb_piece(const struct sk_buff *skb, u32 off, size_t *n)
{
	u32 linear = skb_headlen(skb), size;
	const skb_frag_t *frag;

	if (off < linear) {
		*n = linear - off;
		return skb->data + off;
	}
	if (unlikely(!skb_shinfo(skb)->nr_frags || !ws_frags_readable(skb)))
		return NULL;
	off -= linear;
	frag = &skb_shinfo(skb)->frags[0];
	size = skb_frag_size(frag);
	if (off >= size)
		return NULL;
	*n = size - off;
	return (const u8 *)skb_frag_address(frag) + off;
}

/**
 * ws_source_first() - the bytes at the head
 * @ws: its context
 * @n: gets how many stand there in one piece
 * Return: the bytes, as ws_source_chunk() gives them; NULL: there are none, or ws_source_chunk() has to look.
 */
static inline const u8 *ws_source_first(const struct ws *ws, size_t *n)
{
	const struct sk_buff *skb = skb_peek(ws->queue);
	u32 off;

	if (unlikely(!skb))
		return NULL;
	/* not only FIN, nor bytes that were consumed */
	off = ws->head_seq - ws_skb_start(skb);
	return likely(off < skb->len) ? ws_skb_piece(skb, off, n) : NULL;
}

/**
 * ws_source_new() - all bytes from an offset on, if they came in one piece
 * @ws: its context
 * @off: stream offset, of the head or behind it
 * @n: gets how many there are
 * Return: the bytes, as ws_source_chunk() gives them; NULL: it is not so.
 */
static inline const u8 *ws_source_new(const struct ws *ws, u64 off, size_t *n)
{
	const struct sk_buff *skb = skb_peek_tail(ws->queue);
	u32 seq = ws_seq(ws, off);
	const u8 *p;

	if (unlikely(!skb) || ws_skb_start(skb) != seq)
		return NULL;
	/* what the one before has of these bytes counts */
	if (!skb_queue_is_first(ws->queue, skb) && before(seq, ws_skb_end(skb_queue_prev(ws->queue, skb))))
		return NULL;
	p = skb->len ? ws_skb_piece(skb, 0, n) : NULL;
	return p && *n == skb->len ? p : NULL;
}

/**
 * ws_source_want_any() - whatever comes is of interest: TCP calls at the next byte
 * @sk: the socket
 * @ws: its context
 * See ws_source_want().
 */
static inline void ws_source_want_any(struct sock *sk, const struct ws *ws)
{
	if (unlikely(sk->sk_rcvlowat != 1) && !ws_over_tls(ws))
		WRITE_ONCE(sk->sk_rcvlowat, 1);
}

/**
 * ws_rx_waits() - after a consume: is there anything for ws_rx_run() to do?
 * @ws: its context
 *
 * Not between messages with all headers examined.
 */
static inline bool ws_rx_waits(const struct ws *ws)
{
	return ws->scan_opcode || ws->scan_again || ws->scan != ws_source_tail(ws) || ws_rx_ended(ws);
}

#endif
