// SPDX-License-Identifier: GPL-2.0
/* kws bench: one connection; bench.h has the idea. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../kmod/core/mask.h"
#include "bench.h"
#include "tool.h"

static void lose(struct bench *b, struct bench_conn *c, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void lose(struct bench *b, struct bench_conn *c, const char *format, ...)
{
	va_list args;

	if (!b->lost++) {
		va_start(args, format);
		vsnprintf(b->why, sizeof(b->why), format, args);
		va_end(args);
	}
	b->under_way -= c->sent - c->answered;
	close(c->fd);
	c->fd = -1;
}

static void watch(struct bench *b, struct bench_conn *c, int how)
{
	struct epoll_event e = { .events = EPOLLIN | (c->want_write ? EPOLLOUT : 0), .data.ptr = c };

	if (epoll_ctl(b->epoll, how, c->fd, &e))
		fatal(EXIT_USAGE, "epoll: %s", strerror(errno));
}

void conn_init(struct bench *b, struct bench_conn *c, int fd)
{
	c->fd = fd;
	c->index = c - b->conns;
	watch(b, c, EPOLL_CTL_ADD);
}

/*
 * Sending
 */

static const uint8_t *text_of(const struct bench *b, uint64_t n)
{
	return b->text + n % WINDOWS;
}

/* RFC 6455 5.3: a fresh key for each frame, that the server cannot predict. */
static uint32_t masking_key(void)
{
	static uint32_t keys[256];
	static unsigned int left;

	if (!left) {
		if (getrandom(keys, sizeof(keys), 0) != sizeof(keys))
			fatal(EXIT_USAGE, "getrandom: %s", strerror(errno));
		left = 256;
	}
	return keys[--left];
}

/* Return: bytes written */
static size_t put_frame(uint8_t *p, uint8_t opcode, const uint8_t *payload, size_t n)
{
	uint32_t key = masking_key();
	size_t head = ws_frame_encode(p, opcode, true, n, true, key);

	ws_mask_copy(p + head, payload, n, key);
	return head + n;
}

/* Sends len bytes at data; what the socket does not take stays in c->out. */
static void push(struct bench *b, struct bench_conn *c, const uint8_t *data, size_t len)
{
	ssize_t n = 0;

	while (len && !c->out_len) {
		n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		data += n;
		len -= n;
	}
	if (n < 0 && errno != EAGAIN) {
		lose(b, c, "sending: %s", strerror(errno));
		return;
	}
	if (!len)
		return;
	c->out = realloc(c->out, c->out_len + len);
	if (!c->out)
		fatal(EXIT_USAGE, "no memory");
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
	if (!c->want_write) {
		c->want_write = true;
		watch(b, c, EPOLL_CTL_MOD);
	}
}

/* Writes what is left over. Return: the connection takes more. */
static bool flush(struct bench *b, struct bench_conn *c)
{
	while (c->out_done < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_done, c->out_len - c->out_done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			lose(b, c, "sending: %s", strerror(errno));
		if (n < 0)
			return false;
		c->out_done += n;
	}
	c->out_len = c->out_done = 0;
	if (c->want_write) {
		c->want_write = false;
		watch(b, c, EPOLL_CTL_MOD);
	}
	return true;
}

static void grow_ring(struct bench_conn *c)
{
	size_t size = c->ring ? 2 * c->ring : 8;
	uint64_t *ring = malloc(size * sizeof(*ring));

	if (!ring)
		fatal(EXIT_USAGE, "no memory");
	for (uint64_t n = c->answered; n < c->sent; n++)
		ring[n & (size - 1)] = c->sent_at[n & (c->ring - 1)];
	free(c->sent_at);
	c->sent_at = ring;
	c->ring = size;
}

/* Is the next message to be sent now? Nothing is due at the end and later. */
static bool is_due(const struct bench *b, const struct bench_conn *c, uint64_t now)
{
	uint64_t due = b->rate ? bench_due(b, c, c->sent) : now;

	if (!b->rate && c->sent - c->answered >= b->in_flight)
		return false;
	return due <= now && due < b->end;
}

static void note_sent(struct bench *b, struct bench_conn *c, uint64_t now, bool blocked)
{
	uint64_t due = b->rate ? bench_due(b, c, c->sent) : now;

	if (c->sent - c->answered == c->ring)
		grow_ring(c);
	c->sent_at[c->sent & (c->ring - 1)] = now;
	c->sent++;
	b->under_way++;
	if (due < b->measure)
		return;
	b->messages++;
	if (b->rate && !blocked)
		histogram_add(&b->late, now - due);
}

static void send_due(struct bench *b, struct bench_conn *c, bool blocked)
{
	uint64_t now = bench_now();

	while (c->fd >= 0 && !c->out_len && is_due(b, c, now)) {
		size_t len = 0;

		do {
			len += put_frame(b->buffer + len, b->opcode, text_of(b, c->sent), b->size);
			note_sent(b, c, now, blocked);
		} while (b->buffer_size - len >= b->size + WS_HEADER_MAX && is_due(b, c, now));
		push(b, c, b->buffer, len);
	}
}

void conn_send(struct bench *b, struct bench_conn *c)
{
	send_due(b, c, false);
}

/*
 * Receiving
 */

static void answered(struct bench *b, struct bench_conn *c, uint64_t now)
{
	uint64_t sent = c->sent_at[c->answered & (c->ring - 1)], due = b->rate ? bench_due(b, c, c->answered) : sent;

	c->answered++;
	b->under_way--;
	if (due < b->measure)
		return;
	b->answers++;
	histogram_add(&b->response, now - due);
	histogram_add(&b->service, now - sent);
}

