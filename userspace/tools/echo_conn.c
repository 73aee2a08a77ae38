// SPDX-License-Identifier: GPL-2.0
/* kws echo: one connection; echo.h has the idea. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"
#include "tool.h"

/**
 * struct output - messages to be sent, back to back
 * @data, @len: their bytes
 * @batch, @count: one entry a message; the first one's length shrinks when a part of it is sent
 * @open: the first one's beginning was sent: it needs no opcode any more
 */
struct output {
	const char *data;
	size_t len;
	struct websocket_batch *batch;
	unsigned int count;
	bool open;
};

/* The same, with its own memory: data behind the entries. */
struct unsent {
	struct output out;
	struct websocket_batch batch[];
};

static void link_to(struct conn **list, struct conn *c)
{
	c->list = list;
	c->prev = NULL;
	c->next = *list;
	if (*list)
		(*list)->prev = c;
	*list = c;
}

static void unlink_from(struct conn *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		*c->list = c->next;
	if (c->next)
		c->next->prev = c->prev;
}

void conn_drop(struct server *s, struct conn *c, const char *why)
{
	if (s->verbose)
		fprintf(stderr, "kws echo: connection %d ends: %s\n", c->fd, why);
	close(c->fd);
	kws_handshake_free(c->hs);
	free(c->unsent);
	unlink_from(c);
	free(c);
	s->connections--;
}

/* Return: false: no memory to watch it, possible only the first time. */
static bool watch(struct server *s, struct conn *c, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (c->events == events)
		return true;
	if (epoll_ctl(s->epoll, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e))
		return false;
	c->events = events;
	return true;
}

void conn_new(struct server *s, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c)
		c->hs = s->tls ? kws_tls_accept_start(fd, s->tls, &s->options) : kws_accept_start(fd, &s->options);
	if (!c || !c->hs) {
		if (s->verbose)
			fprintf(stderr, "kws echo: connection %d is dropped: %s\n", fd, strerror(errno));
		free(c);
		close(fd);
		return;
	}
	c->fd = fd;
	link_to(&s->handshakes, c);
	s->connections++;
	if (watch(s, c, EPOLLIN))
		conn_ready(s, c);
	else
		conn_drop(s, c, "no memory to watch it");
}

/*
 * Sending
 */

/* Takes n sent bytes off the front: whole messages, or what was sent of the first one. */
static void advance(struct output *o, size_t n)
{
	o->data += n;
	o->len -= n;
	do {
		if (n < o->batch->len) {
			o->batch->len -= n;
			o->open = true;
			return;
		}
		n -= o->batch->len;
		o->open = false;
		o->batch++;
		o->count--;
	} while (n);
}

/* How many messages, of len bytes, can go with one call. Empty ones go alone: bytes returned would not tell of them. */
static unsigned int run_of_messages(const struct output *o, size_t *len)
{
	const uint8_t whole = WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END;
	unsigned int n = 0;

	*len = 0;
	while (!o->open && n < o->count && o->batch[n].len && (o->batch[n].flags & whole) == whole)
		*len += o->batch[n++].len;
	return n;
}

/* Sends until all is gone. Return: 0, -EAGAIN, or why the connection failed. */
static int send_output(int fd, struct output *o)
{
	while (o->count) {
		struct websocket_batch *first = o->batch;
		bool begun = o->open || !(first->flags & WEBSOCKET_MSG_BEGIN);
		int more = first->flags & WEBSOCKET_MSG_END ? 0 : MSG_MORE;
		size_t len;
		unsigned int run = run_of_messages(o, &len);
		ssize_t n;

		if (run > 1)
			n = kws_send_batch(fd, o->data, len, MSG_DONTWAIT, first, run);
		else
			n = kws_send(fd, begun ? 0 : first->opcode, o->data, first->len, MSG_DONTWAIT | more);
		if (n == -EINTR)
			continue;
		if (n < 0)
			return n;
		advance(o, n);
	}
	return 0;
}

/* Keeps what a send left over. Return: 0 or -ENOMEM. */
static int keep(struct conn *c, const struct output *o)
{
	struct unsent *u = malloc(sizeof(*u) + o->count * sizeof(*o->batch) + o->len);
	char *data;

	if (!u)
		return -ENOMEM;
	data = (char *)(u->batch + o->count);
	memcpy(u->batch, o->batch, o->count * sizeof(*o->batch));
	memcpy(data, o->data, o->len);
	u->out = *o;
	u->out.batch = u->batch;
	u->out.data = data;
	c->unsent = u;
	return 0;
}

