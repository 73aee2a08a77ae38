// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The server's handshake: every refusal, every segmentation, limits, and what a program may decide. */
#include <time.h>

#include "handshake.h"
#include "layer.h"

#define START		"GET /chat?room=1 HTTP/1.1\r\n"
#define HOST		"Host: example.com\r\n"
#define UPGRADE		"Upgrade: websocket\r\n"
#define CONNECTION	"Connection: Upgrade\r\n"
#define KEY		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"	/* RFC 6455 1.2 */
#define VERSION		"Sec-WebSocket-Version: 13\r\n"
#define END		"\r\n"
#define WITH_KEY(key)	START HOST UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: " key "\r\n" END
#define GOOD		START HOST UPGRADE CONNECTION KEY VERSION
#define ACCEPT		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define FRAMES		"\x81\x85" "abcd" "hello" "\x89\x80" "abcd" "\r\n\r\n\0GET"	/* bytes that could mislead */

static const size_t steps[] = { 0, 1, 7, 100 };

static struct trial try(const char *bytes, size_t len, size_t step, const struct kws_options *opt,
			void (*decide)(struct kws_handshake *hs))
{
	struct trial t = { .bytes = bytes, .len = len, .step = step, .decide = decide };

	if (opt)
		t.opt = *opt;
	t.opt.flags |= KWS_F_NO_START;
	run_server(&t);
	return t;
}

static void check_accepted(const char *name, const char *request, size_t step)
{
	char bytes[8192];
	size_t len = strlen(request);
	struct trial t;

	memcpy(bytes, request, len);
	memcpy(bytes + len, FRAMES, sizeof(FRAMES));
	t = try(bytes, len + sizeof(FRAMES), step, NULL, NULL);
	CHECK(t.result == KWS_DONE && t.status == 101 && !t.error, "%s, step %zu: %d, status %d: %s", name, step,
	      t.result, t.status, t.message);
	CHECK(!strncmp(t.answer, "HTTP/1.1 101 ", 13) && strstr(t.answer, "\r\n" ACCEPT), "%s: %s", name, t.answer);
	CHECK(t.left_len == sizeof(FRAMES) && !memcmp(t.left, FRAMES, sizeof(FRAMES)),
	      "%s, step %zu: %zu bytes left in the socket", name, step, t.left_len);
}

