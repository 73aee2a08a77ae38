// SPDX-License-Identifier: GPL-2.0
/* Connections to the server, and one exchange on one of them. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "keys.h"

struct conn *conns;
u8 inbuf[1 << 18];
static unsigned int nconns;

static const char request[] =
	"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

void send_all(int fd, const void *p, size_t n)
{
	while (n) {
		ssize_t done = send(fd, p, n, MSG_NOSIGNAL);

		if (done < 0)
			die("send: %s", strerror(errno));
		p = (const char *)p + done;
		n -= done;
	}
}

/* The server sends nothing behind its answer before it has got a message, so it may be read as it comes. */
static void upgrade(int fd)
{
	char head[4096];
	size_t have = 0;

	send_all(fd, request, sizeof(request) - 1);
	for (;;) {
		ssize_t n = recv(fd, head + have, sizeof(head) - 1 - have, 0);

		if (n <= 0)
			die("the server did not answer the handshake");
		have += n;
		head[have] = 0;
		if (strstr(head, "\r\n\r\n"))
			break;
	}
	if (strncmp(head, "HTTP/1.1 101 ", 13))
		die("the server answered: %s", head);
}

static int open_one(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(server_port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!opt.raw)
		upgrade(fd);
	if (opt.tls && !tls_start(fd, false))
		die("no kTLS: %s", strerror(errno));
	return fd;
}

/* Makes it so that there are @n connections; those that were there before stay. */
void conns_open(unsigned int n)
{
	conns = realloc(conns, n * sizeof(*conns));
	if (!conns)
		die("no memory");
	for (; nconns < n; nconns++) {
		memset(&conns[nconns], 0, sizeof(*conns));
		conns[nconns].fd = open_one();
	}
}

/* By reset, so that nothing is left over for the next case. */
void conns_close(void)
{
	struct linger linger = { .l_onoff = 1 };

	while (nconns) {
		int fd = conns[--nconns].fd;

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fd);
	}
	free(conns);
	conns = NULL;
}

/* Sends what can be sent. */
static void push(struct conn *c, const struct burst *b)
{
	ssize_t n = send(c->fd, b->wire + c->sent, b->wire_len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0)
		c->sent += n;
	else if (errno != EAGAIN)
		die("send: %s", strerror(errno));
}

/* While not all is sent, bytes have to be read as well: an echo may begin before the message has ended. */
static void wait_either(struct conn *c, const struct burst *b)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN | POLLOUT };

	if (poll(&p, 1, -1) < 0)
		die("poll: %s", strerror(errno));
	if (p.revents & POLLOUT)
		push(c, b);
}

/* Sends what can be sent of a burst at once. */
void exchange_start(struct conn *c, const struct burst *b)
{
	c->sent = 0;
	c->done = 0;
	memset(&c->reader, 0, sizeof(c->reader));
	push(c, b);
}

static void pull(struct conn *c, const struct burst *b, int flags)
{
	ssize_t n = recv(c->fd, inbuf, sizeof(inbuf), flags);

	if (n > 0)
		c->done = burst_check(b, &c->reader, inbuf, n);
	else if (n == 0 || errno != EAGAIN)
		die("recv: %s", n ? strerror(errno) : "end of stream");
}

/* Waits for the echo of a burst that was sent completely. Return: false: it did not come in time. */
bool exchange_finish(struct conn *c, const struct burst *b, int timeout_ms)
{
	while (c->done < b->count) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };

		pull(c, b, MSG_DONTWAIT);
		if (c->done < b->count && !poll(&p, 1, timeout_ms))
			return false;
	}
	return true;
}

/* Sends a burst and waits for its echo. */
void exchange(struct conn *c, const struct burst *b)
{
	exchange_start(c, b);
	while (c->done < b->count) {
		bool sending = c->sent < b->wire_len;

		if (sending)
			wait_either(c, b);
		pull(c, b, sending ? MSG_DONTWAIT : 0);
	}
}
