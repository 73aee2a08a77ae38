// SPDX-License-Identifier: GPL-2.0
/*
 * A message pattern of 1 byte to 8 MiB, echoed by a reader and writer of the socket under test, comes back intact under
 * every segmentation: with buffers of many sizes, in one piece or as the parts came.
 * time limit: 240 s
 */
#include "shapes.h"

FIXTURE(echo) { struct link link; };
FIXTURE_VARIANT(echo) { struct shape shape; };
SHAPE(echo, whole, SEGMENT_FRAME, IPV4, false, false);
SHAPE(echo, bytewise, SEGMENT_BYTE, IPV4, false, false);
SHAPE(echo, seven, SEGMENT_SEVEN, IPV6, false, false);
SHAPE(echo, header, SEGMENT_HEADER, IPV4, true, false);
SHAPE(echo, together, SEGMENT_ALL, IPV6, true, false);
SHAPE(echo, whole_client, SEGMENT_FRAME, IPV4, true, true);
SHAPE(echo, bytewise_client, SEGMENT_BYTE, IPV6, false, true);
SHAPE(echo, seven_client, SEGMENT_SEVEN, IPV4, true, true);
SHAPE(echo, header_client, SEGMENT_HEADER, IPV6, false, true);
SHAPE(echo, together_client, SEGMENT_ALL, IPV4, false, true);

FIXTURE_SETUP(echo)
{
	link_open(LINK, &variant->shape);
	link_start(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_NO_UTF8,
						     .max_message = WEBSOCKET_NO_LIMIT });
}

FIXTURE_TEARDOWN(echo)
{
	link_close(LINK);
}

static const size_t sizes[] = {
	1, 2, 3, 5, 17, 124, 125, 126, 127, 128, 1000, 4095, 4096, 4097, 16384, 32767, 65535, 65536, 70000, 200000,
	1 << 20, 3 << 20, 8 << 20,
};

struct job {
	struct link	*link;
	size_t		from, to;
	size_t		room;
	bool		fragment;	/* the peer's messages are in several frames */
};

static __u8 opcode(size_t i)
{
	return i % 2 ? OP_BINARY : OP_TEXT;
}

static void put_message(struct stream *s, size_t i, bool fragment)
{
	size_t len = sizes[i], cut = fragment ? len / 3 : len;
	unsigned char *bytes = new_pattern(len, i);

	put(s, .opcode = opcode(i), .more = fragment, .payload = bytes, .len = cut);
	if (fragment) {
		put(s, .opcode = OP_CONTINUATION, .more = true, .payload = bytes + cut, .len = cut);
		put(s, .opcode = OP_CONTINUATION, .payload = bytes + 2 * cut, .len = len - 2 * cut);
	}
	free(bytes);
}

/* The socket under test, in a thread: what comes is sent back as it comes. */
static void *echo(void *argument)
{
	struct job *job = argument;
	unsigned char *buffer = malloc(job->room);
	struct received r;
	size_t i, at;
	bool first;

	for (i = job->from; i < job->to; i++) {
		first = true;
		do {
			r = ws_receive(job->link, buffer, job->room, 0);
			if (r.n < 0 || !r.has_record || r.record.opcode != opcode(i))
				fail("message %zu: %zd, %s, opcode %u", i, r.n, error_name(r.error),
				     r.record.opcode);
			at = 0;
			do {
				at += must(ws_send(job->link->ws, first ? r.record.opcode : 0, buffer + at, r.n - at,
						   r.flags & MSG_EOR ? 0 : MSG_MORE));
				first = false;
			} while (at < (size_t)r.n);
		} while (!(r.flags & MSG_EOR));
	}
	free(buffer);
	return NULL;
}

static void run(struct job *job)
{
	pthread_t thread;
	size_t i;

	for (i = job->from; i < job->to; i++)
		put_message(&job->link->out, i, job->fragment);
	peer_feed(job->link);
	check(!pthread_create(&thread, NULL, echo, job));
	for (i = job->from; i < job->to; i++) {
		unsigned char *bytes = new_pattern(sizes[i], i);

		wire_expect_message(&job->link->wire, opcode(i), bytes, sizes[i]);
		free(bytes);
	}
	peer_fed(job->link);
	check(!pthread_join(thread, NULL));
	expect_nothing(job->link);
}

CASE(echo, up_to_200000)
{
	run(&(struct job){ LINK, 0, 20, 1 << 20, false });
}

CASE(echo, up_to_200000_in_fragments_and_small_buffers)
{
	run(&(struct job){ LINK, 0, 19, 999, true });
}

CASE(echo, up_to_8_mib)
{
	run(&(struct job){ LINK, 20, ARRAY_SIZE(sizes), 8 << 20, false });
}

CASE(echo, up_to_8_mib_in_fragments)
{
	run(&(struct job){ LINK, 20, ARRAY_SIZE(sizes), 100000, true });
}

SELFTEST_MAIN
