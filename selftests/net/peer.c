// SPDX-License-Identifier: GPL-2.0
/* See peer.h. */
#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"
#include "keys.h"
#include "peer.h"

#ifndef TCP_ULP
#define TCP_ULP	31
#endif

union address {
	struct sockaddr		any;
	struct sockaddr_in	v4;
	struct sockaddr_in6	v6;
};

static socklen_t loopback(union address *a, enum family family)
{
	memset(a, 0, sizeof(*a));
	if (family == IPV4) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(a->v4);
	}
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_addr = in6addr_loopback;
	if (family == MAPPED)
		must(inet_pton(AF_INET6, "::ffff:127.0.0.1", &a->v6.sin6_addr));
	return sizeof(a->v6);
}

void set_option(int fd, int level, int option, int value)
{
	must(setsockopt(fd, level, option, &value, sizeof(value)));
}

int tcp_listen(enum family family)
{
	union address a;
	socklen_t len = loopback(&a, family);
	int fd = must(socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));

	must(bind(fd, &a.any, len));
	must(listen(fd, 128));
	return fd;
}

/* The window that the handshake announces follows from the buffer. */
static void set_rcvbuf(int fd, int size)
{
	if (size)
		set_option(fd, SOL_SOCKET, SO_RCVBUF, size);
}

int tcp_connect(int listener, int rcvbuf)
{
	union address a;
	socklen_t len = sizeof(a);
	int fd;

	must(getsockname(listener, &a.any, &len));
	fd = must(socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	set_rcvbuf(fd, rcvbuf);
	must(connect(fd, &a.any, len));
	return fd;
}

void tcp_pair(enum family family, int *accepted, int *connected, int accepted_rcvbuf, int connected_rcvbuf)
{
	int listener = tcp_listen(family);

	set_rcvbuf(listener, accepted_rcvbuf);
	*connected = tcp_connect(listener, connected_rcvbuf);
	*accepted = must(accept(listener, NULL, NULL));
	close(listener);
}

/* A server accepts, a client connects. */
void link_open(struct link *l, const struct shape *shape)
{
	memset(l, 0, sizeof(*l));
	l->shape = *shape;
	if (shape->client)
		tcp_pair(shape->family, &l->peer, &l->ws, shape->peer_rcvbuf, shape->rcvbuf);
	else
		tcp_pair(shape->family, &l->ws, &l->peer, shape->rcvbuf, shape->peer_rcvbuf);
	set_option(l->peer, IPPROTO_TCP, TCP_NODELAY, 1);
	stream_init(&l->out, !shape->client);
	l->wire.fd = l->peer;
	l->wire.expect_mask = shape->client;
}

int ulp_attach(int fd)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "websocket", sizeof("websocket") - 1);
}

int ws_configure(int fd, const struct websocket_config *config)
{
	return setsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_CONFIG, config, sizeof(*config));
}

void link_configure(struct link *l, const struct websocket_config *config)
{
	struct websocket_config with_role = *config;

	if (l->shape.client)
		with_role.flags |= WEBSOCKET_F_CLIENT;
	must(ws_configure(l->ws, &with_role));
}

int ws_attach_tls(int fd, const struct websocket_config *config)
{
	return setsockopt(fd, SOL_IP, WEBSOCKET_ATTACH, config, sizeof(*config));
}

static unsigned int tls_version(const struct link *l)
{
	return l->shape.tls ?: link_tls;
}

/* Both ends get keys; what was written before is plain text and must have been read. */
static void start_tls(struct link *l, const struct websocket_config *config)
{
	struct websocket_config with_role = *config;

	if (l->shape.client)
		with_role.flags |= WEBSOCKET_F_CLIENT;
	tls_key(l->ws, tls_version(l), !l->shape.client);
	tls_key(l->peer, tls_version(l), l->shape.client);
	l->wire.tls = true;
	if (ws_attach_tls(l->ws, &with_role))
		fail("WEBSOCKET_ATTACH: %s: is the module loaded?", error_name(errno));
}

void link_start(struct link *l, const struct websocket_config *config)
{
	if (tls_version(l)) {
		start_tls(l, config);
		return;
	}
	if (ulp_attach(l->ws))
		fail("TCP_ULP: %s: is the module loaded?", error_name(errno));
	link_configure(l, config);
}

void link_start_default(struct link *l, const struct shape *shape)
{
	static const struct websocket_config defaults;

	link_open(l, shape);
	link_start(l, &defaults);
}

void link_start_narrow(struct link *l, int rcvbuf)
{
	struct shape shape = l->shape;

	link_close(l);
	shape.peer_rcvbuf = rcvbuf;
	link_start_default(l, &shape);
}

