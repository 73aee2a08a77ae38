// SPDX-License-Identifier: GPL-2.0
/* See inject.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "inject.h"

#define DEBUGFS	"/sys/kernel/debug/"

static void set_knob(const char *attr, const char *knob, long value)
{
	char path[128], text[32];
	int fd;

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", attr, knob);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		fail("%s: %s: a kernel without fault injection?", path, error_name(errno));
	snprintf(text, sizeof(text), "%ld", value);
	must(write(fd, text, strlen(text)));
	close(fd);
}

static long knob(const char *attr, const char *knob)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", attr, knob);
	fd = must(open(path, O_RDONLY | O_CLOEXEC));
	must(read(fd, text, sizeof(text) - 1));
	close(fd);
	return atol(text);
}

void inject_setup(void)
{
	static const char *const attrs[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	unsigned int i;

	for (i = 0; i < 3; i++) {
		set_knob(attrs[i], "probability", 0);
		set_knob(attrs[i], "interval", 1);
		/* its stack dumps would look like complaints */
		set_knob(attrs[i], "verbose", 0);
		set_knob(attrs[i], "space", 0);
	}
	set_knob("fail_page_alloc", "min-order", 0);
	for (i = 0; i < 2; i++)
		set_knob(attrs[i], "ignore-gfp-wait", 0);
}

static int nth_file(void)
{
	static __thread int fd = -1;

	if (fd == -1)
		fd = must(open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC));
	return fd;
}

bool nth_next(struct nth *at)
{
	if (at->n > 3000)
		fail("still faults after 3000");
	if (!at->hit)
		printf("# %u places\n", at->n - 2);
	return at->hit;
}

void nth_arm(struct nth *at)
{
	char text[16];

	nth_file();
	snprintf(text, sizeof(text), "%u", at->n);
	must(pwrite(nth_file(), text, strlen(text), 0));
}

void nth_disarm(struct nth *at)
{
	char text[16] = "";

	/* this copies to user memory itself: the n-th that is left may be it */
	at->hit = pread(nth_file(), text, sizeof(text) - 1, 0) > 0 && !strcmp(text, "0\n");
	must(pwrite(nth_file(), "0", 1, 0));
}

static void atomic_arm_one(const char *attr, int space)
{
	set_knob(attr, "times", space < 0 ? 0 : 1);
	set_knob(attr, "space", space < 0 ? 0 : space);
	set_knob(attr, "ignore-gfp-wait", 1);
}

void atomic_arm(const struct atomic_fault *at)
{
	atomic_arm_one("failslab", at->bytes);
	atomic_arm_one("fail_page_alloc", at->pages);
	/* last, for from here on they count */
	if (at->bytes >= 0)
		set_knob("failslab", "probability", 100);
	if (at->pages >= 0)
		set_knob("fail_page_alloc", "probability", 100);
}

void atomic_disarm(struct atomic_fault *at)
{
	at->hit = (at->bytes >= 0 && !knob("failslab", "times")) || (at->pages >= 0 && !knob("fail_page_alloc", "times"));
	set_knob("failslab", "probability", 0);
	set_knob("fail_page_alloc", "probability", 0);
}
