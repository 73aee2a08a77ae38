// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The user-space engine sends: messages into frames, and frames to the transport. kmod/sendmsg.c and tx.c have the reasons.
 *
 * A frame of which the transport took a part has to be finished before anything else: its rest is kept, counts as sent, and goes
 * first. So every short send ends at a frame boundary, and a control frame can always follow.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "engine.h"

#define SMALL	2048	/* frames built on the stack */

/* Appends to what waits. False: no memory; a frame that was begun can never be finished then. */
static bool rest_add(struct engine *e, const struct iovec *iov, int count, size_t skip)
{
	size_t len = e->rest_len;
	u8 *rest;

	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	rest = malloc(len - skip);
	if (!rest)
		return false;
	if (e->rest)
		memcpy(rest, e->rest + e->rest_off, e->rest_len);
	free(e->rest);
	e->rest = rest;
	e->rest_off = 0;
	for (int i = 0; i < count; i++) {
		size_t n = iov[i].iov_len, s = skip < n ? skip : n;

		memcpy(rest + e->rest_len, (u8 *)iov[i].iov_base + s, n - s);
		e->rest_len += n - s;
		skip -= s;
	}
	return true;
}

/* The transport cannot send any more. */
static int write_failed(struct engine *e, int err)
{
	/* behind the peer's FIN this is a reset, if we have not ended our side; an ending that was found is the one that is said */
	if (!engine_rx_ended(e) && !e->ending && !e->eof)
		engine_set_error(e, err == -EPIPE && !e->fin_sent ? ECONNRESET : -err);
	e->cut |= e->rest && !e->fin_sent;
	free(e->rest);
	e->rest = NULL;
	e->rest_len = 0;
	return e->error ? -e->error : -EPIPE;
}

int engine_flush(struct engine *e)
{
	while (e->rest) {
		struct iovec iov = { e->rest + e->rest_off, e->rest_len };
		ssize_t n = e->transport->write(e->ctx, &iov, 1, false);

		if (!n || n == -EAGAIN)
			return -EAGAIN;
		if (n < 0)
			return write_failed(e, n);
		e->flushed += n;
		e->rest_off += n;
		e->rest_len -= n;
		if (!e->rest_len) {
			free(e->rest);
			e->rest = NULL;
		}
	}
	return 0;
}

/* Sends frames, with nothing waiting. Return: 0: they are out, or the rest of them waits; -EAGAIN: nothing was taken. */
static int write_frames(struct engine *e, const struct iovec *iov, int count, bool more)
{
	size_t size = 0;
	ssize_t n;

	if (e->cut)
		return -EPIPE;
	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	n = e->transport->write(e->ctx, iov, count, more);
	if (n < 0)
		return n == -EAGAIN ? n : write_failed(e, n);
	if ((size_t)n < size && !rest_add(e, iov, count, n)) {
		e->cut = true;
		return write_failed(e, -ENOMEM);
	}
	return 0;
}

/* Copies @n bytes, from @off on, of what the caller gave. */
static void gather(u8 *to, const struct iovec *iov, size_t off, size_t n)
{
	for (; n; iov++) {
		size_t len;

		if (off >= iov->iov_len) {
			off -= iov->iov_len;
			continue;
		}
		len = iov->iov_len - off < n ? iov->iov_len - off : n;
		memcpy(to, (u8 *)iov->iov_base + off, len);
		to += len;
		n -= len;
		off = 0;
	}
}

/* Writes a frame at @to, which has room for it. Return: 0 and its size, or an errno: there is no masking key. */
static int put_frame(const struct engine *e, u8 *to, size_t *size, u8 opcode, bool fin, const struct iovec *iov, size_t off,
		     size_t n)
{
	unsigned int head;
	u32 key = 0;
	int err = engine_client(e) ? engine_random(&key) : 0;

	if (err)
		return err;
	head = ws_frame_encode(to, opcode, fin, n, engine_client(e), key);
	gather(to + head, iov, off, n);
	if (key)
		ws_mask_copy(to + head, to + head, n, key);
	*size = head + n;
	return 0;
}

