// SPDX-License-Identifier: GPL-2.0
/*
 * The same over HTTP/1.1 and over WebSocket: a request with its answer, and messages that the server has to tell.
 *
 * DESIGN NOTES
 *
 * Everything that is unequal favours HTTP: the client knows from the first answer how long the others are, and parses none; the server
 * for HTTP requests does not look at the body and has its answer ready; that for long polling looks for the end of the head, and for
 * nothing else. A message is told when a byte comes by a pipe, which is counted in both.
 *
 * Bytes are those of IP packets, both ways, headers and acknowledgments included, as the kernel counts them. Over loopback no packet
 * is split.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

/* What Chromium 120 adds to a fetch() of its own page's origin, without a cookie. */
#define BROWSER \
	"Connection: keep-alive\r\n" \
	"sec-ch-ua: \"Not_A Brand\";v=\"8\", \"Chromium\";v=\"120\"\r\n" \
	"sec-ch-ua-mobile: ?0\r\n" \
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\r\n" \
	"sec-ch-ua-platform: \"Linux\"\r\n" \
	"Accept: */*\r\n" \
	"Sec-Fetch-Site: same-origin\r\n" \
	"Sec-Fetch-Mode: cors\r\n" \
	"Sec-Fetch-Dest: empty\r\n" \
	"Referer: http://chat.example.org/\r\n" \
	"Accept-Encoding: gzip, deflate\r\n" \
	"Accept-Language: en-US,en;q=0.9\r\n"

static int trigger;

/* Bytes of all IP packets so far. */
static u64 octets(void)
{
	static char names[8192], values[8192];
	FILE *f = fopen("/proc/net/netstat", "r");
	char *name, *value, *n, *v;
	u64 found = 0;

	if (!f)
		die("no /proc/net/netstat");
	while (fgets(names, sizeof(names), f) && fgets(values, sizeof(values), f)) {
		if (strncmp(names, "IpExt:", 6))
			continue;
		name = strtok_r(names, " \n", &n);
		value = strtok_r(values, " \n", &v);
		for (; name && value; name = strtok_r(NULL, " \n", &n), value = strtok_r(NULL, " \n", &v))
			if (!strcmp(name, "InOctets"))
				found = strtoull(value, NULL, 10);
	}
	fclose(f);
	if (!found)
		die("InOctets is not known");
	return found;
}

/* The pipe's other end is the server's. */
static void make_trigger(void)
{
	int fds[2];
	char number[12];

	if (pipe(fds))
		die("pipe");
	trigger = fds[1];
	snprintf(number, sizeof(number), "%d", fds[0]);
	setenv("TRIGGER", number, 1);
}

static void fire(void)
{
	if (write(trigger, "", 1) != 1)
		die("the trigger");
}

/* Takes an answer: of the length that the first one had. Return: that. */
static size_t take_answer(size_t expected, size_t body)
{
	size_t have = 0;

	while (!expected || have < expected) {
		ssize_t n = recv(conns->fd, inbuf + have, sizeof(inbuf) - have, 0);
		u8 *head;

		if (n <= 0)
			die("no answer");
		have += n;
		if (!expected && (head = memmem(inbuf, have, "\r\n\r\n", 4)))
			expected = head + 4 - inbuf + body;
	}
	if (have != expected || strncmp((char *)inbuf, "HTTP/1.1 200 ", 13))
		die("not the answer of %zu bytes: %.*s", expected, (int)have, inbuf);
	return expected;
}

/**
 * http() - requests and their answers on one connection that is kept
 * @name: of the case
 * @format: of the request; gets the size twice
 * @told: the answer comes when a byte is written to the pipe; the next request waits there already, as in long polling
 */
static void http(const char *name, const char *format, bool told)
{
	for (unsigned int s = 0; s < opt.nsizes; s++) {
		size_t size = opt.sizes[s], answer = 0;
		char request[4096];
		int len = snprintf(request, sizeof(request), format, size, size);
		struct meter m;
		u64 bytes = 0;

		if (!told) {
			memset(request + len, 'x', size);
			len += size;
		}
		opt.raw = true;		/* no handshake */
		server_start();
		conns_open(1);
		for (unsigned int i = 0; i < 2 * opt.count; i++) {
			if (i == opt.count) {
				bytes = octets();
				meter_start(&m);
			}
			send_all(conns->fd, request, len);
			if (told)
				fire();
			answer = take_answer(answer, size);
		}
		meter_stop(&m);
		result(name, size, opt.count, &m);
		say(name, size, "\"bytes\": %.1f", (double)(octets() - bytes) / opt.count);
		conns_close();
		server_stop();
	}
}

void case_http(void)
{
	http("http", "POST /%zu HTTP/1.1\r\nHost: chat.example.org\r\n" BROWSER "Origin: http://chat.example.org\r\n"
	     "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n\r\n", false);
}

void case_http_short(void)
{
	http("http-short", "POST /%zu HTTP/1.1\r\nHost: chat.example.org\r\nContent-Length: %zu\r\n\r\n", false);
}

void case_longpoll(void)
{
	make_trigger();
	http("longpoll", "GET /next?after=%zu HTTP/1.1\r\nHost: chat.example.org\r\n" BROWSER "\r\n", true);
}

void case_longpoll_short(void)
{
	make_trigger();
	http("longpoll-short", "GET /next?after=%zu HTTP/1.1\r\nHost: chat.example.org\r\n\r\n", true);
}

/* The same message both ways, as a WebSocket has it. */
void case_websocket(void)
{
	for (unsigned int s = 0; s < opt.nsizes; s++) {
		struct burst b;
		struct meter m;
		u64 bytes = 0;

		burst_make(&b, opt.sizes[s], 1, OP_BINARY);
		server_start();
		conns_open(1);
		for (unsigned int i = 0; i < 2 * opt.count; i++) {
			if (i == opt.count) {
				bytes = octets();
				meter_start(&m);
			}
			exchange(conns, &b);
		}
		meter_stop(&m);
		result("websocket", opt.sizes[s], opt.count, &m);
		say("websocket", opt.sizes[s], "\"bytes\": %.1f", (double)(octets() - bytes) / opt.count);
		conns_close();
		server_stop();
		burst_free(&b);
	}
}

/* A message that the server tells. */
void case_push(void)
{
	make_trigger();
	for (unsigned int s = 0; s < opt.nsizes; s++) {
		size_t size = opt.sizes[s], frame = size + (size < 126 ? 2 : 4);
		struct meter m;
		u64 bytes = 0;

		server_start();
		conns_open(1);
		for (unsigned int i = 0; i < 2 * opt.count; i++) {
			size_t have = 0;

			if (i == opt.count) {
				bytes = octets();
				meter_start(&m);
			}
			fire();
			while (have < frame) {
				ssize_t n = recv(conns->fd, inbuf + have, sizeof(inbuf) - have, 0);

				if (n <= 0)
					die("no message");
				have += n;
			}
			if (have != frame || inbuf[0] != (0x80 | OP_BINARY))
				die("%zu bytes, not the frame of %zu", have, frame);
		}
		meter_stop(&m);
		result("push", size, opt.count, &m);
		say("push", size, "\"bytes\": %.1f", (double)(octets() - bytes) / opt.count);
		conns_close();
		server_stop();
	}
}
