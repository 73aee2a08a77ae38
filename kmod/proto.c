// SPDX-License-Identifier: GPL-2.0
/*
 * The socket's operations: which of TCP's are replaced, which are refused, and how a WebSocket begins and ends.
 *
 * DESIGN NOTES
 *
 * There are two stages. From TCP_ULP to WEBSOCKET_CONFIG the socket is plain TCP, except that what would take the connection
 * away (disconnect, listen, TCP_REPAIR) is refused already. From WEBSOCKET_CONFIG on, whatever would read or write raw bytes is
 * replaced or refused. Both are copies of TCP's struct proto and of the socket's proto_ops, made once for IPv4 and once for
 * IPv6. They are chosen by the socket's current sk_prot, not by its family: IPV6_ADDRFORM changes the one and not the other.
 */
#include <asm/ioctls.h>
#include <linux/sockios.h>
#include <net/inet_common.h>
#include <net/mptcp.h>
#include <net/transp_v6.h>
#include "compat/compat.h"
#include "source.h"
#include "stats.h"
#include "trace.h"
#include "websocket.h"

/* IPv4 and IPv6, over TCP and over TLS */
static struct ws_base bases[2], tls_bases[2];
static DEFINE_MUTEX(bases_lock);	/* taken under socket locks */

static int ws_disconnect(struct sock *sk, int flags)
{
	return -EOPNOTSUPP;
}

static int refuse_connect(const void *addr, int len)
{
	const sa_family_t *family = addr;

	return len >= sizeof(*family) && *family == AF_UNSPEC ? -EOPNOTSUPP : -EISCONN;
}

/* up to 6.18 or so */
static int ws_connect(struct socket *sock, struct sockaddr *addr, int len, int flags)
{
	return refuse_connect(addr, len);
}

/* after that */
static int ws_connect_unsized(struct socket *sock, struct sockaddr_unsized *addr, int len, int flags)
{
	return refuse_connect(addr, len);
}

static int ws_listen(struct socket *sock, int backlog)
{
	return -EOPNOTSUPP;
}

static int ws_mmap(struct file *file, struct socket *sock, struct vm_area_struct *vma)
{
	return -EOPNOTSUPP;
}

static ssize_t ws_splice_read(struct socket *sock, loff_t *pos, struct pipe_inode_info *pipe, size_t len,
			      unsigned int flags)
{
	return -EOPNOTSUPP;
}

/* The user's SO_RCVLOWAT has no meaning for messages; sk_rcvlowat is source.c's. */
static int ws_set_rcvlowat(struct sock *sk, int val)
{
	return 0;
}

static int ws_peek_len(struct socket *sock)
{
	return ws_inq(sock->sk);
}

/* Would sending not have to wait? If it would, the poller is told when that changes; as TCP: ask for it, then look again. */
static bool poll_writeable(struct sock *sk, const struct ws *ws)
{
	if (!ws_tx_blocked(ws) && __sk_stream_is_writeable(sk, 1))
		return true;
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	/* who makes room looks at the flag afterwards */
	smp_mb__after_atomic();
	return !ws_tx_blocked(ws) && __sk_stream_is_writeable(sk, 1);
}

/* Without the lock it is a guess that it is worth it. */
static void poll_look(struct sock *sk, struct ws *ws)
{
	if (likely(!READ_ONCE(ws->scan_opcode)) || READ_ONCE(ws->streaming) || ws_readable(ws))
		return;
	/* whatever it says, the lock decides */
	if (!data_race(ws_source_shut(sk, ws)))
		return;
	lock_sock(sk);
	ws_rx_look(sk, ws);
	release_sock(sk);
}

