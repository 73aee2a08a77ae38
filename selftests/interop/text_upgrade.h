/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The HTTP upgrade, as short as RFC 6455 4 allows, for programs that are written from the manual. The head is read up to its last
 * byte and no further: what stands behind it is the kernel's. Blocking.
 */
#ifndef TEXT_UPGRADE_H
#define TEXT_UPGRADE_H

#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { KEY = 24, ACCEPT = BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE) };

static inline void key_to_accept(const char *key, char *accept)
{
	struct sha1_ctx sha;
	uint8_t digest[SHA1_DIGEST_SIZE];

	sha1_init(&sha);
	sha1_update(&sha, KEY, (const uint8_t *)key);
	sha1_update(&sha, 36, (const uint8_t *)"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
	sha1_digest(&sha, sizeof(digest), digest);
	base64_encode_raw(accept, sizeof(digest), digest);
	accept[ACCEPT] = 0;
}

/* Reads a head into a string; false: there is none. */
static inline bool read_head(int fd, char *head, size_t room)
{
	size_t have = 0, take;
	char *end = NULL;
	ssize_t n;

	while (!end && have < room - 1) {
		n = recv(fd, head + have, room - 1 - have, MSG_PEEK);
		if (n <= 0)
			return false;
		head[have + n] = 0;
		end = strstr(head, "\r\n\r\n");
		take = end ? (size_t)(end + 4 - head) - have : (size_t)n;
		if (recv(fd, head + have, take, MSG_WAITALL) != (ssize_t)take)
			return false;
		have += take;
	}
	head[have] = 0;
	return end;
}

static inline bool upgrade_answer(int fd)
{
	char head[4096], accept[ACCEPT + 1], answer[256];
	const char *key;
	int n;

	if (!read_head(fd, head, sizeof(head)))
		return false;
	key = strcasestr(head, "\r\nSec-WebSocket-Key: ");
	if (!key || strlen(key) < 21 + KEY)
		return false;
	key_to_accept(key + 21, accept);
	n = snprintf(answer, sizeof(answer), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
	return send(fd, answer, n, MSG_NOSIGNAL) == n;
}

static inline bool upgrade_ask(int fd, const char *host)
{
	static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
	char head[4096], accept[ACCEPT + 1], wanted[ACCEPT + 32], request[512];
	int n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			 "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", host, key);

	if (send(fd, request, n, MSG_NOSIGNAL) != n || !read_head(fd, head, sizeof(head)))
		return false;
	key_to_accept(key, accept);
	snprintf(wanted, sizeof(wanted), "\r\nSec-WebSocket-Accept: %s\r\n", accept);
	return !strncmp(head, "HTTP/1.1 101 ", 13) && strcasestr(head, wanted);
}

#endif
