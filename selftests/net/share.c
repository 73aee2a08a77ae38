// SPDX-License-Identifier: GPL-2.0
/*
 * One socket, many users: several readers and writers, fork(), dup(), SCM_RIGHTS in the middle of a message, writers and
 * readers that are killed, options and looks from all sides at once. The protocol's state is the socket's, nobody's else.
 * time limit: 240 s
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "shapes.h"

FIXTURE_ROLES(share);

#define WORKERS		8
#define EACH		40

/* A message that can be checked by itself: sender, number, length, and bytes that follow from them. */
static size_t compose(unsigned char *bytes, unsigned int sender, unsigned int number)
{
	size_t len = 12 + (sender * 7919 + number * 104729) % 3000;

	memcpy(bytes, &sender, 4);
	memcpy(bytes + 4, &number, 4);
	memcpy(bytes + 8, &(__u32){ len }, 4);
	pattern(bytes + 12, len - 12, sender << 16 | number);
	return len;
}

static void verify(const unsigned char *bytes, size_t len, unsigned char seen[WORKERS][EACH])
{
	unsigned char want[4096];
	unsigned int sender, number;

	check(len >= 12);
	memcpy(&sender, bytes, 4);
	memcpy(&number, bytes + 4, 4);
	check(sender < WORKERS && number < EACH);
	equal(compose(want, sender, number), len);
	check(!memcmp(bytes, want, len));
	check(!__atomic_exchange_n(&seen[sender][number], 1, __ATOMIC_SEQ_CST));
}

struct worker {
	pthread_t	thread;
	struct link	*link;
	unsigned int	id;
	unsigned char	(*seen)[EACH];
	int		*left;
};

static void *writer(void *argument)
{
	struct worker *w = argument;
	unsigned char bytes[4096];
	unsigned int i;
	size_t len;

	for (i = 0; i < EACH; i++) {
		len = compose(bytes, w->id, i);
		equal(len, ws_send(w->link->ws, OP_BINARY, bytes, len, 0));
	}
	return NULL;
}

static void *reader(void *argument)
{
	struct worker *w = argument;
	unsigned char bytes[4096];
	struct received r;

	while (__atomic_sub_fetch(w->left, 1, __ATOMIC_SEQ_CST) >= 0) {
		r = ws_recvmsg(w->link->ws, bytes, sizeof(bytes), 0);
		if (r.n < 0 || !(r.flags & MSG_EOR))
			fail("%zd bytes, %s, flags %#x", r.n, error_name(r.error), r.flags);
		verify(bytes, r.n, w->seen);
	}
	return NULL;
}

static void start(struct worker *w, struct link *l, void *(*run)(void *), unsigned char seen[WORKERS][EACH], int *left)
{
	int i;

	for (i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){ .link = l, .id = i, .seen = seen, .left = left };
		check(!pthread_create(&w[i].thread, NULL, run, &w[i]));
	}
}

static void join(struct worker *w)
{
	int i;

	for (i = 0; i < WORKERS; i++)
		check(!pthread_join(w[i].thread, NULL));
}

static void all_seen(unsigned char seen[WORKERS][EACH])
{
	int i;

	for (i = 0; i < WORKERS * EACH; i++)
		check(seen[i / EACH][i % EACH]);
}

/* Row 33: the peer's messages to eight readers; each gets whole ones. */
CASE(share, row33_eight_readers)
{
	static unsigned char seen[WORKERS][EACH];
	unsigned char bytes[4096];
	int left = WORKERS * EACH, i;
	struct worker w[WORKERS];

	for (i = 0; i < WORKERS * EACH; i++) {
		size_t len = compose(bytes, i % WORKERS, i / WORKERS);

		put(OUT, .opcode = OP_BINARY, .more = true, .payload = bytes, .len = len / 2);
		if (i % 3 == 0)
			put(OUT, .opcode = OP_PONG);
		put(OUT, .opcode = OP_CONTINUATION, .payload = bytes + len / 2, .len = len - len / 2);
	}
	start(w, LINK, reader, seen, &left);
	peer_feed(LINK);
	join(w);
	peer_fed(LINK);
	all_seen(seen);
	expect_nothing(LINK);
}

/* Row 33: eight writers; the peer gets whole messages. */
CASE(share, row33_eight_writers)
{
	static unsigned char seen[WORKERS][EACH];
	struct worker w[WORKERS];
	unsigned char bytes[8192];
	size_t have;
	int i;

	/* so little room that most of them wait in the middle of their messages */
	link_start_narrow(LINK, 4096);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 4096);
	start(w, LINK, writer, seen, NULL);
	for (i = 0; i < WORKERS * EACH; i++) {
		have = 0;
		do {
			equal(WIRE_FRAME, wire_read(WIRE));
			check(have + self->link.wire.seen.len <= sizeof(bytes));
			memcpy(bytes + have, self->link.wire.seen.payload, self->link.wire.seen.len);
			have += self->link.wire.seen.len;
		} while (!self->link.wire.seen.fin);
		verify(bytes, have, seen);
	}
	join(w);
	all_seen(seen);
}

