// SPDX-License-Identifier: GPL-2.0
/*
 * Calls, flags and options that have their own meaning on a message socket, or none: websocket(7) has the table, and
 * each of its lines names its test. What is refused is in bypass.c; several descriptors, processes and threads in
 * shared.c.
 */
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "intact.h"

FIXTURE_ROLES(calls);

/* Row 35 */
CASE(calls, row35_receive_flags)
{
	static const int refused[] = { MSG_OOB, MSG_TRUNC, MSG_OOB | MSG_PEEK, MSG_TRUNC | MSG_DONTWAIT };
	static const int ignored[] = { MSG_NOSIGNAL, MSG_CMSG_CLOEXEC, MSG_CONFIRM, MSG_DONTROUTE, MSG_EOR, MSG_MORE };
	struct received r;
	char buffer[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		put(OUT, .opcode = OP_TEXT, .text = "text");
		peer_write(LINK);
		ws_wait(self->link.ws, POLLIN);
		refuses(EOPNOTSUPP, recv(self->link.ws, buffer, sizeof(buffer), refused[i]));
		expect_text(LINK, "text");
	}
	for (i = 0; i < ARRAY_SIZE(ignored); i++) {
		put(OUT, .opcode = OP_TEXT, .text = "text");
		peer_write(LINK);
		r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), ignored[i]);
		equal(4, r.n);
		equal(MSG_EOR, r.flags & ~MSG_CMSG_CLOEXEC);
	}
	refuses(EAGAIN, recv(self->link.ws, buffer, sizeof(buffer), MSG_ERRQUEUE));
	intact(LINK);
}

/* Row 60: time stamps of what was received are not delivered, those of what was sent come from the error queue. */
CASE(calls, row60_timestamps)
{
	char buffer[256], control[512];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	set_option(self->link.ws, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	set_option(self->link.ws, SOL_SOCKET, SO_TIMESTAMPING,
		   SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
		   SOF_TIMESTAMPING_OPT_TSONLY);
	put(OUT, .opcode = OP_TEXT, .text = "no stamp");
	peer_write(LINK);
	expect_text(LINK, "no stamp");	/* it refuses any record but its own */
	equal(1, ws_send(self->link.ws, OP_TEXT, "x", 1, 0));
	wire_expect(WIRE, OP_TEXT, true, "x", 1);
	check(ws_wait(self->link.ws, POLLERR) & POLLERR);
	equal(0, must(recvmsg(self->link.ws, &h, MSG_ERRQUEUE)));
	check(h.msg_flags & MSG_ERRQUEUE);
	for (c = CMSG_FIRSTHDR(&h); c && c->cmsg_type != SO_TIMESTAMPING; c = CMSG_NXTHDR(&h, c))
		;
	check(c && c->cmsg_level == SOL_SOCKET);
	set_option(self->link.ws, SOL_SOCKET, SO_TIMESTAMPING, 0);
	intact(LINK);
}

static int file_of(const void *bytes, size_t len)
{
	int fd = must(memfd_create("payload", 0));

	equal(len, pwrite(fd, bytes, len, 0));
	return fd;
}

/* Row 46: one sendfile() is one message, of as many fragments as it has pieces. */
CASE(calls, row46_sendfile)
{
	static const size_t lens[] = { 1, 4096, 4097, 65536, 300000 };
	unsigned char *bytes = new_pattern(300000, 91);
	int file = file_of(bytes, 300000);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		off_t offset = 0;

		while (offset < (off_t)lens[i])
			must(sendfile(self->link.ws, file, &offset, lens[i] - offset));
		wire_expect_message(WIRE, OP_BINARY, bytes, lens[i]);
	}
	equal(ARRAY_SIZE(lens), ws_info(self->link.ws).tx_messages);
	intact(LINK);
	close(file);
	free(bytes);
}

/* Row 46: a pipe is emptied into messages; SPLICE_F_MORE leaves one open as MSG_MORE does. */
CASE(calls, row46_splice_into_it)
{
	int p[2];

	must(pipe(p));
	equal(5, write(p[1], "first", 5));
	equal(5, splice(p[0], NULL, self->link.ws, NULL, 5, SPLICE_F_MORE));
	equal(4, write(p[1], "last", 4));
	equal(4, splice(p[0], NULL, self->link.ws, NULL, 4, 0));
	wire_expect_message(WIRE, OP_BINARY, "firstlast", 9);
	intact(LINK);
	close(p[0]);
	close(p[1]);
}

/* SO_RCVLOWAT is without effect, and shows what the module waits for. */
CASE(calls, rcvlowat_is_the_modules)
{
	int value = 0;
	socklen_t len = sizeof(value);

	set_option(self->link.ws, SOL_SOCKET, SO_RCVLOWAT, 12345);
	must(getsockopt(self->link.ws, SOL_SOCKET, SO_RCVLOWAT, &value, &len));
	equal(1, value);
	intact(LINK);
}

CASE(calls, cork_holds_messages_and_nodelay_can_go)
{
	int i;

	set_option(self->link.ws, IPPROTO_TCP, TCP_CORK, 1);
	for (i = 0; i < 3; i++)
		equal(4, ws_send(self->link.ws, OP_TEXT, "text", 4, 0));
	set_option(self->link.ws, IPPROTO_TCP, TCP_CORK, 0);
	for (i = 0; i < 3; i++)
		wire_expect(WIRE, OP_TEXT, true, "text", 4);
	set_option(self->link.ws, IPPROTO_TCP, TCP_NODELAY, 0);
	intact(LINK);
}