/* As tcp_poll(), but what can be received, and sent, are messages. */
static __poll_t ws_poll(struct file *file, struct socket *sock, poll_table *wait)
{
	struct sock *sk = sock->sk;
	struct ws *ws = ws_get(sk);
	u8 ending, shutdown;
	__poll_t mask = 0;
	bool error;

	sock_poll_wait(file, sock, wait);
	if (ws_over_tls(ws))
		ws_tls_poll(sk, ws);
	poll_look(sk, ws);
	shutdown = READ_ONCE(sk->sk_shutdown);
	ending = READ_ONCE(ws->ending);
	error = READ_ONCE(ws->error) || (ending && ending != WS_ENDING_CLOSE);
	if (shutdown == SHUTDOWN_MASK || inet_sk_state_load(sk) == TCP_CLOSE)
		mask |= EPOLLHUP;
	/* over TLS there may be messages before the FIN that nobody has decrypted, and an end without FIN */
	if (ending || ws_rx_ended(ws) || (shutdown & RCV_SHUTDOWN && error) || ws_source_ended(sk, ws))
		mask |= EPOLLRDHUP;
	if (poll_requested_events(wait) & (EPOLLOUT | EPOLLWRNORM) &&
	    (shutdown & SEND_SHUTDOWN || READ_ONCE(ws->error) || READ_ONCE(ws->state) > WEBSOCKET_STATE_OPEN ||
	     poll_writeable(sk, ws)))
		mask |= EPOLLOUT | EPOLLWRNORM;
	/* pairs with TCP, which sets sk_err before the state */
	smp_rmb();
	/* the error comes behind what can be read */
	if (!skb_queue_empty_lockless(&sk->sk_error_queue) || (READ_ONCE(sk->sk_err) && !ws_readable(ws)))
		mask |= EPOLLERR;
	if (ws_readable(ws)) {
		mask |= EPOLLIN | EPOLLRDNORM;
	} else if (error) {
		mask |= EPOLLIN | EPOLLRDNORM | EPOLLERR;
	} else if (ending || ws_rx_ended(ws) || ws_source_ended(sk, ws)) {
		mask |= EPOLLIN | EPOLLRDNORM;
	} else if (READ_ONCE(ws->in_hand) && poll_requested_events(wait) & (EPOLLIN | EPOLLRDNORM)) {
		/* ENDING IN ORDER: the program wants more */
		WRITE_ONCE(ws->in_hand, false);
	}
	return mask;
}

/* RFC 6455 7.1.1: Close before FIN, both behind what waits, also into a full send buffer: nobody calls later. */
static void close_sending(struct sock *sk, struct ws *ws, u16 code)
{
	ws_tx_close(sk, ws);
	if (unlikely(ws->end_due))
		ws_send_end(sk, ws);
	ws_control_shutdown(sk, ws, code);
	/* TCP may have taken a part of Close; FIN must not follow that */
	ws_tx_close(sk, ws);
	if (unlikely(ws->close_due)) {
		/* there was no memory for it, or no room before that */
		ws_control_retry(sk, ws);
		ws_tx_close(sk, ws);
	}
	if (ws_over_tls(ws))
		ws_tls_push_all(sk, ws, true);
}

/* TCP refuses to send once it is told of a shutdown: Close goes before. */
static int ws_shutdown(struct socket *sock, int how)
{
	struct sock *sk = sock->sk;
	struct ws *ws = ws_get(sk);

	if (how == SHUT_WR || how == SHUT_RDWR) {
		lock_sock(sk);
		close_sending(sk, ws, WS_CLOSE_NORMAL);
		release_sock(sk);
	}
	return ws->base->ops->shutdown(sock, how);
}

/* What SIOCINQ and the like mean for messages; -ENOIOCTLCMD: as for TCP. */
static int ioctl_value(struct sock *sk, int cmd)
{
	switch (cmd) {
	case SIOCINQ:
		return ws_inq(sk);
	case SIOCATMARK:
		return 0;
	default:
		return -ENOIOCTLCMD;
	}
}

/* up to 6.4 */
static int ws_ioctl_user(struct sock *sk, int cmd, unsigned long arg)
{
	int (*base)(struct sock *sk, int cmd, unsigned long arg) = (void *)ws_get(sk)->base->prot->ioctl;
	int val = ioctl_value(sk, cmd);

	if (val == -ENOIOCTLCMD)
		return base(sk, cmd, arg);
	return val < 0 ? val : put_user(val, (int __user *)arg);
}

/* from 6.5 on */
static int ws_ioctl_kernel(struct sock *sk, int cmd, int *arg)
{
	int (*base)(struct sock *sk, int cmd, int *arg) = (void *)ws_get(sk)->base->prot->ioctl;
	int val = ioctl_value(sk, cmd);

	if (val == -ENOIOCTLCMD)
		return base(sk, cmd, arg);
	if (val < 0)
		return val;
	*arg = val;
	return 0;
}

