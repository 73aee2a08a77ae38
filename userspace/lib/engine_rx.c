// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The scan cursor of the user-space engine: examines every frame header once, handles control frames, finds the ends of messages.
 * kmod/rx.c has the reasons; what differs is that the bytes stand in one piece and do not change.
 */
#include "engine.h"

/* What a walk over headers leaves to do. */
struct pass {
	u64 consumed;
	u64 ready;
	enum ws_failure failure;
	bool at_head;
	bool close;
};

bool engine_delivers(const struct engine *e, u8 opcode)
{
	return (opcode == WS_OP_PING && e->flags & WEBSOCKET_F_PING) ||
	       (opcode == WS_OP_PONG && e->flags & WEBSOCKET_F_PONG);
}

static u8 text_state(const struct engine *e)
{
	return e->flags & WEBSOCKET_F_NO_UTF8 ? UTF8_UNCHECKED : WS_UTF8_START;
}

void engine_enter(const struct engine *e, struct read_cursor *rd, const struct ws_header *h)
{
	if (h->opcode != WS_OP_CONTINUATION) {
		rd->opcode = h->opcode;
		rd->utf8 = text_state(e);
		rd->begun = false;
	}
	rd->left = h->len;
	rd->key = h->key;
	rd->fin = h->fin;
}

u64 engine_step_over(const struct engine *e, struct read_cursor *rd, u64 off)
{
	/* the scan has dealt with them; Close has cut them off. Of a streamed message there are such before e->ready too. */
	while (!rd->left && (off >= e->ready || e->streaming) && off < e->scan && off < e->tail) {
		struct ws_header h;

		if (ws_frame_decode(&h, engine_at(e, off), e->tail - off, !engine_client(e), rd->opcode) <= 0)
			break;
		if (ws_op_is_control(h.opcode)) {
			if (off < e->ready && engine_delivers(e, h.opcode))
				break;
			off += h.len;
		} else if (h.len || h.fin) {
			break;
		} else {
			engine_enter(e, rd, &h);
		}
		off += h.size;
	}
	return off;
}

static enum ws_failure scan_control(struct engine *e, const struct ws_header *h, struct pass *pass)
{
	u8 payload[WS_CONTROL_MAX];

	ws_mask_copy(payload, engine_at(e, e->scan + h->size), h->len, h->key);
	if (h->opcode == WS_OP_PING) {
		e->rx_pings++;
		engine_pong(e, payload, h->len);
		return WS_FAIL_NONE;
	}
	if (h->opcode == WS_OP_PONG) {
		e->rx_pongs++;
		engine_received_pong(e, payload, h->len);
		return WS_FAIL_NONE;
	}
	pass->close = true;
	return engine_received_close(e, payload, h->len);
}

static enum ws_failure scan_data(struct engine *e, const struct ws_header *h)
{
	if (h->opcode != WS_OP_CONTINUATION) {
		e->scan_opcode = h->opcode;
		e->message_len = 0;
		e->ahead = (struct ahead){ .off = e->scan, .utf8 = text_state(e) };
	}
	/* lengths are below 2^63 and message_len is at most max_message or really arrived: no overflow */
	e->message_len += h->len;
	if (e->message_len > e->max_message)
		return WS_FAIL_TOO_BIG;
	e->rx_frames++;
	e->rx_bytes += h->len;
	e->scan_whole = h->fin;
	e->frame_head = h->size;
	e->frame_data = e->scan + h->size;
	return WS_FAIL_NONE;
}

/* One frame; false: no more can be done now. */
static bool scan_frame(struct engine *e, struct pass *pass)
{
	struct ws_header h;
	bool shown;
	int n = ws_frame_decode(&h, engine_at(e, e->scan), e->tail - e->scan, !engine_client(e), e->scan_opcode);

	if (n < 0)
		pass->failure = -n;
	if (n <= 0)
		return false;
	shown = engine_delivers(e, h.opcode);
	if (ws_op_is_control(h.opcode)) {
		if (e->tail - e->scan < h.size + h.len)
			return false;
		pass->failure = scan_control(e, &h, pass);
	} else {
		pass->failure = scan_data(e, &h);
		shown = h.len || h.fin;
		if (!shown && pass->at_head)
			engine_enter(e, &e->read, &h);
	}
	if (pass->failure)
		return false;
	e->scan += h.size + h.len;
	if (shown)
		pass->at_head = false;
	if (pass->at_head)
		pass->consumed = e->scan;
	if (ws_op_is_control(h.opcode) && shown)
		pass->ready = e->scan;
	return !pass->close;
}

