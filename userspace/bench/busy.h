/* SPDX-License-Identifier: GPL-2.0 */
/* What a server does with a message besides echoing it: nothing, or work for BENCH_BUSY_MS. */
#ifndef BUSY_H
#define BUSY_H

#include <stdlib.h>
#include <time.h>

static inline long long busy_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline void busy(void)
{
	static long long ns = -1;
	long long start;

	if (ns < 0)
		ns = getenv("BENCH_BUSY_MS") ? atoll(getenv("BENCH_BUSY_MS")) * 1000000 : 0;
	if (!ns)
		return;
	start = busy_clock();
	while (busy_clock() - start < ns)
		;
}

#endif
