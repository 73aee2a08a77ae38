// SPDX-License-Identifier: GPL-2.0
/* Which processes have which sockets: /proc/PID/fd/N is a link to "socket:[INODE]". */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "owners.h"
#include "tool.h"

static void add(struct owners *o, uint64_t inode, int pid, int fd, const char name[16])
{
	struct owner *w;

	if (o->n == o->room) {
		o->room = o->room ? 2 * o->room : 256;
		o->v = reallocarray(o->v, o->room, sizeof(*o->v));
		if (!o->v)
			fatal(EXIT_USAGE, "no memory");
	}
	w = &o->v[o->n++];
	*w = (struct owner){ .inode = inode, .pid = pid, .fd = fd };
	memcpy(w->name, name, sizeof(w->name));
}

static void read_name(int pid, char name[16])
{
	char path[32];
	FILE *f;
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (f) {
		n = fread(name, 1, 15, f);
		fclose(f);
	}
	name[n] = 0;
	if (n && name[n - 1] == '\n')
		name[n - 1] = 0;
}

static void look_at(struct owners *o, int pid)
{
	char path[32], link[64], name[16] = "";
	struct dirent *d;
	uint64_t inode;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir) {
		o->hidden |= errno == EACCES || errno == EPERM;
		return;
	}
	while ((d = readdir(dir))) {
		n = readlinkat(dirfd(dir), d->d_name, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = 0;
		if (sscanf(link, "socket:[%" SCNu64 "]", &inode) != 1)
			continue;
		if (!*name)
			read_name(pid, name);
		add(o, inode, pid, atoi(d->d_name), name);
	}
	closedir(dir);
}

static int by_inode(const void *a, const void *b)
{
	const struct owner *x = a, *y = b;

	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return x->pid != y->pid ? x->pid - y->pid : x->fd - y->fd;
}

void owners_fill(struct owners *o)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;

	o->n = 0;
	o->hidden = !proc;
	while (proc && (d = readdir(proc)))
		if (isdigit((unsigned char)*d->d_name))
			look_at(o, atoi(d->d_name));
	if (proc)
		closedir(proc);
	if (o->n)
		qsort(o->v, o->n, sizeof(*o->v), by_inode);
}

void owners_free(struct owners *o)
{
	free(o->v);
	*o = (struct owners){ 0 };
}

const struct owner *owners_find(const struct owners *o, uint64_t inode, size_t *count)
{
	size_t low = 0, high = o->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (o->v[middle].inode < inode)
			low = middle + 1;
		else
			high = middle;
	}
	for (*count = 0; low + *count < o->n && o->v[low + *count].inode == inode; ++*count)
		;
	return *count ? &o->v[low] : NULL;
}
