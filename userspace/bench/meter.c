// SPDX-License-Identifier: GPL-2.0
/* What a measured part cost. */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#include "bench.h"

/*
 * A no-op that userspace/bench/profile.c looks for. 1: it counts from here, 2: to here, 3: what it has counted is
 * a profile.
 */
#define MARK(n)	asm volatile(".byte 0x0f, 0x1f, 0x80, 'W', 'S', 'B', " #n : : : "memory")

u64 now(void)
{
	return __rdtsc();
}

static u64 run_time(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t))
		return 0;
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static u64 server_time(void)
{
	clockid_t clock;

	return server && !clock_getcpuclockid(server, &clock) ? run_time(clock) : 0;
}

void meter_resume(struct meter *m)
{
	m->wakeups -= server_wakeups();
	m->other -= server_time();
	m->self -= run_time(CLOCK_PROCESS_CPUTIME_ID);
	MARK(1);
	m->ns -= now();
}

void meter_pause(struct meter *m)
{
	m->ns += now();
	MARK(2);
	m->self += run_time(CLOCK_PROCESS_CPUTIME_ID);
	m->other += server_time();
	m->wakeups += server_wakeups();
}

void meter_start(struct meter *m)
{
	*m = (struct meter){ 0 };
	meter_resume(m);
}

void meter_stop(struct meter *m)
{
	meter_pause(m);
	MARK(3);
}

/**
 * say() - print one line
 * @name: of the case
 * @size: the parameter that varies
 * @fmt: the result, as members of a JSON object
 */
void say(const char *name, size_t size, const char *fmt, ...)
{
	va_list args;

	printf("{\"case\": \"%s%s\", \"server\": \"%s\", \"size\": %zu, \"conns\": %u, ",
	       opt.tls ? "tls-" : "", name, opt.name, size, opt.conns);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("}\n");
	fflush(stdout);
}

/**
 * result() - print one line about something that was measured
 * @name: of the case
 * @size: the parameter that varies
 * @n: how often the thing was done
 * @m: what it cost together
 */
void result(const char *name, size_t size, u64 n, const struct meter *m)
{
	double rest = m->ns ? 1 - (double)(m->self + m->other) / m->ns : 0;

	say(name, size, "\"n\": %llu, \"each\": %.2f, \"client\": %.2f, \"process\": %.2f, \"wakeups\": %.4f, "
	    "\"rest\": %.4f", (unsigned long long)n, (double)m->ns / n, (double)m->self / n, (double)m->other / n,
	    (double)m->wakeups / n, rest);
}
