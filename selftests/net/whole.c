// SPDX-License-Identifier: GPL-2.0
/*
 * Whole messages, which the module examines, receives and sends in one go (kmod/whole.c): where that way ends and the long one
 * has to go on, and what may happen between two messages that go it.
 */
#include <linux/sock_diag.h>

#include "shapes.h"

FIXTURE_ROLES(whole);

#define MESSAGES	40
#define LEN		1000	/* together more than the 32 KiB in which the peer's bytes lie in one piece */

/* A batch does not end where a piece of the receive queue does. */
CASE(whole, batch_of_several_pieces)
{
	unsigned char *bytes = new_pattern(MESSAGES * LEN, 7), *got = calloc(MESSAGES, LEN);
	char control[CMSG_SPACE(WEBSOCKET_BATCH_MAX * sizeof(struct websocket_batch))];
	struct iovec iov = { got, MESSAGES * LEN };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct websocket_batch *batch;
	int i;

	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_BATCH });
	for (i = 0; i < MESSAGES; i++)
		put(OUT, .opcode = OP_BINARY, .payload = bytes + i * LEN, .len = LEN);
	peer_write(LINK);
	peer_settle(LINK);
	equal(MESSAGES * LEN, recvmsg(self->link.ws, &h, 0));
	equal(CMSG_LEN(MESSAGES * sizeof(*batch)), CMSG_FIRSTHDR(&h)->cmsg_len);
	batch = (void *)CMSG_DATA(CMSG_FIRSTHDR(&h));
	for (i = 0; i < MESSAGES; i++)
		equal(LEN, batch[i].len);
	check(!memcmp(got, bytes, MESSAGES * LEN));
	free(bytes);
	free(got);
}

/* A ping that was answered stands behind a message, and goes with it: nothing is kept. */
CASE(whole, answered_ping_behind_a_message)
{
	__u32 memory[SK_MEMINFO_VARS];
	socklen_t len = sizeof(memory);

	put(OUT, .opcode = OP_TEXT, .text = "message");
	put(OUT, .opcode = OP_PING, .text = "ping");
	peer_write(LINK);
	peer_settle(LINK);
	wire_expect(WIRE, OP_PONG, true, "ping", 4);
	expect_text(LINK, "message");
	must(getsockopt(self->link.ws, SOL_SOCKET, SO_MEMINFO, memory, &len));
	equal(0, memory[SK_MEMINFO_RMEM_ALLOC]);
}

/* Answers that are held back lie in memory where the next frame that the same task sends, on any socket, comes to lie behind them. */
CASE(whole, answers_held_while_another_socket_sends)
{
	struct link other;
	int i;

	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_CORK });
	link_start_default(&other, &variant->shape);
	for (i = 0; i < 4; i++)
		put(OUT, .opcode = OP_TEXT, .text = "question");
	peer_write(LINK);
	peer_settle(LINK);
	for (i = 0; i < 4; i++) {
		expect_text(LINK, "question");
		equal(6, ws_send(self->link.ws, OP_TEXT, "answer", 6, 0));
		equal(5, ws_send(other.ws, OP_TEXT, "other", 5, 0));
	}
	for (i = 0; i < 4; i++) {
		wire_expect(WIRE, OP_TEXT, true, "answer", 6);
		wire_expect(&other.wire, OP_TEXT, true, "other", 5);
	}
	link_close(&other);
}

/* Short and long ones in one batch, to every length at which a word, a header or a block ends. */
CASE(whole, lengths_in_one_batch)
{
	static const unsigned int lens[] = { 0, 1, 7, 8, 9, 15, 16, 17, 124, 125, 126, 127, 128, 129, 255, 256, 257, 4095, 1, 125, 126 };
	char control[CMSG_SPACE(sizeof(lens) / sizeof(lens[0]) * sizeof(struct websocket_batch))] __attribute__((aligned(8))) = { 0 };
	struct websocket_batch *batch = (void *)CMSG_DATA((struct cmsghdr *)control);
	unsigned int i, sum = 0, n = sizeof(lens) / sizeof(lens[0]);
	unsigned char *bytes = new_pattern(8192, 11);
	struct iovec iov = { bytes, 0 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

	*(struct cmsghdr *)control = (struct cmsghdr){ CMSG_LEN(n * sizeof(*batch)), SOL_WEBSOCKET, WEBSOCKET_BATCH };
	for (i = 0; i < n; i++) {
		batch[i] = (struct websocket_batch){ .len = lens[i], .opcode = OP_BINARY };
		sum += lens[i];
	}
	iov.iov_len = sum;
	equal(sum, sendmsg(self->link.ws, &h, 0));
	for (i = 0, sum = 0; i < n; sum += lens[i++])
		wire_expect(WIRE, OP_BINARY, true, bytes + sum, lens[i]);
	free(bytes);
}

SELFTEST_MAIN