/* up to 6.18 or so proto->recvmsg had one more argument, which TCP does not use */
static int ws_recvmsg_addr(struct sock *sk, struct msghdr *msg, size_t len, int flags, int *addr_len)
{
	return ws_recvmsg(sk, msg, len, flags);
}

/* The end of release_sock(): what callbacks left undone because the socket was owned. */
static void ws_release_cb(struct sock *sk)
{
	struct ws *ws = ws_get(sk);
	u8 deferred = ws->deferred;

	/* TCP's sendmsg() may come here in the middle of a frame, when it works off the backlog: the end of release_sock() follows */
	if (unlikely((deferred || ws->timer_deferred) && !ws->in_tcp)) {
		bool timer = ws->timer_deferred;

		ws->deferred = 0;
		ws->timer_deferred = false;
		if (deferred & WS_DEFER_RX)
			ws_rx_run(sk, ws);
		if (deferred & WS_DEFER_TX)
			ws_tx_run(sk, ws);
		if (timer)
			ws_timer_run(sk, ws);
	}
	/* may give up ownership, so it comes last */
	ws->base->prot->release_cb(sk);
}

static void ws_free_rcu(struct rcu_head *rcu)
{
	struct ws *ws = container_of(rcu, struct ws, rcu);

	kfree(ws->reason);
	kfree(ws->tls);
	kmem_cache_free(ws_cache, ws);
}

/* Puts TCP's callbacks and operations back. The context stays readable for RCU readers, without a way to it. */
static void detach(struct sock *sk, struct ws *ws)
{
	struct ws_base *base = ws->base;

	write_lock_bh(&sk->sk_callback_lock);
	if (ws->state != WEBSOCKET_STATE_ATTACHED) {
		if (ws_over_tls(ws))
			ws_tls_unhook(sk, ws);
		else
			sk->sk_data_ready = base->data_ready;
		sk->sk_write_space = base->write_space;
		sk->sk_state_change = base->state_change;
	}
	rcu_assign_sk_user_data(sk, NULL);
	WRITE_ONCE(sk->sk_prot, base->prot);
	if (sk->sk_socket)
		WRITE_ONCE(sk->sk_socket->ops, base->ops);
	write_unlock_bh(&sk->sk_callback_lock);
	sk_stop_timer(sk, &ws->timer);
	ws_tx_free(ws);
	if (ws_over_tls(ws))
		ws_tls_purge(ws);
	call_rcu(&ws->rcu, ws_free_rcu);
}

/* RFC 6455 7.4.1: the end in good order, if nothing is lost by it. */
static void end(struct sock *sk, struct ws *ws)
{
	bool dying = current->flags & (PF_EXITING | PF_KTHREAD | PF_IO_WORKER);

	/* what was not examined yet may hold messages */
	if (ws_over_tls(ws))
		ws_tls_pull_all(sk, ws);
	while (ws->scan_again)
		ws_rx_run(sk, ws);
	ws_count(sk, WS_STAT_ENDED);
	if (ws->error == ETIMEDOUT) {
		/* the peer is dead: TCP need not go on trying to reach it */
		sock_set_flag(sk, SOCK_LINGER);
		sk->sk_lingertime = 0;
		return;
	}
	if (ws_readable(ws)) {
		/* TCP's close() resets the connection, as always with unread data; over TLS it does not know of any */
		ws_count(sk, WS_STAT_RESET_UNREAD);
		if (ws_over_tls(ws)) {
			sock_set_flag(sk, SOCK_LINGER);
			sk->sk_lingertime = 0;
		}
		return;
	}
	if (ws_source_ok(sk, ws))
		ws_source_consume(sk, ws, ws_source_tail(ws) - ws->head);
	/* an abort, which the peer sees as a reset */
	if (sock_flag(sk, SOCK_LINGER) && !sk->sk_lingertime)
		return;
	close_sending(sk, ws, dying ? WS_CLOSE_GOING_AWAY : WS_CLOSE_NORMAL);
}

