// SPDX-License-Identifier: GPL-2.0
/* Streams made by chance, and the account of what was sent: the rest of model.h. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "model.h"

enum { SIZE_LIMIT = 200000 };

/* Text of @len bytes or a little less, with characters of every length. */
static size_t random_text(struct rng *r, unsigned char *p, size_t len)
{
	static const char *const many[] = { "a", "Z", " ", "\n", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf" };
	size_t n = 0, step;
	bool ascii = chance(r, 50);

	for (;;) {
		const char *c = many[rnd(r, ascii ? 4 : 8)];

		step = strlen(c);
		if (n + step > len)
			return n;
		memcpy(p + n, c, step);
		n += step;
	}
}

static void put_control_frame(struct script *s, struct rng *r)
{
	unsigned char payload[CONTROL_MAX];
	size_t len = chance(r, 50) ? rnd(r, 9) : rnd(r, CONTROL_MAX + 1);

	pattern(payload, len, rnd(r, 1 << 30));
	put(&s->out, .opcode = chance(r, 70) ? OP_PING : OP_PONG, .payload = payload, .len = len);
}

/* A message in fragments, control frames between them. */
static void put_message(struct script *s, struct rng *r)
{
	size_t len = s->out.len < SIZE_LIMIT ? rnd_size(r, 140000) : rnd(r, 10), from = 0, n;
	unsigned char *payload = new_pattern(len, rnd(r, 1 << 30));
	__u8 opcode = chance(r, 50) ? OP_TEXT : OP_BINARY;
	unsigned int parts = chance(r, 60) ? 1 : 1 + rnd(r, 5);

	if (opcode == OP_TEXT)
		len = random_text(r, payload, len);
	while (parts--) {
		n = parts ? rnd(r, len - from + 1) : len - from;
		put(&s->out, .opcode = opcode, .more = parts, .payload = payload + from, .len = n,
		    .key_zero = chance(r, 3));
		opcode = OP_CONTINUATION;
		from += n;
		if (parts && chance(r, 25))
			put_control_frame(s, r);
	}
	free(payload);
}

/* Mostly somewhere in a header, where it matters. */
static size_t random_place(const struct stream *out, struct rng *r)
{
	size_t at = chance(r, 70) && out->count ? out->marks[rnd(r, out->count)].start + rnd(r, 15) : rnd(r, out->len);

	return at < out->len ? at : out->len - 1;
}

static void damage(struct stream *out, struct rng *r)
{
	size_t at = random_place(out, r), n = 1 + rnd(r, chance(r, 80) ? 4 : 40);
	unsigned char copy[40];

	switch (rnd(r, 6)) {
	case 0:
	case 1:
		out->bytes[at] ^= 1 << rnd(r, 8);
		break;
	case 2:
		out->bytes[at] = rnd(r, 256);
		break;
	case 3:		/* some are lost */
		n = n < out->len - at ? n : out->len - at;
		memmove(out->bytes + at, out->bytes + at + n, out->len - at - n);
		out->len -= n;
		break;
	case 4:		/* some come twice */
		n = n < out->len - at ? n : out->len - at;
		memcpy(copy, out->bytes + out->len - n, n);
		stream_raw(out, copy, n);
		out->count--;
		memmove(out->bytes + at + n, out->bytes + at, out->len - at - n);
		break;
	default:
		out->len = at;
	}
}

void script_make(struct script *s, struct rng *r, bool client)
{
	static const unsigned int codes[] = { 0, 1000, 1001, 1003, 1011, 3000, 4999, 1004, 1005, 999 };
	unsigned int n = 1 + rnd(r, chance(r, 85) ? 6 : 40);

	stream_init(&s->out, !client);
	s->out.seed = rnd(r, 1 << 30);
	s->client = client;
	while (n--) {
		if (chance(r, 25))
			put_control_frame(s, r);
		else
			put_message(s, r);
	}
	if (chance(r, 30))
		put_close(&s->out, codes[rnd(r, chance(r, 80) ? 7 : 10)], chance(r, 50) ? "" : "that is enough");
	if (chance(r, 10))
		put_message(s, r);
	s->damaged = chance(r, 40);
	for (n = s->damaged ? 1 + rnd(r, 3) : 0; n && s->out.len; n--)
		damage(&s->out, r);
}

void script_free(struct script *s)
{
	stream_free(&s->out);
}

static void *grow(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return array;
	*room = count * 2 + 8;
	array = reallocarray(array, *room, size);
	check(array);
	return array;
}

static size_t keep(struct account *a, const void *bytes, size_t len)
{
	size_t at = a->len;

	if (a->len + len > a->room) {
		a->room = (a->len + len) * 2 + 256;
		a->bytes = realloc(a->bytes, a->room);
		check(a->bytes);
	}
	if (len)
		memcpy(a->bytes + at, bytes, len);
	a->len += len;
	return at;
}

void account_data(struct account *a, __u8 opcode, const void *bytes, size_t len, bool end)
{
	struct sent *last;

	if (!a->open) {
		a->message = grow(a->message, a->messages, &a->message_room, sizeof(*a->message));
		a->message[a->messages++] = (struct sent){ .opcode = opcode, .at = a->len };
		a->open = true;
	}
	last = &a->message[a->messages - 1];
	/* control frames may have come between: the message is one run of bytes */
	if (last->at + last->len != a->len) {
		unsigned char *copy = malloc(last->len + 1);

		check(copy);
		memcpy(copy, a->bytes + last->at, last->len);
		last->at = keep(a, copy, last->len);
		free(copy);
	}
	keep(a, bytes, len);
	last->len += len;
	last->end = end;
	a->open = !end;
}

void account_control(struct account *a, __u8 opcode, const void *bytes, size_t len)
{
	a->control = grow(a->control, a->controls, &a->control_room, sizeof(*a->control));
	a->control[a->controls++] = (struct sent){ .opcode = opcode, .end = true, .at = keep(a, bytes, len), .len = len };
}

void account_free(struct account *a)
{
	free(a->bytes);
	free(a->message);
	free(a->control);
	memset(a, 0, sizeof(*a));
}

static bool same(const struct account *a, const struct sent *x, const void *bytes, size_t len)
{
	return x->len == len && !memcmp(a->bytes + x->at, bytes, len);
}

static void compare_messages(const struct account *accepted, const struct account *seen, bool complete)
{
	size_t i;

	if (seen->messages > accepted->messages)
		fail("%zu messages on the wire, %zu were sent", seen->messages, accepted->messages);
	for (i = 0; i < seen->messages; i++) {
		const struct sent *x = &accepted->message[i], *y = &seen->message[i];

		equal(x->opcode, y->opcode);
		if (y->len > x->len || memcmp(accepted->bytes + x->at, seen->bytes + y->at, y->len))
			fail("message %zu: %zu bytes on the wire, %zu sent, or others", i, y->len, x->len);
		if (y->end && (y->len != x->len || !x->end))
			fail("message %zu ends after %zu bytes of %zu", i, y->len, x->len);
	}
	if (!complete)
		return;
	equal(accepted->messages, seen->messages);
	if (i && (accepted->message[i - 1].len != seen->message[i - 1].len ||
		  accepted->message[i - 1].end != seen->message[i - 1].end))
		fail("the last message has %zu bytes (FIN %d), %zu (%d) were sent", seen->message[i - 1].len,
		     seen->message[i - 1].end, accepted->message[i - 1].len, accepted->message[i - 1].end);
}

void account_compare(const struct account *accepted, const struct account *seen, const struct model *m, bool complete,
		     bool keepalive)
{
	size_t i, own = 0, ping = 0;

	compare_messages(accepted, seen, complete);
	for (i = 0; i < seen->controls; i++) {
		const struct sent *y = &seen->control[i];
		const unsigned char *bytes = seen->bytes + y->at;

		if (y->opcode == OP_CLOSE)
			continue;
		if (own < accepted->controls && accepted->control[own].opcode == y->opcode &&
		    same(accepted, &accepted->control[own], bytes, y->len)) {
			own++;
			continue;
		}
		if (y->opcode == OP_PING && keepalive && y->len == 4)
			continue;
		if (y->opcode == OP_PING)
			fail("a ping of %zu bytes that nobody sent", y->len);
		while (ping < m->pings && (m->ping[ping].len != y->len ||
					   memcmp(m->bytes + m->ping[ping].at, bytes, y->len)))
			ping++;
		if (ping++ == m->pings)
			fail("a pong of %zu bytes that answers no ping, or one out of order", y->len);
	}
	if (complete && own != accepted->controls)
		fail("%zu control frames of %zu that were sent", own, accepted->controls);
}
