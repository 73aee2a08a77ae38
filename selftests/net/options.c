// SPDX-License-Identifier: GPL-2.0
/*
 * Options of the levels below that have their own meaning on a message socket, or none. Those that are refused are in
 * refused.c, those of level SOL_WEBSOCKET in config.c.
 */
#include <linux/net_tstamp.h>
#include <sys/mman.h>

#include "intact.h"

#ifndef TCP_ZEROCOPY_RECEIVE
#define TCP_ZEROCOPY_RECEIVE	35
#endif

FIXTURE_ROLES(options);

static const struct websocket_config defaults;

/* SO_RCVLOWAT is without effect, and shows what the module waits for. */
CASE(options, rcvlowat_is_the_modules)
{
	int value = 0;
	socklen_t len = sizeof(value);

	set_option(self->link.ws, SOL_SOCKET, SO_RCVLOWAT, 12345);
	must(getsockopt(self->link.ws, SOL_SOCKET, SO_RCVLOWAT, &value, &len));
	equal(1, value);
	intact(LINK);
}

CASE(options, cork_holds_messages_and_nodelay_can_go)
{
	int i;

	set_option(self->link.ws, IPPROTO_TCP, TCP_CORK, 1);
	for (i = 0; i < 3; i++)
		equal(4, ws_send(self->link.ws, OP_TEXT, "text", 4, 0));
	set_option(self->link.ws, IPPROTO_TCP, TCP_CORK, 0);
	for (i = 0; i < 3; i++)
		wire_expect(WIRE, OP_TEXT, true, "text", 4);
	set_option(self->link.ws, IPPROTO_TCP, TCP_NODELAY, 0);
	intact(LINK);
}

static unsigned int segments_out(int fd)
{
	/* what the kernel appends to the C library's structure */
	struct {
		struct tcp_info		old;
		__u64			rates[2], bytes[2];
		__u32			segs[2], notsent, min_rtt, data_segs_in, data_segs_out;
	} info;
	socklen_t len = sizeof(info);

	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info.data_segs_out;
}

/* Answers eight messages one by one; how many segments that took. */
static unsigned int answer_eight_(struct link *link)
{
	unsigned int before = segments_out(link->ws);
	char text[] = "question 0";
	int i;

	for (i = 0; i < 8; i++)
		put(&link->out, .opcode = OP_TEXT, .text = "question");
	peer_write(link);
	peer_settle(link);
	for (i = 0; i < 8; i++) {
		expect_message_(link, OP_TEXT, "question", 8);
		text[9] = '0' + i;
		equal(10, ws_send(link->ws, OP_TEXT, text, 10, 0));
	}
	for (i = 0; i < 8; i++) {
		text[9] = '0' + i;
		wire_expect_(&link->wire, OP_TEXT, true, text, 10);
	}
	return segments_out(link->ws) - before;
}

#define answer_eight(link) HERE(answer_eight_(link))

/* Answers to messages that came together leave together; what is held back goes when there is nothing left to read. */
CASE(options, f_cork_holds_while_messages_are_unread)
{
	struct websocket_config config = { .flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0 };
	unsigned int tries = 100;
	char buffer[16];

	check(answer_eight(LINK) > 1);
	config.flags |= WEBSOCKET_F_CORK;
	link_configure(LINK, &config);
	/* a clock tick in the middle sends what is there */
	while (answer_eight(LINK) > 1)
		check(--tries);

	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_TEXT, .text = "two");
	peer_write(LINK);
	peer_settle(LINK);
	expect_text(LINK, "one");
	equal(3, ws_send(self->link.ws, OP_TEXT, "uno", 3, 0));
	expect_text(LINK, "two");
	refuses(EAGAIN, recv(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT));
	wire_expect(WIRE, OP_TEXT, true, "uno", 3);

	/* a control frame and a fragment take along what is held back */
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_TEXT, .text = "two");
	peer_write(LINK);
	peer_settle(LINK);
	expect_text(LINK, "one");
	equal(3, ws_send(self->link.ws, OP_TEXT, "uno", 3, 0));
	equal(1, ws_send(self->link.ws, OP_PING, "p", 1, 0));
	equal(3, ws_send(self->link.ws, OP_TEXT, "due", 3, MSG_MORE));
	equal(0, ws_send(self->link.ws, OP_TEXT, "", 0, 0));
	wire_expect(WIRE, OP_TEXT, true, "uno", 3);
	wire_expect(WIRE, OP_PING, true, "p", 1);
	wire_expect(WIRE, OP_TEXT, false, "due", 3);
	wire_expect(WIRE, OP_CONTINUATION, true, "", 0);
	expect_text(LINK, "two");
	intact(LINK);
}

