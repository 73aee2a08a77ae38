// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The client's handshake: URLs, the request, every answer that must not be believed, and connecting. */
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>

#include "handshake.h"
#include "key.h"
#include "url.h"

#define FRAMES "\x81\x05" "hello" "\x89\x00" "HTTP/1.1 101\r\n\r\n\0"

static const size_t steps[] = { 0, 1, 7 };

/* The peer's part: reads the request, and answers; "$" in the answer stands for the right Sec-WebSocket-Accept. */
static void run_client(struct trial *t, const char *url, char *request, size_t size)
{
	struct pair p = pair_open();
	struct kws_handshake *hs;
	char bytes[8192], accept[ACCEPT_LEN + 1], key[KEY_LEN + 1] = "";
	const char *found, *agreed;
	size_t written = 0;

	t->opt.flags |= KWS_F_NO_START;
	hs = kws_connect_start(p.fd, url, &t->opt);
	if (!hs)
		die("kws_connect_start");
	CHECK(kws_handshake_run(hs) == KWS_WANT_READ, "an answer before the request");
	drain(p.peer, request, size);
	found = strstr(request, "\r\nSec-WebSocket-Key: ");
	if (found)
		memcpy(key, found + 21, KEY_LEN);
	key_accept(key, accept);
	CHECK(key_is_valid(key), "the key %s", key);
	t->bytes = bytes;
	if (t->len) {
		const char *dollar = memchr(t->left, '$', t->len);
		size_t before = dollar ? (size_t)(dollar - t->left) : t->len;

		memcpy(bytes, t->left, before);
		if (dollar) {
			memcpy(bytes + before, accept, ACCEPT_LEN);
			memcpy(bytes + before + ACCEPT_LEN, dollar + 1, t->len - before - 1);
			t->len += ACCEPT_LEN - 1;
		}
	}
	while ((t->result = kws_handshake_run(hs)) == KWS_WANT_READ)
		peer_goes_on(t, &p, &written);
	t->status = kws_handshake_status(hs);
	t->error = kws_handshake_error(hs);
	snprintf(t->message, sizeof(t->message), "%s", kws_handshake_message(hs));
	agreed = kws_handshake_subprotocol(hs);
	snprintf(t->answer, sizeof(t->answer), "%s", agreed ? agreed : "");
	if (written < t->len)
		CHECK(send(p.peer, bytes + written, t->len - written, 0) > 0, "writing the rest");
	shutdown(p.peer, SHUT_WR);
	t->left_len = drain(p.fd, t->left, sizeof(t->left));
	kws_handshake_free(hs);
	pair_close(&p);
}

static struct trial try(const char *answer, size_t len, size_t step, const char *subprotocols)
{
	struct trial t = { .len = len, .step = step, .opt.subprotocols = subprotocols };
	char request[4096];

	memcpy(t.left, answer, len);
	run_client(&t, "ws://example.com/", request, sizeof(request));
	return t;
}

#define LINE		"HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE		"Upgrade: websocket\r\n"
#define CONNECTION	"Connection: Upgrade\r\n"
#define ACCEPT		"Sec-WebSocket-Accept: $\r\n"
#define GOOD		LINE UPGRADE CONNECTION ACCEPT
#define END		"\r\n"

static void accepted(void)
{
	static const struct { const char *name, *answer, *agreed; } cases[] = {
		{ "as in the RFC", GOOD END, "" },
		{ "any case, lists", "HTTP/1.1 101 \r\nUPGRADE: WebSocket\r\nconnection: keep-alive, UPGRADE\r\n"
		  "sec-websocket-accept: $ \r\n" END, "" },
		{ "a subprotocol", GOOD "Sec-WebSocket-Protocol: chat\r\n" END, "chat" },
		{ "interim answers first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
		  GOOD END, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
			size_t len = strlen(cases[i].answer);
			struct trial t;
			char bytes[2000];

			memcpy(bytes, cases[i].answer, len);
			memcpy(bytes + len, FRAMES, sizeof(FRAMES));
			t = try(bytes, len + sizeof(FRAMES), steps[s], "soap, chat");
			CHECK(t.result == KWS_DONE && t.status == 101 && !t.error && !strcmp(t.answer, cases[i].agreed),
			      "%s, step %zu: %d, status %d, %s", cases[i].name, steps[s], t.result, t.status,
			      t.message);
			CHECK(t.left_len == sizeof(FRAMES) && !memcmp(t.left, FRAMES, sizeof(FRAMES)),
			      "%s: %zu bytes left", cases[i].name, t.left_len);
		}
	}
}

