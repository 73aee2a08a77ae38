// SPDX-License-Identifier: GPL-2.0
/* Socket options: ours, and those of TCP that are refused. */
#include <linux/tls.h>
#include "compat/compat.h"
#include "websocket.h"

#define FLAGS_KNOWN (WEBSOCKET_F_CLIENT | WEBSOCKET_F_NO_UTF8 | WEBSOCKET_F_PING | WEBSOCKET_F_PONG | WEBSOCKET_F_BATCH | \
		     WEBSOCKET_F_TEXT | WEBSOCKET_F_CORK)
/* What may not change once the protocol has started: the frames in the queue were judged by it. */
#define FLAGS_FIXED WEBSOCKET_F_CLIENT

#define DEFAULT_MAX_MESSAGE	(1U << 20)
#define DEFAULT_PONG_MS		10000
#define DEFAULT_CLOSE_MS	5000

static_assert(sizeof(struct websocket_config) == 24);
static_assert(offsetof(struct websocket_config, max_message) == 8);
static_assert(sizeof(struct websocket_msg) == 16);
static_assert(sizeof(struct websocket_batch) == 8);
static_assert(offsetof(struct websocket_info, rx_messages) == 16);
static_assert(sizeof(struct websocket_info) == 104);

/* Copies a configuration of any length: shorter means zeros, longer must be zeros. */
static int copy_config(struct websocket_config *cfg, sockptr_t val, unsigned int len)
{
	unsigned int i, n;

	memset(cfg, 0, sizeof(*cfg));
	if (len < sizeof(cfg->flags))
		return -EINVAL;
	if (len > PAGE_SIZE)
		return -E2BIG;
	if (copy_from_sockptr(cfg, val, min_t(size_t, len, sizeof(*cfg))))
		return -EFAULT;
	for (i = sizeof(*cfg); i < len; i += n) {
		u8 rest[64];

		n = min_t(size_t, len - i, sizeof(rest));
		if (copy_from_sockptr_offset(rest, val, i, n))
			return -EFAULT;
		if (memchr_inv(rest, 0, n))
			return -E2BIG;
	}
	return 0;
}

static int check_config(const struct websocket_config *cfg)
{
	if (cfg->flags & ~FLAGS_KNOWN)
		return -EINVAL;
	if (cfg->ping_interval_ms > WEBSOCKET_MAX_MS || cfg->pong_timeout_ms > WEBSOCKET_MAX_MS ||
	    cfg->close_timeout_ms > WEBSOCKET_MAX_MS)
		return -EINVAL;
	return 0;
}

/**
 * ws_config_copy() - take a configuration from the caller
 * @cfg: gets it, checked
 * @val: what the caller gave
 * @len: bytes of it
 */
int ws_config_copy(struct websocket_config *cfg, sockptr_t val, unsigned int len)
{
	return copy_config(cfg, val, len) ?: check_config(cfg);
}

/**
 * ws_config_set() - put it into force; the first one starts the protocol
 * @sk: the socket
 * @ws: its context
 * @cfg: the configuration
 * Context: owner
 */
int ws_config_set(struct sock *sk, struct ws *ws, const struct websocket_config *cfg)
{
	bool start = ws->state == WEBSOCKET_STATE_ATTACHED;

	if (start && !((1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)))
		return -ENOTCONN;
	if (!start && (cfg->flags ^ ws->flags) & FLAGS_FIXED)
		return -EINVAL;
	WRITE_ONCE(ws->flags, cfg->flags);
	ws->max_message = cfg->max_message ?: DEFAULT_MAX_MESSAGE;
	ws->ping_interval_ms = cfg->ping_interval_ms;
	ws->pong_timeout_ms = cfg->pong_timeout_ms ?: DEFAULT_PONG_MS;
	ws->close_timeout_ms = cfg->close_timeout_ms ?: DEFAULT_CLOSE_MS;
	if (start)
		ws_start(sk, ws);
	else
		ws_timer_arm(sk, ws);
	return 0;
}

