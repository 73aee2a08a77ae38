// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of idle connections: after they were made, and after each has answered pings and echoed messages. Both
 * ends of each connection are on this machine; the client's end is the same for every server, so that differences
 * are the server's.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define TIMES	20

/* Bytes: of slab objects, of TCP's buffers, of all pages that are not free. */
struct usage {
	double slab, buffers, pages, server;
};

static double slab_bytes(void)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	double sum = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long active, all, size;

		if (sscanf(line, "%*s %lu %lu %lu", &active, &all, &size) == 3)
			sum += (double)active * size;
	}
	if (f)
		fclose(f);
	return sum;
}

/* The number behind @name in a file. */
static double number(const char *file, const char *format)
{
	FILE *f = fopen(file, "r");
	double value = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, format, &value) == 1)
			break;
	if (f)
		fclose(f);
	return value;
}

static struct usage usage(void)
{
	struct usage u;

	usleep(500000);	/* what is freed by RCU, or after a delayed ACK */
	u.slab = slab_bytes();
	u.buffers = 4096 * number("/proc/net/sockstat", "TCP: inuse %*d orphan %*d tw %*d alloc %*d mem %lf");
	u.pages = -1024 * number("/proc/meminfo", "MemFree: %lf");
	u.server = 1024.0 * server_rss();
	return u;
}

static void say_usage(const char *name, const struct usage *before, const struct usage *after)
{
	unsigned int n = opt.conns;

	say(name, 0, "\"slab\": %.1f, \"buffers\": %.1f, \"pages\": %.1f, \"user\": %.1f",
	    (after->slab - before->slab) / n, (after->buffers - before->buffers) / n,
	    (after->pages - before->pages) / n, (after->server - before->server) / n);
}

void case_memory(void)
{
	struct usage start, idle, used;
	struct burst messages, ping;
	unsigned int n = opt.conns;

	burst_make(&messages, 16, TIMES, OP_BINARY);
	burst_make(&ping, 4, 1, OP_PING);
	server_start();
	conns_open(64);
	for (unsigned int i = 0; i < 64; i++)
		exchange(&conns[i], &messages);
	conns_close();
	start = usage();
	conns_open(n);
	idle = usage();
	say_usage("memory", &start, &idle);
	for (unsigned int i = 0; i < n; i++) {
		for (unsigned int k = 0; k < TIMES; k++)
			exchange(&conns[i], &ping);
		exchange(&conns[i], &messages);
	}
	used = usage();
	say_usage("memory-used", &start, &used);
	conns_close();
	server_stop();
	burst_free(&messages);
	burst_free(&ping);
}
