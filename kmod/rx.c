// SPDX-License-Identifier: GPL-2.0
/*
 * The scan cursor: examines every frame header once, as it arrives, handles control frames and finds the ends of messages.
 *
 * DESIGN NOTES
 *
 * A pass first walks the new headers (scan), noting what is to be done in struct pass on the stack; then it sends, then it
 * consumes, then it wakes: TCP's send and consume functions end every pointer into the queue, and a pong that goes out before
 * the consume carries the ACK. A pass is bounded (PASS_BYTES); the socket's timer goes on with the rest.
 *
 * Frames at the head that carry nothing for the reader (control frames, empty fragments) are consumed by the pass. Behind
 * unread data they stay in the queue, handled, and the reader steps over them.
 *
 * When TCP cannot hold the rest of a message (ws_source_full), the message is "streaming": what is there is delivered.
 */
#include "compat/compat.h"
#include "core/mask.h"
#include "core/utf8.h"
#include "source.h"
#include "stats.h"
#include "trace.h"
#include "websocket.h"
#include "whole.h"

#define PASS_BYTES	65536
#define PASS_PINGS	16	/* that are answered one by one */

/* What a walk over headers leaves to do. */
struct pass {
	u64 consumed;		/* the head moves to this offset */
	u64 ready;		/* ws->ready after the pass */
	enum ws_failure failure;
	bool at_head;		/* nothing unread stands before the scan cursor */
	bool close;		/* the peer's Close was seen */
	bool again;		/* bounds reached */
	bool wake;		/* the program has to be told of something already */
	u8 pings;		/* entries in ping[] */
	struct {
		u32 off;	/* its payload, from pass->start on, */
		u32 key;	/* masked with this, */
		u8 len;		/* of so many bytes */
	} ping[PASS_PINGS];
	u64 start;
};

/**
 * ws_rx_delivers() - does the reader get control frames of this opcode?
 * @ws: its context
 * @opcode: WS_OP_*
 */
bool ws_rx_delivers(const struct ws *ws, u8 opcode)
{
	return (opcode == WS_OP_PING && ws->flags & WEBSOCKET_F_PING) ||
	       (opcode == WS_OP_PONG && ws->flags & WEBSOCKET_F_PONG);
}

/* Whether a message is checked is decided when it begins. */
static u8 text_state(const struct ws *ws)
{
	return ws->flags & WEBSOCKET_F_NO_UTF8 ? WS_UTF8_UNCHECKED : WS_UTF8_START;
}

/**
 * ws_rx_enter() - the reader passes the header of a data frame
 * @ws: its context
 * @rd: the read cursor
 * @h: the header
 */
void ws_rx_enter(const struct ws *ws, struct ws_read *rd, const struct ws_header *h)
{
	if (h->opcode != WS_OP_CONTINUATION) {
		rd->opcode = h->opcode;
		rd->utf8 = text_state(ws);
		rd->begun = false;
	}
	rd->left = h->len;
	rd->key = h->key;
	rd->fin = h->fin;
}

/* A pong or a Close: copies the payload before looking at it. */
static noinline_for_stack enum ws_failure scan_answer(struct sock *sk, struct ws *ws, struct ws_spot *spot,
						      const struct ws_header *h, struct pass *pass)
{
	u8 payload[WS_CONTROL_MAX];

	if (ws_source_peek(sk, ws, spot, ws->scan + h->size, payload, h->len) < h->len)
		return WS_FAIL_UNREADABLE;
	ws_mask_copy(payload, payload, h->len, h->key);
	if (h->opcode == WS_OP_PONG) {
		ws->rx_pongs++;
		ws_control_received_pong(ws, payload, h->len);
		return WS_FAIL_NONE;
	}
	pass->close = true;
	return ws_control_received_close(sk, ws, payload, h->len);
}

/* RFC 6455 5.5; a ping is only noted: of very many in one pass the last ones are answered by one pong, to the latest (5.5.3) */
static enum ws_failure scan_control(struct sock *sk, struct ws *ws, struct ws_spot *spot, const struct ws_header *h,
				    struct pass *pass)
{
	trace_websocket_control(sk, h->opcode, h->len, false);
	if (h->opcode != WS_OP_PING)
		return scan_answer(sk, ws, spot, h, pass);
	ws->rx_pings++;
	if (pass->pings == PASS_PINGS) {
		ws_count(sk, WS_STAT_PINGS_COALESCED);
		pass->pings--;
	}
	/* a pass goes no further than PASS_BYTES and a frame */
	pass->ping[pass->pings].off = ws->scan + h->size - pass->start;
	pass->ping[pass->pings].key = h->key;
	pass->ping[pass->pings].len = h->len;
	pass->pings++;
	return WS_FAIL_NONE;
}

