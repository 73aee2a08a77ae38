/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A TCP peer written by hand, behind a tun device in a namespace of its own: it sends any segment, in any order, as often
 * and with what overlap a test wants, opens and closes its window at will, and resets when it likes. It never retransmits
 * by itself.
 */
#ifndef TUNPEER_H
#define TUNPEER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

struct tunpeer {
	__u16		port;		/* its own */
	__u32		isn, irs;	/* sequence number of the first byte, its and the kernel's */
	__u32		acked;		/* bytes of ours that the kernel has acknowledged */
	__u32		window;		/* bytes that it takes beyond these */
	unsigned char	scale;
	__u32		offer;		/* our window; taken into account from the next segment on */
	bool		silent;		/* does not acknowledge by itself */
	unsigned char	*in;		/* what the kernel sent, in order */
	size_t		in_len, in_room;
	bool		fin, reset;	/* seen from the kernel */
	int		fd;		/* the kernel's socket */
};

/* The namespace, the device, and a listener in it with this receive buffer (0: TCP's choice). */
void tunpeer_world(int rcvbuf);
void tunpeer_connect(struct tunpeer *p);
/* Bytes at @off of our stream. */
void tunpeer_send(struct tunpeer *p, __u32 off, const void *bytes, size_t len);
/* An acknowledgement of everything seen, with our window. */
void tunpeer_ack(struct tunpeer *p);
void tunpeer_fin(struct tunpeer *p, __u32 off);
void tunpeer_reset(struct tunpeer *p, __u32 off);
/* Takes in what the kernel has sent; waits so long for the first packet. False: there was none. */
bool tunpeer_poll(struct tunpeer *p, int ms);
/* Until the kernel has acknowledged so many bytes. */
void tunpeer_settle(struct tunpeer *p, __u32 bytes);
/* The socket and the buffer go; the connection is reset. */
void tunpeer_free(struct tunpeer *p);

#endif
