/* SPDX-License-Identifier: GPL-2.0 */
/* Counters per network namespace, shown in /proc/net/websocket_stat. */
#ifndef WS_STATS_H
#define WS_STATS_H

#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include "core/failure.h"

#define WS_STATS(X) \
	X(ATTACHED,		"Attached")		/* TCP_ULP succeeded */ \
	X(OPENED,		"Opened")		/* WEBSOCKET_CONFIG started the protocol */ \
	X(ENDED,		"Ended")		/* opened sockets that were closed */ \
	X(PONGS_SENT,		"PongsSent")		/* pings answered */ \
	X(PONGS_DELAYED,	"PongsDelayed")		/* pongs that had to wait for room */ \
	X(PONGS_LOST,		"PongsLost")		/* no memory to keep one */ \
	X(PINGS_COALESCED,	"PingsCoalesced")	/* pings that a pong to a later one answers */ \
	X(KEEPALIVE_PINGS,	"KeepalivePings")	/* pings sent by the kernel */ \
	X(CLOSES_SENT,		"ClosesSent") \
	X(CLOSES_RECEIVED,	"ClosesReceived") \
	X(CLOSE_RETRIES,	"CloseRetries")		/* Close frames that had to wait for memory */ \
	X(STREAMED,		"Streamed")		/* messages delivered in parts because TCP could not hold them */ \
	X(RESET_UNREAD,		"ResetUnread")		/* close() with messages unread */ \
	X(TLS_OPENED,		"TlsOpened")		/* of those opened, by WEBSOCKET_ATTACH */ \
	X(TLS_WORK,		"TlsWork")		/* runs of work items: nobody was in a call to decrypt or send */ \
	X(TLS_STOPS,		"TlsStops")		/* decrypting stopped because the program did not read */

enum {
#define X(name, text) WS_STAT_##name,
	WS_STATS(X)
#undef X
	WS_STAT_FAILURES,	/* one for each enum ws_failure from here on */
	WS_STAT_COUNT = WS_STAT_FAILURES + WS_FAIL_COUNT
};

struct ws_stats {
	unsigned long count[WS_STAT_COUNT];
};

struct ws_net {
	struct ws_stats __percpu *stats;
};

extern unsigned int ws_net_id;
extern struct pernet_operations ws_net_ops;

static inline void ws_count(const struct sock *sk, unsigned int what)
{
	struct ws_net *n = net_generic(sock_net(sk), ws_net_id);

	this_cpu_inc(n->stats->count[what]);
}

#endif
