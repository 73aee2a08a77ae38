// SPDX-License-Identifier: GPL-2.0
/*
 * RFC 6455 5.5.2 and 5.5.3: pings are answered by the kernel, with their payload, whatever the process does: not reading,
 * stopped, corked, in the middle of a message. Pongs are recorded. Both are delivered if the program asks for them.
 * time limit: 240 s
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "shapes.h"

FIXTURE_CUTS(ping);

CASE(ping, every_length)
{
	unsigned char *bytes = new_pattern(CONTROL_MAX, 20);
	size_t len, step = variant->shape.segmentation == SEGMENT_BYTE ? 25 : 1;

	for (len = 0; len <= CONTROL_MAX; len += step) {
		put(OUT, .opcode = OP_PING, .payload = bytes, .len = len);
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, bytes, len);
	}
	expect_nothing(LINK);
	equal(CONTROL_MAX / step + 1, ws_info(self->link.ws).rx_pings);
	equal(CONTROL_MAX / step + 1, ws_info(self->link.ws).tx_pongs);
	free(bytes);
}

CASE(ping, behind_unread_messages)
{
	unsigned char *bytes = new_pattern(20000, 21);

	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 20000);
	put(OUT, .opcode = OP_TEXT, .text = "two");
	put(OUT, .opcode = OP_PING, .text = "behind");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "behind", 6);
	put(OUT, .opcode = OP_TEXT, .text = "three");
	put(OUT, .opcode = OP_PING, .text = "further behind");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "further behind", 14);
	expect_message(LINK, OP_BINARY, bytes, 20000);
	expect_text(LINK, "two");
	expect_text(LINK, "three");
	expect_nothing(LINK);
	free(bytes);
}

static int read_one(void *l)
{
	char buffer[16];

	return recv(((struct link *)l)->ws, buffer, sizeof(buffer), 0) == 5 ? 7 : 1;
}

/* The process that has the socket is stopped; only it reads. */
CASE(ping, of_a_stopped_process)
{
	pid_t pid = spawn(read_one, LINK);
	int i, status;

	link_close_ws(LINK);
	must(kill(pid, SIGSTOP));
	must(waitpid(pid, &status, WUNTRACED));
	check(WIFSTOPPED(status));
	for (i = 0; i < 5; i++) {
		put(OUT, .opcode = OP_PING, .payload = "12345", .len = i);
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, "12345", i);
	}
	put(OUT, .opcode = OP_TEXT, .text = "hello");
	put(OUT, .opcode = OP_PING, .text = "once more");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "once more", 9);
	must(kill(pid, SIGCONT));
	equal(7, reap(pid));
}

/* A burst of pings in one segment: each gets its pong. */
CASE(ping, each_of_sixteen)
{
	unsigned char i;

	for (i = 0; i < 16; i++)
		put(OUT, .opcode = OP_PING, .payload = &i, .len = 1);
	peer_feed(LINK);
	for (i = 0; i < 16; i++)
		wire_expect(WIRE, OP_PONG, true, &i, 1);
	peer_fed(LINK);
	peer_expect_silence(LINK);
}

/* RFC 6455 5.5.3: the most recent ping has to be answered, others may be left out. */
CASE(ping, row39_flood)
{
	enum { FLOOD = 3000 };
	int i, pongs = 0, last = -1, now;
	struct websocket_info info;

	for (i = 0; i < FLOOD; i++)
		put(OUT, .opcode = OP_PING, .payload = &i, .len = sizeof(i));
	peer_feed(LINK);
	while (last != FLOOD - 1) {
		equal(WIRE_FRAME, wire_read(WIRE));
		equal(OP_PONG, self->link.wire.seen.opcode);
		equal(sizeof(now), self->link.wire.seen.len);
		memcpy(&now, self->link.wire.seen.payload, sizeof(now));
		check(now > last);
		last = now;
		pongs++;
	}
	peer_fed(LINK);
	info = ws_info(self->link.ws);
	equal(FLOOD, info.rx_pings);
	equal(pongs, info.tx_pongs);
	expect_nothing(LINK);
	peer_expect_silence(LINK);
}

