// SPDX-License-Identifier: GPL-2.0
/*
 * Sending, what once went wrong: frames that are held back and joined (sendmmsg), batches that end in a bad buffer
 * while TCP takes only part, EPOLLOUT after another thread's message, writers from before the start. time limit: 600 s
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "shapes.h"

FIXTURE(regress_tx) { struct link link; unsigned char *bytes; };
FIXTURE_VARIANT(regress_tx) { struct shape shape; };
SHAPE(regress_tx, server, SEGMENT_FRAME, IPV4, false, false);
SHAPE(regress_tx, client, SEGMENT_FRAME, IPV6, false, true);

#define BIG		300000

FIXTURE_SETUP(regress_tx)
{
	link_start_default(LINK, &variant->shape);
	self->bytes = new_pattern(BIG, 90);
}

FIXTURE_TEARDOWN(regress_tx)
{
	link_close(LINK);
	free(self->bytes);
}

/* Anew, with a peer whose window is small from the first segment on. */
static void narrow(struct link *l, int rcvbuf)
{
	static const struct websocket_config defaults;
	struct shape shape = l->shape;

	link_close(l);
	*l = (struct link){ .shape = shape };
	if (shape.client)
		tcp_pair(shape.family, &l->peer, &l->ws, rcvbuf, 0);
	else
		tcp_pair(shape.family, &l->ws, &l->peer, 0, rcvbuf);
	set_option(l->peer, IPPROTO_TCP, TCP_NODELAY, 1);
	stream_init(&l->out, !shape.client);
	l->wire.fd = l->peer;
	l->wire.expect_mask = shape.client;
	link_start(l, &defaults);
}

/* The peer, in a thread: reads @count messages, the lengths by @len, and checks that each is as it has to be. */
struct reader {
	pthread_t		thread;
	struct link		*link;
	int			count;
	size_t			(*len)(int i);
	const unsigned char	*(*payload)(const struct reader *r, int i);
	const unsigned char	*bytes;
};

static void *read_messages(void *argument)
{
	struct reader *r = argument;
	int i;

	for (i = 0; i < r->count; i++)
		wire_expect_message(&r->link->wire, OP_BINARY, r->payload(r, i), r->len(i));
	return NULL;
}

static void reader_start(struct reader *r)
{
	check(!pthread_create(&r->thread, NULL, read_messages, r));
}

static void reader_end(struct reader *r)
{
	check(!pthread_join(r->thread, NULL));
}

/* 1 to 64 bytes in any order, the short ones more often; message i is bytes from i on. */
static size_t small_len(int i)
{
	return i & 1 ? 1 + i / 2 % 16 : 1 + i / 2 * 7 % 64;
}

static size_t sixteen(int i)
{
	(void)i;
	return 16;
}

static const unsigned char *small_payload(const struct reader *r, int i)
{
	return r->bytes + i * 13 % 60000;
}

static void send_many(struct reader *r, int each)
{
	struct mmsghdr m[256];
	struct iovec iov[256];
	int i, k, n;

	reader_start(r);
	for (i = 0; i < r->count; i += n) {
		memset(m, 0, sizeof(m));
		for (k = 0; k < each && i + k < r->count; k++) {
			iov[k] = (struct iovec){ (void *)small_payload(r, i + k), r->len(i + k) };
			m[k].msg_hdr.msg_iov = &iov[k];
			m[k].msg_hdr.msg_iovlen = 1;
		}
		n = must(sendmmsg(r->link->ws, m, k, 0));
		check(n > 0);
		for (k = 0; k < n; k++)
			equal(iov[k].iov_len, m[k].msg_len);
	}
	reader_end(r);
	equal(r->count, ws_info(r->link->ws).tx_messages);
}

/* Frames are joined where they touch, and at the end of a run of pages a payload does not touch its header. */
CASE(regress_tx, sendmmsg_of_small_messages)
{
	struct reader r = { .link = LINK, .count = 12000, .len = small_len, .payload = small_payload,
			    .bytes = self->bytes };

	send_many(&r, 250);
}

CASE(regress_tx, sendmmsg_of_sixteen_bytes)
{
	struct reader r = { .link = LINK, .count = 8000, .len = sixteen, .payload = small_payload,
			    .bytes = self->bytes };

	send_many(&r, 256);
}

/* The same while the peer reads slowly: frames that are held back find no room. */
CASE(regress_tx, sendmmsg_into_a_small_window)
{
	struct reader r = { .link = LINK, .count = 3000, .len = small_len, .payload = small_payload,
			    .bytes = self->bytes };

	narrow(LINK, 4096);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 4096);
	send_many(&r, 60);
}

