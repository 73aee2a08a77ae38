// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Mistakes that everybody makes once: each says what to do. Without the module, and without a WebSocket. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kws.h"
#include "tap.h"

/* The error's own number, and a word of the advice. */
static void expect(const char *what, int got, int want, const char *advice)
{
	CHECK(got == want, "%s: %d, not %d", what, got, want);
	CHECK(strstr(kws_strerror(want), advice), "%s: \"%s\" does not say \"%s\"", what, kws_strerror(want), advice);
}

/* A connected pair over loopback. */
static void connected(int family, int fd[2])
{
	struct sockaddr_storage addr = { .ss_family = family };
	socklen_t len = sizeof(addr);
	int listener = socket(family, SOCK_STREAM, 0);

	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&addr, &len);
	fd[0] = socket(family, SOCK_STREAM, 0);
	if (connect(fd[0], (struct sockaddr *)&addr, len))
		CHECK(false, "connect: %s", strerror(errno));
	fd[1] = accept(listener, NULL, NULL);
	close(listener);
}

static void no_websocket(void)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct websocket_info info;
	char reason[124];
	int fd[2];

	for (unsigned int i = 0; i < ARRAY_SIZE(families); i++) {
		connected(families[i], fd);
		expect("kws_info()", kws_info(fd[0], &info), -ENOPROTOOPT, "attach the protocol to the socket first");
		expect("kws_close_reason()", kws_close_reason(fd[0], reason, sizeof(reason)), -ENOPROTOOPT, "kws_attach()");
		expect("kws_start()", kws_start(fd[0], NULL), -ENOPROTOOPT, "not a WebSocket");
		close(fd[0]);
		close(fd[1]);
	}
}

static void no_tcp(void)
{
	int udp = socket(AF_INET, SOCK_DGRAM, 0), unix_pair[2];

	expect("a UDP socket", kws_attach(udp), -EOPNOTSUPP, "no plain TCP socket");
	close(udp);
	socketpair(AF_UNIX, SOCK_STREAM, 0, unix_pair);
	expect("a Unix socket", kws_attach(unix_pair[0]), -EOPNOTSUPP, "no plain TCP socket");
	close(unix_pair[0]);
	close(unix_pair[1]);
}

static void not_connected(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), err = kws_attach(fd);

	/* with the module it is the state that is wrong, without it the module is missing */
	CHECK(err == -ENOENT || err == -ENOTCONN, "%d", err);
	expect("no connection", -ENOTCONN, -ENOTCONN, "not open");
	close(fd);
}

static void advice(void)
{
	expect("no module", -ENOENT, -ENOENT, "modprobe websocket");
	expect("an old module", -E2BIG, -E2BIG, "older than the program");
	expect("a filter", -EPERM, -EPERM, "not permitted");
	expect("wss", kws_connect("wss://localhost/", NULL), -EPROTONOSUPPORT, "TLS");
	expect("ss -K", -ECONNABORTED, -ECONNABORTED, "administrator");
	expect("an alert", -ECONNABORTED, -ECONNABORTED, "an alert");
	expect("another thread", -EBUSY, -EBUSY, "another thread");
	expect("a sockmap", -EBUSY, -EBUSY, "a sockmap");
	expect("no predecessor", -ENOENT, -ENOENT, "no predecessor");
	expect("a stranger's handover", -EPERM, -EPERM, "neither root nor our own user");
	expect("nobody", kws_connect("ws://127.0.0.1:1/", NULL), -ECONNREFUSED, "nobody listens");
}

/* Which of the options is bad is said, and before anybody is bothered: nobody listens on port 1. */
static void named_options(void)
{
	static const char *const good[] = { "X: y", "Accept-Language: de", NULL }, *const bad[] = { "X: y", "Host: x", NULL };
	struct { struct kws_options opt; const char *says; } t[] = {
		{ { .headers = bad }, "library writes itself: Host: x" },
		{ { .subprotocols = "a,b,a" }, "subprotocols with commas between: a,b,a" },
		{ { .origin = "a\tb\n" }, "header Origin: a" },
		{ { .flags = KWS_F_PROXY }, "flags" },
		{ { .headers = good, .subprotocols = "a, b", .origin = "https://x" }, NULL },
	};

	char why[200] = "";

	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
		int err;

		t[i].opt.why = why;
		t[i].opt.why_size = sizeof(why);
		err = kws_connect("ws://127.0.0.1:1/", &t[i].opt);
		CHECK(err == (t[i].says ? -EINVAL : -ECONNREFUSED) && strstr(why, t[i].says ?: "refused"), "%u: %d, %s", i, err, why);
	}
	CHECK(kws_accept(-1, &(struct kws_options){ .subprotocols = "a,a", .why = why, .why_size = sizeof(why) }) == -EINVAL &&
	      strstr(why, "subprotocols"), "a server: %s", why);
}

/* They go into buffers of 200 bytes, behind "attaching: ". */
static void length(void)
{
	for (int err = 0; err < 200; err++)
		CHECK(strlen(kws_strerror(err)) < 185, "%d: %zu bytes", err, strlen(kws_strerror(err)));
}

/* uname() says 2.6 to a process that asks for it. */
static void old_kernel(void)
{
	int persona = personality(0xffffffff);

	CHECK(personality(persona | UNAME26) >= 0, "personality: %s", strerror(errno));
	expect("an old kernel", -ENOENT, -ENOENT, "too old");
	personality(persona);
	expect("this one", -ENOENT, -ENOENT, "modprobe websocket");
}

static const struct tap_test tests[] = {
	{ "not a WebSocket", no_websocket },
	{ "not TCP", no_tcp },
	{ "not connected", not_connected },
	{ "the others", advice },
	{ "which of the options is bad", named_options },
	{ "none is too long for its buffer", length },
	{ "a kernel that is too old", old_kernel },
};

TAP_MAIN(tests)