static void not_believed(void)
{
	static const struct { int result, error; const char *name, *answer; } cases[] = {
		{ -EPROTO, -EPROTO, "no HTTP", "SSH-2.0-OpenSSH_9.2\r\n" },
		{ -EPROTO, -EPROTO, "HTTP/1.0", "HTTP/1.0 101 x\r\n" UPGRADE CONNECTION ACCEPT END },
		{ -EPROTO, -EPROTO, "no Upgrade", LINE CONNECTION ACCEPT END },
		{ -EPROTO, -EPROTO, "another Upgrade", LINE "Upgrade: h2c\r\n" CONNECTION ACCEPT END },
		{ -EPROTO, -EPROTO, "two Upgrades", LINE "Upgrade: websocket, h2c\r\n" CONNECTION ACCEPT END },
		{ -EPROTO, -EPROTO, "two Upgrade lines", GOOD UPGRADE END },
		{ -EPROTO, -EPROTO, "no Connection", LINE UPGRADE ACCEPT END },
		{ -EPROTO, -EPROTO, "another Connection", LINE UPGRADE "Connection: close\r\n" ACCEPT END },
		{ -EPROTO, -EPROTO, "no accept", LINE UPGRADE CONNECTION END },
		{ -EPROTO, -EPROTO, "the RFC's accept", LINE UPGRADE CONNECTION
		  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" END },
		{ -EPROTO, -EPROTO, "an accept and more", LINE UPGRADE CONNECTION "Sec-WebSocket-Accept: $=\r\n" END },
		{ -EPROTO, -EPROTO, "two accepts", GOOD "Sec-WebSocket-Accept: x\r\n" END },
		{ -EPROTO, -EPROTO, "an extension", GOOD "Sec-WebSocket-Extensions: permessage-deflate\r\n" END },
		{ -EPROTO, -EPROTO, "an empty list of extensions", GOOD "Sec-WebSocket-Extensions: ,\r\n" END },
		{ -EPROTO, -EPROTO, "extensions without a value", GOOD "Sec-WebSocket-Extensions:\r\n" END },
		{ -EPROTO, -EPROTO, "extensions that are no list", GOOD "Sec-WebSocket-Extensions: ;\r\n" END },
		{ -EPROTO, -EPROTO, "a header without a name", GOOD ": x\r\n" END },
		{ -EPROTO, -EPROTO, "a subprotocol not offered", GOOD "Sec-WebSocket-Protocol: wamp\r\n" END },
		{ -EPROTO, -EPROTO, "a subprotocol in another case", GOOD "Sec-WebSocket-Protocol: Chat\r\n" END },
		{ -EPROTO, -EPROTO, "two subprotocols", GOOD "Sec-WebSocket-Protocol: soap, chat\r\n" END },
		{ -EPROTO, -EPROTO, "two subprotocol lines",
		  GOOD "Sec-WebSocket-Protocol: soap\r\nSec-WebSocket-Protocol: chat\r\n" END },
		{ -EPROTO, -EPROTO, "an empty subprotocol", GOOD "Sec-WebSocket-Protocol:\r\n" END },
		{ KWS_REFUSED, -ECONNREFUSED, "404", "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n" },
		{ KWS_REFUSED, -ECONNREFUSED, "302", "HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\n\r\n" },
		{ KWS_REFUSED, -ECONNREFUSED, "200", "HTTP/1.1 200 OK\r\n" UPGRADE CONNECTION ACCEPT END },
		{ -ECONNRESET, -ECONNRESET, "no end", GOOD },
		{ -ECONNRESET, -ECONNRESET, "nothing", "" },
		{ -ECONNRESET, -ECONNRESET, "only an interim answer", "HTTP/1.1 100 Continue\r\n\r\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
			struct trial t = try(cases[i].answer, strlen(cases[i].answer), steps[s], "soap, chat");

			CHECK(t.result == cases[i].result && t.error == cases[i].error && *t.message && !*t.answer,
			      "%s, step %zu: %d, error %d, %s", cases[i].name, steps[s], t.result, t.error, t.message);
			CHECK(t.result != KWS_REFUSED || t.status == atoi(cases[i].answer + 9), "status %d", t.status);
		}
	}
}

static void size_limit(void)
{
	static char answer[40000];

	for (int i = 0; i < 300; i++)
		strcat(answer, "HTTP/1.1 100 Continue\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n\r\n");
	for (size_t len = 3998; len <= 3999; len++) {
		struct trial t = { .len = len, .opt.max_head = 3999 };
		char request[4096];

		memcpy(t.left, answer, t.len);
		run_client(&t, "ws://example.com/", request, sizeof(request));
		CHECK(t.error == (len == 3999 ? -EMSGSIZE : -ECONNRESET), "%zu bytes: %d: %s", len, t.error, t.message);
	}
}

static void request_text(void)
{
	static const char *const headers[] = { "Cookie: a=b", "X-Y:z", NULL };
	static const struct { const char *url, *start; } cases[] = {
		{ "ws://example.com", "GET / HTTP/1.1\r\nHost: example.com\r\n" },
		{ "ws://example.com:80/", "GET / HTTP/1.1\r\nHost: example.com\r\n" },
		{ "WS://example.com:8080/a/b?c=d&e", "GET /a/b?c=d&e HTTP/1.1\r\nHost: example.com:8080\r\n" },
		{ "ws://example.com?c", "GET /?c HTTP/1.1\r\nHost: example.com\r\n" },
		{ "ws://[::1]:81/x", "GET /x HTTP/1.1\r\nHost: [::1]:81\r\n" },
		{ "ws://[fe80::1%eth0]:8080/", "GET / HTTP/1.1\r\nHost: [fe80::1]:8080\r\n" },
		{ "ws://[fe80::1%eth0]:80/", "GET / HTTP/1.1\r\nHost: [fe80::1]\r\n" },
		{ "ws://[::1]/@:", "GET /@: HTTP/1.1\r\nHost: [::1]\r\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct trial t = {
			.opt = { .subprotocols = "soap,chat", .origin = "http://o", .headers = headers },
		};
		char request[4096], again[4096];
		const char *rest;

		run_client(&t, cases[i].url, request, sizeof(request));
		CHECK(!strncmp(request, cases[i].start, strlen(cases[i].start)), "%s: %s", cases[i].url, request);
		rest = strstr(request, "Upgrade:");
		CHECK(rest && !strncmp(rest, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ", 60),
		      "%s", request);
		rest = strstr(request, "==\r\n");
		CHECK(rest && !strcmp(rest, "==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: soap, chat\r\n"
				      "Origin: http://o\r\nCookie: a=b\r\nX-Y:z\r\n\r\n"), "%s", request);
		run_client(&t, cases[i].url, again, sizeof(again));
		CHECK(strcmp(request, again), "the same key twice");
	}
}

static void bad_urls(void)
{
	static const char *const bad[] = {
		"", "ws:", "ws://", "ws:///x", "http://x/", "//x", "ws://:80/", "ws://x:0/", "ws://x:65536/",
		"ws://x:/", "ws://x:8a/", "ws://x:-1/", "ws://x:000080/", "ws://u@x/", "ws://u:p@x/", "ws://x/#f",
		"ws://x/a b", "ws://x\r\nY: z/", "ws://x/\r\nY: z", "ws://x/\xc3\xbc", "ws://[::1/", "ws://[]/",
		"ws://[::1]8/", "ws://[::1]x80/", "ws://::1/", "ws://x/\x7f",
	};
	struct url url;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		errno = 0;
		CHECK(url_parse(&url, bad[i]) == -EINVAL, "%s", bad[i]);
		CHECK(!kws_connect_start(0, bad[i], NULL) && errno == EINVAL, "%s: %d", bad[i], errno);
		CHECK(kws_connect(bad[i], NULL) == -EINVAL, "%s", bad[i]);
	}
	CHECK(kws_connect("wss://example.com/", NULL) == -EPROTONOSUPPORT, "wss");
	CHECK(!url_parse(&url, "ws://[fe80::1]:8080/p?q"), "IPv6");
	CHECK(!strcmp(url.host, "fe80::1") && !strcmp(url.port, "8080") && !strcmp(url.resource, "/p?q"), "%s",
	      url.host);
	url_free(&url);
}

static void bad_options(void)
{
	static const char *const headers[][2] = {
		{ "no colon" }, { ": x" }, { "a b: c" }, { "A: b\r\nC: d" }, { "Host: x" }, { "Upgrade: h2c" },
		{ "sec-websocket-key: x" }, { "" },
	};
	struct kws_options opt = { .origin = "a\nb" };

	CHECK(!kws_connect_start(0, "ws://x/", &opt) && errno == EINVAL, "origin");
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		opt = (struct kws_options){ .headers = headers[i] };
		errno = 0;
		CHECK(!kws_connect_start(0, "ws://x/", &opt) && errno == EINVAL, "%s", headers[i][0]);
	}
}

