// SPDX-License-Identifier: GPL-2.0
/* See check.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
