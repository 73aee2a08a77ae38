/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints websocket:*. A socket is named by its address and ports, as in sock:inet_sock_set_state. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM websocket

#if !defined(WS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define WS_TRACE_H

#include <linux/tracepoint.h>
#include <net/inet_sock.h>
#include "core/failure.h"

#define WS_TRACE_FIELDS __field(const void *, skaddr) __field(u16, sport) __field(u16, dport)
#define WS_TRACE_ASSIGN(sk) \
	__entry->skaddr = sk; \
	__entry->sport = ntohs(inet_sk(sk)->inet_sport); \
	__entry->dport = ntohs(inet_sk(sk)->inet_dport)
#define WS_TRACE_FAILURE(name, error, code, counter) { WS_FAIL_##name, counter },
#define WS_TRACE_ARGS __entry->skaddr, __entry->sport, __entry->dport

/* The protocol starts. */
TRACE_EVENT(websocket_attach,
	TP_PROTO(struct sock *sk, u32 flags),
	TP_ARGS(sk, flags),
	TP_STRUCT__entry(WS_TRACE_FIELDS __field(u32, flags)),
	TP_fast_assign(
		WS_TRACE_ASSIGN(sk);
		__entry->flags = flags;
	),
	TP_printk("sk=%p sport=%u dport=%u role=%s flags=%#x", WS_TRACE_ARGS, __entry->flags & 1 ? "client" : "server", __entry->flags)
);

/* The header of a received data frame was examined. */
TRACE_EVENT(websocket_frame,
	TP_PROTO(struct sock *sk, u8 opcode, bool fin, u64 len),
	TP_ARGS(sk, opcode, fin, len),
	TP_STRUCT__entry(WS_TRACE_FIELDS __field(u64, len) __field(u8, opcode) __field(bool, fin)),
	TP_fast_assign(
		WS_TRACE_ASSIGN(sk);
		__entry->len = len;
		__entry->opcode = opcode;
		__entry->fin = fin;
	),
	TP_printk("sk=%p sport=%u dport=%u opcode=%u fin=%d len=%llu", WS_TRACE_ARGS, __entry->opcode, __entry->fin, __entry->len)
);

/* A received message is complete. */
TRACE_EVENT(websocket_message,
	TP_PROTO(struct sock *sk, u64 len),
	TP_ARGS(sk, len),
	TP_STRUCT__entry(WS_TRACE_FIELDS __field(u64, len)),
	TP_fast_assign(
		WS_TRACE_ASSIGN(sk);
		__entry->len = len;
	),
	TP_printk("sk=%p sport=%u dport=%u len=%llu", WS_TRACE_ARGS, __entry->len)
);

/* A control frame came in or went out. */
TRACE_EVENT(websocket_control,
	TP_PROTO(struct sock *sk, u8 opcode, unsigned int len, bool sent),
	TP_ARGS(sk, opcode, len, sent),
	TP_STRUCT__entry(WS_TRACE_FIELDS __field(u32, len) __field(u8, opcode) __field(bool, sent)),
	TP_fast_assign(
		WS_TRACE_ASSIGN(sk);
		__entry->len = len;
		__entry->opcode = opcode;
		__entry->sent = sent;
	),
	TP_printk("sk=%p sport=%u dport=%u %s opcode=%u len=%u", WS_TRACE_ARGS, __entry->sent ? "sent" : "received", __entry->opcode,
		  __entry->len)
);

/* The closing handshake: WEBSOCKET_STATE_* before and after. */
TRACE_EVENT(websocket_state,
	TP_PROTO(struct sock *sk, u8 from, u8 to),
	TP_ARGS(sk, from, to),
	TP_STRUCT__entry(WS_TRACE_FIELDS __field(u8, from) __field(u8, to)),
	TP_fast_assign(
		WS_TRACE_ASSIGN(sk);
		__entry->from = from;
		__entry->to = to;
	),
	TP_printk("sk=%p sport=%u dport=%u %u -> %u", WS_TRACE_ARGS, __entry->from, __entry->to)
);

/* The connection failed: enum ws_failure (0: TCP's own error), printed as its counter is called, and errno. */
TRACE_EVENT(websocket_error,
	TP_PROTO(struct sock *sk, u8 failure, int error),
	TP_ARGS(sk, failure, error),
	TP_STRUCT__entry(WS_TRACE_FIELDS __field(int, error) __field(u8, failure)),
	TP_fast_assign(
		WS_TRACE_ASSIGN(sk);
		__entry->error = error;
		__entry->failure = failure;
	),
	TP_printk("sk=%p sport=%u dport=%u %s errno=%d", WS_TRACE_ARGS,
		  __print_symbolic(__entry->failure, WS_FAILURES(WS_TRACE_FAILURE) { WS_FAIL_NONE, "TCP" }), __entry->error)
);

#endif

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