CASE(calls, ioctls)
{
	int fd = self->link.ws, value = -1;
	char buffer[4];

	put(OUT, .opcode = OP_TEXT, .text = "12345");
	peer_write(LINK);
	ws_wait(fd, POLLIN);
	must(ioctl(fd, FIONREAD, &value));
	equal(5, value);
	equal(1, send(self->link.peer, "", 1, MSG_OOB));	/* an urgent mark is no mark here */
	peer_settle(LINK);
	must(ioctl(fd, SIOCATMARK, &value));
	equal(0, value);
	/* wire bytes: two of header, four of key, one of payload */
	link_close(LINK);
	link_start_default(LINK, &variant->shape);
	fd = self->link.ws;
	equal(1, ws_send(fd, OP_TEXT, "x", 1, 0));
	must(ioctl(fd, SIOCOUTQ, &value));
	check(value == 0 || value == (variant->shape.client ? 7 : 3));
	wire_expect(WIRE, OP_TEXT, true, "x", 1);
	must(ioctl(fd, SIOCOUTQNSD, &value));
	equal(0, value);
	value = 1;
	must(ioctl(fd, FIONBIO, &value));
	refuses(EAGAIN, recv(fd, buffer, sizeof(buffer), 0));
	refuses(ENOTTY, ioctl(fd, TCGETS, buffer));
	refuses(ESPIPE, pread(fd, buffer, 1, 0));
	refuses(ESPIPE, lseek(fd, 0, SEEK_SET));
	intact(LINK);
}

/* read() of nothing is nothing; write() of nothing is an empty message; addresses are TCP's. */
CASE(calls, empty_calls_and_addresses)
{
	struct sockaddr_in6 a = { 0 };
	socklen_t len = sizeof(a);
	char buffer[16];

	put(OUT, .opcode = OP_TEXT, .text = "text");
	peer_write(LINK);
	ws_wait(self->link.ws, POLLIN);
	equal(0, read(self->link.ws, buffer, 0));
	equal(4, recvfrom(self->link.ws, buffer, sizeof(buffer), 0, (struct sockaddr *)&a, &len));
	equal(0, len);
	equal(0, write(self->link.ws, "", 0));
	wire_expect(WIRE, OP_BINARY, true, "", 0);
	equal(1, sendto(self->link.ws, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)));
	wire_expect(WIRE, OP_BINARY, true, "x", 1);
	intact(LINK);
}

/* TCP passes over most of these; here a record that is not understood is refused. */
CASE(calls, other_control_messages)
{
	static const struct { int level, type; } others[] = {
		{ SOL_SOCKET, SCM_RIGHTS }, { SOL_SOCKET, SO_TIMESTAMPING }, { IPPROTO_IP, 1 }, { IPPROTO_TCP, TCP_ULP },
		{ SOL_WEBSOCKET, WEBSOCKET_MSG }, { SOL_WEBSOCKET, WEBSOCKET_CONFIG },
	};
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(others); i++) {
		c->cmsg_level = others[i].level;
		c->cmsg_type = others[i].type;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		refuses(EINVAL, sendmsg(self->link.ws, &h, 0));
	}
	intact(LINK);
}

CASE(calls, receive_time_out)
{
	struct timeval limit = { .tv_usec = 50000 };
	struct received r;
	char buffer[64];

	must(setsockopt(self->link.ws, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	refuses(EAGAIN, recv(self->link.ws, buffer, sizeof(buffer), 0));
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "half");
	peer_write(LINK);
	refuses(EAGAIN, recv(self->link.ws, buffer, sizeof(buffer), MSG_WAITALL));
	put(OUT, .opcode = OP_CONTINUATION, .text = " and whole");
	peer_write(LINK);
	ws_wait(self->link.ws, POLLIN);
	r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), MSG_WAITALL);
	equal(14, r.n);
	intact(LINK);
}

CASE(calls, select)
{
	struct timeval now = { 0 };
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(self->link.ws, &in);
	FD_SET(self->link.ws, &out);
	equal(1, select(self->link.ws + 1, &in, &out, NULL, &now));
	check(FD_ISSET(self->link.ws, &out) && !FD_ISSET(self->link.ws, &in));
	put(OUT, .opcode = OP_TEXT, .text = "text");
	peer_write(LINK);
	FD_SET(self->link.ws, &in);
	equal(1, select(self->link.ws + 1, &in, NULL, NULL, NULL));
	expect_text(LINK, "text");
}

/* One recvmsg() takes what is there as an array, one sendmsg() hands the array back. */
CASE(calls, batches)
{
	struct websocket_batch *b;
	char buffer[64], control[CMSG_SPACE(8 * sizeof(*b))] __attribute__((aligned(8)));
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = (struct cmsghdr *)control;

	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_BATCH });
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY);
	put(OUT, .opcode = OP_PING, .text = "answered");
	put(OUT, .opcode = OP_BINARY, .text = "three");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "answered", 8);
	peer_settle(LINK);
	equal(8, recvmsg(self->link.ws, &h, 0));
	equal(MSG_EOR, h.msg_flags);
	check(!memcmp(buffer, "onethree", 8));
	check(c->cmsg_level == SOL_WEBSOCKET && c->cmsg_type == WEBSOCKET_BATCH);
	equal(CMSG_LEN(3 * sizeof(*b)), c->cmsg_len);
	b = (struct websocket_batch *)CMSG_DATA(c);
	check(b[0].len == 3 && b[0].opcode == OP_TEXT && b[1].len == 0 && b[2].len == 5 && b[2].opcode == OP_BINARY);
	iov.iov_len = 8;
	equal(8, sendmsg(self->link.ws, &h, 0));
	wire_expect(WIRE, OP_TEXT, true, "one", 3);
	wire_expect(WIRE, OP_BINARY, true, "", 0);
	wire_expect(WIRE, OP_BINARY, true, "three", 5);
	link_configure(LINK, &(struct websocket_config){ .flags = 0 });
	intact(LINK);
}

SELFTEST_MAIN