/* Row 60: time stamps of what was received are not delivered, those of what was sent come from the error queue. */
CASE(options, row60_timestamps)
{
	char buffer[256], control[512];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	set_option(self->link.ws, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	set_option(self->link.ws, SOL_SOCKET, SO_TIMESTAMPING,
		   SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
		   SOF_TIMESTAMPING_OPT_TSONLY);
	put(OUT, .opcode = OP_TEXT, .text = "no stamp");
	peer_write(LINK);
	expect_text(LINK, "no stamp");	/* it refuses any record but its own */
	equal(1, ws_send(self->link.ws, OP_TEXT, "x", 1, 0));
	wire_expect(WIRE, OP_TEXT, true, "x", 1);
	check(ws_wait(self->link.ws, POLLERR) & POLLERR);
	equal(0, must(recvmsg(self->link.ws, &h, MSG_ERRQUEUE)));
	check(h.msg_flags & MSG_ERRQUEUE);
	for (c = CMSG_FIRSTHDR(&h); c && c->cmsg_type != SO_TIMESTAMPING; c = CMSG_NXTHDR(&h, c))
		;
	check(c && c->cmsg_level == SOL_SOCKET);
	set_option(self->link.ws, SOL_SOCKET, SO_TIMESTAMPING, 0);
	intact(LINK);
}

/* Row 26: who has mapped pages of the socket before the start does not get them past the parser. */
CASE(options, row26_mapped_before_the_start)
{
	struct { __u64 address; __u32 length, recv_skip_hint, more[8]; } zerocopy = { .length = 4096 };
	socklen_t len = sizeof(zerocopy);
	void *before;

	link_close(LINK);
	link_open(LINK, &variant->shape);
	before = must(mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->link.ws, 0));
	link_start(LINK, &defaults);
	put(OUT, .opcode = OP_BINARY, .payload = new_pattern(8192, 90), .len = 8192);
	peer_write(LINK);
	zerocopy.address = (unsigned long)before;
	refuses(EOPNOTSUPP, getsockopt(self->link.ws, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zerocopy, &len));
	expect_message(LINK, OP_BINARY, new_pattern(8192, 90), 8192);
	intact(LINK);
	munmap(before, 4096);
}

/* What is refused as on every TCP socket, or on every one with a protocol. */
CASE(options, refused_as_elsewhere)
{
	int fd = self->link.ws, on = 1, value;
	struct sockaddr_in6 a;
	socklen_t len = sizeof(value);

	refuses(ENOPROTOOPT, setsockopt(fd, SOL_SOCKET, SO_SNDLOWAT, &on, sizeof(on)));
	refuses(EOPNOTSUPP, getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &value, &len));
	refuses(EEXIST, setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3));
	refuses(EINVAL, accept(fd, NULL, NULL));
	refuses(EINVAL, shutdown(fd, 3));
	len = sizeof(a);
	must(getpeername(fd, (struct sockaddr *)&a, &len));
	equal(variant->shape.family == IPV4 ? AF_INET : AF_INET6, a.sin6_family);
	intact(LINK);
}

SELFTEST_MAIN
