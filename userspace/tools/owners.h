/* SPDX-License-Identifier: GPL-2.0 */
/* Which processes have which sockets, as far as /proc shows it. */
#ifndef KWS_OWNERS_H
#define KWS_OWNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct owner {
	uint64_t inode;
	int pid, fd;
	char name[16];	/* any bytes */
};

/**
 * struct owners - all that were found
 * @v, @n, @room: sorted by inode
 * @hidden: there are processes whose descriptors /proc does not show us
 */
struct owners {
	struct owner *v;
	size_t n, room;
	bool hidden;
};

/* Fills it anew. */
void owners_fill(struct owners *o);
void owners_free(struct owners *o);

/* The first of a socket's owners, *count of them. */
const struct owner *owners_find(const struct owners *o, uint64_t inode, size_t *count);

#endif