/* A call with a batch record. */
struct batch_call {
	struct websocket_batch	entries[WEBSOCKET_BATCH_MAX];
	char			control[CMSG_SPACE(WEBSOCKET_BATCH_MAX * sizeof(struct websocket_batch))]
				__attribute__((aligned(8)));
	struct iovec		iov;
	struct msghdr		header;
};

static void batch_prepare(struct batch_call *b, unsigned int nr, void *bytes)
{
	size_t len = nr * sizeof(b->entries[0]), sum = 0;
	struct cmsghdr *c = (struct cmsghdr *)b->control;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		b->entries[i].opcode = OP_BINARY;
		sum += b->entries[i].len;
	}
	memset(b->control, 0, sizeof(b->control));
	c->cmsg_level = SOL_WEBSOCKET;
	c->cmsg_type = WEBSOCKET_BATCH;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), b->entries, len);
	b->iov = (struct iovec){ bytes, sum };
	b->header = (struct msghdr){ .msg_iov = &b->iov, .msg_iovlen = 1, .msg_control = b->control,
				     .msg_controllen = CMSG_SPACE(len) };
}

static size_t five_then_3000(int i)
{
	return i ? 3000 : 5;
}

static const unsigned char *behind_each_other(const struct reader *r, int i)
{
	return r->bytes + (i ? (i - 1) * 3000 : 0);
}

static void plain_then_batch(struct reader *r, int plain_flags, bool by_sendmmsg)
{
	static struct batch_call b;
	struct iovec five = { (void *)r->bytes, 5 };
	struct mmsghdr m[2] = { 0 };
	int i;

	for (i = 0; i < 64; i++)
		b.entries[i].len = 3000;
	batch_prepare(&b, 64, (void *)r->bytes);
	m[0].msg_hdr = (struct msghdr){ .msg_iov = &five, .msg_iovlen = 1 };
	m[1].msg_hdr = b.header;
	reader_start(r);
	if (by_sendmmsg) {
		equal(2, sendmmsg(r->link->ws, m, 2, 0));
		equal(5, m[0].msg_len);
		equal(64 * 3000, m[1].msg_len);
	} else {
		equal(5, sendmsg(r->link->ws, &m[0].msg_hdr, plain_flags));
		equal(64 * 3000, sendmsg(r->link->ws, &m[1].msg_hdr, 0));
	}
	reader_end(r);
}

CASE(regress_tx, sendmmsg_of_a_message_and_a_batch)
{
	struct reader r = { .link = LINK, .count = 65, .len = five_then_3000, .payload = behind_each_other,
			    .bytes = self->bytes };
	int i;

	for (i = 0; i < 4; i++)
		plain_then_batch(&r, 0, true);
}

/* MSG_BATCH is sendmmsg's own, but nothing keeps a program from passing it. */
CASE(regress_tx, batch_behind_msg_batch)
{
	struct reader r = { .link = LINK, .count = 65, .len = five_then_3000, .payload = behind_each_other,
			    .bytes = self->bytes };

	plain_then_batch(&r, MSG_BATCH, false);
	plain_then_batch(&r, MSG_BATCH | MSG_DONTWAIT, false);
}

/* And if nothing follows, the message leaves all the same. */
CASE(regress_tx, msg_batch_alone)
{
	equal(5, send(self->link.ws, "alone", 5, MSG_BATCH));
	wire_expect(WIRE, OP_BINARY, true, "alone", 5);
	equal(6, send(self->link.ws, "before", 6, MSG_BATCH));
	equal(4, ws_send(self->link.ws, OP_PING, "ping", 4, 0));
	wire_expect(WIRE, OP_BINARY, true, "before", 6);
	wire_expect(WIRE, OP_PING, true, "ping", 4);
}

