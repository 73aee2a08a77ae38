// SPDX-License-Identifier: GPL-2.0
/*
 * WEBSOCKET_ATTACH: the protocol starts on a socket whose encryption kTLS does.
 *
 * DESIGN NOTES
 *
 * TCP has one upper layer protocol a socket, and that is TLS. So the door is an option at SOL_IP that netfilter lets modules
 * register: it is reached on any TCP socket, whatever protocol stands on it, without a device node and in any container. From
 * then on the socket's own struct proto serves the options of SOL_WEBSOCKET.
 *
 * TLS keeps icsk_ulp_data, sk_data_ready and its place as upper layer protocol (under a name that tells both); what is above TLS
 * becomes ours: sk_user_data, sk_prot, the socket's operations, sk_write_space, sk_state_change, and TLS' saved_data_ready, which it
 * calls for each record. Everything is put back before TLS' close() runs, since that takes its own things back by comparing.
 *
 * The module is held by the socket's operations (proto_ops.owner), whose reference the core drops at the very end.
 *
 * Nothing of tls.ko is linked to: it is known by what stands in <net/tls.h>. Once a socket was attached, tls.ko is held until this
 * module goes: copies of its operations are here.
 */
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/tls.h>
#include <net/tls.h>
#include "compat/compat.h"
#include "stats.h"
#include "tls.h"

#define BUSY_TRIES	3

/* What a socket has that nobody has changed. */
static void (*plain_data_ready)(struct sock *sk);
static void (*plain_write_space)(struct sock *sk);
static void (*plain_state_change)(struct sock *sk);

static const struct tcp_ulp_ops *tls_ulp;	/* TLS'; set once, with a reference to its module */
static struct tcp_ulp_ops both_ulp;		/* a copy with our name and information added */
static DEFINE_MUTEX(ulp_lock);			/* taken under socket locks */

DEFINE_STATIC_KEY_FALSE(ws_tls_used);

/* TLS' own attributes, then ours. */
static int fill_both(struct sock *sk, struct sk_buff *skb)
{
	int (*below)(struct sock *sk, struct sk_buff *skb) = (void *)tls_ulp->get_info;
	int err = below ? below(sk, skb) : 0;

	return err ?: ws_diag_fill(sk, skb);
}

static size_t size_both(const struct sock *sk)
{
	size_t (*below)(const struct sock *sk) = (void *)tls_ulp->get_info_size;

	return (below ? below(sk) : 0) + ws_diag_size(sk);
}

static int fill_both_admin(struct sock *sk, struct sk_buff *skb, bool net_admin)
{
	int (*below)(struct sock *sk, struct sk_buff *skb, bool net_admin) = (void *)tls_ulp->get_info;
	int err = below ? below(sk, skb, net_admin) : 0;

	return err ?: ws_diag_fill_admin(sk, skb, net_admin);
}

static size_t size_both_admin(const struct sock *sk, bool net_admin)
{
	size_t (*below)(const struct sock *sk, bool net_admin) = (void *)tls_ulp->get_info_size;

	return (below ? below(sk, net_admin) : 0) + ws_diag_size_admin(sk, net_admin);
}

/* The first socket shows what TLS' operations are. */
static bool learn_ulp(const struct tcp_ulp_ops *ulp)
{
	mutex_lock(&ulp_lock);
	if (!tls_ulp && try_module_get(ulp->owner)) {
		both_ulp = *ulp;
		strscpy(both_ulp.name, "tls,websocket", sizeof(both_ulp.name));
		both_ulp.get_info = WS_FIT(both_ulp.get_info, fill_both, fill_both_admin);
		both_ulp.get_info_size = WS_FIT(both_ulp.get_info_size, size_both, size_both_admin);
		tls_ulp = ulp;
	}
	mutex_unlock(&ulp_lock);
	return tls_ulp == ulp;
}

/**
 * ws_tls_hook() - take over from TLS what is called for received bytes, and the name
 * @sk: the socket
 * @ws: its context
 * Context: owner, with sk_callback_lock held
 */
