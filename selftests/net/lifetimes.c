// SPDX-License-Identifier: GPL-2.0
/*
 * Beginnings and ends that race with everything else: attaching under the eyes of others, close() when timers fire, connections
 * that end in the middle of a frame, network namespaces that end with connections in them. Afterwards no socket holds the module.
 * TIMES=n in the environment does each n times as often. time limit: 300 s
 */
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "intact.h"

/* long enough for any TIMES */
#define LIFE(name) TEST_F_TIMEOUT(lifetimes, name, 3600)

FIXTURE(lifetimes) { struct link link; int held; };
FIXTURE_VARIANT(lifetimes) { struct shape shape; };
SHAPE(lifetimes, server, SEGMENT_FRAME, IPV4, false, false);
SHAPE(lifetimes, client, SEGMENT_SEVEN, IPV6, true, true);

/* Sockets that hold the module. */
static int holders(void)
{
	FILE *f = fopen("/sys/module/websocket/refcnt", "r");
	int n;

	check(f && fscanf(f, "%d", &n) == 1);
	fclose(f);
	return n;
}

FIXTURE_SETUP(lifetimes)
{
	self->link = (struct link){ .ws = -1, .peer = -1 };
	self->held = holders();
}

FIXTURE_TEARDOWN(lifetimes)
{
	time_t start = time(NULL);

	while (holders() > self->held) {
		if (time(NULL) - start > 60)
			fail("%d sockets are left over", holders() - self->held);
		usleep(10000);
	}
}

static int times(int n)
{
	const char *more = getenv("TIMES");

	return more ? n * atoi(more) : n;
}

/* What an aborted message has been charged for has to come back each time. */
LIFE(row5_half_a_frame_and_gone)
{
	struct link *l = LINK;
	int i, n = times(100);

	for (i = 0; i < n; i++) {
		link_start_default(l, &variant->shape);
		put(OUT, OP_TEXT, .more = true, .text = "a beginning");
		if (i % 2)
			put(OUT, OP_BINARY, .text = "out of place");
		peer_write(l);
		/* a header that announces more than comes */
		peer_write_raw(l, variant->shape.client ? "\x80\x7e\x10\x00some" : "\x80\xfe\x10\x00keyssome", 8);
		if (i % 3 == 0)
			link_reset_peer(l);
		else if (i % 3 == 1)
			link_close_ws(l);
		link_close(l);
	}
}

/* A pong that cannot go, and what TCP has not taken, go with the socket: kmemleak would tell. */
LIFE(row6_pong_that_waits_at_close)
{
	unsigned char *big = new_pattern(4 << 20, 1);
	struct link *l = LINK;
	ssize_t n;
	int i;

	link_start_default(l, &variant->shape);
	do
		n = ws_send(l->ws, OP_BINARY, big, 4 << 20, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n > 0 || !ws_stuck(l));
	for (i = 0; i < 20; i++) {
		put(OUT, OP_PING, .text = "unanswered");
		peer_write(l);
	}
	peer_settle(l);
	equal(20, ws_info(l->ws).rx_pings);
	check(ws_info(l->ws).tx_pongs < 20);
	link_close(l);
	free(big);
}

static int watched = -1;
static bool stop;

/* Reads nothing away: whoever does that before the start has broken the stream. */
static void *watch(void *unused)
{
	char bytes[64];

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		int fd = __atomic_load_n(&watched, __ATOMIC_SEQ_CST);
		struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };
		struct websocket_info info;
		socklen_t len = sizeof(info);

		if (fd == -1)
			continue;
		poll(&p, 1, 0);
		recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
		getsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_INFO, &info, &len);
	}
	return unused;
}

static void *dump(void *unused)
{
	struct { struct nlmsghdr h; struct inet_diag_req_v2 r; } ask = {
		.h = { .nlmsg_len = sizeof(ask), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0U, .idiag_ext = 1 << (INET_DIAG_INFO - 1) },
	};
	static char answer[32768];
	int fd = must(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		int done = 0;

		ask.r.sdiag_family = ask.r.sdiag_family == AF_INET ? AF_INET6 : AF_INET;
		equal(sizeof(ask), send(fd, &ask, sizeof(ask), 0));
		while (!done) {
			ssize_t n = must(recv(fd, answer, sizeof(answer), 0));
			struct nlmsghdr *h = (struct nlmsghdr *)answer;

			for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
				done |= h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
		}
	}
	close(fd);
	return unused;
}

