// SPDX-License-Identifier: GPL-2.0
/*
 * What others see of a message socket and may do to it, over sock_diag: INET_DIAG_ULP_INFO, as `ss' reads it, and
 * SOCK_DESTROY, as `ss -K' sends it.
 */
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <sys/utsname.h>

#include "shapes.h"

FIXTURE_ROLES(sockdiag);

static const struct websocket_config defaults;

/* The request that names exactly this socket. */
static struct inet_diag_req_v2 request_for(int fd)
{
	struct inet_diag_req_v2 r = { .sdiag_protocol = IPPROTO_TCP, .idiag_ext = 1 << (INET_DIAG_INFO - 1),
				      .idiag_states = ~0U,
				      .id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } };
	struct sockaddr_in6 ends[2] = { 0 };
	socklen_t len[2] = { sizeof(ends[0]), sizeof(ends[1]) };
	int i;

	must(getsockname(fd, (struct sockaddr *)&ends[0], &len[0]));
	must(getpeername(fd, (struct sockaddr *)&ends[1], &len[1]));
	r.sdiag_family = ends[0].sin6_family;
	for (i = 0; i < 2; i++) {
		__be32 *to = i ? r.id.idiag_dst : r.id.idiag_src;

		if (r.sdiag_family == AF_INET6)
			memcpy(to, &ends[i].sin6_addr, 16);
		else
			memcpy(to, &((struct sockaddr_in *)&ends[i])->sin_addr, 4);
	}
	r.id.idiag_sport = ends[0].sin6_port;
	r.id.idiag_dport = ends[1].sin6_port;
	return r;
}

/* Sends one request; the first answer into @buffer. */
static struct nlmsghdr *ask(int netlink, int type, const struct inet_diag_req_v2 *request, void *buffer, size_t room)
{
	struct { struct nlmsghdr h; struct inet_diag_req_v2 r; } message = {
		.h = { .nlmsg_len = sizeof(message), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.r = *request,
	};

	equal(sizeof(message), send(netlink, &message, sizeof(message), 0));
	check(must(recv(netlink, buffer, room, 0)) >= (ssize_t)sizeof(struct nlmsghdr));
	return buffer;
}

/* NULL: there is none. */
static struct rtattr *find(struct rtattr *a, int len, int type)
{
	for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
		if ((a->rta_type & ~NLA_F_NESTED) == type)
			return a;
	return NULL;
}

static struct rtattr *attribute(struct rtattr *a, int len, int type)
{
	a = find(a, len, type);
	if (!a)
		fail("no attribute %d", type);
	return a;
}

/* Whether ULP information is shown; what it says. */
static bool diag_shows(int fd, struct websocket_info *info)
{
	int netlink = must(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
	struct inet_diag_req_v2 request = request_for(fd);
	char buffer[8192] __attribute__((aligned(8)));
	struct nlmsghdr *h = ask(netlink, SOCK_DIAG_BY_FAMILY, &request, buffer, sizeof(buffer));
	struct rtattr *ulp, *a;

	close(netlink);
	if (h->nlmsg_type == NLMSG_ERROR)
		fail("sock_diag: %s", error_name(-((struct nlmsgerr *)NLMSG_DATA(h))->error));
	ulp = find((struct rtattr *)((char *)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof(struct inet_diag_msg))),
		   h->nlmsg_len - NLMSG_SPACE(sizeof(struct inet_diag_msg)), INET_DIAG_ULP_INFO);
	if (!ulp)
		return false;
	a = attribute(RTA_DATA(ulp), RTA_PAYLOAD(ulp), INET_ULP_INFO_NAME);
	check(!strcmp(RTA_DATA(a), "websocket"));
	a = attribute(RTA_DATA(ulp), RTA_PAYLOAD(ulp), WEBSOCKET_ULP_INFO);
	equal(sizeof(*info), RTA_PAYLOAD(a));
	memcpy(info, RTA_DATA(a), sizeof(*info));
	return true;
}

static struct websocket_info diag_info(int fd)
{
	struct websocket_info info;

