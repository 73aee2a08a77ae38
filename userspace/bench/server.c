// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keys.h"
#include "server.h"

struct connection {
	int fd;
	void *context;
};

char buffer[BUFFER];

int listen_on(const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(port)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1024))
		err(1, "port %s", port);
	return fd;
}

/* Real servers check the request; no case measures this. Return: false: the client has gone. */
bool upgrade(int fd)
{
	static const char answer[] =
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	size_t have = 0;

	do {
		ssize_t n = recv(fd, buffer + have, 4096 - have, 0);

		if (n <= 0)
			return false;
		have += n;
	} while (have < 4 || memcmp(buffer + have - 4, "\r\n\r\n", 4));
	return write_all(fd, answer, sizeof(answer) - 1);
}

/* The client always reads, so that a blocking send will end. */
bool write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = send(fd, p, n, MSG_NOSIGNAL);

		if (done < 0)
			return false;
		p += done;
		n -= done;
	}
	return true;
}

static void add(int epoll, int listener, const struct handler *h)
{
	struct connection *c = malloc(sizeof(*c));
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	c->fd = accept(listener, NULL, NULL);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((h->upgrade && !upgrade(c->fd)) || (tls_wanted() && !tls_start(c->fd, true))) {
		close(c->fd);
		free(c);
		return;
	}
	c->context = h->start ? h->start(c->fd) : NULL;
	epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
}

void serve(const char *port, const struct handler *h)
{
	struct epoll_event events[64], first = { .events = EPOLLIN };
	int listener = listen_on(port), epoll = epoll_create1(0);

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &first);
	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (!c) {
				add(epoll, listener, h);
			} else if (!h->ready(c->fd, c->context)) {
				close(c->fd);
				free(c);
			}
		}
	}
}
