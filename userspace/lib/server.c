// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The server's side: is the request an acceptable upgrade (RFC 6455 4.2.1), and the answer to it (4.2.2). */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "handshake.h"

struct kws_handshake *kws_accept_start(int fd, const struct kws_options *opt)
{
	return handshake_new(fd, false, opt);
}

struct kws_handshake *kws_layer_accept(int fd, const struct kws_options *opt, const struct kws_layer *layer, void *ctx)
{
	struct kws_handshake *hs = handshake_new(fd, false, opt);

	if (hs) {
		hs->layer = layer;
		hs->layer_ctx = ctx;
		hs->stage = hs->stage == STAGE_PROXY ? STAGE_PROXY : STAGE_LAYER;
	}
	return hs;
}

/* "Switching Protocols"; llhttp has the names, in capitals, and its own function for them aborts for an unknown one. */
static const char *status_words(int status, char words[static 64])
{
	const char *name = "UNKNOWN";

	switch (status) {
#define STATUS_CASE(NUMBER, NAME, STRING) case NUMBER: name = #NAME; break;
	HTTP_STATUS_MAP(STATUS_CASE)
#undef STATUS_CASE
	}
	snprintf(words, 64, "%s", name);
	for (char *p = words; *p; p++) {
		if (*p == '_')
			*p = ' ';
		else if (p > words && p[-1] != ' ')
			*p = tolower(*p);
	}
	return words;
}

/* The whole answer into hs->out; the caller of the library may have added headers. */
static void compose(struct kws_handshake *hs, const char *headers)
{
	char words[64];

	hs->out.len = 0;
	text_printf(&hs->out, "HTTP/1.1 %d %s\r\n%s", hs->status, status_words(hs->status, words), headers);
	if (hs->extra.s)
		text_add(&hs->out, hs->extra.s, hs->extra.len);
	text_add(&hs->out, "\r\n", 2);
	hs->stage = STAGE_WRITE;
}

/* Headers that belong to a status, whoever decided on it. */
static const char *status_headers(int status)
{
	switch (status) {
	case 405:
		return "Allow: GET\r\n";
	case 426:
		/* RFC 9110 15.5.22, RFC 6455 4.4 */
		return "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
	default:
		return "";
	}
}

void server_answer(struct kws_handshake *hs, const char *type, const void *body, size_t len)
{
	struct text headers = { 0 };
	bool bodiless = hs->status == 204 || hs->status == 304;
	bool head_only = hs->head.complete && llhttp_get_method(&hs->head.parser) == HTTP_HEAD;

	text_printf(&headers, "Connection: %s\r\n%s", hs->status == 426 ? "Upgrade, close" : "close",
		    status_headers(hs->status));
	if (!bodiless)
		text_printf(&headers, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, len);
	hs->out.failed |= headers.failed;
	compose(hs, headers.s ? headers.s : "");
	if (!bodiless && !head_only)
		text_add(&hs->out, body, len);
	text_free(&headers);
}

/* Refuses for a reason of our own, which the client may read. */
static void refuse(struct kws_handshake *hs, int error, int status, const char *why)
{
	char body[sizeof(hs->why) + 1];
	int len;

	hs->error = error;
	hs->status = status;
	handshake_why(hs, "%s", why);
	len = snprintf(body, sizeof(body), "%s\n", hs->why);
	server_answer(hs, "text/plain", body, len);
}

void server_refuse_head(struct kws_handshake *hs, int error)
{
	switch (error) {
	case -EMSGSIZE:
	case -E2BIG:
		refuse(hs, -EMSGSIZE, 431, "the head of the request is too large");
		break;
	case -ETIMEDOUT:
		refuse(hs, -ETIMEDOUT, 408, "the request took too long");
		break;
	case -ENOMEM:
		refuse(hs, -ENOMEM, 503, "no memory for the request");
		break;
	default:
		refuse(hs, -EBADMSG, 400, head_error(&hs->head));
	}
}

/* The first header that must not come twice and does; NULL: none. */
static const char *repeated_header(const struct head *head)
{
	static const char *const single[] = {
		"Host", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Content-Length", "Authorization",
	};

	for (size_t i = 0; i < sizeof(single) / sizeof(*single); i++)
		if (head_get(head, single[i], 1))
			return single[i];
	return NULL;
}

static bool has_body(const struct head *head)
{
	const char *length = head_get(head, "Content-Length", 0);

	return head_get(head, "Transfer-Encoding", 0) || (length && strspn(length, "0") != strlen(length));
}