int engine_send_control(struct engine *e, u8 opcode, const void *data, size_t len)
{
	u8 frame[WS_HEADER_MAX + WS_CONTROL_MAX];
	struct iovec from = { (void *)data, len }, iov = { frame, 0 };
	int flushed = engine_flush(e);
	int err = put_frame(e, frame, &iov.iov_len, opcode, true, &from, 0, len);

	if (err)
		return err;
	err = flushed;
	if (!err)
		err = write_frames(e, &iov, 1, false);
	/* there is one Close for each connection: it waits with the rest */
	if (err == -EAGAIN && opcode == WS_OP_CLOSE)
		err = rest_add(e, &iov, 1, 0) ? 0 : -ENOMEM;
	return err;
}

static int send_error(const struct engine *e)
{
	if (e->error)
		return -e->error;
	return e->state == WEBSOCKET_STATE_OPEN ? 0 : -EPIPE;
}

/* Waits for the transport. Then everything may be different: what has come meanwhile is looked at. Return: 0, or an errno. */
static int wait_writable(struct engine *e, int flags, u64 *deadline)
{
	int err = engine_wait(e, true, flags, deadline);

	if (!err)
		engine_run(e);
	return err;
}

/* Waits until a frame may be sent. Return: 0, or an errno. */
static int wait_room(struct engine *e, int flags, u64 *deadline)
{
	for (;;) {
		int err = send_error(e);

		if (!err)
			err = engine_flush(e);
		if (err != -EAGAIN)
			return err;
		err = wait_writable(e, flags, deadline);
		if (err)
			return err;
	}
}

/* One frame of a message. Return: 0, -EAGAIN, or an errno. */
static int send_frame(struct engine *e, u8 opcode, bool fin, const struct iovec *iov, int count, size_t off, size_t n,
		      bool more)
{
	u8 small[SMALL], *frame = small;
	u8 op = e->tx_opcode ? WS_OP_CONTINUATION : opcode;
	struct iovec out[2] = { { frame, 0 } };
	int err = 0, pieces = 1;

	if (n + WS_HEADER_MAX <= SMALL) {
		err = put_frame(e, frame, &out[0].iov_len, op, fin, iov, off, n);
	} else if (!engine_client(e) && count == 1) {
		/* straight from the caller's buffer */
		out[0].iov_len = ws_frame_encode(frame, op, fin, n, false, 0);
		out[1] = (struct iovec){ (u8 *)iov->iov_base + off, n };
		pieces = 2;
	} else {
		frame = malloc(n + WS_HEADER_MAX);
		if (!frame)
			return -ENOMEM;
		out[0].iov_base = frame;
		err = put_frame(e, frame, &out[0].iov_len, op, fin, iov, off, n);
	}
	if (!err)
		err = write_frames(e, out, pieces, more);
	if (frame != small)
		free(frame);
	if (err)
		return err;
	e->tx_opcode = fin ? 0 : e->tx_opcode ? e->tx_opcode : opcode;
	e->tx_frames++;
	e->tx_bytes += n;
	e->tx_messages += fin;
	return 0;
}

static bool is_data(u8 opcode)
{
	return opcode == WS_OP_TEXT || opcode == WS_OP_BINARY;
}

static bool is_known(int opcode)
{
	return !opcode || is_data(opcode) || opcode == WS_OP_CLOSE || opcode == WS_OP_PING || opcode == WS_OP_PONG;
}

/* PING, PONG and CLOSE from the application (RFC 6455 5.5). */
static ssize_t send_app_control(struct engine *e, u8 opcode, const struct iovec *iov, size_t n, int flags)
{
	u8 data[WS_CONTROL_MAX];
	u64 deadline = 0;
	u16 code;
	int err;

	if (n > WS_CONTROL_MAX)
		return -EMSGSIZE;
	if (flags & MSG_MORE)
		return -EINVAL;
	gather(data, iov, 0, n);
	if (opcode == WS_OP_CLOSE) {
		err = send_error(e);
		if (err)
			return err;
		if (ws_close_check(data, n, &code))
			return -EINVAL;
		engine_send_close(e, data, n);
		return n;
	}
	do {
		err = wait_room(e, flags, &deadline);
		if (err)
			return err;
		err = engine_send_control(e, opcode, data, n);
		if (err == -EAGAIN) {
			int wait = wait_writable(e, flags, &deadline);

			if (wait)
				return wait;
		}
	} while (err == -EAGAIN);
	if (err)
		return err;
	if (opcode == WS_OP_PING)
		e->tx_pings++;
	else
		e->tx_pongs++;
	return n;
}

