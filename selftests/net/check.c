// SPDX-License-Identifier: GPL-2.0
/* See check.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

__thread const char *check_file;
__thread int check_line;

const char *error_name(int error)
{
	const char *name = error ? strerrorname_np(error) : "no error";

	return name ? name : "unknown error";
}

void fail_at(const char *file, int line, const char *format, ...)
{
	char text[512];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	if (check_file && strcmp(check_file, file))
		fprintf(stderr, "# %s:%d: (in %s:%d) %s\n", check_file, check_line, file, line, text);
	else
		fprintf(stderr, "# %s:%d: %s\n", file, line, text);
	fflush(stderr);
	abort();
}

double seconds(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC, &t));
	return t.tv_sec + t.tv_nsec / 1e9;
}

void until_asleep(const pid_t *tid)
{
	char path[64], state = 0;
	FILE *f;
	int i;

	for (i = 0; i < 5 || state != 'S'; i++) {
		usleep(2000);
		if (!__atomic_load_n(tid, __ATOMIC_RELAXED))
			continue;
		sprintf(path, "/proc/self/task/%d/stat", *tid);
		f = fopen(path, "r");
		check(f && fscanf(f, "%*d %*s %c", &state) == 1);
		fclose(f);
	}
}
