// SPDX-License-Identifier: GPL-2.0
/*
 * The socket options of level SOL_WEBSOCKET: lengths, flags, limits, what may change after the start, what reads back,
 * and where they do not exist.
 */
#include "shapes.h"

static const struct websocket_config defaults;

FIXTURE(config) { struct link link; };
FIXTURE_VARIANT(config) { struct shape shape; };
SHAPE(config, server, SEGMENT_FRAME, IPV4, false, false);
SHAPE(config, client, SEGMENT_FRAME, IPV6, false, true);

FIXTURE_SETUP(config)
{
	link_open(LINK, &variant->shape);
	if (ulp_attach(self->link.ws))
		fail("TCP_ULP: %s: is the module loaded?", error_name(errno));
}

FIXTURE_TEARDOWN(config)
{
	link_close(LINK);
}

static int set(int fd, const void *value, socklen_t len)
{
	return setsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_CONFIG, value, len);
}

static struct websocket_config get(int fd)
{
	struct websocket_config config;
	socklen_t len = sizeof(config);

	memset(&config, 0xee, sizeof(config));
	must(getsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_CONFIG, &config, &len));
	equal(sizeof(config), len);
	return config;
}

static __u32 role(const struct shape *shape)
{
	return shape->client ? WEBSOCKET_F_CLIENT : 0;
}

static void same(const struct websocket_config *a, const struct websocket_config *b)
{
	equal(a->flags, b->flags);
	equal(a->ping_interval_ms, b->ping_interval_ms);
	equal(a->max_message, b->max_message);
	equal(a->pong_timeout_ms, b->pong_timeout_ms);
	equal(a->close_timeout_ms, b->close_timeout_ms);
}

CASE(config, defaults_filled_in)
{
	struct websocket_config c = { .flags = role(&variant->shape) };
	struct websocket_config want = { .flags = c.flags, .max_message = 1 << 20,
					 .pong_timeout_ms = 10000, .close_timeout_ms = 5000 };

	struct websocket_config zeros = { 0 }, before = get(self->link.ws);

	same(&zeros, &before);
	must(set(self->link.ws, &c, sizeof(c)));
	c = get(self->link.ws);
	same(&want, &c);
}

CASE(config, what_is_set_reads_back)
{
	struct websocket_config c, want = {
		.flags = role(&variant->shape) | WEBSOCKET_F_NO_UTF8 | WEBSOCKET_F_PING | WEBSOCKET_F_PONG |
			 WEBSOCKET_F_BATCH | WEBSOCKET_F_TEXT | WEBSOCKET_F_CORK,
		.ping_interval_ms = WEBSOCKET_MAX_MS, .max_message = WEBSOCKET_NO_LIMIT,
		.pong_timeout_ms = WEBSOCKET_MAX_MS, .close_timeout_ms = WEBSOCKET_MAX_MS,
	};

	must(set(self->link.ws, &want, sizeof(want)));
	c = get(self->link.ws);
	same(&want, &c);
	equal(want.flags, ws_info(self->link.ws).flags);
}

CASE(config, shorter_than_the_flags)
{
	socklen_t len;

	for (len = 0; len < 4; len++)
		refuses(EINVAL, set(self->link.ws, &defaults, len));
	equal(WEBSOCKET_STATE_ATTACHED, ws_info(self->link.ws).state);
}

/* What a shorter structure does not hold gets its default. */
CASE(config, every_shorter_length)
{
	struct websocket_config full = {
		.flags = role(&variant->shape), .ping_interval_ms = 60001, .max_message = 5000,
		.pong_timeout_ms = 7001, .close_timeout_ms = 7002,
	};
	struct websocket_config c, want;
	socklen_t len;

	for (len = 4; len <= sizeof(full); len++) {
		if (set(self->link.ws, &full, len)) {
			/* only the middle of a field may be refused, not the end of one */
			check(len % 4 && errno == EINVAL);
			continue;
		}
		if (len % 4 || len == 12)
			continue;
		want = (struct websocket_config){ .flags = full.flags };
		memcpy(&want, &full, len);
		want.max_message = want.max_message ? want.max_message : 1 << 20;
		want.pong_timeout_ms = want.pong_timeout_ms ? want.pong_timeout_ms : 10000;
		want.close_timeout_ms = want.close_timeout_ms ? want.close_timeout_ms : 5000;
		c = get(self->link.ws);
		same(&want, &c);
	}
}

