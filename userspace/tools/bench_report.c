// SPDX-License-Identifier: GPL-2.0
/* kws bench: what it measured. */
#include <inttypes.h>
#include <stdio.h>

#include "bench.h"
#include "json.h"

static const struct {
	const char *name;
	double percent;
} percentiles[] = {
	{ "p50", 50 }, { "p75", 75 }, { "p90", 90 }, { "p99", 99 }, { "p99.9", 99.9 }, { "p99.99", 99.99 }, { "max", 100 },
};

#define N_PERCENTILES	(sizeof(percentiles) / sizeof(*percentiles))

static double seconds(const struct bench *b)
{
	return b->time_ns / 1e9;
}

static void json_histogram(const char *name, const struct histogram *h)
{
	json_begin(name, '{');
	json_u64("count", h->total);
	json_double("min", h->min / 1e3);
	json_double("mean", histogram_mean(h) / 1e3);
	for (unsigned int i = 0; i < N_PERCENTILES; i++)
		json_double(percentiles[i].name, histogram_percentile(h, percentiles[i].percent) / 1e3);
	json_end('}');
}

static void report_json(const struct bench *b)
{
	json_begin(NULL, '{');
	json_u64("connections", b->n_conns);
	if (b->rate)
		json_double("rate", b->rate);
	else
		json_u64("in_flight", b->in_flight);
	json_u64("size", b->size);
	json_double("seconds", seconds(b));
	json_u64("messages", b->messages);
	json_u64("answers", b->answers);
	json_u64("unanswered", b->unanswered);
	json_u64("lost_connections", b->lost);
	json_double("answers_per_second", b->answers / seconds(b));
	json_double("bytes_per_second", b->answers * (double)b->size / seconds(b));
	if (b->rate)
		json_histogram("response_us", &b->response);
	json_histogram("service_us", &b->service);
	if (b->rate)
		json_histogram("late_us", &b->late);
	json_end('}');
}

static void row(const struct bench *b, const char *name, double response, double service)
{
	printf("  %-8s", name);
	if (b->rate)
		printf("%16.3f", response / 1e6);
	printf("%16.3f\n", service / 1e6);
}

static void report_plain(const struct bench *b)
{
	const struct histogram *r = &b->response, *s = &b->service;

	printf("%u connection%s, messages of %zu bytes, %.1f s, ", b->n_conns, b->n_conns == 1 ? "" : "s", b->size,
	       seconds(b));
	if (b->rate)
		printf("%.1f/s due (open loop)\n", b->rate);
	else
		printf("%u in flight each (closed loop)\n", b->in_flight);
	printf("%" PRIu64 " messages, %" PRIu64 " answered: %.1f/s, %.3f MB/s each way\n\n", b->messages, b->answers,
	       b->answers / seconds(b), b->answers * (double)b->size / seconds(b) / 1e6);
	printf("  ms to the answer%s\n", b->rate ? "\n  from     when it was due   when it was sent" : " from sending");
	row(b, "min", r->min, s->min);
	row(b, "mean", histogram_mean(r), histogram_mean(s));
	for (unsigned int i = 0; i < N_PERCENTILES; i++)
		row(b, percentiles[i].name, histogram_percentile(r, percentiles[i].percent),
		    histogram_percentile(s, percentiles[i].percent));
	if (b->rate)
		printf("\nkws itself sent late by %.3f ms (p99), %.3f ms (max); the first column contains that.\n",
		       histogram_percentile(&b->late, 99) / 1e6, b->late.max / 1e6);
	else
		printf("\nThe clients wait for the server: what others would have met meanwhile is not in it. See --rate.\n");
	if (b->unanswered)
		printf("%" PRIu64 " were not answered in time; they count as long as they had waited.\n", b->unanswered);
}

/* Below the table; not into JSON, but status 3 is explained there too. */
static void report_lost(const struct bench *b, FILE *to, const char *before)
{
	fprintf(to, "%s%u connection%s: %s\n", before, b->lost, b->lost == 1 ? " was lost" : "s were lost, the first one", b->why);
}

void bench_report(const struct bench *b, bool json)
{
	if (json)
		report_json(b);
	else
		report_plain(b);
	if (b->lost)
		report_lost(b, json ? stderr : stdout, json ? "kws: " : "");
}
