/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* A growing string. A failed allocation is remembered, so that only the last of many additions is checked. */
#ifndef KWS_TEXT_H
#define KWS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct text - all zero is the empty one
 * @s: the bytes, and a NUL after them; NULL while nothing was added
 * @len: bytes, without the NUL
 * @size: bytes allocated
 * @failed: an addition found no memory; further ones are ignored
 */
struct text {
	char *s;
	size_t len;
	size_t size;
	bool failed;
};

void text_add(struct text *t, const void *bytes, size_t len);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *t);

#endif