static void bad_subprotocols(void)
{
	static const char *const bad[] = {
		"a b", "chat, a/b", "a,b;c", "\"chat\"", "chat\r\nX: y", "ch\xc3\xa4t", "a,\x01", "a@b", "{}",
		"chat, chat", "a,b,a",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct kws_options opt = { .subprotocols = bad[i] };

		errno = 0;
		CHECK(!kws_connect_start(0, "ws://x/", &opt) && errno == EINVAL, "%s: %d", bad[i], errno);
	}
}

/*
 * Connecting
 */

static void *serve(void *listener)
{
	struct kws_options opt = { .flags = KWS_F_NO_START, .subprotocols = "chat" };
	int fd = accept(*(int *)listener, NULL, NULL);
	char byte;

	CHECK(!kws_accept(fd, &opt), "serving");
	CHECK(recv(fd, &byte, 1, 0) == 0, "the client goes on");
	close(fd);
	return NULL;
}

static void both_sides(void)
{
	static const struct { int family; const char *host; } cases[] = {
		{ AF_INET, "127.0.0.1" }, { AF_INET6, "[::1]" }, { AF_INET, "localhost" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kws_options opt = { .flags = KWS_F_NO_START, .subprotocols = "soap, chat" };
		struct sockaddr_storage addr;
		pthread_t thread;
		socklen_t len;
		char url[100];
		int fd, l = listener(&addr, &len, cases[i].family);

		snprintf(url, sizeof(url), "ws://%s:%d/", cases[i].host,
			 ntohs(((struct sockaddr_in *)&addr)->sin_port));
		pthread_create(&thread, NULL, serve, &l);
		fd = kws_connect(url, &opt);
		CHECK(fd >= 0, "%s: %d", url, fd);
		if (fd < 0)
			die("no connection");	/* the server would wait for ever */
		CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK) && fcntl(fd, F_GETFD) & FD_CLOEXEC, "%s: the socket's flags", url);
		close(fd);
		pthread_join(thread, NULL);
		close(l);
	}
}