/* Two pages; the first @good of @len bytes at the address returned can be read. */
static void *bad_buffer(const unsigned char *bytes, size_t good, size_t len)
{
	size_t below = (good + 4095) & ~4095UL, above = (len - good + 4095) & ~4095UL;
	char *page = must(mmap(NULL, below + above, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	must(mprotect(page + below, above, PROT_NONE));
	memcpy(page + below - good, bytes, good);
	return page + below - good;
}

/* A frame announced with a 16-bit length that shrinks to a 7-bit one no longer touches the one before. */
CASE(regress_tx, short_copy_behind_a_held_message)
{
	char *bad = bad_buffer(self->bytes, 100, 300);
	struct iovec iov[3] = { { "first", 5 }, { bad, 300 }, { "last", 4 } };
	struct mmsghdr m[3] = { 0 };
	unsigned char expected[104];
	int i, n;

	for (i = 0; i < 3; i++)
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	/* every other message in between comes to lie elsewhere in its page */
	for (i = 0; i < 40; i++) {
		n = must(sendmmsg(self->link.ws, m, 3, 0));
		wire_expect(WIRE, OP_BINARY, true, "first", 5);
		if (n == 1) {		/* all or nothing was copied: nothing */
			equal(4, ws_send(self->link.ws, 0, "last", 4, 0));
			wire_expect(WIRE, OP_BINARY, true, "last", 4);
			continue;
		}
		check(m[1].msg_len > 0 && m[1].msg_len <= 100);
		if (n == 2)
			equal(4, ws_send(self->link.ws, 0, "last", 4, 0));
		memcpy(expected, self->bytes, m[1].msg_len);
		memcpy(expected + m[1].msg_len, "last", 4);
		wire_expect_message(WIRE, OP_BINARY, expected, m[1].msg_len + 4);
	}
	munmap((void *)((unsigned long)bad & ~4095UL), 8192);
}

/* As long as the messages of rewound(): the first goes out in any number of calls. */
struct whole {
	pthread_t		thread;
	struct link		*link;
	const unsigned char	*bytes;
	size_t			before, len;
};

static void *read_whole(void *argument)
{
	struct whole *w = argument;

	if (w->before)
		wire_expect_message(&w->link->wire, OP_BINARY, w->bytes, w->before);
	wire_expect_message(&w->link->wire, OP_BINARY, w->bytes, w->len);
	wire_expect_message(&w->link->wire, OP_BINARY, "behind", 6);
	return NULL;
}

/* A batch of @first good bytes and of @second, the end of which cannot be read; TCP takes part of the first. */
static void rewound(struct link *l, unsigned char *bytes, int lowat, size_t before, size_t first, size_t second)
{
	struct whole w = { .link = l, .bytes = bytes, .before = before, .len = first };
	static struct batch_call b;
	char *bad = bad_buffer(bytes, first + second - 1000, first + second);
	ssize_t n, at;

	narrow(l, 4096);
	set_option(l->ws, SOL_SOCKET, SO_SNDBUF, 200000);
	set_option(l->ws, IPPROTO_TCP, TCP_NOTSENT_LOWAT, lowat);
	if (before)
		equal(before, ws_send(l->ws, OP_BINARY, bytes, before, MSG_DONTWAIT));
	b.entries[0].len = first;
	b.entries[1].len = second;
	batch_prepare(&b, 2, bad);
	at = must(sendmsg(l->ws, &b.header, MSG_DONTWAIT));
	check(at > 0 && at <= (ssize_t)first);
	check(!pthread_create(&w.thread, NULL, read_whole, &w));
	for (; at < (ssize_t)first; at += n)
		n = must(ws_send(l->ws, 0, bytes + at, first - at, 0));
	equal(6, ws_send(l->ws, OP_BINARY, "behind", 6, 0));
	check(!pthread_join(w.thread, NULL));
	munmap((void *)((unsigned long)bad & ~4095UL), (first + second + 8191) & ~4095UL);
}

CASE(regress_tx, batch_with_a_bad_end_and_the_lowest_mark)
{
	rewound(LINK, self->bytes, 1, 0, 60000, 40000);
}

CASE(regress_tx, batch_with_a_bad_end_taken_in_part)
{
	int i;

	for (i = 0; i < 3; i++)
		rewound(LINK, self->bytes, 65536, 50000, 29000 + i, 35000);
}

/* What netinet/tcp.h has of struct tcp_info ends before this. */
static unsigned int data_segments(int fd)
{
	unsigned int info[64] = { 0 };
	socklen_t len = sizeof(info);

	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len));
	check(len >= 160);
	return info[39];	/* tcpi_data_segs_out */
}

/* One segment; two where a run of pages ends in between. */
CASE(regress_tx, sendmmsg_pushes_once)
{
	unsigned int best = ~0U, before;
	struct mmsghdr m[50] = { 0 };
	struct iovec iov[50];
	int i, k;

	for (k = 0; k < 50; k++) {
		iov[k] = (struct iovec){ self->bytes + k, 20 };
		m[k].msg_hdr = (struct msghdr){ .msg_iov = &iov[k], .msg_iovlen = 1 };
	}
	for (i = 0; i < 4; i++) {
		before = data_segments(self->link.ws);
		equal(50, sendmmsg(self->link.ws, m, 50, 0));
		before = data_segments(self->link.ws) - before;
		best = before < best ? before : best;
		for (k = 0; k < 50; k++)
			wire_expect(WIRE, OP_BINARY, true, self->bytes + k, 20);
	}
	equal(1, best);
}

/* Another thread's message that does not fit. */
struct sender {
	pthread_t	thread;
	struct link	*link;
	unsigned char	*bytes;
	int		done;
};

