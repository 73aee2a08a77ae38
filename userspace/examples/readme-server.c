// SPDX-License-Identifier: GPL-2.0 OR MIT
/* A WebSocket server that sends back what it gets: cc readme-server.c -lkws -lnettle */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <kws.h>

static int echo(int fd)
{
	static char buf[65536];
	struct kws_message msg;
	ssize_t n;

	while ((n = kws_recv(fd, buf, sizeof(buf), 0, &msg)) >= 0 && !kws_is_end(&msg)) {
		/* a message that is larger comes, and goes, in parts */
		n = kws_send(fd, msg.begin ? msg.opcode : 0, buf, n, msg.end ? 0 : MSG_MORE);
		if (n < 0)
			break;
	}
	return n;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 8080) };
	int fd, listener = socket(AF_INET, SOCK_STREAM, 0);

	signal(SIGCHLD, SIG_IGN);
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 128))
		return perror("listen"), 1;
	for (; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
		if (fork())
			continue;
		int err = kws_accept(fd, NULL) ?: echo(fd);	/* the HTTP part, then messages */
		return err ? fprintf(stderr, "%s\n", kws_strerror(err)), 1 : 0;
	}
}