/* RFC 6455 5.5.2: the pings of a pass, which are still in the queue */
static noinline_for_stack void answer_pings(struct sock *sk, struct ws *ws, const struct pass *pass)
{
	unsigned int i;

	for (i = 0; i < pass->pings; i++) {
		u64 off = pass->start + pass->ping[i].off;
		unsigned int len = pass->ping[i].len;
		u8 payload[WS_CONTROL_MAX];
		struct ws_spot spot = {};
		const u8 *from = payload;
		size_t n = 0;

		if (len)
			from = ws_source_chunk(sk, ws, &spot, off, &n);
		if (n < len) {
			len = ws_source_peek(sk, ws, &spot, off, payload, len);
			from = payload;
		}
		ws_mask_copy(payload, from, len, pass->ping[i].key);
		ws_control_pong(sk, ws, payload, len);
	}
}

/* RFC 6455 5.4: a data frame moves the cursor to its end, whether that has arrived or not */
static enum ws_failure scan_data(struct ws *ws, const struct ws_header *h)
{
	if (h->opcode != WS_OP_CONTINUATION) {
		ws->scan_opcode = h->opcode;
		ws->message_len = 0;
		ws->ahead = (struct ws_ahead){ .off = ws->scan, .utf8 = text_state(ws) };
	}
	/* lengths are below 2^63 and message_len is at most max_message or really arrived: no overflow */
	ws->message_len += h->len;
	if (ws->message_len > ws->max_message)
		return WS_FAIL_TOO_BIG;
	ws->rx_frames++;
	ws->rx_bytes += h->len;
	ws->scan_whole = h->fin;
	ws->frame_head = h->size;
	ws->frame_data = ws->scan + h->size;
	return WS_FAIL_NONE;
}

/* One frame; false: no more can be done now. */
static bool scan_frame(struct sock *sk, struct ws *ws, struct ws_spot *spot, u64 tail, struct pass *pass)
{
	u8 buf[WS_HEADER_ROOM];
	struct ws_header h;
	unsigned int there;
	bool shown;
	int n;

	there = ws_source_header(sk, ws, spot, ws->scan, buf);
	n = ws_frame_decode(&h, buf, there, !ws_client(ws), ws->scan_opcode);
	if (n < 0)
		pass->failure = -n;
	else if (!n && unlikely(there < min_t(u64, WS_HEADER_MAX, tail - ws->scan)))
		pass->failure = WS_FAIL_UNREADABLE;
	if (n <= 0)
		return false;
	shown = ws_rx_delivers(ws, h.opcode);
	if (ws_op_is_control(h.opcode)) {
		if (tail - ws->scan < h.size + h.len)
			return false;
		pass->failure = scan_control(sk, ws, spot, &h, pass);
	} else {
		trace_websocket_frame(sk, h.opcode, h.fin, h.len);
		pass->failure = scan_data(ws, &h);
		shown = h.len || h.fin;
		if (!shown && pass->at_head)
			ws_rx_enter(ws, &ws->read, &h);
	}
	if (pass->failure)
		return false;
	ws->scan += h.size + h.len;
	if (shown)
		pass->at_head = false;
	if (pass->at_head)
		pass->consumed = ws->scan;
	if (ws_op_is_control(h.opcode) && shown)
		pass->ready = ws->scan;
	return !pass->close;
}

/* Whole messages at the cursor, as many as stand there in one piece of memory. */
static void scan_messages(struct sock *sk, struct ws *ws, struct ws_spot *spot, struct pass *pass)
{
	const u8 *p;
	size_t n;

	if (ws->scan_opcode || trace_websocket_frame_enabled() || trace_websocket_message_enabled())
		return;
	p = ws_source_chunk(sk, ws, spot, ws->scan, &n);
	if (!p || !ws_whole_step(ws, p, n))
		return;
	pass->ready = ws->scan;
	pass->at_head = false;
}

/* Walks what has arrived; changes nothing but the cursor's own state. */
static void scan(struct sock *sk, struct ws *ws, struct pass *pass)
{
	u64 tail = ws_source_tail(ws), start = ws->scan;
	struct ws_spot spot = {};

	for (;;) {
		if (tail < ws->scan)
			break;
		if (ws->scan_whole) {
			ws->scan_whole = false;
			ws->scan_opcode = 0;
			ws->streaming = false;
			ws->rx_messages++;
			pass->ready = ws->scan;
			trace_websocket_message(sk, ws->message_len);
		}
		if (tail == ws->scan)
			break;
		if (ws->scan - start >= PASS_BYTES) {
			pass->again = true;
			break;
		}
		scan_messages(sk, ws, &spot, pass);
		if (tail == ws->scan)
			break;
		if (!scan_frame(sk, ws, &spot, tail, pass))
			break;
	}
}

