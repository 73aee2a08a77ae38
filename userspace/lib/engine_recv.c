// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The read cursor of the user-space engine: takes messages out of the buffer. kmod/recvmsg.c has the reasons. */
#include <sys/socket.h>

#include "engine.h"

/* The caller's buffer. */
struct sink {
	const struct iovec *iov;
	int count;
	size_t left;		/* bytes that still fit */
	size_t done;		/* bytes in it */
};

/* A call in progress. */
struct take {
	struct read_cursor rd;
	u64 off;
	struct sink to;
	size_t start;		/* bytes of the messages of a batch before this one */
	u8 opcode;
	u8 flags;
	enum ws_failure failure;
	unsigned int nr;
	struct websocket_batch *batch;
};

enum took { TOOK_NOTHING, TOOK_PART, TOOK_SPLIT, TOOK_ALL, TOOK_FAILURE };

/* The next piece of the caller's buffer; there is one. */
static u8 *sink_at(const struct sink *to, size_t *n)
{
	size_t at = to->done;

	for (int i = 0; i < to->count; at -= to->iov[i++].iov_len) {
		if (at < to->iov[i].iov_len) {
			*n = to->iov[i].iov_len - at;
			return (u8 *)to->iov[i].iov_base + at;
		}
	}
	*n = 0;
	return NULL;
}

static void sink_back(struct sink *to, size_t done)
{
	to->left += to->done - done;
	to->done = done;
}

static bool checks_text(const struct read_cursor *rd)
{
	return rd->opcode == WS_OP_TEXT && !rd->control && rd->utf8 != UTF8_UNCHECKED;
}

/* Copies @n bytes of payload at the cursor; they have arrived, and fit. */
static bool take_payload(const struct engine *e, struct take *t, size_t n)
{
	while (n) {
		size_t len;
		u8 *to = sink_at(&t->to, &len);

		if (len > n)
			len = n;
		/* as much as stays in the cache between both passes */
		if (len > 4096)
			len = 4096;
		ws_mask_copy(to, engine_at(e, t->off), len, t->rd.key);
		if (checks_text(&t->rd)) {
			t->rd.utf8 = ws_utf8_check(t->rd.utf8, to, len);
			if (t->rd.utf8 == WS_UTF8_BAD)
				return false;
		}
		t->rd.key = ws_mask_advance(t->rd.key, len);
		t->rd.left -= len;
		t->off += len;
		t->to.done += len;
		t->to.left -= len;
		n -= len;
	}
	return true;
}

static enum took take_failure(struct take *t, enum ws_failure failure)
{
	t->failure = failure;
	return TOOK_FAILURE;
}

/* The cursor stands behind the last byte of a message. */
static enum took take_end(struct take *t)
{
	struct read_cursor *rd = &t->rd;

	t->flags = WEBSOCKET_MSG_END;
	if (rd->control) {
		t->opcode = rd->control;
		rd->control = 0;
		if (!rd->control_begun)
			t->flags |= WEBSOCKET_MSG_BEGIN;
		return TOOK_ALL;
	}
	/* RFC 6455 8.1: text does not end within a character */
	if (checks_text(rd) && rd->utf8 != WS_UTF8_START)
		return take_failure(t, WS_FAIL_UTF8);
	if (!rd->begun)
		t->flags |= WEBSOCKET_MSG_BEGIN;
	t->opcode = rd->opcode;
	rd->opcode = 0;
	return TOOK_ALL;
}

/* The caller gets a message up to the cursor, which is not its end. */
static enum took take_part(struct take *t, enum took took)
{
	const struct read_cursor *rd = &t->rd;

	t->opcode = rd->control ? rd->control : rd->opcode;
	t->flags = (rd->control ? rd->control_begun : rd->begun) ? 0 : WEBSOCKET_MSG_BEGIN;
	return took;
}

/* The header at the cursor, which the scan has seen. False: it is not there. */
static bool take_header(const struct engine *e, struct take *t, struct ws_header *h)
{
	return ws_frame_decode(h, engine_at(e, t->off), e->tail - t->off, !engine_client(e), t->rd.opcode) > 0;
}

/* Copies what there is of one message, as far as the buffer goes. */
static enum took take_message(const struct engine *e, struct take *t)
{
	struct read_cursor *rd = &t->rd;

	while (t->off < e->ready) {
		u64 n;

		if (!rd->left) {
			struct ws_header h;

			if (!take_header(e, t, &h))
				return take_failure(t, WS_FAIL_UNSTABLE);
			/* a message of a batch is taken whole or left */
			if (t->nr && h.len > t->to.left)
				return TOOK_PART;
			if (!ws_op_is_control(h.opcode)) {
				engine_enter(e, rd, &h);
			} else if (!engine_delivers(e, h.opcode)) {
				t->off += h.size + h.len;
				continue;
			} else if (t->to.done > t->start) {
				return take_part(t, TOOK_SPLIT);
			} else {
				rd->control = h.opcode;
				rd->control_begun = false;
				rd->left = h.len;
				rd->key = h.key;
			}
			t->off += h.size;
			if (!h.len && (rd->control || rd->fin))
				return take_end(t);
			if (!h.len)
				continue;
		}
		n = t->off < e->ready ? e->ready - t->off : 0;
		n = n < rd->left ? n : rd->left;
		n = n < t->to.left ? n : t->to.left;
		if (!take_payload(e, t, n))
			return take_failure(t, WS_FAIL_UTF8);
		if (rd->left)
			break;
		if (rd->control || rd->fin)
			return take_end(t);
	}
	return take_part(t, t->to.done > t->start || !t->to.left ? TOOK_PART : TOOK_NOTHING);
}

