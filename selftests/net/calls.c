// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that have their own meaning on a message socket, or none: websocket(7) has the table, and each of its lines
 * names its test. Options are in options.c, what is refused in refused.c, one socket in many hands in share.c.
 */
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "intact.h"

FIXTURE_ROLES(calls);

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

/* The file ends before sendfile() has what it was to send: so does the message. */
CASE(calls, row46_sendfile_beyond_the_end)
{
	int file = file_of("hello", 5), i;

	for (i = 0; i < 3; i++) {
		off_t offset = i;

		equal(5 - i, sendfile(self->link.ws, file, &offset, 1 << 20));
		wire_expect_message(WIRE, OP_BINARY, "hello" + i, 5 - i);
	}
	must(lseek(file, 0, SEEK_END));
	equal(0, sendfile(self->link.ws, file, NULL, 100));
	equal(3, ws_info(self->link.ws).tx_messages);
	intact(LINK);
	close(file);
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
	/* of this the kernel makes no call */
	equal(0, writev(self->link.ws, &(struct iovec){ 0 }, 1));
	equal(0, ws_info(self->link.ws).tx_messages);
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

static volatile sig_atomic_t signals;

static void count_signal(int signal)
{
	(void)signal;
	signals++;
}

/* O_ASYNC: a signal for a message, none for a ping. */
CASE(calls, sigio_for_messages)
{
	struct sigaction action = { .sa_handler = count_signal };
	int i;

	must(sigaction(SIGIO, &action, NULL));
	must(fcntl(self->link.ws, F_SETOWN, getpid()));
	must(fcntl(self->link.ws, F_SETFL, O_ASYNC | O_NONBLOCK));
	signals = 0;
	put(OUT, .opcode = OP_PING, .text = "ping");
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "half");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "ping", 4);
	peer_expect_silence(LINK);
	equal(0, signals);
	put(OUT, .opcode = OP_CONTINUATION, .text = "whole");
	peer_write(LINK);
	for (i = 0; i < 30000 && !signals; i++)
		usleep(1000);
	check(signals);
	expect_text(LINK, "halfwhole");
}

/* Row 38: a signal ends the waiting of a receiver, and nothing else. */
CASE(calls, row38_signal_while_receiving)
{
	struct sigaction action = { .sa_handler = count_signal };
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } }, never = { 0 };
	char buffer[16];

	must(sigaction(SIGALRM, &action, NULL));
	put(OUT, .opcode = OP_TEXT, .text = "half", .announce = 8);
	peer_write(LINK);
	must(setitimer(ITIMER_REAL, &often, NULL));
	refuses(EINTR, recv(self->link.ws, buffer, sizeof(buffer), 0));
	refuses(EINTR, recv(self->link.ws, buffer, sizeof(buffer), MSG_WAITALL));
	must(setitimer(ITIMER_REAL, &never, NULL));
	if (variant->shape.client)
		peer_write_raw(LINK, "more", 4);
	else
		link_reset_peer(LINK);
	if (variant->shape.client)
		expect_text(LINK, "halfmore");
	else
		expect_error(LINK, ECONNRESET);
}

static void send_fd(int over, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	equal(1, sendmsg(over, &h, 0));
}

/* It is nobody's while it is under way; the kernel answers all the same, and closes it if it is never taken. */
CASE(calls, row18_scm_rights_in_flight)
{
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	send_fd(pair[0], self->link.ws);
	link_close_ws(LINK);
	peer_expect_silence(LINK);
	close(pair[0]);
	close(pair[1]);
	equal(WIRE_FRAME, wire_read(WIRE));
	equal(OP_CLOSE, self->link.wire.seen.opcode);
	wire_expect_end(WIRE);
}

/* Row 18: close() of all others changes nothing. */
CASE(calls, close_of_the_last_descriptor)
{
	int other = must(dup(self->link.ws));

	put(OUT, .opcode = OP_TEXT, .text = "one");
	peer_write(LINK);
	close(self->link.ws);
	self->link.ws = other;
	expect_text(LINK, "one");
	peer_expect_silence(LINK);
	link_close_ws(LINK);
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
}

SELFTEST_MAIN
