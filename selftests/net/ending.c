// SPDX-License-Identifier: GPL-2.0
/*
 * Ends without a closing handshake by the peer: FIN at every byte, reset, shutdown() in its three forms, close() with
 * and without unread messages, SO_LINGER, a dying process.
 * time limit: 240 s
 */
#include <signal.h>

#include "shapes.h"

FIXTURE_CUTS(ending);

/* Row 54, pitfall 4: a message, then @frame cut behind byte n, then FIN. */
static void fin_inside(const struct shape *shape, __u8 opcode, size_t len)
{
	unsigned char *bytes = new_pattern(len, 30);
	size_t n, before, frame;
	struct link l;

	for (n = 1, frame = 3; n < frame; n += n < 16 || n + 8 > frame ? 1 : 7) {
		link_start_default(&l, shape);
		put(&l.out, .opcode = OP_TEXT, .text = "complete");
		before = l.out.len;
		put(&l.out, .opcode = opcode, .payload = bytes, .len = len);
		frame = l.out.len - before;
		l.out.len = before + n;
		if (l.out.marks[1].payload > l.out.len)
			l.out.marks[1].payload = l.out.len;
		peer_write(&l);
		must(shutdown(l.peer, SHUT_WR));
		expect_text(&l, "complete");
		expect_end(&l, 1006);
		equal(0, ws_info(l.ws).received_close_code);
		check(ws_poll(l.ws) & POLLRDHUP);
		link_close(&l);
	}
	free(bytes);
}

CASE(ending, row54_fin_at_each_byte_of_text)
{
	fin_inside(&variant->shape, OP_TEXT, 0);
	fin_inside(&variant->shape, OP_BINARY, 20);
}

CASE(ending, row54_fin_at_each_byte_of_long_frame)
{
	fin_inside(&variant->shape, OP_BINARY, 126);
}

CASE(ending, row54_fin_at_each_byte_of_control_frames)
{
	fin_inside(&variant->shape, OP_PING, 3);
	fin_inside(&variant->shape, OP_CLOSE, 0);
}

CASE(ending, fin_between_messages)
{
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_TEXT, .text = "two");
	put(OUT, .opcode = OP_PING, .text = "also answered");
	peer_write(LINK);
	must(shutdown(self->link.peer, SHUT_WR));
	expect_text(LINK, "one");
	expect_text(LINK, "two");
	expect_end(LINK, 1006);
	wire_expect(WIRE, OP_PONG, true, "also answered", 13);
}

/* A peer that only shut down its side can still be sent to. */
CASE(ending, fin_and_then_send)
{
	must(shutdown(self->link.peer, SHUT_WR));
	expect_end(LINK, 1006);
	equal(4, ws_send(self->link.ws, OP_TEXT, "well", 4, 0));
	wire_expect(WIRE, OP_TEXT, true, "well", 4);
}

/* Row 37: what is complete can be read after the reset. */
CASE(ending, row37_reset_behind_messages)
{
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY, .more = true, .text = "tw");
	put(OUT, .opcode = OP_CONTINUATION, .text = "o");
	put(OUT, .opcode = OP_TEXT, .text = "three", .announce = 6);
	peer_write(LINK);
	peer_settle(LINK);
	link_reset_peer(LINK);
	ws_wait(self->link.ws, POLLHUP);
	expect_text(LINK, "one");
	expect_message(LINK, OP_BINARY, "two", 3);
	expect_error(LINK, ECONNRESET);
	refuses(ECONNRESET, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	equal(ECONNRESET, ws_info(self->link.ws).error);
	equal(WEBSOCKET_STATE_FAILED, ws_info(self->link.ws).state);
	check(ws_poll(self->link.ws) & POLLERR);
}

CASE(ending, row37_so_error_after_a_reset)
{
	socklen_t len = sizeof(int);
	int error = 0;

	put(OUT, .opcode = OP_TEXT, .text = "one");
	peer_write(LINK);
	peer_settle(LINK);
	link_reset_peer(LINK);
	ws_wait(self->link.ws, POLLHUP);
	expect_text(LINK, "one");
	expect_error(LINK, ECONNRESET);
	must(getsockopt(self->link.ws, SOL_SOCKET, SO_ERROR, &error, &len));
	equal(ECONNRESET, error);
	expect_error(LINK, ECONNRESET);
}

