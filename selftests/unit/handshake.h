/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A handshake on one end of a TCP connection over loopback, and a peer that writes bytes on the other end, in pieces of
 * any size, all in one thread: whatever the peer has written is there when the handshake runs.
 */
#ifndef TEST_HANDSHAKE_H
#define TEST_HANDSHAKE_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kws.h"
#include "tap.h"

struct pair {
	int fd;		/* for the handshake */
	int peer;
};

static inline void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static inline int listener(struct sockaddr_storage *addr, socklen_t *len, int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	memset(addr, 0, sizeof(*addr));
	addr->ss_family = family;
	*len = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	if (family == AF_INET6)
		((struct sockaddr_in6 *)addr)->sin6_addr = in6addr_loopback;
	else
		((struct sockaddr_in *)addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (void *)addr, *len) || listen(fd, 8) || getsockname(fd, (void *)addr, len))
		die("listening on loopback");
	return fd;
}

static inline struct pair pair_open(void)
{
	struct sockaddr_storage addr;
	struct pair p;
	socklen_t len;
	int on = 1, l = listener(&addr, &len, AF_INET);

	p.peer = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(p.peer, (void *)&addr, len))
		die("connecting over loopback");
	p.fd = accept(l, NULL, NULL);
	setsockopt(p.peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	close(l);
	return p;
}

static inline void pair_close(struct pair *p)
{
	close(p->fd);
	close(p->peer);
}

static inline bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* What is there to read, up to size - 1 bytes and a NUL. */
static inline size_t drain(int fd, char *buf, size_t size)
{
	size_t len = 0;

	while (len < size - 1 && readable(fd, len ? 0 : 1000)) {
		ssize_t n = recv(fd, buf + len, size - 1 - len, MSG_DONTWAIT);

		if (n <= 0)
			break;
		len += n;
	}
	buf[len] = 0;
	return len;
}

/**
 * struct trial - one handshake against a peer that writes fixed bytes
 * @step: bytes that the peer writes at a time; 0: all
 * @decide: called at KWS_REQUEST, may be NULL
 * @result, @status, @error: what came of it
 * @message: kws_handshake_message()
 * @answer: what the peer received
 * @left: what the handshake left in the socket
 */
struct trial {
	const char *bytes;
	size_t len;
	size_t step;
	struct kws_options opt;
	void (*decide)(struct kws_handshake *hs);
	int result, status, error;
	char message[200];
	char answer[4096];
	char left[4096];
	size_t left_len;
};

/* The peer's next piece, or its end. */
static inline void peer_goes_on(struct trial *t, struct pair *p, size_t *written)
{
	size_t n = t->len - *written;

	if (t->step && n > t->step)
		n = t->step;
	/* Nothing is readable now: a head that is incomplete must not keep poll() from sleeping. */
	CHECK(!readable(p->fd, 0), "after %zu bytes the socket is readable, but KWS_WANT_READ was returned", *written);
	if (!n)
		shutdown(p->peer, SHUT_WR);
	else if (send(p->peer, t->bytes + *written, n, MSG_NOSIGNAL) != (ssize_t)n)
		die("writing");
	*written += n;
	if (!readable(p->fd, 5000))
		die("loopback lost bytes");
}

static inline void run_server(struct trial *t)
{
	struct pair p = pair_open();
	struct kws_handshake *hs = kws_accept_start(p.fd, &t->opt);
	size_t written = 0;

	if (!hs)
		die("kws_accept_start");
	for (int rounds = 0; rounds < 100000; rounds++) {
		t->result = kws_handshake_run(hs);
		if (t->result == KWS_REQUEST) {
			CHECK(kws_handshake_is_upgrade(hs) || t->opt.flags & KWS_F_PLAIN, "not asked for");
			if (t->decide)
				t->decide(hs);
		} else if (t->result == KWS_WANT_READ) {
			peer_goes_on(t, &p, &written);
		} else {
			break;
		}
	}
	CHECK(kws_handshake_run(hs) == t->result, "the result %d does not stay", t->result);
	t->status = kws_handshake_status(hs);
	t->error = kws_handshake_error(hs);
	snprintf(t->message, sizeof(t->message), "%s", kws_handshake_message(hs));
	if (t->status)
		drain(p.peer, t->answer, sizeof(t->answer));
	else
		t->answer[0] = 0;
	/* what the peer would still have written belongs to what is left */
	if (t->result == KWS_DONE && written < t->len)
		CHECK(send(p.peer, t->bytes + written, t->len - written, 0) > 0, "writing the rest");
	if (written < t->len || t->result == KWS_DONE)
		shutdown(p.peer, SHUT_WR);
	t->left_len = t->result == KWS_DONE ? drain(p.fd, t->left, sizeof(t->left)) : 0;
	kws_handshake_free(hs);
	pair_close(&p);
}

#endif