/* Return: false: the connection is gone. */
static bool flush(struct server *s, struct conn *c)
{
	int err = send_output(c->fd, &c->unsent->out);

	if (err == -EAGAIN)
		return true;
	if (err && err != -EPIPE) {
		conn_drop(s, c, kws_strerror(err));
		return false;
	}
	/* EPIPE: the peer has closed; what it sent before can still be read */
	free(c->unsent);
	c->unsent = NULL;
	watch(s, c, EPOLLIN);
	return true;
}

/*
 * Receiving
 */

/* Sends n received bytes back. Return: 0, -EAGAIN: not all, the rest is kept; or why the connection failed. */
static int echo(struct server *s, struct conn *c, size_t n, unsigned int count)
{
	struct output o = { .data = s->buffer, .len = n, .batch = s->batch, .count = count };
	int err = send_output(c->fd, &o);

	if (err == -EPIPE)
		return 0;
	if (err != -EAGAIN)
		return err;
	err = keep(c, &o);
	if (err)
		return err;
	watch(s, c, EPOLLOUT);
	return -EAGAIN;
}

static void receive(struct server *s, struct conn *c)
{
	for (int turn = 0; turn < TURN; turn++) {
		unsigned int count = WEBSOCKET_BATCH_MAX;
		struct kws_message msg;
		ssize_t n = kws_recv_batch(c->fd, s->buffer, sizeof(s->buffer), MSG_DONTWAIT, s->batch, &count, &msg);
		int err = 0;

		if (n == -EAGAIN)
			return;
		if (n == -EINTR)
			continue;
		if (n < 0) {
			conn_drop(s, c, kws_strerror(n));
			return;
		}
		if (!count) {
			conn_drop(s, c, "closed");
			return;
		}
		if (!s->quitting)
			err = echo(s, c, n, count);
		if (err == -EAGAIN)
			return;
		if (err) {
			conn_drop(s, c, kws_strerror(err));
			return;
		}
	}
}

/*
 * The handshake
 */

/* Each client gets a 503 then, and nobody here would know: said once, in the words of the library. */
static void say_no_module(const struct server *s, const struct conn *c)
{
	static bool said;

	if (kws_handshake_error(c->hs) == -ENOENT && !s->verbose && !said)
		fprintf(stderr, "kws echo: clients are refused: %s\n", kws_handshake_message(c->hs));
	said |= kws_handshake_error(c->hs) == -ENOENT;
}

/* Whom a proxy stands for, and what it says of him in a header. */
static void say_open(const struct conn *c)
{
	const char *forwarded = kws_handshake_header(c->hs, "X-Forwarded-For", 0);
	char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
	struct sockaddr_storage addr;
	socklen_t len = kws_handshake_client(c->hs, &addr);

	if (len)
		getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	fprintf(stderr, "kws echo: connection %d is open%s%s%s%s%s", c->fd, len ? ", for " : "", host,
		len ? " port " : "", port, forwarded ? ", X-Forwarded-For: " : "");
	put_plain(stderr, forwarded ? forwarded : "");
	putc('\n', stderr);
}

static void upgraded(struct server *s, struct conn *c)
{
	if (s->verbose)
		say_open(c);
	kws_handshake_free(c->hs);
	c->hs = NULL;
	unlink_from(c);
	link_to(&s->open, c);
	watch(s, c, EPOLLIN);
	receive(s, c);
}

static void go_on_shaking(struct server *s, struct conn *c)
{
	for (;;) {
		int result = kws_handshake_run(c->hs);

		switch (result) {
		case KWS_REQUEST:
			if (!kws_handshake_is_upgrade(c->hs))
				kws_handshake_answer(c->hs, 200, "text/html; charset=utf-8", s->page, s->page_len);
			continue;
		case KWS_WANT_READ:
			watch(s, c, EPOLLIN);
			return;
		case KWS_WANT_WRITE:
			watch(s, c, EPOLLOUT);
			return;
		case KWS_DONE:
			upgraded(s, c);
			return;
		default:
			say_no_module(s, c);
			conn_drop(s, c, kws_handshake_error(c->hs) ? kws_handshake_message(c->hs) : "answered");
			return;
		}
	}
}

void conn_ready(struct server *s, struct conn *c)
{
	if (c->hs)
		go_on_shaking(s, c);
	else if (!c->unsent || (flush(s, c) && !c->unsent))
		receive(s, c);
}

void conn_quit(struct server *s, struct conn *c)
{
	int err = kws_close(c->fd, 1001, "the server ends");

	if (err && err != -EPIPE) {
		conn_drop(s, c, kws_strerror(err));
		return;
	}
	free(c->unsent);
	c->unsent = NULL;
	watch(s, c, EPOLLIN);
}
