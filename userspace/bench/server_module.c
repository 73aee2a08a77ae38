// SPDX-License-Identifier: GPL-2.0
/*
 * server_module call|plain|cork|flag|mmsg|batch PORT: echo on the module.
 *
 *	call	one message a call
 *	plain	the same by recv() and send(), which carry no records: all messages are binary
 *	cork	the same, the replies to what is there held together by TCP_CORK
 *	flag	recv() and send(), the replies held together by WEBSOCKET_F_CORK
 *	mmsg	recvmmsg() and sendmmsg()
 *	batch	WEBSOCKET_F_BATCH, what was received handed straight back
 */
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/websocket.h>

#include "busy.h"
#include "server.h"

#define MMSG	64
#define SLOT	(BUFFER / MMSG)

/* A record of SOL_WEBSOCKET; received as WEBSOCKET_MSG, sent as WEBSOCKET_OPCODE. */
union record {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(struct websocket_msg))];
};

static bool ended(const struct msghdr *msg, ssize_t n)
{
	return n == 0 && !(msg->msg_flags & MSG_EOR);
}

/* What was received becomes what is sent: the same opcode, and a part stays a part. */
static int turn_round(struct msghdr *msg, ssize_t n)
{
	struct cmsghdr *record = msg->msg_control;

	msg->msg_iov->iov_len = n;
	record->cmsg_type = WEBSOCKET_OPCODE;
	record->cmsg_len = CMSG_LEN(1);
	msg->msg_controllen = CMSG_SPACE(1);
	return msg->msg_flags & MSG_EOR ? 0 : MSG_MORE;
}

static bool send_rest(int fd, struct msghdr *msg, size_t sent, int more)
{
	size_t left = msg->msg_iov->iov_len - sent;

	if (!left)
		return true;
	msg->msg_controllen = 0;
	while (left) {
		ssize_t n;

		msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + sent;
		msg->msg_iov->iov_len = left;
		n = sendmsg(fd, msg, more | MSG_NOSIGNAL);
		if (n < 0)
			return false;
		sent = n;
		left -= n;
	}
	return true;
}

/* Return: 1: one message was echoed; 0: none is there; -1: the end */
static int echo_one(int fd)
{
	union record record;
	struct iovec iov = { buffer, BUFFER };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &record,
			      .msg_controllen = sizeof(record) };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
	int more;

	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (ended(&msg, n))
		return -1;
	busy();
	more = turn_round(&msg, n);
	n = sendmsg(fd, &msg, more | MSG_NOSIGNAL);
	if (n < 0)
		return -1;
	return send_rest(fd, &msg, n, more) ? 1 : -1;
}

static bool ready_call(int fd, void *context)
{
	(void)context;
	return echo_one(fd) >= 0;
}

/* Return: as echo_one() */
static int echo_plain(int fd)
{
	ssize_t n = recv(fd, buffer, BUFFER, MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	busy();
	return write_all(fd, buffer, n) ? 1 : -1;
}

static bool ready_plain(int fd, void *context)
{
	(void)context;
	return echo_plain(fd) >= 0;
}

static bool ready_flag(int fd, void *context)
{
	int one;

	(void)context;
	do
		one = echo_plain(fd);
	while (one > 0);
	return one == 0;
}

static bool ready_cork(int fd, void *context)
{
	int on = 1, off = 0, one;

	(void)context;
	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
	do
		one = echo_one(fd);
	while (one > 0);
	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
	return one == 0;
}

/* Whether all of them are whole messages that were received. */
static bool whole(const struct mmsghdr *m, int n)
{
	for (int i = 0; i < n; i++)
		if (!(m[i].msg_hdr.msg_flags & MSG_EOR))
			return false;
	return true;
}

static bool send_each(int fd, struct mmsghdr *m, int n)
{
	for (int i = 0; i < n; i++) {
		struct msghdr *msg = &m[i].msg_hdr;
		int more = turn_round(msg, m[i].msg_len);
		ssize_t sent = sendmsg(fd, msg, more | MSG_NOSIGNAL);

		if (sent < 0 || !send_rest(fd, msg, sent, more))
			return false;
	}
	return true;
}

static bool ready_mmsg(int fd, void *context)
{
	static union record records[MMSG];
	static struct iovec iov[MMSG];
	static struct mmsghdr m[MMSG];
	int n, sent;

	(void)context;
	for (int i = 0; i < MMSG; i++) {
		iov[i] = (struct iovec){ buffer + i * SLOT, SLOT };
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1, .msg_control = &records[i],
						.msg_controllen = sizeof(records[i]) };
	}
	n = recvmmsg(fd, m, MMSG, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	if (ended(&m[n - 1].msg_hdr, m[n - 1].msg_len))
		return false;
	if (!whole(m, n))
		return send_each(fd, m, n);
	for (int i = 0; i < n; i++)
		turn_round(&m[i].msg_hdr, m[i].msg_len);
	sent = sendmmsg(fd, m, n, MSG_NOSIGNAL);
	if (sent < 0)
		return false;
	/* the last one may be short */
	if (!send_rest(fd, &m[sent - 1].msg_hdr, m[sent - 1].msg_len, 0))
		return false;
	return sent == n || send_each(fd, m + sent, n - sent);
}

static bool ready_batch(int fd, void *context)
{
	static char records[CMSG_SPACE(WEBSOCKET_BATCH_MAX * sizeof(struct websocket_batch))];
	struct iovec iov = { buffer, BUFFER };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = records,
			      .msg_controllen = sizeof(records) };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
	struct websocket_batch *first = (void *)CMSG_DATA((struct cmsghdr *)records);
	int more;

	(void)context;
	if (n < 0)
		return errno == EAGAIN;
	if (ended(&msg, n))
		return false;
	more = msg.msg_flags & MSG_EOR ? 0 : MSG_MORE;
	iov.iov_len = n;
	if (more || !(first->flags & WEBSOCKET_MSG_BEGIN)) {
		*(char *)CMSG_DATA((struct cmsghdr *)records) = first->opcode;
		turn_round(&msg, n);
	}
	n = sendmsg(fd, &msg, more | MSG_NOSIGNAL);
	return n >= 0 && (n == (ssize_t)iov.iov_len || send_rest(fd, &msg, n, more));
}

static void *start(int fd)
{
	module_start(fd, 0);
	return NULL;
}

static void *start_flag(int fd)
{
	module_start(fd, WEBSOCKET_F_CORK);
	return NULL;
}

static void *start_batch(int fd)
{
	module_start(fd, WEBSOCKET_F_BATCH);
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		struct handler handler;
	} modes[] = {
		{ "call", { true, start, ready_call } },
		{ "plain", { true, start, ready_plain } },
		{ "cork", { true, start, ready_cork } },
		{ "flag", { true, start_flag, ready_flag } },
		{ "mmsg", { true, start, ready_mmsg } },
		{ "batch", { true, start_batch, ready_batch } },
	};

	for (size_t i = 0; argc == 3 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name))
			serve(argv[2], &modes[i].handler);
	errx(2, "server_module call|plain|cork|flag|mmsg|batch PORT");
}