/* RFC 3986 3.2.2: the characters of a reg-name. Return: how many. */
static size_t name_length(const char *s, size_t len)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=";
	size_t n = 0;

	for (;;) {
		if (n < len && memchr(chars, s[n], sizeof(chars) - 1))
			n++;
		else if (n + 2 < len && s[n] == '%' && isxdigit((unsigned char)s[n + 1]) && isxdigit((unsigned char)s[n + 2]))
			n += 3;
		else
			return n;
	}
}

/* "[address]" or "[address%zone]", as who still sends the zone writes it. Return: how many characters; 0: no such thing. */
static size_t literal_length(const char *s, size_t len)
{
	unsigned char address[sizeof(struct in6_addr)];
	const char *end = memchr(s, ']', len), *zone;
	char text[INET6_ADDRSTRLEN];
	size_t n, zone_len;

	if (*s != '[' || !end)
		return 0;
	zone = memchr(s, '%', end - s);
	n = (zone ? zone : end) - s - 1;
	zone_len = zone ? end - zone - 1 : 0;
	if (n >= sizeof(text) || (zone && (!zone_len || name_length(zone + 1, zone_len) < zone_len)))
		return 0;
	memcpy(text, s + 1, n);
	text[n] = 0;
	return inet_pton(AF_INET6, text, address) == 1 ? end + 1 - s : 0;
}

/* RFC 9110 7.2, 4.2.1: a host that is not empty, and perhaps a port. */
static bool host_is_valid(const char *s, size_t len)
{
	size_t n = len ? literal_length(s, len) : 0;

	n = n ? n : name_length(s, len);
	if (!n || (n < len && s[n] != ':'))
		return false;
	for (n++; n < len; n++)
		if (!isdigit((unsigned char)s[n]))
			return false;
	return true;
}

/* RFC 9112 3.2: origin-form or absolute-form; RFC 9110 4.2.4: without user information; RFC 6455 3: no fragment. */
static bool target_is_valid(const char *target)
{
	size_t scheme = !strncasecmp(target, "http://", 7) ? 7 : !strncasecmp(target, "https://", 8) ? 8 : 0;

	if (strchr(target, '#'))
		return false;
	return *target == '/' || (scheme && host_is_valid(target + scheme, strcspn(target + scheme, "/?")));
}

/* What any HTTP/1.1 request needs that this library can answer at all. True: it was refused. */
static bool refuse_as_http(struct kws_handshake *hs)
{
	const struct head *head = &hs->head;
	const char *repeated = repeated_header(head), *host = head_get(head, "Host", 0);
	char why[80];

	if (head->parser.http_major != 1 || head->parser.http_minor < 1) {
		refuse(hs, -EBADMSG, 505, "the request is not HTTP/1.1");		/* RFC 6455 4.2.1, 1 */
	} else if (repeated) {
		snprintf(why, sizeof(why), "more than one %s header", repeated);
		refuse(hs, -EBADMSG, 400, why);						/* RFC 6455 11.3 */
	} else if (!host || !*host) {
		refuse(hs, -EBADMSG, 400, "no Host header");				/* RFC 6455 4.2.1, 2 */
	} else if (!host_is_valid(host, strlen(host))) {
		refuse(hs, -EBADMSG, 400, "the Host header names no host");		/* RFC 9112 3.2 */
	} else if (!target_is_valid(head_target(head))) {
		refuse(hs, -EBADMSG, 400, "the request target is neither a path nor an http URL");
	} else if (has_body(head)) {
		refuse(hs, -EBADMSG, 400, "the request has a body");
	} else {
		return false;
	}
	return true;
}

/* RFC 6455 4.2.1, 3 to 6. True: it was refused. */
static bool refuse_as_upgrade(struct kws_handshake *hs)
{
	const struct head *head = &hs->head;
	const char *key = head_get(head, "Sec-WebSocket-Key", 0), *version = head_get(head, "Sec-WebSocket-Version", 0);

	if (llhttp_get_method(&hs->head.parser) != HTTP_GET)
		refuse(hs, -EBADMSG, 405, "the method is not GET");
	else if (!head_has_token(head, "Upgrade", "websocket"))
		refuse(hs, -EBADMSG, 426, "this is a WebSocket server: no \"Upgrade: websocket\" header");
	else if (!head_has_token(head, "Connection", "upgrade"))
		refuse(hs, -EBADMSG, 400, "no \"Connection: upgrade\" header");
	else if (!version || strcmp(version, "13"))
		refuse(hs, -EBADMSG, 426, "Sec-WebSocket-Version is not 13");
	else if (!key)
		refuse(hs, -EBADMSG, 400, "no Sec-WebSocket-Key header");
	else if (!key_is_valid(key))
		refuse(hs, -EBADMSG, 400, "Sec-WebSocket-Key is not base64 of 16 bytes");
	else if (!extensions_are_valid(head))
		refuse(hs, -EBADMSG, 400, "Sec-WebSocket-Extensions is no list of extensions");	/* RFC 6455 9.1 */
	else
		return false;
	return true;
}

