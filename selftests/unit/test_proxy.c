// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The PROXY protocol: userspace/lib/proxy.c, in every segmentation, damaged, and against random bytes. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"
#include "tap.h"

#define SIGNATURE	"\r\n\r\n\0\r\nQUIT\n"
#define BEHIND		"GET / HTTP/1.1\r\n"
#define MORE		0	/* expect(): the header is not complete */

static struct proxy proxy;

/* Feeds pieces of that size, each in memory of exactly its size. Return: the verdict; *used of all bytes. */
static int feed(const void *bytes, size_t n, size_t piece, size_t *used)
{
	int result = 0;

	memset(&proxy, 0, sizeof(proxy));
	for (*used = 0; *used < n && !result;) {
		size_t len = n - *used < piece ? n - *used : piece, took = 0;
		uint8_t *copy = malloc(len);

		memcpy(copy, (const uint8_t *)bytes + *used, len);
		result = proxy_feed(&proxy, copy, len, &took);
		free(copy);
		*used += took;
		CHECK(result || took == len, "%zu of %zu bytes taken without a verdict", took, len);
	}
	return result;
}

/* Whole, in pieces of every size up to 20, and with bytes behind it: always the same, and nothing behind is taken. */
static void expect(const void *bytes, size_t n, int want)
{
	uint8_t with[2 * PROXY_MAX];
	size_t used;

	for (size_t piece = 1; piece <= 20; piece++) {
		int got = feed(bytes, n, piece, &used);

		CHECK(got == want, "%.*s: %d, not %d, in pieces of %zu", (int)n, (const char *)bytes, got, want, piece);
		CHECK(want != 1 || used == n, "%zu of %zu bytes", used, n);
	}
	CHECK(feed(bytes, n, n + 1, &used) == want, "%.*s: whole", (int)n, (const char *)bytes);
	if (want != 1)
		return;
	memcpy(with, bytes, n);
	memcpy(with + n, BEHIND, sizeof(BEHIND));
	CHECK(feed(with, n + sizeof(BEHIND), sizeof(with), &used) == 1 && used == n, "took what is behind it");
}

static void expect_client(const char *want)
{
	char address[INET6_ADDRSTRLEN] = "", got[64] = "";
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&proxy.client;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&proxy.client;

	if (proxy.client_len == sizeof(*v4) && v4->sin_family == AF_INET)
		snprintf(got, sizeof(got), "%s %d", inet_ntop(AF_INET, &v4->sin_addr, address, sizeof(address)),
			 ntohs(v4->sin_port));
	else if (proxy.client_len == sizeof(*v6) && v6->sin6_family == AF_INET6)
		snprintf(got, sizeof(got), "%s %d", inet_ntop(AF_INET6, &v6->sin6_addr, address, sizeof(address)),
			 ntohs(v6->sin6_port));
	CHECK(!strcmp(got, want), "the client is \"%s\", not \"%s\"", got, want);
}

static void line(const char *text, int want, const char *client)
{
	expect(text, strlen(text), want);
	if (want == 1)
		expect_client(client);
}

static void lines(void)
{
	line("PROXY TCP4 192.0.2.1 198.51.100.2 1234 80\r\n", 1, "192.0.2.1 1234");
	line("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", 1, "255.255.255.255 65535");
	line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", 1, "0.0.0.0 0");
	line("PROXY TCP6 2001:db8::1 ::1 5 6\r\n", 1, "2001:db8::1 5");
	line("PROXY UNKNOWN\r\n", 1, "");
	line("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", 1, "");
	line("PROXY TCP4 192.0.2.1 198.51.100.2 1234 80", MORE, "");
	line("PROXY TCP4 192.0.2.1 198.51.100.2 1234 80\r", MORE, "");
	line("PROX", MORE, "");
}

static void bad_lines(void)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1\r\n", "PROXY\r\n", "PROXY \r\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
		"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
		"PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP6 ::1 1 1 2\r\n",
		"PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2x\r\n", "\n", "P\n",
		/* 108 bytes, and no end within 107 */
		"PROXY UNKNOWN 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
		"8901\r\n",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		line(bad[i], -EBADMSG, "");
	expect("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n", 34, -EBADMSG);
}

/* Return: bytes written. len < 0: as many as the body has */
static size_t binary(uint8_t *p, uint8_t command, uint8_t family, const void *body, size_t n, int len)
{
	size_t announced = len < 0 ? n : (size_t)len;

	memcpy(p, SIGNATURE, 12);
	p[12] = command;
	p[13] = family;
	p[14] = announced >> 8;
	p[15] = announced;
	memcpy(p + 16, body, n);
	return 16 + n;
}

