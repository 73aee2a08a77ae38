// SPDX-License-Identifier: GPL-2.0
/*
 * Mixed load for as long as SECONDS in the environment says (`make soak'; 4 by default): connections between two message sockets,
 * both directions at once, messages of all sizes sent in all manners, pings between them. Each message has a number, a length
 * and bytes that follow from them: nothing is lost, doubled or reordered, and afterwards no socket and no reference is left.
 * time limit: 300 s
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "shapes.h"

enum { PAIRS = 3, LONGEST = 200000, HEAD = 12 };

struct way {
	int		from, to;
	unsigned int	seed;
	time_t		until;
	pthread_t	sender, receiver;
};

static unsigned long long *total;	/* messages, of all processes */

static int number_in(const char *path, const char *format)
{
	FILE *f = fopen(path, "r");
	char line[256];
	int n = -1;

	check(f);
	while (n < 0 && fgets(line, sizeof(line), f))
		sscanf(line, format, &n);
	fclose(f);
	check(n >= 0);
	return n;
}

static size_t some_length(unsigned int *seed)
{
	static const size_t most[] = { 20, 125, 126, 1500, 20000, 70000, LONGEST - HEAD };

	return HEAD + rand_r(seed) % most[rand_r(seed) % 7];
}

static void send_in_pieces(struct way *w, const unsigned char *bytes, size_t len, unsigned int *seed)
{
	size_t done = 0;

	while (done < len) {
		size_t n = 1 + rand_r(seed) % (len / 3 + 1);
		bool last = n >= len - done;
		ssize_t sent = send(w->from, bytes + done, last ? len - done : n, last ? 0 : MSG_MORE);

		if (sent < 0)
			fail("send: %s", error_name(errno));
		done += sent;
	}
}

static void *send_all(void *argument)
{
	struct way *w = argument;
	unsigned char *bytes = malloc(LONGEST);
	unsigned int seed = w->seed, number = 0;
	bool last;

	do {
		size_t len = some_length(&seed);

		last = number && (time(NULL) >= w->until || rand_r(&seed) % 2000 == 0);
		memcpy(bytes, &number, 4);
		memcpy(bytes + 4, &(__u32){ len }, 4);
		memcpy(bytes + 8, &(__u32){ last }, 4);
		pattern(bytes + HEAD, len - HEAD, w->seed + number);
		if (rand_r(&seed) % 3)
			equal(len, ws_send(w->from, OP_BINARY, bytes, len, 0));
		else
			send_in_pieces(w, bytes, len, &seed);
		if (rand_r(&seed) % 4 == 0)
			equal(4, ws_send(w->from, OP_PING, bytes, 4, 0));
		number++;
	} while (!last);
	free(bytes);
	return NULL;
}

static void *receive_all(void *argument)
{
	struct way *w = argument;
	unsigned char *bytes = malloc(LONGEST), *want = malloc(LONGEST);
	unsigned int seed = ~w->seed, number = 0;
	__u32 head[3] = { 0 };

	do {
		size_t have = 0;
		struct received r;

		do {
			size_t room = rand_r(&seed) % 2 ? LONGEST - have : 1 + (size_t)rand_r(&seed) % 5000;

			r = ws_recvmsg(w->to, bytes + have, room < LONGEST - have ? room : LONGEST - have,
				       rand_r(&seed) % 3 ? 0 : MSG_WAITALL);
			if (r.error || !r.has_record || r.record.opcode != OP_BINARY)
				fail("message %u: %s, opcode %u", number, error_name(r.error), r.record.opcode);
			have += r.n;
		} while (!(r.flags & MSG_EOR));
		check(have >= HEAD);
		memcpy(head, bytes, HEAD);
		equal(number, head[0]);
		equal(have, head[1]);
		pattern(want, have - HEAD, w->seed + number);
		check(!memcmp(bytes + HEAD, want, have - HEAD));
		number++;
	} while (!head[2]);
	__atomic_add_fetch(total, number, __ATOMIC_SEQ_CST);
	free(bytes);
	free(want);
	return NULL;
}

static void one_connection(unsigned int seed, time_t until)
{
	struct websocket_config config = { .ping_interval_ms = 20 };
	struct way ways[2];
	struct received r;
	char byte;
	int a, b, i;

	tcp_pair(seed % 2 ? IPV4 : IPV6, &a, &b, seed % 3 ? 0 : 20000, 0);
	must(ulp_attach(a));
	must(ulp_attach(b));
	must(ws_configure(a, &config));
	config.flags = WEBSOCKET_F_CLIENT | (seed % 5 ? 0 : WEBSOCKET_F_CORK);
	must(ws_configure(b, &config));
	ways[0] = (struct way){ .from = a, .to = b, .seed = seed * 2, .until = until };
	ways[1] = (struct way){ .from = b, .to = a, .seed = seed * 2 + 1, .until = until };
	for (i = 0; i < 2; i++) {
		check(!pthread_create(&ways[i].sender, NULL, send_all, &ways[i]));
		check(!pthread_create(&ways[i].receiver, NULL, receive_all, &ways[i]));
	}
	for (i = 0; i < 2; i++)
		check(!pthread_join(ways[i].sender, NULL) && !pthread_join(ways[i].receiver, NULL));
	/* and nothing behind the last one */
	must(shutdown(a, SHUT_WR));
	r = ws_recvmsg(b, &byte, 1, 0);
	check(!r.error && !r.n && r.record.close_code == 1000);
	r = ws_recvmsg(a, &byte, 1, 0);
	check(!r.error && !r.n && r.record.close_code == 1000);
	close(a);
	close(b);
}

static int connections(void *argument)
{
	time_t until = time(NULL) + (getenv("SECONDS") ? atoi(getenv("SECONDS")) : 4);
	unsigned int i = 0;

	/* a sender is to say what went wrong */
	signal(SIGPIPE, SIG_IGN);
	do
		one_connection((uintptr_t)argument + PAIRS * i++, until);
	while (time(NULL) < until);
	return 0;
}

FIXTURE(soak) { int held, sockets; };
FIXTURE_SETUP(soak)
{
	self->held = number_in("/sys/module/websocket/refcnt", "%d");
	self->sockets = number_in("/proc/net/sockstat", "TCP: inuse %d");
	total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(total != MAP_FAILED);
}

FIXTURE_TEARDOWN(soak)
{
	time_t start = time(NULL);

	while (number_in("/sys/module/websocket/refcnt", "%d") > self->held ||
	       number_in("/proc/net/sockstat", "TCP: inuse %d") > self->sockets) {
		if (time(NULL) - start > 120)
			fail("sockets or references are left over");
		usleep(100000);
	}
}

TEST_F_TIMEOUT(soak, row42_nothing_lost_doubled_or_left, 1000000)
{
	pid_t pids[PAIRS];
	uintptr_t i;

	for (i = 0; i < PAIRS; i++)
		pids[i] = spawn(connections, (void *)i);
	for (i = 0; i < PAIRS; i++)
		equal(0, reap(pids[i]));
	printf("# %llu messages\n", *total);
}

SELFTEST_MAIN
