// SPDX-License-Identifier: GPL-2.0 OR MIT
/* A growing string. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* Makes room for len more bytes and a NUL; false: there is none. */
static bool text_reserve(struct text *t, size_t len)
{
	size_t need = t->len + len + 1, size = t->size ? t->size : 256;
	char *s;

	if (t->failed)
		return false;
	if (need <= t->size)
		return true;
	while (size < need)
		size *= 2;
	s = realloc(t->s, size);
	if (!s) {
		t->failed = true;
		return false;
	}
	t->s = s;
	t->size = size;
	return true;
}

void text_add(struct text *t, const void *bytes, size_t len)
{
	if (!text_reserve(t, len))
		return;
	if (len)
		memcpy(t->s + t->len, bytes, len);
	t->len += len;
	t->s[t->len] = 0;
}

void text_printf(struct text *t, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0 || !text_reserve(t, len))
		return;
	va_start(args, format);
	vsnprintf(t->s + t->len, len + 1, format, args);
	va_end(args);
	t->len += len;
}

void text_free(struct text *t)
{
	free(t->s);
	*t = (struct text){ 0 };
}