static const uint8_t v4[] = { 192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0, 80, /* extension */ 4, 0, 2, 0xaa, 0xbb };
static const uint8_t v6[] = { 0x20, 1, 0xd, 0xb8, [15] = 1, [31] = 1, 0, 5, 0, 6, 0x20, 0, 0 };

static void one(uint8_t command, uint8_t family, const void *body, size_t n, int len, int want, const char *client)
{
	uint8_t p[2 * PROXY_MAX];

	n = binary(p, command, family, body, n, len);
	expect(p, n, want);
	if (want == 1)
		expect_client(client);
}

static void binaries(void)
{
	one(0x21, 0x11, v4, 12, -1, 1, "192.0.2.1 4660");
	one(0x21, 0x11, v4, sizeof(v4), -1, 1, "192.0.2.1 4660");
	one(0x21, 0x21, v6, 36, -1, 1, "2001:db8::1 5");
	one(0x21, 0x21, v6, sizeof(v6), -1, 1, "2001:db8::1 5");
	one(0x21, 0x00, v4, 0, -1, 1, "");
	one(0x20, 0x00, v4, 0, -1, 1, "");
	/* a health check: the addresses, if any, do not count, whatever family they are of */
	one(0x20, 0x11, v4, 12, -1, 1, "");
	one(0x20, 0x31, v4, sizeof(v4), -1, 1, "");
	one(0x21, 0x11, v4, 11, 12, MORE, "");
	one(0x21, 0x11, v4, 12, sizeof(v4), MORE, "");
}

static void bad_binaries(void)
{
	static const uint8_t large[PROXY_MAX];
	uint8_t p[64];

	one(0x11, 0x11, v4, 12, -1, -EBADMSG, "");	/* another version */
	one(0x22, 0x11, v4, 12, -1, -EBADMSG, "");	/* unknown commands */
	one(0x2f, 0x11, v4, 12, -1, -EBADMSG, "");
	one(0x21, 0x12, v4, 12, -1, -EBADMSG, "");	/* UDP, Unix, nonsense */
	one(0x21, 0x31, v4, 12, -1, -EBADMSG, "");
	one(0x21, 0x10, v4, 12, -1, -EBADMSG, "");
	one(0x21, 0x01, v4, 12, -1, -EBADMSG, "");
	one(0x21, 0x11, v4, 11, -1, -EBADMSG, "");	/* too short for its addresses */
	one(0x21, 0x21, v6, 35, -1, -EBADMSG, "");
	for (size_t n = 13; n < sizeof(v4); n++)	/* half an extension */
		one(0x21, 0x11, v4, n, -1, -EBADMSG, "");
	one(0x21, 0x00, v4, 2, -1, -EBADMSG, "");
	one(0x21, 0x00, large, sizeof(large), -1, -EBADMSG, "");
	for (int i = 0; i < 12; i++) {
		size_t n = binary(p, 0x21, 0x11, v4, 12, -1);

		p[i] ^= 0x20;
		expect(p, n, -EBADMSG);
	}
}

/* Damaged headers, and noise: no more is read than is there (the sanitizers), and what is accepted is a header. */
static void noise(void)
{
	static const char text[] = "PROXY TCP6 2001:db8::1 2001:db8::2 12345 443\r\n";
	uint8_t p[128];
	size_t used;

	srandom(1);
	for (int i = 0; i < 200000; i++) {
		size_t n = i & 1 ? binary(p, 0x21, i & 2 ? 0x11 : 0x21, i & 2 ? v4 : v6, i & 2 ? sizeof(v4) : sizeof(v6), -1) :
				   sizeof(text) - 1;
		int got;

		if (!(i & 1))
			memcpy(p, text, n);
		for (int k = random() % 4; k >= 0; k--)
			p[random() % n] = random() >> 8;
		n -= random() % 3 ? 0 : random() % n;
		got = feed(p, n, 1 + random() % 16, &used);
		CHECK(got == 1 || got == 0 || got == -EBADMSG, "verdict %d", got);
		CHECK(got != 1 || proxy.len == used, "%zu of %zu", proxy.len, used);
		CHECK(got != 1 || !memcmp(p, "PROXY ", 6) || !memcmp(p, SIGNATURE, 12), "accepted without a beginning");
	}
}

static const struct tap_test tests[] = {
	{ "version 1", lines },
	{ "version 1: what is refused", bad_lines },
	{ "version 2", binaries },
	{ "version 2: what is refused", bad_binaries },
	{ "200,000 damaged headers", noise },
};

TAP_MAIN(tests)
