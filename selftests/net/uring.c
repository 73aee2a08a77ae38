// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring on a message socket: receive and send, multishot receive into provided buffers, polls, cancellation, and the
 * zero-copy send that there is not. Each operation behaves as its system call does.
 */
#include <liburing.h>
#include <sys/eventfd.h>

#include "intact.h"

/* Linux 6.10, not in this header */
#ifndef IORING_RECVSEND_BUNDLE
#define IORING_RECVSEND_BUNDLE	(1U << 4)
#endif

FIXTURE(uring) { struct link link; struct io_uring ring; };
FIXTURE_VARIANT(uring) { struct shape shape; };
#ifdef OVER_TLS
SHAPE(uring, tls12_server, SEGMENT_FRAME, IPV4, false, false, .tls = TLS_1_2_VERSION);
SHAPE(uring, tls13_client, SEGMENT_FRAME, IPV6, false, true, .tls = TLS_1_3_VERSION);
#else
SHAPE(uring, server_v4, SEGMENT_FRAME, IPV4, false, false);
SHAPE(uring, server_v6, SEGMENT_FRAME, IPV6, false, false);
SHAPE(uring, client_v4, SEGMENT_FRAME, IPV4, false, true);
SHAPE(uring, client_v6, SEGMENT_FRAME, IPV6, false, true);
#endif

FIXTURE_SETUP(uring)
{
	int error;

	link_start_default(LINK, &variant->shape);
	error = io_uring_queue_init(16, &self->ring, 0);
	if (error)
		fail("io_uring_queue_init: %s", error_name(-error));
}

FIXTURE_TEARDOWN(uring)
{
	io_uring_queue_exit(&self->ring);
	link_close(LINK);
}

static struct io_uring_sqe *next(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	check(sqe);
	return sqe;
}

/* Waits for one completion; its result, and its flags if they are wanted. */
static int result(struct io_uring *ring, unsigned int *flags)
{
	struct __kernel_timespec limit = { .tv_sec = 30 };
	struct io_uring_cqe *cqe;
	int res = io_uring_wait_cqe_timeout(ring, &cqe, &limit);

	if (res)
		fail("no completion: %s", error_name(-res));
	res = cqe->res;
	if (flags)
		*flags = cqe->flags;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

static int now(struct io_uring *ring)
{
	equal(1, io_uring_submit(ring));
	return result(ring, NULL);
}

CASE(uring, recv)
{
	char buffer[64];

	/* before it comes: the request sleeps in the kernel, through half a message and a ping */
	io_uring_prep_recv(next(&self->ring), self->link.ws, buffer, sizeof(buffer), 0);
	equal(1, io_uring_submit(&self->ring));
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "half ");
	put(OUT, .opcode = OP_PING, .text = "ping");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "ping", 4);
	equal(0, io_uring_cq_ready(&self->ring));
	put(OUT, .opcode = OP_CONTINUATION, .text = "whole");
	put(OUT, .opcode = OP_TEXT, .text = "next");
	peer_write(LINK);
	equal(10, result(&self->ring, NULL));
	check(!memcmp(buffer, "half whole", 10));
	ws_wait(self->link.ws, POLLIN);
	io_uring_prep_recv(next(&self->ring), self->link.ws, buffer, 2, 0);
	equal(2, now(&self->ring));
	io_uring_prep_recv(next(&self->ring), self->link.ws, buffer, 16, MSG_OOB);
	equal(-EOPNOTSUPP, now(&self->ring));
	io_uring_prep_recv(next(&self->ring), self->link.ws, buffer + 2, 16, MSG_DONTWAIT);
	equal(2, now(&self->ring));
	check(!memcmp(buffer, "next", 4));
	io_uring_prep_recv(next(&self->ring), self->link.ws, buffer, 16, MSG_DONTWAIT);
	equal(-EAGAIN, now(&self->ring));
	intact(LINK);
}

