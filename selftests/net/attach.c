// SPDX-License-Identifier: GPL-2.0
/*
 * Attach and start: TCP_ULP and the first WEBSOCKET_CONFIG, in every state a socket can be in, over IPv4, IPv6 and
 * mapped addresses; what is queued before the start; plain TCP between the two calls; the module's reference count.
 * The option's contents are tested in config.c.
 */
#include <fcntl.h>
#include <sys/syscall.h>

#include "shapes.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP	262
#endif

static const struct websocket_config defaults;

FIXTURE(attach) { struct link link; };
FIXTURE_VARIANT(attach) { struct shape shape; };
SHAPE(attach, v4, SEGMENT_FRAME, IPV4, false, false);
SHAPE(attach, v6, SEGMENT_FRAME, IPV6, false, false);
SHAPE(attach, mapped, SEGMENT_FRAME, MAPPED, false, false);
SHAPE(attach, v4_client, SEGMENT_FRAME, IPV4, false, true);
SHAPE(attach, v6_client, SEGMENT_FRAME, IPV6, false, true);
SHAPE(attach, mapped_client, SEGMENT_FRAME, MAPPED, false, true);

FIXTURE_SETUP(attach)
{
	link_open(LINK, &variant->shape);
}

FIXTURE_TEARDOWN(attach)
{
	link_close(LINK);
}

static int tcp_state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info.tcpi_state;
}

static void wait_state(int fd, int state)
{
	int i;

	for (i = 0; tcp_state(fd) != state; i++) {
		if (i == 30000)
			fail("TCP state %d, not %d", tcp_state(fd), state);
		usleep(1000);
	}
}

/* The socket under test is a working message socket. */
static void talk(struct link *l)
{
	put(&l->out, .opcode = OP_TEXT, .text = "hello");
	peer_write(l);
	expect_text(l, "hello");
	equal(5, ws_send(l->ws, 0, "world", 5, 0));
	wire_expect(&l->wire, OP_BINARY, true, "world", 5);
}

CASE(attach, then_talk)
{
	link_start(LINK, &defaults);
	talk(LINK);
}

CASE(attach, name)
{
	char name[32] = "";
	socklen_t len = sizeof(name);

	must(ulp_attach(self->link.ws));
	must(getsockopt(self->link.ws, IPPROTO_TCP, TCP_ULP, name, &len));
	ASSERT_STREQ("websocket", name);
}

CASE(attach, twice)
{
	must(ulp_attach(self->link.ws));
	refuses(EEXIST, ulp_attach(self->link.ws));
	link_configure(LINK, &defaults);
	refuses(EEXIST, ulp_attach(self->link.ws));
	talk(LINK);
}

CASE(attach, plain_tcp_until_start)
{
	char buffer[16];

	must(ulp_attach(self->link.ws));
	equal(WEBSOCKET_STATE_ATTACHED, ws_info(self->link.ws).state);
	equal(3, send(self->link.peer, "\r\n\r", 3, 0));
	equal(3, recv(self->link.ws, buffer, sizeof(buffer), 0));
	equal(4, send(self->link.ws, "HTTP", 4, 0));
	equal(4, recv(self->link.peer, buffer, sizeof(buffer), 0));
	link_configure(LINK, &defaults);
	equal(WEBSOCKET_STATE_OPEN, ws_info(self->link.ws).state);
	talk(LINK);
}

CASE(attach, never_started_is_closed_as_plain_tcp)
{
	must(ulp_attach(self->link.ws));
	link_close_ws(LINK);
	wire_expect_end(WIRE);
}

/* The peer's first frames came in the segment of its HTTP head. */
CASE(attach, frames_behind_the_head)
{
	static const char head[] = "GET / HTTP/1.1\r\n\r\n";
	char buffer[sizeof(head)];

	stream_raw(OUT, head, strlen(head));
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_PING, .text = "two");
	put(OUT, .opcode = OP_TEXT, .text = "three");
	self->link.shape.segmentation = SEGMENT_ALL;
	peer_write(LINK);
	equal(strlen(head), recv(self->link.ws, buffer, strlen(head), MSG_WAITALL));
	link_start(LINK, &defaults);
	expect_text(LINK, "one");
	expect_text(LINK, "three");
	wire_expect(WIRE, OP_PONG, true, "two", 3);
}

