// SPDX-License-Identifier: GPL-2.0
/*
 * The second source, kTLS: who decrypts and encrypts when, and what of it waits. tls_rx.c is the way in, tls_tx.c the way out.
 *
 * DESIGN NOTES
 *
 * The WebSocket stands on top of TLS as a user of its struct proto would: plain bytes come from TLS' recvmsg() and go to its
 * sendmsg(). Both may sleep and take the socket lock themselves. So they are called in process context only, with the lock
 * dropped, and everything else in this module goes on as over TCP, under the lock and in any context:
 *
 *   in	"pulling" moves what TLS has into skbs of our own, which stand in tls->queue with running numbers, as TCP's queue has
 *	them. The parser sees no difference. After each pull it looks at what is new (ws_rx_run).
 *   out	what is to be sent becomes ws->rest, one frame or gather of frames at a time, exactly as over a TCP that has no room;
 *	"pushing" hands it to TLS. A pong, a Close and a FIN that come meanwhile wait behind it in their usual places.
 *
 * Who pulls: a reader in recvmsg() that finds nothing; a reader asleep there is woken (tls->sleeper) when TLS has a record and
 * pulls itself; otherwise the socket's work item, so that pings are answered while the program does something else. But the work item
 * costs as much as waking the program, which it has to do as well for a message. So if the last thing that came was a message and
 * the program took it (tls->prompt), the program is told of the next record first (tls->called), and pulls in poll() before that says
 * whether there is a message. If it does not come within two ticks, the work item does it; if it was a ping, the program
 * went to sleep again inside poll(), and the next record is the work item's. Who pushes:
 * the call that has made something to send (tls->promise: it will, before it drops the lock), or the work item. tls->pulling and
 * tls->pushing let one task at a time be inside TLS in each direction: order is kept, and what comes meanwhile is seen by whoever is
 * inside when it comes back (tls->more, ws->rest), so no wake-up is lost. Both directions wait for no one but the cipher: they
 * always pass MSG_DONTWAIT.
 *
 * The work item is queued only under the socket lock and only if !tls->closing. close() sets closing under the lock and then
 * waits for the work item; no system call can be inside, since each holds the file. From there on close() has the source for
 * itself, and only then is anything purged. A run of it is bounded (tls_rx.c) and goes to the end of the queue.
 *
 * Memory: decrypted bytes are charged to the socket like received ones, so TCP's window shrinks by what stands here. Pulling
 * stops when they are half of the receive buffer, after it was grown as far as it may (ws_tls_full, source.c), and goes on when the
 * reader has taken some. The other half is for ciphertext: as long as TCP has some, taking it opens the window by TCP's own rules;
 * otherwise window_update() does. The beginning of a frame, with which nobody can do anything yet, never stops pulling and never
 * holds much memory (ws_tls_compact). On an idle socket nothing is held.
 *
 * The end, in: only TLS can say that nothing more comes, since a FIN may stand behind records that nobody has decrypted. So
 * ws_state_change() makes somebody pull, and tls->eof is set by what TLS answers: 0 (FIN, with or without close_notify), a
 * close_notify, or an error. A FIN without close_notify is like a FIN: what matters to a WebSocket is whether Close came.
 *
 *	close_notify		the end, 1006 unless Close came before
 *	another alert		ECONNABORTED (FailTlsAlert); user_canceled, and warnings of TLS 1.2, are passed over
 *	NewSessionTicket, HelloRequest	passed over: nothing has to be done about them
 *	KeyUpdate and other handshakes	EKEYEXPIRED (FailTlsRekey), Close 1011: the keys are in the kernel for good
 *	bad MAC, broken record	EBADMSG (FailTlsRecord), alert bad_record_mac. TLS does not tell from that when it had no memory
 *
 * The end, out: Close, then a close_notify, then FIN when TLS has handed all of it to TCP. FIN waits for that in ws->fin_due.
 */
#include <linux/tls.h>
#include <net/tls.h>
#include "compat/compat.h"
#include "stats.h"
#include "tls.h"

#define PASSES		16	/* in close() */
#define FRAME_START	(WS_HEADER_MAX + WS_CONTROL_MAX)	/* that can be acted on only when all of it is there */

struct workqueue_struct *ws_tls_queue;

/**
 * ws_tls_kick() - somebody else has to pull or push
 * @ws: its context
 * Context: any in which the socket lock is held
 */
void ws_tls_kick(struct ws *ws)
{
	struct ws_tls *tls = ws->tls;

	ws_assert_locked(ws->sk);
	if (!tls->closing && !tls->promise)
		queue_work(ws_tls_queue, &tls->work);
}