ssize_t engine_send(struct engine *e, int given, const struct iovec *iov, int count, int flags)
{
	u8 opcode = given ? given : e->flags & WEBSOCKET_F_TEXT ? WS_OP_TEXT : WS_OP_BINARY;
	bool more = flags & MSG_MORE;
	size_t n = 0, done = 0;
	u64 deadline = 0;
	int err;

	if (flags & (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN))
		return -EOPNOTSUPP;
	if (!is_known(given))
		return -EINVAL;
	for (int i = 0; i < count; i++)
		n += iov[i].iov_len;
	engine_run(e);
	if (given && !is_data(given))
		return send_app_control(e, given, iov, n, flags);
	/* an open message goes on (RFC 6455 5.4): with its own opcode or none */
	if (e->tx_opcode && given && given != e->tx_opcode)
		return -EINVAL;
	for (;;) {
		size_t len = n - done < FRAME_MAX ? n - done : FRAME_MAX;

		err = wait_room(e, flags, &deadline);
		if (err)
			break;
		err = send_frame(e, opcode, !more && len == n - done, iov, count, done, len, more);
		if (err == -EAGAIN) {
			err = wait_writable(e, flags, &deadline);
			if (!err)
				continue;
		}
		if (err)
			break;
		done += len;
		if (done == n)
			break;
	}
	return done ? (ssize_t)done : err;
}

/* The lengths of a batch add up to the buffer, and its entries are data messages. */
static bool batch_valid(const struct websocket_batch *batch, unsigned int nr, size_t size)
{
	u64 sum = 0;

	for (unsigned int i = 0; i < nr; i++) {
		if (!is_data(batch[i].opcode) || batch[i].reserved ||
		    batch[i].flags & ~(WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END))
			return false;
		sum += batch[i].len;
	}
	return nr && nr <= WEBSOCKET_BATCH_MAX && sum == size;
}

/* The messages at the start of a batch that go out with one write: at least one. Return: how many, or an errno. */
static int send_some(struct engine *e, const struct iovec *iov, size_t off, const struct websocket_batch *batch,
		     unsigned int nr)
{
	size_t room = WS_HEADER_MAX + batch->len, used = 0;
	struct iovec out;
	unsigned int i;
	int err = 0;
	u8 *buf;

	for (i = 1; i < nr && room + WS_HEADER_MAX + batch[i].len <= BATCH_SIZE; i++)
		room += WS_HEADER_MAX + batch[i].len;
	nr = i;
	buf = malloc(room);
	if (!buf)
		return -ENOMEM;
	for (i = 0; i < nr && !err; i++) {
		size_t size = 0;

		err = put_frame(e, buf + used, &size, batch[i].opcode, true, iov, off, batch[i].len);
		used += size;
		off += batch[i].len;
	}
	out = (struct iovec){ buf, used };
	if (!err)
		err = write_frames(e, &out, 1, false);
	free(buf);
	if (err)
		return err;
	for (i = 0; i < nr; i++) {
		e->tx_frames++;
		e->tx_messages++;
		e->tx_bytes += batch[i].len;
	}
	return nr;
}

ssize_t engine_send_batch(struct engine *e, const struct iovec *iov, int count, int flags,
			  const struct websocket_batch *batch, unsigned int nr)
{
	size_t n = 0, done = 0;
	u64 deadline = 0;
	int err = 0;

	if (flags & (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN))
		return -EOPNOTSUPP;
	for (int i = 0; i < count; i++)
		n += iov[i].iov_len;
	if (!batch_valid(batch, nr, n) || flags & MSG_MORE)
		return -EINVAL;
	engine_run(e);
	while (nr) {
		err = wait_room(e, flags, &deadline);
		if (!err)
			err = e->tx_opcode ? -EINVAL : send_some(e, iov, done, batch, nr);
		if (err == -EAGAIN)
			err = wait_writable(e, flags, &deadline);
		if (err < 0)
			break;
		for (; err; err--, nr--)
			done += batch++->len;
	}
	return done ? (ssize_t)done : err < 0 ? err : 0;
}
