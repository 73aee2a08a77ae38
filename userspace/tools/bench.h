/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kws bench: loads an echo server and measures its answers.
 *
 * DESIGN NOTES
 *
 * It speaks WebSocket itself, over plain sockets, so that any server can be measured and the module is on one side at most.
 *
 * With --rate the load is open: message k is due at k/rate seconds whatever the server does, and its time counts from when
 * it was due, not from when it could be sent. A server that stops for a second is thus charged with all the messages that a
 * second of users would have sent, and not with the one per connection that a waiting client happens to have under way
 * (coordinated omission). Nothing is queued for that: the n-th message of a connection has a known number k, hence a known
 * time. What a connection cannot take is written when it can, all that is overdue at once. Without --rate each connection
 * keeps a number of messages in flight, and only the time from sending can be given.
 *
 * Message n of a connection is a window of one random text that begins at n modulo WINDOWS: nothing has to be kept in order
 * to compare what comes back. Answers come in order, so of a message under way only the time of sending is kept.
 *
 * bench.c has the options, the schedule and the report; bench_conn.c has one connection.
 */
#ifndef KWS_BENCH_H
#define KWS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../kmod/core/frame.h"
#include "histogram.h"

#define WINDOWS		251	/* a prime: shifted by any power of two it is another text */
#define BUFFER_SIZE	65536

/**
 * struct bench_conn - one connection
 * @fd: -1: it is lost
 * @index: which of all it is
 * @want_write: epoll watches for room
 * @sent, @answered: messages
 * @sent_at: when each message under way was sent, ns: a ring of @ring entries, a power of two
 * @out, @out_len, @out_done: frames that the socket did not take, and how much of them it did since
 * @head, @head_len: bytes of a header that is not complete
 * @frame: the frame being received, @in_payload: its header is complete, @left of it; @open: inside a message, @offset bytes of it seen
 * @control: payload of a control frame
 */
struct bench_conn {
	int fd;
	unsigned int index;
	bool want_write;
	uint64_t sent, answered;
	uint64_t *sent_at;
	size_t ring;
	uint8_t *out;
	size_t out_len, out_done;
	uint8_t head[WS_HEADER_MAX];
	unsigned int head_len;
	struct ws_header frame;
	uint64_t left, offset;
	bool in_payload, open;
	uint8_t control[WS_CONTROL_MAX];
};

/**
 * struct bench - everything
 * @rate: messages a second, all connections together; 0: closed loop
 * @in_flight: closed loop: messages under way on each connection
 * @size, @opcode: of a message
 * @warmup_ns, @time_ns: how long to load without and with measuring
 * @timeout_ms: for the handshakes, and for the last answers
 * @start: when message 0 is due; @measure, @end: when measuring begins and ends. CLOCK_MONOTONIC, ns
 * @next: number of the message that the schedule comes to next
 * @text: the payloads: @size + WINDOWS bytes
 * @buffer, @buffer_size: where frames are written and read
 * @messages, @answers, @unanswered: those due while measuring
 * @under_way: messages of all connections that were sent and not answered
 * @lost: connections that ended
 * @why: of the first one
 * @response: times from when a message was due; @service: from when it was sent; @late: from the one to the other where the
 *	connection could have taken it, which is this program's fault
 */
struct bench {
	int epoll;
	struct bench_conn *conns;
	unsigned int n_conns;
	double rate;
	unsigned int in_flight;
	size_t size;
	uint8_t opcode;
	uint64_t warmup_ns, time_ns;
	uint32_t timeout_ms;
	uint64_t start, measure, end;
	uint64_t next;
	uint8_t *text, *buffer;
	size_t buffer_size;
	uint64_t messages, answers, unanswered, under_way;
	unsigned int lost;
	char why[96];
	struct histogram response, service, late;
};

uint64_t bench_now(void);

/* When the n-th message of a connection is due; only with a rate. */
uint64_t bench_due(const struct bench *b, const struct bench_conn *c, uint64_t n);

/* The first message of a connection that is due at t or later; only with a rate. */
uint64_t bench_first(const struct bench *b, const struct bench_conn *c, uint64_t t);

/* Takes over a connected socket after the HTTP part. */
void conn_init(struct bench *b, struct bench_conn *c, int fd);

/* Sends what is due, or up to the number in flight; what epoll says about the connection. */
void conn_send(struct bench *b, struct bench_conn *c);
void conn_event(struct bench *b, struct bench_conn *c, uint32_t events);

/* The time is over: messages without an answer count as long as they have waited. Sends Close. */
void conn_finish(struct bench *b, struct bench_conn *c);

/* What it measured, for people or as JSON. */
void bench_report(const struct bench *b, bool json);

#endif