/*
 * Tells the program of a record, which it will look into in poll(): ws_tls_poll(). False: it is not expected to come, or does not wait
 * there.
 */
static bool call_program(struct ws *ws)
{
	struct ws_tls *tls = ws->tls;
	struct sock *sk = ws->sk;
	struct socket_wq *wq;
	bool waits;

	if (!tls->prompt || tls->closing || tls->promise || sock_flag(sk, SOCK_FASYNC))
		return false;
	if (tls->called)
		return true;
	rcu_read_lock();
	wq = rcu_dereference(sk->sk_wq);
	waits = skwq_has_sleeper(wq);
	if (waits) {
		WRITE_ONCE(tls->called, true);
		ws_timer_retry(sk, ws, 2);
		/* without EPOLLIN, which io_uring would believe before it asks poll() */
		wake_up_interruptible_sync_poll(&wq->wait, 0);
	}
	rcu_read_unlock();
	return waits;
}

/**
 * ws_tls_record_ready() - TLS' saved_data_ready: there is a record
 * @sk: the socket
 * Context: softirq, or the owner of the socket
 */
void ws_tls_record_ready(struct sock *sk)
{
	struct ws *ws = ws_get(sk);

	if (likely(ws))
		ws_tls_come(ws);
}

/**
 * ws_tls_come() - something has come, or ended: pull
 * @ws: its context
 * Context: any in which the socket lock is held
 */
void ws_tls_come(struct ws *ws)
{
	struct ws_tls *tls = ws->tls;

	WRITE_ONCE(tls->more, true);
	if (tls->pulling)
		return;
	/* the buffer may have grown meanwhile */
	if (unlikely(tls->stopped) && !ws_tls_full(ws->sk, ws))
		WRITE_ONCE(tls->stopped, false);
	if (tls->sleeper)
		woken_wake_function(tls->sleeper, TASK_NORMAL, 0, NULL);
	else if (!call_program(ws))
		ws_tls_kick(ws);
}

/**
 * ws_tls_poll() - the program polls: if it was told of a record, it looks into it
 * @sk: the socket
 * @ws: its context
 * Context: process, without the lock; the caller waits on the socket already
 */
void ws_tls_poll(struct sock *sk, struct ws *ws)
{
	struct ws_tls *tls = ws->tls;
	/* of a record that it cannot read TLS says so in sk_err alone, which somebody may have taken */
	bool stopped = ws_tls_unreadable(sk) && !READ_ONCE(tls->eof);

	if (!READ_ONCE(tls->called) && likely(!stopped))
		return;
	lock_sock(sk);
	/* who is pulling tells of what comes out */
	if ((tls->called || stopped) && !tls->pulling) {
		ws_tls_pull(sk, ws);
		/* a ping, or a part of something: the next one may be such again */
		if (!ws_readable(ws))
			tls->prompt = false;
		ws_tls_leave(sk, ws);
	}
	release_sock(sk);
}

/**
 * ws_tls_took() - the program has taken a message
 * @ws: its context
 */
void ws_tls_took(struct ws *ws)
{
	ws->tls->prompt = true;
}

/**
 * ws_tls_sleep() - a reader goes to sleep, and will pull when it is woken
 * @ws: its context
 * @wait: its entry, of woken_wake_function()
 */
void ws_tls_sleep(struct ws *ws, struct wait_queue_entry *wait)
{
	ws_assert_locked(ws->sk);
	/* of several readers one is enough */
	if (!ws->tls->sleeper)
		ws->tls->sleeper = wait;
}

/**
 * ws_tls_wake() - it is awake again
 * @ws: its context
 * @wait: its entry
 */
void ws_tls_wake(struct ws *ws, struct wait_queue_entry *wait)
{
	ws_assert_locked(ws->sk);
	if (ws->tls->sleeper == wait)
		ws->tls->sleeper = NULL;
}

/**
 * ws_tls_waiting() - would a reader that wakes up now pull something?
 * @ws: its context
 * Context: any; a hint
 */
bool ws_tls_waiting(const struct ws *ws)
{
	const struct ws_tls *tls = ws->tls;

	return READ_ONCE(tls->more) && !READ_ONCE(tls->pulling) && !READ_ONCE(tls->stopped) && !READ_ONCE(tls->starved);
}

/**
 * ws_tls_leave() - a reader leaves: somebody else sees to what is still below
 * @sk: the socket
 * @ws: its context
 */
