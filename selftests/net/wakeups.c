// SPDX-License-Identifier: GPL-2.0
/*
 * A waiter wakes up once a message, however many segments and control frames its bytes come with: voluntary context
 * switches of a thread that waits in recvmsg(), poll() or epoll_wait() are counted. What keeps the process asleep is
 * what the protocol in the kernel is for.
 */
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "shapes.h"

#define MESSAGES	5

FIXTURE(wakeups)
{
	struct link link;
	int ep;
	pthread_t thread;
	pid_t tid;
	int got;
};
FIXTURE_VARIANT(wakeups) { struct shape shape; };
SHAPE(wakeups, whole, SEGMENT_FRAME, IPV4, false, false);
SHAPE(wakeups, bytewise, SEGMENT_BYTE, IPV4, false, false);
SHAPE(wakeups, seven, SEGMENT_SEVEN, IPV6, false, false);
SHAPE(wakeups, header, SEGMENT_HEADER, IPV4, false, false);
SHAPE(wakeups, together, SEGMENT_ALL, IPV6, false, false);
SHAPE(wakeups, whole_client, SEGMENT_FRAME, IPV4, false, true);
SHAPE(wakeups, bytewise_client, SEGMENT_BYTE, IPV6, false, true);

FIXTURE_SETUP(wakeups)
{
	link_start_default(LINK, &variant->shape);
	self->ep = must(epoll_create1(0));
}

FIXTURE_TEARDOWN(wakeups)
{
	close(self->ep);
	link_close(LINK);
}

/* A field of /proc/self/task/TID/status. */
static long task_status(pid_t tid, const char *field, char *state)
{
	char path[64], line[128];
	long value = -1;
	FILE *f;

	sprintf(path, "/proc/self/task/%d/status", tid);
	f = fopen(path, "r");
	check(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field))) {
			value = atol(line + strlen(field));
			if (state)
				*state = line[strlen(field) + 1];
		}
	fclose(f);
	return value;
}

static long switches(pid_t tid)
{
	return task_status(tid, "voluntary_ctxt_switches:", NULL);
}

/* It has read @count messages and sleeps, waiting for the next. */
static void asleep(FIXTURE_DATA(wakeups) *self, int count)
{
	long before, after;
	char state;
	int i;

	for (i = 0; i < 30000; i++) {
		if (__atomic_load_n(&self->got, __ATOMIC_SEQ_CST) == count) {
			before = switches(self->tid);
			task_status(self->tid, "State:", &state);
			usleep(2000);
			after = switches(self->tid);
			if (state == 'S' && before == after)
				return;
		}
		usleep(1000);
	}
	fail("the waiter has read %d messages, not %d, or does not sleep", self->got, count);
}

static void took(FIXTURE_DATA(wakeups) *self, ssize_t n)
{
	if (n != 20)
		fail("%zd bytes, %s, after %d messages", n, error_name(n == -1 ? errno : 0), self->got);
	__atomic_add_fetch(&self->got, 1, __ATOMIC_SEQ_CST);
}

