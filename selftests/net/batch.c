// SPDX-License-Identifier: GPL-2.0
/*
 * WEBSOCKET_F_BATCH and the WEBSOCKET_BATCH record: many messages in one recvmsg(), what fits and what does not, what ends a batch;
 * many in one sendmsg(), what is refused, where a short send ends; and the one handed to the other.
 */
#include <sys/mman.h>

#include "shapes.h"
#include "../../userspace/lib/kws.h"

FIXTURE_CUTS(batch);

#define ENTRIES		(WEBSOCKET_BATCH_MAX + 1)

/* One recvmsg() with room for so many entries, and what it told. */
struct got {
	ssize_t			n;
	int			error, flags, type;
	unsigned int		nr;
	struct websocket_batch	batch[ENTRIES];
	struct websocket_msg	msg;
};

static struct got receive(int fd, void *buffer, size_t len, size_t control_len, int flags)
{
	char control[CMSG_SPACE(ENTRIES * sizeof(struct websocket_batch))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { buffer, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control_len ? control : NULL,
			    .msg_controllen = control_len };
	struct cmsghdr *c;
	struct got g = { 0 };

	g.n = recvmsg(fd, &h, flags);
	g.error = g.n < 0 ? errno : 0;
	g.flags = g.n < 0 ? 0 : h.msg_flags;
	c = g.n < 0 ? NULL : CMSG_FIRSTHDR(&h);
	if (!c)
		return g;
	equal(SOL_WEBSOCKET, c->cmsg_level);
	g.type = c->cmsg_type;
	if (g.type == WEBSOCKET_BATCH) {
		g.nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(g.batch[0]);
		memcpy(g.batch, CMSG_DATA(c), g.nr * sizeof(g.batch[0]));
	} else {
		memcpy(&g.msg, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	}
	return g;
}

static size_t room_for(unsigned int entries)
{
	return CMSG_LEN(entries * sizeof(struct websocket_batch));
}

static void expect_entry(const struct got *g, unsigned int i, unsigned int opcode, unsigned int flags, unsigned int len)
{
	equal(WEBSOCKET_BATCH, g->type);
	check(i < g->nr);
	equal(opcode, g->batch[i].opcode);
	equal(flags, g->batch[i].flags);
	equal(len, g->batch[i].len);
	equal(0, g->batch[i].reserved);
}

#define WHOLE	(WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END)

static void use_batches(struct link *l, unsigned int more)
{
	link_configure(l, &(struct websocket_config){ .flags = WEBSOCKET_F_BATCH | more });
}

static void arrived(struct link *l)
{
	peer_write(l);
	peer_settle(l);
}

/* What fits comes, back to back; what does not stays for the next call. */
CASE(batch, as_many_as_fit)
{
	char buffer[10];
	struct got g;

	use_batches(LINK, 0);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY);
	put(OUT, .opcode = OP_TEXT, .text = "three");
	put(OUT, .opcode = OP_BINARY, .text = "four");
	arrived(LINK);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(8, g.n);
	equal(MSG_EOR, g.flags);
	equal(3, g.nr);
	check(!memcmp(buffer, "onethree", 8));
	expect_entry(&g, 0, OP_TEXT, WHOLE, 3);
	expect_entry(&g, 1, OP_BINARY, WHOLE, 0);
	expect_entry(&g, 2, OP_TEXT, WHOLE, 5);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(4, g.n);
	equal(1, g.nr);
	expect_entry(&g, 0, OP_BINARY, WHOLE, 4);
	expect_nothing(LINK);
}

/* The control buffer limits it: no message is taken without its entry. */
CASE(batch, as_many_as_entries)
{
	char buffer[128];
	unsigned int i, entries;

	use_batches(LINK, 0);
	for (i = 0; i < 10; i++)
		put(OUT, .opcode = OP_BINARY, .text = "0123456789");
	arrived(LINK);
	for (i = 0, entries = 1; i < 10; i += entries++) {
		struct got g = receive(self->link.ws, buffer, sizeof(buffer), room_for(entries), 0);

		equal(entries, g.nr);
		equal(MSG_EOR, g.flags);
		equal(10 * entries, g.n);
	}
	expect_nothing(LINK);
}

CASE(batch, at_most_64)
{
	char buffer[ENTRIES * 4];
	unsigned int i;
	struct got g;

	use_batches(LINK, 0);
	for (i = 0; i < 70; i++)
		put(OUT, .opcode = OP_TEXT, .text = "abc");
	arrived(LINK);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(ENTRIES), 0);
	equal(WEBSOCKET_BATCH_MAX, g.nr);
	equal(3 * WEBSOCKET_BATCH_MAX, g.n);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(ENTRIES), 0);
	equal(70 - WEBSOCKET_BATCH_MAX, g.nr);
}

