// SPDX-License-Identifier: GPL-2.0
/*
 * The way in over kTLS: records are decrypted into skbs of our own, and those that are not data are acted on.
 *
 * DESIGN NOTES
 *
 * TLS' recvmsg() is called without the lock, by one task at a time (tls->pulling; DESIGN NOTES in tls.c). It decrypts in place into
 * the pages of an skb that is as large as what has arrived; small ones use its head, and what fits behind the last skb is put there,
 * for an skb a record would cost hundreds of bytes for each byte of a peer that sends tiny records.
 */
#include <linux/tls.h>
#include <net/tls.h>
#include "compat/compat.h"
#include "stats.h"
#include "tls.h"

/* one run */
#define PULL_CALLS	16
#define PULL_BYTES	65536
/* one call */
#define PULL_MAX	32768
#define LINEAR_MAX	SKB_WITH_OVERHEAD(2048)

/* RFC 8446 6, 4 */
#define ALERT_UNEXPECTED_MESSAGE	10
#define ALERT_BAD_RECORD_MAC	20
#define ALERT_DECODE_ERROR	50
#define ALERT_USER_CANCELED	90
#define HELLO_REQUEST		0
#define NEW_SESSION_TICKET	4

static const struct tls_strparser *strparser(const struct sock *sk)
{
	return &tls_sw_ctx_rx(tls_get_ctx(sk))->strp;
}

/**
 * ws_tls_unreadable() - has a record come that TLS cannot read? Then it reads nothing any more
 * @sk: the socket
 * Context: any
 */
bool ws_tls_unreadable(const struct sock *sk)
{
	return strparser(sk)->stopped;
}

/* Is it worth asking TLS? A record may have come while the socket was owned; then TLS has not looked at it yet. */
static bool pullable(struct sock *sk, struct ws *ws)
{
	return !ws->tls->eof && !ws_tls_full(sk, ws) &&
	       (ws->tls->more || tcp_inq(sk) > 0 || sk->sk_shutdown & RCV_SHUTDOWN || sk->sk_state == TCP_CLOSE ||
		ws_tls_readable(sk, ws));
}

/*
 * What comes next has at most this size, or the rest of it comes with another call: the record that TLS has found, and what stands
 * behind it in TCP's queue; or what is left of one that came when less was asked for.
 */
static unsigned int next_size(struct sock *sk)
{
	struct sk_buff *left = skb_peek(&tls_sw_ctx_rx(tls_get_ctx(sk))->rx_list);
	const struct tls_strparser *strp = strparser(sk);
	int n = tcp_inq(sk);

	if (left)
		n = max(n, strp_msg(left)->full_len);
	if (READ_ONCE(strp->msg_ready))
		n = max(n, strp->stm.full_len);
	return clamp_t(int, n, 64, PULL_MAX);
}

/* As TCP charges what it receives: a cgroup may be over its limit by it, and a socket that holds nothing goes on at any limit. */
static bool may_charge(struct sock *sk, const struct ws *ws, struct sk_buff *skb)
{
	bool may;

	local_bh_disable();
	may = sk_rmem_schedule(sk, skb, skb->truesize);
	local_bh_enable();
	return may || skb_queue_empty(&ws->tls->queue);
}

/* An skb for @size bytes, charged to the socket. Small ones in its head, others in pages, into which TLS can decrypt in place. */
static struct sk_buff *charged_skb(struct sock *sk, const struct ws *ws, unsigned int size)
{
	struct sk_buff *skb;
	int err;

	if (size <= LINEAR_MAX)
		skb = alloc_skb(size, GFP_KERNEL);
	else
		skb = alloc_skb_with_frags(0, size, PAGE_ALLOC_COSTLY_ORDER, &err, GFP_KERNEL);
	if (!skb)
		return NULL;
	if (!may_charge(sk, ws, skb)) {
		kfree_skb(skb);
		return NULL;
	}
	skb_set_owner_r(skb, sk);
	return skb;
}

/*
 * @size bytes of the task's own page fragment, in which a small record is decrypted before it is copied to its skb: into pages TLS
 * decrypts straight, and for everything else it allocates an skb with pages each time. NULL: no memory.
 */
