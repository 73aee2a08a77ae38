// SPDX-License-Identifier: GPL-2.0
/* What the receive buffer does for a large message behind another one that is not read yet. */
#include <pthread.h>

#include "shapes.h"

FIXTURE_WITH_LINK(behind)
SHAPE(behind, server, SEGMENT_ALL, IPV4, false, false);
SHAPE(behind, client, SEGMENT_ALL, IPV6, false, true);

static void *feed(void *argument)
{
	peer_write(argument);
	return NULL;
}

/*
 * A small message is left unread until a large one behind it has used up the window, and the peer looks seldom whether it has opened: when
 * the small one is read the peer is told so.
 */
CASE(behind, small_message_before_a_large_one)
{
	enum { LEN = 4 << 20 };
	unsigned char *bytes = new_pattern(LEN, 98);
	pthread_t thread;
	double start;

	link_configure(LINK, &(struct websocket_config){ .flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0,
							 .max_message = LEN });
	put(OUT, .opcode = OP_TEXT, .text = "small");
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = LEN);
	check(!pthread_create(&thread, NULL, feed, LINK));
	usleep(4000000);
	expect_text(LINK, "small");
	start = seconds();
	expect_parts(LINK, OP_BINARY, bytes, LEN, LEN);
	if (seconds() - start > 2)
		fail("it took %.1f s", seconds() - start);
	check(!pthread_join(thread, NULL));
	free(bytes);
}

static void *peek(void *argument)
{
	static char buffer[16];
	struct link *l = argument;

	/* without room for a record: the empty one is not shown */
	check(recv(l->ws, buffer, sizeof(buffer), MSG_PEEK) > 0);
	return NULL;
}

/* Behind an empty message, which MSG_PEEK does not show, one comes that the buffer cannot hold. */
CASE(behind, row34_peek_waits_for_a_large_message)
{
	enum { LEN = 16 << 20 };
	unsigned char *bytes = new_pattern(LEN, 99);
	pthread_t threads[2];

	link_configure(LINK, &(struct websocket_config){ .flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0,
							 .max_message = LEN });
	put(OUT, .opcode = OP_TEXT);
	peer_write(LINK);
	peer_settle(LINK);
	check(!pthread_create(threads, NULL, peek, LINK));
	usleep(100000);
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = LEN);
	check(!pthread_create(threads + 1, NULL, feed, LINK));
	check(!pthread_join(threads[0], NULL));
	expect_message(LINK, OP_TEXT, "", 0);
	expect_parts(LINK, OP_BINARY, bytes, LEN, 1 << 20);
	check(!pthread_join(threads[1], NULL));
	free(bytes);
}

SELFTEST_MAIN
