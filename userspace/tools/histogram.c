// SPDX-License-Identifier: GPL-2.0
/* A histogram of times after HdrHistogram's method. */
#include "histogram.h"

/* Values below 2^(BITS + 1) have a bucket each; above, buckets of 2, 4, 8... values, 2^BITS of each width. */
static unsigned int bucket(uint64_t value)
{
	unsigned int shift;

	if (value >> (HISTOGRAM_BITS + 1) == 0)
		return value;
	shift = 63 - __builtin_clzll(value) - HISTOGRAM_BITS;
	return (shift << HISTOGRAM_BITS) + (value >> shift);
}

/* The largest value of a bucket. */
static uint64_t bucket_end(unsigned int i)
{
	unsigned int shift;

	if (i >> (HISTOGRAM_BITS + 1) == 0)
		return i;
	shift = (i >> HISTOGRAM_BITS) - 1;
	return ((i - ((uint64_t)shift << HISTOGRAM_BITS) + 1) << shift) - 1;
}

uint64_t histogram_bucket(uint64_t value)
{
	unsigned int i = bucket(value < HISTOGRAM_MAX ? value : HISTOGRAM_MAX);

	return i ? bucket_end(i - 1) + 1 : 0;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	histogram_add_run(h, value, value, 1);
}

void histogram_add_run(struct histogram *h, uint64_t min, uint64_t max, uint64_t count)
{
	h->count[bucket(max < HISTOGRAM_MAX ? max : HISTOGRAM_MAX)] += count;
	if (!h->total || min < h->min)
		h->min = min;
	if (max > h->max)
		h->max = max;
	h->total += count;
	h->sum += ((double)min + max) / 2 * count;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	double exact = percent / 100 * h->total;
	uint64_t want = exact, seen = 0;

	if (!h->total)
		return 0;
	if (want < exact || !want)
		want++;
	for (unsigned int i = 0; i < HISTOGRAM_SIZE; i++) {
		seen += h->count[i];
		if (seen >= want)
			return bucket_end(i) < h->max ? bucket_end(i) : h->max;
	}
	return h->max;
}

double histogram_mean(const struct histogram *h)
{
	return h->total ? h->sum / h->total : 0;
}
