// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving whole messages, however their bytes arrive: opcodes, the WEBSOCKET_MSG record and its frame_left, MSG_EOR,
 * small buffers, read(), readv(), recvmmsg(), MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, bad buffers, empty messages with and
 * without a control buffer, and the counts of WEBSOCKET_INFO.
 * Lengths are in sizes.c, fragments in fragments.c, messages that TCP cannot hold in stream.c.
 * time limit: 240 s
 */
#include <sys/mman.h>
#include <sys/uio.h>

#include "shapes.h"

FIXTURE_ALL_SHAPES(receive);

static void ready(struct link *l)
{
	if (l->shape.nonblocking)
		ws_wait(l->ws, POLLIN);
}

CASE(receive, text_and_binary)
{
	put(OUT, .opcode = OP_TEXT, .text = "Grüße");
	put(OUT, .opcode = OP_BINARY, .payload = "\0\377\200", .len = 3);
	put(OUT, .opcode = OP_TEXT, .text = "end");
	peer_feed(LINK);
	expect_text(LINK, "Grüße");
	expect_message(LINK, OP_BINARY, "\0\377\200", 3);
	expect_text(LINK, "end");
	peer_fed(LINK);
	expect_nothing(LINK);
}

CASE(receive, row32_empty_between_two)
{
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_TEXT);
	put(OUT, .opcode = OP_BINARY, .text = "two");
	put(OUT, .opcode = OP_PING);
	put(OUT, .opcode = OP_BINARY);
	put(OUT, .opcode = OP_BINARY, .text = "three");
	peer_feed(LINK);
	expect_text(LINK, "one");
	expect_text(LINK, "");
	expect_message(LINK, OP_BINARY, "two", 3);
	expect_message(LINK, OP_BINARY, "", 0);
	expect_message(LINK, OP_BINARY, "three", 5);
	peer_fed(LINK);
	expect_nothing(LINK);
	wire_expect(WIRE, OP_PONG, true, "", 0);
	equal(0, ws_info(self->link.ws).skipped_messages);
}

CASE(receive, empty_ones_skipped_without_control_buffer)
{
	char buffer[16];

	put(OUT, .opcode = OP_TEXT);
	put(OUT, .opcode = OP_BINARY);
	put(OUT, .opcode = OP_TEXT, .text = "seen");
	put(OUT, .opcode = OP_TEXT);
	put(OUT, .opcode = OP_TEXT, .text = "too");
	peer_feed(LINK);
	if (variant->shape.nonblocking)	/* an empty message makes readable, and then there is none */
		peer_fed(LINK);
	ready(LINK);
	equal(4, recv(self->link.ws, buffer, sizeof(buffer), 0));
	equal(3, recv(self->link.ws, buffer, sizeof(buffer), 0));
	refuses(EAGAIN, recv(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT));
	if (!variant->shape.nonblocking)
		peer_fed(LINK);
	equal(3, ws_info(self->link.ws).skipped_messages);
	equal(5, ws_info(self->link.ws).rx_messages);
}

/* frame_left: what is unread of the frame, not of the message. */
CASE(receive, record_of_each_part)
{
	static const struct { size_t room, n, left; bool end; } steps[] = {
		{ 30, 30, 70, false }, { 69, 69, 1, false }, { 1, 1, 0, false },
		{ 10, 10, 40, false }, { 40, 40, 0, true },
	};
	unsigned char *bytes = new_pattern(150, 1), buffer[150];
	size_t i, have = 0;
	struct received r;

	put(OUT, .opcode = OP_BINARY, .more = true, .payload = bytes, .len = 100);
	put(OUT, .opcode = OP_CONTINUATION, .payload = bytes + 100, .len = 50);
	peer_feed(LINK);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		r = ws_receive(LINK, buffer, steps[i].room, 0);
		equal(steps[i].n, r.n);
		check(!memcmp(buffer, bytes + have, r.n));
		have += r.n;
		check(r.has_record);
		equal(OP_BINARY, r.record.opcode);
		equal((i ? 0 : WEBSOCKET_MSG_BEGIN) | (steps[i].end ? WEBSOCKET_MSG_END : 0), r.record.flags);
		if (have != 100)	/* between two frames: of the one or of the other */
			equal(steps[i].left, r.record.frame_left);
		equal(steps[i].end ? MSG_EOR : 0, r.flags & MSG_EOR);
	}
	peer_fed(LINK);
	expect_nothing(LINK);
	free(bytes);
}

CASE(receive, small_buffers)
{
	static const size_t rooms[] = { 1, 7, 64, 299, 300 };
	unsigned char *bytes = new_pattern(300, 2);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rooms); i++)
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 300);
	put(OUT, .opcode = OP_TEXT, .text = "next");
	peer_feed(LINK);
	for (i = 0; i < ARRAY_SIZE(rooms); i++)
		expect_parts(LINK, OP_BINARY, bytes, 300, rooms[i]);
	expect_text(LINK, "next");
	peer_fed(LINK);
	free(bytes);
}

