// SPDX-License-Identifier: GPL-2.0
/* Reading and writing messages: the second half of peer.h. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "check.h"
#include "peer.h"

struct received ws_recvmsg(int fd, void *buffer, size_t len, int flags)
{
	char control[CMSG_SPACE(sizeof(struct websocket_msg))] __attribute__((aligned(8)));
	struct iovec iov = { buffer, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };
	struct received r = { 0 };
	struct cmsghdr *c;

	r.n = recvmsg(fd, &h, flags);
	if (r.n == -1) {
		r.error = errno;
		return r;
	}
	r.flags = h.msg_flags;
	for (c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level != SOL_WEBSOCKET || c->cmsg_type != WEBSOCKET_MSG)
			fail("a record of level %d, type %d", c->cmsg_level, c->cmsg_type);
		if (r.has_record || c->cmsg_len != CMSG_LEN(sizeof(r.record)))
			fail("two records, or one of %zu bytes", (size_t)c->cmsg_len);
		memcpy(&r.record, CMSG_DATA(c), sizeof(r.record));
		r.has_record = true;
	}
	return r;
}

short ws_poll(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI };

	must(poll(&p, 1, 0));
	return p.revents;
}

short ws_wait(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (must(poll(&p, 1, 30000)) == 0)
		fail("poll shows none of %#x in 30 s", events);
	return p.revents;
}

struct received ws_receive(struct link *l, void *buffer, size_t len, int flags)
{
	struct received r;

	if (!l->shape.nonblocking)
		return ws_recvmsg(l->ws, buffer, len, flags);
	ws_wait(l->ws, POLLIN);
	r = ws_recvmsg(l->ws, buffer, len, flags | MSG_DONTWAIT);
	if (r.error == EAGAIN)
		fail("poll says readable, recvmsg says EAGAIN");
	return r;
}

/* What holds for every part of a message. */
static void check_part(const struct received *r, __u8 opcode, bool first)
{
	if (r->error)
		fail("recvmsg: %s", error_name(r->error));
	if (!r->has_record)
		fail("no record");
	if (r->record.opcode != opcode)
		fail("opcode %u, not %u (%zd bytes, close code %u)", r->record.opcode, opcode, r->n,
		     r->record.close_code);
	if (r->flags & ~(MSG_EOR | MSG_CMSG_CLOEXEC))
		fail("msg_flags %#x", r->flags);
	equal(first ? WEBSOCKET_MSG_BEGIN : 0, r->record.flags & WEBSOCKET_MSG_BEGIN);
	equal(r->flags & MSG_EOR ? WEBSOCKET_MSG_END : 0, r->record.flags & ~WEBSOCKET_MSG_BEGIN);
	equal(0, r->record.close_code);
	equal(0, r->record.reserved);
	if (r->flags & MSG_EOR)
		equal(0, r->record.frame_left);
	else
		check(r->n > 0);
}

static void same(const void *expected, const void *seen, size_t len, size_t offset)
{
	const unsigned char *a = expected, *b = seen;
	size_t i;

	if (!memcmp(a, b, len))
		return;
	for (i = 0; a[i] == b[i]; i++)
		;
	fail("byte %zu of the message is %02x, not %02x", offset + i, b[i], a[i]);
}

void expect_message_(struct link *l, __u8 opcode, const void *bytes, size_t len)
{
	unsigned char *buffer = malloc(len + 100);
	struct received r;

	check(buffer);
	memset(buffer, 0xee, len + 100);
	r = ws_receive(l, buffer, len + 100, 0);
	check_part(&r, opcode, true);
	if (r.n != (ssize_t)len)
		fail("%zd bytes instead of %zu", r.n, len);
	if (!(r.flags & MSG_EOR))
		fail("no MSG_EOR");
	same(bytes, buffer, len, 0);
	check(buffer[len] == 0xee);
	free(buffer);
}