static void batch_add(struct take *t)
{
	t->batch[t->nr++] = (struct websocket_batch){
		.len = t->to.done - t->start,
		.opcode = t->opcode,
		.flags = t->flags,
	};
	t->start = t->to.done;
}

/* More messages behind the first, as long as they are there and fit whole. */
static void take_batch(const struct engine *e, struct take *t, unsigned int max)
{
	while (t->nr < max && t->off < e->ready) {
		struct take before = *t;

		if (take_message(e, t) != TOOK_ALL) {
			/* as if it had not been touched; a failure shows again when it is the first */
			*t = before;
			return;
		}
		batch_add(t);
	}
}

/* The cursor becomes the connection's, the bytes before it are given up. */
static void commit(struct engine *e, struct take *t)
{
	if (t->to.done && !(t->flags & WEBSOCKET_MSG_END)) {
		if (t->rd.control)
			t->rd.control_begun = true;
		else
			t->rd.begun = true;
	}
	t->off = engine_step_over(e, &t->rd, t->off);
	e->read = t->rd;
	engine_restart_timers(e);
	engine_consume(e, t->off - e->head);
	engine_in_hand(e);
	if (e->scan != e->head || engine_rx_ended(e))
		engine_scan(e);
}

static void put_record(struct kws_message *msg, const struct take *t)
{
	*msg = (struct kws_message){
		.opcode = t->opcode,
		.begin = t->flags & WEBSOCKET_MSG_BEGIN,
		.end = t->flags & WEBSOCKET_MSG_END,
		.frame_left = t->flags & WEBSOCKET_MSG_END || t->nr ? 0 : t->rd.left,
	};
}

/* What a receive does while something can be delivered. True: the call is done. */
static bool receive(struct engine *e, struct take *t, int flags, unsigned int max)
{
	bool waits = flags & MSG_WAITALL && !(flags & MSG_PEEK);
	size_t done = t->to.done;
	u8 opcode = t->opcode, shown = t->flags;
	enum took took;

	t->rd = e->read;
	t->off = e->head;
	took = take_message(e, t);
	if (took == TOOK_FAILURE) {
		/* everything before it was delivered */
		sink_back(&t->to, done);
		t->opcode = opcode;
		t->flags = shown;
		e->ready = e->head;
		engine_fail(e, t->failure);
		return false;
	}
	/* MSG_WAITALL: what earlier rounds took belongs to the same message */
	t->flags |= shown & WEBSOCKET_MSG_BEGIN;
	if (took == TOOK_NOTHING) {
		/* only frames that carry nothing: MSG_PEEK may step over them too */
		t->flags = shown;
		commit(e, t);
		return false;
	}
	if (max && !waits && (t->to.done || took == TOOK_ALL)) {
		batch_add(t);
		if (took == TOOK_ALL)
			take_batch(e, t, max);
	}
	if (!(flags & MSG_PEEK))
		commit(e, t);
	return !(took == TOOK_PART && waits && t->to.left);
}

/* The end of the stream, which is final: the same result every time. False: it has not come. */
static bool at_end(struct engine *e, struct kws_message *msg, ssize_t *ret)
{
	engine_look_for_reset(e);
	*ret = -e->error;
	if (e->error && !e->eof)
		return true;
	if (engine_closing(e))
		return false;
	*ret = 0;
	*msg = (struct kws_message){ .opcode = WEBSOCKET_OP_CLOSE, .close_code = WS_CLOSE_ABNORMAL };
	if (engine_rx_ended(e) && !e->eof)
		msg->close_code = e->peer_code;
	else if (e->ended)
		e->eof = true;
	else
		return false;
	return true;
}

static void finish(struct take *t, struct kws_message *msg, unsigned int *nr)
{
	put_record(msg, t);
	if (nr)
		*nr = t->nr;
}

ssize_t engine_recv(struct engine *e, const struct iovec *iov, int count, int flags, struct kws_message *msg,
		    struct websocket_batch *batch, unsigned int *nr)
{
	struct take t = { .batch = batch, .to = { .iov = iov, .count = count } };
	unsigned int max = batch && nr ? *nr : 0;
	u64 deadline = 0;
	ssize_t ret;

	memset(msg, 0, sizeof(*msg));
	if (nr)
		*nr = 0;
	if (flags & (MSG_OOB | MSG_TRUNC))
		return -EOPNOTSUPP;
	for (int i = 0; i < count; i++)
		t.to.left += iov[i].iov_len;
	if (!engine_readable(e))
		engine_run(e);
	for (;;) {
		int err;

		if (engine_readable(e)) {
			if (receive(e, &t, flags, max)) {
				finish(&t, msg, nr);
				return t.to.done;
			}
			continue;
		}
		if (!t.to.done)
			engine_ask(e);
		if (!t.to.done && at_end(e, msg, &ret)) {
			if (ret)
				memset(msg, 0, sizeof(*msg));
			return ret;
		}
		/* MSG_WAITALL, and the rest will not come */
		err = t.to.done && (e->error || e->ended || e->ending || engine_rx_ended(e)) ? -EAGAIN :
			engine_wait(e, false, flags, &deadline);
		if (err && t.to.done) {
			if (max)
				batch_add(&t);
			finish(&t, msg, nr);
			return t.to.done;
		}
		memset(msg, 0, sizeof(*msg));
		if (err)
			return err;
		engine_run(e);
	}
}
