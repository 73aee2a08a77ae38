// SPDX-License-Identifier: GPL-2.0
/* Processes, namespaces and counters: the rest of peer.h. */
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "peer.h"

pid_t spawn(int (*run)(void *), void *argument)
{
	pid_t pid = must(fork());

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(run(argument));
}

int reap(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0));
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void fresh_netns(void)
{
	struct ifreq lo = { .ifr_name = "lo" };
	int fd;

	must(unshare(CLONE_NEWNET));
	fd = must(socket(AF_INET, SOCK_DGRAM, 0));
	must(ioctl(fd, SIOCGIFFLAGS, &lo));
	lo.ifr_flags |= IFF_UP;
	must(ioctl(fd, SIOCSIFFLAGS, &lo));
	close(fd);
}

long long counter(const char *name)
{
	FILE *f = fopen("/proc/net/websocket_stat", "r");
	long long value, sum = 0;
	bool found = false;
	char line[256], key[128];

	if (!f)
		fail("/proc/net/websocket_stat: %s", error_name(errno));
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%127s %lld", key, &value) != 2)
			fail("not a name and a number: %s", line);
		if (name && strcmp(name, key))
			continue;
		found = true;
		sum += value;
	}
	fclose(f);
	if (!found)
		fail("no counter %s", name ? name : "at all");
	return sum;
}
