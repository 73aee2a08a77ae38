// SPDX-License-Identifier: GPL-2.0
/*
 * Where TCP bites a parser in its receive queue: other readers and writers of the same bytes, urgent data, bytes that
 * change after they came, SO_RCVLOWAT, a reader that holds the lock, another task's page fragment, memory.
 * Each was a crash, a stall or corruption in some in-kernel parser. time limit: 240 s
 */
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "held.h"
#include "shapes.h"

FIXTURE_ROLES(pitfalls);

static const struct websocket_config defaults;

/* A thread in a plain TCP call on l->ws, asleep when in_tcp_start() returns. */
struct in_tcp {
	pthread_t	thread;
	struct link	*link;
	pid_t		tid;
	ssize_t		n;
	int		error;
	char		buffer[64];
};

static void *plain_recv(void *argument)
{
	struct in_tcp *t = argument;

	__atomic_store_n(&t->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	t->n = recv(t->link->ws, t->buffer, 12, MSG_WAITALL);
	t->error = errno;
	return NULL;
}

static void *plain_send(void *argument)
{
	static char block[4 << 20];
	struct in_tcp *t = argument;

	__atomic_store_n(&t->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	t->n = send(t->link->ws, block, sizeof(block), MSG_NOSIGNAL);
	t->error = errno;
	return NULL;
}

static void in_tcp_start(struct in_tcp *t, struct link *l, void *(*call)(void *))
{
	*t = (struct in_tcp){ .link = l };
	check(!pthread_create(&t->thread, NULL, call, t));
	until_asleep(&t->tid);
}

/* Row 25, pitfall 5: it takes bytes of a frame: the framing is lost, nothing else is. */
CASE(pitfalls, pitfall5_row25_reader_inside_tcp_at_start)
{
	struct in_tcp t;

	link_close(LINK);
	link_open(LINK, &variant->shape);
	in_tcp_start(&t, LINK, plain_recv);
	link_start(LINK, &defaults);
	put(OUT, .opcode = OP_TEXT, .text = "a message of more than twelve bytes");
	put(OUT, .opcode = OP_TEXT, .text = "and another one");
	peer_write(LINK);
	check(!pthread_join(t.thread, NULL));
	if (t.n == -1) {	/* it was not let in */
		expect_text(LINK, "a message of more than twelve bytes");
		return;
	}
	check(t.n > 0 && t.n <= 12);
	expect_error(LINK, EPIPE);
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	equal(EPIPE, ws_info(self->link.ws).error);
}

static void *drain(void *argument)
{
	static char buffer[65536];
	struct link *l = argument;

	while (recv(l->peer, buffer, sizeof(buffer), 0) > 0)
		;
	return NULL;
}

/* And a writer: what it writes is no frame. */
CASE(pitfalls, pitfall5_writer_inside_tcp_at_start)
{
	pthread_t drainer;
	struct in_tcp t;

	link_close(LINK);
	link_open(LINK, &variant->shape);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	in_tcp_start(&t, LINK, plain_send);
	link_start(LINK, &defaults);
	check(!pthread_create(&drainer, NULL, drain, LINK));
	check(!pthread_join(t.thread, NULL));
	refuses(EPIPE, ws_send(self->link.ws, 0, "x", 1, MSG_NOSIGNAL));
	expect_error(LINK, EPIPE);
	link_close_ws(LINK);
	check(!pthread_join(drainer, NULL));
}

/*
 * Row 29, 22, pitfall 5: urgent bytes are bytes of the stream, at every position of three frames; the sender's mark and
 * SO_OOBINLINE change nothing.
 */
static void urgent(const struct shape *shape, int inline_before, int inline_after)
{
	size_t at, len;
	struct link l;

	for (at = 0, len = 1; at < len; at++) {
		link_open(&l, shape);
		set_option(l.ws, SOL_SOCKET, SO_OOBINLINE, inline_before);
		link_start(&l, &defaults);
		if (inline_after != inline_before)
			set_option(l.ws, SOL_SOCKET, SO_OOBINLINE, inline_after);
		put(&l.out, .opcode = OP_TEXT, .text = "one");
		put(&l.out, .opcode = OP_BINARY, .more = true, .text = "two");
		put(&l.out, .opcode = OP_CONTINUATION, .text = "!");
		len = l.out.len;
		if (at)
			equal(at, send(l.peer, l.out.bytes, at, 0));
		equal(1, send(l.peer, l.out.bytes + at, 1, MSG_OOB));
		if (at + 1 < len)
			equal(len - at - 1, send(l.peer, l.out.bytes + at + 1, len - at - 1, 0));
		if (inline_after || inline_before == inline_after) {
			expect_text(&l, "one");
			expect_message(&l, OP_BINARY, "two!", 4);
			check(!(ws_poll(l.ws) & POLLPRI));
			stream_clear(&l.out);
			peer_expect_silence(&l);
		} else {
			/* the program took the byte away: it cannot come as something else */
			peer_settle(&l);
			if (recv(l.ws, &(char){ 0 }, 1, MSG_DONTWAIT) == -1)
				check(errno == EPIPE || errno == EAGAIN);
		}
		link_close(&l);
	}
}

CASE(pitfalls, row29_urgent_at_every_position)
{
	urgent(&variant->shape, 0, 0);
}

CASE(pitfalls, row29_urgent_inline)
{
	urgent(&variant->shape, 1, 1);
}

CASE(pitfalls, row29_urgent_inline_switched_off)
{
	urgent(&variant->shape, 0, 1);
	urgent(&variant->shape, 1, 0);
}

/* Several urgent bytes, the last of a message among them, and MSG_OOB on this side. */
CASE(pitfalls, row29_urgent_again_and_again)
{
	size_t i;
	char byte;

	put(OUT, .opcode = OP_TEXT, .text = "urgent");
	put(OUT, .opcode = OP_TEXT, .text = "all of it");
	for (i = 0; i < self->link.out.len; i++)
		equal(1, send(self->link.peer, self->link.out.bytes + i, 1, MSG_OOB));
	stream_clear(OUT);
	expect_text(LINK, "urgent");
	refuses(EOPNOTSUPP, recv(self->link.ws, &byte, 1, MSG_OOB));
	expect_text(LINK, "all of it");
	expect_nothing(LINK);
}

/* Rows 1, 2, pitfall 6: pages of the peer in the receive queue, given with vmsplice(). */
static void splice_bytes(struct link *l, void *page, size_t len)
{
	struct iovec iov = { page, len };
	int p[2];

	must(pipe(p));
	equal(len, vmsplice(p[1], &iov, 1, 0));
	equal(len, splice(p[0], NULL, l->peer, NULL, len, 0));
	close(p[0]);
	close(p[1]);
}

static unsigned char *new_page(size_t size)
{
	return must(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

/* A header that changes after it was examined is an error or what it was, never something else, never a stall. */
CASE(pitfalls, pitfall6_header_changes)
{
	unsigned char *page = new_page(4096), buffer[256];
	struct received r;
	size_t at;
	int value;

	for (at = 0; at < 6; at++)
		for (value = 0; value < 256; value += at > 1 ? 37 : 5) {
			link_close(LINK);
			link_start_default(LINK, &variant->shape);
			put(OUT, .opcode = OP_BINARY, .text = "thirteen byte");
			put(OUT, .opcode = OP_BINARY, .text = "behind");
			memcpy(page, self->link.out.bytes, self->link.out.len);
			splice_bytes(LINK, page, self->link.out.len);
			ws_wait(self->link.ws, POLLIN);
			page[at] = value;
			r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT);
			if (r.n == -1)
				equal(EPROTO, r.error);
			else
				if (r.n > (ssize_t)self->link.out.len || !r.has_record)
					fail("byte %zu is %#x: %zd bytes, flags %#x", at, value, r.n, r.flags);
			while (r.n > 0 || (!r.n && r.flags & MSG_EOR))
				r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT);
			check(r.error == EPROTO || r.error == EAGAIN || r.record.opcode == WEBSOCKET_OP_CLOSE);
			stream_clear(OUT);
		}
	munmap(page, 4096);
}

/* Text that changes after the check is delivered as it was checked, or not at all. */
CASE(pitfalls, pitfall6_text_changes)
{
	unsigned char *page = new_page(4096), buffer[2048];
	struct received r;
	size_t at;

	for (at = 6; at < 1000; at += 197) {
		link_close(LINK);
		link_start_default(LINK, &variant->shape);
		memset(buffer, 'a', 1000);
		put(OUT, .opcode = OP_TEXT, .key_zero = true, .payload = buffer, .len = 1000);
		memcpy(page, self->link.out.bytes, self->link.out.len);
		splice_bytes(LINK, page, self->link.out.len);
		ws_wait(self->link.ws, POLLIN);
		page[self->link.out.len - at] = 0xff;
		r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (r.n == -1)
			equal(EILSEQ, r.error);
		else if (memchr(buffer, 0xff, r.n))
			fail("a byte of a text message is 0xff");
		stream_clear(OUT);
	}
	munmap(page, 4096);
}

/* Row 30, pitfall 15: the kernel's work does not wait for a million bytes. */
CASE(pitfalls, row30_rcvlowat)
{
	set_option(self->link.ws, SOL_SOCKET, SO_RCVLOWAT, 1000000);
	put(OUT, .opcode = OP_PING, .text = "one");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "one", 3);
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	put(OUT, .opcode = OP_PING, .text = "two");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "two", 3);
	expect_text(LINK, "unread");
	put_close(OUT, 1000, "");
	peer_write(LINK);
	expect_end(LINK, 1000);
	wire_expect_close(WIRE, 1000);
}