static void *read_proc(void *unused)
{
	char bytes[4096];

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		static const char *const files[] = { "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/websocket_stat" };
		unsigned int i;

		for (i = 0; i < 3; i++) {
			int fd = must(open(files[i], O_RDONLY | O_CLOEXEC));

			while (read(fd, bytes, sizeof(bytes)) > 0)
				;
			close(fd);
		}
	}
	return unused;
}

/* Everybody looks at a socket that is attached, started, used and closed. */
LIFE(row12_pitfall30_attach_and_close_while_watched)
{
	void *(*const roles[])(void *) = { watch, watch, dump, read_proc };
	pthread_t threads[4];
	struct link *l = LINK;
	int i, n = times(30);

	stop = false;
	for (i = 0; i < 4; i++)
		check(!pthread_create(&threads[i], NULL, roles[i], NULL));
	for (i = 0; i < n; i++) {
		static const struct websocket_config defaults;

		link_open(l, &variant->shape);
		put(OUT, OP_TEXT, .text = "before the start");
		peer_write(l);
		__atomic_store_n(&watched, l->ws, __ATOMIC_SEQ_CST);
		link_start(l, &defaults);
		expect_text(l, "before the start");
		intact(l);
		/* half of them are closed under the watchers' eyes; their numbers go to no other file meanwhile */
		if (i % 2)
			__atomic_store_n(&watched, -1, __ATOMIC_SEQ_CST);
		link_close(l);
	}
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	for (i = 0; i < 4; i++)
		check(!pthread_join(threads[i], NULL));
}

/* Timers that fire all the time, and connections that end all the time: by close(), by the peer, by a reset. */
LIFE(row57_pitfall31_close_when_timers_fire)
{
	enum { MANY = 64 };
	static struct link links[MANY];
	struct websocket_config config = { .ping_interval_ms = 1, .pong_timeout_ms = 3, .close_timeout_ms = 2 };
	unsigned int seed = 1;
	int i, n = times(400);

	for (i = 0; i < MANY; i++)
		links[i] = (struct link){ .ws = -1, .peer = -1 };
	for (i = 0; i < n; i++) {
		struct link *l = &links[rand_r(&seed) % MANY];

		if (l->ws >= 0) {
			if (rand_r(&seed) % 4 == 0)
				link_reset_peer(l);
			else if (rand_r(&seed) % 4 == 0)
				shutdown(l->ws, SHUT_WR);
			link_close(l);
		}
		config.pong_timeout_ms = 1 + rand_r(&seed) % 50;
		link_open(l, &variant->shape);
		link_start(l, &config);
	}
	for (i = 0; i < MANY; i++)
		link_close(&links[i]);
}

static const struct shape *child_shape;

static void *talk_for_ever(void *argument)
{
	struct link *l = argument;

	for (;;) {
		put(&l->out, OP_BINARY, .text = "traffic");
		put(&l->out, OP_PING, .text = "traffic");
		peer_write(l);
		ws_send(l->ws, OP_TEXT, "traffic", 7, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	return NULL;
}

static int live_in_a_namespace(void *argument)
{
	struct websocket_config config = { .ping_interval_ms = 1 };
	static struct link links[4];
	pthread_t thread;
	int i;

	fresh_netns();
	for (i = 0; i < 4; i++) {
		link_open(&links[i], child_shape);
		link_start(&links[i], &config);
		check(!pthread_create(&thread, NULL, talk_for_ever, &links[i]));
	}
	equal(1, write(*(int *)argument, "", 1));
	pause();
	return 1;
}

/* kill -9, and the namespace goes with what is left of its connections. */
LIFE(row17_namespaces_end_with_live_connections)
{
	int i, ready[2], n = times(3);
	char byte;

	child_shape = &variant->shape;
	must(pipe(ready));
	for (i = 0; i < n; i++) {
		pid_t pid = spawn(live_in_a_namespace, &ready[1]);

		equal(1, read(ready[0], &byte, 1));
		usleep(20000 * (i % 3));
		must(kill(pid, SIGKILL));
		equal(128 + SIGKILL, reap(pid));
	}
}

SELFTEST_MAIN
