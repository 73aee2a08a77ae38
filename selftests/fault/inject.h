/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's fault injection, in two ways.
 *
 * In system calls: /proc/thread-self/fail-nth makes the n-th allocation or user copy of this thread fail, of all that it does
 * in process context. A test does the same thing with n = 1, 2, 3... until nothing failed any more:
 *
 *	EVERY_FAULT(at) {
 *		... what has to be there before
 *		nth_arm(&at);
 *		... the call
 *		nth_disarm(&at);
 *		... what has to be true, whatever has failed (at.hit)
 *	}
 *
 * In softirq: one of all allocations that may not sleep, in the whole guest, from the moment of arming on. The kernel counts
 * bytes (pages) before it fails; a test goes through all positions in steps that are smaller than any allocation.
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
void nth_disarm(struct nth *at);

struct atomic_fault {
	int bytes;		/* of slab allocations before the one that fails; -1: none fails */
	int pages;		/* likewise of pages */
	bool hit;		/* one has failed */
};

void atomic_arm(const struct atomic_fault *at);
void atomic_disarm(struct atomic_fault *at);

/* Puts the kernel's knobs where both need them; fails without them. */
void inject_setup(void);

#endif
