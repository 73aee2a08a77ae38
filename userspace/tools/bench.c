// SPDX-License-Identifier: GPL-2.0
/* kws bench: options, connections, and the schedule; bench.h has the idea. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "bench.h"
#include "kws.h"
#include "tool.h"

#define EVENTS		256
#define SIZE_MAX_BENCH	(64 << 20)

static const char help[] =
"usage: kws bench [OPTION]... ws://HOST[:PORT][/PATH]\n"
"\n"
"Loads an echo server and tells how long its answers took. The server may be any; the\n"
"WebSocket protocol is spoken here, not by the kernel. Every answer is compared.\n"
"\n"
"  -c, --connections N   default 1\n"
"  -r, --rate N          so many messages a second in all, due at fixed times whatever\n"
"                        the server does; times count from then (open loop)\n"
"  -f, --in-flight N     without --rate: messages under way on each connection; the next\n"
"                        one is sent when an answer comes (default 1)\n"
"  -s, --size SIZE       bytes of a message (default 125)\n"
"  -b, --binary          binary messages, not text\n"
"  -t, --time SECS       measure for so long (default 10)\n"
"  -w, --warm-up SECS    after so long (default 1)\n"
"      --timeout SECS    for the handshakes, and for the last answers (default 10)\n"
"  -H, --header LINE     send this header too (again for more)\n"
"  -j, --json            JSON, times in microseconds\n"
"  -h, --help            this text\n"
"\n"
"Exit status: 0 all was answered; 1 usage; 2 no connection; 3 a connection was lost, or\n"
"an answer was wrong; 4 some answers did not come in time.\n";

struct settings {
	const char *headers[64];
	unsigned int n_headers;
	bool json;
};

uint64_t bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static uint64_t due_time(const struct bench *b, uint64_t k)
{
	return b->start + (uint64_t)(k * (1e9 / b->rate));
}

uint64_t bench_due(const struct bench *b, const struct bench_conn *c, uint64_t n)
{
	return due_time(b, n * b->n_conns + c->index);
}

/* The first message of all that is due at t or later. */
static uint64_t first_due(const struct bench *b, uint64_t t)
{
	uint64_t k = t > b->start ? (t - b->start) * (b->rate / 1e9) : 0;

	while (k && due_time(b, k - 1) >= t)
		k--;
	while (due_time(b, k) < t)
		k++;
	return k;
}

uint64_t bench_first(const struct bench *b, const struct bench_conn *c, uint64_t t)
{
	uint64_t k = first_due(b, t);

	return k > c->index ? (k - c->index + b->n_conns - 1) / b->n_conns : 0;
}

/*
 * Options
 */

static double parse_rate(const char *arg)
{
	char *end;
	double rate = strtod(arg, &end);

	if (end == arg || *end || !(rate >= 0.001 && rate <= 1e9))
		fatal(EXIT_USAGE, "--rate: %s is no rate (0.001 to 1e9 a second)", arg);
	return rate;
}

static void set_option(struct bench *b, struct settings *s, int option)
{
	switch (option) {
	case 'c':
		b->n_conns = parse_number("--connections", optarg, 1, 1000000);
		break;
	case 'r':
		b->rate = parse_rate(optarg);
		break;
	case 'f':
		b->in_flight = parse_number("--in-flight", optarg, 1, 1000000);
		break;
	case 's':
		b->size = parse_size("--size", optarg);
		if (b->size > SIZE_MAX_BENCH)
			fatal(EXIT_USAGE, "--size: at most 64M");
		break;
	case 'b':
		b->opcode = WS_OP_BINARY;
		break;
	case 't':
		b->time_ns = parse_seconds("--time", optarg) * 1000000ULL;
		break;
	case 'w':
		b->warmup_ns = parse_seconds("--warm-up", optarg) * 1000000ULL;
		break;
	case 'T':
		b->timeout_ms = parse_seconds("--timeout", optarg);
		break;
	case 'H':
		if (s->n_headers == 63)
			fatal(EXIT_USAGE, "--header: at most 63 of them");
		s->headers[s->n_headers++] = optarg;
		break;
	case 'j':
		s->json = true;
		break;
	case 'h':
		fputs(help, stdout);
		exit(0);
	default:
		exit(EXIT_USAGE);
	}
}

