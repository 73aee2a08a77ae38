/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What a proxy says of the client before the client's own first byte: the PROXY protocol of HAProxy, versions 1 (a line of
 * text) and 2 (binary). Bytes in, verdict out; no I/O.
 */
#ifndef KWS_PROXY_H
#define KWS_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PROXY_MAX	1024	/* of version 2, with what the proxy adds about TLS and so on */

/**
 * struct proxy - a header as it comes in
 * @bytes, @len: of it, so far
 * @client: the client's address when the header is complete; @client_len: its length, 0: the proxy names none
 */
struct proxy {
	uint8_t bytes[PROXY_MAX];
	size_t len;
	struct sockaddr_storage client;
	socklen_t client_len;
};

/**
 * proxy_feed - takes bytes up to the header's end, and none behind it
 * @used: how many of them
 *
 * Return: 1: the header is complete; 0: more is needed; -EBADMSG: it is none.
 */
int proxy_feed(struct proxy *p, const void *bytes, size_t n, size_t *used);

#endif
