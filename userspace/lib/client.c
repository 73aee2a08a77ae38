// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The client's side: the request (RFC 6455 4.1) and whether the answer to it is right. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "handshake.h"
#include "url.h"

bool client_may_send_header(const char *line)
{
	size_t name = strcspn(line, ":");

	return is_token(line, name) && line[name] && is_header_value(line) && !is_own_header(line, name) &&
	       strncasecmp(line, "Host:", 5);
}

/* Appends the caller's "Name: value" lines. Return: 0, or -EINVAL. */
static int add_headers(struct text *out, const char *const *headers)
{
	for (; headers && *headers; headers++) {
		if (!client_may_send_header(*headers))
			return -EINVAL;
		text_printf(out, "%s\r\n", *headers);
	}
	return 0;
}

static int compose_request(struct kws_handshake *hs, const struct url *url, const struct kws_options *opt)
{
	char key[KEY_LEN + 1];
	int err = key_make(key);

	if (err)
		return err;
	key_accept(key, hs->accept);
	text_printf(&hs->out, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		    "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", url->resource, url->host_header, key);
	for (const char *p = hs->known.s; p && *p; p += strlen(p) + 1)
		text_printf(&hs->out, "%s%s%s", p == hs->known.s ? "Sec-WebSocket-Protocol: " : ", ", p,
			    p[strlen(p) + 1] ? "" : "\r\n");
	if (opt && opt->origin) {
		if (!is_header_value(opt->origin))
			return -EINVAL;
		text_printf(&hs->out, "Origin: %s\r\n", opt->origin);
	}
	err = add_headers(&hs->out, opt ? opt->headers : NULL);
	text_add(&hs->out, "\r\n", 2);
	return hs->out.failed ? -ENOMEM : err;
}

/* @secure: over a layer, for a wss URL. */
static struct kws_handshake *start(int fd, const char *url, const struct kws_options *opt, bool secure)
{
	struct kws_handshake *hs;
	struct url parts;
	int err = url_parse(&parts, url);

	if (!err && parts.secure != secure) {
		url_free(&parts);
		err = secure ? -EINVAL : -EPROTONOSUPPORT;
	}
	if (err) {
		errno = -err;
		return NULL;
	}
	hs = handshake_new(fd, true, opt);
	if (hs) {
		err = compose_request(hs, &parts, opt);
		if (err) {
			kws_handshake_free(hs);
			hs = NULL;
			errno = -err;
		}
	}
	url_free(&parts);
	return hs;
}

struct kws_handshake *kws_connect_start(int fd, const char *url, const struct kws_options *opt)
{
	return start(fd, url, opt, false);
}

struct kws_handshake *kws_layer_connect(int fd, const char *url, const struct kws_options *opt, const struct kws_layer *layer, void *ctx)
{
	struct kws_handshake *hs = start(fd, url, opt, true);

	if (hs) {
		hs->layer = layer;
		hs->layer_ctx = ctx;
		hs->stage = STAGE_LAYER;
	}
	return hs;
}

/* What is wrong with the 101; NULL: nothing. RFC 6455 4.1, second list, 2 to 6. */
static const char *objection(struct kws_handshake *hs)
{
	const struct head *head = &hs->head;
	const char *accept = head_get(head, "Sec-WebSocket-Accept", 0), *upgrade = head_get(head, "Upgrade", 0);
	const char *protocol = head_get(head, "Sec-WebSocket-Protocol", 0);

	if (!upgrade || strcasecmp(upgrade, "websocket") || head_get(head, "Upgrade", 1))
		return "no \"Upgrade: websocket\" header";
	if (!head_has_token(head, "Connection", "upgrade"))
		return "no \"Connection: upgrade\" header";
	if (!accept || head_get(head, "Sec-WebSocket-Accept", 1))
		return "not exactly one Sec-WebSocket-Accept header";
	if (strcmp(accept, hs->accept))
		return "its Sec-WebSocket-Accept does not answer our key";
	/* RFC 6455 9.1: nor is an empty list one */
	if (head_get(head, "Sec-WebSocket-Extensions", 0))
		return "an extension that was not offered";
	if (!protocol)
		return NULL;
	hs->chosen = protocols_find(&hs->known, protocol, strlen(protocol));
	if (!hs->chosen || head_get(head, "Sec-WebSocket-Protocol", 1))
		return "a subprotocol that was not offered";
	return NULL;
}

int client_check(struct kws_handshake *hs)
{
	int status = llhttp_get_status_code(&hs->head.parser);
	const char *wrong;

	if (hs->head.parser.http_major != 1 || hs->head.parser.http_minor < 1)
		return handshake_fail(hs, -EPROTO, "the server's answer is not HTTP/1.1");
	if (status >= 100 && status < 200 && status != 101)
		return 1;	/* RFC 9110 15.2: an interim answer */
	hs->status = status;
	if (status != 101) {
		handshake_fail(hs, -ECONNREFUSED, "the server answered with status %d", status);
		hs->result = KWS_REFUSED;
		return 0;
	}
	wrong = objection(hs);
	if (wrong) {
		hs->chosen = NULL;
		return handshake_fail(hs, -EPROTO, "the server's 101 is not valid: %s", wrong);
	}
	hs->stage = STAGE_START;
	return 0;
}