/* A completion says whether something is left to read: a message, not a ping or a part of one. */
CASE(uring, more_to_read)
{
	unsigned int flags;
	char buffer[64];
	int i;

	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_TEXT, .text = "two");
	put(OUT, .opcode = OP_PING);
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "part");
	peer_write(LINK);
	peer_settle(LINK);
	for (i = 0; i < 2; i++) {
		io_uring_prep_recv(next(&self->ring), self->link.ws, buffer, sizeof(buffer), 0);
		equal(1, io_uring_submit(&self->ring));
		equal(3, result(&self->ring, &flags));
		equal(!i, !!(flags & IORING_CQE_F_SOCK_NONEMPTY));
	}
}

/* io_uring would put the next message behind a short one, until the buffer is full. */
CASE(uring, recv_waitall)
{
	char buffer[100];

	put(OUT, .opcode = OP_TEXT, .text = "short");
	peer_write(LINK);
	io_uring_prep_recv(next(&self->ring), self->link.ws, buffer, sizeof(buffer), MSG_WAITALL);
	equal(-EOPNOTSUPP, now(&self->ring));
	expect_text(LINK, "short");
}

CASE(uring, recvmsg_and_sendmsg)
{
	char buffer[64], control[CMSG_SPACE(sizeof(struct websocket_msg))] __attribute__((aligned(8)));
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = (struct cmsghdr *)control;

	put(OUT, .opcode = OP_TEXT, .text = "text");
	peer_write(LINK);
	io_uring_prep_recvmsg(next(&self->ring), self->link.ws, &h, 0);
	equal(4, now(&self->ring));
	check(h.msg_flags & MSG_EOR && c->cmsg_type == WEBSOCKET_MSG && *CMSG_DATA(c) == OP_TEXT);
	memset(control, 0, sizeof(control));
	c->cmsg_level = SOL_WEBSOCKET;
	c->cmsg_type = WEBSOCKET_OPCODE;
	c->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(c) = OP_TEXT;
	h.msg_controllen = CMSG_SPACE(1);
	iov.iov_len = 4;
	io_uring_prep_sendmsg(next(&self->ring), self->link.ws, &h, 0);
	equal(4, now(&self->ring));
	wire_expect(WIRE, OP_TEXT, true, "text", 4);
	intact(LINK);
}

CASE(uring, send)
{
	io_uring_prep_send(next(&self->ring), self->link.ws, "one", 3, MSG_MORE);
	equal(3, now(&self->ring));
	io_uring_prep_send(next(&self->ring), self->link.ws, "two", 3, 0);
	equal(3, now(&self->ring));
	io_uring_prep_write(next(&self->ring), self->link.ws, "three", 5, 0);
	equal(5, now(&self->ring));
	wire_expect_message(WIRE, OP_BINARY, "onetwo", 6);
	wire_expect(WIRE, OP_BINARY, true, "three", 5);
	intact(LINK);
}

/* It is tried, waits for room, and is tried again: with all of its payload. */
CASE(uring, ping_into_a_full_buffer)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(1)]; } control = { .head = {
		.cmsg_len = CMSG_LEN(1), .cmsg_level = SOL_WEBSOCKET, .cmsg_type = WEBSOCKET_OPCODE,
	} };
	struct iovec iov = { "a probe", 7 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(1) };
	unsigned char *bytes = new_pattern(100, 27);

	link_start_narrow(LINK, 16384);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	do
		while (ws_send(self->link.ws, OP_PING, bytes, 100, MSG_DONTWAIT) > 0)
			;
	while (!ws_stuck(LINK));
	*CMSG_DATA(&control.head) = OP_PING;
	io_uring_prep_sendmsg(next(&self->ring), self->link.ws, &h, 0);
	equal(1, io_uring_submit(&self->ring));
	if (io_uring_cq_ready(&self->ring))
		fail("there was room: %d", result(&self->ring, NULL));
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.len == 100);
	equal(7, self->link.wire.seen.len);
	check(!memcmp("a probe", self->link.wire.seen.payload, 7));
	equal(7, result(&self->ring, NULL));
	free(bytes);
}