/* A message larger than the buffer comes alone, in parts; only the last has MSG_EOR. */
CASE(batch, too_large_comes_in_parts)
{
	static const unsigned int flags[] = { WEBSOCKET_MSG_BEGIN, 0, WEBSOCKET_MSG_END };
	char buffer[4];
	unsigned int i;
	struct got g;

	use_batches(LINK, 0);
	put(OUT, .opcode = OP_TEXT, .text = "ab");
	put(OUT, .opcode = OP_TEXT, .text = "0123456789");
	put(OUT, .opcode = OP_BINARY, .text = "cd");
	arrived(LINK);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(2, g.n);
	equal(1, g.nr);
	for (i = 0; i < 3; i++) {
		g = receive(self->link.ws, buffer, i < 2 ? 4 : 2, room_for(8), 0);
		equal(1, g.nr);
		expect_entry(&g, 0, OP_TEXT, flags[i], i < 2 ? 4 : 2);
		equal(i < 2 ? 0 : MSG_EOR, g.flags);
		check(!memcmp(buffer, &"0123456789"[4 * i], g.n));
	}
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	expect_entry(&g, 0, OP_BINARY, WHOLE, 2);
}

CASE(batch, empty_messages_alone)
{
	char buffer[4];
	struct got g;

	use_batches(LINK, 0);
	put(OUT, .opcode = OP_TEXT);
	put(OUT, .opcode = OP_BINARY, .more = true);
	put(OUT, .opcode = OP_CONTINUATION);
	put(OUT, .opcode = OP_TEXT);
	arrived(LINK);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(0, g.n);
	equal(MSG_EOR, g.flags);
	equal(3, g.nr);
	expect_entry(&g, 0, OP_TEXT, WHOLE, 0);
	expect_entry(&g, 1, OP_BINARY, WHOLE, 0);
	expect_entry(&g, 2, OP_TEXT, WHOLE, 0);
}

/* Fragments are joined, pings between them answered or, if asked for, entries of their own. */
CASE(batch, fragments_and_pings)
{
	char buffer[64];
	struct got g;

	use_batches(LINK, 0);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_TEXT, .more = true, .text = "t");
	put(OUT, .opcode = OP_PING, .text = "p");
	put(OUT, .opcode = OP_CONTINUATION, .more = true, .text = "w");
	put(OUT, .opcode = OP_CONTINUATION, .text = "o");
	put(OUT, .opcode = OP_BINARY, .text = "three");
	arrived(LINK);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(3, g.nr);
	expect_entry(&g, 1, OP_TEXT, WHOLE, 3);
	check(!memcmp(buffer, "onetwothree", 11));
	wire_expect(WIRE, OP_PONG, true, "p", 1);
}

CASE(batch, delivered_pings_are_entries)
{
	char buffer[64];
	struct got g;

	use_batches(LINK, WEBSOCKET_F_PING);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_PING, .text = "ping");
	put(OUT, .opcode = OP_TEXT, .text = "two");
	arrived(LINK);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(3, g.nr);
	expect_entry(&g, 1, OP_PING, WHOLE, 4);
	check(!memcmp(buffer, "onepingtwo", 10));
}

/* The end and errors come alone, behind what was complete. */
CASE(batch, the_end_comes_alone)
{
	char buffer[64];
	struct got g;

	use_batches(LINK, 0);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put_close(OUT, 4000, "");
	arrived(LINK);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(1, g.nr);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(0, g.n);
	equal(0, g.flags & MSG_EOR);
	equal(WEBSOCKET_MSG, g.type);
	equal(OP_CLOSE, g.msg.opcode);
	equal(4000, g.msg.close_code);
}