CASE(config, longer_and_zero)
{
	char big[256] = { 0 };
	socklen_t len;

	((struct websocket_config *)big)->flags = role(&variant->shape);
	for (len = sizeof(defaults); len <= sizeof(big); len += 4)
		must(set(self->link.ws, big, len));
	equal(WEBSOCKET_STATE_OPEN, ws_info(self->link.ws).state);
}

CASE(config, longer_and_not_zero)
{
	char big[256] = { 0 };
	size_t at;

	((struct websocket_config *)big)->flags = role(&variant->shape);
	for (at = sizeof(defaults); at < sizeof(big); at += 33) {
		big[at] = 1;
		refuses(E2BIG, set(self->link.ws, big, sizeof(big)));
		big[at] = 0;
	}
	equal(WEBSOCKET_STATE_ATTACHED, ws_info(self->link.ws).state);
}

CASE(config, unknown_flags)
{
	struct websocket_config c;
	int bit;

	for (bit = 7; bit < 32; bit++) {
		c = (struct websocket_config){ .flags = role(&variant->shape) | 1U << bit };
		refuses(EINVAL, set(self->link.ws, &c, sizeof(c)));
	}
	equal(WEBSOCKET_STATE_ATTACHED, ws_info(self->link.ws).state);
}

CASE(config, times_too_long)
{
	struct websocket_config c[3] = {
		{ .ping_interval_ms = WEBSOCKET_MAX_MS + 1 },
		{ .pong_timeout_ms = WEBSOCKET_MAX_MS + 1 },
		{ .close_timeout_ms = ~0U },
	};
	int i;

	for (i = 0; i < 3; i++) {
		c[i].flags = role(&variant->shape);
		refuses(EINVAL, set(self->link.ws, &c[i], sizeof(c[i])));
	}
	equal(WEBSOCKET_STATE_ATTACHED, ws_info(self->link.ws).state);
}

/* A refused start leaves plain TCP, and the next one may succeed. */
CASE(config, start_after_a_refused_one)
{
	struct websocket_config bad = { .flags = 1U << 31 };
	char buffer[4];

	refuses(EINVAL, set(self->link.ws, &bad, sizeof(bad)));
	refuses(EFAULT, set(self->link.ws, (void *)8, sizeof(bad)));
	equal(4, send(self->link.peer, "HTTP", 4, 0));
	equal(4, recv(self->link.ws, buffer, 4, MSG_WAITALL));
	bad.flags = role(&variant->shape);
	must(set(self->link.ws, &bad, sizeof(bad)));
	put(OUT, .opcode = OP_TEXT, .text = "ok");
	peer_write(LINK);
	expect_text(LINK, "ok");
}

CASE(config, role_stays)
{
	struct websocket_config c = { .flags = role(&variant->shape), .max_message = 77 }, now;

	must(set(self->link.ws, &(struct websocket_config){ .flags = c.flags }, sizeof(c)));
	c.flags ^= WEBSOCKET_F_CLIENT;
	refuses(EINVAL, set(self->link.ws, &c, sizeof(c)));
	now = get(self->link.ws);
	equal(role(&variant->shape), now.flags);
	equal(1 << 20, now.max_message);
}

CASE(config, limits_and_flags_change)
{
	struct websocket_config c = { .flags = role(&variant->shape) }, now;

	must(set(self->link.ws, &c, sizeof(c)));
	c.flags |= WEBSOCKET_F_PING | WEBSOCKET_F_TEXT;
	c.max_message = 3;
	c.ping_interval_ms = 3600000;
	must(set(self->link.ws, &c, sizeof(c)));
	now = get(self->link.ws);
	c.pong_timeout_ms = 10000;
	c.close_timeout_ms = 5000;
	same(&c, &now);
	put(OUT, .opcode = OP_BINARY, .text = "abc");
	put(OUT, .opcode = OP_PING, .text = "p");
	put(OUT, .opcode = OP_BINARY, .text = "abcd");
	peer_write(LINK);
	expect_message(LINK, OP_BINARY, "abc", 3);
	expect_message(LINK, OP_PING, "p", 1);
	expect_error(LINK, EMSGSIZE);
}

CASE(config, refused_change_keeps_all)
{
	struct websocket_config c = { .flags = role(&variant->shape), .max_message = 99 }, now;
	char big[64] = { 0 };

	must(set(self->link.ws, &c, sizeof(c)));
	memcpy(big, &c, sizeof(c));
	((struct websocket_config *)big)->max_message = 1;
	big[63] = 1;
	refuses(E2BIG, set(self->link.ws, big, sizeof(big)));
	refuses(EFAULT, set(self->link.ws, (void *)8, sizeof(c)));
	refuses(EINVAL, set(self->link.ws, &c, 3));
	now = get(self->link.ws);
	equal(99, now.max_message);
}