/* Row 55: TCP calls that EPIPE, which a program would take for something else. */
CASE(ending, row55_reset_behind_fin)
{
	put(OUT, .opcode = OP_TEXT, .text = "one");
	peer_write(LINK);
	must(shutdown(self->link.peer, SHUT_WR));
	ws_wait(self->link.ws, POLLRDHUP);
	link_reset_peer(LINK);
	ws_wait(self->link.ws, POLLHUP);
	expect_text(LINK, "one");
	expect_error(LINK, ECONNRESET);
	expect_error(LINK, ECONNRESET);
	refuses(ECONNRESET, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	equal(ECONNRESET, ws_info(self->link.ws).error);
}

static void *reset(void *l)
{
	link_reset_peer(l);
	return NULL;
}

CASE(ending, reset_while_waiting)
{
	pthread_t thread;

	put(OUT, .opcode = OP_TEXT, .text = "never", .announce = 100);
	peer_write(LINK);
	check(!pthread_create(&thread, NULL, reset, LINK));
	expect_error(LINK, ECONNRESET);
	check(!pthread_join(thread, NULL));
}

CASE(ending, shutdown_for_writing)
{
	struct websocket_info info;

	equal(3, ws_send(self->link.ws, OP_TEXT, "bye", 3, 0));
	must(shutdown(self->link.ws, SHUT_WR));
	wire_expect(WIRE, OP_TEXT, true, "bye", 3);
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	equal(WEBSOCKET_STATE_CLOSE_SENT, ws_info(self->link.ws).state);
	put(OUT, .opcode = OP_TEXT, .text = "last words");
	put_close(OUT, 1000, "");
	peer_feed(LINK);
	expect_text(LINK, "last words");
	expect_end(LINK, 1000);
	peer_fed(LINK);
	info = ws_info(self->link.ws);
	equal(WEBSOCKET_STATE_CLOSED, info.state);
	equal(1000, info.sent_close_code);
	must(shutdown(self->link.ws, SHUT_WR));
}

CASE(ending, shutdown_of_an_open_message)
{
	equal(4, ws_send(self->link.ws, OP_TEXT, "open", 4, MSG_MORE));
	must(shutdown(self->link.ws, SHUT_WR));
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.opcode != OP_CLOSE);
	wire_expect_end(WIRE);
}

/* What had come may be read, what comes later may not be waited for; sending goes on. */
CASE(ending, shutdown_for_reading)
{
	struct received r;
	char buffer[16];

	put(OUT, .opcode = OP_TEXT, .text = "had come");
	peer_write(LINK);
	peer_settle(LINK);
	must(shutdown(self->link.ws, SHUT_RD));
	expect_text(LINK, "had come");
	r = ws_receive(LINK, buffer, sizeof(buffer), 0);
	equal(0, r.n);
	equal(0, r.flags & MSG_EOR);
	check(ws_poll(self->link.ws) & POLLRDHUP);
	equal(5, ws_send(self->link.ws, OP_TEXT, "hello", 5, 0));
	wire_expect(WIRE, OP_TEXT, true, "hello", 5);
	/* it was the end, whatever comes */
	put(OUT, .opcode = OP_TEXT, .text = "too late");
	peer_write(LINK);
	r = ws_receive(LINK, buffer, sizeof(buffer), 0);
	check(!r.error && !r.n && !(r.flags & MSG_EOR));
}

CASE(ending, shutdown_for_both)
{
	struct received r;
	char buffer[16];

	must(shutdown(self->link.ws, SHUT_RDWR));
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
	r = ws_receive(LINK, buffer, sizeof(buffer), 0);
	equal(0, r.n);
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	check(ws_poll(self->link.ws) & POLLHUP);
}

static void *shut(void *l)
{
	must(shutdown(((struct link *)l)->ws, SHUT_RDWR));
	return NULL;
}