/* Serves two clients; when the second one connects, the first one has its answer. */
static void *serve_two(void *listener)
{
	struct kws_options opt = { .flags = KWS_F_NO_START };
	struct pollfd p = { .fd = *(int *)listener, .events = POLLIN };
	int first = accept(p.fd, NULL, NULL), second;

	CHECK(poll(&p, 1, 200) == 0, "a second connection before the first is established");
	CHECK(!kws_accept(first, &opt), "serving the first");
	second = accept(p.fd, NULL, NULL);
	CHECK(!kws_accept(second, &opt), "serving the second");
	close(first);
	close(second);
	return NULL;
}

/* RFC 6455 4.1: at most one connection to an address is not established yet. */
static void one_after_the_other(void)
{
	struct kws_options opt = { .flags = KWS_F_NO_START };
	struct sockaddr_storage addr;
	pthread_t thread;
	socklen_t len;
	char url[100];
	int first, second, l = listener(&addr, &len, AF_INET);

	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", ntohs(((struct sockaddr_in *)&addr)->sin_port));
	pthread_create(&thread, NULL, serve_two, &l);
	first = kws_connect(url, &opt);
	second = kws_connect(url, &opt);
	if (first < 0 || second < 0)
		die("no connection");	/* the server would wait for ever */
	pthread_join(thread, NULL);
	close(first);
	close(second);
	close(l);
}

