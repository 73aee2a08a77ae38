/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the small servers have in common: a listening socket, an epoll loop, and a handshake that accepts whatever
 * comes.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define BUFFER	(4 << 20)	/* holds the largest message */

/**
 * struct handler - what differs
 * @upgrade: the client begins with an HTTP request
 * @start: a connection is there; returns what @ready gets
 * @ready: it is readable; false: it has ended
 */
struct handler {
	bool upgrade;
	void *(*start)(int fd);
	bool (*ready)(int fd, void *context);
};

extern char buffer[BUFFER];

int listen_on(const char *port);
bool upgrade(int fd);
void serve(const char *port, const struct handler *h);
bool write_all(int fd, const char *p, size_t n);

/* module.c */
void module_start(int fd, unsigned int flags);

#endif
