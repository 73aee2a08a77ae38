// SPDX-License-Identifier: GPL-2.0
/* See inject.h. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "inject.h"

#define DEBUGFS	"/sys/kernel/debug/"
#define PARAMETERS "/sys/module/websocket/parameters/"
#define PARAMETER PARAMETERS "fault"

/* Said when a test fails: where the last fault was. */
static char fault_place[160];

static void say_place(int signal)
{
	(void)signal;
	fprintf(stderr, "# %s\n", fault_place);
}

bool inject_in_tcp(void)
{
	return getenv("FAIL_NTH");
}

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

void inject_setup(void)
{
	static const char *const attrs[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	unsigned int i;

	check(signal(SIGABRT, say_place) != SIG_ERR);
	if (!inject_in_tcp()) {
		if (access(PARAMETER, W_OK))
			fail("%s: %s: a module without vm/instrument?", PARAMETER, error_name(errno));
		return;
	}
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
		fd = must(open(inject_in_tcp() ? "/proc/thread-self/fail-nth" : PARAMETER, O_RDWR | O_CLOEXEC));
	return fd;
}

void inject_stall(unsigned int ms)
{
	int fd = must(open(PARAMETERS "stall", O_WRONLY | O_CLOEXEC));

	check(dprintf(fd, "%u", ms) > 0);
	close(fd);
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
	int error = errno;
	char text[128] = "";

	/* fail-nth: this copies to user memory itself, and the n-th that is left may be it */
	at->hit = pread(nth_file(), text, sizeof(text) - 1, 0) > 0 && !atoi(text);
	snprintf(fault_place, sizeof(fault_place), "fault %u at %.*s", at->n, (int)strcspn(text, "\n"), text);
	must(pwrite(nth_file(), "0", 1, 0));
	errno = error;
}