static int setsockopt_websocket(struct sock *sk, struct ws *ws, int name, sockptr_t val, unsigned int len)
{
	struct websocket_config cfg;
	int err;

	if (name != WEBSOCKET_CONFIG)
		return -ENOPROTOOPT;
	err = ws_config_copy(&cfg, val, len);
	if (err)
		return err;
	lock_sock(sk);
	err = ws_config_set(sk, ws, &cfg);
	release_sock(sk);
	return err;
}

/**
 * ws_setsockopt() - proto->setsockopt, from TCP_ULP on
 * @sk: the socket
 * @level: SOL_*
 * @name: the option
 * @val: its value
 * @len: bytes
 */
int ws_setsockopt(struct sock *sk, int level, int name, sockptr_t val, unsigned int len)
{
	struct ws *ws = ws_get(sk);

	if (level == SOL_WEBSOCKET)
		return setsockopt_websocket(sk, ws, name, val, len);
	if (level == SOL_TCP && (name == TCP_REPAIR || name == TCP_INQ))
		return -EOPNOTSUPP;
	if (ws_over_tls(ws) && level == SOL_TCP && (name == TCP_NODELAY || name == TCP_CORK))
		return ws_tls_nagle(sk, ws, name, val, len);
	/* new keys would put TLS' own operations in the place of ours; the last is ours to set */
	if (ws_over_tls(ws) && level == SOL_TLS && (name == TLS_TX || name == TLS_RX || name == TLS_RX_EXPECT_NO_PAD))
		return -EBUSY;
	return ws->base->prot->setsockopt(sk, level, name, val, len);
}

/* Gives the caller at most as much as there is room for, and says how much that was. */
static int put_option(const void *from, int size, char __user *val, int __user *len)
{
	int n;

	if (get_user(n, len))
		return -EFAULT;
	if (n < 0)
		return -EINVAL;
	n = min(n, size);
	if (put_user(n, len) || copy_to_user(val, from, n))
		return -EFAULT;
	return 0;
}

static int get_config(struct sock *sk, struct ws *ws, char __user *val, int __user *len)
{
	struct websocket_config cfg = {};

	lock_sock(sk);
	cfg.flags = ws->flags;
	cfg.ping_interval_ms = ws->ping_interval_ms;
	cfg.max_message = ws->max_message;
	cfg.pong_timeout_ms = ws->pong_timeout_ms;
	cfg.close_timeout_ms = ws->close_timeout_ms;
	release_sock(sk);
	return put_option(&cfg, sizeof(cfg), val, len);
}

static int get_info(struct sock *sk, struct ws *ws, char __user *val, int __user *len)
{
	struct websocket_info info;

	lock_sock(sk);
	/* what has arrived was looked at, as over TCP */
	if (ws_over_tls(ws)) {
		ws_tls_pull(sk, ws);
		ws_tls_leave(sk, ws);
	}
	ws_info_fill(ws, &info);
	release_sock(sk);
	return put_option(&info, sizeof(info), val, len);
}

static int get_reason(struct ws *ws, char __user *val, int __user *len)
{
	/* set once, freed with the context */
	const struct ws_reason *reason = READ_ONCE(ws->reason);

	return put_option(reason ? reason->text : "", reason ? reason->len : 0, val, len);
}

/**
 * ws_getsockopt() - proto->getsockopt, from TCP_ULP on
 * @sk: the socket
 * @level: SOL_*
 * @name: the option
 * @val: its value
 * @len: bytes
 */
int ws_getsockopt(struct sock *sk, int level, int name, char __user *val, int __user *len)
{
	struct ws *ws = ws_get(sk);

	if (level == SOL_TCP && name == TCP_ZEROCOPY_RECEIVE)
		return -EOPNOTSUPP;
	if (ws_over_tls(ws) && level == SOL_TLS && (name == TLS_TX || name == TLS_RX))
		return ws_tls_keys(sk, ws, name, val, len);
	if (level != SOL_WEBSOCKET)
		return ws->base->prot->getsockopt(sk, level, name, val, len);
	switch (name) {
	case WEBSOCKET_CONFIG:
		return get_config(sk, ws, val, len);
	case WEBSOCKET_INFO:
		return get_info(sk, ws, val, len);
	case WEBSOCKET_CLOSE_REASON:
		return get_reason(ws, val, len);
	default:
		return -ENOPROTOOPT;
	}
}
