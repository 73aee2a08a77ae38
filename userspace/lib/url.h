/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* ws URLs (RFC 6455 3). */
#ifndef KWS_URL_H
#define KWS_URL_H

#include <stdbool.h>

/**
 * struct url - its parts, to be freed with url_free()
 * @host: to be looked up: a name or an address, without brackets
 * @port: decimal
 * @secure: wss
 * @host_header: what the Host header says: brackets, and the port unless it is the scheme's own
 * @resource: path and query, starts with '/'
 */
struct url {
	char *host;
	char *port;
	bool secure;
	char *host_header;
	char *resource;
};

/* Return: 0; -EINVAL: no ws or wss URL, or one with user name or fragment; -ENOMEM. */
int url_parse(struct url *url, const char *s);
void url_free(struct url *url);

#endif
