// SPDX-License-Identifier: GPL-2.0
/* The server process that is measured. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

pid_t server;
u16 server_port;

static u16 free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || getsockname(fd, (struct sockaddr *)&a, &len))
		die("no port: %s", strerror(errno));
	close(fd);
	return ntohs(a.sin_port);
}

static bool answers(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(server_port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger linger = { .l_onoff = 1 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof(to));

	if (fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
	return ok;
}

/* Runs the server with a port as its last argument, and returns when it accepts connections. */
void server_start(void)
{
	char port[8];
	int argc = 0, tries;
	char **argv;

	server_port = free_port();
	snprintf(port, sizeof(port), "%u", server_port);
	while (opt.argv[argc])
		argc++;
	argv = calloc(argc + 2, sizeof(*argv));
	if (!argv)
		die("no memory");
	memcpy(argv, opt.argv, argc * sizeof(*argv));
	argv[argc] = port;
	server = fork();
	if (server < 0)
		die("fork: %s", strerror(errno));
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], argv);
		die("%s: %s", argv[0], strerror(errno));
	}
	for (tries = 0; !answers(); tries++) {
		if (tries == 1000 || waitpid(server, NULL, WNOHANG))
			die("%s does not accept connections", argv[0]);
		usleep(10000);
	}
	free(argv);
}

void server_stop(void)
{
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	server = 0;
}

static long status_field(const char *name)
{
	char path[32], line[128];
	size_t len = strlen(name);
	long value = 0;
	FILE *f;

	if (!server)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)server);
	f = fopen(path, "r");
	if (!f)
		die("the server has died");
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':')
			value = atol(line + len + 1);
	fclose(f);
	return value;
}

/* How often the server has gone to sleep: as often, it was woken. */
long server_wakeups(void)
{
	return status_field("voluntary_ctxt_switches");
}

/* KiB */
long server_rss(void)
{
	return status_field("VmRSS");
}
