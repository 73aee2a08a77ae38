// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The PROXY protocol, versions 1 and 2. The sections are those of HAProxy's proxy-protocol.txt. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "proxy.h"

#define SIGNATURE	"\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_LEN	12
#define HEAD_LEN	16	/* signature, version and command, family, length */
#define LINE_MAX_LEN	107	/* 2.1: of a line, with its end */

/* Second half of byte 12, and byte 13 */
enum { COMMAND_LOCAL = 0, COMMAND_PROXY = 1 };
enum { FAMILY_UNSPEC = 0x00, FAMILY_TCP4 = 0x11, FAMILY_TCP6 = 0x21 };

static void set_client(struct proxy *p, int family, const void *address, uint16_t port_be)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&p->client;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&p->client;

	if (family == AF_INET) {
		*v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port_be };
		memcpy(&v4->sin_addr, address, sizeof(v4->sin_addr));
		p->client_len = sizeof(*v4);
	} else {
		*v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port_be };
		memcpy(&v6->sin6_addr, address, sizeof(v6->sin6_addr));
		p->client_len = sizeof(*v6);
	}
}

/*
 * Version 1 (2.1): "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n"
 */

/* Cuts the next word off; NULL: there is none, or not exactly one space before it. */
static char *next_word(char **line)
{
	char *word = *line, *space;

	if (!word || !*word || *word == ' ')
		return NULL;
	space = strchr(word, ' ');
	*line = space ? space + 1 : NULL;
	if (space)
		*space = 0;
	return word;
}

/* A port as the proxy has to write it: digits, no zero in front. -1: it is none. */
static int parse_port(const char *s)
{
	int port = 0;

	if (!s || !*s || (*s == '0' && s[1]) || strlen(s) > 5)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		port = 10 * port + *s - '0';
	}
	return port > 65535 ? -1 : port;
}

static int parse_line(struct proxy *p)
{
	char text[LINE_MAX_LEN + 1], *line = text;
	const char *family, *source, *target;
	uint8_t from[16], to[16];
	int af, from_port, to_port;

	if (p->len < 8 || p->bytes[p->len - 2] != '\r' || memchr(p->bytes, 0, p->len))
		return -EBADMSG;
	memcpy(text, p->bytes, p->len - 2);
	text[p->len - 2] = 0;
	line += strlen("PROXY ");
	family = next_word(&line);
	if (family && !strcmp(family, "UNKNOWN"))
		return 1;	/* what follows is to be ignored */
	af = !family ? 0 : !strcmp(family, "TCP4") ? AF_INET : !strcmp(family, "TCP6") ? AF_INET6 : 0;
	if (!af)
		return -EBADMSG;
	source = next_word(&line);
	target = next_word(&line);
	from_port = parse_port(next_word(&line));
	to_port = parse_port(next_word(&line));
	if (line || !source || !target || from_port < 0 || to_port < 0 || inet_pton(af, source, from) != 1 ||
	    inet_pton(af, target, to) != 1)
		return -EBADMSG;
	set_client(p, af, from, htons(from_port));
	return 1;
}

static int check_line(struct proxy *p)
{
	static const char start[] = "PROXY ";
	size_t n = p->len < strlen(start) ? p->len : strlen(start);

	if (memcmp(p->bytes, start, n) || p->len > LINE_MAX_LEN)
		return -EBADMSG;
	if (p->bytes[p->len - 1] != '\n')
		return p->len == LINE_MAX_LEN ? -EBADMSG : 0;
	return parse_line(p);
}

/*
 * Version 2 (2.2)
 */

/* 2.2.x: each has a type, a length of two bytes, and so many bytes. They have to fill the header exactly. */
static bool extensions_are_whole(const uint8_t *p, size_t n)
{
	while (n) {
		size_t len = n < 3 ? n : 3 + (size_t)(p[1] << 8 | p[2]);

		if (n < 3 || len > n)
			return false;
		p += len;
		n -= len;
	}
	return true;
}

static int parse_binary(struct proxy *p)
{
	const uint8_t *body = p->bytes + HEAD_LEN;
	size_t n = p->len - HEAD_LEN, address, used;
	uint16_t port;

	if ((p->bytes[12] & 0xf) == COMMAND_LOCAL)
		return 1;	/* the proxy itself: nothing in it counts */
	address = p->bytes[13] == FAMILY_TCP4 ? 4 : p->bytes[13] == FAMILY_TCP6 ? 16 : 0;
	used = address ? 2 * address + 4 : 0;
	if (n < used || !extensions_are_whole(body + used, n - used))
		return -EBADMSG;
	if (!address)
		return 1;
	memcpy(&port, body + 2 * address, sizeof(port));
	set_client(p, address == 4 ? AF_INET : AF_INET6, body, port);
	return 1;
}

static int check_binary(struct proxy *p)
{
	size_t total;
	uint8_t family;

	if (memcmp(p->bytes, SIGNATURE, p->len < SIGNATURE_LEN ? p->len : SIGNATURE_LEN))
		return -EBADMSG;
	if (p->len > 12 && p->bytes[12] != (0x20 | COMMAND_LOCAL) && p->bytes[12] != (0x20 | COMMAND_PROXY))
		return -EBADMSG;
	if (p->len < HEAD_LEN)
		return 0;
	family = p->bytes[13];
	/* a WebSocket comes over TCP */
	if ((p->bytes[12] & 0xf) == COMMAND_PROXY && family != FAMILY_UNSPEC && family != FAMILY_TCP4 &&
	    family != FAMILY_TCP6)
		return -EBADMSG;
	total = HEAD_LEN + (p->bytes[14] << 8 | p->bytes[15]);
	if (total > PROXY_MAX)
		return -EBADMSG;
	return p->len < total ? 0 : parse_binary(p);
}

int proxy_feed(struct proxy *p, const void *bytes, size_t n, size_t *used)
{
	const uint8_t *b = bytes;
	int result = 0;

	for (*used = 0; *used < n && !result; ++*used) {
		p->bytes[p->len++] = b[*used];
		result = p->bytes[0] == '\r' ? check_binary(p) : check_line(p);
	}
	return result;
}
