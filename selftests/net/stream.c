// SPDX-License-Identifier: GPL-2.0
/*
 * Messages that TCP cannot hold: larger than a locked SO_RCVBUF, or than the buffer may grow. They come in parts, whole
 * ones never do; nothing stalls; control frames, errors and the end find their place between the parts.
 * time limit: 240 s
 */
#include "shapes.h"

FIXTURE_WITH_LINK(stream);
#ifdef OVER_TLS
SHAPE(stream, tls13_rcvbuf_2k, SEGMENT_FRAME, IPV4, false, false, 1152, .tls = TLS_1_3_VERSION);
SHAPE(stream, tls12_rcvbuf_16k_seven, SEGMENT_SEVEN, IPV6, true, false, 8192, .tls = TLS_1_2_VERSION);
SHAPE(stream, tls13_rcvbuf_128k_client, SEGMENT_ALL, IPV4, false, true, 65536, .tls = TLS_1_3_VERSION);
#else
SHAPE(stream, rcvbuf_2k_blocking, SEGMENT_FRAME, IPV4, false, false, 1152);
SHAPE(stream, rcvbuf_2k_poll, SEGMENT_FRAME, IPV4, true, false, 1152);
SHAPE(stream, rcvbuf_2k_client, SEGMENT_FRAME, IPV6, true, true, 1152);
SHAPE(stream, rcvbuf_16k_blocking, SEGMENT_FRAME, IPV6, false, false, 8192);
SHAPE(stream, rcvbuf_16k_poll, SEGMENT_HEADER, IPV4, true, false, 8192);
SHAPE(stream, rcvbuf_16k_seven, SEGMENT_SEVEN, IPV4, true, false, 8192);
SHAPE(stream, rcvbuf_16k_client, SEGMENT_ALL, IPV4, false, true, 8192);
SHAPE(stream, rcvbuf_128k_blocking, SEGMENT_ALL, IPV4, false, false, 65536);
SHAPE(stream, rcvbuf_128k_poll, SEGMENT_ALL, IPV6, true, false, 65536);
#endif

static size_t too_big(const struct shape *shape)
{
	return shape->rcvbuf < 8192 ? 100000 : shape->rcvbuf * 15;
}

static int rcvbuf(int fd)
{
	int value;
	socklen_t len = sizeof(value);

	must(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len));
	return value;
}

CASE(stream, row21_row43_larger_than_the_buffer)
{
	size_t len = too_big(&variant->shape);
	unsigned char *bytes = new_pattern(len, 11);
	int before = rcvbuf(self->link.ws);

	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = len);
	put(OUT, .opcode = OP_TEXT, .text = "behind");
	peer_feed(LINK);
	expect_parts(LINK, OP_BINARY, bytes, len, len);
	expect_text(LINK, "behind");
	peer_fed(LINK);
	equal(before, rcvbuf(self->link.ws));
	free(bytes);
}

/* Row 21: half the buffer, the buffer, twice. */
CASE(stream, row21_about_the_buffer)
{
	size_t len = 4 * rcvbuf(self->link.ws), i;
	unsigned char *bytes = new_pattern(len, 12);

	for (i = 1; i <= 8; i *= 2)
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = len / i);
	peer_feed(LINK);
	for (i = 1; i <= 8; i *= 2)
		expect_parts(LINK, OP_BINARY, bytes, len / i, 4 * len);
	peer_fed(LINK);
	free(bytes);
}

CASE(stream, waitall_gets_all)
{
	size_t len = too_big(&variant->shape);
	unsigned char *bytes = new_pattern(len, 13), *buffer = new_pattern(len + 10, 0);
	struct received r;

	put(OUT, .opcode = OP_BINARY, .more = true, .payload = bytes, .len = len / 2);
	put(OUT, .opcode = OP_CONTINUATION, .payload = bytes + len / 2, .len = len - len / 2);
	peer_feed(LINK);
	if (variant->shape.nonblocking)
		ws_wait(self->link.ws, POLLIN);
	r = ws_recvmsg(self->link.ws, buffer, len + 10, MSG_WAITALL);
	equal(len, r.n);
	equal(MSG_EOR, r.flags & MSG_EOR);
	equal(WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END, r.record.flags);
	check(!memcmp(bytes, buffer, len));
	peer_fed(LINK);
	free(buffer);
	free(bytes);
}

