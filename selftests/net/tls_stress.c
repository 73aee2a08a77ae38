// SPDX-License-Identifier: GPL-2.0
/*
 * Over TLS: many connections with pings and messages both ways, which end at any moment: close() and shutdown() of either side
 * in the middle of everything, and processes killed. Nothing is expected but that the kernel stays quiet, that no socket holds the
 * module afterwards, and that what arrives is in order.
 * time limit: 240 s
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "keys.h"
#include "shapes.h"

#define PROCESSES	4
#define CONNECTIONS	5	/* one after the other, in each of two threads */
#define ROUNDS		6

FIXTURE(tls_stress) { int unused; };
FIXTURE_VARIANT(tls_stress) { unsigned int version; };
FIXTURE_VARIANT_ADD(tls_stress, tls12) { .version = TLS_1_2_VERSION };
FIXTURE_VARIANT_ADD(tls_stress, tls13) { .version = TLS_1_3_VERSION };
FIXTURE_SETUP(tls_stress) { link_tls = variant->version; }
FIXTURE_TEARDOWN(tls_stress) { }

struct pair {
	int ws, peer;
	unsigned int seed;
	volatile bool over;
};

static void some_time(unsigned int *seed, unsigned int most)
{
	usleep(rand_r(seed) % most);
}

/* Frames to the socket under test: each message is a run of one byte, numbered. */
static void *peer_writes(void *argument)
{
	struct pair *p = argument;
	unsigned int seed = p->seed + 1, i;
	struct stream s;

	stream_init(&s, true);
	for (i = 0; !p->over; i++) {
		char bytes[9000];
		size_t len = rand_r(&seed) % (i % 7 ? 300 : sizeof(bytes)) + 1;

		memset(bytes, i, len);
		stream_clear(&s);
		if (rand_r(&seed) % 3)
			put(&s, .opcode = OP_BINARY, .payload = bytes, .len = len);
		else
			i--;
		put(&s, .opcode = OP_PING, .text = "stress");
		if (send(p->peer, s.bytes, s.len, MSG_NOSIGNAL) < 0)
			break;
	}
	stream_free(&s);
	return NULL;
}

static void *peer_reads(void *argument)
{
	struct pair *p = argument;
	char bytes[16384];
	enum record type;

	while (tls_recv_record(p->peer, &type, bytes, sizeof(bytes), 0) > 0)
		;
	return NULL;
}

static void *ws_writes(void *argument)
{
	struct pair *p = argument;
	unsigned int seed = p->seed + 2;
	static char bytes[30000];

	while (!p->over && ws_send(p->ws, OP_BINARY, bytes, rand_r(&seed) % sizeof(bytes), MSG_NOSIGNAL) >= 0)
		;
	return NULL;
}

/* Messages come in the order of their numbers, whole. */
static void *ws_reads(void *argument)
{
	struct pair *p = argument;
	unsigned char bytes[10000], next = 0;
	struct received r;
	ssize_t i;

	for (;;) {
		r = ws_recvmsg(p->ws, bytes, sizeof(bytes), 0);
		if (r.n <= 0)
			return NULL;
		for (i = 0; i < r.n; i++)
			if (bytes[i] != next)
				fail("byte %zd of message %u is %u", i, next, bytes[i]);
		next += !!(r.flags & MSG_EOR);
	}
}

static void one_connection(unsigned int seed)
{
	static const struct shape shapes[] = { { .family = IPV4 }, { .family = IPV6 } };
	void *(*const run[])(void *) = { peer_writes, peer_reads, ws_writes, ws_reads };
	struct pair p = { .seed = seed };
	pthread_t thread[ARRAY_SIZE(run)];
	struct link l;
	unsigned int i;

	link_start_default(&l, &shapes[seed & 1]);
	p.ws = l.ws;
	p.peer = l.peer;
	for (i = 0; i < ARRAY_SIZE(run); i++)
		check(!pthread_create(&thread[i], NULL, run[i], &p));
	some_time(&seed, 150000);
	p.over = rand_r(&seed) & 1;
	switch (rand_r(&seed) % 4) {
	case 0:
		shutdown(p.ws, SHUT_WR);
		break;
	case 1:
		shutdown(p.peer, SHUT_RDWR);
		break;
	case 2:
		shutdown(p.ws, SHUT_RDWR);
	}
	some_time(&seed, 30000);
	/* whoever is inside a call leaves it now, on one side first */
	shutdown(rand_r(&seed) & 1 ? p.ws : p.peer, SHUT_RDWR);
	p.over = true;
	shutdown(p.ws, SHUT_RDWR);
	shutdown(p.peer, SHUT_RDWR);
	for (i = 0; i < ARRAY_SIZE(run); i++)
		check(!pthread_join(thread[i], NULL));
	link_close(&l);
}

static void *some_connections(void *seed)
{
	unsigned int n = (unsigned long)seed, i;

	for (i = 0; i < CONNECTIONS; i++)
		one_connection(n * 1000 + i);
	return NULL;
}

static int process(void *seed)
{
	pthread_t other;

	check(!pthread_create(&other, NULL, some_connections, (char *)seed + 500));
	some_connections(seed);
	check(!pthread_join(other, NULL));
	return 7;
}

CASE(tls_stress, ends_at_any_moment)
{
	pid_t pid[PROCESSES];
	unsigned long i;

	for (i = 0; i < PROCESSES; i++)
		pid[i] = spawn(process, (void *)(i + 1));
	for (i = 0; i < PROCESSES; i++)
		equal(7, reap(pid[i]));
}

CASE(tls_stress, killed_at_any_moment)
{
	unsigned int seed = 5, round;
	pid_t pid[PROCESSES];
	unsigned long i;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < PROCESSES; i++)
			pid[i] = spawn(process, (void *)(i + 10 * round));
		some_time(&seed, 600000);
		for (i = 0; i < PROCESSES; i++)
			must(kill(pid[i], SIGKILL));
		for (i = 0; i < PROCESSES; i++)
			reap(pid[i]);
	}
}

SELFTEST_MAIN