void ws_tls_hook(struct sock *sk, struct ws *ws)
{
	struct tls_context *ctx = tls_get_ctx(sk);

	tls_sw_ctx_rx(ctx)->saved_data_ready = ws_tls_record_ready;
	/*
	 * From 6.14 on TLS takes new keys of a socket of TLS 1.3, and puts its operations in the place of ours. ws_setsockopt()
	 * refuses them; a thread that came before us, and waits for the lock inside TLS, is refused by this: TLS asks for the version.
	 */
	ctx->crypto_send.info.version = 0;
	ctx->crypto_recv.info.version = 0;
	WRITE_ONCE(inet_csk(sk)->icsk_ulp_ops, &both_ulp);
}

/**
 * ws_tls_unhook() - put it back
 * @sk: the socket
 * @ws: its context
 * Context: owner, with sk_callback_lock held
 */
void ws_tls_unhook(struct sock *sk, struct ws *ws)
{
	tls_sw_ctx_rx(tls_get_ctx(sk))->saved_data_ready = ws->base->data_ready;
	WRITE_ONCE(inet_csk(sk)->icsk_ulp_ops, tls_ulp);
	/* the core drops a reference to our module for it, which we took in its stead */
	module_put(ws->base->ops->owner);
}

/**
 * ws_tls_keys() - getsockopt(TLS_TX, TLS_RX): as TLS tells them, with the version that ws_tls_hook() has changed
 * @sk: the socket
 * @ws: its context
 * @name: the option
 * @val: for the caller
 * @len: bytes
 * Context: process, without the lock
 */
int ws_tls_keys(struct sock *sk, struct ws *ws, int name, char __user *val, int __user *len)
{
	u16 version = tls_get_ctx(sk)->prot_info.version;
	int err = ws->base->prot->getsockopt(sk, SOL_TLS, name, val, len);

	BUILD_BUG_ON(offsetof(struct tls_crypto_info, version));
	if (err)
		return err;
	return copy_to_user(val, &version, sizeof(version)) ? -EFAULT : 0;
}

/* Is this a socket with TLS in both directions, on which nobody else sits? */
static int check(struct sock *sk)
{
	const struct tcp_ulp_ops *ulp = inet_csk(sk)->icsk_ulp_ops;
	struct tls_context *ctx;

	if (!((1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)) || !sk->sk_socket)
		return -ENOTCONN;
	if (!ulp)
		return -EUNATCH;
	if (strcmp(ulp->name, "tls"))
		return -EEXIST;
	ctx = tls_get_ctx(sk);
	if (!ctx || ctx->tx_conf == TLS_BASE || ctx->rx_conf == TLS_BASE)
		return -ENOKEY;
	/* a thread that is inside TLS' recvmsg() would take records away, one inside its sendmsg() put bytes between ours */
	if (sk->sk_user_data || (ctx->rx_conf == TLS_SW && tls_sw_ctx_rx(ctx)->reader_present) ||
	    mutex_is_locked(&ctx->tx_lock))
		return -EBUSY;
	if (ctx->tx_conf != TLS_SW || ctx->rx_conf != TLS_SW || sk_is_mptcp(sk) || tcp_sk(sk)->repair)
		return -EOPNOTSUPP;
	if (tls_sw_ctx_rx(ctx)->saved_data_ready != plain_data_ready || ctx->sk_write_space != plain_write_space ||
	    sk->sk_state_change != plain_state_change || !sk->sk_prot->sock_is_readable)
		return -EOPNOTSUPP;
	return learn_ulp(ulp) ? 0 : -EOPNOTSUPP;
}

static struct ws_tls *create_source(struct sock *sk)
{
	struct ws_tls *tls = kzalloc(sizeof(*tls), GFP_KERNEL_ACCOUNT);

	if (!tls)
		return NULL;
	tls->sk = sk;
	/* what is read before the lock is taken does not use the queue's own lock */
	__skb_queue_head_init(&tls->queue);
	init_waitqueue_head(&tls->idle);
	INIT_WORK(&tls->work, ws_tls_work);
	return tls;
}

