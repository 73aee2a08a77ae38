// SPDX-License-Identifier: GPL-2.0
/*
 * Sending what fits: opcodes by record, by flag and by default, MSG_MORE, iovecs, sendmmsg(), the shortest length form,
 * masking in the client role, the errors of the arguments. What does not fit at once is in send_full.c.
 */
#include <sys/mman.h>
#include <sys/uio.h>

#include "shapes.h"

FIXTURE_ROLES(send);

CASE(send, opcode_by_record_or_binary)
{
	equal(3, ws_send(self->link.ws, OP_TEXT, "one", 3, 0));
	equal(3, ws_send(self->link.ws, OP_BINARY, "two", 3, 0));
	equal(5, send(self->link.ws, "three", 5, 0));
	equal(4, write(self->link.ws, "four", 4));
	wire_expect(WIRE, OP_TEXT, true, "one", 3);
	wire_expect(WIRE, OP_BINARY, true, "two", 3);
	wire_expect(WIRE, OP_BINARY, true, "three", 5);
	wire_expect(WIRE, OP_BINARY, true, "four", 4);
}

CASE(send, text_by_flag)
{
	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_TEXT });
	equal(4, send(self->link.ws, "text", 4, 0));
	equal(3, ws_send(self->link.ws, OP_BINARY, "bin", 3, 0));
	wire_expect(WIRE, OP_TEXT, true, "text", 4);
	wire_expect(WIRE, OP_BINARY, true, "bin", 3);
}

CASE(send, empty_messages)
{
	equal(0, ws_send(self->link.ws, OP_TEXT, NULL, 0, 0));
	equal(0, ws_send(self->link.ws, OP_BINARY, NULL, 0, 0));
	equal(0, send(self->link.ws, NULL, 0, 0));
	wire_expect(WIRE, OP_TEXT, true, "", 0);
	wire_expect(WIRE, OP_BINARY, true, "", 0);
	wire_expect(WIRE, OP_BINARY, true, "", 0);
	equal(3, ws_info(self->link.ws).tx_messages);
	equal(3, ws_info(self->link.ws).tx_frames);
	equal(0, ws_info(self->link.ws).tx_bytes);
}

/* One frame a message; wire_read() refuses a length that is not in its shortest form. */
CASE(send, lengths)
{
	static const size_t lens[] = {
		1, 2, 124, 125, 126, 127, 128, 4095, 4096, 4097, 32768, 65535, 65536, 65537, 100000,
	};
	unsigned char *bytes = new_pattern(100000, 40);
	size_t i, sum = 0;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		equal(lens[i], ws_send(self->link.ws, OP_BINARY, bytes, lens[i], 0));
		wire_expect(WIRE, OP_BINARY, true, bytes, lens[i]);
		sum += lens[i];
	}
	equal(ARRAY_SIZE(lens), ws_info(self->link.ws).tx_messages);
	equal(ARRAY_SIZE(lens), ws_info(self->link.ws).tx_frames);
	equal(sum, ws_info(self->link.ws).tx_bytes);
	free(bytes);
}

CASE(send, fragments_by_msg_more)
{
	equal(3, ws_send(self->link.ws, OP_TEXT, "one", 3, MSG_MORE));
	equal(3, ws_send(self->link.ws, OP_TEXT, "two", 3, MSG_MORE));
	equal(0, ws_send(self->link.ws, 0, NULL, 0, MSG_MORE));
	equal(5, ws_send(self->link.ws, 0, "three", 5, 0));
	equal(4, ws_send(self->link.ws, 0, "next", 4, 0));
	wire_expect_message(WIRE, OP_TEXT, "onetwothree", 11);
	wire_expect(WIRE, OP_BINARY, true, "next", 4);
	equal(2, ws_info(self->link.ws).tx_messages);
}

/* The last fragment may be empty, and so may all. */
CASE(send, empty_fragments)
{
	equal(0, ws_send(self->link.ws, OP_BINARY, NULL, 0, MSG_MORE));
	equal(1, ws_send(self->link.ws, 0, "x", 1, MSG_MORE));
	equal(0, ws_send(self->link.ws, 0, NULL, 0, 0));
	equal(0, ws_send(self->link.ws, OP_TEXT, NULL, 0, MSG_MORE));
	equal(0, ws_send(self->link.ws, 0, NULL, 0, 0));
	wire_expect_message(WIRE, OP_BINARY, "x", 1);
	wire_expect_message(WIRE, OP_TEXT, "", 0);
	equal(2, ws_info(self->link.ws).tx_messages);
}

CASE(send, other_opcode_in_an_open_message)
{
	equal(3, ws_send(self->link.ws, OP_TEXT, "one", 3, MSG_MORE));
	refuses(EINVAL, ws_send(self->link.ws, OP_BINARY, "no", 2, 0));
	refuses(EINVAL, ws_send(self->link.ws, OP_BINARY, "no", 2, MSG_MORE));
	equal(3, ws_send(self->link.ws, 0, "two", 3, 0));
	wire_expect_message(WIRE, OP_TEXT, "onetwo", 6);
}