/* Both at once, over two sockets under test that talk to each other. */
CASE(share, row33_eight_by_eight)
{
	static unsigned char seen[2][WORKERS][EACH];
	struct worker w[4][WORKERS];
	int left[2] = { WORKERS * EACH, WORKERS * EACH }, i;
	struct link other = { .ws = self->link.peer };
	struct websocket_config config = { .flags = variant->shape.client ? 0 : WEBSOCKET_F_CLIENT };

	must(ulp_attach(other.ws));
	must(ws_configure(other.ws, &config));
	start(w[0], LINK, writer, NULL, NULL);
	start(w[1], &other, writer, NULL, NULL);
	start(w[2], LINK, reader, seen[0], &left[0]);
	start(w[3], &other, reader, seen[1], &left[1]);
	for (i = 0; i < 4; i++)
		join(w[i]);
	all_seen(seen[0]);
	all_seen(seen[1]);
}

static int read_rest(void *argument)
{
	struct link *l = argument;

	expect_message(l, OP_TEXT, "next", 4);
	equal(5, ws_send(l->ws, OP_TEXT, "child", 5, 0));
	return 0;
}

/* The parent has read half of the message, the child reads the rest. */
CASE(share, row18_fork)
{
	char buffer[16];
	pid_t pid;

	put(OUT, .opcode = OP_TEXT, .text = "half and half");
	put(OUT, .opcode = OP_TEXT, .text = "next");
	peer_write(LINK);
	equal(5, recv(self->link.ws, buffer, 5, 0));
	pid = fork();
	if (!pid) {
		alarm(30);
		equal(8, recv(self->link.ws, buffer, 16, 0));
		check(!memcmp(buffer, "and half", 8));
		_exit(read_rest(LINK));
	}
	equal(0, reap(must(pid)));
	wire_expect(WIRE, OP_TEXT, true, "child", 5);
	equal(6, ws_send(self->link.ws, OP_TEXT, "parent", 6, 0));
	wire_expect(WIRE, OP_TEXT, true, "parent", 6);
}

CASE(share, row18_dup)
{
	char buffer[16];
	int fd = must(dup(self->link.ws));

	put(OUT, .opcode = OP_TEXT, .text = "half and half");
	peer_write(LINK);
	equal(5, recv(self->link.ws, buffer, 5, 0));
	equal(4, ws_send(fd, OP_BINARY, "open", 4, MSG_MORE));
	link_close_ws(LINK);
	self->link.ws = fd;
	equal(8, recv(fd, buffer, 16, 0));
	check(!memcmp(buffer, "and half", 8));
	equal(6, ws_send(fd, 0, "closed", 6, 0));
	wire_expect_message(WIRE, OP_BINARY, "openclosed", 10);
}

static void give_fd(int channel, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { "!", 1 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	equal(1, sendmsg(channel, &h, 0));
}

static int take_fd(int channel)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))), byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int fd;

	equal(1, recvmsg(channel, &h, 0));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(int));
	return fd;
}

struct handover { struct link *link; int channel; };

/* Another process: it has never seen the socket, and goes on in the middle of a message in both directions. */
static int take_over(void *argument)
{
	struct handover *h = argument;
	struct link l = *h->link;
	struct received r;
	char buffer[64];

	close(l.ws);
	l.ws = take_fd(h->channel);
	r = ws_recvmsg(l.ws, buffer, sizeof(buffer), 0);
	equal(22, r.n);
	check(!memcmp(buffer, "of a fragmented messag", 22));
	equal(OP_TEXT, r.record.opcode);
	equal(WEBSOCKET_MSG_END, r.record.flags);
	equal(9, ws_send(l.ws, 0, " by another", 11, 0) - 2);
	expect_message(&l, OP_TEXT, "next", 4);
	return 0;
}

CASE(share, row18_scm_rights_in_a_message)
{
	int channel[2];
	char buffer[16];
	struct handover h = { LINK };
	pid_t pid;

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, channel));
	h.channel = channel[1];
	pid = spawn(take_over, &h);
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "the rest of a frag");
	put(OUT, .opcode = OP_PONG);
	put(OUT, .opcode = OP_CONTINUATION, .text = "mented messag");
	put(OUT, .opcode = OP_TEXT, .text = "next");
	peer_write(LINK);
	equal(9, ws_receive(LINK, buffer, 9, 0).n);
	equal(5, ws_send(self->link.ws, OP_TEXT, "begun", 5, MSG_MORE));
	give_fd(channel[0], self->link.ws);
	link_close_ws(LINK);
	equal(0, reap(pid));
	wire_expect_message(WIRE, OP_TEXT, "begun by another", 16);
	close(channel[0]);
	close(channel[1]);
}

