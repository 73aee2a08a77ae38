// SPDX-License-Identifier: GPL-2.0
/*
 * The counters of a module that was compiled with gcc's -fprofile-arcs, as text in /sys/module/websocket/parameters/coverage, page
 * by page. Distributions' kernels have no CONFIG_GCOV_KERNEL; this needs nothing of the kernel. selftests/coverage reads it.
 *
 * -fprofile-info-section has gcc put a pointer to each object's counters into a section, here behind the one of this file.
 */
#include <linux/module.h>
#include <linux/moduleparam.h>

#if __GNUC__ < 12 || __GNUC__ > 13
#error "gcov.c knows the counters of gcc 12 and 13"
#endif

#define KINDS 8	/* of counters; the first counts how often edges of the flow graph were taken */

struct counters {
	unsigned int nr;
	s64 *values;
};

struct function {
	const void *key;
	unsigned int ident, lineno_checksum, cfg_checksum;
	struct counters counters[];	/* one for each kind in use */
};

struct object {
	unsigned int version;
	void *next;
	unsigned int stamp, checksum;
	const char *gcda;
	void (*merge[KINDS])(s64 *counters, unsigned int nr);	/* not NULL: the kind is in use */
	unsigned int nr;
	const struct function *const *functions;
};

static const struct object *first __used __section("ws_gcov");

/* gcc refers to it, libgcov's would add up two runs of a program */
void __gcov_merge_add(s64 *counters, unsigned int nr);
void __gcov_merge_add(s64 *counters, unsigned int nr)
{
}

/* Where the next read goes on: it gets what fits into a page, the last one nothing. */
static unsigned int object, function;

/* "function" and its checksums, then its edges' counters; "object" before the first. False: no room. */
static bool show_next(char *page, int *len)
{
	const struct object *o = (&first)[1 + object];
	const struct function *f = o->functions[function];
	int n = *len;
	unsigned int i;

	if (!function)
		n += scnprintf(page + n, PAGE_SIZE - n, "object %u %u %u %s\n", o->version, o->stamp, o->checksum, o->gcda);
	/* one that another object has as well (inline) is shown there */
	if (f && f->key == o) {
		n += scnprintf(page + n, PAGE_SIZE - n, "function %u %u %u", f->ident, f->lineno_checksum, f->cfg_checksum);
		for (i = 0; i < f->counters[0].nr; i++)
			n += scnprintf(page + n, PAGE_SIZE - n, " %lld", READ_ONCE(f->counters[0].values[i]));
		n += scnprintf(page + n, PAGE_SIZE - n, "\n");
	}
	if (n >= PAGE_SIZE - 1)
		return false;
	*len = n;
	return true;
}

static int show(char *page, const struct kernel_param *kp)
{
	int len = 0;

	while (object < FILES && show_next(page, &len)) {
		if (++function == (&first)[1 + object]->nr) {
			function = 0;
			object++;
		}
	}
	if (!len)
		object = 0;
	return len;
}

static const struct kernel_param_ops ops = { .get = show };
module_param_cb(coverage, &ops, NULL, 0400);
