// SPDX-License-Identifier: GPL-2.0
/* See frame.h. */
#include <endian.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "frame.h"
#include "keys.h"

void pattern(void *bytes, size_t len, unsigned int seed)
{
	unsigned char *p = bytes;
	__u32 x = seed * 2654435761u + 12345;
	size_t i;

	for (i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = x >> 24;
	}
}

unsigned char *new_pattern(size_t len, unsigned int seed)
{
	unsigned char *bytes = malloc(len + 1);

	check(bytes);
	pattern(bytes, len, seed);
	return bytes;
}

bool close_code_valid(unsigned int code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

void stream_init(struct stream *s, bool masked)
{
	memset(s, 0, sizeof(*s));
	s->masked = masked;
	s->seed = 0x9e3779b9;
}

void stream_free(struct stream *s)
{
	free(s->bytes);
	free(s->marks);
	stream_init(s, s->masked);
}

void stream_clear(struct stream *s)
{
	s->len = 0;
	s->count = 0;
}

static unsigned char *stream_grow(struct stream *s, size_t more)
{
	unsigned char *at;

	if (s->len + more > s->room) {
		s->room = (s->len + more) * 2;
		s->bytes = realloc(s->bytes, s->room);
		check(s->bytes);
	}
	at = s->bytes + s->len;
	s->len += more;
	return at;
}

static void stream_mark(struct stream *s, size_t header)
{
	if (s->count == s->mark_room) {
		s->mark_room = s->mark_room * 2 + 16;
		s->marks = reallocarray(s->marks, s->mark_room, sizeof(*s->marks));
		check(s->marks);
	}
	s->marks[s->count].start = s->len;
	s->marks[s->count].payload = s->len + header;
	s->count++;
}

void stream_raw(struct stream *s, const void *bytes, size_t len)
{
	stream_mark(s, 0);
	memcpy(stream_grow(s, len), bytes, len);
}

static enum length_encoding minimal(__u64 len)
{
	return len < 126 ? LENGTH_7 : len < 65536 ? LENGTH_16 : LENGTH_64;
}

/* The header into @h; its length. */
static size_t header(unsigned char *h, const struct frame *f, __u64 len, bool masked, __u32 key)
{
	enum length_encoding encoding = f->encoding ? f->encoding : minimal(len);
	size_t n = 2;
	int i;

	h[0] = (f->more ? 0 : 0x80) | f->rsv << 4 | f->opcode;
	h[1] = masked ? 0x80 : 0;
	switch (encoding) {
	case LENGTH_16:
		h[1] |= 126;
		h[n++] = len >> 8;
		h[n++] = len;
		break;
	case LENGTH_64:
		h[1] |= 127;
		for (i = 56; i >= 0; i -= 8)
			h[n++] = len >> i;
		break;
	default:
		h[1] |= len;
	}
	if (masked)
		for (i = 24; i >= 0; i -= 8)
			h[n++] = key >> i;
	return n;
}

void stream_frame(struct stream *s, const struct frame *f)
{
	bool masked = f->mask == MASK_BY_ROLE ? s->masked : f->mask == MASK_ON;
	const unsigned char *payload = f->text ? (const void *)f->text : f->payload;
	size_t i, len = f->text ? strlen(f->text) : f->len;
	unsigned char head[14], *p;
	size_t head_len;
	__u32 key;

	s->seed = s->seed * 1664525u + 1013904223u;
	key = f->key_zero ? 0 : f->key ? f->key : s->seed;
	head_len = header(head, f, f->announce ? f->announce : len, masked, key);
	stream_mark(s, head_len);
	p = stream_grow(s, head_len + len);
	memcpy(p, head, head_len);
	p += head_len;
	for (i = 0; i < len; i++)
		p[i] = payload[i] ^ (masked ? key >> (24 - i % 4 * 8) & 0xff : 0);
}

void put_close(struct stream *s, unsigned int code, const char *reason)
{
	char payload[CONTROL_MAX];
	size_t len = 0;

	if (code) {
		payload[0] = code >> 8;
		payload[1] = code;
		len = 2 + strlen(reason);
		check(len <= CONTROL_MAX);
		memcpy(payload + 2, reason, len - 2);
	}
	put(s, .opcode = OP_CLOSE, .payload = payload, .len = len);
}

/* Over TLS close_notify comes before the end, and is nothing by itself. */
static ssize_t wire_recv(struct wire *w)
{
	unsigned char *to = w->bytes + w->have;
	enum record type;
	ssize_t n;

	if (!w->tls)
		return recv(w->fd, to, w->room - w->have, MSG_DONTWAIT);
	for (;;) {
		n = tls_recv_record(w->fd, &type, to, w->room - w->have, MSG_DONTWAIT);
		if (n > 0 && w->notified)
			fail("a record behind close_notify");
		if (n <= 0 || type == RECORD_DATA)
			return n;
		if (type != RECORD_ALERT || n != 2 || to[1])
			fail("a record of type %u, %zd bytes, %u %u", type, n, to[0], n > 1 ? to[1] : 0);
		w->notified = true;
	}
}

/* One read() into the buffer. */
static enum wire_result wire_fill(struct wire *w)
{
	struct pollfd pfd = { .fd = w->fd, .events = POLLIN };
	ssize_t n;

	memmove(w->bytes, w->bytes + w->used, w->have - w->used);
	w->have -= w->used;
	w->used = 0;
	if (w->have == w->room) {
		w->room = w->room * 2 + 4096;
		w->bytes = realloc(w->bytes, w->room);
		check(w->bytes);
	}
	n = wire_recv(w);
	while (n == -1 && errno == EAGAIN) {
		if (poll(&pfd, 1, w->patience_ms ?: 30000) != 1)
			fail("nothing came from the module in %d ms", w->patience_ms ?: 30000);
		n = wire_recv(w);
	}
	if (!n && w->tls && !w->notified)
		fail("the connection ended without close_notify");
	if (n == -1 && (errno == ECONNRESET || errno == EPIPE))
		return WIRE_RESET;
	if (n == -1)
		fail("recv: %s", error_name(errno));
	w->have += n;
	return n ? WIRE_FRAME : WIRE_END;
}

/* Length of the header at @h once that is known from @have bytes of it, else 0. */
static size_t header_length(const unsigned char *h, size_t have)
{
	size_t n = 2;

	if (have < 2)
		return 0;
	n += (h[1] & 127) == 126 ? 2 : (h[1] & 127) == 127 ? 8 : 0;
	n += h[1] & 0x80 ? 4 : 0;
	return have >= n ? n : 0;
}

static __u64 payload_length(const unsigned char *h)
{
	__u64 len = h[1] & 127;
	int i;

	if (len == 126) {
		len = h[2] << 8 | h[3];
		if (len < 126)
			fail("%llu in a 16-bit length", (unsigned long long)len);
	} else if (len == 127) {
		for (len = 0, i = 0; i < 8; i++)
			len = len << 8 | h[2 + i];
		if (len < 65536 || len >> 63)
			fail("%llu in a 64-bit length", (unsigned long long)len);
	}
	return len;
}

static void check_header(struct wire *w, const unsigned char *h, __u64 len)
{
	__u8 opcode = h[0] & 15;
	bool fin = h[0] & 0x80;

	if (w->closed && !(w->pongs_late && opcode == OP_PONG))
		fail("a frame after the Close: %02x %02x", h[0], h[1]);
	if (h[0] & 0x70)
		fail("RSV bits in %02x", h[0]);
	if (!!(h[1] & 0x80) != w->expect_mask)
		fail("%s frame", w->expect_mask ? "unmasked" : "masked");
	if (opcode >= 8) {
		if (opcode > 10 || !fin || len > CONTROL_MAX)
			fail("control frame %02x of %llu bytes", h[0], (unsigned long long)len);
		w->closed |= opcode == OP_CLOSE;
		return;
	}
	if (opcode > 2)
		fail("reserved opcode %u", opcode);
	if (w->open != (opcode == OP_CONTINUATION))
		fail("opcode %u while %s message is open", opcode, w->open ? "a" : "no");
	w->open = !fin;
}

static void check_close(const struct seen *f)
{
	unsigned int code;

	if (!f->len)
		return;
	if (f->len == 1)
		fail("a Close with a payload of one byte");
	code = f->payload[0] << 8 | f->payload[1];
	if (!close_code_valid(code))
		fail("a Close with code %u", code);
}

enum wire_result wire_read(struct wire *w)
{
	struct seen *f = &w->seen;
	enum wire_result result;
	unsigned char *h;
	size_t head, i;
	__u64 len;

	while (!(head = header_length(w->bytes + w->used, w->have - w->used))) {
		result = wire_fill(w);
		if (result == WIRE_FRAME)
			continue;
		if (w->have > w->used && result == WIRE_END && !w->may_be_cut)
			fail("the connection ended in a header");
		return result;
	}
	len = payload_length(w->bytes + w->used);
	check_header(w, w->bytes + w->used, len);
	while (w->have - w->used < head + len) {
		result = wire_fill(w);
		if (result == WIRE_END && !w->may_be_cut)
			fail("the connection ended in a frame");
		if (result != WIRE_FRAME)
			return result;
	}
	h = w->bytes + w->used;
	*f = (struct seen){ .fin = h[0] & 0x80, .masked = h[1] & 0x80, .opcode = h[0] & 15,
			    .len = len, .payload = h + head };
	if (f->masked) {
		f->key = (__u32)h[head - 4] << 24 | h[head - 3] << 16 | h[head - 2] << 8 | h[head - 1];
		for (i = 0; i < len; i++)
			f->payload[i] ^= f->key >> (24 - i % 4 * 8);
	}
	w->used += head + len;
	if (f->opcode == OP_CLOSE)
		check_close(f);
	return WIRE_FRAME;
}

void wire_free(struct wire *w)
{
	free(w->bytes);
	w->bytes = NULL;
	w->have = w->room = w->used = 0;
}

static const char *result_name(enum wire_result result)
{
	static const char *const names[] = { "a frame", "the end", "a reset" };

	return names[result];
}

static void read_frame(struct wire *w)
{
	enum wire_result result = wire_read(w);

	if (result != WIRE_FRAME)
		fail("%s instead of a frame", result_name(result));
}

static void same(const void *expected, size_t expected_len, const void *seen, size_t seen_len)
{
	const unsigned char *a = expected, *b = seen;
	size_t i;

	if (expected_len != seen_len)
		fail("%zu bytes instead of %zu", seen_len, expected_len);
	for (i = 0; i < seen_len; i++)
		if (a[i] != b[i])
			fail("byte %zu of %zu is %02x, not %02x", i, seen_len, b[i], a[i]);
}

void wire_expect_(struct wire *w, __u8 opcode, bool fin, const void *payload, size_t len)
{
	read_frame(w);
	if (w->seen.opcode != opcode || w->seen.fin != fin)
		fail("frame with opcode %u, FIN %d, %zu bytes; expected opcode %u, FIN %d, %zu bytes",
		     w->seen.opcode, w->seen.fin, w->seen.len, opcode, fin, len);
	same(payload, len, w->seen.payload, w->seen.len);
}

void wire_expect_message_(struct wire *w, __u8 opcode, const void *payload, size_t len)
{
	size_t have = 0;
	bool begun = false;

	do {
		read_frame(w);
		if (w->seen.opcode >= 8)
			continue;
		if (!begun && w->seen.opcode != opcode)
			fail("opcode %u, not %u", w->seen.opcode, opcode);
		begun = true;
		if (have + w->seen.len > len)
			fail("at least %zu bytes instead of %zu", have + w->seen.len, len);
		same((const char *)payload + have, w->seen.len, w->seen.payload, w->seen.len);
		have += w->seen.len;
	} while (w->seen.opcode >= 8 || !w->seen.fin);
	if (have != len)
		fail("%zu bytes instead of %zu", have, len);
}

void wire_is_close_(const struct wire *w, unsigned int code)
{
	unsigned int seen = 1005;

	if (w->seen.opcode != OP_CLOSE)
		fail("opcode %u instead of a Close", w->seen.opcode);
	if (w->seen.len)
		seen = w->seen.payload[0] << 8 | w->seen.payload[1];
	if (seen != code)
		fail("Close %u instead of %u", seen, code);
}

void wire_expect_close_(struct wire *w, unsigned int code)
{
	read_frame(w);
	wire_is_close_(w, code);
}

void wire_expect_end_(struct wire *w)
{
	enum wire_result result = wire_read(w);

	if (result != WIRE_END)
		fail("%s (opcode %u) instead of the end", result_name(result), w->seen.opcode);
}

void wire_expect_reset_(struct wire *w)
{
	enum wire_result result = wire_read(w);

	if (result != WIRE_RESET)
		fail("%s (opcode %u) instead of a reset", result_name(result), w->seen.opcode);
}