/* Where check_ahead() goes on: where it was, from the start of the message, or where the reader is if that was faster. */
static void ahead_start(const struct ws *ws, struct ws_ahead *a)
{
	if (a->off >= ws->head)
		return;
	a->off = ws->head;
	a->left = ws->read.left;
	a->key = ws->read.key;
	a->utf8 = ws->read.utf8;
	a->open = ws->read.opcode;
	if (ws->read.control) {
		/* inside a control frame between fragments */
		a->off += a->left;
		a->left = 0;
	}
}

static enum ws_failure ahead_header(struct sock *sk, struct ws *ws, struct ws_spot *spot)
{
	struct ws_ahead *a = &ws->ahead;
	u8 buf[WS_HEADER_ROOM];
	struct ws_header h;
	unsigned int n;

	n = ws_source_header(sk, ws, spot, a->off, buf);
	if (ws_frame_decode(&h, buf, n, !ws_client(ws), a->open) <= 0)
		return WS_FAIL_UNSTABLE;
	a->off += h.size;
	if (ws_op_is_control(h.opcode)) {
		a->off += h.len;
	} else {
		a->open = true;
		a->left = h.len;
		a->key = h.key;
	}
	return WS_FAIL_NONE;
}

/*
 * Fail early (RFC 6455 8.1): text that has become invalid need not wait for the end of its message. Only an unfinished message
 * is looked at; complete ones are checked as they are copied, and that check is the one that counts.
 */
static noinline_for_stack enum ws_failure check_ahead(struct sock *sk, struct ws *ws, struct pass *pass)
{
	struct ws_ahead *a = &ws->ahead;
	struct ws_spot spot = {};
	u64 end;

	ahead_start(ws, a);
	if (a->utf8 == WS_UTF8_UNCHECKED)
		return WS_FAIL_NONE;
	end = min(ws_source_tail(ws), ws->scan);
	if (end > a->off + PASS_BYTES) {
		end = a->off + PASS_BYTES;
		pass->again = true;
	}
	while (a->off < end) {
		u8 block[256];
		unsigned int n;

		if (!a->left) {
			enum ws_failure failure = ahead_header(sk, ws, &spot);

			if (failure)
				return failure;
			continue;
		}
		n = min3((u64)sizeof(block), a->left, end - a->off);
		if (ws_source_peek(sk, ws, &spot, a->off, block, n) < n)
			return WS_FAIL_UNREADABLE;
		ws_mask_copy(block, block, n, a->key);
		a->utf8 = ws_utf8_check(a->utf8, block, n);
		if (a->utf8 == WS_UTF8_BAD)
			return WS_FAIL_UTF8;
		a->key = ws_mask_advance(a->key, n);
		a->left -= n;
		a->off += n;
	}
	return WS_FAIL_NONE;
}

/* How far an incomplete message can be delivered: payload that has arrived, or else the frames before it. 0: there is no payload */
static u64 streaming_end(const struct ws *ws)
{
	u64 tail = ws_source_tail(ws);

	if (tail <= ws->frame_data)
		return ws->message_len > ws->scan - ws->frame_data ? ws->frame_data - ws->frame_head : 0;
	return ws->message_len ? min(tail, ws->scan) : 0;
}

/* Decides what to wait for. After everything was consumed that will be. */
static void set_expectation(struct sock *sk, struct ws *ws, struct pass *pass)
{
	u64 tail = ws_source_tail(ws);

	if (ws->scan_opcode && !ws->streaming && ws_source_full(sk, ws)) {
		ws->streaming = true;
		ws_count(sk, WS_STAT_STREAMED);
	}
	if (ws->streaming)
		pass->ready = max(pass->ready, streaming_end(ws));
	if (tail < ws->scan && !ws->streaming &&
	    (ws->scan_opcode != WS_OP_TEXT || ws->ahead.utf8 == WS_UTF8_UNCHECKED))
		ws_source_want(sk, ws, ws->scan);
	else
		ws_source_want(sk, ws, 0);
	if (ws->scan_opcode || tail < ws->scan)
		ws_source_acknowledge(sk, ws);
}

/**
 * ws_rx_drop() - after Close or failure: nothing more is looked at (RFC 6455 5.5.1, 7.1.7)
 * @sk: the socket
 * @ws: its context
 *
 * Bytes behind the last message are consumed, so that they neither fill the window nor turn close() into a reset.
 */