CASE(ending, shutdown_wakes_a_reader)
{
	struct received r;
	pthread_t thread;
	char buffer[16];

	check(!pthread_create(&thread, NULL, shut, LINK));
	r = ws_receive(LINK, buffer, sizeof(buffer), 0);
	equal(0, r.n);
	check(!pthread_join(thread, NULL));
}

CASE(ending, close_with_nothing_unread)
{
	put(OUT, .opcode = OP_TEXT, .text = "read");
	put(OUT, .opcode = OP_PING, .text = "answered");
	peer_write(LINK);
	expect_text(LINK, "read");
	wire_expect(WIRE, OP_PONG, true, "answered", 8);
	equal(4, ws_send(self->link.ws, OP_TEXT, "last", 4, 0));
	link_close_ws(LINK);
	wire_expect(WIRE, OP_TEXT, true, "last", 4);
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
}

/* What is not a message does not count. */
CASE(ending, close_with_part_of_a_message)
{
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "not");
	put(OUT, .opcode = OP_PONG, .text = "read");
	put(OUT, .opcode = OP_CONTINUATION, .text = "complete", .announce = 100);
	peer_write(LINK);
	peer_settle(LINK);
	link_close_ws(LINK);
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
}

/* Row 56 */
CASE(ending, row56_close_with_unread_message)
{
	put(OUT, .opcode = OP_TEXT, .text = "read");
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	peer_write(LINK);
	peer_settle(LINK);
	expect_text(LINK, "read");
	link_close_ws(LINK);
	wire_expect_reset(WIRE);
}

CASE(ending, row56_close_with_message_read_in_part)
{
	char buffer[3];

	put(OUT, .opcode = OP_TEXT, .text = "some of it");
	peer_write(LINK);
	equal(3, ws_receive(LINK, buffer, 3, 0).n);
	link_close_ws(LINK);
	wire_expect_reset(WIRE);
}

/* Row 9: an abort stays one. */
CASE(ending, row9_linger_0)
{
	struct linger now = { .l_onoff = 1 };

	must(setsockopt(self->link.ws, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	link_close_ws(LINK);
	wire_expect_reset(WIRE);
}

CASE(ending, close_after_the_handshake)
{
	put_close(OUT, 3000, "");
	peer_write(LINK);
	expect_end(LINK, 3000);
	link_close_ws(LINK);
	wire_expect_close(WIRE, 3000);
	wire_expect_end(WIRE);
}

/* The Close was sent when it failed; garbage that came after is not unread messages. */
CASE(ending, close_after_a_failure)
{
	put(OUT, .opcode = 3, .text = "broken");
	put(OUT, .opcode = OP_TEXT, .text = "not looked at");
	peer_write(LINK);
	expect_error(LINK, EPROTO);
	peer_settle(LINK);
	link_close_ws(LINK);
	wire_expect_close(WIRE, 1002);
	wire_expect_end(WIRE);
}

CASE(ending, close_of_an_open_message)
{
	equal(4, ws_send(self->link.ws, OP_BINARY, "open", 4, MSG_MORE));
	link_close_ws(LINK);
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.opcode != OP_CLOSE);
	wire_expect_end(WIRE);
}

static int wait_for_ever(void *argument)
{
	(void)argument;
	pause();
	return 0;
}

/* Goes when the other end of the pipe has been closed. */
static int leave(void *argument)
{
	int *pipe_fds = argument;
	char byte;

	close(pipe_fds[1]);
	equal(0, read(pipe_fds[0], &byte, 1));
	return 3;
}

/* 1001: going away. */
CASE(ending, killed_process)
{
	pid_t pid = spawn(wait_for_ever, NULL);

	link_close_ws(LINK);
	must(kill(pid, SIGKILL));
	equal(128 + SIGKILL, reap(pid));
	wire_expect_close(WIRE, 1001);
	wire_expect_end(WIRE);
}

CASE(ending, exiting_process)
{
	int pipe_fds[2];
	pid_t pid;

	must(pipe(pipe_fds));
	pid = spawn(leave, pipe_fds);
	link_close_ws(LINK);
	close(pipe_fds[1]);
	equal(3, reap(pid));
	close(pipe_fds[0]);
	wire_expect_close(WIRE, 1001);
	wire_expect_end(WIRE);
}

SELFTEST_MAIN
