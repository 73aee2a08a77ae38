/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * TAP for the unit tests. A test program is a table of named functions; a function fails when one of its CHECK()s
 * does, and goes on all the same, so that one run shows everything.
 *
 *	static const struct tap_test tests[] = { { "RFC 6455 5.2: …", function }, … };
 *	TAP_MAIN(tests)
 */
#ifndef WS_TAP_H
#define WS_TAP_H

#include <stdarg.h>
#include <stdio.h>

#define TAP_SHOWN	10	/* failed checks that are printed for one test */

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct tap_test {
	const char *name;
	void (*run)(void);
};

/* Failed checks of the test that is running. */
static unsigned long tap_failed;

__attribute__((format(printf, 4, 5), cold))
static inline void tap_fail(const char *file, int line, const char *condition, const char *format, ...)
{
	va_list args;

	if (tap_failed++ >= TAP_SHOWN)
		return;
	printf("# %s:%d: %s: ", file, line, condition);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* CHECK(condition, "what was tried: %u", …) */
#define CHECK(condition, ...) \
	do { \
		if (__builtin_expect(!(condition), 0)) \
			tap_fail(__FILE__, __LINE__, #condition, __VA_ARGS__); \
	} while (0)

static inline int tap_run(const struct tap_test *tests, unsigned int n)
{
	unsigned int bad = 0;
	unsigned int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%u\n", n);
	for (i = 0; i < n; i++) {
		tap_failed = 0;
		tests[i].run();
		if (tap_failed > TAP_SHOWN)
			printf("# %lu failed checks in all\n", tap_failed);
		printf("%sok %u %s\n", tap_failed ? "not " : "", i + 1, tests[i].name);
		bad += !!tap_failed;
	}
	return bad ? 1 : 0;
}

#define TAP_MAIN(tests) \
	int main(void) \
	{ \
		return tap_run(tests, ARRAY_SIZE(tests)); \
	}

#endif