void link_close_ws(struct link *l)
{
	if (l->ws >= 0)
		close(l->ws);
	l->ws = -1;
}

void link_close_peer(struct link *l)
{
	if (l->peer >= 0)
		close(l->peer);
	l->peer = -1;
}

void link_reset_peer(struct link *l)
{
	struct linger now = { .l_onoff = 1 };

	must(setsockopt(l->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	link_close_peer(l);
}

void link_close(struct link *l)
{
	link_close_ws(l);
	link_close_peer(l);
	stream_free(&l->out);
	wire_free(&l->wire);
}

struct websocket_info ws_info(int fd)
{
	struct websocket_info info;
	socklen_t len = sizeof(info);

	must(getsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_INFO, &info, &len));
	equal(sizeof(info), len);
	return info;
}

/* Waits until this ioctl says 0. */
static void drained(int fd, unsigned long request)
{
	int left, rounds;

	for (rounds = 0; rounds < 60000; rounds++) {
		must(ioctl(fd, request, &left));
		if (!left)
			return;
		usleep(rounds < 20 ? 50 : 1000);
	}
	fail("%d bytes stay in the peer's send queue", left);
}

void peer_settle(struct link *l)
{
	int i;

	drained(l->peer, SIOCOUTQ);
	/* and decrypted: each call does that with some records */
	for (i = 0; tls_version(l) && l->ws >= 0 && i < 50; i++)
		ws_info(l->ws);
}

bool ws_stuck(struct link *l)
{
	int before, now, i;

	must(ioctl(l->ws, SIOCOUTQ, &before));
	for (i = 0; i < 30; i++) {
		usleep(10000);
		must(ioctl(l->ws, SIOCOUTQ, &now));
		if (now != before)
			return false;
	}
	return true;
}

static void write_piece(struct link *l, const unsigned char *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(l->peer, bytes, len, MSG_NOSIGNAL);

		if (n == -1 && (errno == EPIPE || errno == ECONNRESET))
			return;	/* the module has ended the connection: the test sees it where it reads */
		must(n);
		bytes += n;
		len -= n;
		drained(l->peer, SIOCOUTQNSD);
	}
}

/*
 * Cuts [from, to) into pieces. A long one is cut finely where it matters, at its ends, and coarsely between, in
 * pieces that are no multiple of a word: a million segments would only measure patience.
 */
static void write_cut(struct link *l, size_t from, size_t to, size_t piece)
{
	enum { FINE = 600, COARSE = 4093 };
	const unsigned char *bytes = l->out.bytes;
	size_t len = to - from, fine_until = from + FINE * piece, fine_again = to - FINE * piece;

	while (from < to) {
		size_t n = piece;

		if (len > 3 * FINE * piece && from >= fine_until && from < fine_again)
			n = fine_again - from < COARSE ? fine_again - from : COARSE;
		if (n > to - from)
			n = to - from;
		write_piece(l, bytes + from, n);
		from += n;
	}
}

void peer_write(struct link *l)
{
	struct stream *s = &l->out;
	size_t i, end;

	switch (l->shape.segmentation) {
	case SEGMENT_BYTE:
		write_cut(l, 0, s->len, 1);
		break;
	case SEGMENT_SEVEN:
		write_cut(l, 0, s->len, 7);
		break;
	case SEGMENT_ALL:
		write_piece(l, s->bytes, s->len);
		break;
	default:
		for (i = 0; i < s->count; i++) {
			struct mark *m = &s->marks[i];

			end = i + 1 < s->count ? m[1].start : s->len;
			if (l->shape.segmentation == SEGMENT_HEADER) {
				write_piece(l, s->bytes + m->start, m->payload - m->start);
				write_piece(l, s->bytes + m->payload, end - m->payload);
			} else {
				write_piece(l, s->bytes + m->start, end - m->start);
			}
		}
	}
	stream_clear(s);
}

void peer_write_raw(struct link *l, const void *bytes, size_t len)
{
	write_piece(l, bytes, len);
}

static void *feed(void *l)
{
	peer_write(l);
	return NULL;
}

void peer_feed(struct link *l)
{
	check(!pthread_create(&l->feeder, NULL, feed, l));
}

void peer_fed(struct link *l)
{
	check(!pthread_join(l->feeder, NULL));
}

void peer_expect_silence_(struct link *l)
{
	static const char payload[] = "are you there";

	put(&l->out, .opcode = OP_PING, .text = payload);
	peer_write(l);
	wire_expect_(&l->wire, OP_PONG, true, payload, strlen(payload));
}