static int attach(struct sock *sk, const struct websocket_config *cfg)
{
	struct ws_tls *tls;
	int err = check(sk);

	if (err)
		return err;
	tls = create_source(sk);
	if (!tls)
		return -ENOMEM;
	/* for good, and only if there is such a socket; before anybody can ask whether this is one */
	static_branch_enable(&ws_tls_used);
	err = ws_attach_tls(sk, tls, plain_data_ready);
	if (err) {
		kfree(tls);
		return err;
	}
	__module_get(THIS_MODULE);
	ws_config_set(sk, ws_get(sk), cfg);
	ws_count(sk, WS_STAT_TLS_OPENED);
	/* records may be there */
	ws_tls_come(ws_get(sk));
	return 0;
}

/* Context: process, without locks; the socket may be of any kind of AF_INET or AF_INET6 */
static int set_option(struct sock *sk, int name, sockptr_t val, unsigned int len)
{
	struct websocket_config cfg;
	unsigned int tries = 0;
	u32 no_pad = WS_TLS_NO_PAD_WORKS;
	int err;

	if (!sk_is_tcp(sk))
		return -EOPNOTSUPP;
	err = ws_config_copy(&cfg, val, len);
	if (err)
		return err;
	do {
		lock_sock(sk);
		err = attach(sk, &cfg);
		release_sock(sk);
		/* TLS' own work has the mutex for a moment */
	} while (err == -EBUSY && tries++ < BUSY_TRIES && !schedule_timeout_killable(1));
	/* TLS 1.3: with records that are not padded, as few do, TLS decrypts straight into our pages. A padded one costs time. */
	if (!err)
		ws_get(sk)->base->prot->setsockopt(sk, SOL_TLS, TLS_RX_EXPECT_NO_PAD, KERNEL_SOCKPTR(&no_pad), sizeof(no_pad));
	return err;
}

/* IPV6 sockets are reached by SOL_IP as well as by SOL_IPV6 */
static struct nf_sockopt_ops doors[] = {
	{ .pf = PF_INET, .set_optmin = WEBSOCKET_ATTACH, .set_optmax = WEBSOCKET_ATTACH + 1, .set = set_option,
	  .owner = THIS_MODULE },
	{ .pf = PF_INET6, .set_optmin = WEBSOCKET_ATTACH, .set_optmax = WEBSOCKET_ATTACH + 1, .set = set_option,
	  .owner = THIS_MODULE },
};

/* Callbacks as they are on every new socket: most are not exported. */
static int __init learn_callbacks(void)
{
	struct socket *sock;
	int err = sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP, &sock);

	if (err)
		return err;
	plain_data_ready = sock->sk->sk_data_ready;
	plain_write_space = sock->sk->sk_write_space;
	plain_state_change = sock->sk->sk_state_change;
	sock_release(sock);
	return 0;
}

/**
 * ws_tls_init() - open the door
 */
int __init ws_tls_init(void)
{
	int err = learn_callbacks();

	if (err)
		return err;
	ws_tls_queue = alloc_workqueue("websocket", WS_WQ_PERCPU | WQ_CPU_INTENSIVE | WQ_MEM_RECLAIM, 0);
	if (!ws_tls_queue)
		return -ENOMEM;
	err = nf_register_sockopt(&doors[0]);
	if (err)
		goto err_queue;
	err = nf_register_sockopt(&doors[1]);
	if (err)
		goto err_door;
	return 0;

err_door:
	nf_unregister_sockopt(&doors[0]);
err_queue:
	destroy_workqueue(ws_tls_queue);
	return err;
}

/**
 * ws_tls_exit() - no socket is left
 */
void ws_tls_exit(void)
{
	nf_unregister_sockopt(&doors[1]);
	nf_unregister_sockopt(&doors[0]);
	destroy_workqueue(ws_tls_queue);
	if (tls_ulp)
		module_put(tls_ulp->owner);
}
