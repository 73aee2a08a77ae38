// SPDX-License-Identifier: GPL-2.0
/*
 * An echo server written from <linux/websocket.h> and websocket(7) alone: no library for WebSockets, no look at the module.
 * One process, poll(), batches both ways. text_server PORT; the upgrade is as short as it may be.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/websocket.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "text_upgrade.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

enum { CONNECTIONS = 64, BUFFER = 65536 };

/* What was received and not yet sent back. */
struct conn {
	char data[BUFFER];
	size_t at;			/* in data */
	struct websocket_batch batch[WEBSOCKET_BATCH_MAX];
	unsigned int next, count;	/* in batch */
	bool ended;
};

static struct conn *conns[CONNECTIONS];
static struct pollfd polled[CONNECTIONS + 1];	/* the last one is the listener */

static ssize_t send_record(int fd, char *data, size_t len, int type, const void *record, size_t size, int flags)
{
	char control[CMSG_SPACE(sizeof(struct websocket_batch) * WEBSOCKET_BATCH_MAX)] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { data, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

	c->cmsg_level = SOL_WEBSOCKET;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), record, size);
	return sendmsg(fd, &mh, flags | MSG_NOSIGNAL);
}

static bool whole(const struct websocket_batch *b)
{
	return b->len && b->flags & WEBSOCKET_MSG_BEGIN && b->flags & WEBSOCKET_MSG_END;
}

/* One sendmsg(): a run of whole messages, or one message, or a part. The counts say what is left. False: it failed. */
static bool send_some(int fd, struct conn *c)
{
	struct websocket_batch *b = c->batch + c->next;
	unsigned int run = 0;
	size_t len = 0;
	ssize_t n;

	while (c->next + run < c->count && whole(b + run))
		len += b[run++].len;
	if (run > 1) {
		n = send_record(fd, c->data + c->at, len, WEBSOCKET_BATCH, b, run * sizeof(*b), MSG_DONTWAIT);
	} else {
		run = 1;
		n = send_record(fd, c->data + c->at, b->len, WEBSOCKET_OPCODE, &b->opcode, 1,
				MSG_DONTWAIT | (b->flags & WEBSOCKET_MSG_END ? 0 : MSG_MORE));
	}
	if (n < 0)
		return false;
	c->at += n;
	/* the entries that went, and what is left of one that went in part: it is open, and no whole one any more */
	while (run && (size_t)n >= b->len) {
		n -= b->len;
		b++;
		c->next++;
		run--;
	}
	if (n) {
		b->len -= n;
		b->flags &= ~WEBSOCKET_MSG_BEGIN;
	}
	return true;
}

/* False: the connection has failed. */
static bool send_all(int fd, struct conn *c)
{
	while (c->next < c->count)
		if (!send_some(fd, c))
			return errno == EAGAIN;
	return true;
}

/* One recvmsg(). False: the connection has failed. */
static bool receive(int fd, struct conn *c)
{
	union {
		struct websocket_batch batch[WEBSOCKET_BATCH_MAX];
		struct websocket_msg msg;
	} record;
	char control[CMSG_SPACE(sizeof(record))] __attribute__((aligned(8)));
	struct iovec iov = { c->data, sizeof(c->data) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT);
	struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&mh);

	if (n < 0)
		return errno == EAGAIN;
	if (!h)
		errx(1, "no record");
	memcpy(&record, CMSG_DATA(h), h->cmsg_len - CMSG_LEN(0));
	c->at = c->next = c->count = 0;
	if (!n && !(mh.msg_flags & MSG_EOR)) {
		c->ended = true;
		return record.msg.close_code != 1006;
	}
	if (h->cmsg_type == WEBSOCKET_BATCH) {
		c->count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(*c->batch);
		memcpy(c->batch, record.batch, c->count * sizeof(*c->batch));
	} else {
		c->count = 1;
		c->batch[0] = (struct websocket_batch){ .len = n, .opcode = record.msg.opcode, .flags = record.msg.flags };
	}
	return true;
}

static void drop(int i)
{
	close(polled[i].fd);
	free(conns[i]);
	polled[i].fd = -1;
}

static void serve(int i)
{
	struct conn *c = conns[i];
	int fd = polled[i].fd;

	if ((c->next == c->count && !receive(fd, c)) || c->ended || !send_all(fd, c)) {
		drop(i);
		return;
	}
	polled[i].events = c->next < c->count ? POLLOUT : POLLIN;
}

static void welcome(int listener)
{
	struct websocket_config config = { .flags = WEBSOCKET_F_BATCH, .max_message = 16 << 20 };
	int i, fd = accept(listener, NULL, NULL);

	for (i = 0; i < CONNECTIONS && polled[i].fd >= 0; i++)
		;
	if (fd < 0 || i == CONNECTIONS || !upgrade_answer(fd) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_ULP, "websocket", sizeof("websocket") - 1) ||
	    setsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_CONFIG, &config, sizeof(config))) {
		warn("no connection");
		close(fd);
		return;
	}
	conns[i] = calloc(1, sizeof(*conns[i]));
	if (!conns[i])
		err(1, "calloc");
	polled[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = in6addr_any };
	int i, on = 1, listener = socket(AF_INET6, SOCK_STREAM, 0);

	if (argc != 2)
		errx(2, "usage: text_server PORT");
	a.sin6_port = htons(atoi(argv[1]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 64))
		err(1, "port %s", argv[1]);
	for (i = 0; i < CONNECTIONS; i++)
		polled[i].fd = -1;
	polled[CONNECTIONS] = (struct pollfd){ .fd = listener, .events = POLLIN };
	for (;;) {
		if (poll(polled, CONNECTIONS + 1, -1) < 0)
			err(1, "poll");
		for (i = 0; i < CONNECTIONS; i++)
			if (polled[i].fd >= 0 && polled[i].revents)
				serve(i);
		if (polled[CONNECTIONS].revents)
			welcome(listener);
	}
}