/* Control frames go between the fragments. */
CASE(send, control_frames_in_an_open_message)
{
	equal(3, ws_send(self->link.ws, OP_TEXT, "one", 3, MSG_MORE));
	equal(4, ws_send(self->link.ws, OP_PING, "ping", 4, 0));
	equal(3, ws_send(self->link.ws, 0, "two", 3, MSG_MORE));
	equal(4, ws_send(self->link.ws, OP_PONG, "pong", 4, 0));
	equal(5, ws_send(self->link.ws, 0, "three", 5, 0));
	wire_expect_message(WIRE, OP_TEXT, "onetwothree", 11);
	equal(1, ws_info(self->link.ws).tx_pings);
	equal(1, ws_info(self->link.ws).tx_pongs);
}

CASE(send, control_frames_with_msg_more_or_too_long)
{
	unsigned char *bytes = new_pattern(200, 41);

	refuses(EINVAL, ws_send(self->link.ws, OP_PING, "x", 1, MSG_MORE));
	refuses(EINVAL, ws_send(self->link.ws, OP_PONG, NULL, 0, MSG_MORE));
	refuses(EMSGSIZE, ws_send(self->link.ws, OP_PING, bytes, 126, 0));
	refuses(EMSGSIZE, ws_send(self->link.ws, OP_PONG, bytes, 200, 0));
	peer_expect_silence(LINK);
	free(bytes);
}

/* A whole control buffer, as the caller wants it. */
static ssize_t send_records(int fd, void *control, size_t len)
{
	struct iovec iov = { "data", 4 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = len };

	return sendmsg(fd, &h, MSG_NOSIGNAL);
}

static struct cmsghdr *record(void *at, int level, int type, size_t len, int value)
{
	struct cmsghdr *c = at;

	memset(c, 0, CMSG_SPACE(len));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memset(CMSG_DATA(c), value, len);
	return c;
}

/* What is wrong with the call is said before whether anything can be sent. */
CASE(send, order_of_errors)
{
	int fd = self->link.ws;

	equal(1, ws_send(fd, OP_TEXT, "a", 1, MSG_MORE));
	equal(0, ws_send(fd, OP_CLOSE, "", 0, 0));
	refuses(EPIPE, ws_send(fd, 0, "x", 1, MSG_NOSIGNAL));
	refuses(EINVAL, ws_send(fd, OP_BINARY, "x", 1, MSG_NOSIGNAL));
	refuses(EINVAL, ws_send(fd, 3, "x", 1, MSG_NOSIGNAL));
	refuses(EMSGSIZE, ws_send(fd, OP_PING, (char[126]){ 0 }, 126, MSG_NOSIGNAL));
	refuses(EOPNOTSUPP, ws_send(fd, 0, "x", 1, MSG_OOB | MSG_NOSIGNAL));
	refuses(EPIPE, ws_send(fd, OP_CLOSE, "\x03", 1, MSG_NOSIGNAL));
}

CASE(send, wrong_records)
{
	char control[256] __attribute__((aligned(8)));
	int opcode;

	for (opcode = 0; opcode < 256; opcode++) {
		if (opcode == OP_TEXT || opcode == OP_BINARY || (opcode >= OP_CLOSE && opcode <= OP_PONG))
			continue;
		record(control, SOL_WEBSOCKET, WEBSOCKET_OPCODE, 1, opcode);
		refuses(EINVAL, send_records(self->link.ws, control, CMSG_SPACE(1)));
	}
	record(control, SOL_WEBSOCKET, WEBSOCKET_MSG, 1, OP_TEXT);
	refuses(EINVAL, send_records(self->link.ws, control, CMSG_SPACE(1)));
	record(control, SOL_WEBSOCKET, 99, 1, OP_TEXT);
	refuses(EINVAL, send_records(self->link.ws, control, CMSG_SPACE(1)));
	record(control, SOL_WEBSOCKET, WEBSOCKET_OPCODE, 0, 0);
	refuses(EINVAL, send_records(self->link.ws, control, CMSG_SPACE(0)));
	record(control, SOL_WEBSOCKET, WEBSOCKET_OPCODE, 4, 1);
	refuses(EINVAL, send_records(self->link.ws, control, CMSG_SPACE(4)));
	record(control, SOL_WEBSOCKET, WEBSOCKET_OPCODE, 1, OP_TEXT)->cmsg_len = 3;
	refuses(EINVAL, send_records(self->link.ws, control, CMSG_SPACE(1)));
	record(control, SOL_WEBSOCKET, WEBSOCKET_OPCODE, 1, OP_TEXT)->cmsg_len = 200;
	refuses(EINVAL, send_records(self->link.ws, control, CMSG_SPACE(1)));
	peer_expect_silence(LINK);
	record(control, SOL_WEBSOCKET, WEBSOCKET_OPCODE, 1, OP_TEXT);
	equal(4, send_records(self->link.ws, control, CMSG_SPACE(1)));
	wire_expect(WIRE, OP_TEXT, true, "data", 4);
}

