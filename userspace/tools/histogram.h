/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A histogram of times after HdrHistogram's method: buckets whose width grows with the value, so that every value from a
 * nanosecond to 19 minutes is kept to within 0.1 %, in constant memory, and recording one costs a few instructions.
 */
#ifndef KWS_HISTOGRAM_H
#define KWS_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS	10	/* of a value that are kept */
#define HISTOGRAM_MAX	(1ULL << 40)
#define HISTOGRAM_SIZE	((40 - HISTOGRAM_BITS + 2) << HISTOGRAM_BITS)

struct histogram {
	uint64_t count[HISTOGRAM_SIZE];
	uint64_t total, min, max;
	double sum;
};

/* Larger values than HISTOGRAM_MAX count as that; max and sum are exact. */
void histogram_add(struct histogram *h, uint64_t value);

/* The smallest value that shares the bucket of this one. */
uint64_t histogram_bucket(uint64_t value);

/* @count values at once, equally far from each other, from @min to @max: all of one bucket. */
void histogram_add_run(struct histogram *h, uint64_t min, uint64_t max, uint64_t count);

/* The value that percent % of all do not exceed (the end of its bucket, but never more than max); 0: there are none. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

double histogram_mean(const struct histogram *h);

#endif
