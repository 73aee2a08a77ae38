// SPDX-License-Identifier: GPL-2.0
/*
 * Time from a ping to its pong, while the server process is idle, stopped, or busy with other connections'
 * messages.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define WORKERS		2	/* connections that keep the server busy */
#define NEVER_MS	1000

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* Keeps a message under way on each of the other connections. */
static void keep_busy(const struct burst *message)
{
	for (unsigned int i = 1; i <= WORKERS; i++)
		if (exchange_finish(&conns[i], message, 0))
			exchange_start(&conns[i], message);
}

/* Return: how many pongs came; their times are in @times. */
static unsigned int measure(u64 *times, const struct burst *ping, const struct burst *message, bool busy)
{
	unsigned int i;

	for (i = 0; i < opt.count; i++) {
		u64 start;

		if (busy)
			keep_busy(message);
		usleep(random() % 20000);
		start = now();
		exchange_start(conns, ping);
		if (!exchange_finish(conns, ping, NEVER_MS))
			break;
		times[i] = now() - start;
	}
	return i;
}

static void run(const char *name, bool stopped, bool busy)
{
	u64 *times = calloc(opt.count, sizeof(*times));
	struct burst ping, message;
	unsigned int n;

	if (!times)
		die("no memory");
	/* inherited by the server; busy.h */
	if (busy)
		setenv("BENCH_BUSY_MS", "10", 1);
	burst_make(&ping, 4, 1, OP_PING);
	burst_make(&message, 16, 1, OP_BINARY);
	server_start();
	conns_open(1 + WORKERS);
	for (n = 0; n < 8; n++)
		exchange(conns, &ping);
	for (n = 1; busy && n <= WORKERS; n++)
		exchange_start(&conns[n], &message);
	if (stopped) {
		kill(server, SIGSTOP);
		waitpid(server, NULL, WUNTRACED);
	}
	n = measure(times, &ping, &message, busy);
	if (n) {
		qsort(times, n, sizeof(*times), compare);
		say(name, 0, "\"n\": %u, \"median\": %llu, \"p99\": %llu, \"max\": %llu", n,
		    (unsigned long long)times[n / 2], (unsigned long long)times[n * 99 / 100],
		    (unsigned long long)times[n - 1]);
	} else {
		say(name, 0, "\"n\": 0");
	}
	conns_close();
	server_stop();
	free(times);
	burst_free(&ping);
	burst_free(&message);
}

void case_pong(void)
{
	run("pong", false, false);
}

void case_pong_stopped(void)
{
	run("pong-stopped", true, false);
}

void case_pong_busy(void)
{
	run("pong-busy", false, true);
}
