// SPDX-License-Identifier: GPL-2.0
/*
 * A route without scatter-gather: what TCP is handed as pages it copies, in 6.12 and 7.3 into the page fragment of the task in which
 * they lie. Such a route needs a device without it, and something that keeps TCP from cutting segments late, as TCP_MD5SIG does.
 */
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "intact.h"

#define PORT	7000

FIXTURE(no_gather) { struct link link; };
FIXTURE_VARIANT(no_gather) { bool md5, client; };
FIXTURE_VARIANT_ADD(no_gather, server) { .md5 = true };
FIXTURE_VARIANT_ADD(no_gather, client) { .md5 = true, .client = true };
FIXTURE_VARIANT_ADD(no_gather, segments_cut_late) { .md5 = false };

static void run(const char *command)
{
	if (system(command))
		fail("%s", command);
}

/* The device gets this address, and scatter-gather is turned off. */
static void set_up(const char *name, int host)
{
	struct ethtool_value off = { .cmd = ETHTOOL_SSG };
	struct ifreq ifr = { .ifr_data = (void *)&off };
	char command[200];
	int fd;

	snprintf(command, sizeof(command), "ip addr add 192.0.2.%d/24 dev %s && ip link set %s up", host, name, name);
	run(command);
	strcpy(ifr.ifr_name, name);
	fd = must(socket(AF_INET, SOCK_DGRAM, 0));
	must(ioctl(fd, SIOCETHTOOL, &ifr));
	off.cmd = ETHTOOL_GSG;
	must(ioctl(fd, SIOCETHTOOL, &ifr));
	equal(0, off.data);
	close(fd);
}

static int tcp_socket(int host, bool md5)
{
	struct sockaddr_in other = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000200 + 3 - host) };
	struct tcp_md5sig sign = { .tcpm_keylen = 3, .tcpm_key = "key" };
	int fd = must(socket(AF_INET, SOCK_STREAM, 0));

	memcpy(&sign.tcpm_addr, &other, sizeof(other));
	if (md5)
		must(setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &sign, sizeof(sign)));
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return fd;
}

FIXTURE_SETUP(no_gather)
{
	struct sockaddr_in there = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(0xc0000201) };
	struct websocket_config config = { .flags = variant->client ? WEBSOCKET_F_CLIENT : 0 };
	int listener, accepted, connected, near;
	struct link *l = LINK;
	char command[200];

	/* the rest of a link, which is made over anew */
	link_open(l, &(struct shape){ .segmentation = SEGMENT_ALL, .client = variant->client });
	link_close_ws(l);
	link_close_peer(l);
	fresh_netns();
	near = must(open("/proc/self/ns/net", O_RDONLY));
	listener = tcp_socket(1, variant->md5);
	fresh_netns();
	snprintf(command, sizeof(command), "ip link add far type veth peer name near && ip link set near netns /proc/self/fd/%d", near);
	run(command);
	set_up("far", 2);
	connected = tcp_socket(2, variant->md5);
	must(setns(near, CLONE_NEWNET));
	set_up("near", 1);
	must(bind(listener, (void *)&there, sizeof(there)));
	must(listen(listener, 1));
	must(connect(connected, (void *)&there, sizeof(there)));
	accepted = must(accept(listener, NULL, NULL));
	close(listener);
	close(near);
	/* TCP asks an accepted socket's device before it looks at its keys */
	l->ws = connected;
	l->peer = l->wire.fd = accepted;
	link_start(l, &config);
}

FIXTURE_TEARDOWN(no_gather)
{
	link_close(LINK);
}

CASE(no_gather, messages_of_all_sizes)
{
	unsigned char *bytes = new_pattern(40020, 41);
	int round, size;

	for (round = 0; round < 20; round++)
		for (size = 1; size < 40000; size = size * 3 + round) {
			equal(size, ws_send(self->link.ws, OP_BINARY, bytes + round, size, 0));
			wire_expect_message(WIRE, OP_BINARY, bytes + round, size);
		}
	free(bytes);
}

/* Several are on their way at a time, and the task sends on other sockets from the same fragment. */
CASE(no_gather, bursts)
{
	unsigned char *bytes = new_pattern(3000, 42);
	int round, i, n;

	for (round = 0; round < 60; round++) {
		for (i = 0; i < 8; i++)
			equal(100 + 300 * i, ws_send(self->link.ws, OP_BINARY, bytes + i, 100 + 300 * i, 0));
		for (i = 0; i < 8; i++) {
			n = 100 + 300 * i;
			wire_expect(WIRE, OP_BINARY, true, bytes + i, n);
		}
	}
	free(bytes);
}

CASE(no_gather, a_batch)
{
	struct websocket_config config = { .flags = WEBSOCKET_F_BATCH };
	unsigned char *bytes = new_pattern(64 * 700, 43);
	struct websocket_batch b[64];
	int round, i;

	link_configure(LINK, &config);
	for (i = 0; i < 64; i++)
		b[i] = (struct websocket_batch){ .len = 700, .opcode = OP_BINARY, .flags = WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END };
	for (round = 0; round < 10; round++) {
		equal(64 * 700, ws_send_batch(self->link.ws, bytes, 64 * 700, b, sizeof(b), 0));
		for (i = 0; i < 64; i++)
			wire_expect(WIRE, OP_BINARY, true, bytes + i * 700, 700);
	}
	free(bytes);
}

CASE(no_gather, control_frames)
{
	int i;

	for (i = 0; i < 100; i++) {
		put(OUT, .opcode = OP_PING, .text = "over there");
		put(OUT, .opcode = OP_TEXT, .text = "message");
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, "over there", 10);
		expect_text(LINK, "message");
		equal(6, ws_send(self->link.ws, OP_TEXT, "answer", 6, 0));
		wire_expect(WIRE, OP_TEXT, true, "answer", 6);
	}
}

CASE(no_gather, the_closing_handshake)
{
	intact(LINK);
	put_close(OUT, 1000, "");
	peer_write(LINK);
	expect_end(LINK, 1000);
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
}

SELFTEST_MAIN
