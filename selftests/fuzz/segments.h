/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Segmentation chosen by the fuzzer: the input starts with a byte that says how many bytes of segment lengths follow.
 * They are used in turn; none, or only zeros, is one segment of everything.
 */
#ifndef WS_FUZZ_SEGMENTS_H
#define WS_FUZZ_SEGMENTS_H

#include "types.h"

#define SEGMENTS_MAX	15

struct segments {
	const u8 *lengths;
	unsigned int n, i;
};

/* Take the segmentation off the front of the input. */
static inline struct segments segments_take(const u8 **p, size_t *n)
{
	struct segments s = { .lengths = *p };
	unsigned int i, sum = 0;

	if (!*n)
		return s;
	s.n = **p % (SEGMENTS_MAX + 1);
	s.lengths++;
	if (s.n > *n - 1)
		s.n = *n - 1;
	*p += 1 + s.n;
	*n -= 1 + s.n;
	for (i = 0; i < s.n; i++)
		sum += s.lengths[i];
	if (!sum)
		s.n = 0;
	return s;
}

/* The length of the next segment (it may be 0) when @left bytes are left. */
static inline size_t segments_next(struct segments *s, size_t left)
{
	size_t n;

	if (!s->n)
		return left;
	n = s->lengths[s->i++ % s->n];
	return n < left ? n : left;
}

#endif