	check(diag_shows(fd, &info));
	return info;
}

/* Pitfall 30: the same structure as WEBSOCKET_INFO, in every state. */
CASE(sockdiag, pitfall30_ulp_info)
{
	struct websocket_info info, same;

	link_close(LINK);
	link_open(LINK, &variant->shape);
	must(ulp_attach(self->link.ws));
	equal(WEBSOCKET_STATE_ATTACHED, diag_info(self->link.ws).state);
	link_configure(LINK, &defaults);
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	put(OUT, .opcode = OP_PING, .text = "ping");
	peer_write(LINK);
	peer_settle(LINK);
	equal(2, ws_send(self->link.ws, OP_TEXT, "me", 2, 0));
	info = diag_info(self->link.ws);
	same = ws_info(self->link.ws);
	check(!memcmp(&info, &same, sizeof(info)));
	equal(WEBSOCKET_STATE_OPEN, info.state);
	equal(1, info.rx_messages);
	equal(1, info.rx_pings);
	equal(2, info.tx_bytes);
	put(OUT, .opcode = OP_TEXT, .rsv = 1);
	peer_write(LINK);
	peer_settle(LINK);
	equal(WEBSOCKET_STATE_OPEN, diag_info(self->link.ws).state);
	expect_text(LINK, "unread");
	expect_error(LINK, EPROTO);
	info = diag_info(self->link.ws);
	equal(WEBSOCKET_STATE_FAILED, info.state);
	equal(EPROTO, info.error);
}

static int looks_as_nobody(void *argument)
{
	struct websocket_info info, same = ws_info(((struct link *)argument)->ws);

	must(setresuid(65534, 65534, 65534));
	if (!diag_shows(((struct link *)argument)->ws, &info))
		return 1;
	check(!memcmp(&info, &same, sizeof(info)));
	return 0;
}

/* 6.1 and 6.12 show it to CAP_NET_ADMIN alone, 7.x to everybody. */
CASE(sockdiag, without_privilege)
{
	struct utsname name;

	must(uname(&name));
	equal(atoi(name.release) < 7, reap(spawn(looks_as_nobody, LINK)));
}

/* Row 55: the administrator ends the connection; what is complete can be read, then comes the error. */
CASE(sockdiag, row55_destroy)
{
	int netlink = must(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
	struct inet_diag_req_v2 request = request_for(self->link.ws);
	char buffer[8192] __attribute__((aligned(8)));
	struct nlmsghdr *h;

	put(OUT, .opcode = OP_TEXT, .text = "complete");
	put(OUT, .opcode = OP_TEXT, .text = "half", .announce = 8);
	peer_write(LINK);
	peer_settle(LINK);
	h = ask(netlink, SOCK_DESTROY, &request, buffer, sizeof(buffer));
	equal(NLMSG_ERROR, h->nlmsg_type);
	equal(0, -((struct nlmsgerr *)NLMSG_DATA(h))->error);
	expect_text(LINK, "complete");
	expect_error(LINK, ECONNABORTED);
	refuses(ECONNABORTED, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	wire_expect_reset(WIRE);
	equal(WEBSOCKET_STATE_FAILED, ws_info(self->link.ws).state);
	equal(ECONNABORTED, ws_info(self->link.ws).error);
	close(netlink);
}

static volatile bool stop;

/* The state of a socket in a dump; -1: no message socket, or one that is being closed. */
static int dumped_state(struct nlmsghdr *h)
{
	struct rtattr *a = (struct rtattr *)((char *)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof(struct inet_diag_msg)));
	struct websocket_info info;

	a = find(a, h->nlmsg_len - NLMSG_SPACE(sizeof(struct inet_diag_msg)), INET_DIAG_ULP_INFO);
	if (a)
		a = find(RTA_DATA(a), RTA_PAYLOAD(a), WEBSOCKET_ULP_INFO);
	if (!a)
		return -1;
	equal(sizeof(info), RTA_PAYLOAD(a));
	memcpy(&info, RTA_DATA(a), sizeof(info));
	check(info.state <= WEBSOCKET_STATE_FAILED && !info.reserved);
	return info.state;
}

/* Lists all sockets of a family, as `ss' does, until it is told to stop; how many message sockets it has seen. */
static void *dump(void *argument)
{
	struct { struct nlmsghdr h; struct inet_diag_req_v2 r; } message = {
		.h = { .nlmsg_len = sizeof(message), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = *(enum family *)argument == IPV4 ? AF_INET : AF_INET6, .sdiag_protocol = IPPROTO_TCP,
		       .idiag_ext = 1 << (INET_DIAG_INFO - 1), .idiag_states = ~0U },
	};
	int netlink = must(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
	char buffer[32768] __attribute__((aligned(8)));
	long seen = 0;

	while (!stop) {
		bool done = false;

		equal(sizeof(message), send(netlink, &message, sizeof(message), 0));
		while (!done) {
			int len = must(recv(netlink, buffer, sizeof(buffer), 0));
			struct nlmsghdr *h = (struct nlmsghdr *)buffer;

			for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
				check(h->nlmsg_type != NLMSG_ERROR);
				done = h->nlmsg_type == NLMSG_DONE;
				seen += !done && dumped_state(h) >= 0;
			}
		}
	}
	close(netlink);
	return (void *)seen;
}

/* Rows 12, pitfall 30: sockets are looked at without a lock while the protocol comes, starts and goes. */
CASE(sockdiag, row12_pitfall30_dumped_in_every_moment)
{
	enum family family = variant->shape.family;
	pthread_t dumpers[2];
	void *seen;
	int i;

	stop = false;
	for (i = 0; i < 2; i++)
		check(!pthread_create(&dumpers[i], NULL, dump, &family));
	for (i = 0; i < 150; i++) {
		struct link l;

		link_start_default(&l, &variant->shape);
		put_close(&l.out, 1000, "a reason, which is in memory of its own");
		peer_write(&l);
		if (i % 3)
			expect_end(&l, 1000);
		link_close(&l);
	}
	stop = true;
	for (i = 0; i < 2; i++) {
		check(!pthread_join(dumpers[i], &seen));
		check((long)seen > 0);
	}
}

SELFTEST_MAIN