/* kws_recv() has no place to say where a message ends: one a call. */
CASE(batch, library_receives_one)
{
	struct kws_message m;
	char buffer[64];

	use_batches(LINK, 0);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY);
	put(OUT, .opcode = OP_BINARY, .text = "three");
	put_close(OUT, 4000, "");
	arrived(LINK);
	equal(3, kws_recv(self->link.ws, buffer, sizeof(buffer), 0, &m));
	check(!memcmp(buffer, "one", 3) && m.opcode == OP_TEXT && m.begin && m.end && !m.frame_left && !m.close_code);
	equal(0, kws_recv(self->link.ws, buffer, sizeof(buffer), 0, &m));
	check(m.opcode == OP_BINARY && m.begin && m.end);
	equal(3, kws_recv(self->link.ws, buffer, 3, 0, &m));
	check(!memcmp(buffer, "thr", 3) && m.opcode == OP_BINARY && m.begin && !m.end);
	equal(2, kws_recv(self->link.ws, buffer, sizeof(buffer), 0, &m));
	check(!memcmp(buffer, "ee", 2) && m.opcode == OP_BINARY && !m.begin && m.end);
	equal(0, kws_recv(self->link.ws, buffer, sizeof(buffer), 0, &m));
	check(kws_is_end(&m) && m.close_code == 4000 && !m.begin && !m.end);
}

/* Without batches the record is whole. */
CASE(batch, library_knows_what_is_left)
{
	struct kws_message m;
	char buffer[64];

	put(OUT, .opcode = OP_TEXT, .text = "0123456789");
	arrived(LINK);
	equal(3, kws_recv(self->link.ws, buffer, 3, 0, &m));
	check(m.opcode == OP_TEXT && m.begin && !m.end && m.frame_left == 7);
}

CASE(batch, errors_come_alone)
{
	char buffer[64];
	struct got g;

	use_batches(LINK, 0);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY, .text = "two");
	put(OUT, .opcode = OP_TEXT, .text = "bad \xff text");
	put(OUT, .opcode = OP_TEXT, .text = "never");
	arrived(LINK);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(2, g.nr);
	equal(6, g.n);
	expect_failure(LINK, EILSEQ, 1007);
}

/* MSG_PEEK shows the batch that comes. */
CASE(batch, peek)
{
	char buffer[64], again[64];
	struct got g, h;

	use_batches(LINK, 0);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY, .text = "two");
	arrived(LINK);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), MSG_PEEK);
	h = receive(self->link.ws, again, sizeof(again), room_for(8), 0);
	equal(2, g.nr);
	equal(g.nr, h.nr);
	equal(g.n, h.n);
	check(!memcmp(g.batch, h.batch, sizeof(g.batch)) && !memcmp(buffer, again, g.n));
	expect_nothing(LINK);
}

/* MSG_WAITALL, no control buffer, and one without room for an entry: a message a call. */
CASE(batch, one_a_call)
{
	char buffer[64];
	struct got g;
	int i;

	use_batches(LINK, 0);
	for (i = 0; i < 4; i++)
		put(OUT, .opcode = OP_TEXT, .text = "message");
	arrived(LINK);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), MSG_WAITALL);
	equal(7, g.n);
	equal(MSG_EOR, g.flags);
	g = receive(self->link.ws, buffer, sizeof(buffer), 0, 0);
	equal(7, g.n);
	equal(MSG_EOR, g.flags);
	g = receive(self->link.ws, buffer, sizeof(buffer), CMSG_LEN(4), 0);
	equal(7, g.n);
	equal(MSG_EOR | MSG_CTRUNC, g.flags);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(1, g.nr);
	expect_nothing(LINK);
}