/* The last descriptor was closed. Nothing of ours is called on this socket afterwards. */
static void ws_close(struct sock *sk, long timeout)
{
	struct ws *ws = ws_get(sk);
	struct proto *prot = ws->base->prot;
	bool cut;

	if (ws_over_tls(ws))
		ws_tls_stop(sk, ws);
	lock_sock(sk);
	if (ws->state != WEBSOCKET_STATE_ATTACHED) {
		end(sk, ws);
		cut = ws->rest.page && ws_tx_allowed(sk);
		/* a peer on this host has answered meanwhile: its Close must not count as unread data */
		release_sock(sk);
		lock_sock(sk);
		if (ws_over_tls(ws))
			ws_tls_drop(sk, ws);
		ws_rx_drop(sk, ws);
		/* room came meanwhile? */
		if (unlikely(cut && ws->rest.page)) {
			/* no memory at all: rather a reset than an end that looks orderly and is in the middle of a frame */
			sock_set_flag(sk, SOCK_LINGER);
			sk->sk_lingertime = 0;
		}
	}
	detach(sk, ws);
	release_sock(sk);
	/* drops the reference to this module: a tail call, nothing may follow */
	prot->close(sk, timeout);
}

static void build_protos(struct ws_base *base)
{
	struct proto *attached = &base->attached_prot, *open = &base->open_prot;

	*attached = *base->prot;
	attached->close = ws_close;
	attached->disconnect = ws_disconnect;
	attached->setsockopt = ws_setsockopt;
	attached->getsockopt = ws_getsockopt;

	*open = *attached;
	open->recvmsg = WS_FIT(open->recvmsg, ws_recvmsg_addr, ws_recvmsg);
	open->sendmsg = ws_sendmsg;
	open->splice_eof = ws_splice_eof;
	open->ioctl = WS_FIT(open->ioctl, ws_ioctl_user, ws_ioctl_kernel);
	open->release_cb = ws_release_cb;
	ws_compat_proto(open);
}

static void build_ops(struct ws_base *base)
{
	struct proto_ops *attached = &base->attached_ops, *open = &base->open_ops;

	*attached = *base->ops;
	attached->connect = WS_FIT(attached->connect, ws_connect, ws_connect_unsized);
	attached->listen = ws_listen;

	*open = *attached;
	open->poll = ws_poll;
	open->shutdown = ws_shutdown;
	open->mmap = ws_mmap;
	open->splice_read = ws_splice_read;
	open->read_sock = NULL;
	open->read_skb = NULL;
	open->sendmsg_locked = NULL;
	open->peek_len = ws_peek_len;
	open->set_rcvlowat = ws_set_rcvlowat;
	open->set_peek_off = NULL;
	ws_compat_proto_ops(open);
	if (base->over_tls) {
		/* TLS itself reads from TCP by it */
		open->read_sock = base->ops->read_sock;
		/* TLS' own goes around struct proto; our module is held by them: tls_attach.c */
		open->splice_eof = ws_splice_eof;
		open->owner = THIS_MODULE;
	}
}

/* Does @base describe what lies under a socket? */
static bool matches(const struct ws_base *base, const struct sock *sk, void (*data_ready)(struct sock *sk))
{
	return base->prot == READ_ONCE(sk->sk_prot) && base->ops == READ_ONCE(sk->sk_socket->ops) &&
	       base->data_ready == data_ready && base->write_space == sk->sk_write_space &&
	       base->state_change == sk->sk_state_change;
}

/*
 * What lies under a socket: of two @slots the one that fits, made when the first of its kind comes; NULL: somebody has replaced
 * parts.
 */
static struct ws_base *get_base(struct ws_base slots[2], struct sock *sk, void (*data_ready)(struct sock *sk))
{
	struct proto *prot = READ_ONCE(sk->sk_prot);
	struct ws_base *base;

	mutex_lock(&bases_lock);
	base = !slots[0].prot || slots[0].prot == prot ? &slots[0] : &slots[1];
	if (!base->prot) {
		base->over_tls = slots == tls_bases;
		base->prot = prot;
		base->ops = READ_ONCE(sk->sk_socket->ops);
		base->data_ready = data_ready;
		base->write_space = sk->sk_write_space;
		base->state_change = sk->sk_state_change;
		build_protos(base);
		build_ops(base);
	}
	mutex_unlock(&bases_lock);
	return matches(base, sk, data_ready) ? base : NULL;
}