void expect_parts_(struct link *l, __u8 opcode, const void *bytes, size_t len, size_t room)
{
	unsigned char *buffer = malloc(room);
	struct received r;
	size_t have = 0;

	check(buffer);
	do {
		r = ws_receive(l, buffer, room, 0);
		check_part(&r, opcode, !have);
		if (have + r.n > len)
			fail("more than %zu bytes", len);
		same((const char *)bytes + have, buffer, r.n, have);
		have += r.n;
	} while (!(r.flags & MSG_EOR));
	if (have != len)
		fail("%zu bytes instead of %zu", have, len);
	free(buffer);
}

void expect_end_(struct link *l, unsigned int code)
{
	struct received r;
	char buffer[16];
	int i;

	for (i = 0; i < 3; i++) {
		r = ws_receive(l, buffer, sizeof(buffer), 0);
		if (r.n || r.flags & MSG_EOR)
			fail("%zd bytes, %s, msg_flags %#x instead of the end", r.n, error_name(r.error), r.flags);
		if (!r.has_record || r.record.opcode != WEBSOCKET_OP_CLOSE)
			fail("the end without its record (opcode %u)", r.record.opcode);
		equal(code, r.record.close_code);
		equal(0, r.record.flags);
		equal(0, r.record.frame_left);
		equal(0, r.record.reserved);
	}
}

void expect_error_(struct link *l, int error)
{
	struct received r;
	char buffer[16];
	int i;

	for (i = 0; i < 3; i++) {
		r = ws_receive(l, buffer, sizeof(buffer), i == 2 ? MSG_DONTWAIT : 0);
		if (r.n != -1 || r.error != error)
			fail("%zd (%s, opcode %u, close code %u) instead of %s", r.n, error_name(r.error),
			     r.record.opcode, r.record.close_code, error_name(error));
	}
}

void expect_failure_(struct link *l, int error, unsigned int code)
{
	struct websocket_info info;

	expect_error_(l, error);
	refuses(error, ws_send(l->ws, 0, "x", 1, MSG_NOSIGNAL));
	expect_error_(l, error);
	while (wire_read(&l->wire) == WIRE_FRAME && l->wire.seen.opcode == OP_PONG)
		;	/* to pings before it */
	wire_is_close_(&l->wire, code);
	info = ws_info(l->ws);
	equal(WEBSOCKET_STATE_FAILED, info.state);
	equal(error, info.error);
	equal(code, info.sent_close_code);
	check(ws_poll(l->ws) & POLLERR);
}

void expect_nothing_(struct link *l)
{
	struct received r;
	char buffer[16];
	short events = ws_poll(l->ws);

	if (events & (POLLIN | POLLRDHUP | POLLHUP | POLLERR | POLLPRI))
		fail("poll shows %#x", events);
	r = ws_recvmsg(l->ws, buffer, sizeof(buffer), MSG_DONTWAIT);
	if (r.error != EAGAIN)
		fail("recvmsg: %zd (%s, opcode %u) instead of EAGAIN", r.n, error_name(r.error), r.record.opcode);
}

ssize_t ws_send(int fd, __u8 opcode, const void *bytes, size_t len, int flags)
{
	char control[CMSG_SPACE(1)] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)bytes, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (opcode) {
		h.msg_control = control;
		h.msg_controllen = CMSG_SPACE(1);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_WEBSOCKET;
		c->cmsg_type = WEBSOCKET_OPCODE;
		c->cmsg_len = CMSG_LEN(1);
		*CMSG_DATA(c) = opcode;
	}
	return sendmsg(fd, &h, flags);
}

ssize_t ws_send_batch(int fd, const void *bytes, size_t len, const struct websocket_batch *b, size_t size, int flags)
{
	char control[CMSG_SPACE((WEBSOCKET_BATCH_MAX + 1) * sizeof(*b))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)bytes, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);

	*c = (struct cmsghdr){ .cmsg_level = SOL_WEBSOCKET, .cmsg_type = WEBSOCKET_BATCH, .cmsg_len = CMSG_LEN(size) };
	memcpy(CMSG_DATA(c), b, size);
	return sendmsg(fd, &h, flags | MSG_NOSIGNAL);
}
