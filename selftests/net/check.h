/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a self-test fails: at once, from any thread or child process, with the place in the helper and the place in the
 * test that called it. The harness reports the abort as a failed assertion.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

extern __thread const char *check_file;
extern __thread int check_line;

void fail_at(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));

/* "EPROTO" for EPROTO, "no error" for 0 */
const char *error_name(int error);

#define fail(...) fail_at(__FILE__, __LINE__, __VA_ARGS__)

/* Evaluates a call of a helper whose failures are to name this line. */
#define HERE(...) ((check_file = __FILE__, check_line = __LINE__), __VA_ARGS__)

#define check(condition) do {						\
	if (!(condition))						\
		fail("not true: %s", #condition);			\
} while (0)

/* Both sides are integers. */
#define equal(expected, seen) do {					\
	long long _want = (expected), _got = (seen);			\
	if (_want != _got)						\
		fail("%s is %lld, not %s (%lld)", #seen, _got,		\
		     #expected, _want);					\
} while (0)

/* The call succeeds; its value. */
#define must(call) ({							\
	errno = 0;							\
	__typeof__(call) _value = (call);				\
	if (_value == (__typeof__(call))-1)				\
		fail("%s: %s", #call, error_name(errno));		\
	_value;								\
})

/* The call returns -1 and this errno. */
#define refuses(error, call) do {					\
	errno = 0;							\
	long long _value = (call);					\
	int _seen = errno;						\
	if (_value != -1 || _seen != (error))				\
		fail("%s: %lld, %s; expected %s", #call, _value,	\
		     error_name(_value == -1 ? _seen : 0),		\
		     error_name(error));				\
} while (0)

/* CLOCK_MONOTONIC */
double seconds(void);
/* Until a thread has written its number to @tid, and sleeps in a system call. */
void until_asleep(const pid_t *tid);

#endif