static int send_for_ever(void *argument)
{
	static unsigned char block[100000];
	struct link *l = argument;

	while (1)
		must(ws_send(l->ws, OP_BINARY, block, sizeof(block), 0));
	return 0;
}

static int read_for_ever(void *argument)
{
	struct link *l = argument;
	char buffer[16];

	while (1)
		must(recv(l->ws, buffer, sizeof(buffer), 0));
	return 0;
}

/* Row 38: killed while it waits for room, in the middle of its message; the next process ends or continues that. */
CASE(share, row38_killed_writer)
{
	pid_t pid;
	bool open = true;

	link_start_narrow(LINK, 8192);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	pid = spawn(send_for_ever, LINK);
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (!self->link.wire.open);
	while (ws_poll(self->link.ws) & POLLOUT || !ws_stuck(LINK))
		;
	must(kill(pid, SIGKILL));
	equal(128 + SIGKILL, reap(pid));
	must(fcntl(self->link.ws, F_SETFL, O_NONBLOCK));
	while (open || self->link.wire.seen.len != 3) {
		if (open && ws_send(self->link.ws, 0, "end", 3, 0) == 3)
			open = false;
		equal(WIRE_FRAME, wire_read(WIRE));
	}
	check(self->link.wire.seen.fin);
	peer_expect_silence(LINK);
}

CASE(share, row38_killed_reader)
{
	pid_t pid = spawn(read_for_ever, LINK);

	put(OUT, .opcode = OP_TEXT, .text = "read by the child");
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "for");
	peer_write(LINK);
	peer_settle(LINK);
	while (ws_poll(self->link.ws) & POLLIN)
		usleep(1000);
	must(kill(pid, SIGKILL));
	equal(128 + SIGKILL, reap(pid));
	put(OUT, .opcode = OP_CONTINUATION, .text = " the parent");
	peer_write(LINK);
	expect_text(LINK, "for the parent");
}

static volatile bool stop;

static void *look(void *argument)
{
	struct link *l = argument;
	struct websocket_config config;
	char text[256];
	socklen_t len;
	FILE *f;

	while (!stop) {
		len = sizeof(config);
		must(getsockopt(l->ws, SOL_WEBSOCKET, WEBSOCKET_CONFIG, &config, &len));
		ws_info(l->ws);
		ws_poll(l->ws);
		config.max_message = config.max_message == 1 << 20 ? 1 << 21 : 1 << 20;
		config.flags ^= WEBSOCKET_F_TEXT;
		must(ws_configure(l->ws, &config));
		f = fopen("/proc/net/tcp", "r");
		while (fgets(text, sizeof(text), f))
			;
		fclose(f);
		ulp_attach(l->ws);
	}
	return NULL;
}

/* Row 12: options, poll() and lists of sockets, while messages go both ways. */
CASE(share, row12_looked_at_from_all_sides)
{
	pthread_t lookers[3];
	int i;

	stop = false;
	for (i = 0; i < 3; i++)
		check(!pthread_create(&lookers[i], NULL, look, LINK));
	for (i = 0; i < 150; i++) {
		put(OUT, .opcode = OP_TEXT, .text = "ping pong");
		put(OUT, .opcode = OP_PING);
		peer_write(LINK);
		expect_text(LINK, "ping pong");
		wire_expect(WIRE, OP_PONG, true, "", 0);
	}
	stop = true;
	for (i = 0; i < 3; i++)
		check(!pthread_join(lookers[i], NULL));
}

static volatile bool go;

static void *attach_and_start(void *argument)
{
	struct link *l = argument;
	int result;

	while (!go)
		;
	result = ulp_attach(l->ws);
	check(!result || errno == EEXIST);
	ws_info(l->ws);
	link_configure(l, &(struct websocket_config){ .max_message = 100 });
	return (void *)(long)!result;
}

/* Row 12: TCP_ULP and the start by several threads at a time, while bytes come in. */
CASE(share, row12_started_by_several)
{
	pthread_t threads[3];
	void *attached;
	int round, i;

	for (round = 0; round < 40; round++) {
		long sum = 0;

		link_close(LINK);
		link_open(LINK, &variant->shape);
		put(OUT, .opcode = OP_TEXT, .text = "first");
		put(OUT, .opcode = OP_PING);
		put(OUT, .opcode = OP_TEXT, .text = "second");
		go = false;
		for (i = 0; i < 3; i++)
			check(!pthread_create(&threads[i], NULL, attach_and_start, LINK));
		peer_feed(LINK);
		go = true;
		for (i = 0; i < 3; i++) {
			check(!pthread_join(threads[i], &attached));
			sum += (long)attached;
		}
		equal(1, sum);
		peer_fed(LINK);
		expect_text(LINK, "first");
		expect_text(LINK, "second");
		wire_expect(WIRE, OP_PONG, true, "", 0);
		expect_nothing(LINK);
	}
}

SELFTEST_MAIN