/* Row 13: frames queued before TCP_ULP, and more between the two calls. */
CASE(attach, row13_frames_queued_before)
{
	put(OUT, .opcode = OP_TEXT, .text = "before");
	peer_write(LINK);
	peer_settle(LINK);
	must(ulp_attach(self->link.ws));
	put(OUT, .opcode = OP_TEXT, .text = "between");
	peer_write(LINK);
	peer_settle(LINK);
	link_configure(LINK, &defaults);
	equal(2, ws_info(self->link.ws).rx_messages);
	expect_text(LINK, "before");
	expect_text(LINK, "between");
	talk(LINK);
}

CASE(attach, half_a_frame_queued_before)
{
	size_t half;

	put(OUT, .opcode = OP_BINARY, .text = "in two halves");
	half = self->link.out.len - 6;
	peer_write_raw(LINK, self->link.out.bytes, half);
	peer_settle(LINK);
	link_start(LINK, &defaults);
	expect_nothing(LINK);
	peer_write_raw(LINK, self->link.out.bytes + half, 6);
	expect_message(LINK, OP_BINARY, "in two halves", 13);
}

/* The error is the connection's, not the option's. */
CASE(attach, garbage_queued_before)
{
	put(OUT, .opcode = OP_TEXT, .text = "complete");
	put(OUT, .opcode = OP_TEXT, .rsv = 4, .text = "broken");
	peer_write(LINK);
	peer_settle(LINK);
	link_start(LINK, &defaults);
	expect_text(LINK, "complete");
	expect_error(LINK, EPROTO);
	wire_expect_close(WIRE, 1002);
}

/* Row 13: CLOSE_WAIT, with and without data. */
CASE(attach, row13_fin_before)
{
	put(OUT, .opcode = OP_TEXT, .text = "last words");
	peer_write(LINK);
	must(shutdown(self->link.peer, SHUT_WR));
	wait_state(self->link.ws, TCP_CLOSE_WAIT);
	link_start(LINK, &defaults);
	expect_text(LINK, "last words");
	expect_end(LINK, 1006);
}

CASE(attach, fin_before_without_data)
{
	must(shutdown(self->link.peer, SHUT_WR));
	wait_state(self->link.ws, TCP_CLOSE_WAIT);
	link_start(LINK, &defaults);
	expect_end(LINK, 1006);
}

CASE(attach, fin_between)
{
	must(ulp_attach(self->link.ws));
	put_close(OUT, 1001, "bye");
	peer_write(LINK);
	must(shutdown(self->link.peer, SHUT_WR));
	wait_state(self->link.ws, TCP_CLOSE_WAIT);
	link_configure(LINK, &defaults);
	expect_end(LINK, 1001);
	wire_expect_close(WIRE, 1001);
}

CASE(attach, reset_before)
{
	link_reset_peer(LINK);
	wait_state(self->link.ws, TCP_CLOSE);
	refuses(ENOTCONN, ulp_attach(self->link.ws));
}

CASE(attach, reset_between)
{
	must(ulp_attach(self->link.ws));
	link_reset_peer(LINK);
	wait_state(self->link.ws, TCP_CLOSE);
	refuses(ENOTCONN, ws_configure(self->link.ws, &defaults));
}

/* FIN_WAIT1 or FIN_WAIT2 */
CASE(attach, after_own_shutdown)
{
	must(shutdown(self->link.ws, SHUT_WR));
	refuses(ENOTCONN, ulp_attach(self->link.ws));
}

CASE(attach, own_shutdown_between)
{
	must(ulp_attach(self->link.ws));
	must(shutdown(self->link.ws, SHUT_WR));
	refuses(ENOTCONN, ws_configure(self->link.ws, &defaults));
}

/* Row 8: what never was connected, or listens. */
CASE(attach, row8_not_connected)
{
	int family = variant->shape.family == IPV4 ? AF_INET : AF_INET6;
	int fd = must(socket(family, SOCK_STREAM, 0));
	int listener = tcp_listen(variant->shape.family);

	refuses(ENOTCONN, ulp_attach(fd));
	refuses(ENOTCONN, ulp_attach(listener));
	close(listener);
	close(fd);
}