/* SIOCINQ: bytes that can be read now. */
CASE(pitfalls, siocinq_counts_messages)
{
	char buffer[3];
	int n = -1;

	put(OUT, .opcode = OP_TEXT, .text = "half", .announce = 8);
	peer_write(LINK);
	peer_settle(LINK);
	must(ioctl(self->link.ws, SIOCINQ, &n));
	equal(0, n);
	peer_write_raw(LINK, "more", 4);
	ws_wait(self->link.ws, POLLIN);
	must(ioctl(self->link.ws, SIOCINQ, &n));
	equal(8, n);
	equal(3, recv(self->link.ws, buffer, 3, 0));
	must(ioctl(self->link.ws, SIOCINQ, &n));
	equal(5, n);
}

/* Row 40: a reader holds the socket's lock while frames arrive. */
CASE(pitfalls, row40_lock_held)
{
	struct held h = { 0 };
	int i;

	put(OUT, .opcode = OP_TEXT, .text = "first");
	peer_write(LINK);
	hold(&h, LINK);
	for (i = 0; i < 50; i++) {
		put(OUT, .opcode = OP_PING, .payload = &i, .len = sizeof(i));
		put(OUT, .opcode = OP_TEXT, .text = "while it was held");
	}
	self->link.shape.segmentation = SEGMENT_ALL;
	peer_write(LINK);
	let_go(&h);
	equal(5, h.received.n);
	i = -1;
	while (i != 49) {
		equal(WIRE_FRAME, wire_read(WIRE));
		equal(OP_PONG, self->link.wire.seen.opcode);
		memcpy(&i, self->link.wire.seen.payload, sizeof(i));
	}
	for (i = 0; i < 50; i++)
		expect_text(LINK, "while it was held");
	expect_nothing(LINK);
}