/* Collects what the client offers, and takes the first of ours that is among it. True: the request was refused. */
static bool refuse_subprotocols(struct kws_handshake *hs)
{
	const char *value;
	int err = 0;

	for (unsigned int i = 0; !err && (value = head_get(&hs->head, "Sec-WebSocket-Protocol", i)); i++)
		err = protocols_split(&hs->offers, value, strlen(value));
	if (err == -ENOMEM) {
		server_refuse_head(hs, err);
		return true;
	}
	if (err || (!hs->offers.s && head_get(&hs->head, "Sec-WebSocket-Protocol", 0))) {
		refuse(hs, -EBADMSG, 400, "Sec-WebSocket-Protocol is no list of up to 64 different names"); /* RFC 6455 11.3.4 */
		return true;
	}
	for (const char *p = hs->known.s; p && *p && !hs->chosen; p += strlen(p) + 1)
		hs->chosen = protocols_find(&hs->offers, p, strlen(p));
	return false;
}

void server_check(struct kws_handshake *hs)
{
	if (refuse_as_http(hs))
		return;
	if (hs->flags & KWS_F_PLAIN && !head_has_token(&hs->head, "Upgrade", "websocket")) {
		hs->stage = STAGE_DECIDE;
		return;
	}
	if (refuse_as_upgrade(hs) || refuse_subprotocols(hs))
		return;
	key_accept(head_get(&hs->head, "Sec-WebSocket-Key", 0), hs->accept);
	hs->upgrade = true;
	hs->stage = STAGE_DECIDE;
}

void server_accept(struct kws_handshake *hs)
{
	struct text headers = { 0 };
	int err;

	if (!hs->upgrade) {
		refuse_as_upgrade(hs);	/* shown because of KWS_F_PLAIN, and the caller did not answer it */
		return;
	}
	err = handshake_attach(hs);
	if (err) {
		refuse(hs, err, 503, "the server's kernel has no WebSocket protocol for this connection");
		handshake_why(hs, "attaching: %s", handshake_attach_why(hs, err));
		return;
	}
	hs->status = 101;
	text_printf(&headers, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n", hs->accept);
	if (hs->chosen)
		text_printf(&headers, "Sec-WebSocket-Protocol: %s\r\n", hs->chosen);
	hs->out.failed |= headers.failed;
	compose(hs, headers.s ? headers.s : "");
	text_free(&headers);
}

/*
 * The caller's say
 */

static bool undecided(const struct kws_handshake *hs)
{
	return hs->stage == STAGE_DECIDE;
}

int kws_handshake_choose(struct kws_handshake *hs, const char *subprotocol)
{
	const char *chosen = NULL;

	if (!undecided(hs))
		return -EINVAL;
	if (subprotocol) {
		chosen = protocols_find(&hs->offers, subprotocol, strlen(subprotocol));
		if (!chosen)
			return -EINVAL;
	}
	hs->chosen = chosen;
	return 0;
}

/* RFC 9110 5.5: no control characters but tab, so that nobody's text becomes a header of its own. */
bool is_header_value(const char *value)
{
	for (; *value; value++)
		if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
			return false;
	return true;
}

bool is_own_header(const char *name, size_t len)
{
	static const char *const own[] = {
		"Upgrade", "Connection", "Content-Length", "Content-Type", "Transfer-Encoding",
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (len == strlen(own[i]) && !strncasecmp(name, own[i], len))
			return true;
	return !strncasecmp(name, "Sec-WebSocket-", 14);
}

int kws_handshake_add_header(struct kws_handshake *hs, const char *name, const char *value)
{
	size_t len = strlen(name);

	if (!undecided(hs) || !is_token(name, len) || !is_header_value(value) || is_own_header(name, len))
		return -EINVAL;
	text_printf(&hs->extra, "%s: %s\r\n", name, value);
	return hs->extra.failed ? -ENOMEM : 0;
}

int kws_handshake_answer(struct kws_handshake *hs, int status, const char *type, const void *body, size_t len)
{
	char words[64];

	if (!undecided(hs) || status < 200 || status > 599 || (type && !is_header_value(type)))
		return -EINVAL;
	hs->status = status;
	if (!body) {
		body = status_words(status, words);
		len = strlen(words);
	}
	server_answer(hs, type ? type : "text/plain", body, len);
	return hs->out.failed ? -ENOMEM : 0;
}
