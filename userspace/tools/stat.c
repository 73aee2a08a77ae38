// SPDX-License-Identifier: GPL-2.0
/* kws stat: /proc/net/websocket_stat for people, as JSON, and for Prometheus. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "kws.h"
#include "tool.h"
#include "watch.h"

#define COUNTERS_MAX	256

static const char help[] =
"usage: kws stat [OPTION]... [-w [SECS]]\n"
"\n"
"Shows what the module has counted in this network namespace since it was loaded.\n"
"\n"
"  -w, --watch[=SECS]  look again every so many seconds (default 1); show rates a second\n"
"  -n, --count N       end after N looks\n"
"  -j, --json          JSON, one line a look\n"
"      --prometheus    the text format of Prometheus, for node_exporter's textfile\n"
"                      collector\n"
"  -h, --help          this text\n"
"\n"
"Exit status: 0; 1 the module is not loaded.\n";

/* What they mean. Those that begin with Fail are connections that failed for that reason. */
static const struct {
	const char *name, *text;
} meanings[] = {
	{ "Attached", "Sockets to which the protocol was attached (TCP_ULP)" },
	{ "Opened", "Sockets on which the protocol was started (WEBSOCKET_CONFIG)" },
	{ "Ended", "Opened sockets that were closed" },
	{ "PongsSent", "Pings answered by the kernel" },
	{ "PongsDelayed", "Pongs that had to wait for room to send" },
	{ "PongsLost", "Pings not answered for want of memory" },
	{ "PingsCoalesced", "Pings answered by the pong to a later one" },
	{ "KeepalivePings", "Pings sent by the kernel" },
	{ "ClosesSent", "Close frames sent" },
	{ "ClosesReceived", "Close frames received" },
	{ "CloseRetries", "Close frames that had to wait for memory" },
	{ "Streamed", "Messages delivered in parts because TCP could not hold them" },
	{ "ResetUnread", "Sockets closed with messages unread, which resets the connection" },
	{ "TlsOpened", "Sockets on which the protocol was started over kTLS (WEBSOCKET_ATTACH)" },
	{ "TlsWork", "Runs of work items that decrypt or encrypt, because no system call was there to do it" },
	{ "TlsStops", "How often decrypting waited for a program that did not read" },
	{ "FailRsv", "a reserved bit was set" },
	{ "FailOpcode", "a reserved opcode" },
	{ "FailUnmasked", "a client's frame was not masked" },
	{ "FailMasked", "a server's frame was masked" },
	{ "FailControlFragment", "a fragmented control frame" },
	{ "FailControlLength", "a control frame of more than 125 bytes" },
	{ "FailLengthForm", "a length not in its shortest form" },
	{ "FailLengthTopBit", "a length with the top bit set" },
	{ "FailContinuation", "a continuation of no message" },
	{ "FailInterleaved", "a message began inside another" },
	{ "FailCloseLength", "a Close payload of one byte" },
	{ "FailCloseCode", "a close code that must not be sent" },
	{ "FailCloseUtf8", "a close reason that is not UTF-8" },
	{ "FailUtf8", "a text message that is not UTF-8" },
	{ "FailTooBig", "a message larger than max_message" },
	{ "FailUnstable", "bytes changed after they were examined" },
	{ "FailStolen", "somebody else read or wrote the stream" },
	{ "FailPongTimeout", "no answer to a keep-alive ping" },
	{ "FailCloseTimeout", "no answer to Close" },
	{ "FailUnreadable", "payload in memory that the CPU cannot read" },
	{ "FailTlsRecord", "a TLS record that was broken or out of place" },
	{ "FailTlsAlert", "an alert of TLS" },
	{ "FailTlsRekey", "a TLS handshake, which asks for other keys" },
};

/* The counters at one look, in the file's order. */
struct counters {
	struct {
		char name[32];
		uint64_t value;
	} v[COUNTERS_MAX];
	unsigned int n;
};

static void read_counters(struct counters *c)
{
	FILE *f = fopen(STAT_FILE, "re");

	if (!f && errno == ENOENT)
		fatal(EXIT_USAGE, "there is no " STAT_FILE ": %s", kws_strerror(ENOENT));
	if (!f)
		fatal(EXIT_USAGE, STAT_FILE ": %s", strerror(errno));
	for (c->n = 0; c->n < COUNTERS_MAX; c->n++)
		if (fscanf(f, "%31s %" SCNu64, c->v[c->n].name, &c->v[c->n].value) != 2)
			break;
	if (ferror(f))
		fatal(EXIT_USAGE, STAT_FILE ": %s", strerror(errno));
	fclose(f);
}

/* NULL: a counter of a newer module. */
static const char *meaning(const char *name)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
		if (!strcmp(meanings[i].name, name))
			return meanings[i].text;
	return NULL;
}