CASE(stream, pings_between_the_fragments)
{
	size_t len = too_big(&variant->shape), piece = len / 10, i;
	unsigned char *bytes = new_pattern(len, 14);

	for (i = 0; i < 10; i++) {
		put(OUT, .opcode = i ? OP_CONTINUATION : OP_BINARY, .more = i < 9,
		    .payload = bytes + i * piece, .len = piece);
		put(OUT, .opcode = OP_PING, .payload = bytes + i, .len = 1);
	}
	peer_feed(LINK);
	expect_parts(LINK, OP_BINARY, bytes, 10 * piece, 10 * piece);
	peer_fed(LINK);
	do {	/* the last one is answered, whatever others are */
		equal(WIRE_FRAME, wire_read(WIRE));
		equal(OP_PONG, self->link.wire.seen.opcode);
		equal(1, self->link.wire.seen.len);
	} while (self->link.wire.seen.payload[0] != bytes[9]);
	free(bytes);
}

/* Parts that were delivered are followed by what happened to the rest. */
static size_t first_parts(struct link *l, const unsigned char *bytes, size_t want)
{
	unsigned char *buffer = new_pattern(want, 0);
	struct received r;
	size_t have = 0;

	while (have < want) {
		r = ws_receive(l, buffer, want - have, 0);
		check(r.n > 0 && !(r.flags & MSG_EOR) && !memcmp(buffer, bytes + have, r.n));
		check(r.record.frame_left > 0);
		have += r.n;
	}
	free(buffer);
	return have;
}

CASE(stream, fin_in_the_middle)
{
	size_t len = too_big(&variant->shape);
	unsigned char *bytes = new_pattern(len, 15);

	put(OUT, .opcode = OP_BINARY, .announce = len + 1, .payload = bytes, .len = len);
	peer_feed(LINK);
	first_parts(LINK, bytes, len / 2);
	first_parts(LINK, bytes + len / 2, len - len / 2);
	peer_fed(LINK);
	must(shutdown(self->link.peer, SHUT_WR));
	expect_end(LINK, 1006);
	free(bytes);
}

CASE(stream, broken_frame_behind_parts)
{
	size_t len = too_big(&variant->shape);
	unsigned char *bytes = new_pattern(len, 16);

	put(OUT, .opcode = OP_BINARY, .more = true, .payload = bytes, .len = len);
	put(OUT, .opcode = OP_TEXT, .text = "not a continuation");
	peer_feed(LINK);
	first_parts(LINK, bytes, len / 2);
	do {
		struct received r = ws_receive(LINK, bytes, len, 0);

		if (r.n == -1) {
			equal(EPROTO, r.error);
			break;
		}
		check(r.n > 0 && !(r.flags & MSG_EOR));
	} while (1);
	peer_fed(LINK);
	expect_error(LINK, EPROTO);
	wire_expect_close(WIRE, 1002);
	free(bytes);
}

CASE(stream, bad_text_in_a_later_part)
{
	size_t len = too_big(&variant->shape), seen = 0;
	char *text = malloc(len);
	struct received r;

	memset(text, 'a', len);
	text[len - 100] = 0xff;
	put(OUT, .opcode = OP_TEXT, .payload = text, .len = len);
	peer_feed(LINK);
	while (1) {
		r = ws_receive(LINK, text, len, 0);
		if (r.n == -1)
			break;
		check(!(r.flags & MSG_EOR));
		seen += r.n;
	}
	equal(EILSEQ, r.error);
	check(seen <= len - 100);
	expect_error(LINK, EILSEQ);
	peer_fed(LINK);
	wire_expect_close(WIRE, 1007);
	free(text);
}

SELFTEST_MAIN