static void scan(struct engine *e, struct pass *pass)
{
	do {
		if (e->tail < e->scan)
			return;
		if (e->scan_whole) {
			e->scan_whole = false;
			e->scan_opcode = 0;
			e->streaming = false;
			e->rx_messages++;
			pass->ready = e->scan;
		}
	} while (e->tail > e->scan && scan_frame(e, pass));
}

/* Where check_ahead() goes on: where it was, or where the reader is if that was faster. */
static void ahead_start(const struct engine *e, struct ahead *a)
{
	if (a->off >= e->head)
		return;
	a->off = e->head;
	a->left = e->read.left;
	a->key = e->read.key;
	a->utf8 = e->read.utf8;
	a->open = e->read.opcode;
	if (e->read.control) {
		a->off += a->left;
		a->left = 0;
	}
}

static void ahead_header(const struct engine *e, struct ahead *a)
{
	struct ws_header h;

	/* the scan has passed it */
	ws_frame_decode(&h, engine_at(e, a->off), e->tail - a->off, !engine_client(e), a->open);
	a->off += h.size;
	if (ws_op_is_control(h.opcode)) {
		a->off += h.len;
	} else {
		a->open = true;
		a->left = h.len;
		a->key = h.key;
	}
}

/* RFC 6455 8.1: text that has become invalid need not wait for the end of its message. */
static enum ws_failure check_ahead(struct engine *e)
{
	struct ahead *a = &e->ahead;
	u64 end = e->tail < e->scan ? e->tail : e->scan;

	if (e->scan_opcode != WS_OP_TEXT)
		return WS_FAIL_NONE;
	ahead_start(e, a);
	if (a->utf8 == UTF8_UNCHECKED)
		return WS_FAIL_NONE;
	while (a->off < end) {
		u8 block[512];
		size_t n = sizeof(block);

		if (!a->left) {
			ahead_header(e, a);
			continue;
		}
		n = n < a->left ? n : a->left;
		n = n < end - a->off ? n : end - a->off;
		ws_mask_copy(block, engine_at(e, a->off), n, a->key);
		a->utf8 = ws_utf8_check(a->utf8, block, n);
		if (a->utf8 == WS_UTF8_BAD)
			return WS_FAIL_UTF8;
		a->key = ws_mask_advance(a->key, n);
		a->left -= n;
		a->off += n;
	}
	return WS_FAIL_NONE;
}

/* How far an incomplete message can be delivered: payload that has arrived, or else the frames before it. */
static u64 streaming_end(const struct engine *e)
{
	if (e->tail <= e->frame_data && e->frame_data <= e->scan)
		return e->frame_data - e->frame_head;
	return e->tail < e->scan ? e->tail : e->scan;
}

/* A message of which no more is held is delivered in parts. */
static void stream(struct engine *e, struct pass *pass)
{
	u64 end;

	if (e->scan_opcode && e->tail - e->head >= HOLD_MAX)
		e->streaming = true;
	if (!e->streaming)
		return;
	end = streaming_end(e);
	if (end > pass->ready)
		pass->ready = end;
}

/* After Close or failure nothing more is looked at (RFC 6455 5.5.1, 7.1.7): only what is before ready stays. */
void engine_drop(struct engine *e)
{
	if (engine_readable(e))
		e->tail = e->ready;
	else
		engine_consume(e, e->tail - e->head);
}

/* Looks at what has arrived and does what follows from it. */
void engine_scan(struct engine *e)
{
	struct pass pass = { .consumed = e->head, .ready = e->ready, .at_head = e->scan == e->head };
	bool deferred;
	u8 ending;

	if (engine_rx_ended(e)) {
		engine_drop(e);
		return;
	}
	if (e->ending)
		return;
	scan(e, &pass);
	if (!pass.failure && !pass.close)
		pass.failure = check_ahead(e);
	ending = pass.failure ? pass.failure : pass.close ? ENDING_CLOSE : 0;
	deferred = ending && engine_defer(e, ending, pass.ready > pass.consumed);
	if (ending == ENDING_CLOSE && !deferred)
		engine_reply_close(e);
	if (pass.consumed > e->head)
		engine_consume(e, pass.consumed - e->head);
	if (!ending)
		stream(e, &pass);
	e->ready = pass.ready;
	if (pass.failure && !deferred)
		engine_fail(e, pass.failure);
	else if (pass.close && !deferred)
		engine_drop(e);
}