/* The peer does not read its pongs: the latest one is kept, not all of them, and leaves when there is room. */
CASE(ping, row20_flood_not_read)
{
	unsigned char payload[CONTROL_MAX] = { 0 };
	int i, last = 0;

	link_start_narrow(LINK, 16384);
	/* memory for a window full of pongs: if TCP has to drop some, newer kernels' may drop the acknowledgements with them until it is read */
	set_option(self->link.peer, SOL_SOCKET, SO_RCVBUF, 200000);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 4096);
	for (i = 1; i <= 2000; i++) {
		payload[0] = i;
		payload[1] = i >> 8;
		put(OUT, .opcode = OP_PING, .payload = payload, .len = sizeof(payload));
	}
	self->link.shape.segmentation = SEGMENT_FRAME;
	peer_write(LINK);
	peer_settle(LINK);
	equal(2000, ws_info(self->link.ws).rx_pings);
	put(OUT, .opcode = OP_TEXT, .text = "still there");
	peer_write(LINK);
	expect_text(LINK, "still there");
	while (last != 2000) {
		equal(WIRE_FRAME, wire_read(WIRE));
		equal(OP_PONG, self->link.wire.seen.opcode);
		i = self->link.wire.seen.payload[0] | self->link.wire.seen.payload[1] << 8;
		check(i > last);
		last = i;
	}
	peer_expect_silence(LINK);
}

CASE(ping, pongs_are_recorded_and_not_answered)
{
	put(OUT, .opcode = OP_PONG);
	put(OUT, .opcode = OP_PONG, .text = "nobody asked for it");
	peer_write(LINK);
	peer_expect_silence(LINK);
	equal(2, ws_info(self->link.ws).rx_pongs);
	expect_nothing(LINK);
}

CASE(ping, delivered_if_wanted)
{
	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_PING });
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_PING, .text = "\xff?");
	put(OUT, .opcode = OP_PONG, .text = "not wanted");
	put(OUT, .opcode = OP_PING);
	put(OUT, .opcode = OP_TEXT, .text = "two");
	peer_feed(LINK);
	expect_text(LINK, "one");
	expect_message(LINK, OP_PING, "\xff?", 2);
	expect_message(LINK, OP_PING, "", 0);
	expect_text(LINK, "two");
	peer_fed(LINK);
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.len);
	equal(OP_PONG, self->link.wire.seen.opcode);
	equal(2, ws_info(self->link.ws).rx_messages);
}

CASE(ping, pong_delivered_if_wanted)
{
	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_PONG });
	put(OUT, .opcode = OP_PONG, .text = "heart");
	put(OUT, .opcode = OP_PING, .text = "not wanted");
	put(OUT, .opcode = OP_PONG, .text = "beat");
	peer_feed(LINK);
	expect_parts(LINK, OP_PONG, "heart", 5, 2);
	expect_message(LINK, OP_PONG, "beat", 4);
	peer_fed(LINK);
	expect_nothing(LINK);
}

/* Pitfall 17: TCP_CORK and Nagle hold data for 200 ms, pongs never. The best of five: a machine may be busy. */
CASE(ping, pitfall17_not_corked)
{
	double best = 10, start;
	int i;

	set_option(self->link.ws, IPPROTO_TCP, TCP_NODELAY, 0);
	set_option(self->link.ws, IPPROTO_TCP, TCP_CORK, 1);
	for (i = 0; i < 5; i++) {
		put(OUT, .opcode = OP_PING, .text = "quick");
		start = seconds();
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, "quick", 5);
		start = seconds() - start;
		best = start < best ? start : best;
	}
	if (best > 0.15)
		fail("the fastest pong took %.0f ms", best * 1000);
}

/* Row 45: between the fragments that a sender leaves open, not in one. */
CASE(ping, row45_while_a_message_is_open)
{
	equal(4, ws_send(self->link.ws, OP_TEXT, "open", 4, MSG_MORE));
	put(OUT, .opcode = OP_PING, .text = "now");
	peer_write(LINK);
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.opcode != OP_PONG);
	equal(1, self->link.wire.open);
	equal(6, ws_send(self->link.ws, 0, "closed", 6, 0));
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (!self->link.wire.seen.fin);
	equal(10, ws_info(self->link.ws).tx_bytes);
}

CASE(ping, sent_by_the_program)
{
	unsigned char *bytes = new_pattern(CONTROL_MAX, 22);

	equal(0, ws_send(self->link.ws, OP_PING, NULL, 0, 0));
	equal(CONTROL_MAX, ws_send(self->link.ws, OP_PING, bytes, CONTROL_MAX, 0));
	equal(3, ws_send(self->link.ws, OP_PONG, bytes, 3, 0));
	wire_expect(WIRE, OP_PING, true, "", 0);
	wire_expect(WIRE, OP_PING, true, bytes, CONTROL_MAX);
	wire_expect(WIRE, OP_PONG, true, bytes, 3);
	equal(2, ws_info(self->link.ws).tx_pings);
	equal(1, ws_info(self->link.ws).tx_pongs);
	equal(0, ws_info(self->link.ws).tx_messages);
	free(bytes);
}

SELFTEST_MAIN
