/* SPDX-License-Identifier: GPL-2.0 */
/* A WebSocket over kTLS: what tls*.c add to struct ws, and offer each other. */
#ifndef WS_SOURCE_TLS_H
#define WS_SOURCE_TLS_H

#include <linux/tls.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <net/tls.h>
#include "websocket.h"

/**
 * struct ws_tls - the source of a WebSocket over kTLS
 *
 * Everything is read and written under the socket lock unless a comment says otherwise. See the essay in tls.c.
 */
struct ws_tls {
	struct sock *sk;
	struct sk_buff_head queue;	/* decrypted and not consumed: ws->queue */
	u32 tail_seq;			/* running number of the next byte */
	unsigned int charged;		/* truesize of what stands in the queue */
	u32 handshake_left;		/* bytes of the present handshake message to pass over */
	u8 handshake[4];		/* type and length of the next, */
	u8 handshake_have;		/* so many bytes of it */
	u8 alert;			/* description of the alert that ends sending; 0: close_notify */
	bool closing;			/* close() has begun: the work item is not queued any more */
	bool more;			/* TLS has said that there is something since pulling began; also read without the lock */
	bool prompt;			/* the program is expected to take what comes: call_program() */
	bool called;			/* it was told of a record and has not looked; also read without the lock */
	bool pulling;			/* a task is inside TLS' recvmsg(), without the lock; also read without it */
	bool pushing;			/* likewise its sendmsg() */
	bool promise;			/* the owner of the lock pushes and looks for more before it drops the lock */
	bool starved;			/* there was no memory for the next record; the timer tries again */
	bool stopped;			/* pulling waits for the reader, whose buffer is full */
	bool eof;			/* nothing more will come; also read without the lock */
	bool notified;			/* our last record, an alert, has gone to TLS */
	bool uncork;			/* a control frame is among what is to be sent: TCP_CORK does not hold it */
	bool broken;			/* TLS cannot send any more */
	bool room;			/* there may be room since pushing began */
	bool pong;			/* a pong is in ws->rest: ws->pong_seq is that of one before */
	unsigned int wide;		/* so many tasks want a send buffer without limit; what it had is in the next three */
	int sndbuf;
	u32 notsent_lowat;
	u8 sndbuf_lock;
	struct wait_queue_entry *sleeper;	/* a reader that sleeps and will pull, or NULL */
	wait_queue_head_t idle;		/* for the end of pulling and pushing */
	struct work_struct work;
};

/* Content types of TLS' records, and the alert that is no failure (RFC 8446 5.1, 6.1). */
#define WS_TLS_ALERT		21
#define WS_TLS_HANDSHAKE	22
#define WS_TLS_DATA		23
#define WS_TLS_CLOSE_NOTIFY	0

/* tls.c */
extern struct workqueue_struct *ws_tls_queue;

bool ws_tls_full(const struct sock *sk, const struct ws *ws);
void ws_tls_compact(struct sock *sk, struct ws *ws);
void ws_tls_work(struct work_struct *work);
void ws_tls_record_ready(struct sock *sk);
void ws_tls_wait(struct sock *sk, struct ws_tls *tls, const bool *flag);
void ws_tls_done(struct ws_tls *tls, bool *flag);

/* TLS has a record that was not decrypted, or bytes of one. */
static inline bool ws_tls_readable(struct sock *sk, struct ws *ws)
{
	const struct tls_sw_context_rx *ctx = tls_sw_ctx_rx(tls_get_ctx(sk));

	return READ_ONCE(ctx->strp.msg_ready) || !skb_queue_empty(&ctx->rx_list);
}

#endif
