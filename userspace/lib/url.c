// SPDX-License-Identifier: GPL-2.0 OR MIT
/* ws URLs (RFC 6455 3). */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "url.h"

/* Only printable ASCII, so that nothing in it ends a line of the request. */
static bool is_visible(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s >= 0x7f)
			return false;
	return true;
}

static bool is_port(const char *s, size_t len)
{
	return len >= 1 && len <= 5 && strspn(s, "0123456789") >= len && atoi(s) >= 1 && atoi(s) <= 65535;
}

/* RFC 6874 4: the zone of an address is of its sender only. */
static void drop_zone(char *host)
{
	char *zone = *host == '[' ? strchr(host, '%') : NULL, *end = zone ? strchr(zone, ']') : NULL;

	if (end)
		memmove(zone, end, strlen(end) + 1);
}

/* Splits "host", "host:port", "[address]" or "[address]:port", len bytes. */
static int parse_authority(struct url *url, const char *s, size_t len)
{
	const char *host = s, *end = s + len, *colon;
	size_t host_len;
	int n;

	if (memchr(s, '@', len) || !len)
		return -EINVAL;
	if (*s == '[') {
		const char *bracket = memchr(s, ']', len);

		if (!bracket)
			return -EINVAL;
		host++;
		host_len = bracket - host;
		colon = bracket + 1;
	} else {
		colon = memchr(s, ':', len);
		colon = colon ? colon : end;
		host_len = colon - host;
	}
	if (!host_len || (colon < end && (*colon != ':' || !is_port(colon + 1, end - colon - 1))))
		return -EINVAL;
	url->host = strndup(host, host_len);
	url->port = colon < end ? strndup(colon + 1, end - colon - 1) : strdup(url->secure ? "443" : "80");
	n = colon < end && url->port && atoi(url->port) == (url->secure ? 443 : 80) ? colon - s : (int)len;
	url->host_header = strndup(s, n);
	if (url->host_header)
		drop_zone(url->host_header);
	return url->host && url->port && url->host_header ? 0 : -ENOMEM;
}

int url_parse(struct url *url, const char *s)
{
	const char *authority, *rest;
	int err;

	*url = (struct url){ .secure = !strncasecmp(s, "wss://", 6) };
	if ((!url->secure && strncasecmp(s, "ws://", 5)) || !is_visible(s) || strchr(s, '#'))
		return -EINVAL;
	authority = s + (url->secure ? 6 : 5);
	rest = authority + strcspn(authority, "/?");
	err = parse_authority(url, authority, rest - authority);
	if (!err && asprintf(&url->resource, "%s%s", *rest == '/' ? "" : "/", rest) < 0) {
		url->resource = NULL;
		err = -ENOMEM;
	}
	if (err)
		url_free(url);
	return err;
}

void url_free(struct url *url)
{
	free(url->host);
	free(url->port);
	free(url->host_header);
	free(url->resource);
	*url = (struct url){ 0 };
}