static void nobody_there(void)
{
	struct kws_options opt = { .flags = KWS_F_NO_START, .timeout_ms = 50 };
	struct sockaddr_storage addr;
	socklen_t len;
	char url[100], why[100] = "";
	int err, l = listener(&addr, &len, AF_INET);

	opt.why = why;
	opt.why_size = sizeof(why);
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", ntohs(((struct sockaddr_in *)&addr)->sin_port));
	err = kws_connect(url, &opt);
	CHECK(err == -ETIMEDOUT && strstr(why, "too long"), "%d: %s", err, why);
	close(l);
	err = kws_connect(url, &opt);
	CHECK(err == -ECONNREFUSED && strstr(why, "refused"), "%d: %s", err, why);
}

/* What "two.test" resolves to. */
static struct addrinfo two[2];
int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list);
void __real_freeaddrinfo(struct addrinfo *list);

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list)
{
	if (strcmp(host, "two.test"))
		return __real_getaddrinfo(host, port, hints, list);
	*list = two;
	return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
	if (list != two)
		__real_freeaddrinfo(list);
}

/* Nothing comes from the first one: its queue is full, so it answers no SYN. The second one gets its chance. */
static void dead_address(void)
{
	struct kws_options opt = { .flags = KWS_F_NO_START, .timeout_ms = 4000 };
	struct sockaddr_storage addr[2];
	int l[2], fill[3], fd;
	pthread_t thread;
	socklen_t len;

	for (int i = 0; i < 2; i++) {
		l[i] = listener(&addr[i], &len, AF_INET);
		two[i] = (struct addrinfo){ .ai_family = AF_INET, .ai_addr = (void *)&addr[i], .ai_addrlen = len };
	}
	two[0].ai_next = &two[1];
	listen(l[0], 0);
	for (int i = 0; i < 3; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fill[i], (void *)&addr[0], len);
	}
	pthread_create(&thread, NULL, serve, &l[1]);
	fd = kws_connect("ws://two.test/", &opt);
	CHECK(fd >= 0, "%d", fd);
	if (fd < 0)
		die("no connection");	/* the server would wait for ever */
	close(fd);
	pthread_join(thread, NULL);
	for (int i = 0; i < 3; i++)
		close(fill[i]);
	close(l[0]);
	close(l[1]);
}

static void words(void)
{
	for (int err = 0; err < 200; err++)
		CHECK(*kws_strerror(err) && kws_strerror(err) == kws_strerror(-err), "%d", err);
	CHECK(strstr(kws_strerror(-ENOENT), "insmod"), "%s", kws_strerror(-ENOENT));
}

static const struct tap_test tests[] = {
	{ "RFC 6455 4.1: acceptable answers, whole and in pieces; frames behind them stay", accepted },
	{ "RFC 6455 4.1: answers that must not be believed", not_believed },
	{ "the size limit", size_limit },
	{ "the request, letter by letter", request_text },
	{ "RFC 6455 3: URLs", bad_urls },
	{ "nothing slips into the request", bad_options },
	{ "RFC 6455 4.1, 10: subprotocols are tokens", bad_subprotocols },
	{ "client and server, IPv4, IPv6, by name", both_sides },
	{ "one connection after the other", one_after_the_other },
	{ "time-out and refusal", nobody_there },
	{ "a name with a dead address and another one", dead_address },
	{ "errors in words", words },
};
TAP_MAIN(tests)