static void hold_first(struct link *l, struct held *h)
{
	put(&l->out, .opcode = OP_TEXT, .text = "first");
	peer_write(l);
	hold(h, l);
}

/* What the peer said before it reset the connection comes first, also if nobody could look at it when it came. */
CASE(pitfalls, row40_close_and_reset_while_held)
{
	struct held h = { 0 };

	hold_first(LINK, &h);
	put_close(OUT, 1001, "");
	peer_write(LINK);
	link_reset_peer(LINK);
	let_go(&h);
	equal(5, h.received.n);
	expect_end(LINK, 1001);
}

CASE(pitfalls, row40_bad_frame_and_reset_while_held)
{
	struct held h = { 0 };

	hold_first(LINK, &h);
	put(OUT, .opcode = 11);
	peer_write(LINK);
	link_reset_peer(LINK);
	let_go(&h);
	equal(5, h.received.n);
	expect_error(LINK, EPROTO);
}

CASE(pitfalls, row40_message_and_reset_while_held)
{
	struct held h = { 0 };

	hold_first(LINK, &h);
	put(OUT, .opcode = OP_TEXT, .text = "second");
	peer_write(LINK);
	link_reset_peer(LINK);
	let_go(&h);
	equal(5, h.received.n);
	expect_text(LINK, "second");
	expect_error(LINK, ECONNRESET);
}

