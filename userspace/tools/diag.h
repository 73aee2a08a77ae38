/* SPDX-License-Identifier: GPL-2.0 */
/* The WebSockets of a network namespace, of all processes, over sock_diag. */
#ifndef KWS_DIAG_H
#define KWS_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/inet_diag.h>
#include <linux/websocket.h>

/**
 * struct entry - one WebSocket
 * @family: AF_INET or AF_INET6
 * @tcp_state: as in <netinet/tcp.h>, TCP_ESTABLISHED and so on
 * @id: addresses and ports, in network byte order
 * @cookie: never used again for another socket
 * @uid: whose it is
 * @inode: what /proc/PID/fd calls it
 * @ulp: "websocket", or what else the kernel calls it
 * @tcp_rtt_us: TCP's smoothed round trip
 * @info: as getsockopt(WEBSOCKET_INFO) gives it; what the kernel does not know is 0
 */
struct entry {
	uint8_t family;
	uint8_t tcp_state;
	struct inet_diag_sockid id;
	uint64_t cookie;
	uint32_t uid;
	uint32_t inode;
	char ulp[16];
	uint32_t tcp_rtt_us;
	struct websocket_info info;
};

/**
 * struct diag_list - what was found
 * @v, @n, @room: the entries, sorted by cookie: the same order every time
 * @inconsistent: the kernel says that the table changed meanwhile, again and again: something may be missing
 */
struct diag_list {
	struct entry *v;
	size_t n, room;
	bool inconsistent;
};

/* Fills the list anew; fatal() if the kernel does not answer. */
void diag_fill(struct diag_list *l);
void diag_free(struct diag_list *l);

/* The entry with this cookie, or NULL. */
const struct entry *diag_find(const struct diag_list *l, uint64_t cookie);

#endif
