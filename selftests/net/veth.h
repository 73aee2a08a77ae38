/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A link over a pair of veth devices between two network namespaces: segments are as small as on a wire if the devices are told so. The
 * process is in one of its own afterwards.
 */
#ifndef VETH_H
#define VETH_H

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "shapes.h"

#define VETH_PORT	7000

static void veth_run(const char *command)
{
	if (system(command))
		fail("%s", command);
}

static void veth_turn_off(const char *name, const __u32 *features)
{
	int fd = must(socket(AF_INET, SOCK_DGRAM, 0));
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	for (; *features; features++) {
		struct ethtool_value off = { .cmd = *features };

		ifr.ifr_data = (void *)&off;
		must(ioctl(fd, SIOCETHTOOL, &ifr));
	}
	close(fd);
}

static void veth_set_up(const char *name, int host, const __u32 *off)
{
	char command[200];

	snprintf(command, sizeof(command), "ip addr add 192.0.2.%d/24 dev %s && ip link set %s up", host, name, name);
	veth_run(command);
	veth_turn_off(name, off);
}

/* @md5: segments are signed. */
static int veth_socket(int host, bool md5)
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

/* The socket under test is the one that connects. @off: ETHTOOL_S... of what both devices do not do, ends with 0. */
static void veth_open(struct link *l, bool client, bool md5, const __u32 *off)
{
	struct sockaddr_in there = { .sin_family = AF_INET, .sin_port = htons(VETH_PORT), .sin_addr.s_addr = htonl(0xc0000201) };
	struct websocket_config config = { .flags = client ? WEBSOCKET_F_CLIENT : 0 };
	int listener, accepted, connected, near;
	char command[200];

	/* the rest of a link, which is made over anew */
	link_open(l, &(struct shape){ .segmentation = SEGMENT_ALL, .client = client });
	link_close_ws(l);
	link_close_peer(l);
	fresh_netns();
	near = must(open("/proc/self/ns/net", O_RDONLY));
	listener = veth_socket(1, md5);
	fresh_netns();
	snprintf(command, sizeof(command), "ip link add far type veth peer name near && ip link set near netns /proc/self/fd/%d", near);
	veth_run(command);
	veth_set_up("far", 2, off);
	connected = veth_socket(2, md5);
	must(setns(near, CLONE_NEWNET));
	veth_set_up("near", 1, off);
	must(bind(listener, (void *)&there, sizeof(there)));
	must(listen(listener, 1));
	must(connect(connected, (void *)&there, sizeof(there)));
	accepted = must(accept(listener, NULL, NULL));
	close(listener);
	close(near);
	l->ws = connected;
	l->peer = l->wire.fd = accepted;
	link_start(l, &config);
}

#endif
