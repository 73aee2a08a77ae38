/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The state of a WebSocket and what the files of the module offer each other.
 *
 * WEBSOCKET LOCKING RULES
 *
 * There is one lock, TCP's own socket lock, held in one of three ways:
 *
 *   softirq	bh_lock_sock() and the socket is not owned: sk_data_ready, sk_write_space, the timer;
 *   owner	lock_sock(): system calls;
 *   release	the end of release_sock(), by proto->release_cb: spin lock held, bottom halves off, and still the owner.
 *		(In 6.12 and 7.3 TCP's sendmsg() calls it too; ws->in_tcp tells, and nothing is done.)
 *
 * A callback that finds the socket owned (also in the backlog run of release_sock() and of TCP's own send functions)
 * notes it in ws->deferred and returns; ws_release_cb() does the work. So each function below runs in any of the
 * three contexts unless it says otherwise, never twice at a time, and never with GFP_KERNEL except in system calls.
 * ws_assert_locked() at the start of a function states that rule.
 *
 * An owner that sleeps (for a message, for memory) drops the lock. Everything may have changed after that, and after any
 * call of TCP that sends or consumes: no pointer into the receive queue is kept across one (ws_spot in source.c).
 *
 * Over TLS the lock is dropped while TLS decrypts and encrypts, and one work item a socket does what nobody in a call does: tls.c.
 *
 * Readers without the lock: poll and get_info. They read single words with READ_ONCE() of what is written with WRITE_ONCE(),
 * and find the context through sk_user_data under RCU.
 *
 * LIFE
 *
 * ws_attach() (TCP_ULP) makes the context and hangs it on sk_user_data, which keeps KCM and sockmap out. ws_start()
 * (WEBSOCKET_CONFIG) replaces the callbacks and operations. ws_close() puts all of them back before TCP's close runs, and
 * leaves the memory to RCU; nothing of ours is called on an orphan. If TCP dies first (reset), the context stays until close().
 */
#ifndef WS_WEBSOCKET_H
#define WS_WEBSOCKET_H

#include <linux/bvec.h>
#include <linux/jump_label.h>
#include <net/tcp.h>
#include "../uapi/linux/websocket.h"
#include "core/failure.h"
#include "core/frame.h"
#include "core/close.h"

/* What lies under a WebSocket: TCP, or TLS on it, over IPv4 or IPv6, as it was when the first socket of the kind was attached. */
struct ws_base {
	bool over_tls;
	struct proto *prot;
	const struct proto_ops *ops;
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
	/* ours, copies of the above with changes: after TCP_ULP, and after WEBSOCKET_CONFIG */
	struct proto attached_prot, open_prot;
	struct proto_ops attached_ops, open_ops;
};

/* ws->deferred: what a callback left for release_cb because the socket was owned */
#define WS_DEFER_RX	1
#define WS_DEFER_TX	2

/* ws->ending: the peer's Close; below it: enum ws_failure */
#define WS_ENDING_CLOSE	WS_FAIL_COUNT

/* Where the next recvmsg() goes on: in the frame at ws->head. */
struct ws_read {
	u64 left;	/* unread payload of that frame; 0: a header stands at ws->head */
	u32 key;	/* masking key as it applies to the next byte */
	u32 takes;	/* how often readers have moved it */
	u8 opcode;	/* of the message being read; 0: between messages */
	u8 control;	/* that frame is a control frame which is delivered: its opcode; 0: a data frame */
	u8 utf8;	/* of a text message: state after the last byte read, or WS_UTF8_UNCHECKED */
	bool fin;	/* that frame is the last of its message */
	bool begun;	/* part of the message was delivered */
	bool control_begun;	/* part of the control frame was delivered */
	bool tell_takes;	/* a reader sleeps who has part of a message that another one may take: MSG_WAITALL */
};

/* How far the text of an incomplete message was checked ahead of the reader. */
struct ws_ahead {
	u64 off;	/* stream offset of the next byte; below ws->head: the reader was faster */
	u64 left;	/* payload of the frame there that is left; 0: a header stands there */
	u32 key;
	u8 utf8;
	bool open;	/* inside a text message */
};

/* ws_read.utf8, ws_ahead.utf8: WEBSOCKET_F_NO_UTF8 was set when the message began. Above the states of core/utf8.h. */
#define WS_UTF8_UNCHECKED	64

/* Bytes handed to us for sending that TCP has not taken: a run of pages, sent before anything else. */
struct ws_rest {
	struct page *page;	/* NULL: nothing */
	u32 off, len;		/* what of that page */
	struct ws_more *more;	/* pages behind it, or NULL */
};

struct ws_more {
	unsigned int next, nr;
	struct bio_vec bv[];
};

/* A pong that cannot leave now; a later one replaces it (RFC 6455 5.5.3). */
struct ws_pong {
	u8 len;
	u8 data[WS_CONTROL_MAX];
};

/* The reason in the peer's Close, for WEBSOCKET_CLOSE_REASON. */
struct ws_reason {
	u8 len;
	char text[WS_CONTROL_MAX - 2];
};

/**
 * struct ws - a WebSocket
 *
 * Positions in the stream are 64-bit offsets that start at 0 with the protocol, so that RFC 6455's lengths fit. They become
 * TCP sequence numbers in source.c only, where the byte is in the receive queue.
 */
struct ws {
	/* constant from attach on */
	struct sock *sk;
	struct ws_base *base;
	struct sk_buff_head *queue;	/* where received bytes stand: see source.c */
	struct ws_tls *tls;	/* the source over kTLS (tls.h), NULL: plain TCP */

	/* received; what a ping on an idle connection touches */
	u64 head;		/* offset of the first byte not consumed: TCP's copied_seq */
	u64 scan;		/* offset of the next header to examine; beyond what has arrived while inside a frame */
	u64 ready;		/* recvmsg() may deliver what is before it; <= head: nothing */
	u32 head_seq;		/* what copied_seq has to be */
	u32 flags;		/* WEBSOCKET_F_* */
	u8 state;		/* WEBSOCKET_STATE_* */
	u8 failure;		/* enum ws_failure */
	u8 deferred;		/* WS_DEFER_*; written by the owner, who also runs the backlog, alone */
	bool timer_deferred;	/* likewise the timer; written with the spin lock held: not in the same word */
	u8 ending;		/* what ends the messages, found but not acted on (ENDING IN ORDER in control.c); 0: nothing */
	bool in_hand;		/* the program was given a message and has not come back for more */
	u8 scan_opcode;		/* of the unfinished message at scan; 0: none */
	u8 frame_head;		/* size of the header before frame_data */
	bool scan_whole;	/* the frame that ends at scan is its last */
	bool scan_again;	/* more has arrived than one pass may examine */
	bool eof;		/* recvmsg() has reported the end without Close: it stays so */
	bool streaming;		/* its parts are delivered as they come, because TCP cannot hold it */
	bool in_tcp;		/* inside TCP's send functions: they call sk_write_space, and release_cb */

	/* sent */
	bool tx_busy;		/* a sender sleeps in the middle of its message, or over TLS drops the lock there */
	u8 tx_opcode;		/* of the message that the next send continues; 0: none */
	u8 pongs_unacked;	/* pongs sent that may be unacknowledged */
	bool close_due:1;	/* Close could not be sent for want of memory: the timer tries again */
	bool fin_due:1;		/* FIN waits for ws->rest to go */
	bool end_due:1;		/* the message that sendfile() left open is to be ended */
	u16 sent_code;		/* in our Close; 0: none was due */
	u16 peer_code;		/* in the peer's */
	bool held;		/* ws->rest was not offered to TCP yet: more is about to come (MSG_BATCH) */
	bool ping_due;		/* the keep-alive ping waits for room or memory */
	u32 tx_seq;		/* what write_seq has to be */
	u32 pong_seq;		/* write_seq behind the last pong */
	struct ws_rest rest;
	struct ws_pong *pong;

	union {
		struct ws_read read;
		struct rcu_head rcu;	/* after ws_close() */
	};
	struct ws_ahead ahead;
	u64 frame_data;		/* offset of the payload of the last data frame examined */
	u64 message_len;	/* payload announced so far of the unfinished message at scan */
	u64 max_message;

	/* keep-alive; milliseconds and jiffies */
	u32 ping_interval_ms, pong_timeout_ms, close_timeout_ms;
	u32 ping_sent;		/* tcp_jiffies32 of the last keep-alive ping */
	u32 close_sent;		/* tcp_jiffies32 of our Close */
	u32 ending_since;	/* tcp_jiffies32 of ws->ending, or of what was read after it */
	bool ping_waits;	/* nothing was received since ping_sent */
	bool ping_timed;	/* no pong to it yet */
	bool close_waits;	/* the closing handshake has a time limit */
	bool retry;		/* the timer is to try sending again */
	u32 ping_id;		/* its payload */
	u32 ping_us;		/* its time, in microseconds */
	u32 ping_seq;		/* write_seq when TCP has it */
	u32 ping_una;		/* snd_una when the timer looked last */
	int error;		/* positive errno of the ended connection; 0: none. Sticky */
	struct timer_list timer;
	struct ws_reason *reason; /* of the peer's Close, or NULL */

	/* for WEBSOCKET_INFO */
	u64 rx_messages, rx_frames, rx_bytes;
	u64 tx_messages, tx_frames, tx_bytes;
	u32 rx_pings, rx_pongs, tx_pings, tx_pongs;
	u32 rtt_us;
	u32 skipped_messages;
};

/* main.c */
extern struct kmem_cache *ws_cache;

/**
 * ws_get() - the context of a socket
 * Context: the socket lock is held, or the caller is inside an operation of ours, which keeps the context alive.
 */
static inline struct ws *ws_get(const struct sock *sk)
{
	return (struct ws *)((uintptr_t)rcu_dereference_raw(sk->sk_user_data) & SK_USER_DATA_PTRMASK);
}

/* See WEBSOCKET LOCKING RULES. */
static inline void ws_assert_locked(const struct sock *sk)
{
	lockdep_assert(lockdep_sock_is_held(sk));
}

static inline bool ws_client(const struct ws *ws)
{
	return ws->flags & WEBSOCKET_F_CLIENT;
}

/* A message, or a part of one, can be delivered now. */
static inline bool ws_readable(const struct ws *ws)
{
	return READ_ONCE(ws->ready) > READ_ONCE(ws->head);
}

/* The peer's messages have ended: by its Close or by failure. What is before ready is still delivered. */
static inline bool ws_rx_ended(const struct ws *ws)
{
	return READ_ONCE(ws->state) >= WEBSOCKET_STATE_CLOSE_RECEIVED;
}

/* Somebody else has written to the stream, between our bytes. */
static inline bool ws_tx_stolen(const struct sock *sk, const struct ws *ws)
{
	return ws->tx_seq != READ_ONCE(tcp_sk(sk)->write_seq) && !ws->tls;
}

/* The peer's TCP has what was sent up to the sequence number @seq, which TCP has got, however much was sent since. */
static inline bool ws_tx_acked(const struct sock *sk, u32 seq)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return tp->write_seq - seq >= tp->write_seq - tp->snd_una;
}

/* kTLS, and the option by which sockets of it are attached */
#define WS_TLS (IS_ENABLED(CONFIG_TLS) && IS_ENABLED(CONFIG_NETFILTER))

/* Set when the first of all sockets is attached over TLS: until then a question costs nothing. */
DECLARE_STATIC_KEY_FALSE(ws_tls_used);

static inline bool ws_over_tls(const struct ws *ws)
{
	return WS_TLS && static_branch_unlikely(&ws_tls_used) && ws->tls;
}

/* proto.c */
int ws_attach(struct sock *sk);
int ws_attach_tls(struct sock *sk, struct ws_tls *tls, void (*data_ready)(struct sock *sk));
void ws_start(struct sock *sk, struct ws *ws);

/* sockopt.c */
int ws_config_copy(struct websocket_config *cfg, sockptr_t val, unsigned int len);
int ws_config_set(struct sock *sk, struct ws *ws, const struct websocket_config *cfg);
int ws_setsockopt(struct sock *sk, int level, int name, sockptr_t val, unsigned int len);
int ws_getsockopt(struct sock *sk, int level, int name, char __user *val, int __user *len);

/* source.c: where bytes come from; and source.h */
#define WS_HEADER_ROOM 16	/* WS_HEADER_MAX, rounded up to whole words */

struct ws_spot {
	const struct sk_buff *skb;	/* NULL: not located yet */
	const u8 *p;			/* bytes of it that stand in one piece, */
	u64 off;			/* from this stream offset on, */
	size_t n;			/* so many; 0: none looked at yet */
};

unsigned int ws_source_peek(struct sock *sk, struct ws *ws, struct ws_spot *spot, u64 off, u8 *buf, unsigned int n);
const u8 *ws_source_chunk(struct sock *sk, struct ws *ws, struct ws_spot *spot, u64 off, size_t *n);
unsigned int ws_source_header(struct sock *sk, struct ws *ws, struct ws_spot *spot, u64 off, u8 buf[WS_HEADER_ROOM]);
void ws_source_consume(struct sock *sk, struct ws *ws, u64 n);
void ws_source_want(struct sock *sk, struct ws *ws, u64 until);
void ws_source_acknowledge(struct sock *sk, const struct ws *ws);
bool ws_source_full(struct sock *sk, struct ws *ws);
bool ws_source_ended(const struct sock *sk, const struct ws *ws);
bool ws_source_shut(const struct sock *sk, const struct ws *ws);

/* tls.c: the second source. All of these are called with ws_over_tls() only */
void ws_tls_start(struct ws *ws);
void ws_tls_kick(struct ws *ws);
void ws_tls_come(struct ws *ws);
void ws_tls_sleep(struct ws *ws, struct wait_queue_entry *wait);
void ws_tls_wake(struct ws *ws, struct wait_queue_entry *wait);
bool ws_tls_waiting(const struct ws *ws);
bool ws_tls_unreadable(const struct sock *sk);
void ws_tls_poll(struct sock *sk, struct ws *ws);
void ws_tls_took(struct ws *ws);
void ws_tls_retry(struct ws *ws);
void ws_tls_leave(struct sock *sk, struct ws *ws);
void ws_tls_consume(struct sock *sk, struct ws *ws, u64 n);
bool ws_tls_full(const struct sock *sk, const struct ws *ws);
bool ws_tls_starved(const struct sock *sk, const struct ws *ws);
bool ws_tls_ended(const struct ws *ws);
void ws_tls_stop(struct sock *sk, struct ws *ws);
void ws_tls_pull_all(struct sock *sk, struct ws *ws);
void ws_tls_drop(struct sock *sk, struct ws *ws);
void ws_tls_purge(struct ws *ws);

/* tls_rx.c: the way in */
bool ws_tls_pull(struct sock *sk, struct ws *ws);

/* tls_tx.c: the way out */
void ws_tls_promise(struct ws *ws);
void ws_tls_uncork(struct ws *ws);
void ws_tls_pong(struct ws *ws);
bool ws_tls_pong_waits(const struct ws *ws);
void ws_tls_push(struct sock *sk, struct ws *ws);
void ws_tls_push_held(struct sock *sk, struct ws *ws);
void ws_tls_push_all(struct sock *sk, struct ws *ws, bool end);
void ws_tls_wait_push(struct sock *sk, struct ws *ws);
int ws_tls_flush(struct sock *sk, struct ws *ws);
bool ws_tls_joins(const struct ws *ws);
bool ws_tls_fin_waits(struct sock *sk, struct ws *ws);
int ws_tls_nagle(struct sock *sk, struct ws *ws, int name, sockptr_t val, unsigned int len);

/* tls_attach.c: WEBSOCKET_ATTACH */
int ws_tls_init(void);
void ws_tls_exit(void);
int ws_tls_keys(struct sock *sk, struct ws *ws, int name, char __user *val, int __user *len);
void ws_tls_hook(struct sock *sk, struct ws *ws);
void ws_tls_unhook(struct sock *sk, struct ws *ws);

/* rx.c: the scan cursor */
bool ws_rx_look(struct sock *sk, struct ws *ws);
void ws_rx_run(struct sock *sk, struct ws *ws);
void ws_rx_drop(struct sock *sk, struct ws *ws);
bool ws_rx_delivers(const struct ws *ws, u8 opcode);
void ws_rx_enter(const struct ws *ws, struct ws_read *rd, const struct ws_header *h);
void ws_data_ready(struct sock *sk);

/* recvmsg.c: the read cursor */
int ws_recvmsg(struct sock *sk, struct msghdr *msg, size_t len, int flags);
int ws_inq(struct sock *sk);

/* tx.c */
bool ws_tx_allowed(const struct sock *sk);
bool ws_tx_blocked(const struct ws *ws);
int ws_tx_send(struct sock *sk, struct ws *ws, struct bio_vec *bv, unsigned int nr, struct ws_more *more, size_t size,
	       int flags);
int ws_tx_frame(struct sock *sk, struct ws *ws, struct page_frag *pfrag, size_t size, bool later);
int ws_tx_flush(struct sock *sk, struct ws *ws);
void ws_tx_advance(struct ws *ws, size_t n);
int ws_tx_control(struct sock *sk, struct ws *ws, u8 opcode, const void *data, unsigned int len, bool force);
void ws_tx_run(struct sock *sk, struct ws *ws);
void ws_tx_close(struct sock *sk, struct ws *ws);
void ws_tx_free(struct ws *ws);
void ws_tx_exit(void);
void ws_write_space(struct sock *sk);

/* sendmsg.c */
int ws_sendmsg(struct sock *sk, struct msghdr *msg, size_t size);
int ws_send_end(struct sock *sk, struct ws *ws);
void ws_splice_eof(struct socket *sock);

/* control.c */
void ws_control_pong(struct sock *sk, struct ws *ws, const u8 *data, unsigned int len);
void ws_control_received_pong(struct ws *ws, const u8 *data, unsigned int len);
enum ws_failure ws_control_received_close(struct sock *sk, struct ws *ws, const u8 *data, unsigned int len);
void ws_control_send_close(struct sock *sk, struct ws *ws, const u8 *data, unsigned int len);
void ws_control_reply_close(struct sock *sk, struct ws *ws);
void ws_control_shutdown(struct sock *sk, struct ws *ws, u16 code);
bool ws_control_defer(struct sock *sk, struct ws *ws, u8 ending, bool unread);
void ws_control_settle(struct sock *sk, struct ws *ws);
u32 ws_control_patience(const struct ws *ws);
void ws_control_close_timeout(struct sock *sk, struct ws *ws);
void ws_control_retry(struct sock *sk, struct ws *ws);
void ws_fail(struct sock *sk, struct ws *ws, enum ws_failure failure);
void ws_mirror_error(struct sock *sk, struct ws *ws);
void ws_state_change(struct sock *sk);

/* keepalive.c */
void ws_timer(struct timer_list *t);
void ws_timer_run(struct sock *sk, struct ws *ws);
void ws_timer_arm(struct sock *sk, struct ws *ws);
void ws_timer_retry(struct sock *sk, struct ws *ws, unsigned long delay);
void ws_timer_restart(struct ws *ws);
void ws_timer_retry_memory(struct sock *sk, struct ws *ws);
void ws_timer_ping(struct sock *sk, struct ws *ws);

/* diag.c */
void ws_info_fill(const struct ws *ws, struct websocket_info *info);
size_t ws_diag_size(const struct sock *sk);
size_t ws_diag_size_admin(const struct sock *sk, bool net_admin);
int ws_diag_fill(struct sock *sk, struct sk_buff *skb);
int ws_diag_fill_admin(struct sock *sk, struct sk_buff *skb, bool net_admin);

#endif
