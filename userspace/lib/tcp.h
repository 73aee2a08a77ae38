/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What TCP says of a connection. */
#ifndef KWS_TCP_H
#define KWS_TCP_H

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* How many bytes the peer's TCP has taken of what was sent. False: it is no TCP. */
static inline bool tcp_acknowledged(int fd, uint64_t *n)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
	    len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
		return false;
	*n = info.tcpi_bytes_acked;
	return true;
}

#endif
