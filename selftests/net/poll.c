// SPDX-License-Identifier: GPL-2.0
/*
 * Readiness never lies (row 31): epoll, level-triggered, edge-triggered and one-shot, against everything that can arrive:
 * parts of frames, control frames, messages, Close, FIN, reset, failure; registered before and after the start.
 * How often a waiter wakes up is in wakeups.c.
 */
#include <sys/epoll.h>

#include "shapes.h"

FIXTURE(poll) { struct link link; int ep; };
FIXTURE_VARIANT(poll) { __u32 mode; struct shape shape; };

#define MODE(name, flag, ...) FIXTURE_VARIANT_ADD(poll, name) { .mode = flag, .shape = { __VA_ARGS__ } }
#ifdef OVER_TLS
MODE(tls12_level, 0, SEGMENT_FRAME, IPV4, false, false, .tls = TLS_1_2_VERSION);
MODE(tls13_edge, EPOLLET, SEGMENT_FRAME, IPV6, false, false, .tls = TLS_1_3_VERSION);
MODE(tls13_oneshot_client, EPOLLONESHOT, SEGMENT_FRAME, IPV4, false, true, .tls = TLS_1_3_VERSION);
#else
MODE(level, 0, SEGMENT_FRAME, IPV4, false, false);
MODE(edge, EPOLLET, SEGMENT_FRAME, IPV6, false, false);
MODE(oneshot, EPOLLONESHOT, SEGMENT_FRAME, IPV4, false, false);
MODE(edge_oneshot, EPOLLET | EPOLLONESHOT, SEGMENT_FRAME, IPV6, false, false);
MODE(exclusive, EPOLLEXCLUSIVE, SEGMENT_FRAME, IPV4, false, false);
MODE(level_client, 0, SEGMENT_FRAME, IPV6, false, true);
MODE(edge_client, EPOLLET, SEGMENT_FRAME, IPV4, false, true);
MODE(oneshot_client, EPOLLONESHOT, SEGMENT_FRAME, IPV6, false, true);
#endif

static __u32 interest(const FIXTURE_VARIANT(poll) *variant)
{
	/* EPOLLRDHUP cannot be asked for exclusively */
	return EPOLLIN | variant->mode | (variant->mode & EPOLLEXCLUSIVE ? 0 : EPOLLRDHUP);
}

static void watch(int ep, int operation, int fd, __u32 events)
{
	struct epoll_event e = { .events = events };

	must(epoll_ctl(ep, operation, fd, &e));
}

FIXTURE_SETUP(poll)
{
	self->ep = must(epoll_create1(0));
	link_start_default(LINK, &variant->shape);
	watch(self->ep, EPOLL_CTL_ADD, self->link.ws, interest(variant));
}

FIXTURE_TEARDOWN(poll)
{
	close(self->ep);
	link_close(LINK);
}

/* What epoll_wait() reports; 0: nothing, now that everything has arrived. */
static __u32 events(int ep, struct link *l)
{
	struct epoll_event e = { 0 };

	if (l && l->peer >= 0)
		peer_settle(l);
	return must(epoll_wait(ep, &e, 1, l ? 0 : 30000)) ? e.events : 0;
}

/* At least these are reported, and nothing of @never. */
static void reported(int ep, __u32 want, __u32 never)
{
	__u32 seen = events(ep, NULL);

	if ((seen & want) != want || seen & never)
		fail("epoll reports %#x, not %#x (and never %#x)", seen, want, never);
}

/* Of two messages one went out: who takes that for a full buffer waits for the next edge. */
CASE(poll, room_behind_a_batch_sent_in_part)
{
	enum { SMALL = 1000, LARGE = 1 << 20 };
	struct websocket_batch b[2] = { { .len = SMALL, .opcode = OP_BINARY }, { .len = LARGE, .opcode = OP_BINARY } };
	unsigned char *bytes = new_pattern(SMALL + LARGE, 31);
	int ep = must(epoll_create1(0));

	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 100000);
	watch(ep, EPOLL_CTL_ADD, self->link.ws, EPOLLOUT | EPOLLET);
	reported(ep, EPOLLOUT, 0);
	equal(SMALL, ws_send_batch(self->link.ws, bytes, SMALL + LARGE, b, sizeof(b), MSG_DONTWAIT));
	wire_expect(WIRE, OP_BINARY, true, bytes, SMALL);
	reported(ep, EPOLLOUT, 0);
	close(ep);
	free(bytes);
}