CASE(receive, plain_read)
{
	char buffer[100];

	put(OUT, .opcode = OP_TEXT, .text = "first");
	put(OUT, .opcode = OP_BINARY, .text = "second");
	peer_feed(LINK);
	ready(LINK);
	equal(5, read(self->link.ws, buffer, sizeof(buffer)));
	check(!memcmp(buffer, "first", 5));
	ready(LINK);
	equal(3, recv(self->link.ws, buffer, 3, 0));
	equal(3, recv(self->link.ws, buffer + 3, sizeof(buffer), 0));
	check(!memcmp(buffer, "second", 6));
	peer_fed(LINK);
}

CASE(receive, many_iovecs)
{
	unsigned char *bytes = new_pattern(1000, 3), buffer[1000];
	struct iovec iov[100];
	size_t i, at = 0;

	for (i = 0; i < 100; i++) {
		iov[i] = (struct iovec){ buffer + at, i % 3 ? i % 13 : 0 };
		at += iov[i].iov_len;
	}
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = at);
	put(OUT, .opcode = OP_TEXT, .text = "next");
	peer_feed(LINK);
	ready(LINK);
	equal(at, readv(self->link.ws, iov, 100));
	check(!memcmp(bytes, buffer, at));
	expect_text(LINK, "next");
	peer_fed(LINK);
	free(bytes);
}

/* Row 34: peeking shows the beginning of the next message, of no other, and changes nothing. */
CASE(receive, row34_peek)
{
	struct websocket_info before, after;
	struct received r;
	char buffer[32];
	size_t k;

	put(OUT, .opcode = OP_TEXT, .more = true, .text = "peek");
	put(OUT, .opcode = OP_CONTINUATION, .text = "aboo");
	put(OUT, .opcode = OP_BINARY, .text = "another");
	peer_feed(LINK);
	peer_fed(LINK);
	peer_settle(LINK);
	before = ws_info(self->link.ws);
	for (k = 1; k <= 12; k++) {
		memset(buffer, 0, sizeof(buffer));
		r = ws_receive(LINK, buffer, k, MSG_PEEK);
		equal(k < 8 ? k : 8, r.n);
		check(!memcmp(buffer, "peekaboo", r.n));
		equal(OP_TEXT, r.record.opcode);
		equal(WEBSOCKET_MSG_BEGIN | (k < 8 ? 0 : WEBSOCKET_MSG_END), r.record.flags);
		equal(k < 8 ? 0 : MSG_EOR, r.flags & MSG_EOR);
		if (k != 4)	/* at a frame's end: of this one or of the next */
			equal(k < 4 ? 4 - k : k < 8 ? 8 - k : 0, r.record.frame_left);
	}
	after = ws_info(self->link.ws);
	check(!memcmp(&before, &after, sizeof(before)));
	r = ws_receive(LINK, buffer, 3, 0);
	equal(3, r.n);
	for (k = 1; k <= 6; k++) {
		r = ws_receive(LINK, buffer, k, MSG_PEEK);
		equal(k < 5 ? k : 5, r.n);
		check(!memcmp(buffer, "kaboo", r.n));
		equal(k < 5 ? 0 : WEBSOCKET_MSG_END, r.record.flags);
	}
	r = ws_receive(LINK, buffer, sizeof(buffer), 0);
	equal(5, r.n);
	expect_message(LINK, OP_BINARY, "another", 7);
}

CASE(receive, dontwait_before_the_last_byte)
{
	size_t len;

	put(OUT, .opcode = OP_TEXT, .text = "not yet");
	len = self->link.out.len;
	self->link.out.len--;
	peer_write(LINK);
	peer_settle(LINK);
	expect_nothing(LINK);
	peer_write_raw(LINK, self->link.out.bytes + len - 1, 1);
	peer_settle(LINK);
	check(ws_poll(self->link.ws) & POLLIN);
	expect_text(LINK, "not yet");
	expect_nothing(LINK);
}

CASE(receive, waitall_ends_with_the_message)
{
	struct received r;
	char buffer[64];

	put(OUT, .opcode = OP_TEXT, .more = true, .text = "first ");
	put(OUT, .opcode = OP_PING, .text = "between");
	put(OUT, .opcode = OP_CONTINUATION, .text = "last");
	put(OUT, .opcode = OP_TEXT, .text = "next one");
	peer_feed(LINK);
	r = ws_receive(LINK, buffer, sizeof(buffer), MSG_WAITALL);
	equal(10, r.n);
	equal(MSG_EOR, r.flags & MSG_EOR);
	check(!memcmp(buffer, "first last", 10));
	r = ws_receive(LINK, buffer, 5, MSG_WAITALL);
	equal(5, r.n);
	equal(0, r.flags & MSG_EOR);
	r = ws_receive(LINK, buffer, 5, MSG_WAITALL);
	equal(3, r.n);
	equal(MSG_EOR, r.flags & MSG_EOR);
	check(!memcmp(buffer, "one", 3));
	peer_fed(LINK);
}

