// SPDX-License-Identifier: GPL-2.0
/*
 * Much is sent, and pings come meanwhile: between two pongs, and in the middle of a frame. time limit: 600 s
 */
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "shapes.h"

struct sink { int fd; bool stop; };

/* Takes what comes and does not look at it. */
static void *sink(void *argument)
{
	static char nowhere[1 << 20];
	struct sink *s = argument;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
		if (recv(s->fd, nowhere, sizeof(nowhere), MSG_TRUNC | MSG_DONTWAIT) < 0)
			poll(&(struct pollfd){ .fd = s->fd, .events = POLLIN }, 1, 10);
	return NULL;
}

/* Between two pings more is sent than half of TCP's sequence numbers: the pongs before are not on their way again. */
FIXTURE(far) { struct link link; };
FIXTURE_SETUP(far) { link_start_default(LINK, &(struct shape){ .segmentation = SEGMENT_ALL, .family = IPV4 }); }
FIXTURE_TEARDOWN(far) { link_close(LINK); }

TEST_F_TIMEOUT(far, pings_two_gigabytes_apart, 300)
{
	enum { PIECE = 1 << 20, PIECES = 2060 };
	unsigned char *bytes = new_pattern(PIECE, 96);
	struct sink s = { .fd = self->link.peer };
	pthread_t thread;
	int i, left;

	for (i = 0; i < 16; i++)
		put(OUT, .opcode = OP_PING, .text = "ping");
	peer_write(LINK);
	for (i = 0; i < 16; i++)
		wire_expect(WIRE, OP_PONG, true, "ping", 4);
	check(!pthread_create(&thread, NULL, sink, &s));
	for (i = 0; i < PIECES; i++)
		equal(PIECE, ws_send(self->link.ws, OP_BINARY, bytes, PIECE, 0));
	do
		must(ioctl(self->link.ws, SIOCOUTQ, &left));
	while (left);
	do
		must(ioctl(self->link.peer, SIOCINQ, &left));
	while (left);
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	check(!pthread_join(thread, NULL));
	put(OUT, .opcode = OP_PING, .text = "pong?");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "pong?", 5);
	free(bytes);
}

static void *ping_on_and_on(void *argument)
{
	static const unsigned char ping[6] = { 0x80 | OP_PING, 0x80 };
	struct sink *s = argument;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		struct pollfd p = { .fd = s->fd, .events = POLLOUT };

		if (send(s->fd, ping, sizeof(ping), MSG_DONTWAIT) < 0)
			poll(&p, 1, 10);
	}
	return NULL;
}

/*
 * In 6.12 and 7.3 TCP works off the backlog and calls release_cb inside its sendmsg(): nothing of ours may be sent there, for it would
 * stand in the middle of the frame.
 */
TEST_F_TIMEOUT(far, pings_while_tcp_takes_a_large_frame, 300)
{
	enum { PIECE = 1 << 20, PIECES = 300 };
	unsigned char *bytes = new_pattern(PIECE, 97);
	struct sink s = { .fd = self->link.peer }, pings = s;
	pthread_t reader, pinger;
	int i;

	check(!pthread_create(&reader, NULL, sink, &s));
	check(!pthread_create(&pinger, NULL, ping_on_and_on, &pings));
	for (i = 0; i < PIECES; i++)
		equal(PIECE, ws_send(self->link.ws, OP_BINARY, bytes, PIECE, MSG_NOSIGNAL));
	__atomic_store_n(&pings.stop, true, __ATOMIC_RELAXED);
	check(!pthread_join(pinger, NULL));
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	check(!pthread_join(reader, NULL));
	free(bytes);
}

SELFTEST_MAIN