static void accepted(void)
{
	static const struct { const char *name, *request; } cases[] = {
		{ "as in the RFC", GOOD END },
		{ "names and tokens in any case", START "hOST: x\r\nUPGRADE: WebSocket\r\nconnection: UPGRADE\r\n"
		  "SEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n" END },
		{ "lists", START HOST "Upgrade: h2c, websocket\r\nConnection: keep-alive,\tUpgrade , x\r\n"
		  KEY VERSION END },
		{ "empty list elements", START HOST "Upgrade: ,,websocket\r\nConnection: , ,upgrade,\r\n"
		  KEY VERSION END },
		{ "lists over several lines", START HOST "Upgrade: h2c\r\nUpgrade: websocket\r\n"
		  "Connection: keep-alive\r\nConnection: upgrade\r\n" KEY VERSION END },
		{ "white space around values", START "Host:x\r\nUpgrade: \t websocket \t \r\n" CONNECTION
		  "Sec-WebSocket-Key:\t dGhlIHNhbXBsZSBub25jZQ==  \r\nSec-WebSocket-Version:13\r\n" END },
		{ "absolute form", "GET http://example.com/chat HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ "Host: a:", START "Host: a:\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "Host: a:80", START "Host: a:80\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "Host: 127.0.0.1:8080", START "Host: 127.0.0.1:8080\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "Host: [::1]", START "Host: [::1]\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "Host: [::ffff:1.2.3.4]:443", START "Host: [::ffff:1.2.3.4]:443\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "Host: [::1%25lo]", START "Host: [::1%25lo]\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "Host: [fe80::1%eth0]:8080", START "Host: [fe80::1%eth0]:8080\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "Host: the longest address and zone",
		  START "Host: [ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%interface_names]\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "Host: my_host-1.example.", START "Host: my_host-1.example.\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "Host: a%41b", START "Host: a%41b\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "Host: a,b", START "Host: a,b\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ "target http://a", "GET http://a HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ "target HTTPS://a:443?x", "GET HTTPS://a:443?x HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ "target http://[::1]:80/x?y", "GET http://[::1]:80/x?y HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ "target /http://", "GET /http:// HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ "target //a", "GET //a HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ "a folded line", START HOST "Upgrade:\r\n websocket\r\nX: a\r\n\tb\r\n" CONNECTION KEY VERSION END },
		{ "an empty line before", "\r\n" GOOD END },
		{ "no body, said twice over", GOOD "Content-Length: 0\r\n" END },
		{ "extensions, which are ignored", GOOD "Sec-WebSocket-Extensions: permessage-deflate\r\n" END },
		{ "extensions: a", GOOD "Sec-WebSocket-Extensions: a\r\n" END },
		{ "extensions: a, b", GOOD "Sec-WebSocket-Extensions: a, b\r\n" END },
		{ "extensions: a;b", GOOD "Sec-WebSocket-Extensions: a;b\r\n" END },
		{ "extensions: a ; b = c ,, d;e=\"f\"", GOOD "Sec-WebSocket-Extensions: a ; b = c ,, d;e=\"f\"\r\n" END },
		{ "extensions: a;b=\"\\c\"", GOOD "Sec-WebSocket-Extensions: a;b=\"\\c\"\r\n" END },
		{ "extensions: , a ,", GOOD "Sec-WebSocket-Extensions: , a ,\r\n" END },
		{ "extensions: a;b;c=d, x-y;z=10", GOOD "Sec-WebSocket-Extensions: a;b;c=d, x-y;z=10\r\n" END },
		{ "extensions in two lines", GOOD "Sec-WebSocket-Extensions:\r\nSec-WebSocket-Extensions: a\r\n" END },
		{ "subprotocols in two lines", GOOD "Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: a\r\n" END },
		{ "other headers, repeated", GOOD "Cookie: a\r\nCookie: b\r\nX:\r\n" END },
		{ "bytes above 127 in a value", GOOD "X-Name: J\xc3\xbcrgen\r\n" END },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t s = 0; s < ARRAY_SIZE(steps); s++)
			check_accepted(cases[i].name, cases[i].request, steps[s]);
}

/* RFC 6455 4.2.2, 5; without offers in the request there is nothing to choose from. */
static void answer_text(void)
{
	static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE CONNECTION ACCEPT END;
	struct kws_options opt = { .subprotocols = "chat" };
	struct trial t = try(GOOD END, strlen(GOOD END), 0, &opt, NULL);

	CHECK(!strcmp(t.answer, answer), "%s", t.answer);
}

static void every_split(void)
{
	const char request[] = GOOD END;

	for (size_t at = 1; at < sizeof(request) + 4; at++)
		check_accepted("split in two", request, at);
}

static void refused(void)
{
	static const struct { int status; const char *name, *request; } cases[] = {
		{ 400, "no HTTP", "\x16\x03\x01\x02\x01\x01\r\n\r\n" },
		{ 400, "an unknown method", "BREW / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "LF alone", "GET / HTTP/1.1\nHost: x\n\n" },
		{ 400, "a space before the colon", GOOD "X : y\r\n" END },
		{ 400, "a control character in a value", GOOD "X: a\x01z\r\n" END },
		{ 400, "HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
		{ 400, "HTTP/1.2", "GET / HTTP/1.2\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "RTSP", "GET / RTSP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "ICE", "GET / ICE/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "HTTPS", "GET / HTTPS/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 505, "HTTP/1.0", "GET / HTTP/1.0\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 505, "HTTP/0.9", "GET /\r\n\r\n" },
		{ 405, "POST", "POST / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 405, "HEAD", "HEAD / HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "an asterisk as target", "GET * HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "another scheme", "GET ftp://x/ HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "target http://", "GET http:// HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "target http:///x", "GET http:///x HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "target https://", "GET https:// HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "target http://:80/", "GET http://:80/ HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "target http://?a", "GET http://?a HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "target http://u:p@b/", "GET http://u:p@b/ HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "target http://a b/", "GET http://a b/ HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "target http://a:b/", "GET http://a:b/ HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "target HTTP://[::1", "GET HTTP://[::1 HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "target http://a/#b", "GET http://a/#b HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "a fragment", "GET /a#b HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "no Host", START UPGRADE CONNECTION KEY VERSION END },
		{ 400, "an empty Host", START "Host: \r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a b@c/d?e", START "Host: a b@c/d?e\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a, b", START "Host: a, b\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a b", START "Host: a b\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a@b", START "Host: a@b\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a/", START "Host: a/\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a?", START "Host: a?\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a:b", START "Host: a:b\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a:80x", START "Host: a:80x\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: :80", START "Host: :80\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a:80:80", START "Host: a:80:80\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: %", START "Host: %\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a%4", START "Host: a%4\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a%zz", START "Host: a%zz\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: [", START "Host: [\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: []", START "Host: []\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: [::1", START "Host: [::1\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: ::1", START "Host: ::1\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: [::1]x", START "Host: [::1]x\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: [x]", START "Host: [x]\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: [::1%]", START "Host: [::1%]\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: [%lo]", START "Host: [%lo]\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: [::1%a/b]", START "Host: [::1%a/b]\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: [v1.a]", START "Host: [v1.a]\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: [1.2.3.4]", START "Host: [1.2.3.4]\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: x\xc3\xbc", START "Host: x\xc3\xbc\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: a[::1]", START "Host: a[::1]\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: \"a\"", START "Host: \"a\"\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "Host: <a>", START "Host: <a>\r\n" UPGRADE CONNECTION KEY VERSION END },
		{ 400, "two Hosts", GOOD HOST END },
		{ 426, "no Upgrade", START HOST CONNECTION KEY VERSION END },
		{ 426, "another Upgrade", START HOST "Upgrade: h2c, websockets\r\n" CONNECTION KEY VERSION END },
		{ 400, "no Connection", START HOST UPGRADE KEY VERSION END },
		{ 400, "another Connection", START HOST UPGRADE "Connection: close, upgraded\r\n" KEY VERSION END },
		{ 400, "no key", START HOST UPGRADE CONNECTION VERSION END },
		{ 400, "an empty key", WITH_KEY("") },
		{ 400, "a key of 15 bytes", WITH_KEY("AAAAAAAAAAAAAAAAAAAA") },
		{ 400, "a key of 17 bytes", WITH_KEY("AAAAAAAAAAAAAAAAAAAAAAA=") },
		{ 400, "a key of 18 bytes", WITH_KEY("AAAAAAAAAAAAAAAAAAAAAAAA") },
		{ 400, "a key that is no base64", WITH_KEY("dGhlIHNhbXBsZSBub25j!Q==") },
		{ 400, "a key with a space in it", WITH_KEY("dGhlIHNhbXBsZSB ub25jZQ=") },
		{ 400, "a key with bits left over", WITH_KEY("dGhlIHNhbXBsZSBub25jZR==") },
		{ 400, "a key and more", WITH_KEY("dGhlIHNhbXBsZSBub25jZQ==AAAA") },
		{ 400, "two keys", GOOD KEY END },
		{ 426, "no version", START HOST UPGRADE CONNECTION KEY END },
		{ 426, "version 8", START HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 8\r\n" END },
		{ 426, "version 13, 8", START HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 13, 8\r\n" END },
		{ 426, "version 013", START HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 013\r\n" END },
		{ 400, "two versions", GOOD VERSION END },
		{ 400, "two Authorizations", GOOD "Authorization: a\r\nAuthorization: b\r\n" END },
		{ 400, "two Origins", GOOD "Origin: http://a\r\nOrigin: http://b\r\n" END },
		{ 400, "a body", GOOD "Content-Length: 5\r\n" END "hello" },
		{ 400, "a chunked body", GOOD "Transfer-Encoding: chunked\r\n" END "0\r\n\r\n" },
		{ 400, "a body of unknown length", GOOD "Transfer-Encoding: gzip\r\n" END },
		{ 400, "two lengths", GOOD "Content-Length: 0\r\nContent-Length: 0\r\n" END },
		{ 400, "a length that is no number", GOOD "Content-Length: x\r\n" END },
		{ 400, "extensions: ", GOOD "Sec-WebSocket-Extensions: \r\n" END },
		{ 400, "extensions: ,", GOOD "Sec-WebSocket-Extensions: ,\r\n" END },
		{ 400, "extensions: ;", GOOD "Sec-WebSocket-Extensions: ;\r\n" END },
		{ 400, "extensions: a;", GOOD "Sec-WebSocket-Extensions: a;\r\n" END },
		{ 400, "extensions: a b", GOOD "Sec-WebSocket-Extensions: a b\r\n" END },
		{ 400, "extensions: ;;=", GOOD "Sec-WebSocket-Extensions: ;;=\r\n" END },
		{ 400, "extensions: a;=b", GOOD "Sec-WebSocket-Extensions: a;=b\r\n" END },
		{ 400, "extensions: a;b=", GOOD "Sec-WebSocket-Extensions: a;b=\r\n" END },
		{ 400, "extensions: a;b=c d", GOOD "Sec-WebSocket-Extensions: a;b=c d\r\n" END },
		{ 400, "extensions: a;\"b\"", GOOD "Sec-WebSocket-Extensions: a;\"b\"\r\n" END },
		{ 400, "extensions: a;b=\"", GOOD "Sec-WebSocket-Extensions: a;b=\"\r\n" END },
		{ 400, "extensions: a;b=\"c", GOOD "Sec-WebSocket-Extensions: a;b=\"c\r\n" END },
		{ 400, "extensions: a;b=\"c d\"", GOOD "Sec-WebSocket-Extensions: a;b=\"c d\"\r\n" END },
		{ 400, "extensions: a;b=\"\"", GOOD "Sec-WebSocket-Extensions: a;b=\"\"\r\n" END },
		{ 400, "extensions: \"a\"", GOOD "Sec-WebSocket-Extensions: \"a\"\r\n" END },
		{ 400, "extensions: a=b", GOOD "Sec-WebSocket-Extensions: a=b\r\n" END },
		{ 400, "extensions: a;b=c;", GOOD "Sec-WebSocket-Extensions: a;b=c;\r\n" END },
		{ 400, "extensions: a/b", GOOD "Sec-WebSocket-Extensions: a/b\r\n" END },
		{ 400, "extensions: a;b=\"c\"d", GOOD "Sec-WebSocket-Extensions: a;b=\"c\"d\r\n" END },
		{ 400, "extensions: a;b=\"c\\", GOOD "Sec-WebSocket-Extensions: a;b=\"c\\\r\n" END },
		{ 400, "a second line of extensions", GOOD "Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: ;\r\n" END },
		{ 400, "a header without a name", GOOD ": x\r\n" END },
		{ 400, "a first header without a name", START ": x\r\n" HOST UPGRADE CONNECTION KEY VERSION END },
		{ 400, "no subprotocol at all", GOOD "Sec-WebSocket-Protocol: ,\r\n" END },
		{ 400, "a subprotocol that comes twice", GOOD "Sec-WebSocket-Protocol: chat, a, chat\r\n" END },
		{ 400, "a subprotocol that comes again", GOOD "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n" END },
		{ 400, "a subprotocol that is no token", GOOD "Sec-WebSocket-Protocol: chat, a/b\r\n" END },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
			struct trial t = try(cases[i].request, strlen(cases[i].request), steps[s], NULL, NULL);

			CHECK(t.result == KWS_REFUSED && t.status == cases[i].status && t.error == -EBADMSG &&
			      *t.message, "%s, step %zu: result %d, status %d, error %d: %s", cases[i].name, steps[s],
			      t.result, t.status, t.error, t.message);
			CHECK(atoi(t.answer + 9) == cases[i].status && strstr(t.answer, "\r\nConnection: "), "%s: %s",
			      cases[i].name, t.answer);
			CHECK(t.status != 426 || (strstr(t.answer, "\r\nSec-WebSocket-Version: 13\r\n") &&
						  strstr(t.answer, "\r\nUpgrade: websocket\r\n")), "%s", t.answer);
			CHECK(t.status != 405 || strstr(t.answer, "\r\nAllow: GET\r\n"), "%s", t.answer);
			CHECK(strncmp(cases[i].request, "HEAD", 4) || !strcmp(strstr(t.answer, "\r\n\r\n"), "\r\n\r\n"),
			      "HEAD got a body: %s", t.answer);
		}
	}
}

/* A request that is exactly len bytes long. */
static const char *request_of(size_t len)
{
	static char request[70000];
	size_t fixed = strlen(GOOD "X: " "\r\n" END);

	strcpy(request, GOOD "X: ");
	memset(request + strlen(request), 'x', len - fixed);
	strcpy(request + len - 4, "\r\n" END);
	return request;
}

static void size_limit(void)
{
	static const struct { size_t limit, len; int status; } cases[] = {
		{ 0, 16384, 101 }, { 0, 16385, 431 }, { 0, 69000, 431 }, { 300, 300, 101 }, { 300, 301, 431 },
		{ 1, 300, 431 }, { 65536, 65536, 101 }, { 65536, 65537, 431 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t step = 0; step < 2; step++) {
			struct kws_options opt = { .max_head = cases[i].limit };
			struct trial t = try(request_of(cases[i].len), cases[i].len, step * 299, &opt, NULL);

			CHECK(t.status == cases[i].status && t.error == (t.status == 101 ? 0 : -EMSGSIZE),
			      "limit %zu, %zu bytes: status %d, error %d", cases[i].limit, cases[i].len, t.status,
			      t.error);
		}
	}
}

/* 64 may be offered; of thousands not all are compared with each other. */
static void subprotocol_limit(void)
{
	static const int counts[] = { 64, 65, 3000 };
	static char request[16384];

	for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
		for (int lines = 1; lines <= 2; lines++) {
			struct trial t;
			char *p = request + sprintf(request, GOOD "Sec-WebSocket-Protocol: 0");

			for (int i = 1; i < counts[c]; i++)
				p += sprintf(p, lines == 2 && i == counts[c] / 2 ? "\r\nSec-WebSocket-Protocol: %x" : ",%x", i);
			strcpy(p, "\r\n" END);
			t = try(request, strlen(request), 0, NULL, NULL);
			CHECK(t.status == (counts[c] > 64 ? 400 : 101), "%d in %d lines: %d", counts[c], lines, t.status);
		}
	}
}

static void header_limit(void)
{
	static char request[8192];

	for (int more = 0; more < 2; more++) {
		struct trial t;

		strcpy(request, GOOD);
		for (int i = 5; i < 128 + more; i++)
			strcat(request, "a: b\r\n");
		strcat(request, END);
		t = try(request, strlen(request), 0, NULL, NULL);
		CHECK(t.status == (more ? 431 : 101), "%d headers: %d", 128 + more, t.status);
	}
}

static void end_of_connection(void)
{
	const char request[] = GOOD END;

	for (size_t len = 0; len < sizeof(request) - 1; len++) {
		struct trial t = try(request, len, 0, NULL, NULL);

		CHECK(t.result == -ECONNRESET && t.error == -ECONNRESET && !t.status, "after %zu bytes: %d", len,
		      t.result);
	}
}

static void reset_of_connection(void)
{
	struct linger hard = { .l_onoff = 1 };
	struct pair p = pair_open();
	struct kws_handshake *hs = kws_accept_start(p.fd, NULL);

	CHECK(kws_handshake_run(hs) == KWS_WANT_READ, "nothing was sent");
	setsockopt(p.peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(p.peer);
	CHECK(readable(p.fd, 5000) && kws_handshake_run(hs) == -ECONNRESET, "error %d", kws_handshake_error(hs));
	kws_handshake_free(hs);
	close(p.fd);
}

static void time_limit(void)
{
	struct kws_options opt = { .timeout_ms = 60 };
	struct pair p = pair_open();
	struct kws_handshake *hs = kws_accept_start(p.fd, &opt);
	char answer[1000];
	int left = kws_handshake_timeout(hs);

	CHECK(kws_handshake_run(hs) == KWS_WANT_READ && left > 0 && left <= 60, "%d ms left", left);
	CHECK(send(p.peer, "GET / HT", 8, 0) == 8 && readable(p.fd, 5000), "sending");
	while (kws_handshake_run(hs) == KWS_WANT_READ && !kws_handshake_status(hs))
		poll(NULL, 0, kws_handshake_timeout(hs));
	CHECK(kws_handshake_status(hs) == 408 && kws_handshake_error(hs) == -ETIMEDOUT, "%s",
	      kws_handshake_message(hs));
	left = kws_handshake_timeout(hs);
	CHECK(left > 0 && left <= 1000, "%d ms for the answer to be fetched", left);
	drain(p.peer, answer, sizeof(answer));
	CHECK(!strncmp(answer, "HTTP/1.1 408 Request Timeout\r\n", 30), "%s", answer);
	CHECK(readable(p.peer, 5000) && !recv(p.peer, answer, 1, MSG_DONTWAIT), "the answer has no end");
	close(p.peer);
	CHECK(kws_handshake_wait(hs) == KWS_REFUSED, "result");
	kws_handshake_free(hs);
	close(p.fd);
}

static void blocking_call(void)
{
	struct kws_options opt = { .flags = KWS_F_NO_START, .timeout_ms = 100 };
	struct pair p = pair_open();
	char why[100] = "", answer[1000];
	int err;

	CHECK(send(p.peer, GOOD END FRAMES, sizeof(GOOD END FRAMES), 0) > 0, "sending");
	CHECK(!kws_accept(p.fd, &opt) && drain(p.peer, answer, sizeof(answer)) && strstr(answer, ACCEPT), "%s", answer);
	pair_close(&p);
	p = pair_open();
	opt.why = why;
	opt.why_size = sizeof(why);
	err = kws_accept(p.fd, &opt);	/* the peer does not close: this is one second longer */
	CHECK(err == -ETIMEDOUT && !strcmp(why, "the request took too long"), "%d: %s", err, why);
	pair_close(&p);
}

static void blocked_answer(void)
{
	struct kws_options opt = { .flags = KWS_F_NO_START };
	struct pair p = pair_open();
	struct kws_handshake *hs = kws_accept_start(p.fd, &opt);
	struct pollfd writable = { .fd = p.fd, .events = POLLOUT };
	static char junk[1 << 16];
	char answer[1000] = "";
	size_t sent = 0, got = 0;
	ssize_t n;
	int size = 65536;

	/* A fixed size, which does not grow when the peer acknowledges */
	setsockopt(p.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	do
		while ((n = send(p.fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0 ||
		       (n = send(p.fd, junk, 1, MSG_DONTWAIT)) > 0)
			sent += n;
	while (poll(&writable, 1, 100));
	CHECK(send(p.peer, GOOD END, strlen(GOOD END), 0) > 0 && readable(p.fd, 5000), "sending");
	CHECK(kws_handshake_run(hs) == KWS_REQUEST && kws_handshake_run(hs) == KWS_WANT_WRITE, "TCP took the answer");
	while (got < sent && (n = recv(p.peer, junk, got + sizeof(junk) < sent ? sizeof(junk) : sent - got, 0)) > 0)
		got += n;
	CHECK(kws_handshake_wait(hs) == KWS_DONE && drain(p.peer, answer, sizeof(answer)) && strstr(answer, ACCEPT),
	      "%s", answer);
	kws_handshake_free(hs);
	pair_close(&p);
}

/*
 * Decisions
 */

static void look(struct kws_handshake *hs)
{
	const char *name, *value;

	CHECK(!strcmp(kws_handshake_target(hs), "/chat?room=1"), "%s", kws_handshake_target(hs));
	CHECK(!strcmp(kws_handshake_header(hs, "HOST", 0), "example.com"), "Host");
	CHECK(!strcmp(kws_handshake_header(hs, "cookie", 1), "b=2"), "second Cookie");
	CHECK(!kws_handshake_header(hs, "cookie", 2) && !kws_handshake_header(hs, "Origin", 0), "not there");
	CHECK(kws_handshake_header_at(hs, 0, &name, &value) && !strcmp(name, "Host"), "first line");
	CHECK(!kws_handshake_header_at(hs, 9, &name, &value), "behind the last line");
	CHECK(!strcmp(kws_handshake_offered(hs, 0), "soap") && !strcmp(kws_handshake_offered(hs, 1), "chat") &&
	      !strcmp(kws_handshake_offered(hs, 2), "wamp") && !kws_handshake_offered(hs, 3), "offers");
	CHECK(kws_handshake_is_upgrade(hs) && !kws_handshake_status(hs), "an upgrade");
	CHECK(kws_handshake_choose(hs, "Chat") == -EINVAL && !kws_handshake_choose(hs, "wamp"), "choosing");
	CHECK(!kws_handshake_add_header(hs, "Set-Cookie", "id=7"), "adding");
	CHECK(kws_handshake_add_header(hs, "X", "a\r\nY: b") == -EINVAL, "adding two at once");
	CHECK(kws_handshake_add_header(hs, "X: y\r\nZ", "a") == -EINVAL, "adding two at once");
	CHECK(kws_handshake_add_header(hs, "sec-websocket-extensions", "x") == -EINVAL, "adding one of the library's");
}

static void look_and_choose(void)
{
	const char request[] = START HOST UPGRADE CONNECTION KEY VERSION "Cookie: a=1\r\nCookie: b=2\r\n" END;
	const char *offers = "Sec-WebSocket-Protocol: soap , chat\r\nSec-WebSocket-Protocol: wamp\r\n" END;
	char bytes[1000];

	snprintf(bytes, sizeof(bytes), "%.*s%s", (int)sizeof(request) - 3, request, offers);
	for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
		struct trial t = try(bytes, strlen(bytes), steps[s], NULL, look);

		CHECK(t.status == 101 && strstr(t.answer, "\r\nSec-WebSocket-Protocol: wamp\r\n") &&
		      strstr(t.answer, "\r\nSet-Cookie: id=7\r\n"), "%s", t.answer);
	}
}

static void subprotocol_by_option(void)
{
	static const struct { const char *ours, *offered, *agreed; } cases[] = {
		{ "chat, soap", "soap, chat", "chat" }, { " soap ,", "x,soap", "soap" }, { "chat", "soap", NULL },
		{ NULL, "soap", NULL }, { "chat", "CHAT", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kws_options opt = { .subprotocols = cases[i].ours };
		char request[1000], line[100];
		struct trial t;

		snprintf(request, sizeof(request), GOOD "Sec-WebSocket-Protocol: %s\r\n" END, cases[i].offered);
		t = try(request, strlen(request), 0, &opt, NULL);
		snprintf(line, sizeof(line), "\r\nSec-WebSocket-Protocol: %s\r\n", cases[i].agreed);
		CHECK(t.status == 101 && !strstr(t.answer, "Sec-WebSocket-Protocol") == !cases[i].agreed &&
		      (!cases[i].agreed || strstr(t.answer, line)), "%zu: %s", i, t.answer);
	}
}

static void forbid(struct kws_handshake *hs)
{
	CHECK(kws_handshake_answer(hs, 101, NULL, NULL, 0) == -EINVAL, "101 is no refusal");
	CHECK(kws_handshake_answer(hs, 403, "a\r\nb", NULL, 0) == -EINVAL, "two headers as one");
	CHECK(!kws_handshake_add_header(hs, "X-Why", "because"), "adding");
	CHECK(!kws_handshake_answer(hs, 403, NULL, NULL, 0), "answering");
	CHECK(kws_handshake_answer(hs, 404, NULL, NULL, 0) == -EINVAL, "answering twice");
	CHECK(kws_handshake_choose(hs, NULL) == -EINVAL, "too late to choose");
	CHECK(kws_handshake_add_header(hs, "a", "b") == -EINVAL, "too late to add");
}

static void refused_by_program(void)
{
	struct trial t = try(GOOD END FRAMES, sizeof(GOOD END FRAMES), 0, NULL, forbid);

	CHECK(t.result == KWS_REFUSED && t.status == 403 && !t.error, "%d, %d, %d", t.result, t.status, t.error);
	CHECK(!strncmp(t.answer, "HTTP/1.1 403 Forbidden\r\n", 24) && strstr(t.answer, "\r\nX-Why: because\r\n") &&
	      strstr(t.answer, "\r\nContent-Length: 9\r\n") && strstr(t.answer, "\r\n\r\nForbidden"), "%s", t.answer);
}

static void give_page(struct kws_handshake *hs)
{
	CHECK(!kws_handshake_is_upgrade(hs), "an upgrade");
	CHECK(!kws_handshake_answer(hs, 200, "text/html", "<p>hi", 5), "answering");
}

static void plain_requests(void)
{
	const char wrong[] = START HOST UPGRADE CONNECTION KEY END;
	struct kws_options opt = { .flags = KWS_F_PLAIN };
	struct trial t = try(START HOST END, strlen(START HOST END), 1, &opt, give_page);

	CHECK(t.result == KWS_REFUSED && t.status == 200 && strstr(t.answer, "\r\nContent-Type: text/html\r\n") &&
	      strstr(t.answer, "\r\n\r\n<p>hi"), "%s", t.answer);
	t = try(START HOST END, strlen(START HOST END), 0, &opt, NULL);
	CHECK(t.status == 426 && t.error == -EBADMSG, "not answered: %s", t.answer);
	t = try(wrong, strlen(wrong), 0, &opt, give_page);
	CHECK(t.status == 426, "a wrong upgrade: %s", t.answer);
}

/*
 * A layer that keeps some of the answer back, as the kernel's TLS does
 */

static struct {
	bool out;		/* it keeps nothing back */
	unsigned int shutdowns;
} kept;

static int layer_no(void *ctx)
{
	(void)ctx;
	return 0;
}

static ssize_t layer_recv(void *ctx, void *buf, size_t len, int flags)
{
	ssize_t n = recv(*(int *)ctx, buf, len, flags | MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

static ssize_t layer_send(void *ctx, const void *buf, size_t len)
{
	ssize_t n = send(*(int *)ctx, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

static bool layer_shutdown(void *ctx)
{
	(void)ctx;
	kept.shutdowns++;
	return kept.out;
}

static const char *layer_why(void *ctx)
{
	(void)ctx;
	return "";
}

static void layer_free(void *ctx)
{
	(void)ctx;
}

static unsigned int now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A handshake over it whose answer is sent. */
static struct kws_handshake *refuse_over_layer(struct pair *p)
{
	static const struct kws_layer layer = {
		.begin = layer_no, .recv = layer_recv, .send = layer_send, .shutdown = layer_shutdown, .attach = layer_no,
		.why = layer_why, .free = layer_free,
	};
	struct kws_options opt = { .flags = KWS_F_NO_START };
	struct kws_handshake *hs;
	char answer[4096];

	memset(&kept, 0, sizeof(kept));
	*p = pair_open();
	hs = kws_layer_accept(p->fd, &opt, &layer, &p->fd);
	CHECK(hs, "kws_layer_accept");
	CHECK(send(p->peer, START END, strlen(START END), 0) > 0 && readable(p->fd, 5000), "sending");
	CHECK(kws_handshake_run(hs) == KWS_WANT_WRITE && kept.shutdowns, "%d, told %u times", kws_handshake_run(hs), kept.shutdowns);
	CHECK(drain(p->peer, answer, sizeof(answer)) && !strncmp(answer, "HTTP/1.1 400 ", 13), "%s", answer);
	return hs;
}

/* The layer sends @bytes more, one each 500 ms, and the client takes them. Return: milliseconds until the handshake was over. */
static unsigned int trickle(struct kws_handshake *hs, struct pair *p, unsigned int bytes)
{
	unsigned int begin = now(), next = begin;

	while (kws_handshake_run(hs) == KWS_WANT_WRITE && now() < begin + 10000) {
		if (bytes && now() >= next) {
			CHECK(send(p->fd, "x", 1, 0) == 1, "send");
			next += 500;
			bytes--;
		}
		usleep(5000);
	}
	return now() - begin;
}

static void layer_keeps_back(void)
{
	struct kws_handshake *hs;
	unsigned int ms;
	struct pair p;
	char byte;

	/* nothing goes: a second */
	hs = refuse_over_layer(&p);
	CHECK(recv(p.peer, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "FIN before the rest");
	ms = trickle(hs, &p, 0);
	CHECK(kws_handshake_run(hs) == KWS_REFUSED && ms > 500 && ms < 1900, "%u ms", ms);
	kws_handshake_free(hs);
	pair_close(&p);

	/* three more bytes, and a second; but not for ever */
	hs = refuse_over_layer(&p);
	ms = trickle(hs, &p, 3);
	CHECK(kws_handshake_run(hs) == KWS_REFUSED && ms > 1400 && ms < 2450, "%u ms", ms);
	kws_handshake_free(hs);
	pair_close(&p);
	hs = refuse_over_layer(&p);
	ms = trickle(hs, &p, 100);
	CHECK(kws_handshake_run(hs) == KWS_REFUSED && ms > 2300 && ms < 4000, "%u ms", ms);
	kws_handshake_free(hs);
	pair_close(&p);

	/* all is out, and the client closes */
	hs = refuse_over_layer(&p);
	kept.out = true;
	CHECK(kws_handshake_run(hs) == KWS_WANT_READ, "%d", kws_handshake_run(hs));
	shutdown(p.peer, SHUT_WR);
	CHECK(readable(p.fd, 5000) && kws_handshake_run(hs) == KWS_REFUSED, "%d", kws_handshake_run(hs));
	kws_handshake_free(hs);
	pair_close(&p);

	/* the client ended its side before */
	hs = refuse_over_layer(&p);
	shutdown(p.peer, SHUT_WR);
	CHECK(readable(p.fd, 5000) && kws_handshake_run(hs) == KWS_WANT_WRITE, "%d", kws_handshake_run(hs));
	kept.out = true;
	CHECK(kws_handshake_run(hs) == KWS_REFUSED, "%d", kws_handshake_run(hs));
	kws_handshake_free(hs);
	pair_close(&p);
}

static void bad_options(void)
{
	struct websocket_config client = { .flags = WEBSOCKET_F_CLIENT };
	struct kws_options bad[] = {
		{ .max_head = (1 << 20) + 1 }, { .flags = 1U << 31 }, { .subprotocols = "a b" }, { .config = &client },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		errno = 0;
		CHECK(!kws_accept_start(0, &bad[i]) && errno == EINVAL, "%zu: %d", i, errno);
	}
	kws_handshake_free(NULL);
}

/* Without the module the client gets 503 instead of a 101 that nobody honours; with it the handshake succeeds. */
static void attaching(void)
{
	struct trial t = { .bytes = GOOD END, .len = strlen(GOOD END) };
	struct pair p = pair_open();
	int err = kws_attach(p.fd);

	pair_close(&p);
	run_server(&t);
	CHECK(t.status == (err ? 503 : 101) && t.error == err, "status %d, error %d: %s", t.status, t.error, t.message);
	CHECK(err != -ENOENT || strstr(t.message, "modprobe"), "%s", t.message);
}

/* Damaged heads: whole and bytewise they end the same way, and nothing behind a head is ever touched. */
static void damaged(void)
{
	static const char spice[] = "\r\n :,\t\0Aa0=;\x7f\x80/#*%-";
	static char bytes[1000];
	size_t head = strlen(GOOD "Sec-WebSocket-Protocol: a, b\r\n" END);
	unsigned int seed = 6455;

	for (int round = 0; round < 1500; round++) {
		struct trial t[2];

		memcpy(bytes, GOOD "Sec-WebSocket-Protocol: a, b\r\n" END FRAMES, head + sizeof(FRAMES));
		for (int i = rand_r(&seed) % 4; i >= 0; i--)
			bytes[rand_r(&seed) % head] = spice[rand_r(&seed) % sizeof(spice)];
		for (int i = 0; i < 2; i++)
			t[i] = try(bytes, head + sizeof(FRAMES), i, NULL, NULL);
		CHECK(t[0].result == t[1].result && t[0].status == t[1].status, "round %d: %d %d, bytewise %d %d",
		      round, t[0].result, t[0].status, t[1].result, t[1].status);
		CHECK(t[0].result != KWS_DONE || t[0].left_len == t[1].left_len,
		      "round %d: %zu bytes left, bytewise %zu", round, t[0].left_len, t[1].left_len);
	}
}

static const struct tap_test tests[] = {
	{ "RFC 6455 4.2.1: acceptable requests, whole and in pieces; frames behind them stay", accepted },
	{ "RFC 6455 4.2.2: the answer, letter by letter", answer_text },
	{ "a request cut in two at every byte", every_split },
	{ "RFC 6455 4.2.1: every refusal, whole and in pieces", refused },
	{ "431: the size limit to the byte", size_limit },
	{ "431: the number of headers", header_limit },
	{ "400: the number of subprotocols", subprotocol_limit },
	{ "the client leaves in the middle", end_of_connection },
	{ "the client resets", reset_of_connection },
	{ "408: the time limit, step by step", time_limit },
	{ "kws_accept() blocks, and not for ever", blocking_call },
	{ "KWS_WANT_WRITE: a full socket", blocked_answer },
	{ "a program sees the request, chooses, adds headers", look_and_choose },
	{ "RFC 6455 1.9: the server's first subprotocol that is offered", subprotocol_by_option },
	{ "a program refuses", refused_by_program },
	{ "KWS_F_PLAIN: a page for a browser", plain_requests },
	{ "a refusal over a layer that keeps some of it back", layer_keeps_back },
	{ "bad options", bad_options },
	{ "503 without the module", attaching },
	{ "1,500 damaged heads", damaged },
};
TAP_MAIN(tests)