static struct page *borrow_page(unsigned int size, struct bio_vec *bv)
{
	struct page_frag *pfrag = &current->task_frag;

	if (!skb_page_frag_refill(size, pfrag, GFP_KERNEL))
		return NULL;
	*bv = (struct bio_vec){ .bv_page = pfrag->page, .bv_offset = pfrag->offset, .bv_len = size };
	get_page(pfrag->page);
	/* what the task sends meanwhile, under us, does not come to lie there */
	pfrag->offset += size;
	return pfrag->page;
}

static void return_page(const struct bio_vec *bv)
{
	struct page_frag *pfrag = &current->task_frag;

	if (pfrag->page == bv->bv_page && pfrag->offset == bv->bv_offset + bv->bv_len)
		pfrag->offset = bv->bv_offset;
	put_page(bv->bv_page);
}

/* TLS' recvmsg() into @skb, without the lock. @type: what it brought, which may be empty; 0: nothing. */
static int decrypt(struct sock *sk, struct ws *ws, struct sk_buff *skb, unsigned int size, u8 *type)
{
	u8 cbuf[CMSG_SPACE(sizeof(u8))] __aligned(sizeof(size_t)) = {};
	struct bio_vec bv[MAX_SKB_FRAGS];
	struct cmsghdr *cmsg = (void *)cbuf;
	struct msghdr msg = { .msg_control = cbuf, .msg_controllen = sizeof(cbuf) };
	unsigned int i, nr = skb_shinfo(skb)->nr_frags;
	struct kvec kv = { .iov_base = skb->data, .iov_len = size };
	struct page *borrowed = NULL;
	int n;

	if (nr) {
		for (i = 0; i < nr; i++) {
			skb_frag_t *frag = &skb_shinfo(skb)->frags[i];

			bv[i] = (struct bio_vec){ .bv_page = skb_frag_page(frag), .bv_offset = skb_frag_off(frag),
						  .bv_len = skb_frag_size(frag) };
		}
		iov_iter_bvec(&msg.msg_iter, ITER_DEST, bv, nr, size);
	} else {
		borrowed = borrow_page(size, bv);
		if (borrowed)
			iov_iter_bvec(&msg.msg_iter, ITER_DEST, bv, 1, size);
		else
			iov_iter_kvec(&msg.msg_iter, ITER_DEST, &kv, 1, size);
	}
	n = ws_prot_recvmsg(ws->base->prot, sk, &msg, size, MSG_DONTWAIT);
	if (n > 0 && nr) {
		skb->len = size;
		skb->data_len = size;
		pskb_trim(skb, n);
	} else if (n > 0) {
		skb_put(skb, n);
		if (borrowed)
			memcpy(skb->data, page_address(borrowed) + bv->bv_offset, n);
	}
	if (borrowed)
		return_page(bv);
	*type = 0;
	if (msg.msg_controllen < sizeof(cbuf) && cmsg->cmsg_level == SOL_TLS &&
	    cmsg->cmsg_type == TLS_GET_RECORD_TYPE)
		*type = *(u8 *)CMSG_DATA(cmsg);
	return n;
}

static void end(struct sock *sk, struct ws *ws)
{
	WRITE_ONCE(ws->tls->eof, true);
	ws->base->data_ready(sk);
	ws->base->state_change(sk);
}

/* After the peer's Close nothing fails any more, nor after what ends the messages otherwise. */
static void fail(struct sock *sk, struct ws *ws, enum ws_failure failure, u8 alert)
{
	/* messages that came before come first */
	do
		ws_rx_run(sk, ws);
	while (ws->scan_again);
	ws->tls->alert = alert;
	end(sk, ws);
	if (!ws_rx_ended(ws) && !ws->ending)
		ws_fail(sk, ws, failure);
}

/* RFC 8446 6, RFC 5246 7.2: level and description */
static void handle_alert(struct sock *sk, struct ws *ws, const struct sk_buff *skb)
{
	bool tls13 = tls_get_ctx(sk)->prot_info.version == TLS_1_3_VERSION;
	u8 p[2];

	if (skb_copy_bits(skb, 0, p, sizeof(p)))
		fail(sk, ws, WS_FAIL_TLS_RECORD, ALERT_DECODE_ERROR);
	else if (p[1] == WS_TLS_CLOSE_NOTIFY)
		end(sk, ws);
	else if (p[1] != ALERT_USER_CANCELED && (tls13 || p[0] > 1))
		fail(sk, ws, WS_FAIL_TLS_ALERT, WS_TLS_CLOSE_NOTIFY);
}

