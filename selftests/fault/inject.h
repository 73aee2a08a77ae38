/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes the n-th allocation or user copy fail. A test does the same thing with n = 1, 2, 3... until nothing failed any more:
 *
 *	EVERY_FAULT(at) {
 *		... what has to be there before
 *		nth_arm(&at);
 *		... the call
 *		nth_disarm(&at);
 *		... what has to be true, whatever has failed (at.hit)
 *	}
 *
 * Counted are the places in an instrumented module (vm/instrument/fault.h), in whatever context they run. With FAIL_NTH in the
 * environment, and a kernel that can inject faults, it is all that this thread does inside its system calls, TCP's
 * allocations included: /proc/thread-self/fail-nth.
 */
#ifndef INJECT_H
#define INJECT_H

#include <stdbool.h>

struct nth {
	unsigned int n;		/* which one fails */
	bool hit;		/* there was an n-th */
};

#define EVERY_FAULT(at) for (struct nth at = { .n = 1, .hit = true }; nth_next(&at); at.n++)

bool nth_next(struct nth *at);
void nth_arm(struct nth *at);
/* Leaves errno alone. */
void nth_disarm(struct nth *at);

/* Looks for the means, and sets them up. */
void inject_setup(void);

/* TCP's own allocations fail too: FAIL_NTH. */
bool inject_in_tcp(void);

/* From now on the CPU goes away for so many milliseconds whenever the module has set its timer; 0: no more. */
void inject_stall(unsigned int ms);

#endif
