// SPDX-License-Identifier: GPL-2.0
/*
 * One message socket in several hands: dup(), fork(), a descriptor sent to another process in the middle of a message,
 * several readers and writers, signals. The protocol's state is the socket's, so whoever has it goes on.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/un.h>

#include "shapes.h"

FIXTURE_ROLES(shared);

/* Row 18: the last descriptor's close() is the one that counts. */
CASE(shared, row18_dup)
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

/* The rest of "first half, second half", by another process. */
static int read_rest(int fd)
{
	char buffer[64];
	struct received r = ws_recvmsg(fd, buffer, sizeof(buffer), 0);

	return r.n == 13 && !memcmp(buffer, ", second half", 13) && r.flags & MSG_EOR &&
	       r.record.opcode == OP_TEXT && r.record.flags == WEBSOCKET_MSG_END ? 7 : 1;
}

static int rest_of_link(void *l)
{
	return read_rest(((struct link *)l)->ws);
}

static void first_half(struct link *l)
{
	char buffer[10];
	struct received r;

	put(&l->out, .opcode = OP_TEXT, .text = "first half, second half");
	put(&l->out, .opcode = OP_TEXT, .text = "next");
	peer_write(l);
	r = ws_recvmsg(l->ws, buffer, sizeof(buffer), 0);
	equal(10, r.n);
	equal(13, r.record.frame_left);
}

CASE(shared, row18_fork_in_the_middle_of_a_message)
{
	first_half(LINK);
	equal(7, reap(spawn(rest_of_link, LINK)));
	expect_text(LINK, "next");
	peer_expect_silence(LINK);
}

static int receive_fd(void *argument)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))), byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(*(int *)argument, &h, 0) != 1 || !CMSG_FIRSTHDR(&h))
		return 2;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(fd));
	return read_rest(fd);
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

/* Row 18: handed over in a message and between two fragments that are sent, while pings are answered. */
CASE(shared, row18_scm_rights_in_the_middle_of_a_message)
{
	int pair[2];
	pid_t pid;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	pid = spawn(receive_fd, &pair[1]);
	first_half(LINK);
	equal(4, ws_send(self->link.ws, OP_TEXT, "open", 4, MSG_MORE));
	send_fd(pair[0], self->link.ws);
	equal(7, reap(pid));
	put(OUT, .opcode = OP_PING, .text = "ping");
	peer_write(LINK);
	equal(6, ws_send(self->link.ws, 0, "closed", 6, 0));
	wire_expect_message(WIRE, OP_TEXT, "openclosed", 10);
	expect_text(LINK, "next");
	close(pair[0]);
	close(pair[1]);
}

/* It is nobody's while it is under way; the kernel answers all the same, and closes it if it is never taken. */
CASE(shared, row18_scm_rights_in_flight)
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

enum { READERS = 4, MESSAGES = 400, LONGEST = 3000 };

struct crowd {
	struct link	*link;
	unsigned char	seen[MESSAGES];
	int		next;
};

static size_t length_of(int i)
{
	return 4 + i * 37 % (LONGEST - 4);
}

static void make_message(unsigned char *bytes, int i)
{
	pattern(bytes, length_of(i), i);
	memcpy(bytes, &i, sizeof(i));
}

static void *read_some(void *argument)
{
	unsigned char buffer[LONGEST], want[LONGEST];
	struct crowd *c = argument;
	struct received r;
	int i;

	for (;;) {
		r = ws_recvmsg(c->link->ws, buffer, sizeof(buffer), 0);
		if (r.n == 0 && r.record.opcode == WEBSOCKET_OP_CLOSE)
			return NULL;
		check(r.n >= 4 && r.flags & MSG_EOR && r.record.flags == (WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END));
		memcpy(&i, buffer, sizeof(i));
		check(i >= 0 && i < MESSAGES);
		equal(length_of(i), r.n);
		make_message(want, i);
		check(!memcmp(buffer, want, r.n));
		equal(0, __atomic_fetch_add(&c->seen[i], 1, __ATOMIC_SEQ_CST));
	}
}

/* Row 33: each message goes whole to one of them. */
CASE(shared, row33_several_readers)
{
	struct crowd c = { .link = LINK };
	unsigned char bytes[LONGEST];
	pthread_t threads[READERS];
	int i;

	for (i = 0; i < READERS; i++)
		check(!pthread_create(&threads[i], NULL, read_some, &c));
	for (i = 0; i < MESSAGES; i++) {
		make_message(bytes, i);
		put(OUT, .opcode = OP_BINARY, .more = true, .payload = bytes, .len = length_of(i) / 2);
		put(OUT, .opcode = OP_CONTINUATION, .payload = bytes + length_of(i) / 2,
		    .len = length_of(i) - length_of(i) / 2);
	}
	put_close(OUT, 1000, "");
	peer_write(LINK);
	for (i = 0; i < READERS; i++)
		check(!pthread_join(threads[i], NULL));
	for (i = 0; i < MESSAGES; i++)
		equal(1, c.seen[i]);
}

static void *write_some(void *argument)
{
	unsigned char bytes[LONGEST];
	struct crowd *c = argument;
	int i;

	while ((i = __atomic_fetch_add(&c->next, 1, __ATOMIC_SEQ_CST)) < MESSAGES) {
		make_message(bytes, i);
		equal(length_of(i), ws_send(c->link->ws, OP_BINARY, bytes, length_of(i), 0));
	}
	return NULL;
}

/* Row 33: nobody's message stands inside another's, though each has to wait for room. */
CASE(shared, row33_several_writers)
{
	unsigned char message[LONGEST], want[LONGEST];
	struct crowd c = { .link = LINK };
	pthread_t threads[READERS];
	size_t have;
	int i, n;

	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 4096);
	for (i = 0; i < READERS; i++)
		check(!pthread_create(&threads[i], NULL, write_some, &c));
	for (n = 0; n < MESSAGES; n++) {
		have = 0;
		do {
			equal(WIRE_FRAME, wire_read(WIRE));
			equal(have ? OP_CONTINUATION : OP_BINARY, self->link.wire.seen.opcode);
			check(have + self->link.wire.seen.len <= LONGEST);
			memcpy(message + have, self->link.wire.seen.payload, self->link.wire.seen.len);
			have += self->link.wire.seen.len;
		} while (!self->link.wire.seen.fin);
		memcpy(&i, message, sizeof(i));
		check(i >= 0 && i < MESSAGES && !c.seen[i]++);
		equal(length_of(i), have);
		make_message(want, i);
		check(!memcmp(want, message, have));
	}
	for (i = 0; i < READERS; i++)
		check(!pthread_join(threads[i], NULL));
}

static volatile sig_atomic_t signals;

static void count_signal(int signal)
{
	(void)signal;
	signals++;
}

/* O_ASYNC: a signal for a message, none for a ping. */
CASE(shared, sigio_for_messages)
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
CASE(shared, row38_signal_while_receiving)
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

SELFTEST_MAIN
