/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A connection whose one end is the socket under test and whose other end, the peer, is plain TCP: it writes frames
 * made by hand, cut into segments as a test wants them, and reads what the module sends.
 *
 * Segments arrive apart because the peer has TCP_NODELAY and writes the next piece when TCP has sent the one before
 * (SIOCOUTQNSD); peer_settle() waits until the receiver has acknowledged everything. Nothing sleeps for luck.
 */
#ifndef PEER_H
#define PEER_H

#include <linux/websocket.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "frame.h"

enum segmentation {
	SEGMENT_FRAME,		/* every frame is one write */
	SEGMENT_BYTE,		/* every byte is one write */
	SEGMENT_SEVEN,		/* 7 bytes are one write, whatever they are part of */
	SEGMENT_HEADER,		/* a frame's header is one write, its payload another */
	SEGMENT_ALL,		/* all frames are one write */
};

enum family { IPV4, IPV6, MAPPED };

struct shape {
	enum segmentation	segmentation;
	enum family		family;
	bool			nonblocking;	/* recvmsg() after poll() */
	bool			client;		/* role of the socket under test */
	int			rcvbuf;		/* its SO_RCVBUF from the first SYN on; 0: TCP's choice */
	int			peer_rcvbuf;	/* the peer's. Made smaller later it takes back a window that was announced */
	unsigned int		tls;		/* over this version of TLS, from link_start() on; 0: over link_tls */
};

struct link {
	int		ws;		/* the socket under test */
	int		peer;
	struct shape	shape;
	struct stream	out;		/* what the peer writes next */
	struct wire	wire;		/* what the peer reads */
	pthread_t	feeder;
};

/* A connected pair of plain TCP sockets. */
void link_open(struct link *l, const struct shape *shape);
/* Attaches the protocol to l->ws and starts it in the role of the shape. */
void link_start(struct link *l, const struct websocket_config *config);
/* The start, or a change, alone. */
void link_configure(struct link *l, const struct websocket_config *config);
/* All three, with what the defaults are. */
void link_start_default(struct link *l, const struct shape *shape);
/* Once more, with a peer that takes so little at a time. */
void link_start_narrow(struct link *l, int rcvbuf);
void link_close(struct link *l);
/* close() of one end, the other lives on. */
void link_close_ws(struct link *l);
void link_close_peer(struct link *l);
void link_reset_peer(struct link *l);

/* Plain sockets, for what a link does not cover. */
int tcp_listen(enum family family);
int tcp_connect(int listener, int rcvbuf);
void tcp_pair(enum family family, int *accepted, int *connected, int accepted_rcvbuf, int connected_rcvbuf);

int ulp_attach(int fd);
int ws_attach_tls(int fd, const struct websocket_config *config);
int ws_configure(int fd, const struct websocket_config *config);
struct websocket_info ws_info(int fd);
void set_option(int fd, int level, int option, int value);

/* The peer writes l->out, cut as the shape says, and forgets it. */
void peer_write(struct link *l);
/* The same, at the same time as the test reads. */
void peer_feed(struct link *l);
void peer_fed(struct link *l);
/* Raw bytes in one write. */
void peer_write_raw(struct link *l, const void *bytes, size_t len);
/* Everything written is in the receiver's TCP. */
void peer_settle(struct link *l);
/* After a send that was refused: nothing has moved for so long that the peer's window is closed, and no ACK is due. */
bool ws_stuck(struct link *l);
/* Nothing but the answer to this ping comes from the module: it has sent nothing else. */
void peer_expect_silence_(struct link *l);
#define peer_expect_silence(l) HERE(peer_expect_silence_(l))

/* One recvmsg() and all it told. */
struct received {
	ssize_t			n;
	int			error;		/* 0, or errno */
	int			flags;		/* msg_flags */
	bool			has_record;
	struct websocket_msg	record;
};

/* In a non-blocking link, after poll() said that there is something; EAGAIN is a failure then. */
struct received ws_receive(struct link *l, void *buffer, size_t len, int flags);
/* One recvmsg(), nothing else. */
struct received ws_recvmsg(int fd, void *buffer, size_t len, int flags);
/* poll() of the socket under test without waiting. */
short ws_poll(int fd);
/* Waits until poll() shows any of these events; what it shows. */
short ws_wait(int fd, short events);

/* One recvmsg() brings exactly this message. */
void expect_message_(struct link *l, __u8 opcode, const void *bytes, size_t len);
/* The same in any number of parts. */
void expect_parts_(struct link *l, __u8 opcode, const void *bytes, size_t len, size_t buffer);
/* The end, with the peer's close code, as often as it is asked. */
void expect_end_(struct link *l, unsigned int code);
/* The error, as often as it is asked. */
void expect_error_(struct link *l, int error);
/* The connection failed: the error from every call, the Close on the wire, both in WEBSOCKET_INFO. */
void expect_failure_(struct link *l, int error, unsigned int code);
/* Nothing to read. */
void expect_nothing_(struct link *l);

#define expect_message(...) HERE(expect_message_(__VA_ARGS__))
#define expect_text(l, s) HERE(expect_message_(l, OP_TEXT, s, strlen(s)))
#define expect_parts(...) HERE(expect_parts_(__VA_ARGS__))
#define expect_end(...) HERE(expect_end_(__VA_ARGS__))
#define expect_error(...) HERE(expect_error_(__VA_ARGS__))
#define expect_failure(...) HERE(expect_failure_(__VA_ARGS__))
#define expect_nothing(l) HERE(expect_nothing_(l))

/* One sendmsg() with an opcode record; opcode 0: without. */
ssize_t ws_send(int fd, __u8 opcode, const void *bytes, size_t len, int flags);
/* @size: bytes of @b, of at most one message more than the module takes */
ssize_t ws_send_batch(int fd, const void *bytes, size_t len, const struct websocket_batch *b, size_t size, int flags);

/* A child process that dies with the test; the function's return is its exit status. */
pid_t spawn(int (*run)(void *), void *argument);
/* Its exit status, or 128 + the signal. */
int reap(pid_t pid);

/* A network namespace of its own for this process, with lo up. */
void fresh_netns(void);
/* A line of /proc/net/websocket_stat by its name; the sum of all if the name is NULL. */
long long counter(const char *name);

#endif
