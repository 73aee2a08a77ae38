// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Lists of subprotocols: "a, b" as strings one after the other. */
#include <errno.h>
#include <string.h>

#include "handshake.h"

int protocols_split(struct text *to, const char *list, size_t len)
{
	const char *end = list + len;
	unsigned int count = 0;

	/* from another line of the same header */
	for (const char *p = to->s; p && *p; p += strlen(p) + 1)
		count++;
	while (list < end) {
		const char *comma = memchr(list, ',', end - list), *stop = comma ? comma : end;
		const char *next = comma ? comma + 1 : end;

		while (list < stop && strchr(" \t", *list))
			list++;
		while (stop > list && strchr(" \t", stop[-1]))
			stop--;
		if (list < stop) {
			/* RFC 6455 4.1, 10: each is another */
			if (++count > MAX_SUBPROTOCOLS || !is_token(list, stop - list) || protocols_find(to, list, stop - list))
				return -EINVAL;
			text_add(to, list, stop - list);
			text_add(to, "", 1);
		}
		list = next;
	}
	return to->failed ? -ENOMEM : 0;
}

const char *protocols_find(const struct text *list, const char *name, size_t len)
{
	for (const char *p = list->s; p && *p; p += strlen(p) + 1)
		if (strlen(p) == len && !memcmp(p, name, len))
			return p;
	return NULL;
}
