// SPDX-License-Identifier: GPL-2.0
/*
 * server_parse PORT: echo with a parser of RFC 6455 in the process, as good as it can be.
 *
 * DESIGN NOTES
 *
 * One recv() takes what is there. Frames are unmasked where they lie, and the replies to all of them are put together there as well:
 * one is never longer than its request, whose masking key it does not have. One send() sends them. A message in one frame and one
 * buffer, which all of the measured ones are once they are there, costs no other copy. The rest of a frame that is not there
 * is kept at the start of the buffer, which a connection has while it needs it.
 */
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "busy.h"
#include "server.h"

#define OP_CLOSE	8
#define OP_PING		9
#define OP_PONG		10
#define HEAD		14	/* the longest */

/* The beginning of a frame that is not there completely. */
struct part {
	size_t have, room;
	char bytes[];
};

struct context {
	struct part *part;
};

struct frame {
	uint8_t first;
	size_t head, len;
	uint32_t key;
};

/* Return: 1: decoded; 0: more bytes are needed; -1: not what a client may send */
static int decode(struct frame *f, const uint8_t *p, size_t n)
{
	if (n < 6)
		return 0;
	f->first = p[0];
	f->len = p[1] & 127;
	f->head = 6;
	if (!(p[1] & 0x80) || p[0] & 0x70)
		return -1;
	if (f->len == 126) {
		f->head = 8;
		if (n < 8)
			return 0;
		f->len = p[2] << 8 | p[3];
	} else if (f->len == 127) {
		uint64_t len;

		f->head = 14;
		if (n < 14)
			return 0;
		memcpy(&len, p + 2, 8);
		f->len = be64toh(len);
		if (f->len > BUFFER - HEAD)
			return -1;
	}
	memcpy(&f->key, p + f->head - 4, 4);
	return 1;
}

typedef uint64_t wide __attribute__((vector_size(32), aligned(1), may_alias));

/* To @to, which is not behind @from. With what registers this processor has. */
__attribute__((target_clones("avx2", "default")))
static void unmask(uint8_t *to, const uint8_t *from, size_t n, uint32_t key)
{
	uint64_t word = (uint64_t)key << 32 | key;
	wide words = { word, word, word, word };
	size_t i;

	/* loads before stores: the two may overlap */
	for (; n >= 64; n -= 64, to += 64, from += 64) {
		wide a = ((const wide *)from)[0] ^ words, b = ((const wide *)from)[1] ^ words;

		((wide *)to)[0] = a;
		((wide *)to)[1] = b;
	}
	for (; n >= 8; n -= 8, to += 8, from += 8) {
		uint64_t v;

		memcpy(&v, from, 8);
		v ^= word;
		memcpy(to, &v, 8);
	}
	for (i = 0; i < n; i++)
		to[i] = from[i] ^ (uint8_t)(key >> 8 * (i & 3));
}

/* The header of the reply. Return: its length */
static size_t encode(uint8_t *p, uint8_t first, size_t len)
{
	uint64_t big = htobe64(len);

	p[0] = first;
	if (len < 126) {
		p[1] = len;
		return 2;
	}
	if (len <= 0xffff) {
		p[1] = 126;
		p[2] = len >> 8;
		p[3] = len;
		return 4;
	}
	p[1] = 127;
	memcpy(p + 2, &big, 8);
	return 10;
}

/*
 * The replies to whole frames in @n bytes at @p take their place, one behind the other. *@used gets how many bytes are done with.
 * Return: bytes of replies, or -1
 */
static ssize_t answer(uint8_t *p, size_t n, size_t *used)
{
	uint8_t *to = p;
	size_t at = 0;
	int rc = 0;

	while (at < n) {
		struct frame f;

		rc = decode(&f, p + at, n - at);
		if (rc <= 0 || f.len > n - at - f.head)
			break;
		switch (f.first & 15) {
		case OP_CLOSE:
			return -1;
		case OP_PONG:
			break;
		case OP_PING:
			f.first += OP_PONG - OP_PING;
			/* fallthrough */
		default:
			busy();
			to += encode(to, f.first, f.len);
			unmask(to, p + at + f.head, f.len, f.key);
			to += f.len;
		}
		at += f.head + f.len;
	}
	*used = at;
	return rc < 0 ? -1 : to - p;
}

/* What is left over waits until more is there. */
static bool keep(struct context *c, const char *p, size_t n)
{
	struct part *part = c->part;

	if (!n) {
		free(part);
		c->part = NULL;
		return true;
	}
	if (!part || part->room < n) {
		part = realloc(part, sizeof(*part) + 2 * n);
		if (!part)
			return false;
		part->room = 2 * n;
		c->part = part;
	}
	memcpy(part->bytes, p, n);
	part->have = n;
	return true;
}

static bool ready(int fd, void *context)
{
	struct context *c = context;
	size_t have = c->part ? c->part->have : 0, used = 0;
	ssize_t n;

	if (have)
		memcpy(buffer, c->part->bytes, have);
	n = recv(fd, buffer + have, BUFFER - have, MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	have += n;
	n = answer((uint8_t *)buffer, have, &used);
	if (n < 0 || (n && !write_all(fd, buffer, n)))
		return false;
	return (have == used && !c->part) || keep(c, buffer + used, have - used);
}

static void *start(int fd)
{
	(void)fd;
	return calloc(1, sizeof(struct context));
}

int main(int argc, char **argv)
{
	serve(argv[argc - 1], &(struct handler){ true, start, ready });
}
