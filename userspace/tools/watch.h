/* SPDX-License-Identifier: GPL-2.0 */
/* --watch: show something again and again. */
#ifndef KWS_WATCH_H
#define KWS_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct watch - when
 * @ms: between two looks; 0: look once
 * @count: looks; 0: until killed
 * @json: leave the screen alone
 * @done: looks so far
 * @start: of the first look, @last: of the one before this; clock_ms()
 * @seconds: from the last look to this one; 0: this is the first
 */
struct watch {
	uint32_t ms;
	unsigned long count;
	bool json;
	unsigned long done;
	uint64_t start, last;
	double seconds;
};

/* -w's optional argument; NULL: every second. */
void watch_set(struct watch *w, const char *arg);

/* What stands behind the options: the seconds of "--watch 2", or a mistake. */
void watch_rest(struct watch *w, const char *command, int argc, char **argv);

/* Waits for the time of the next look; false: there is none. */
bool watch_next(struct watch *w);

/* Puts what is shown on a cleared screen, where there is one. */
void watch_begin(const struct watch *w);

/* What is shown is complete; fatal() if it cannot be written. */
void watch_end(void);

#endif
