// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * small-chat PORT SOCKET: what one says, all hear; and its clients do not notice when it is replaced:
 *
 *	small-chat 8080 chat.sock &
 *	kill $!; small-chat 8080 chat.sock &		# another build of it, say
 *
 * cc small-chat.c -lkws -lnettle
 */
#define _GNU_SOURCE 1	/* ppoll() */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <kws.h>

#define MAX 1000

/* The first one listens, the others are clients. */
static struct pollfd fds[1 + MAX] = { { .events = POLLIN } };
static int count = 1;
static volatile sig_atomic_t leaving;

static void on_term(int sig)
{
	(void)sig;
	leaving = 1;
}

static void add(int fd)
{
	if (count <= MAX)
		fds[count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	else
		close(fd);
}

static void drop(int i)
{
	close(fds[i].fd);
	fds[i] = fds[--count];
}

/* Who does not read what is said has to leave. */
static void tell_all(const char *text, ssize_t len)
{
	for (int i = count - 1; i > 0; i--)
		if (kws_send(fds[i].fd, WEBSOCKET_OP_TEXT, text, len, MSG_DONTWAIT) != len)
			drop(i);
}

static void hear(int i)
{
	static char text[65536];
	struct kws_message msg;
	ssize_t n = kws_recv(fds[i].fd, text, sizeof(text), MSG_DONTWAIT, &msg);

	if (n >= 0 && msg.begin && msg.end && msg.opcode == WEBSOCKET_OP_TEXT)
		tell_all(text, n);
	else if (n != -EAGAIN)
		drop(i);	/* it has left, is too long-winded, or sends no text: that would end all others */
}

/* Everybody waits for a handshake here, but not for long. A server for many takes it step by step: epoll-server.c. */
static void let_in(void)
{
	static const struct kws_options opt = { .timeout_ms = 500 };
	int fd = accept(fds[0].fd, NULL, NULL);

	if (fd >= 0 && !kws_accept(fd, &opt))
		add(fd);
	else if (fd >= 0)
		close(fd);
	else
		poll(NULL, 0, 100);	/* no more descriptors, say */
}

static int listen_on(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 128)) {
		perror("listen");
		exit(1);
	}
	return fd;
}

/* From the predecessor, if there is one: it has a second to come forward. */
static void take_over(const char *path, int port)
{
	struct kws_handover *h = kws_handover_receive(path, 1000);

	if (!h) {
		fds[0].fd = listen_on(port);
		return;
	}
	fds[0].fd = kws_handover_take(h, 0, NULL);
	for (unsigned int i = 1; i < kws_handover_count(h); i++)
		add(kws_handover_take(h, i, NULL));
	kws_handover_free(h);
	fprintf(stderr, "%d clients taken over\n", count - 1);
}

static int hand_over(const char *path)
{
	struct kws_handover *h = kws_handover_new();
	int err;

	for (int i = 0; i < count; i++)
		kws_handover_add(h, fds[i].fd, i ? "client" : "listener");
	err = kws_handover_send(h, path, 10000);
	kws_handover_free(h);
	if (err)
		fprintf(stderr, "no successor: %s\n", kws_strerror(err));
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	sigset_t term, others;

	if (argc < 3)
		return fprintf(stderr, "usage: small-chat PORT SOCKET\n"), 2;
	/* SIGTERM comes inside ppoll() and nowhere else: between a look at `leaving' and poll() it would be overlooked */
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &others);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_term }, NULL);
	take_over(argv[2], atoi(argv[1]));
	while (!leaving) {
		if (ppoll(fds, count, NULL, &others) < 0)
			continue;
		for (int i = count - 1; i > 0; i--)
			if (i < count && fds[i].revents)
				hear(i);
		if (fds[0].revents)
			let_in();
	}
	return hand_over(argv[2]);
}
