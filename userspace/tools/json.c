// SPDX-License-Identifier: GPL-2.0
/* JSON on standard output. */
#include <inttypes.h>
#include <stdio.h>

#include "json.h"

#define DEPTH_MAX	8

static bool filled[DEPTH_MAX];	/* whether the value at this depth has an element: the next one needs a comma */
static unsigned int depth;

/*
 * Length of the UTF-8 sequence at @s, 1 to 4; 0: it is none. Names of processes come from anybody, and JSON is UTF-8.
 * (RFC 3629: no overlong forms, no surrogates, nothing above 10FFFF.)
 */
static unsigned int utf8_length(const unsigned char *s)
{
	static const unsigned char least[] = { 0, 0, 0xc2, 0xe0, 0xf0 };
	unsigned int n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] < least[n] || s[0] > 0xf4)
		return 0;
	for (unsigned int i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void quote(const char *string)
{
	const unsigned char *s = (const unsigned char *)string;

	putchar('"');
	while (*s) {
		unsigned int n = utf8_length(s);

		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			printf("\\u%04x", *s);
		else if (n)
			fwrite(s, 1, n, stdout);
		else
			fputs("\\ufffd", stdout);
		s += n ? n : 1;
	}
	putchar('"');
}

static void next(const char *name)
{
	if (filled[depth])
		putchar(',');
	filled[depth] = depth > 0;
	if (name) {
		quote(name);
		putchar(':');
	}
}

void json_begin(const char *name, char bracket)
{
	next(name);
	putchar(bracket);
	filled[++depth] = false;
}

void json_end(char bracket)
{
	putchar(bracket);
	if (!--depth)
		putchar('\n');
}

void json_string(const char *name, const char *value)
{
	next(name);
	quote(value);
}

void json_u64(const char *name, uint64_t value)
{
	next(name);
	printf("%" PRIu64, value);
}

void json_double(const char *name, double value)
{
	next(name);
	printf("%.3f", value);
}

void json_bool(const char *name, bool value)
{
	next(name);
	fputs(value ? "true" : "false", stdout);
}
