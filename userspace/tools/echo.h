/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kws echo: a server that sends back what it gets, one thread for all connections.
 *
 * DESIGN NOTES
 *
 * A connection that is idle costs a struct conn and what the kernel needs: messages wait in the socket, and all
 * connections share one buffer. Backpressure: when a send is short, the rest is kept (at most one buffer), and nothing
 * more is read from that connection until it is gone; the kernel then closes the peer's window. The events are level
 * triggered; a connection gets a bounded number of calls a turn, so that none keeps the others waiting.
 *
 * echo.c has the options, the listening socket, signals and the loop; echo_conn.c has one connection.
 */
#ifndef KWS_ECHO_H
#define KWS_ECHO_H

#include <stdbool.h>
#include <stdint.h>

#include "kws.h"
#include "kws_tls.h"

#define BUFFER_SIZE	65536
#define TURN		16	/* receive calls a connection gets before the next one's turn */

/**
 * struct server - everything
 * @epoll: descriptor
 * @listener: descriptor; -1: closed
 * @retry: no descriptors or memory for more connections: the listener is not watched until then; 0: it is
 * @quitting: a signal came: Close was sent to everybody
 * @handshakes, @open: lists of connections
 * @connections: in both lists
 * @options: for the handshakes
 * @tls: wss; NULL: ws
 * @page, @page_len: what a request without upgrade gets; NULL: 426
 * @verbose: say who comes and goes
 * @buffer, @batch: what was received last, until it is sent
 */
struct server {
	int epoll;
	int listener;
	uint64_t retry;
	bool quitting;
	struct conn *handshakes, *open;
	unsigned long connections;
	struct kws_options options;
	struct kws_tls *tls;
	char *page;
	size_t page_len;
	bool verbose;
	char buffer[BUFFER_SIZE];
	struct websocket_batch batch[WEBSOCKET_BATCH_MAX];
};

/**
 * struct conn - one connection
 * @hs: the handshake; NULL: it is done
 * @unsent: what a short send left over; NULL: nothing
 * @events: what epoll watches
 * @list, @next, @prev: the list that it is in
 */
struct conn {
	int fd;
	uint32_t events;
	struct kws_handshake *hs;
	struct unsent *unsent;
	struct conn **list, *next, *prev;
};

void conn_new(struct server *s, int fd);
void conn_drop(struct server *s, struct conn *c, const char *why);
/* Something can be done: received, sent, or the handshake's time is over. */
void conn_ready(struct server *s, struct conn *c);
/* The server ends: send Close 1001, and wait for the peer's. */
void conn_quit(struct server *s, struct conn *c);

#endif