/* A fault in the middle of a message leaves that for the next call. */
CASE(batch, bad_buffer)
{
	char *page = must(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char buffer[64];
	struct got g;

	must(munmap(page + 4096, 4096));
	use_batches(LINK, 0);
	put(OUT, .opcode = OP_BINARY, .text = "first");
	put(OUT, .opcode = OP_BINARY, .text = "second");
	arrived(LINK);
	g = receive(self->link.ws, page + 4096 - 8, 64, room_for(8), 0);
	equal(1, g.nr);
	equal(5, g.n);
	check(!memcmp(page + 4096 - 8, "first", 5));
	g = receive(self->link.ws, page + 4096, 64, room_for(8), 0);
	equal(EFAULT, g.error);
	g = receive(self->link.ws, buffer, sizeof(buffer), room_for(8), 0);
	equal(6, g.n);
	check(!memcmp(buffer, "second", 6));
	must(munmap(page, 4096));
}

FIXTURE_ROLES(batch_sent);

/* Text, binary and empty ones in turns; each frame of a client has its own key (wire_read() looks). */
CASE(batch_sent, many)
{
	unsigned char *bytes = new_pattern(64 * 63, 5);
	struct websocket_batch b[WEBSOCKET_BATCH_MAX] = { { 0 } };
	size_t i, sum = 0;

	for (i = 0; i < ARRAY_SIZE(b); i++) {
		b[i].len = i % 5 ? i * 2 : 0;
		b[i].opcode = i % 3 ? OP_BINARY : OP_TEXT;
		b[i].flags = i % 4;	/* as received, which says nothing here */
		sum += b[i].len;
	}
	equal(sum, ws_send_batch(self->link.ws, bytes, sum, b, sizeof(b), 0));
	for (i = 0, sum = 0; i < ARRAY_SIZE(b); sum += b[i++].len)
		wire_expect(WIRE, b[i].opcode, true, bytes + sum, b[i].len);
	peer_expect_silence(LINK);
	equal(ARRAY_SIZE(b), ws_info(self->link.ws).tx_messages);
	free(bytes);
}

CASE(batch_sent, wrong_records)
{
	struct websocket_batch good[ENTRIES] = { { 0 } }, b[2];
	int fd = self->link.ws;
	size_t i;
	static const unsigned char opcodes[] = { 0, 3, 7, OP_CLOSE, OP_PING, OP_PONG, 11, 255 };

	for (i = 0; i < ENTRIES; i++)
		good[i] = (struct websocket_batch){ .len = 2, .opcode = OP_BINARY };
	refuses(EINVAL, ws_send_batch(fd, "", 0, good, 0, 0));
	refuses(EINVAL, ws_send_batch(fd, "abcd", 4, good, 2 * sizeof(*b) - 1, 0));
	refuses(EINVAL, ws_send_batch(fd, "abcd", 3, good, 2 * sizeof(*b), 0));
	refuses(EINVAL, ws_send_batch(fd, "abcde", 5, good, 2 * sizeof(*b), 0));
	refuses(EINVAL, ws_send_batch(fd, "abcd", 4, good, 2 * sizeof(*b), MSG_MORE));
	refuses(EINVAL, ws_send_batch(fd, good, 2 * ENTRIES, good, sizeof(good), 0));
	for (i = 0; i < sizeof(opcodes); i++) {
		memcpy(b, good, sizeof(b));
		b[1].opcode = opcodes[i];
		refuses(EINVAL, ws_send_batch(fd, "abcd", 4, b, sizeof(b), 0));
	}
	memcpy(b, good, sizeof(b));
	b[1].reserved = 1;
	refuses(EINVAL, ws_send_batch(fd, "abcd", 4, b, sizeof(b), 0));
	memcpy(b, good, sizeof(b));
	b[1].flags = WEBSOCKET_MSG_END << 1;
	refuses(EINVAL, ws_send_batch(fd, "abcd", 4, b, sizeof(b), 0));
	b[1] = (struct websocket_batch){ .len = ~0U, .opcode = OP_BINARY };
	refuses(EINVAL, ws_send_batch(fd, "abcd", 4, b, sizeof(b), 0));
	peer_expect_silence(LINK);
	equal(4, ws_send_batch(fd, "abcd", 4, good, 2 * sizeof(*b), 0));
	wire_expect(WIRE, OP_BINARY, true, "ab", 2);
	wire_expect(WIRE, OP_BINARY, true, "cd", 2);
}

/* Not into an open message, not behind Close. */
CASE(batch_sent, wrong_time)
{
	struct websocket_batch b = { .len = 2, .opcode = OP_TEXT };
	int fd = self->link.ws;

	equal(1, ws_send(fd, OP_TEXT, "a", 1, MSG_MORE));
	refuses(EINVAL, ws_send_batch(fd, "ab", 2, &b, sizeof(b), 0));
	equal(1, ws_send(fd, 0, "b", 1, 0));
	wire_expect_message_(WIRE, OP_TEXT, "ab", 2);
	equal(2, ws_send_batch(fd, "cd", 2, &b, sizeof(b), 0));
	wire_expect(WIRE, OP_TEXT, true, "cd", 2);
	equal(0, ws_send(fd, OP_CLOSE, "", 0, 0));
	refuses(EPIPE, ws_send_batch(fd, "ef", 2, &b, sizeof(b), 0));
}

/* A short send ends at a message boundary, unless not even the first message fitted; nothing is lost or sent twice. */
CASE(batch_sent, short_at_a_boundary)
{
	enum { LEN = 1000, NR = 10 };
	unsigned char *bytes = new_pattern(LEN * NR, 6);
	struct websocket_batch b[NR];
	size_t total = 0, i, at = 0;
	int shorts = 0;

	for (i = 0; i < NR; i++)
		b[i] = (struct websocket_batch){ .len = LEN, .opcode = OP_BINARY };
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	for (;;) {
		ssize_t n = ws_send_batch(self->link.ws, bytes, LEN * NR, b, sizeof(b), MSG_DONTWAIT);

		if (n < 0) {
			equal(EAGAIN, errno);
			if (ws_stuck(LINK))
				break;
			continue;
		}
		shorts += n < LEN * NR;
		total += n;
		if (n < LEN) {
			/* open: the rest of that message, however long it takes */
			at = n;
			break;
		}
		equal(0, n % LEN);
		if (n < LEN * NR)
			break;
	}
	check(shorts || total);
	for (i = 0; i < total / LEN; i++)
		wire_expect_message_(WIRE, OP_BINARY, bytes + i % NR * LEN, LEN);
	if (at) {
		equal(LEN - at, ws_send(self->link.ws, 0, bytes + at, LEN - at, 0));
		wire_expect_message_(WIRE, OP_BINARY, bytes, LEN);
	}
	equal(2, ws_send(self->link.ws, OP_TEXT, "ok", 2, 0));
	wire_expect(WIRE, OP_TEXT, true, "ok", 2);
	free(bytes);
}

/* The pieces end where the first message does: nobody looks behind the last one. */
CASE(batch_sent, pieces_end_with_a_message)
{
	enum { PIECES = 1024 };
	char bytes[PIECES], control[CMSG_SPACE(2 * sizeof(struct websocket_batch))] __attribute__((aligned(8)));
	struct websocket_batch b[2] = { { .len = PIECES, .opcode = OP_BINARY }, { .len = 0, .opcode = OP_BINARY } };
	struct iovec *iov = calloc(PIECES, sizeof(*iov));
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = PIECES, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = (struct cmsghdr *)control;
	int i;

	for (i = 0; i < PIECES; i++) {
		bytes[i] = i;
		iov[i] = (struct iovec){ bytes + i, 1 };
	}
	*c = (struct cmsghdr){ .cmsg_level = SOL_WEBSOCKET, .cmsg_type = WEBSOCKET_BATCH, .cmsg_len = CMSG_LEN(sizeof(b)) };
	memcpy(CMSG_DATA(c), b, sizeof(b));
	equal(PIECES, sendmsg(self->link.ws, &h, 0));
	wire_expect(WIRE, OP_BINARY, true, bytes, PIECES);
	wire_expect(WIRE, OP_BINARY, true, "", 0);
	use_batches(LINK, 0);
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = PIECES);
	put(OUT, .opcode = OP_TEXT, .text = "second");
	arrived(LINK);
	equal(PIECES, recvmsg(self->link.ws, &h, 0));
	equal(6, recv(self->link.ws, bytes, sizeof(bytes), 0));
	check(!memcmp(bytes, "second", 6));
	free(iov);
}

/* What recvmsg() filled in goes back as it is: the echo of a burst in two calls. */
CASE(batch_sent, handed_straight_back)
{
	char control[CMSG_SPACE(8 * sizeof(struct websocket_batch))] __attribute__((aligned(8))), buffer[64];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n;

	use_batches(LINK, 0);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY);
	put(OUT, .opcode = OP_BINARY, .text = "three");
	arrived(LINK);
	n = must(recvmsg(self->link.ws, &h, 0));
	iov.iov_len = n;
	equal(n, sendmsg(self->link.ws, &h, 0));
	wire_expect(WIRE, OP_TEXT, true, "one", 3);
	wire_expect(WIRE, OP_BINARY, true, "", 0);
	wire_expect(WIRE, OP_BINARY, true, "three", 5);
}

SELFTEST_MAIN