/* Row 51 */
CASE(uring, row51_send_zc)
{
	io_uring_prep_send_zc(next(&self->ring), self->link.ws, "x", 1, 0, 0);
	equal(-EOPNOTSUPP, now(&self->ring));
	intact(LINK);
}

/* One recvmsg request for many messages, each completion in a buffer of its own, with its record. */
enum { BUFFERS = 8, ROOM = 256 };

struct multishot {
	struct msghdr			h;
	struct io_uring_buf_ring	*ring;
	unsigned char			*buffers;
};

static void buffers_start(struct multishot *m, struct io_uring *ring, int room)
{
	struct io_uring_buf_reg reg = { .ring_entries = BUFFERS, .bgid = 1 };
	unsigned int i;

	check(!posix_memalign((void **)&m->ring, 4096, 4096));
	check(!posix_memalign((void **)&m->buffers, 4096, BUFFERS * ROOM));
	reg.ring_addr = (unsigned long)m->ring;
	io_uring_buf_ring_init(m->ring);
	equal(0, io_uring_register_buf_ring(ring, &reg, 0));
	for (i = 0; i < BUFFERS; i++)
		io_uring_buf_ring_add(m->ring, m->buffers + i * ROOM, room, i, io_uring_buf_ring_mask(BUFFERS), i);
	io_uring_buf_ring_advance(m->ring, BUFFERS);
}

/* @how: IORING_RECVSEND_POLL_FIRST, or 0 */
static void multishot_start(struct multishot *m, struct io_uring *ring, int fd, int how)
{
	struct io_uring_sqe *sqe;

	m->h = (struct msghdr){ .msg_controllen = CMSG_SPACE(sizeof(struct websocket_msg)) };
	buffers_start(m, ring, ROOM);
	sqe = next(ring);
	io_uring_prep_recvmsg_multishot(sqe, fd, &m->h, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = 1;
	sqe->ioprio |= how;
	equal(1, io_uring_submit(ring));
}

static void multishot_free(struct multishot *m)
{
	free(m->buffers);
	free(m->ring);
}

/* The next completion, which is not the last one, brings this payload and a record of this type; the record. */
static void *multishot_take(struct multishot *m, struct io_uring *ring, const char *text, int type)
{
	struct io_uring_recvmsg_out *o;
	unsigned int flags;
	struct cmsghdr *c;
	int n = result(ring, &flags);

	check(n > 0 && flags & IORING_CQE_F_MORE && flags & IORING_CQE_F_BUFFER);
	o = io_uring_recvmsg_validate(m->buffers + (flags >> IORING_CQE_BUFFER_SHIFT) * ROOM, n, &m->h);
	check(o && o->flags & MSG_EOR);
	equal(strlen(text), io_uring_recvmsg_payload_length(o, n, &m->h));
	check(!memcmp(io_uring_recvmsg_payload(o, &m->h), text, strlen(text)));
	c = io_uring_recvmsg_cmsg_firsthdr(o, &m->h);
	check(c && c->cmsg_level == SOL_WEBSOCKET && c->cmsg_type == type);
	return CMSG_DATA(c);
}

/* The request ends: with the end of the stream, or with an empty message, which the kernel takes for it. */
static void multishot_ends(struct io_uring *ring)
{
	unsigned int flags;

	result(ring, &flags);
	check(!(flags & IORING_CQE_F_MORE));
}

/* Pitfall 27 */
CASE(uring, pitfall27_multishot_with_provided_buffers)
{
	static const char *const texts[] = { "one", "two two", "three three three" };
	struct multishot m;
	unsigned int i;

	multishot_start(&m, &self->ring, self->link.ws, 0);
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		put(OUT, .opcode = OP_TEXT, .text = texts[i]);
		peer_write(LINK);
		equal(OP_TEXT, *(unsigned char *)multishot_take(&m, &self->ring, texts[i], WEBSOCKET_MSG));
	}
	put_close(OUT, 1000, "");
	peer_write(LINK);
	multishot_ends(&self->ring);
	expect_end(LINK, 1000);
	multishot_free(&m);
}

