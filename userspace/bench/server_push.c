// SPDX-License-Identifier: GPL-2.0
/*
 * server_push poll|websocket SIZE PORT: tells its one client a message of SIZE bytes whenever a byte comes by the pipe $TRIGGER: as the
 * answer to a request that waits for it (long polling), or as a WebSocket message.
 */
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

static char answer[70000];
static size_t answer_len, have;
static int client = -1, messages;
static bool asked;

static void tell(bool http)
{
	if (!messages || (http && !asked))
		return;
	messages--;
	asked = false;
	if (!write_all(client, answer, answer_len))
		err(1, "telling");
}

/* Nothing of the request matters but where it ends. */
static bool request(int fd)
{
	ssize_t n = recv(fd, buffer + have, 4096 - have, 0);

	if (n <= 0)
		return false;
	have += n;
	if (have > 4 && !memcmp(buffer + have - 4, "\r\n\r\n", 4)) {
		asked = true;
		have = 0;
	}
	return true;
}

static void join(int epoll, int listener, bool http)
{
	struct epoll_event e = { .events = EPOLLIN };
	int one = 1, fd = accept(listener, NULL, NULL);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!http && !upgrade(fd)) {
		close(fd);
		return;
	}
	if (!http)
		module_start(fd, 0);
	client = e.data.fd = fd;
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

int main(int argc, char **argv)
{
	bool http = !strcmp(argv[1], "poll");
	int listener = listen_on(argv[argc - 1]), epoll = epoll_create1(0), size = atoi(argv[2]), pipe = atoi(getenv("TRIGGER"));
	struct epoll_event e = { .events = EPOLLIN, .data.fd = listener };

	if (http)
		answer_len = sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", size);
	memset(answer + answer_len, 'x', size);
	answer_len += size;
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
	e.data.fd = pipe;
	epoll_ctl(epoll, EPOLL_CTL_ADD, pipe, &e);
	for (;;) {
		if (epoll_wait(epoll, &e, 1, -1) != 1)
			continue;
		if (e.data.fd == listener) {
			join(epoll, listener, http);
		} else if (e.data.fd == pipe) {
			messages += read(pipe, buffer, 1) == 1;
			tell(http);
		} else if (http && request(e.data.fd)) {
			tell(http);
		} else {
			close(e.data.fd);
		}
	}
}
