// SPDX-License-Identifier: GPL-2.0
/* The histogram of kws bench: userspace/tools/histogram.c against sorted values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "tap.h"

#define N	20000

static struct histogram h;

static void clear(void)
{
	memset(&h, 0, sizeof(h));
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void empty(void)
{
	clear();
	CHECK(histogram_percentile(&h, 50) == 0, "an empty one");
	CHECK(histogram_mean(&h) == 0, "an empty one");
}

/* Around every edge of a bucket, a value comes back to within 0.1 %, and never smaller than it is. */
static void one_value(void)
{
	for (unsigned int bit = 0; bit < 40; bit++)
		for (int d = -3; d <= 3; d++) {
			uint64_t v = (1ULL << bit) + d, got;

			clear();
			histogram_add(&h, v);
			/* another one above: max must not hide the bucket's end */
			histogram_add(&h, HISTOGRAM_MAX);
			got = histogram_percentile(&h, 50);
			if (v > HISTOGRAM_MAX)
				continue;	/* 2^0 - 3 */
			CHECK(got >= v && got - v <= v / 1000, "%llu became %llu", (unsigned long long)v,
			      (unsigned long long)got);
			if (v < 2048)
				CHECK(got == v, "%llu became %llu", (unsigned long long)v, (unsigned long long)got);
		}
}

/* Percentiles of values over many magnitudes are those of the sorted list. */
static void against_sorting(void)
{
	static const double percents[] = { 0, 0.01, 1, 25, 50, 75, 90, 99, 99.9, 99.99, 99.995, 100 };
	static uint64_t v[N];
	double sum = 0;

	clear();
	srandom(1);
	for (int i = 0; i < N; i++) {
		v[i] = (uint64_t)random() >> random() % 31;
		sum += v[i];
		histogram_add(&h, v[i]);
	}
	qsort(v, N, sizeof(*v), by_value);
	for (unsigned int i = 0; i < ARRAY_SIZE(percents); i++) {
		double rank = ceil(percents[i] / 100 * N);
		uint64_t want = v[rank < 1 ? 0 : (int)rank - 1], got = histogram_percentile(&h, percents[i]);

		CHECK(got >= want && got - want <= want / 1000, "%g %%: %llu, not %llu", percents[i],
		      (unsigned long long)got, (unsigned long long)want);
	}
	CHECK(h.min == v[0] && h.max == v[N - 1], "min and max");
	CHECK(histogram_percentile(&h, 100) == v[N - 1], "100 %% is the largest value itself");
	CHECK(fabs(histogram_mean(&h) - sum / N) < 1e-6 * sum / N, "mean");
}

/* Runs of equally distant values, cut where the buckets are, are the same as one after the other. */
static void runs(void)
{
	static struct histogram one;

	for (uint64_t distance = 1; distance < 1 << 22; distance *= 3) {
		uint64_t n = 0, after;

		clear();
		for (uint64_t i = 0; i < N; i++)
			histogram_add(&h, i * distance);
		one = h;
		clear();
		for (; n < N; n = after) {
			uint64_t start = histogram_bucket(n * distance);

			CHECK(start <= n * distance && histogram_bucket(start) == start, "the bucket of %llu", (unsigned long long)(n * distance));
			for (after = n + 1; after < N && histogram_bucket(after * distance) == start; after++)
				;
			histogram_add_run(&h, n * distance, (after - 1) * distance, after - n);
		}
		CHECK(!memcmp(h.count, one.count, sizeof(h.count)) && h.total == one.total && h.min == one.min && h.max == one.max, "counts");
		CHECK(fabs(histogram_mean(&h) - histogram_mean(&one)) <= 1e-9 * histogram_mean(&one), "mean");
	}
	CHECK(!histogram_bucket(0) && histogram_bucket(~0ULL) == histogram_bucket(HISTOGRAM_MAX), "the ends");
}

static void beyond_the_range(void)
{
	clear();
	histogram_add(&h, ~0ULL);
	histogram_add(&h, HISTOGRAM_MAX);
	CHECK(h.total == 2, "both count");
	CHECK(h.max == ~0ULL, "the largest is exact");
	CHECK(histogram_percentile(&h, 50) >= HISTOGRAM_MAX, "not wrapped");
}

static const struct tap_test tests[] = {
	{ "no values", empty },
	{ "one value, around every power of two", one_value },
	{ "percentiles of 20,000 values", against_sorting },
	{ "many values at once", runs },
	{ "values beyond the range", beyond_the_range },
};

TAP_MAIN(tests)