/* Pitfall 27: message and end were there before it was asked for; nobody calls again. */
static void multishot_of_all(struct link *l, struct io_uring *ring, void (*end)(struct link *l))
{
	struct multishot m;

	put(&l->out, .opcode = OP_TEXT, .text = "last");
	peer_write(l);
	peer_settle(l);
	end(l);
	ws_wait(l->ws, POLLRDHUP);
	multishot_start(&m, ring, l->ws, IORING_RECVSEND_POLL_FIRST);
	equal(OP_TEXT, *(unsigned char *)multishot_take(&m, ring, "last", WEBSOCKET_MSG));
	multishot_ends(ring);
	multishot_free(&m);
}

static void fin(struct link *l)
{
	must(shutdown(l->peer, SHUT_WR));
}

CASE(uring, pitfall27_multishot_of_message_and_fin)
{
	multishot_of_all(LINK, &self->ring, fin);
}

CASE(uring, pitfall27_multishot_of_message_and_reset)
{
	multishot_of_all(LINK, &self->ring, link_reset_peer);
}

/* Messages that end with their buffer stay apart in a bundle. */
CASE(uring, pitfall27_bundle)
{
	struct multishot m;
	struct io_uring_sqe *sqe = next(&self->ring);
	int n;

	buffers_start(&m, &self->ring, 5);
	put(OUT, .opcode = OP_TEXT, .text = "first");
	put(OUT, .opcode = OP_TEXT, .text = "two");
	peer_write(LINK);
	peer_settle(LINK);
	io_uring_prep_recv_multishot(sqe, self->link.ws, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = 1;
	sqe->ioprio |= IORING_RECVSEND_BUNDLE;
	n = now(&self->ring);
	/* up to 6.9 there are none */
	if (n != -EINVAL) {
		equal(5, n);
		equal(3, result(&self->ring, NULL));
	}
	multishot_free(&m);
}

/* Pitfall 27: an empty message alone is the end of the request, in a batch with others it is not. */
CASE(uring, pitfall27_multishot_of_batches)
{
	static const struct websocket_batch want[] = {
		{ .opcode = OP_TEXT, .flags = WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END },
		{ .len = 3, .opcode = OP_BINARY, .flags = WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END },
	};
	struct multishot m;
	int i;

	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_BATCH });
	self->link.shape.segmentation = SEGMENT_ALL;
	multishot_start(&m, &self->ring, self->link.ws, 0);
	for (i = 0; i < 2; i++) {
		put(OUT, .opcode = OP_TEXT);
		put(OUT, .opcode = OP_BINARY, .text = "two");
		peer_write(LINK);
		check(!memcmp(multishot_take(&m, &self->ring, "two", WEBSOCKET_BATCH), want, sizeof(want)));
	}
	put(OUT, .opcode = OP_TEXT);
	peer_write(LINK);
	multishot_ends(&self->ring);
	link_configure(LINK, &(struct websocket_config){ 0 });
	intact(LINK);
	multishot_free(&m);
}

/* A batch comes by one request and goes back by another, as it is. */
CASE(uring, batch_there_and_back)
{
	char buffer[64], control[CMSG_SPACE(4 * sizeof(struct websocket_batch))] __attribute__((aligned(8)));
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };

	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_BATCH });
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY, .text = "two");
	put(OUT, .opcode = OP_TEXT);
	peer_write(LINK);
	peer_settle(LINK);
	io_uring_prep_recvmsg(next(&self->ring), self->link.ws, &h, 0);
	equal(6, now(&self->ring));
	check(h.msg_flags & MSG_EOR && CMSG_FIRSTHDR(&h)->cmsg_type == WEBSOCKET_BATCH);
	equal(CMSG_LEN(3 * sizeof(struct websocket_batch)), CMSG_FIRSTHDR(&h)->cmsg_len);
	iov.iov_len = 6;
	io_uring_prep_sendmsg(next(&self->ring), self->link.ws, &h, 0);
	equal(6, now(&self->ring));
	wire_expect(WIRE, OP_TEXT, true, "one", 3);
	wire_expect(WIRE, OP_BINARY, true, "two", 3);
	wire_expect(WIRE, OP_TEXT, true, "", 0);
	link_configure(LINK, &(struct websocket_config){ 0 });
	intact(LINK);
}