CASE(receive, recvmmsg_one_message_each)
{
	char buffers[5][16], control[5][64];
	struct iovec iov[5];
	struct mmsghdr m[5];
	int i;

	memset(m, 0, sizeof(m));
	for (i = 0; i < 5; i++) {
		iov[i] = (struct iovec){ buffers[i], 16 };
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
		m[i].msg_hdr.msg_control = control[i];
		m[i].msg_hdr.msg_controllen = 64;
		put(OUT, .opcode = OP_TEXT, .payload = "xxxx", .len = i);
	}
	peer_feed(LINK);
	if (variant->shape.nonblocking)
		peer_fed(LINK);
	equal(5, recvmmsg(self->link.ws, m, 5, 0, NULL));
	for (i = 0; i < 5; i++) {
		equal(i, m[i].msg_len);
		equal(MSG_EOR, m[i].msg_hdr.msg_flags & ~MSG_CMSG_CLOEXEC);
	}
	if (!variant->shape.nonblocking)
		peer_fed(LINK);
}

CASE(receive, control_buffer_too_small)
{
	char buffer[16], control[20];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };

	put(OUT, .opcode = OP_TEXT, .text = "still whole");
	put(OUT, .opcode = OP_TEXT, .text = "next");
	peer_feed(LINK);
	ready(LINK);
	equal(11, recvmsg(self->link.ws, &h, 0));
	equal(MSG_EOR | MSG_CTRUNC, h.msg_flags);
	expect_text(LINK, "next");
	peer_fed(LINK);
}

/* A buffer without room takes nothing away. */
CASE(receive, row32_no_room)
{
	struct received r;
	char buffer[1];

	put(OUT, .opcode = OP_TEXT, .text = "stays");
	peer_feed(LINK);
	peer_fed(LINK);
	peer_settle(LINK);
	ready(LINK);
	r = ws_recvmsg(self->link.ws, buffer, 0, MSG_DONTWAIT);
	equal(0, r.n);
	equal(0, r.flags & MSG_EOR);
	equal(OP_TEXT, r.record.opcode);
	equal(5, r.record.frame_left);
	expect_text(LINK, "stays");
}

/* Row 36: the second half of the buffer cannot be written. */
CASE(receive, row36_bad_buffer)
{
	char *page = must(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	unsigned char *bytes = new_pattern(400, 4);
	struct received r;
	ssize_t had;

	must(mprotect(page + 4096, 4096, PROT_NONE));
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 400);
	put(OUT, .opcode = OP_TEXT, .text = "next");
	peer_feed(LINK);
	r = ws_receive(LINK, page + 4096 - 101, 400, 0);
	if (r.n == -1)
		equal(EFAULT, r.error);
	else
		check(r.n <= 101 && !(r.flags & MSG_EOR) && !memcmp(bytes, page + 4096 - 101, r.n));
	had = r.n > 0 ? r.n : 0;
	r = ws_receive(LINK, page + 4096, 100, 0);
	equal(-1, r.n);
	equal(EFAULT, r.error);
	r = ws_receive(LINK, page, 4096, 0);
	equal(400 - had, r.n);
	equal(MSG_EOR, r.flags & MSG_EOR);
	check(!memcmp(bytes + had, page, r.n));
	expect_text(LINK, "next");
	peer_fed(LINK);
	free(bytes);
}

CASE(receive, counted)
{
	struct websocket_info info;

	put(OUT, .opcode = OP_TEXT, .text = "12345");
	put(OUT, .opcode = OP_PING, .text = "not data");
	put(OUT, .opcode = OP_BINARY, .more = true, .text = "123");
	put(OUT, .opcode = OP_PONG);
	put(OUT, .opcode = OP_CONTINUATION, .more = true);
	put(OUT, .opcode = OP_CONTINUATION, .text = "4");
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "open");
	peer_feed(LINK);
	peer_fed(LINK);
	peer_settle(LINK);
	info = ws_info(self->link.ws);
	equal(2, info.rx_messages);
	equal(5, info.rx_frames);
	equal(13, info.rx_bytes);
	equal(1, info.rx_pings);
	equal(1, info.rx_pongs);
	equal(1, info.tx_pongs);
	equal(4, info.partial_bytes);
	check(info.unread_bytes >= 9);
	expect_text(LINK, "12345");
	expect_message(LINK, OP_BINARY, "1234", 4);
	info = ws_info(self->link.ws);
	equal(2, info.rx_messages);
	equal(0, info.unread_bytes);
	equal(4, info.partial_bytes);
	equal(0, info.skipped_messages);
	expect_nothing(LINK);
}

SELFTEST_MAIN
