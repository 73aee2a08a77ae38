// SPDX-License-Identifier: GPL-2.0
/* Client frames, built in advance, and the check of what comes back. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define FIN	0x80
#define MASK	0x80

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
	u8 *p = wire, key[4];
	unsigned int i;

	for (i = 0; i < 4; i++)
		key[i] = random();
	*p++ = first;
	if (n < 126) {
		*p++ = MASK | n;
	} else {
		unsigned int bytes = n <= 0xffff ? 2 : 8;

		*p++ = MASK | (bytes == 2 ? 126 : 127);
		while (bytes--)
			*p++ = bytes < 8 ? (u64)n >> 8 * bytes : 0;
	}
	memcpy(p, key, 4);
	p += 4;
	for (size_t j = 0; j < n; j++)
		*p++ = payload[j] ^ key[j & 3];
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
	size_t total = size * count;

	b->size = size;
	b->count = count;
	b->opcode = opcode == OP_PING ? OP_PONG : opcode;
	b->payload = malloc(total + 1);
	b->wire = malloc(total + 14 * count);
	if (!b->payload || !b->wire)
		die("no memory");
	for (size_t i = 0; i < total; i++)
		b->payload[i] = random() >> 8;
	b->wire_len = 0;
	for (unsigned int i = 0; i < count; i++)
		b->wire_len += put_frame(b->wire + b->wire_len, FIN | opcode, b->payload + i * size, size);
	if (opt.raw && opcode == OP_PING) {
		/* as many bytes as the ping has */
		b->size = b->wire_len / count;
		free(b->payload);
		b->payload = malloc(b->wire_len);
		if (!b->payload)
			die("no memory");
		memcpy(b->payload, b->wire, b->wire_len);
	} else if (opt.raw) {
		memcpy(b->wire, b->payload, total);
		b->wire_len = total;
	}
}

void burst_free(struct burst *b)
{
	free(b->payload);
	free(b->wire);
}

/* Takes bytes of a header. Return: how many. */
static size_t take_head(const struct burst *b, struct reader *r, const u8 *p, size_t n)
{
	size_t need = 2, taken = 0;
	u8 expected;

	for (;;) {
		if (r->have >= 2) {
			u8 len = r->head[1];

			need = len < 126 ? 2 : len == 126 ? 4 : 10;
		}
		if (r->have == need)
			break;
		if (taken == n)
			return taken;
		r->head[r->have++] = p[taken++];
	}
	expected = r->begun ? OP_CONTINUATION : b->opcode;
	if ((r->head[0] & ~FIN) != expected || r->head[1] & MASK)
		die("unexpected frame %02x %02x", r->head[0], r->head[1]);
	r->left = r->head[1];
	if (need > 2)
		r->left = 0;
	for (size_t i = 2; i < need; i++)
		r->left = r->left << 8 | r->head[i];
	if (r->left > b->size * b->count - r->pos)
		die("a frame of %llu bytes is too long", (unsigned long long)r->left);
	r->fin = r->head[0] & FIN;
	r->inside = true;
	r->begun = !r->fin;
	r->have = 0;
	r->frames++;
	return taken;
}

static void check(const struct burst *b, size_t pos, const u8 *p, size_t n)
{
	if (pos + n > b->size * b->count || memcmp(b->payload + pos, p, n))
		die("not what was sent, at byte %zu of %zu x %u", pos, b->size, b->count);
}

static unsigned int check_raw(const struct burst *b, struct reader *r, const u8 *p, size_t n)
{
	size_t before = r->pos / b->size;

	check(b, r->pos, p, n);
	r->pos += n;
	return r->pos / b->size - before;
}

/**
 * burst_check() - bytes that came back
 * @b: what was sent
 * @r: how much of it has been seen
 * @p: the bytes
 * @n: how many
 *
 * Return: how many messages ended in them. Does not return if they are not the echo.
 */
unsigned int burst_check(const struct burst *b, struct reader *r, const u8 *p, size_t n)
{
	const u8 *end = p + n;
	unsigned int done = 0;

	if (opt.raw)
		return check_raw(b, r, p, n);
	while (p < end || (r->inside && !r->left)) {
		if (!r->inside) {
			p += take_head(b, r, p, end - p);
			continue;
		}
		n = r->left < (u64)(end - p) ? r->left : (u64)(end - p);
		check(b, r->pos, p, n);
		p += n;
		r->pos += n;
		r->left -= n;
		if (r->left)
			continue;
		r->inside = false;
		if (!r->fin)
			continue;
		if (b->size && r->pos % b->size)
			die("a message ended after %zu bytes, not %zu", r->pos, b->size);
		done++;
	}
	return done;
}