/* n bytes of a message. Return: they are what was sent. */
static bool is_right(const struct bench *b, const struct bench_conn *c, const uint8_t *p, size_t n)
{
	return c->answered < c->sent && c->offset + n <= b->size &&
	       !memcmp(p, text_of(b, c->answered) + c->offset, n);
}

/* A control frame is complete. */
static void control(struct bench *b, struct bench_conn *c)
{
	uint8_t frame[WS_HEADER_MAX + WS_CONTROL_MAX];

	if (c->frame.opcode == WS_OP_PING)
		push(b, c, frame, put_frame(frame, WS_OP_PONG, c->control, c->frame.len));
	else if (c->frame.opcode == WS_OP_CLOSE)
		lose(b, c, "the server sent Close %u", c->frame.len < 2 ? 1005 : c->control[0] << 8 | c->control[1]);
}

/* The frame has got n bytes at p, which may be the last ones. */
static void payload(struct bench *b, struct bench_conn *c, const uint8_t *p, size_t n, uint64_t now)
{
	bool is_control = ws_op_is_control(c->frame.opcode);

	if (is_control)
		memcpy(c->control + c->frame.len - c->left, p, n);
	else if (!is_right(b, c, p, n) || (c->frame.opcode && c->frame.opcode != b->opcode))
		fatal(EXIT_FAILED, "the server does not echo: its message differs from what was sent");
	c->left -= n;
	if (!is_control)
		c->offset += n;
	if (c->left)
		return;
	c->in_payload = false;
	if (is_control) {
		control(b, c);
		return;
	}
	c->open = !c->frame.fin;
	if (c->open)
		return;
	if (c->offset != b->size)
		fatal(EXIT_FAILED, "the server does not echo: its message is shorter than what was sent");
	c->offset = 0;
	answered(b, c, now);
}

/* Takes bytes of a header. Return: how many. */
static size_t header(struct bench *b, struct bench_conn *c, const uint8_t *p, size_t n)
{
	unsigned int had = c->head_len, room = WS_HEADER_MAX - had, take = n < room ? n : room;
	int size;

	memcpy(c->head + had, p, take);
	size = ws_frame_decode(&c->frame, c->head, had + take, false, c->open);
	if (size < 0)
		lose(b, c, "the server sent a frame that RFC 6455 forbids");
	if (size <= 0) {
		c->head_len += take;
		return take;
	}
	c->head_len = 0;
	c->in_payload = true;
	c->left = c->frame.len;
	return size - had;
}

static void parse(struct bench *b, struct bench_conn *c, const uint8_t *p, size_t n, uint64_t now)
{
	while (c->fd >= 0 && (n || (c->in_payload && !c->left))) {
		size_t take;

		if (c->in_payload) {
			take = n < c->left ? n : c->left;
			payload(b, c, p, take, now);
		} else {
			take = header(b, c, p, n);
		}
		p += take;
		n -= take;
	}
}

static void receive(struct bench *b, struct bench_conn *c)
{
	/* its own buffer: a ping among the messages is answered from here */
	static uint8_t in[BUFFER_SIZE];
	ssize_t n;

	do {
		n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);
		if (n > 0)
			parse(b, c, in, n, bench_now());
		else if (!n)
			lose(b, c, "the server ended the connection");
		else if (errno != EAGAIN && errno != EINTR)
			lose(b, c, "%s", strerror(errno));
	} while (c->fd >= 0 && n == sizeof(in));
	if (c->fd >= 0 && !b->rate)
		send_due(b, c, false);
}

void conn_event(struct bench *b, struct bench_conn *c, uint32_t events)
{
	if (c->fd >= 0 && events & EPOLLOUT && flush(b, c))
		send_due(b, c, true);
	if (c->fd >= 0 && events & ~EPOLLOUT)
		receive(b, c);
}

/*
 * Messages that were due and could not even be sent: a fast schedule owes more of them than can be gone through one by one, but
 * the times of those that follow each other are in one bucket.
 */
static void count_unsent(struct bench *b, struct bench_conn *c, uint64_t now)
{
	uint64_t n = bench_first(b, c, b->measure), end = bench_first(b, c, b->end), after;

	for (n = n > c->sent ? n : c->sent; n < end; n = after) {
		uint64_t longest = now - bench_due(b, c, n);

		/* all that have waited as long as the bucket's smallest */
		after = bench_first(b, c, now - histogram_bucket(longest) + 1);
		after = after < end ? after : end;
		histogram_add_run(&b->response, now - bench_due(b, c, after - 1), longest, after - n);
		b->messages += after - n;
		b->unanswered += after - n;
	}
}

void conn_finish(struct bench *b, struct bench_conn *c)
{
	static const uint8_t normal[] = { 1000 >> 8, 1000 & 0xff };
	uint64_t now = bench_now();
	uint8_t frame[WS_HEADER_MAX + sizeof(normal)];

	for (uint64_t n = c->answered; n < c->sent; n++) {
		uint64_t sent = c->sent_at[n & (c->ring - 1)], due = b->rate ? bench_due(b, c, n) : sent;

		if (due < b->measure)
			continue;
		b->unanswered++;
		histogram_add(&b->response, now - due);
		histogram_add(&b->service, now - sent);
	}
	if (b->rate)
		count_unsent(b, c, now);
	if (c->fd >= 0) {
		if (!c->out_len)
			push(b, c, frame, put_frame(frame, WS_OP_CLOSE, normal, sizeof(normal)));
		close(c->fd);
	}
	free(c->out);
	free(c->sent_at);
}
