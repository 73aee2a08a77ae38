// SPDX-License-Identifier: GPL-2.0
/* Client frames, built in advance, and the check of what comes back. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define FIN	0x80
#define MASK	0x80

/* Return: bytes written */
static size_t put_head(u8 *wire, u8 first, u8 mask, size_t n)
{
	unsigned int bytes = n < 126 ? 0 : n <= 0xffff ? 2 : 8;
	u8 *p = wire;

	*p++ = first;
	*p++ = mask | (bytes == 0 ? n : bytes == 2 ? 126 : 127);
	while (bytes--)
		*p++ = (u64)n >> 8 * bytes;
	return p - wire;
}

/**
 * put_frame() - write one masked frame
 * @wire: room for @n + 14 bytes
 * @first: FIN and opcode
 * @payload: unmasked
 * @n: its length
 *
 * Return: bytes written
 */
size_t put_frame(u8 *wire, u8 first, const u8 *payload, size_t n)
{
	u8 *p = wire + put_head(wire, first, MASK, n), key[4];

	for (unsigned int i = 0; i < 4; i++)
		*p++ = key[i] = random();
	for (size_t i = 0; i < n; i++)
		*p++ = payload[i] ^ key[i & 3];
	return p - wire;
}

/**
 * burst_make() - @count messages of @size bytes each, all different
 * @b: filled in
 * @size: payload bytes of each
 * @count: how many
 * @opcode: OP_BINARY, or OP_PING
 */
void burst_make(struct burst *b, size_t size, unsigned int count, u8 opcode)
{
	u8 *payload = malloc(size + 1);

	b->size = size;
	b->count = count;
	b->opcode = opcode == OP_PING ? OP_PONG : opcode;
	b->reply = malloc((size + 14) * count);
	b->wire = malloc((size + 14) * count);
	b->wire_len = 0;
	if (!payload || !b->reply || !b->wire)
		die("no memory");
	b->unit = size + (opt.raw ? 0 : put_head(b->reply, 0, 0, size));
	for (unsigned int i = 0; i < count; i++) {
		u8 *reply = b->reply + i * b->unit;

		for (size_t j = 0; j < size; j++)
			payload[j] = random() >> 8;
		if (!opt.raw)
			reply += put_head(reply, FIN | b->opcode, 0, size);
		memcpy(reply, payload, size);
		b->wire_len += put_frame(b->wire + b->wire_len, FIN | opcode, payload, size);
	}
	if (opt.raw && opcode == OP_PING) {
		/* as many bytes as the ping has */
		memcpy(b->reply, b->wire, b->wire_len);
		b->unit = b->wire_len / count;
	} else if (opt.raw) {
		memcpy(b->wire, b->reply, size * count);
		b->wire_len = size * count;
	}
	free(payload);
}

/**
 * burst_make_fragments() - one message of @size bytes in fragments of @piece bytes
 * @b: filled in
 * @size: payload bytes
 * @piece: payload bytes of a fragment
 */
void burst_make_fragments(struct burst *b, size_t size, size_t piece)
{
	size_t fragments = (size + piece - 1) / piece;
	u8 *payload;

	burst_make(b, size, 1, OP_BINARY);
	if (opt.raw)
		return;
	free(b->wire);
	b->wire = malloc(size + 14 * fragments);
	b->wire_len = 0;
	if (!b->wire)
		die("no memory");
	payload = b->reply + b->unit - size;
	for (size_t pos = 0; pos < size; pos += piece) {
		size_t n = size - pos < piece ? size - pos : piece;
		u8 first = (pos ? OP_CONTINUATION : OP_BINARY) | (pos + n == size ? FIN : 0);

		b->wire_len += put_frame(b->wire + b->wire_len, first, payload + pos, n);
	}
}

void burst_free(struct burst *b)
{
	free(b->reply);
	free(b->wire);
}

/* How long the header in r->head is, as far as it can be told. */
static unsigned int head_size(const struct reader *r)
{
	if (r->have < 2 || r->head[1] < 126)
		return 2;
	return r->head[1] == 126 ? 4 : 10;
}

static void enter_frame(const struct burst *b, struct reader *r)
{
	u8 expected = r->begun ? OP_CONTINUATION : b->opcode;
	unsigned int size = head_size(r);

	if ((r->head[0] & ~FIN) != expected || r->head[1] & MASK)
		die("unexpected frame %02x %02x", r->head[0], r->head[1]);
	r->left = size == 2 ? r->head[1] : 0;
	for (unsigned int i = 2; i < size; i++)
		r->left = r->left << 8 | r->head[i];
	if (r->left > b->size * b->count - r->pos)
		die("a frame of %llu bytes is too long", (unsigned long long)r->left);
	r->fin = r->head[0] & FIN;
	r->inside = true;
	r->begun = !r->fin;
	r->have = 0;
}

static void check_payload(const struct burst *b, size_t pos, const u8 *p, size_t n)
{
	size_t head = b->unit - b->size;

	while (n) {
		size_t at = pos % b->size, some = b->size - at;

		if (some > n)
			some = n;
		if (memcmp(b->reply + pos / b->size * b->unit + head + at, p, some))
			die("not what was sent, in bytes %zu to %zu of %zu x %u", pos, pos + some, b->size, b->count);
		pos += some;
		p += some;
		n -= some;
	}
}

static void parse(const struct burst *b, struct reader *r, const u8 *p, size_t n)
{
	const u8 *end = p + n;

	for (;;) {
		if (!r->inside) {
			while (r->have < head_size(r) && p < end)
				r->head[r->have++] = *p++;
			if (r->have < head_size(r))
				return;
			enter_frame(b, r);
		}
		n = r->left < (u64)(end - p) ? r->left : (u64)(end - p);
		check_payload(b, r->pos, p, n);
		p += n;
		r->pos += n;
		r->left -= n;
		if (r->left)
			return;
		r->inside = false;
		if (!r->fin)
			continue;
		r->done++;
		if (r->pos != r->done * b->size)
			die("a message ended after %zu bytes, not %zu", r->pos, b->size);
	}
}

/* A reply comes in other frames than expected: what was seen of it is parsed again. */
static void change_over(const struct burst *b, struct reader *r)
{
	size_t whole = r->same / b->unit;

	r->parsed = true;
	r->done = whole;
	r->pos = whole * b->size;
	parse(b, r, b->reply + whole * b->unit, r->same - whole * b->unit);
}

/**
 * burst_check() - bytes that came back
 * @b: what was sent
 * @r: how much of it has been seen
 * @p: the bytes
 * @n: how many
 *
 * Return: how many messages of the burst have come back. Does not return if they are not the echo.
 */
unsigned int burst_check(const struct burst *b, struct reader *r, const u8 *p, size_t n)
{
	size_t total = b->unit * b->count;

	if (!r->parsed) {
		if (n <= total - r->same && !memcmp(b->reply + r->same, p, n)) {
			r->same += n;
			return r->same == total ? b->count : r->same / b->unit;
		}
		if (opt.raw)
			die("not what was sent, after %zu bytes", r->same);
		change_over(b, r);
	}
	parse(b, r, p, n);
	return r->done;
}