void ws_rx_drop(struct sock *sk, struct ws *ws)
{
	if (ws_readable(ws) || ws->failure == WS_FAIL_STOLEN)
		return;
	ws_source_consume(sk, ws, ws_source_tail(ws) - ws->head);
	ws_source_want(sk, ws, 0);
}

/* What a walk has left to do: replies first, for they carry the ACK, then consuming, then what the program is told. */
static void finish_pass(struct sock *sk, struct ws *ws, struct pass *pass)
{
	u8 ending = pass->failure ?: pass->close ? WS_ENDING_CLOSE : 0;
	bool deferred, wake;

	if (pass->pings)
		answer_pings(sk, ws, pass);
	/* that has found out that somebody else writes */
	if (unlikely(ws_rx_ended(ws))) {
		ws->scan_again = false;
		return;
	}
	deferred = unlikely(ending) && ws_control_defer(sk, ws, ending, pass->ready > pass->consumed);
	if (ending == WS_ENDING_CLOSE && !deferred)
		ws_control_reply_close(sk, ws);
	if (pass->consumed > ws->head)
		ws_source_consume(sk, ws, pass->consumed - ws->head);
	if (!ending)
		set_expectation(sk, ws, pass);
	/* not for what was consumed at once, of a message that comes in parts */
	wake = pass->wake || (pass->ready != ws->ready && pass->ready > ws->head) || pass->close || deferred;
	WRITE_ONCE(ws->ready, pass->ready);
	if (pass->failure && !deferred)
		ws_fail(sk, ws, pass->failure);
	else if (pass->close && !deferred)
		ws_rx_drop(sk, ws);
	ws->scan_again = pass->again && !ending && !ws_rx_ended(ws);
	if (ws->scan_again)
		ws_timer_retry(sk, ws, 1);
	if (wake)
		ws->base->data_ready(sk);
	/* who waits for EPOLLRDHUP alone is not told by that */
	if (unlikely(deferred))
		ws->base->state_change(sk);
}

/* @wake: messages were found before that the program was not told of */
static void run_pass(struct sock *sk, struct ws *ws, bool wake)
{
	struct pass pass;

	/* or close() has dropped the beginning of a frame */
	if (ws_rx_ended(ws) || unlikely(ws->scan < ws->head)) {
		ws->scan_again = false;
		ws_rx_drop(sk, ws);
		return;
	}
	if (ws->ending)
		return;
	pass.failure = WS_FAIL_NONE;
	pass.close = pass.again = false;
	pass.wake = wake;
	pass.pings = 0;
	pass.start = ws->scan;
	pass.consumed = ws->head;
	pass.ready = ws->ready;
	pass.at_head = ws->scan == ws->head;
	if (unlikely(!ws_source_ok(sk, ws)))
		pass.failure = WS_FAIL_STOLEN;
	else
		scan(sk, ws, &pass);
	if (ws->scan_opcode == WS_OP_TEXT && !pass.failure && !pass.close)
		pass.failure = check_ahead(sk, ws, &pass);
	finish_pass(sk, ws, &pass);
}

/**
 * ws_rx_run() - look at what has arrived and do what follows from it
 * @sk: the socket
 * @ws: its context
 *
 * Called whenever bytes came in or were consumed.
 */
void ws_rx_run(struct sock *sk, struct ws *ws)
{
	bool found = false;

	ws_assert_locked(sk);
	if (!ws_whole_scan(sk, ws, &found))
		run_pass(sk, ws, found);
	if (unlikely(sk->sk_err))
		ws_mirror_error(sk, ws);
}

/**
 * ws_rx_look() - somebody wants to read, and there is nothing
 * @sk: the socket
 * @ws: its context
 *
 * SO_RCVBUF may have been made smaller since the last byte came, and nobody tells of that: a message for which no more bytes can come
 * is delivered as far as it is there.
 * Return: there is more than before. Not: there is something, which the caller may have looked at (MSG_PEEK) and would do for ever.
 */
bool ws_rx_look(struct sock *sk, struct ws *ws)
{
	u64 ready = ws->ready;

	ws_assert_locked(sk);
	if (!ws->scan_opcode || ws->streaming || !ws_source_full(sk, ws))
		return false;
	ws_rx_run(sk, ws);
	return ws->ready != ready;
}

/**
 * ws_data_ready() - sk->sk_data_ready: TCP has queued bytes, or a FIN
 * @sk: the socket
 * Context: softirq, or the owner of the socket in the backlog
 */
void ws_data_ready(struct sock *sk)
{
	struct ws *ws = ws_get(sk);

	if (unlikely(!ws))
		return;
	if (sock_owned_by_user(sk)) {
		ws->deferred |= WS_DEFER_RX;
		return;
	}
	ws_rx_run(sk, ws);
}