static uint64_t value_of(const struct counters *c, const char *name)
{
	for (unsigned int i = 0; i < c->n; i++)
		if (!strcmp(c->v[i].name, name))
			return c->v[i].value;
	return 0;
}

/* How much a second since the last look. */
static double rate(const struct watch *w, const struct counters *now, const struct counters *before, unsigned int i)
{
	uint64_t old = value_of(before, now->v[i].name);

	return w->seconds && now->v[i].value > old ? (now->v[i].value - old) / w->seconds : 0;
}

static bool is_failure(const char *name)
{
	return !strncmp(name, "Fail", 4);
}

static void show_plain(const struct watch *w, const struct counters *now, const struct counters *before)
{
	for (unsigned int i = 0; i < now->n; i++) {
		const char *name = now->v[i].name, *text = meaning(name);

		printf("%-22s%12" PRIu64, name, now->v[i].value);
		if (w->ms)
			printf(" %10.1f/s", rate(w, now, before, i));
		printf("  %s%s\n", is_failure(name) ? "Failed: " : "", text ? text : "");
	}
}

static void show_json(const struct watch *w, const struct counters *now, const struct counters *before)
{
	json_begin(NULL, '{');
	for (unsigned int i = 0; i < now->n; i++)
		json_u64(now->v[i].name, now->v[i].value);
	if (w->seconds) {
		json_begin("rates", '{');
		for (unsigned int i = 0; i < now->n; i++)
			json_double(now->v[i].name, rate(w, now, before, i));
		json_end('}');
	}
	json_end('}');
}

/* FailCloseUtf8 as close_utf8: the names of Prometheus are in lower case. */
static void snake(const char *name, char *out)
{
	for (const char *s = name; *s; s++) {
		if (isupper((unsigned char)*s) && s != name)
			*out++ = '_';
		*out++ = isalnum((unsigned char)*s) ? tolower((unsigned char)*s) : '_';
	}
	*out = 0;
}

static void prometheus_head(const char *name, const char *type, const char *text)
{
	printf("# HELP %s %s.\n# TYPE %s %s\n", name, text, name, type);
}

static void show_prometheus(const struct counters *c)
{
	char name[64], metric[96];
	uint64_t opened = value_of(c, "Opened"), ended = value_of(c, "Ended");

	prometheus_head("websocket_open", "gauge", "Sockets on which the protocol runs");
	printf("websocket_open %" PRIu64 "\n", opened > ended ? opened - ended : 0);
	for (unsigned int i = 0; i < c->n; i++) {
		const char *text = meaning(c->v[i].name);

		if (is_failure(c->v[i].name))
			continue;
		snake(c->v[i].name, name);
		snprintf(metric, sizeof(metric), "websocket_%s_total", name);
		prometheus_head(metric, "counter", text ? text : "A counter that this kws does not know");
		printf("%s %" PRIu64 "\n", metric, c->v[i].value);
	}
	prometheus_head("websocket_failures_total", "counter", "Connections that failed, by reason");
	for (unsigned int i = 0; i < c->n; i++) {
		if (!is_failure(c->v[i].name))
			continue;
		snake(c->v[i].name + 4, name);
		printf("websocket_failures_total{reason=\"%s\"} %" PRIu64 "\n", name, c->v[i].value);
	}
}

static void look(struct watch *w, bool prometheus)
{
	static struct counters counters[2];

	for (unsigned int i = 0; watch_next(w); i = !i) {
		read_counters(&counters[i]);
		watch_begin(w);
		if (prometheus)
			show_prometheus(&counters[i]);
		else if (w->json)
			show_json(w, &counters[i], &counters[!i]);
		else
			show_plain(w, &counters[i], &counters[!i]);
		watch_end();
	}
}

int stat_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "watch", optional_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "prometheus", no_argument, NULL, 'M' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct watch w = { 0 };
	bool prometheus = false;
	int option;

	while ((option = getopt_long(argc, argv, "w::n:jh", options, NULL)) >= 0) {
		if (option == 'w') {
			watch_set(&w, optarg);
		} else if (option == 'n') {
			w.count = parse_number("--count", optarg, 1, 1000000000);
		} else if (option == 'j') {
			w.json = true;
		} else if (option == 'M') {
			prometheus = true;
		} else if (option == 'h') {
			fputs(help, stdout);
			return 0;
		} else {
			return EXIT_USAGE;
		}
	}
	watch_rest(&w, "stat", argc - optind, argv + optind);
	if (prometheus && (w.ms || w.json))
		fatal(EXIT_USAGE, "--prometheus is one look, in its own format");
	look(&w, prometheus);
	return 0;
}