void ws_tls_leave(struct sock *sk, struct ws *ws)
{
	struct ws_tls *tls = ws->tls;

	/* TLS is asked for the end as well */
	if (!tls->pulling && !tls->eof && !tls->starved && !ws_tls_full(sk, ws) &&
	    (tls->more || sk->sk_shutdown & RCV_SHUTDOWN || ws_tls_readable(sk, ws)))
		ws_tls_come(ws);
}

/**
 * ws_tls_wait() - wait until nobody is inside TLS in one direction
 * @sk: the socket
 * @tls: its source
 * @flag: tls->pulling or tls->pushing
 *
 * Drops the lock meanwhile.
 * Context: process, owner
 */
void ws_tls_wait(struct sock *sk, struct ws_tls *tls, const bool *flag)
{
	while (READ_ONCE(*flag)) {
		release_sock(sk);
		wait_event(tls->idle, !READ_ONCE(*flag));
		lock_sock(sk);
	}
}

/**
 * ws_tls_done() - the caller has come back from TLS
 * @tls: the source
 * @flag: tls->pulling or tls->pushing, which the caller has set
 * Context: owner
 */
void ws_tls_done(struct ws_tls *tls, bool *flag)
{
	WRITE_ONCE(*flag, false);
	if (wq_has_sleeper(&tls->idle))
		wake_up_all(&tls->idle);
}

/* Plaintext has gone, and nothing is left in TCP's queue whose consumption would tell the peer of the room: as TCP's readers do it. */
static void window_update(struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	int window = tcp_receive_window(tp), room = tcp_space(sk);

	if (likely(2 * window > tp->window_clamp) || tcp_inq(sk) > 0 || room < 2 * window ||
	    room < min_t(int, inet_csk(sk)->icsk_ack.rcv_mss, tcp_full_space(sk) / 2))
		return;
	if ((1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2))
		ws_tcp_send_ack(sk);
}

/* All that stands in the queue, which is little, in an skb of its size. */
static struct sk_buff *small_copy(const struct ws *ws)
{
	const struct ws_tls *tls = ws->tls;
	struct sk_buff *small = alloc_skb(tls->tail_seq - ws->head_seq, GFP_ATOMIC | __GFP_NOWARN);
	const struct sk_buff *skb;

	if (!small)
		return NULL;
	TCP_SKB_CB(small)->seq = ws->head_seq;
	skb_queue_walk(&tls->queue, skb) {
		u32 off = skb == skb_peek(&tls->queue) ? ws->head_seq - TCP_SKB_CB(skb)->seq : 0;

		if (skb_copy_bits(skb, off, skb_tail_pointer(small), skb->len - off)) {
			kfree_skb(small);
			return NULL;
		}
		skb_put(small, skb->len - off);
	}
	return small;
}

/**
 * ws_tls_compact() - the beginning of a frame does not keep the skbs in which it came
 * @sk: the socket
 * @ws: its context
 *
 * They may be so much that TCP's window stays shut: then the rest can never come. Ends every pointer into the queue.
 */
void ws_tls_compact(struct sock *sk, struct ws *ws)
{
	struct ws_tls *tls = ws->tls;
	struct sk_buff *small;

	if (likely(tls->charged < sk->sk_rcvbuf / 4) || ws_readable(ws) || tls->tail_seq - ws->head_seq >= FRAME_START)
		return;
	small = small_copy(ws);
	if (!small)
		return;
	__skb_queue_purge(&tls->queue);
	tls->charged = small->truesize;
	/* what the others were charged for covers it */
	skb_set_owner_r(small, sk);
	__skb_queue_tail(&tls->queue, small);
	window_update(sk);
}

/**
 * ws_tls_consume() - bytes at the head of the queue are done with
 * @sk: the socket
 * @ws: its context
 * @n: how many; they are there
 */
void ws_tls_consume(struct sock *sk, struct ws *ws, u64 n)
{
	struct ws_tls *tls = ws->tls;
	unsigned int charged = tls->charged;
	struct sk_buff *skb;

	WRITE_ONCE(ws->head, ws->head + n);
	ws->head_seq += n;
	while ((skb = skb_peek(&tls->queue)) && !after(TCP_SKB_CB(skb)->seq + skb->len, ws->head_seq)) {
		__skb_unlink(skb, &tls->queue);
		tls->charged -= skb->truesize;
		kfree_skb(skb);
	}
	if (tls->charged != charged)
		window_update(sk);
	ws_tls_compact(sk, ws);
	if (unlikely(tls->stopped) && !ws_tls_full(sk, ws)) {
		WRITE_ONCE(tls->stopped, false);
		ws_tls_come(ws);
	}
}

