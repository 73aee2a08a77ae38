// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * epoll-server [PORT [CERTIFICATE KEY]]: a server for many clients in one thread, with epoll: sends back what it gets. It runs on the
 * kernel's protocol, or without the module on the library's engine; with a certificate over TLS.
 *
 * cc epoll-server.c -lkws-tls -lkws
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <kws_tls.h>

struct client {
	int fd;
	struct kws_handshake *hs;	/* NULL: done, c is the connection */
	struct kws_conn *c;
	struct client *next;
};

static struct client *list;
static struct kws_tls *tls;
static int epoll_fd, listener;
static bool full;	/* no more descriptors, say: who wants to come in waits for a moment */

static void watch(struct client *cl, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = cl };

	epoll_ctl(epoll_fd, op, cl->fd, &ev);
}

static void drop(struct client *cl)
{
	struct client **p = &list;

	while (*p != cl)
		p = &(*p)->next;
	*p = cl->next;
	kws_handshake_free(cl->hs);
	if (cl->c)
		kws_conn_free(cl->c);
	else
		close(cl->fd);
	free(cl);
}

/* All that is there. A client that does not read what it is sent is not heard either: the send waits a moment, then gives up. */
static void echo(struct client *cl)
{
	static char buf[65536];
	struct kws_message msg;
	ssize_t n, sent;

	while ((n = kws_conn_recv(cl->c, buf, sizeof(buf), MSG_DONTWAIT, &msg)) >= 0 && !kws_is_end(&msg)) {
		sent = kws_conn_send(cl->c, msg.begin ? msg.opcode : 0, buf, n, msg.end ? 0 : MSG_MORE);
		if (sent != n) {
			n = -ETIMEDOUT;		/* the moment is over, or the connection */
			break;
		}
	}
	if (n != -EAGAIN)
		drop(cl);
	else
		watch(cl, EPOLL_CTL_MOD, kws_conn_events(cl->c));
}

static void handshake(struct client *cl)
{
	int r = kws_handshake_run(cl->hs);

	if (r == KWS_REQUEST)
		r = kws_handshake_run(cl->hs);
	if (r == KWS_WANT_READ || r == KWS_WANT_WRITE) {
		watch(cl, EPOLL_CTL_MOD, r == KWS_WANT_READ ? EPOLLIN : EPOLLOUT);
		return;
	}
	if (r == KWS_DONE)
		cl->c = tls ? kws_tls_conn_new(cl->hs) : kws_conn_new(cl->fd, NULL, KWS_ENGINE_ANY);
	if (!cl->c) {
		drop(cl);
		return;
	}
	kws_handshake_free(cl->hs);
	cl->hs = NULL;
	fcntl(cl->fd, F_SETFL, fcntl(cl->fd, F_GETFL) & ~O_NONBLOCK);
	setsockopt(cl->fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ .tv_sec = 5 }, sizeof(struct timeval));
	echo(cl);
}

static void let_in(bool now)
{
	struct epoll_event ev = { .events = now ? EPOLLIN : 0 };

	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, listener, &ev);
	full = !now;
}

static void new_client(void)
{
	static const struct kws_options opt = { .flags = KWS_F_NO_START };
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *cl = fd < 0 ? NULL : calloc(1, sizeof(*cl));

	if (!cl) {
		let_in(false);
		if (fd >= 0)
			close(fd);
		return;
	}
	cl->fd = fd;
	cl->next = list;
	list = cl;
	cl->hs = tls ? kws_tls_accept_start(fd, tls, &opt) : kws_accept_start(fd, &opt);
	if (cl->hs)
		watch(cl, EPOLL_CTL_ADD, EPOLLIN);
	else
		drop(cl);
}

/* Time has come for a client: that of its handshake is over, or it is for the library's engine; the kernel needs no help. */
static void run(struct client *cl)
{
	if (cl->hs)
		handshake(cl);
	else if (kws_conn_run(cl->c))
		echo(cl);
	else
		watch(cl, EPOLL_CTL_MOD, kws_conn_events(cl->c));
}

/* Runs those whose time has come. Returns when to look again. */
static int timers(void)
{
	int next = full ? 100 : -1, t;

	for (struct client *cl = list, *after; cl; cl = after) {
		after = cl->next;
		t = cl->hs ? kws_handshake_timeout(cl->hs) : kws_conn_timeout(cl->c);
		if (t == 0)
			run(cl);	/* it may have gone; if not, the next round asks it again */
		next = t >= 0 && (next < 0 || t < next) ? t : next;
	}
	return next;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 8080) };
	struct epoll_event ev;
	int on = 1, n;

	if (argc > 3)
		tls = kws_tls_server(&(struct kws_tls_options){ .cert = argv[2], .key = argv[3] });
	if (argc > 3 && !tls)
		return perror("certificate and key"), 1;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 128))
		return perror("listen"), 1;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ev = (struct epoll_event){ .events = EPOLLIN };
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &ev);
	for (;;) {
		n = epoll_wait(epoll_fd, &ev, 1, timers());
		if (full)
			let_in(true);
		if (n < 1)
			continue;
		struct client *cl = ev.data.ptr;

		if (!cl)
			new_client();
		else if (cl->hs)
			handshake(cl);
		else
			echo(cl);
	}
}