static void *send_big(void *argument)
{
	struct sender *s = argument;

	equal(BIG, ws_send(s->link->ws, OP_BINARY, s->bytes, BIG, 0));
	__atomic_store_n(&s->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Who waits for EPOLLOUT meanwhile is told when there is room, though it was masked while the message was sent. */
static void told_of_room(struct link *l, unsigned char *bytes, unsigned int how)
{
	struct epoll_event event = { .events = EPOLLOUT | how };
	struct sender s = { .link = l, .bytes = bytes };
	int ep = must(epoll_create1(EPOLL_CLOEXEC));
	static char buffer[2048];
	size_t got = 0;
	int told = 0;
	ssize_t n;

	narrow(l, 4096);
	set_option(l->ws, SOL_SOCKET, SO_SNDBUF, 32768);
	check(!pthread_create(&s.thread, NULL, send_big, &s));
	while (!ws_info(l->ws).tx_frames || !ws_stuck(l))
		;
	must(epoll_ctl(ep, EPOLL_CTL_ADD, l->ws, &event));
	/* Never poll(): it would ask TCP to tell, and that is epoll's to do. */
	while (!__atomic_load_n(&s.done, __ATOMIC_SEQ_CST)) {
		n = recv(l->peer, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (n > 0)
			got += n;
		else
			usleep(200);
		told |= epoll_wait(ep, &event, 1, 0);
	}
	check(!pthread_join(s.thread, NULL));
	told |= epoll_wait(ep, &event, 1, 0);
	while (got < BIG) {
		n = must(recv(l->peer, buffer, sizeof(buffer), 0));
		check(n);
		got += n;
	}
	if (!told)
		equal(1, epoll_wait(ep, &event, 1, 20000));
	close(ep);
}

CASE(regress_tx, pollout_after_the_message_of_another_thread)
{
	told_of_room(LINK, self->bytes, 0);
}

CASE(regress_tx, pollout_edge_after_the_message_of_another_thread)
{
	told_of_room(LINK, self->bytes, EPOLLET);
}

static void *send_ping(void *argument)
{
	struct link *l = argument;

	equal(3, ws_send(l->ws, OP_PING, "now", 3, 0));
	return NULL;
}

/* A control frame may stand between the frames of another thread's message: it need not wait for its end. */
CASE(regress_tx, ping_in_the_message_of_another_thread)
{
	struct sender s = { .link = LINK, .bytes = self->bytes };
	bool seen = false;
	pthread_t ping;
	size_t have = 0;

	narrow(LINK, 4096);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 16384);
	check(!pthread_create(&s.thread, NULL, send_big, &s));
	while (!ws_info(self->link.ws).tx_frames || !ws_stuck(LINK))
		;
	check(!pthread_create(&ping, NULL, send_ping, LINK));
	while (have < BIG) {
		equal(WIRE_FRAME, wire_read(WIRE));
		if (self->link.wire.seen.opcode == OP_PING) {
			seen = true;
			break;
		}
		check(!memcmp(self->bytes + have, self->link.wire.seen.payload, self->link.wire.seen.len));
		have += self->link.wire.seen.len;
	}
	check(seen && have < BIG);
	while (have < BIG) {
		equal(WIRE_FRAME, wire_read(WIRE));
		if (self->link.wire.seen.opcode != OP_PING)
			have += self->link.wire.seen.len;
	}
	check(!pthread_join(ping, NULL));
	check(!pthread_join(s.thread, NULL));
}

static void *raw_write(void *argument)
{
	static char block[4 << 20];
	struct link *l = argument;

	send(l->ws, block, sizeof(block), MSG_NOSIGNAL);
	return NULL;
}

static void *drain(void *argument)
{
	static char buffer[65536];
	struct link *l = argument;

	while (recv(l->peer, buffer, sizeof(buffer), 0) > 0)
		;
	return NULL;
}

/* Raw bytes of a write from before the start: the next pong finds out, for a program that only receives. */
CASE(regress_tx, raw_bytes_are_noticed_by_a_pong)
{
	static const struct websocket_config defaults;
	pthread_t writer, drainer;

	link_close(LINK);
	link_open(LINK, &variant->shape);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	check(!pthread_create(&writer, NULL, raw_write, LINK));
	while (!ws_stuck(LINK))
		;
	link_start(LINK, &defaults);
	check(!pthread_create(&drainer, NULL, drain, LINK));
	check(!pthread_join(writer, NULL));
	put(OUT, .opcode = OP_PING, .text = "ping");
	peer_write(LINK);
	ws_wait(self->link.ws, POLLIN);
	expect_error(LINK, EPIPE);
	link_close_ws(LINK);
	check(!pthread_join(drainer, NULL));
}

SELFTEST_MAIN
