// SPDX-License-Identifier: GPL-2.0
/* struct websocket_info, for getsockopt() and for sock_diag. */
#include <linux/inet_diag.h>
#include <net/netlink.h>
#include "compat/compat.h"
#include "websocket.h"

/**
 * ws_info_fill() - what is known about a WebSocket
 * @ws: its context
 * @info: filled in
 * Context: the socket lock, or RCU alone: then single values may be a moment apart
 */
void ws_info_fill(const struct ws *ws, struct websocket_info *info)
{
	const struct ws_reason *reason = READ_ONCE(ws->reason);
	u64 ready = READ_ONCE(ws->ready), head = READ_ONCE(ws->head);

	*info = (struct websocket_info){
		/* after a reset the state goes on meaning what may still be examined */
		.state = READ_ONCE(ws->error) ? WEBSOCKET_STATE_FAILED : READ_ONCE(ws->state),
		.sent_close_code = READ_ONCE(ws->sent_code),
		.received_close_code = READ_ONCE(ws->peer_code),
		.close_reason_len = reason ? reason->len : 0,
		.error = READ_ONCE(ws->error),
		.flags = READ_ONCE(ws->flags),
		.rx_messages = READ_ONCE(ws->rx_messages),
		.rx_frames = READ_ONCE(ws->rx_frames),
		.rx_bytes = READ_ONCE(ws->rx_bytes),
		.tx_messages = READ_ONCE(ws->tx_messages),
		.tx_frames = READ_ONCE(ws->tx_frames),
		.tx_bytes = READ_ONCE(ws->tx_bytes),
		.rx_pings = READ_ONCE(ws->rx_pings),
		.rx_pongs = READ_ONCE(ws->rx_pongs),
		.tx_pings = READ_ONCE(ws->tx_pings),
		.tx_pongs = READ_ONCE(ws->tx_pongs),
		.rtt_us = READ_ONCE(ws->rtt_us),
		.skipped_messages = READ_ONCE(ws->skipped_messages),
		.unread_bytes = ready > head ? ready - head : 0,
		.partial_bytes = READ_ONCE(ws->scan_opcode) ? READ_ONCE(ws->message_len) : 0,
	};
}

/**
 * ws_diag_size() - tcp_ulp_ops->get_info_size
 * @sk: the socket
 */
size_t ws_diag_size(const struct sock *sk)
{
	return nla_total_size_64bit(sizeof(struct websocket_info));
}

/**
 * ws_diag_fill() - tcp_ulp_ops->get_info
 * @sk: the socket
 * @skb: the netlink message
 * Context: process, without the socket lock; close() may run at the same time
 */
int ws_diag_fill(struct sock *sk, struct sk_buff *skb)
{
	struct websocket_info info;
	const struct ws *ws;

	rcu_read_lock();
	ws = rcu_dereference_sk_user_data(sk);
	if (ws)
		ws_info_fill(ws, &info);
	rcu_read_unlock();
	if (!ws)
		return 0;
	return nla_put(skb, WEBSOCKET_ULP_INFO, sizeof(info), &info);
}

/* 7.x: told whether the reader has CAP_NET_ADMIN; there is nothing in it that others must not see */
size_t ws_diag_size_admin(const struct sock *sk, bool net_admin)
{
	return ws_diag_size(sk);
}

int ws_diag_fill_admin(struct sock *sk, struct sk_buff *skb, bool net_admin)
{
	return ws_diag_fill(sk, skb);
}