/* Row 59: the SYN is not answered because the listener's queue is full. */
CASE(attach, row59_connecting)
{
	int listener = tcp_listen(variant->shape.family), fill, fd;
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	must(listen(listener, 0));
	fill = tcp_connect(listener, 0);
	must(getsockname(listener, (struct sockaddr *)&a, &len));
	fd = must(socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0));
	refuses(EINPROGRESS, connect(fd, (struct sockaddr *)&a, len));
	equal(TCP_SYN_SENT, tcp_state(fd));
	refuses(ENOTCONN, ulp_attach(fd));
	close(fd);
	close(fill);
	close(listener);
}

/* Row 8, 9: between the calls, too, the socket cannot go back. */
CASE(attach, row8_row9_no_way_back_between)
{
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	int on = 1;

	must(ulp_attach(self->link.ws));
	refuses(EOPNOTSUPP, connect(self->link.ws, &nobody, sizeof(nobody)));
	check(listen(self->link.ws, 1) == -1);
	refuses(EOPNOTSUPP, setsockopt(self->link.ws, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)));
	link_configure(LINK, &defaults);
	talk(LINK);
}

/* Row 58 */
CASE(attach, row58_repair_before)
{
	set_option(self->link.ws, IPPROTO_TCP, TCP_REPAIR, 1);
	refuses(EOPNOTSUPP, ulp_attach(self->link.ws));
	set_option(self->link.ws, IPPROTO_TCP, TCP_REPAIR, 0);
	link_start(LINK, &defaults);
	talk(LINK);
}

/* Messages leave at once. */
CASE(attach, start_sets_nodelay)
{
	int value = 0;
	socklen_t len = sizeof(value);

	set_option(self->link.ws, IPPROTO_TCP, TCP_NODELAY, 0);
	link_start(LINK, &defaults);
	must(getsockopt(self->link.ws, IPPROTO_TCP, TCP_NODELAY, &value, &len));
	equal(1, value);
}

/* Row 61: MPTCP knows no TCP_ULP and says so before the module is asked. */
TEST(row61_mptcp)
{
	int fd = must(socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP));

	check(ulp_attach(fd) == -1 && (errno == EOPNOTSUPP || errno == ENOPROTOOPT));
	close(fd);
}

/* Row 16: an IPv6 socket may turn into an IPv4 one before, not after. */
TEST(row16_addrform)
{
	struct shape shape = { .family = MAPPED };
	struct link l;
	int v4 = AF_INET;

	link_open(&l, &shape);
	must(setsockopt(l.ws, IPPROTO_IPV6, 1 /* IPV6_ADDRFORM */, &v4, sizeof(v4)));
	link_start(&l, &defaults);
	talk(&l);
	link_close(&l);

	link_start_default(&l, &shape);
	check(setsockopt(l.ws, IPPROTO_IPV6, 1, &v4, sizeof(v4)) == -1);
	talk(&l);
	link_close(&l);
}

static int module_references(void)
{
	char name[64];
	int size, references;
	FILE *f = fopen("/proc/modules", "r");

	check(f);
	while (fscanf(f, "%63s %d %d%*[^\n]", name, &size, &references) == 3)
		if (!strcmp(name, "websocket")) {
			fclose(f);
			return references;
		}
	fail("the module is not loaded");
}

/* Row 14: every socket holds the module, and gives it back. */
TEST(row14_module_held)
{
	enum { MANY = 100 };
	int i, before = module_references();
	struct link links[MANY];

	for (i = 0; i < MANY; i++) {
		struct shape shape = { .family = i % 3, .client = i % 2 };

		link_start_default(&links[i], &shape);
	}
	equal(before + MANY, module_references());
	refuses(EAGAIN, syscall(SYS_delete_module, "websocket", O_NONBLOCK));
	for (i = 0; i < MANY; i++)
		talk(&links[i]);
	for (i = 0; i < MANY; i++)
		link_close(&links[i]);
	for (i = 0; i < 30000 && module_references() != before; i++)
		usleep(1000);
	equal(before, module_references());
}

SELFTEST_MAIN