CASE(config, info_in_any_length)
{
	unsigned char whole[sizeof(struct websocket_info)], part[512];
	socklen_t len, i;

	link_configure(LINK, &defaults);
	len = sizeof(whole);
	must(getsockopt(self->link.ws, SOL_WEBSOCKET, WEBSOCKET_INFO, whole, &len));
	equal(sizeof(whole), len);
	for (i = 0; i <= sizeof(part); i += i < 16 ? 1 : 24) {
		memset(part, 0xee, sizeof(part));
		len = i;
		must(getsockopt(self->link.ws, SOL_WEBSOCKET, WEBSOCKET_INFO, part, &len));
		equal(i < sizeof(whole) ? i : sizeof(whole), len);
		check(!memcmp(part, whole, len));
		check(len == sizeof(part) || part[len] == 0xee);
	}
	len = -1;
	refuses(EINVAL, getsockopt(self->link.ws, SOL_WEBSOCKET, WEBSOCKET_INFO, part, &len));
	len = sizeof(whole);
	refuses(EFAULT, getsockopt(self->link.ws, SOL_WEBSOCKET, WEBSOCKET_INFO, (void *)8, &len));
	refuses(EFAULT, getsockopt(self->link.ws, SOL_WEBSOCKET, WEBSOCKET_INFO, part, (void *)8));
}

CASE(config, options_of_one_direction_and_unknown_ones)
{
	static const int cannot_set[] = { 0, WEBSOCKET_INFO, WEBSOCKET_CLOSE_REASON, 4, WEBSOCKET_MSG, 99, -1 };
	static const int cannot_get[] = { 0, 4, WEBSOCKET_MSG, WEBSOCKET_OPCODE, WEBSOCKET_BATCH, 99, -1 };
	char buffer[256] = { 0 };
	socklen_t len;
	size_t i;

	link_configure(LINK, &defaults);
	for (i = 0; i < ARRAY_SIZE(cannot_set); i++)
		refuses(ENOPROTOOPT, setsockopt(self->link.ws, SOL_WEBSOCKET, cannot_set[i], buffer, 24));
	for (i = 0; i < ARRAY_SIZE(cannot_get); i++) {
		len = sizeof(buffer);
		refuses(ENOPROTOOPT, getsockopt(self->link.ws, SOL_WEBSOCKET, cannot_get[i], buffer, &len));
	}
}

/* That is what TCP says to a level that it does not know; over IPv4 it has another errno for getsockopt(). */
static void no_such_options(int fd)
{
	char buffer[256] = { 0 };
	socklen_t len;
	int option;

	for (option = WEBSOCKET_CONFIG; option <= WEBSOCKET_CLOSE_REASON; option++) {
		refuses(ENOPROTOOPT, setsockopt(fd, SOL_WEBSOCKET, option, buffer, sizeof(defaults)));
		len = sizeof(buffer);
		check(getsockopt(fd, SOL_WEBSOCKET, option, buffer, &len) == -1);
		check(errno == ENOPROTOOPT || errno == EOPNOTSUPP);
	}
}

CASE(config, not_on_other_sockets)
{
	int fresh = must(socket(AF_INET6, SOCK_STREAM, 0)), listener = tcp_listen(IPV4);

	no_such_options(self->link.peer);
	no_such_options(fresh);
	no_such_options(listener);
	close(listener);
	close(fresh);
}

/* TCP's and the socket's own options are reached as before. */
CASE(config, other_levels_pass)
{
	int value = 0;
	socklen_t len = sizeof(value);

	link_configure(LINK, &defaults);
	set_option(self->link.ws, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	must(getsockopt(self->link.ws, IPPROTO_TCP, TCP_KEEPIDLE, &value, &len));
	equal(77, value);
	set_option(self->link.ws, SOL_SOCKET, SO_KEEPALIVE, 1);
	must(getsockopt(self->link.ws, SOL_SOCKET, SO_KEEPALIVE, &value, &len));
	equal(1, value);
	if (variant->shape.family == IPV4)
		set_option(self->link.ws, IPPROTO_IP, 1 /* IP_TOS */, 8);
	else
		set_option(self->link.ws, IPPROTO_IPV6, 67 /* IPV6_TCLASS */, 8);
}

SELFTEST_MAIN
