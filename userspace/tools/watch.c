// SPDX-License-Identifier: GPL-2.0
/* --watch: show something again and again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"
#include "watch.h"

void watch_set(struct watch *w, const char *arg)
{
	w->ms = arg ? parse_seconds("--watch", arg) : 1000;
	if (!w->ms)
		fatal(EXIT_USAGE, "--watch: 0 is no time");
}

void watch_rest(struct watch *w, const char *command, int argc, char **argv)
{
	if (argc && w->ms) {
		watch_set(w, *argv);
		argc--;
		argv++;
	}
	if (argc)
		fatal(EXIT_USAGE, "%s: what is that? See kws %s --help", *argv, command);
	if (w->count && !w->ms)
		w->ms = 1000;
}

bool watch_next(struct watch *w)
{
	uint64_t now = clock_ms(), due = w->start + w->done * w->ms;

	if (!w->done++) {
		w->start = w->last = now;
		return true;
	}
	if (!w->ms || (w->count && w->done > w->count))
		return false;
	if (now > due) {
		/* late: the next one comes an interval later */
		w->start += now - due;
	} else {
		struct timespec t = { .tv_sec = (due - now) / 1000, .tv_nsec = (due - now) % 1000 * 1000000 };

		while (nanosleep(&t, &t) && errno == EINTR)
			;
		now = clock_ms();
	}
	w->seconds = (now > w->last ? now - w->last : 1) / 1000.0;
	w->last = now;
	return true;
}

void watch_begin(const struct watch *w)
{
	if (w->ms && !w->json && isatty(STDOUT_FILENO))
		fputs("\033[H\033[J", stdout);
	else if (w->done > 1 && !w->json)
		putchar('\n');
}

void watch_end(void)
{
	if (fflush(stdout))
		fatal(EXIT_USAGE, "output: %s", strerror(errno));
}