/*
 * RFC 8446 4, RFC 5246 7.4: messages that need no answer are passed over. They need not end where records end, and a record comes in
 * several pieces if it was not there yet when its size was asked for.
 */
static void handle_handshake(struct sock *sk, struct ws *ws, const struct sk_buff *skb)
{
	struct ws_tls *tls = ws->tls;
	unsigned int off = 0;

	while (off < skb->len) {
		u32 n = min(tls->handshake_left, skb->len - off);
		const u8 *p = tls->handshake;

		if (n) {
			tls->handshake_left -= n;
			off += n;
			continue;
		}
		if (skb_copy_bits(skb, off, &tls->handshake[tls->handshake_have], 1)) {
			fail(sk, ws, WS_FAIL_TLS_RECORD, ALERT_DECODE_ERROR);
			return;
		}
		off++;
		if (++tls->handshake_have < sizeof(tls->handshake))
			continue;
		tls->handshake_have = 0;
		tls->handshake_left = p[1] << 16 | p[2] << 8 | p[3];
		if (p[0] != NEW_SESSION_TICKET && p[0] != HELLO_REQUEST) {
			fail(sk, ws, WS_FAIL_TLS_REKEY, WS_TLS_CLOSE_NOTIFY);
			return;
		}
	}
}

/* A record that is not data. */
static void handle_record(struct sock *sk, struct ws *ws, const struct sk_buff *skb, u8 type)
{
	if (type == WS_TLS_ALERT)
		handle_alert(sk, ws, skb);
	else if (type == WS_TLS_HANDSHAKE)
		handle_handshake(sk, ws, skb);
	else
		fail(sk, ws, WS_FAIL_TLS_RECORD, ALERT_UNEXPECTED_MESSAGE);
}

/* @skb, which is charged, becomes the end of the queue, or its bytes do. */
static void append(struct ws_tls *tls, struct sk_buff *skb)
{
	struct sk_buff *last = skb_peek_tail(&tls->queue);
	unsigned int len = skb->len;

	if (last && skb_tailroom(last) >= len && !skb_copy_bits(skb, 0, skb_tail_pointer(last), len)) {
		skb_put(last, len);
		kfree_skb(skb);
	} else {
		TCP_SKB_CB(skb)->seq = tls->tail_seq;
		tls->charged += skb->truesize;
		__skb_queue_tail(&tls->queue, skb);
	}
	tls->tail_seq += len;
}

/* The connection has ended, which TLS would say before it looks at the records that came before. */
static bool over(const struct sock *sk, const struct ws *ws)
{
	return sk->sk_state == TCP_CLOSE || ws->state == WEBSOCKET_STATE_FAILED;
}

/* TLS' recvmsg() has failed. Returns 0 if there may be more behind it. */
static int pull_error(struct sock *sk, struct ws *ws, int err)
{
	struct ws_tls *tls = ws->tls;

	/* its reason was in sk_err, which others take away, or is there still, whatever it returned */
	if (ws_tls_unreadable(sk) || sk->sk_err == EBADMSG)
		err = -EBADMSG;
	switch (err) {
	case -EAGAIN:
		/* a thread that came before the attach is inside, and takes what comes */
		if (tls_sw_ctx_rx(tls_get_ctx(sk))->reader_present)
			fail(sk, ws, WS_FAIL_STOLEN, WS_TLS_CLOSE_NOTIFY);
		break;
	case -EINTR:
	case -ERESTARTSYS:
		break;
	case -EBADMSG:
	case -EIO:
		fail(sk, ws, WS_FAIL_TLS_RECORD, ALERT_BAD_RECORD_MAC);
		break;
	case -EKEYEXPIRED:
		/* a handshake record began like a KeyUpdate: TLS reads nothing behind it, whether it is one or not (from 6.14 on) */
		fail(sk, ws, WS_FAIL_TLS_REKEY, WS_TLS_CLOSE_NOTIFY);
		break;
	default:
		/* taken from sk_err, and is for the program */
		cmpxchg(&sk->sk_err, 0, -err);
		/* the end: from now on TLS does not see it */
		if (over(sk, ws))
			return 0;
		/* not at once: what is below may still be there */
		WRITE_ONCE(tls->starved, true);
		ws_timer_retry_memory(sk, ws);
	}
	return err;
}