CASE(poll, not_for_half_a_header)
{
	size_t n;

	put(OUT, .opcode = OP_BINARY, .payload = self, .len = 0, .announce = 300);
	for (n = 0; n < self->link.out.len; n++) {
		peer_write_raw(LINK, self->link.out.bytes + n, 1);
		equal(0, events(self->ep, LINK));
	}
}

CASE(poll, not_for_half_a_payload)
{
	put(OUT, .opcode = OP_BINARY, .text = "half of it is here", .announce = 40);
	peer_write(LINK);
	equal(0, events(self->ep, LINK));
	peer_write_raw(LINK, "more", 4);
	equal(0, events(self->ep, LINK));
}

CASE(poll, not_for_half_a_message)
{
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "half");
	put(OUT, .opcode = OP_CONTINUATION, .more = true);
	peer_write(LINK);
	equal(0, events(self->ep, LINK));
}

CASE(poll, not_for_pings_and_pongs)
{
	put(OUT, .opcode = OP_PING, .text = "ping");
	put(OUT, .opcode = OP_PONG, .text = "pong");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "ping", 4);
	equal(0, events(self->ep, LINK));
}

CASE(poll, for_a_ping_that_is_delivered)
{
	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_PING });
	put(OUT, .opcode = OP_PING);
	peer_write(LINK);
	reported(self->ep, EPOLLIN, EPOLLRDHUP | EPOLLHUP | EPOLLERR);
}