static void *by_recv(void *argument)
{
	FIXTURE_DATA(wakeups) *self = argument;
	char buffer[64];

	__atomic_store_n(&self->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	while (self->got < MESSAGES)
		took(self, recv(self->link.ws, buffer, sizeof(buffer), 0));
	pause();
	return NULL;
}

static void *by_poll(void *argument)
{
	FIXTURE_DATA(wakeups) *self = argument;
	struct pollfd p = { .fd = self->link.ws, .events = POLLIN };
	char buffer[64];

	__atomic_store_n(&self->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	while (self->got < MESSAGES) {
		equal(1, poll(&p, 1, -1));
		took(self, recv(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT));
	}
	pause();
	return NULL;
}

static void *by_epoll(void *argument)
{
	FIXTURE_DATA(wakeups) *self = argument;
	struct epoll_event e;
	char buffer[64];

	__atomic_store_n(&self->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	while (self->got < MESSAGES) {
		equal(1, epoll_wait(self->ep, &e, 1, -1));
		took(self, recv(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT));
	}
	pause();
	return NULL;
}

/* Messages of 20 bytes with all kinds of things around them. */
static void put_message(struct stream *s, int kind)
{
	switch (kind % 3) {
	case 0:
		put(s, .opcode = OP_BINARY, .text = "12345678901234567890");
		break;
	case 1:
		put(s, .opcode = OP_TEXT, .more = true, .text = "1234567890");
		put(s, .opcode = OP_PING, .text = "ping");
		put(s, .opcode = OP_CONTINUATION, .text = "1234567890");
		break;
	case 2:
		put(s, .opcode = OP_PONG, .text = "pong");
		put(s, .opcode = OP_TEXT, .more = true);
		put(s, .opcode = OP_CONTINUATION, .more = true, .text = "12345678901234567890");
		put(s, .opcode = OP_CONTINUATION);
	}
}

/* The waiter begins, and sleeps. Return: how often it has switched until then. */
static long begin(FIXTURE_DATA(wakeups) *self, void *(*waiter)(void *))
{
	check(!pthread_create(&self->thread, NULL, waiter, self));
	while (!__atomic_load_n(&self->tid, __ATOMIC_SEQ_CST))
		usleep(1000);
	asleep(self, 0);
	return switches(self->tid);
}

static void run(FIXTURE_DATA(wakeups) *self, void *(*waiter)(void *))
{
	long before = begin(self, waiter);
	int i;

	for (i = 0; i < 10; i++) {
		put(OUT, .opcode = OP_PING, .text = "nobody wakes up");
		put(OUT, .opcode = OP_PONG, .text = "for this");
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, "nobody wakes up", 15);
	}
	peer_settle(LINK);
	equal(0, switches(self->tid) - before);
	for (i = 0; i < MESSAGES; i++) {
		put_message(OUT, i);
		peer_write(LINK);
		asleep(self, i + 1);
		equal(i + 1, switches(self->tid) - before);
	}
	equal(MESSAGES, ws_info(self->link.ws).rx_messages);
}

CASE(wakeups, in_recv)
{
	run(self, by_recv);
}

CASE(wakeups, in_poll)
{
	run(self, by_poll);
}

CASE(wakeups, in_epoll)
{
	struct epoll_event e = { .events = EPOLLIN };

	must(epoll_ctl(self->ep, EPOLL_CTL_ADD, self->link.ws, &e));
	run(self, by_epoll);
}

CASE(wakeups, in_epoll_edge)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };

	must(epoll_ctl(self->ep, EPOLL_CTL_ADD, self->link.ws, &e));
	run(self, by_epoll);
}

/* TCP cannot hold the message, of which all that has come was read. */
CASE(wakeups, not_for_pings_amid_a_message_in_parts)
{
	enum { LEN = 65536 };
	unsigned char *bytes = new_pattern(LEN, 3), buffer[4096];
	long before;
	int n, i;

	self->link.shape.segmentation = SEGMENT_FRAME;
	set_option(self->link.ws, SOL_SOCKET, SO_RCVBUF, 4096);
	put(OUT, .opcode = OP_BINARY, .more = true, .payload = bytes, .len = LEN);
	peer_feed(LINK);
	for (n = 0; n < LEN; n += must(recv(self->link.ws, buffer, sizeof(buffer), 0)))
		;
	peer_fed(LINK);
	before = begin(self, by_poll);
	for (i = 0; i < 5; i++) {
		put(OUT, .opcode = OP_PING, .text = "ping");
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, "ping", 4);
	}
	peer_settle(LINK);
	equal(0, switches(self->tid) - before);
	check(!pthread_cancel(self->thread));
	check(!pthread_join(self->thread, NULL));
	free(bytes);
}

SELFTEST_MAIN
