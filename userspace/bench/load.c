// SPDX-License-Identifier: GPL-2.0
/* The command line of the load client; bench.h has the idea. */
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench.h"

struct options opt = { .conns = 64, .count = 1000, .name = "" };

static const struct {
	const char *name, *sizes, *what;
	void (*run)(void);
} cases[] = {
	{ "rtt", "16,125,1024,16384,65536,1048576", "round trips on one connection", case_rtt },
	{ "pipelined", "16,1024,16384", "many connections, 8 messages in flight on each", case_pipelined },
	{ "pings", "5000", "a ping on each of many connections", case_pings },
	{ "pings-client", "0", "what the client itself costs there", case_pings_client },
	{ "memory", "0", "memory of idle connections, new and used", case_memory },
	{ "segments", "16384,65536", "wake-ups for a message in many segments", case_segments },
	{ "pieces", "16384,65536", "wake-ups for a message in many fragments", case_pieces },
	{ "pong", "0", "time to a pong from an idle server", case_pong },
	{ "pong-stopped", "0", "... from a stopped process", case_pong_stopped },
	{ "pong-busy", "0", "... from one that works on other connections' messages", case_pong_busy },
	{ "fragments", "1000,10000,50000,200000", "messages of so many one-byte fragments", case_fragments },
	{ "unread", "10,100,300,1000", "a message behind so many unread ones", case_unread },
	{ "http", "64,1024", "requests over HTTP/1.1, with a browser's headers", case_http },
	{ "http-short", "64,1024", "... with the shortest head", case_http_short },
	{ "websocket", "64,1024", "the same messages over WebSocket", case_websocket },
	{ "longpoll", "64,1024", "messages that a server tells by long polling", case_longpoll },
	{ "longpoll-short", "64,1024", "... with the shortest head", case_longpoll_short },
	{ "push", "64,1024", "... over WebSocket", case_push },
};

#define NCASES	(sizeof(cases) / sizeof(cases[0]))

noreturn void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "load: ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	exit(1);
}

static noreturn void usage(void)
{
	fprintf(stderr, "load [-rt] [-n NAME] [-c CONNECTIONS] [-k COUNT] [-s SIZE,...] CASE [SERVER ARGUMENT...]\n"
		"  -r  the server is a plain TCP echo\n"
		"  -t  over kTLS\n");
	for (size_t i = 0; i < NCASES; i++)
		fprintf(stderr, "  %-14s %s (-s %s)\n", cases[i].name, cases[i].what, cases[i].sizes);
	exit(2);
}

static void parse_sizes(const char *s)
{
	char *end;

	opt.nsizes = 0;
	do {
		if (opt.nsizes == sizeof(opt.sizes) / sizeof(opt.sizes[0]))
			die("too many sizes");
		opt.sizes[opt.nsizes++] = strtoul(s, &end, 0);
		s = end + 1;
	} while (*end == ',');
}

/* Wake-up preemption would make the figures depend on which of the two happens to run. */
static void prepare(void)
{
	struct rlimit files = { 100000, 100000 };
	struct sched_param param = { 0 };

	if (sched_setscheduler(0, SCHED_BATCH, &param))
		die("SCHED_BATCH is refused");
	setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	const char *sizes = NULL;
	size_t i;
	int o;

	while ((o = getopt(argc, argv, "+rtn:c:k:s:")) != -1) {
		switch (o) {
		case 'r':
			opt.raw = true;
			break;
		case 't':
			opt.tls = true;
			setenv("BENCH_TLS", "1", 1);
			break;
		case 'n':
			opt.name = optarg;
			break;
		case 'c':
			opt.conns = atoi(optarg);
			break;
		case 'k':
			opt.count = atoi(optarg);
			break;
		case 's':
			sizes = optarg;
			break;
		default:
			usage();
		}
	}
	for (i = 0; i < NCASES; i++)
		if (optind < argc && !strcmp(argv[optind], cases[i].name))
			break;
	if (i == NCASES)
		usage();
	opt.argv = argv + optind + 1;
	parse_sizes(sizes ? sizes : cases[i].sizes);
	prepare();
	cases[i].run();
	return 0;
}
