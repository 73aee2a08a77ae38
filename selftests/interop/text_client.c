// SPDX-License-Identifier: GPL-2.0
/*
 * A client written from <linux/websocket.h> and websocket(7) alone, blocking: what it sends to an echo server has to come back.
 * text_client PORT, at 127.0.0.1. Prints TAP.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/websocket.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "text_upgrade.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

enum { LARGEST = 1 << 20 };

static char out[LARGEST], in[LARGEST + 1];

/* One call of recvmsg(), and what it told. */
struct got {
	ssize_t n;
	bool last;
	struct websocket_msg record;
};

static struct got receive(int fd, void *buffer, size_t len)
{
	char control[CMSG_SPACE(sizeof(struct websocket_msg))] __attribute__((aligned(8)));
	struct iovec iov = { buffer, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct got g = { .n = recvmsg(fd, &mh, 0) };

	if (g.n >= 0 && CMSG_FIRSTHDR(&mh)->cmsg_type == WEBSOCKET_MSG)
		memcpy(&g.record, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(g.record));
	g.last = g.n >= 0 && mh.msg_flags & MSG_EOR;
	return g;
}

static bool send_as(int fd, unsigned char opcode, const void *data, size_t len, int flags)
{
	char control[CMSG_SPACE(1)] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

	CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_WEBSOCKET;
	CMSG_FIRSTHDR(&mh)->cmsg_type = WEBSOCKET_OPCODE;
	CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(CMSG_FIRSTHDR(&mh)) = opcode;
	return sendmsg(fd, &mh, flags) == (ssize_t)len;
}

/* A whole message, in any number of parts. */
static bool comes(int fd, unsigned char opcode, const void *data, size_t len)
{
	size_t have = 0;
	struct got g;
	bool first;

	do {
		g = receive(fd, in + have, sizeof(in) - have);
		first = g.record.flags & WEBSOCKET_MSG_BEGIN;
		if (g.n < 0 || g.record.opcode != opcode || first != !have)
			return false;
		have += g.n;
	} while (!g.last && g.n);
	return g.last && g.record.flags & WEBSOCKET_MSG_END && have == len && !memcmp(in, data, len);
}

static bool lengths(int fd)
{
	static const size_t all[] = { 0, 1, 125, 126, 65535, 65536, LARGEST };
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (!send_as(fd, WEBSOCKET_OP_BINARY, out, all[i], 0) || !comes(fd, WEBSOCKET_OP_BINARY, out, all[i]))
			return false;
	return true;
}

static bool many_at_once(int fd)
{
	size_t i;

	for (i = 0; i < 100; i++)
		if (!send_as(fd, WEBSOCKET_OP_TEXT, out, i % 7 * 10, 0))
			return false;
	for (i = 0; i < 100; i++)
		if (!comes(fd, WEBSOCKET_OP_TEXT, out, i % 7 * 10))
			return false;
	return true;
}

/* Three sends are one message; a ping may stand in the middle. */
static bool in_pieces(int fd)
{
	return send_as(fd, WEBSOCKET_OP_TEXT, "one, ", 5, MSG_MORE) && send_as(fd, WEBSOCKET_OP_PING, "ping", 4, 0) &&
	       send(fd, "two, ", 5, MSG_MORE) == 5 && send(fd, "three", 5, 0) == 5 &&
	       comes(fd, WEBSOCKET_OP_PONG, "ping", 4) && comes(fd, WEBSOCKET_OP_TEXT, "one, two, three", 15);
}

static bool refused(int fd)
{
	return !send_as(fd, 3, "x", 1, 0) && errno == EINVAL && !send_as(fd, WEBSOCKET_OP_PING, out, 126, 0) &&
	       errno == EMSGSIZE && !send_as(fd, WEBSOCKET_OP_CLOSE, "\x03\xed", 2, 0) && errno == EINVAL;
}

static bool looked_at(int fd)
{
	struct websocket_info info;
	socklen_t len = sizeof(info);

	return !getsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_INFO, &info, &len) && len == sizeof(info) &&
	       info.state == WEBSOCKET_STATE_OPEN && info.flags & WEBSOCKET_F_CLIENT && info.rx_messages == info.tx_messages &&
	       info.rx_pongs == 1;
}

/* A Close with a code of ours and a reason; the server's kernel sends the code back, and that is the end. */
static bool closed(int fd)
{
	struct got g;

	if (!send_as(fd, WEBSOCKET_OP_CLOSE, "\x0f\xa1goodbye", 9, 0))
		return false;
	g = receive(fd, in, sizeof(in));
	return g.n == 0 && !g.last && g.record.opcode == WEBSOCKET_OP_CLOSE && g.record.close_code == 4001 &&
	       send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE && receive(fd, in, sizeof(in)).n == 0;
}

static int connection(const char *port)
{
	struct websocket_config config = { .flags = WEBSOCKET_F_CLIENT | WEBSOCKET_F_PONG };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(port)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		err(1, "connect");
	if (!upgrade_ask(fd, "127.0.0.1"))
		errx(1, "no upgrade");
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "websocket", sizeof("websocket") - 1))
		err(1, "TCP_ULP");
	if (setsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_CONFIG, &config, sizeof(config)))
		err(1, "WEBSOCKET_CONFIG");
	return fd;
}

int main(int argc, char **argv)
{
	static const struct { const char *name; bool (*run)(int fd); } tests[] = {
		{ "messages of every length", lengths }, { "many at once", many_at_once }, { "a message in pieces", in_pieces },
		{ "what is refused", refused }, { "WEBSOCKET_INFO", looked_at }, { "the end", closed },
	};
	size_t i, n = sizeof(tests) / sizeof(*tests), failed = 0;
	int fd;

	if (argc != 2)
		errx(2, "usage: text_client PORT");
	memset(out, 'm', sizeof(out));
	fd = connection(argv[1]);
	printf("1..%zu\n", n);
	for (i = 0; i < n; i++) {
		bool good = tests[i].run(fd);

		failed += !good;
		printf("%s %zu %s\n", good ? "ok" : "not ok", i + 1, tests[i].name);
		fflush(stdout);
	}
	close(fd);
	return failed ? 1 : 0;
}