struct sender { struct link link; pthread_t thread; };

static void *send_pattern(void *argument)
{
	struct sender *s = argument;
	unsigned char *bytes = new_pattern(3 << 20, 60);
	size_t at;

	for (at = 0; at < 3 << 20; at += 1000)
		check(send(s->link.ws, bytes + at, (3 << 20) - at < 1000 ? (3 << 20) - at : 1000, 0) > 0);
	free(bytes);
	return NULL;
}

/* Pitfall 7: pongs from softirq, while the interrupted task fills its page fragment for another socket. */
CASE(pitfalls, pitfall7_other_sockets_data)
{
	unsigned char *bytes = new_pattern(3 << 20, 60), *seen = malloc(3 << 20);
	struct shape plain = { .family = IPV4 };
	struct sender s;
	size_t at = 0;
	int i;

	link_open(&s.link, &plain);
	check(!pthread_create(&s.thread, NULL, send_pattern, &s));
	for (i = 0; i < 4000; i++)
		put(OUT, .opcode = OP_PING, .payload = &i, .len = sizeof(i));
	peer_feed(LINK);
	while (at < 3 << 20) {
		at += must(recv(s.link.peer, seen + at, (3 << 20) - at, 0));
		while (recv(self->link.peer, (char[4096]){ 0 }, 4096, MSG_DONTWAIT) > 0)
			;
	}
	check(!memcmp(bytes, seen, 3 << 20));
	check(!pthread_join(s.thread, NULL));
	peer_fed(LINK);
	link_close(&s.link);
	free(seen);
	free(bytes);
}

/* Pitfall 18: the pong carries the acknowledgement: one segment a ping, not two. */
CASE(pitfalls, pitfall18_one_segment_a_ping)
{
	struct tcp_info_prefix { unsigned char head[136]; __u32 segs_out; } before, after;
	socklen_t len = sizeof(before);
	int i;

	must(getsockopt(self->link.ws, IPPROTO_TCP, TCP_INFO, &before, &len));
	equal(sizeof(before), len);
	for (i = 0; i < 50; i++) {
		put(OUT, .opcode = OP_PING, .payload = &i, .len = sizeof(i));
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, &i, sizeof(i));
	}
	must(getsockopt(self->link.ws, IPPROTO_TCP, TCP_INFO, &after, &len));
	if (after.segs_out - before.segs_out > 60)
		fail("%u segments for 50 pongs", after.segs_out - before.segs_out);
}

/* Pitfall 23: recvmmsg() leaves an error at the socket that is none of the connection's. */
CASE(pitfalls, pitfall23_recvmmsg_ends_early)
{
	struct iovec iov[2] = { { (char[16]){ 0 }, 16 }, { (void *)8, 16 } };
	struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = &iov[0], .msg_iovlen = 1 } },
				{ .msg_hdr = { .msg_iov = &iov[1], .msg_iovlen = 1 } } };
	int error;
	socklen_t len = sizeof(error);

	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_TEXT, .text = "two");
	peer_write(LINK);
	peer_settle(LINK);
	equal(1, recvmmsg(self->link.ws, m, 2, MSG_DONTWAIT, NULL));
	must(getsockopt(self->link.ws, SOL_SOCKET, SO_ERROR, &error, &len));
	expect_text(LINK, "two");
	peer_expect_silence(LINK);
	equal(WEBSOCKET_STATE_OPEN, ws_info(self->link.ws).state);
}

/* Row 39, pitfall 19: 150,000 frames of 6 bytes and less in one go. */
CASE(pitfalls, row39_many_tiny_frames)
{
	int i;

	for (i = 0; i < 150000; i++)
		put(OUT, .opcode = OP_PONG);
	put(OUT, .opcode = OP_PING, .text = "behind them");
	self->link.shape.segmentation = SEGMENT_ALL;
	peer_feed(LINK);
	for (i = 0; ws_info(self->link.ws).rx_pongs < 150000; i++) {
		if (i == 2000)
			fail("%u of 150000 pongs after 20 s", ws_info(self->link.ws).rx_pongs);
		usleep(10000);
	}
	wire_expect(WIRE, OP_PONG, true, "behind them", 11);
	peer_fed(LINK);
	equal(150000, ws_info(self->link.ws).rx_pongs);
}

SELFTEST_MAIN