CASE(poll, for_a_message)
{
	put(OUT, .opcode = OP_TEXT, .text = "here");
	peer_write(LINK);
	reported(self->ep, EPOLLIN, EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	if (variant->mode & (EPOLLET | EPOLLONESHOT))
		equal(0, events(self->ep, LINK));
	else
		reported(self->ep, EPOLLIN, EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	expect_text(LINK, "here");
	equal(0, events(self->ep, LINK));
}

CASE(poll, for_an_empty_message)
{
	put(OUT, .opcode = OP_BINARY);
	peer_write(LINK);
	reported(self->ep, EPOLLIN, EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	expect_message(LINK, OP_BINARY, "", 0);
	equal(0, events(self->ep, LINK));
}

CASE(poll, for_two_messages)
{
	put(OUT, .opcode = OP_TEXT, .text = "one");
	peer_write(LINK);
	reported(self->ep, EPOLLIN, EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	put(OUT, .opcode = OP_TEXT, .text = "two");
	peer_write(LINK);
	if (variant->mode & EPOLLONESHOT) {
		equal(0, events(self->ep, LINK));
		watch(self->ep, EPOLL_CTL_MOD, self->link.ws, interest(variant));
	}
	reported(self->ep, EPOLLIN, EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	expect_text(LINK, "one");
	ws_wait(self->link.ws, POLLIN);
	expect_text(LINK, "two");
	equal(0, events(self->ep, LINK));
}

CASE(poll, for_a_message_read_in_part)
{
	char buffer[2];

	put(OUT, .opcode = OP_TEXT, .text = "abc");
	peer_write(LINK);
	reported(self->ep, EPOLLIN, EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	equal(2, recv(self->link.ws, buffer, 2, 0));
	check(ws_poll(self->link.ws) & POLLIN);
	equal(1, recv(self->link.ws, buffer, 2, 0));
	equal(0, ws_poll(self->link.ws) & POLLIN);
	equal(0, events(self->ep, LINK));
}

/* A message and half of the next: readable only until the first is read. */
CASE(poll, not_for_the_half_behind)
{
	put(OUT, .opcode = OP_TEXT, .text = "whole");
	put(OUT, .opcode = OP_TEXT, .text = "half", .announce = 8);
	self->link.shape.segmentation = SEGMENT_ALL;
	peer_write(LINK);
	reported(self->ep, EPOLLIN, EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	expect_text(LINK, "whole");
	equal(0, events(self->ep, LINK));
	expect_nothing(LINK);
}

CASE(poll, for_close)
{
	put_close(OUT, 1000, "");
	peer_write(LINK);
	reported(self->ep, EPOLLIN | (interest(variant) & EPOLLRDHUP), EPOLLERR);
	expect_end(LINK, 1000);
}

CASE(poll, for_fin)
{
	must(shutdown(self->link.peer, SHUT_WR));
	reported(self->ep, EPOLLIN | (interest(variant) & EPOLLRDHUP), EPOLLERR | EPOLLHUP);
	expect_end(LINK, 1006);
}

CASE(poll, for_fin_inside_a_frame)
{
	put(OUT, .opcode = OP_TEXT, .text = "half", .announce = 8);
	peer_write(LINK);
	equal(0, events(self->ep, LINK));
	must(shutdown(self->link.peer, SHUT_WR));
	reported(self->ep, EPOLLIN | (interest(variant) & EPOLLRDHUP), EPOLLERR | EPOLLHUP);
	expect_end(LINK, 1006);
}

CASE(poll, for_reset)
{
	link_reset_peer(LINK);
	reported(self->ep, EPOLLIN | EPOLLERR | EPOLLHUP, 0);
	expect_error(LINK, ECONNRESET);
}

CASE(poll, for_a_broken_frame)
{
	put(OUT, .opcode = 5);
	peer_write(LINK);
	reported(self->ep, EPOLLIN | EPOLLERR, 0);
	expect_error(LINK, EPROTO);
}

/* EPOLLERR waits until what is complete was read. */
CASE(poll, for_a_broken_frame_behind_a_message)
{
	put(OUT, .opcode = OP_TEXT, .text = "whole");
	put(OUT, .opcode = 5);
	self->link.shape.segmentation = SEGMENT_ALL;
	peer_write(LINK);
	reported(self->ep, EPOLLIN, EPOLLERR);
	expect_text(LINK, "whole");
	check(ws_poll(self->link.ws) & POLLERR);
	check(ws_poll(self->link.ws) & POLLIN);
}

/* Who leaves messages unread and waits for nothing but the end is told of it when it comes. */
static void end_alone(struct link *l, __u32 mode)
{
	int ep = must(epoll_create1(0));

	link_configure(l, &(struct websocket_config){ .close_timeout_ms = 60000 });
	ws_wait(l->ws, POLLIN);
	watch(ep, EPOLL_CTL_ADD, l->ws, EPOLLRDHUP | mode);
	equal(0, events(ep, l));
	peer_write(l);
	reported(ep, EPOLLRDHUP, EPOLLHUP | EPOLLERR);
	expect_text(l, "unread");
	must(close(ep));
}

CASE(poll, for_close_alone)
{
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	peer_write(LINK);
	put_close(OUT, 1000, "");
	end_alone(LINK, variant->mode & ~EPOLLEXCLUSIVE);
	expect_end(LINK, 1000);
}

CASE(poll, for_a_broken_frame_alone)
{
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	peer_write(LINK);
	put(OUT, .opcode = 5);
	end_alone(LINK, variant->mode & ~EPOLLEXCLUSIVE);
	expect_error(LINK, EPROTO);
}

CASE(poll, hup_when_both_ended)
{
	must(shutdown(self->link.ws, SHUT_WR));
	wire_expect_close(WIRE, 1000);
	equal(0, ws_poll(self->link.ws) & POLLHUP);
	put_close(OUT, 1000, "");
	peer_write(LINK);
	must(shutdown(self->link.peer, SHUT_WR));
	/* over TLS Close may be found before FIN comes */
	peer_settle(LINK);
	reported(self->ep, EPOLLIN | EPOLLHUP, EPOLLERR);
	expect_end(LINK, 1000);
}

CASE(poll, out_when_room)
{
	char block[4096] = { 0 };
	bool writeable, sent;

	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 4096);
	set_option(self->link.peer, SOL_SOCKET, SO_RCVBUF, 4096);
	do {
		writeable = ws_poll(self->link.ws) & POLLOUT;
		sent = send(self->link.ws, block, sizeof(block), MSG_DONTWAIT) != -1;
		if (!sent)
			equal(EAGAIN, errno);
		if (writeable && !sent)
			fail("poll says writeable, send says EAGAIN");
	} while (sent || writeable || !ws_stuck(LINK));
	watch(self->ep, EPOLL_CTL_DEL, self->link.ws, 0);
	watch(self->ep, EPOLL_CTL_ADD, self->link.ws, EPOLLOUT | variant->mode);
	equal(0, must(epoll_wait(self->ep, &(struct epoll_event){ 0 }, 1, 0)));
	while (!(ws_poll(self->link.ws) & POLLOUT))
		equal(WIRE_FRAME, wire_read(WIRE));
	reported(self->ep, EPOLLOUT, EPOLLERR | EPOLLHUP);
	check(send(self->link.ws, block, 1, MSG_DONTWAIT) == 1);
}

/* Nothing was refused: the buffer is just too full for poll(). Who waits then is told as well. */
CASE(poll, out_when_room_again)
{
	char block[512] = { 0 };
	int n = 0;

	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 65536);
	set_option(self->link.peer, SOL_SOCKET, SO_RCVBUF, 4096);
	watch(self->ep, EPOLL_CTL_DEL, self->link.ws, 0);
	while (ws_poll(self->link.ws) & POLLOUT || !ws_stuck(LINK))
		if (ws_poll(self->link.ws) & POLLOUT) {
			equal(sizeof(block), send(self->link.ws, block, sizeof(block), MSG_DONTWAIT));
			n++;
		}
	watch(self->ep, EPOLL_CTL_ADD, self->link.ws, EPOLLOUT | variant->mode);
	while (n--)
		equal(WIRE_FRAME, wire_read(WIRE));
	reported(self->ep, EPOLLOUT, EPOLLERR | EPOLLHUP);
}

/* Row 13: the waiter was there first, when bytes were just bytes. */
FIXTURE(poll_before_start) { struct link link; int ep; };
FIXTURE_VARIANT(poll_before_start) { __u32 mode; struct shape shape; };
#define BEFORE(name, flag, ...)								\
	FIXTURE_VARIANT_ADD(poll_before_start, name) { .mode = flag, .shape = { __VA_ARGS__ } }
BEFORE(level, 0, SEGMENT_FRAME, IPV4, false, false);
BEFORE(edge, EPOLLET, SEGMENT_FRAME, IPV4, false, false);
BEFORE(edge_v6, EPOLLET, SEGMENT_FRAME, IPV6, false, false);
BEFORE(edge_client, EPOLLET, SEGMENT_FRAME, IPV4, false, true);

FIXTURE_SETUP(poll_before_start)
{
	link_open(LINK, &variant->shape);
	self->ep = must(epoll_create1(0));
	watch(self->ep, EPOLL_CTL_ADD, self->link.ws, EPOLLIN | EPOLLRDHUP | variant->mode);
}

FIXTURE_TEARDOWN(poll_before_start)
{
	close(self->ep);
	link_close(LINK);
}

static const struct websocket_config defaults;

CASE(poll_before_start, row13_message_queued)
{
	put(OUT, .opcode = OP_TEXT, .text = "early");
	peer_write(LINK);
	reported(self->ep, EPOLLIN, EPOLLRDHUP);
	link_start(LINK, &defaults);
	reported(self->ep, EPOLLIN, EPOLLRDHUP);
	expect_text(LINK, "early");
	equal(0, events(self->ep, LINK));
}

CASE(poll_before_start, row13_half_queued)
{
	put(OUT, .opcode = OP_TEXT, .text = "half", .announce = 8);
	peer_write(LINK);
	reported(self->ep, EPOLLIN, EPOLLRDHUP);
	link_start(LINK, &defaults);
	equal(0, events(self->ep, LINK));
	expect_nothing(LINK);
}

CASE(poll_before_start, row13_nothing_queued)
{
	link_start(LINK, &defaults);
	equal(0, events(self->ep, LINK));
	put(OUT, .opcode = OP_PING);
	put(OUT, .opcode = OP_TEXT, .text = "now");
	peer_write(LINK);
	reported(self->ep, EPOLLIN, EPOLLRDHUP);
	expect_text(LINK, "now");
}

CASE(poll_before_start, row13_fin_queued)
{
	must(shutdown(self->link.peer, SHUT_WR));
	reported(self->ep, EPOLLIN | EPOLLRDHUP, EPOLLHUP);
	link_start(LINK, &defaults);
	reported(self->ep, EPOLLIN | EPOLLRDHUP, EPOLLHUP);
	expect_end(LINK, 1006);
}

SELFTEST_MAIN
