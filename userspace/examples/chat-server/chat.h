/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A chat server that can be restarted, or killed, without its clients noticing.
 *
 * DESIGN NOTES
 *
 * The kernel keeps the connections: half-received messages, half-sent ones, pings. What the application knows is in one memfd (struct
 * shared): who is who, what was said lately, and how far each client has been told of it. The sockets and the memfd are held by
 * somebody else as well (the service manager, or the keeper), or are handed to the successor.
 *
 * Nothing is lost or said twice even by kill -9, because every step can be finished or found not to have happened:
 *
 *	a receive	goes straight into the memfd, with its record. A system call happens or does not: if the record is there,
 *			the messages are (kernel: WEBSOCKET_BATCH)
 *	a message	becomes an entry of the log with its origin, and counts when the log's end moves over it
 *	a send		counts in the kernel (WEBSOCKET_INFO: tx_bytes): what it says beyond what we noted was sent by a predecessor that
 *			did not live to note it
 */
#ifndef CHAT_H
#define CHAT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <kws_tls.h>

#define SLOTS		8192		/* clients */
#define ROOMS		1024
#define NAME		24
#ifndef LOG
#define LOG		65536		/* entries */
#endif
#define LOG_BYTES	(16u << 20)
#define MESSAGE_MAX	16384		/* from a client */
#define INTAKE		65536
#define MAGIC		0x63686131	/* changes with the layout */

/* How far a client has been told; written by turns, so that there is always a whole one. */
struct told {
	uint64_t next;		/* the log's entry that it gets next */
	uint64_t tx_bytes;	/* what the kernel has counted before that */
};

struct slot {
	bool used;
	uint8_t which;		/* of told[] */
	uint16_t room;
	char name[NAME];
	struct told told[2];
};

struct entry {
	uint64_t pos;		/* of its bytes, counted from the start of the world */
	uint64_t origin;	/* which receive, and which message of it; 0: the server's own */
	uint32_t len;
	uint16_t room;
};

/* A receive that is being worked on. */
struct intake {
	uint64_t number;
	uint32_t slot;		/* + 1; 0: none */
	uint32_t done;		/* messages of it that are in the log, or were commands */
	_Alignas(8) char control[CMSG_SPACE(WEBSOCKET_BATCH_MAX * sizeof(struct websocket_batch))];
	char data[INTAKE];
};

struct shared {
	uint32_t magic;
	uint32_t clients;
	uint64_t restarts, messages, names;
	struct intake in;
	uint64_t end;		/* of the log: its next entry */
	struct entry log[LOG];
	char bytes[LOG_BYTES];
	char rooms[ROOMS][NAME];
	struct slot slots[SLOTS];
};

/* A connection in this process. */
struct client {
	int fd;
	int slot;			/* -1: no WebSocket yet */
	uint32_t part;			/* of the entry it is being told: bytes sent */
	bool blocked;			/* EPOLLOUT will tell */
	struct kws_handshake *hs;
	struct client *prev, *next;	/* in its room; before that, among the handshakes */
};

extern struct shared *shared;
extern struct client *clients[SLOTS];
extern int epoll_fd;
extern struct kws_tls *tls;	/* NULL: ws */

/* main.c */
void client_drop(struct client *c);
void watch(struct client *c, uint32_t events);

/* http.c: the upgrade, the page, the counters */
bool http_accept(int listener);
void http_run(struct client *c);
void http_leave(struct client *c);
int http_late(void);

/* room.c */
int room_find(const char *name);
void room_enter(struct client *c, int room);
void room_leave(struct client *c);
void room_resume(struct client *c);
void room_receive(struct client *c);
void room_tell(struct client *c);
void room_tell_all(void);
void room_recover(void);

#endif