static const char *parse_options(struct bench *b, struct settings *s, int argc, char **argv)
{
	static const struct option options[] = {
		{ "connections", required_argument, NULL, 'c' },
		{ "rate", required_argument, NULL, 'r' },
		{ "in-flight", required_argument, NULL, 'f' },
		{ "size", required_argument, NULL, 's' },
		{ "binary", no_argument, NULL, 'b' },
		{ "time", required_argument, NULL, 't' },
		{ "warm-up", required_argument, NULL, 'w' },
		{ "timeout", required_argument, NULL, 'T' },
		{ "header", required_argument, NULL, 'H' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:r:f:s:bt:w:H:jh", options, NULL)) >= 0)
		set_option(b, s, option);
	if (optind + 1 != argc)
		fatal(EXIT_USAGE, "which URL? See kws bench --help");
	if (!b->time_ns || !b->timeout_ms)
		fatal(EXIT_USAGE, "%s: 0 is no time", b->time_ns ? "--timeout" : "--time");
	if (b->rate && b->in_flight)
		fatal(EXIT_USAGE, "--in-flight: with --rate the schedule alone says what is under way");
	if (!b->in_flight)
		b->in_flight = 1;
	return argv[optind];
}

/*
 * Preparation
 */

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		fatal(EXIT_USAGE, "no memory");
	return p;
}

/* Letters and spaces, the same in every run. */
static void write_text(struct bench *b)
{
	static const char letters[] = "etaoin shrdlu";
	uint32_t random = 1;

	b->text = allocate(1, b->size + WINDOWS);
	for (size_t i = 0; i < b->size + WINDOWS; i++) {
		random = random * 1664525 + 1013904223;
		b->text[i] = letters[(random >> 16) % (sizeof(letters) - 1)];
	}
	b->buffer_size = BUFFER_SIZE + b->size + WS_HEADER_MAX;
	b->buffer = allocate(1, b->buffer_size);
}

static void connect_all(struct bench *b, const char *url, const struct settings *s)
{
	char why[200] = "";
	struct kws_options opt = { .flags = KWS_F_NO_START, .timeout_ms = b->timeout_ms, .headers = s->headers,
				   .why = why, .why_size = sizeof(why) };

	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	b->conns = allocate(b->n_conns, sizeof(*b->conns));
	for (unsigned int i = 0; i < b->n_conns; i++) {
		int on = 1, fd = kws_connect(url, &opt);

		if (fd < 0)
			fatal(fd == -EINVAL || fd == -EPROTONOSUPPORT ? EXIT_USAGE : EXIT_CONNECT, "%s: connection %u: %s",
			      url, i + 1, *why ? why : kws_strerror(fd));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		conn_init(b, &b->conns[i], fd);
	}
}

/*
 * The load
 */

/* Sends on every connection whose time has come. Return: when the next one's comes. */
static uint64_t keep_schedule(struct bench *b)
{
	uint64_t now = bench_now(), until = now < b->end ? now + 1 : b->end, due;
	unsigned int i;

	if (!b->rate)
		return b->end;
	/* after a pause of our own each connection sends all that it owes, once */
	for (i = 0; i < b->n_conns && due_time(b, b->next) < until; i++, b->next++)
		if (b->conns[b->next % b->n_conns].fd >= 0)
			conn_send(b, &b->conns[b->next % b->n_conns]);
	if (due_time(b, b->next) < until)
		b->next = first_due(b, until);
	due = due_time(b, b->next);
	return due < b->end ? due : b->end;
}

static void wait_for_events(struct bench *b, uint64_t until)
{
	struct epoll_event events[EVENTS];
	uint64_t now = bench_now(), ns = until > now ? until - now : 0;
	struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	int n = epoll_pwait2(b->epoll, events, EVENTS, &t, NULL);

	if (n < 0 && errno != EINTR)
		fatal(EXIT_USAGE, "epoll: %s", strerror(errno));
	for (int i = 0; i < n; i++)
		conn_event(b, events[i].data.ptr, events[i].events);
}

/* No connection is left: what was to be sent later does not count. */
static void end_early(struct bench *b)
{
	uint64_t now = bench_now();

	if (now >= b->end)
		return;
	b->end = now;
	b->time_ns = now > b->measure ? now - b->measure : 1;
}

static void run(struct bench *b)
{
	uint64_t last;

	b->start = bench_now();
	b->measure = b->start + b->warmup_ns;
	b->end = b->measure + b->time_ns;
	last = b->end + b->timeout_ms * 1000000ULL;
	for (unsigned int i = 0; !b->rate && i < b->n_conns; i++)
		conn_send(b, &b->conns[i]);
	while (bench_now() < b->end && b->lost < b->n_conns)
		wait_for_events(b, keep_schedule(b));
	keep_schedule(b);
	while (b->under_way && bench_now() < last && b->lost < b->n_conns)
		wait_for_events(b, last);
	if (b->lost == b->n_conns)
		end_early(b);
	for (unsigned int i = 0; i < b->n_conns; i++)
		conn_finish(b, &b->conns[i]);
}

int bench_main(int argc, char **argv)
{
	static struct bench b = { .n_conns = 1, .size = 125, .opcode = WS_OP_TEXT, .warmup_ns = 1000000000,
				  .time_ns = 10000000000, .timeout_ms = 10000 };
	static struct settings s;
	const char *url = parse_options(&b, &s, argc, argv);

	allow_many_descriptors();
	prctl(PR_SET_TIMERSLACK, 1);	/* else the kernel makes us up to 50 us late */
	write_text(&b);
	connect_all(&b, url, &s);
	run(&b);
	bench_report(&b, s.json);
	free(b.conns);
	free(b.text);
	free(b.buffer);
	if (fflush(stdout))
		fatal(EXIT_USAGE, "output: %s", strerror(errno));
	return b.lost ? EXIT_FAILED : b.unanswered ? EXIT_LATE : 0;
}
