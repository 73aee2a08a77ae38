// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * chat-keeper PROGRAM [ARG...]: what systemd does for a unit with FileDescriptorStoreMax= and Restart=always, where there is no
 * systemd: runs PROGRAM, keeps the descriptors that it stores, gives them to the next one, and starts that when the program ends, by
 * whatever. SIGTERM ends both.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX	20000
#define FIRST	30000	/* where kept descriptors are, above all that the program gets */

static struct { int fd; char name[64]; } kept[MAX];
static int count, notify;
static sigset_t signals;

static void forget(const char *name)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(kept[i].name, name))
			continue;
		close(kept[i].fd);
		kept[i--] = kept[--count];
	}
}

/* One datagram. False: there is none. */
static int hear(void)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	char text[512], name[64] = "stored", *line, *save;
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(notify, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	int fd = -1, store = 0, remove_it = 0;

	if (n < 0)
		return 0;
	text[n] = 0;
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		store |= !strcmp(line, "FDSTORE=1");
		remove_it |= !strcmp(line, "FDSTOREREMOVE=1");
		sscanf(line, "FDNAME=%63s", name);
	}
	if (remove_it)
		forget(name);
	if (store && fd >= 0 && count < MAX) {
		kept[count].fd = fcntl(fd, F_DUPFD_CLOEXEC, FIRST);
		snprintf(kept[count].name, sizeof(kept[count].name), "%s", name);
		count += kept[count].fd >= 0;
	}
	if (fd >= 0)
		close(fd);
	return 1;
}

static pid_t start(char **argv)
{
	char *names = malloc(64 * (count + 1)), number[20], *p = names;
	pid_t pid;

	*p = 0;
	for (int i = 0; i < count; i++)
		p += sprintf(p, "%s%s", i ? ":" : "", kept[i].name);
	pid = fork();
	if (!pid) {
		sigprocmask(SIG_UNBLOCK, &signals, NULL);
		for (int i = 0; i < count; i++)
			dup2(kept[i].fd, 3 + i);
		snprintf(number, sizeof(number), "%d", count);
		setenv("LISTEN_FDS", number, 1);
		setenv("LISTEN_FDNAMES", names, 1);
		snprintf(number, sizeof(number), "%d", getpid());
		setenv("LISTEN_PID", number, 1);
		execvp(*argv, argv);
		perror(*argv);
		_exit(127);
	}
	free(names);
	return pid;
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct signalfd_siginfo info;
	socklen_t len = sizeof(un);
	char address[120];
	int sfd, status, ending = 0, on = 1 << 22;
	pid_t pid;

	if (argc < 2)
		return fprintf(stderr, "usage: chat-keeper PROGRAM [ARG...]\n"), 2;
	setrlimit(RLIMIT_NOFILE, &files);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bind(notify, (struct sockaddr *)&un, sizeof(sa_family_t));
	getsockname(notify, (struct sockaddr *)&un, &len);
	setsockopt(notify, SOL_SOCKET, SO_RCVBUF, &on, sizeof(on));
	snprintf(address, sizeof(address), "@%.*s", (int)(len - sizeof(sa_family_t) - 1), un.sun_path + 1);
	setenv("NOTIFY_SOCKET", address, 1);
	sfd = signalfd(-1, &signals, SFD_CLOEXEC);
	/* above what the program gets, too */
	notify = fcntl(notify, F_DUPFD_CLOEXEC, FIRST - 10);
	sfd = fcntl(sfd, F_DUPFD_CLOEXEC, FIRST - 10);
	if (notify < 0 || sfd < 0)
		return perror("chat-keeper: descriptors above 30000 (ulimit -n)"), 1;
	pid = start(argv + 1);
	for (;;) {
		struct pollfd p[2] = { { .fd = notify, .events = POLLIN }, { .fd = sfd, .events = POLLIN } };

		poll(p, 2, -1);
		while (hear())
			;
		if (!p[1].revents || read(sfd, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo != SIGCHLD) {
			/* it may be in the middle of telling us something, and is heard until it has ended */
			kill(pid, SIGTERM);
			ending = 1;
			continue;
		}
		if (waitpid(pid, &status, WNOHANG) != pid)
			continue;
		if (ending)
			return 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
			return 127;
		while (hear())
			;
		pid = start(argv + 1);
	}
}