/**
 * ws_tls_full() - is it us who keep the peer's bytes from being looked at?
 * @sk: the socket
 * @ws: its context
 *
 * Too much is decrypted and unread. Less than a header and a control frame never is too much if it is the beginning of a frame that
 * carries nothing to read: nobody can consume it, however small the records were in which it came.
 */
bool ws_tls_full(const struct sock *sk, const struct ws *ws)
{
	const struct ws_tls *tls = ws->tls;

	return tls->charged >= sk->sk_rcvbuf / 2 && (ws_readable(ws) || tls->tail_seq - ws->head_seq >= FRAME_START);
}

/**
 * ws_tls_starved() - is there no memory for the next record, and something to read that holds some?
 * @sk: the socket
 * @ws: its context
 */
bool ws_tls_starved(const struct sock *sk, const struct ws *ws)
{
	const struct ws_tls *tls = ws->tls;

	return tls->starved && !skb_queue_empty(&tls->queue) && tcp_under_memory_pressure(sk);
}

/**
 * ws_tls_ended() - will no more bytes come?
 * @ws: its context
 */
bool ws_tls_ended(const struct ws *ws)
{
	return READ_ONCE(ws->tls->eof);
}

/**
 * ws_tls_retry() - the timer: there may be memory now, or the program was told of a record and did not come
 * @ws: its context
 */
void ws_tls_retry(struct ws *ws)
{
	struct ws_tls *tls = ws->tls;

	if (tls->called) {
		/* it does something else, or was stopped */
		tls->prompt = false;
		WRITE_ONCE(tls->called, false);
		ws_tls_kick(ws);
	} else if (tls->starved) {
		/* if it is so still, whoever pulls says so again */
		WRITE_ONCE(tls->starved, false);
		ws_tls_kick(ws);
	}
}

/**
 * ws_tls_work() - the work item
 * @work: it
 */
void ws_tls_work(struct work_struct *work)
{
	struct ws_tls *tls = container_of(work, struct ws_tls, work);
	struct sock *sk = tls->sk;
	struct ws *ws;

	lock_sock(sk);
	/* close() waits for us, so the context is there */
	ws = ws_get(sk);
	if (!tls->closing) {
		ws_count(sk, WS_STAT_TLS_WORK);
		if (!tls->pulling)
			ws_tls_pull(sk, ws);
		ws_tls_push(sk, ws);
		ws_tls_leave(sk, ws);
	}
	release_sock(sk);
}

/**
 * ws_tls_stop() - close() begins: the caller has the source for itself afterwards
 * @sk: the socket
 * @ws: its context
 * Context: process, without the lock
 */
void ws_tls_stop(struct sock *sk, struct ws *ws)
{
	lock_sock(sk);
	ws->tls->closing = true;
	release_sock(sk);
	cancel_work_sync(&ws->tls->work);
}

/**
 * ws_tls_pull_all() - decrypt until there is something to read, or nothing more
 * @sk: the socket
 * @ws: its context
 *
 * A peer that does not stop sending is not waited for.
 * Context: process, in close()
 */
void ws_tls_pull_all(struct sock *sk, struct ws *ws)
{
	unsigned int passes;

	for (passes = 0; passes < PASSES && !ws_readable(ws) && !ws->tls->eof; passes++)
		if (!ws_tls_pull(sk, ws))
			break;
}

/**
 * ws_tls_drop() - nothing is left that TCP's close() would call unread
 * @sk: the socket
 * @ws: its context
 *
 * With messages unread nothing is dropped. Part of a record may stand in TCP's queue, and the peer's answer to our Close.
 * Context: process, in close()
 */
void ws_tls_drop(struct sock *sk, struct ws *ws)
{
	int n;

	ws_tls_pull_all(sk, ws);
	n = tcp_inq(sk);
	if (n > 0 && !ws_readable(ws))
		tcp_read_done(sk, n);
}

/**
 * ws_tls_start() - the queue becomes the socket's; its numbers start at 0
 * @ws: its context
 */
void ws_tls_start(struct ws *ws)
{
	ws->queue = &ws->tls->queue;
	ws->head_seq = ws->tls->tail_seq;
	/* TLS is to be called for each byte: it counts its own records */
	WRITE_ONCE(ws->sk->sk_rcvlowat, 1);
}

/**
 * ws_tls_purge() - drop what was decrypted
 * @ws: its context
 */
void ws_tls_purge(struct ws *ws)
{
	__skb_queue_purge(&ws->tls->queue);
}