CASE(send, many_iovecs)
{
	unsigned char *bytes = new_pattern(2000, 42);
	struct iovec iov[60];
	size_t i, at = 0;

	for (i = 0; i < 60; i++) {
		iov[i] = (struct iovec){ bytes + at, i % 3 ? i % 29 + 1 : 0 };
		at += iov[i].iov_len;
	}
	equal(at, writev(self->link.ws, iov, 60));
	wire_expect(WIRE, OP_BINARY, true, bytes, at);
	free(bytes);
}

CASE(send, sendmmsg)
{
	struct mmsghdr m[6];
	struct iovec iov[6];
	int i;

	memset(m, 0, sizeof(m));
	for (i = 0; i < 6; i++) {
		iov[i] = (struct iovec){ "abcdef", i };
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	equal(6, sendmmsg(self->link.ws, m, 6, 0));
	for (i = 0; i < 6; i++) {
		equal(i, m[i].msg_len);
		wire_expect(WIRE, OP_BINARY, true, "abcdef", i);
	}
}

/* Pitfall 26: the messages before the bad one are not left behind. */
CASE(send, pitfall26_sendmmsg_ends_early)
{
	struct mmsghdr m[3];
	struct iovec iov[3] = { { "one", 3 }, { "two", 3 }, { (void *)8, 3 } };
	int i;

	memset(m, 0, sizeof(m));
	for (i = 0; i < 3; i++) {
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	equal(2, sendmmsg(self->link.ws, m, 3, 0));
	wire_expect(WIRE, OP_BINARY, true, "one", 3);
	wire_expect(WIRE, OP_BINARY, true, "two", 3);
}

/* RFC 6455 5.3: every frame has a fresh key; and the user's memory is not masked in place. */
CASE(send, masked_with_fresh_keys)
{
	unsigned char *bytes = new_pattern(1000, 43), *copy = new_pattern(1000, 43);
	__u32 keys[32];
	int i, k;

	for (i = 0; i < 32; i++) {
		equal(1000, ws_send(self->link.ws, OP_BINARY, bytes, 1000, 0));
		wire_expect(WIRE, OP_BINARY, true, bytes, 1000);
		keys[i] = self->link.wire.seen.key;
		check(!memcmp(bytes, copy, 1000));
		for (k = 0; k < i && variant->shape.client; k++)
			check(keys[k] != keys[i]);
	}
	free(copy);
	free(bytes);
}

/* Row 3: what was taken is not the user's memory any more. */
CASE(send, row3_buffer_reused_at_once)
{
	unsigned char *bytes = new_pattern(20000, 44), *copy = new_pattern(20000, 44);

	equal(20000, ws_send(self->link.ws, OP_BINARY, bytes, 20000, 0));
	memset(bytes, 0, 20000);
	wire_expect(WIRE, OP_BINARY, true, copy, 20000);
	free(copy);
	free(bytes);
}

/* Pitfall 8: a header never announces what could not be read. */
CASE(send, pitfall8_bad_buffer)
{
	char *page = must(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ssize_t n;

	must(mprotect(page + 4096, 4096, PROT_NONE));
	pattern(page, 4096, 45);
	refuses(EFAULT, ws_send(self->link.ws, OP_BINARY, page + 4096, 100, 0));
	n = ws_send(self->link.ws, OP_BINARY, page + 4000, 200, 0);
	if (n == -1) {
		equal(EFAULT, errno);
		n = 0;
	} else {
		check(n > 0 && n <= 96);
	}
	/* either nothing was sent, or n bytes of a message that is still open */
	equal(3, ws_send(self->link.ws, 0, "end", 3, 0));
	memmove(page, page + 4000, n);
	memcpy(page + n, "end", 3);
	wire_expect_message(WIRE, OP_BINARY, page, n + 3);
	put(OUT, .opcode = OP_TEXT, .text = "alive");
	peer_write(LINK);
	expect_text(LINK, "alive");
}

/* Text that is sent is not checked. */
CASE(send, any_text)
{
	equal(3, ws_send(self->link.ws, OP_TEXT, "\xff\xc0\x80", 3, 0));
	wire_expect(WIRE, OP_TEXT, true, "\xff\xc0\x80", 3);
}

CASE(send, refused_flags)
{
	refuses(EOPNOTSUPP, send(self->link.ws, "x", 1, MSG_OOB));
	refuses(EOPNOTSUPP, send(self->link.ws, "x", 1, MSG_ZEROCOPY));
	refuses(EOPNOTSUPP, send(self->link.ws, "x", 1, MSG_FASTOPEN));
	peer_expect_silence(LINK);
	equal(1, send(self->link.ws, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CONFIRM | MSG_EOR));
	wire_expect(WIRE, OP_BINARY, true, "x", 1);
}

SELFTEST_MAIN