/* Nobody has replaced TCP's operations. */
static bool is_plain(const struct sock *sk)
{
	const struct proto *prot = READ_ONCE(sk->sk_prot);
	const struct proto_ops *ops = READ_ONCE(sk->sk_socket->ops);

#if IS_ENABLED(CONFIG_IPV6)
	if (prot == &tcpv6_prot)
		return ops->family == PF_INET6;
#endif
	return prot == &tcp_prot && ops == &inet_stream_ops;
}

/* The context first, complete, then what leads to its use. */
static int attach(struct sock *sk, struct ws_base *base, struct ws_tls *tls)
{
	struct ws *ws;

	if (!base)
		return -EOPNOTSUPP;
	ws = kmem_cache_zalloc(ws_cache, GFP_KERNEL);
	if (!ws)
		return -ENOMEM;
	ws->sk = sk;
	ws->base = base;
	ws->queue = &sk->sk_receive_queue;
	ws->tls = tls;
	timer_setup(&ws->timer, ws_timer, 0);

	write_lock_bh(&sk->sk_callback_lock);
	rcu_assign_sk_user_data(sk, ws);
	/* pair with the address dependencies of those who call through them without the lock */
	smp_store_release(&sk->sk_socket->ops, &base->attached_ops);
	/* as above */
	smp_store_release(&sk->sk_prot, &base->attached_prot);
	write_unlock_bh(&sk->sk_callback_lock);
	ws_count(sk, WS_STAT_ATTACHED);
	return 0;
}

/**
 * ws_attach() - tcp_ulp_ops->init: setsockopt(TCP_ULP, "websocket")
 * @sk: the socket
 * Context: owner
 * Return: 0, -ENOTCONN, -EBUSY, -EOPNOTSUPP or -ENOMEM.
 */
int ws_attach(struct sock *sk)
{
	if (!((1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)) || !sk->sk_socket)
		return -ENOTCONN;
	if (sk->sk_user_data)
		return -EBUSY;
	if (sk_is_mptcp(sk) || tcp_sk(sk)->repair)
		return -EOPNOTSUPP;
	return attach(sk, is_plain(sk) ? get_base(bases, sk, sk->sk_data_ready) : NULL, NULL);
}

/**
 * ws_attach_tls() - likewise, on a socket of TLS that was checked
 * @sk: the socket
 * @tls: its source
 * @data_ready: what TLS calls for each record
 * Context: owner; ws_start() follows before the lock is dropped
 */
int ws_attach_tls(struct sock *sk, struct ws_tls *tls, void (*data_ready)(struct sock *sk))
{
	return attach(sk, get_base(tls_bases, sk, data_ready), tls);
}

/**
 * ws_start() - the protocol begins, with the configuration in @ws
 * @sk: the socket
 * @ws: its context
 * Context: owner; the socket is ESTABLISHED or CLOSE_WAIT
 */
void ws_start(struct sock *sk, struct ws *ws)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct ws_base *base = ws->base;

	ws_assert_locked(sk);
	if (ws_over_tls(ws))
		ws_tls_start(ws);
	else
		ws->head_seq = tp->copied_seq;
	ws->tx_seq = tp->write_seq;
	ws->pong_seq = tp->write_seq;
	sock_set_flag(sk, SOCK_URGINLINE);
	tp->nonagle |= TCP_NAGLE_OFF;
	trace_websocket_attach(sk, ws->flags);
	WRITE_ONCE(ws->state, WEBSOCKET_STATE_OPEN);

	write_lock_bh(&sk->sk_callback_lock);
	if (ws_over_tls(ws))
		ws_tls_hook(sk, ws);
	else
		sk->sk_data_ready = ws_data_ready;
	sk->sk_write_space = ws_write_space;
	sk->sk_state_change = ws_state_change;
	/* as in attach(); what was set above is seen first */
	smp_store_release(&sk->sk_socket->ops, &base->open_ops);
	/* as above */
	smp_store_release(&sk->sk_prot, &base->open_prot);
	write_unlock_bh(&sk->sk_callback_lock);
	ws_count(sk, WS_STAT_OPENED);

	ws_rx_run(sk, ws);
	ws_timer_arm(sk, ws);
	/* pollers that came before see the socket with other eyes now */
	base->state_change(sk);
}