static bool ended(const struct sock *sk)
{
	return sk->sk_shutdown & RCV_SHUTDOWN || sock_flag(sk, SOCK_DONE) || sk->sk_state == TCP_CLOSE;
}

/* One call of TLS' recvmsg(). Returns bytes of data, or 0 if it ended or brought something else, or a negative errno. */
static int pull_one(struct sock *sk, struct ws *ws)
{
	struct ws_tls *tls = ws->tls;
	unsigned int size = next_size(sk);
	struct sk_buff *skb = charged_skb(sk, ws, size);
	int n, err;
	u8 type;

	/* what has come waits; the timer makes somebody try again */
	WRITE_ONCE(tls->starved, !skb);
	if (!skb) {
		ws_timer_retry_memory(sk, ws);
		return -ENOMEM;
	}
	WRITE_ONCE(tls->pulling, true);
	WRITE_ONCE(tls->more, false);
	err = over(sk, ws) ? xchg(&sk->sk_err, 0) : 0;
	release_sock(sk);
	n = decrypt(sk, ws, skb, size, &type);
	lock_sock(sk);
	ws_tls_done(tls, &tls->pulling);
	if (unlikely(err))
		cmpxchg(&sk->sk_err, 0, err);

	if (n > 0 && type == WS_TLS_DATA) {
		append(tls, skb);
		return n;
	}
	if (n < 0)
		n = pull_error(sk, ws, n);
	else if (!type && ws_tls_unreadable(sk))
		/* a broken record and FIN behind it, and the error was taken away */
		pull_error(sk, ws, -EBADMSG);
	else if (!type && ended(sk))
		end(sk, ws);
	else if (!type)
		/* there was an error, which somebody took away before TLS could: it is asked again */
		WRITE_ONCE(tls->more, true);
	else if (type != WS_TLS_DATA)
		handle_record(sk, ws, skb, type);
	kfree_skb(skb);
	return min(n, 0);
}

/**
 * ws_tls_pull() - decrypt what has come and look at it
 * @sk: the socket
 * @ws: its context
 *
 * Drops the lock meanwhile. A bounded amount.
 * Context: process, owner
 * Return: false: there was nothing new.
 */
bool ws_tls_pull(struct sock *sk, struct ws *ws)
{
	struct ws_tls *tls = ws->tls;
	unsigned int calls = 0;
	u64 ready = ws->ready;
	int done = 0, n = 0;
	bool look;

	ws_assert_locked(sk);
	if (tls->pulling) {
		ws_tls_wait(sk, tls, &tls->pulling);
		return true;
	}
	ws_mirror_error(sk, ws);
	while (calls < PULL_CALLS && done < PULL_BYTES && pullable(sk, ws)) {
		n = pull_one(sk, ws);
		if (n < 0)
			break;
		calls++;
		done += n;
	}
	/* also if nothing was pulled because it is full by now, SO_RCVBUF became smaller; or for want of memory */
	look = calls || (!tls->stopped && ws_tls_full(sk, ws)) || ws_tls_starved(sk, ws);
	if (look) {
		tls->promise = true;
		ws_rx_run(sk, ws);
	}
	/* behind what poll() may see instead */
	smp_store_release(&tls->called, false);
	/* the lock was dropped: the timer may have found a message */
	if (!look)
		return ws->ready != ready;
	ws_tls_compact(sk, ws);
	/* that may have given the bytes back, or the buffer more room */
	if (!tls->eof && ws_tls_full(sk, ws) && !tls->stopped) {
		WRITE_ONCE(tls->stopped, true);
		ws_count(sk, WS_STAT_TLS_STOPS);
	}
	ws_tls_push(sk, ws);
	return calls || ws->ready != ready;
}