CASE(uring, poll)
{
	/* over TLS a program that has taken the last message is told of the next record before anybody knows what it is */
	put(OUT, .opcode = OP_TEXT, .text = "before");
	peer_write(LINK);
	expect_text(LINK, "before");
	io_uring_prep_poll_multishot(next(&self->ring), self->link.ws, POLLIN);
	equal(1, io_uring_submit(&self->ring));
	put(OUT, .opcode = OP_PING, .text = "ping");
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "half ");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "ping", 4);
	peer_settle(LINK);
	equal(0, io_uring_cq_ready(&self->ring));
	put(OUT, .opcode = OP_CONTINUATION, .text = "whole");
	peer_write(LINK);
	check(result(&self->ring, NULL) & POLLIN);
	expect_text(LINK, "half whole");
}

/* A request that is cancelled has taken nothing. */
CASE(uring, cancel)
{
	char buffer[64];
	struct io_uring_sqe *sqe = next(&self->ring);
	int a, b;

	io_uring_prep_recv(sqe, self->link.ws, buffer, sizeof(buffer), 0);
	io_uring_sqe_set_data64(sqe, 1);
	put(OUT, .opcode = OP_TEXT, .text = "half", .announce = 8);
	peer_write(LINK);
	equal(1, io_uring_submit(&self->ring));
	io_uring_prep_cancel64(next(&self->ring), 1, 0);
	equal(1, io_uring_submit(&self->ring));
	a = result(&self->ring, NULL);
	b = result(&self->ring, NULL);
	check((a == -ECANCELED && b == 0) || (a == 0 && b == -ECANCELED));
	if (!variant->shape.client) {	/* "more" would have to be masked */
		link_reset_peer(LINK);
		expect_error(LINK, ECONNRESET);
		return;
	}
	peer_write_raw(LINK, "more", 4);
	expect_text(LINK, "halfmore");
}

CASE(uring, shutdown_and_close)
{
	io_uring_prep_shutdown(next(&self->ring), self->link.ws, SHUT_WR);
	equal(0, now(&self->ring));
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
	io_uring_prep_close(next(&self->ring), self->link.ws);
	equal(0, now(&self->ring));
	self->link.ws = -1;
}

/* Work for the ring is waiting, which counts as a signal: a request that does not sleep takes the message behind an empty one. */
CASE(uring, recv_while_work_waits)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	char buffer[64];
	int event = must(eventfd(0, 0)), i;
	__u64 one = 1;

	put(OUT, .opcode = OP_TEXT);
	put(OUT, .opcode = OP_TEXT, .text = "x");
	peer_write(LINK);
	peer_settle(LINK);
	io_uring_prep_poll_add(next(&self->ring), event, POLLIN);
	io_uring_prep_write(next(&self->ring), event, &one, sizeof(one), 0);
	sqe = next(&self->ring);
	io_uring_prep_recv(sqe, self->link.ws, buffer, sizeof(buffer), 0);
	io_uring_sqe_set_data64(sqe, 7);
	equal(3, io_uring_submit(&self->ring));
	for (i = 0; i < 3; i++) {
		must(io_uring_wait_cqe(&self->ring, &cqe) ? -1 : 0);
		if (cqe->user_data == 7)
			equal(1, cqe->res);
		io_uring_cqe_seen(&self->ring, cqe);
	}
	close(event);
	intact(LINK);
}

SELFTEST_MAIN
