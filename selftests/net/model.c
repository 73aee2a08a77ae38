// SPDX-License-Identifier: GPL-2.0
/* See model.h. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "model.h"
#include "../unit/reference.h"

unsigned int rnd(struct rng *r, unsigned int n)
{
	/* xorshift64* */
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return (r->state * 2685821657736338717ULL >> 33) % n;
}

bool chance(struct rng *r, unsigned int percent)
{
	return rnd(r, 100) < percent;
}

unsigned int rnd_size(struct rng *r, unsigned int max)
{
	static const unsigned int scale[] = { 8, 8, 20, 20, 130, 130, 300, 3000, 20000, 140000 };
	unsigned int top = scale[rnd(r, chance(r, 10) ? 10 : 8)];

	return rnd(r, (top < max ? top : max) + 1);
}

/* Room for one more of what @array holds. */
static void *grow(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return array;
	*room = count * 2 + 16;
	array = reallocarray(array, *room, size);
	check(array);
	return array;
}

static size_t keep(unsigned char **to, size_t *have, size_t *room, const void *bytes, size_t len)
{
	size_t at = *have;

	if (*have + len > *room) {
		*room = (*have + len) * 2 + 256;
		*to = realloc(*to, *room);
		check(*to);
	}
	if (len)
		memcpy(*to + at, bytes, len);
	*have += len;
	return at;
}

/* The parse in progress. */
struct parse {
	struct model			*m;
	const struct websocket_config	*config;
	const unsigned char		*p;
	size_t				pos, len;
	bool				masked;
	__u8				open;		/* opcode of the unfinished message */
	bool				begun;		/* a piece of it was made */
	size_t				start, total;	/* of the bytes behind the last piece; announced in all */
	struct ref_utf8			text;
};

static void add_piece(struct parse *s, __u8 opcode, bool begin, bool end, size_t at)
{
	struct model *m = s->m;

	m->piece = grow(m->piece, m->pieces, &m->piece_room, sizeof(*m->piece));
	m->piece[m->pieces++] = (struct piece){ .opcode = opcode, .begin = begin, .end = end, .at = at,
						.len = m->len - at, .wire = s->pos };
}

/* What was read of the open message becomes a piece. */
static void cut_piece(struct parse *s, bool end)
{
	if (end || s->m->len > s->start) {
		add_piece(s, s->open, !s->begun, end, s->start);
		s->begun = true;
	}
}

static void fatal(struct parse *s, __u64 failures, size_t at)
{
	s->m->failures |= failures;
	if (at < s->m->fatal)
		s->m->fatal = at;
}

/* The rest of the open message can be delivered in part, or not at all. */
static void unfinished(struct parse *s)
{
	if (!s->open || s->m->bad_text || s->m->len == s->start)
		return;
	cut_piece(s, false);
	s->m->piece[s->m->pieces - 1].optional = true;
	s->m->piece[s->m->pieces - 1].wire = ~0UL;
}

/* Text up to here, and no further; what the stream says behind it may be noticed before that is read. */
static void bad_text(struct parse *s, size_t good)
{
	if (s->m->bad_text)
		return;
	s->m->len = good;
	unfinished(s);
	s->start = good;
	s->m->bad_text = true;
	fatal(s, REF_SET(UTF8), s->pos);
}

static bool checks_text(const struct parse *s)
{
	return s->open == OP_TEXT && !(s->config->flags & WEBSOCKET_F_NO_UTF8) && !s->m->bad_text;
}

/* Payload of a data frame that has arrived. */
static void take_data(struct parse *s, const unsigned char *p, size_t n, __u32 key)
{
	size_t i, at = s->m->len;

	keep(&s->m->bytes, &s->m->len, &s->m->room, p, n);
	for (i = 0; i < n; i++) {
		s->m->bytes[at + i] ^= key >> (24 - i % 4 * 8) & 0xff;
		if (!checks_text(s))
			continue;
		ref_utf8_byte(&s->text, s->m->bytes[at + i]);
		if (s->text.bad) {
			s->pos = p + i + 1 - s->p;
			bad_text(s, at + i);
		}
	}
}

static void end_message(struct parse *s)
{
	if (checks_text(s) && s->text.left)
		bad_text(s, s->m->len);
	if (!s->m->bad_text) {
		cut_piece(s, true);
		s->m->messages++;
	}
	s->open = 0;
}

static void take_close(struct parse *s, const unsigned char *p, size_t n)
{
	struct ref_utf8 reason = { 0 };
	unsigned int code = n > 1 ? p[0] << 8 | p[1] : 1005;
	size_t i;

	for (i = 2; i < n; i++)
		ref_utf8_byte(&reason, p[i]);
	if (n == 1)
		fatal(s, REF_SET(CLOSE_LENGTH), s->pos);
	else if (n && !ref_close_code(code))
		fatal(s, REF_SET(CLOSE_CODE), s->pos);
	else if (reason.bad || reason.left)
		fatal(s, REF_SET(CLOSE_UTF8), s->pos);
	else {
		fatal(s, 0, s->pos);
		s->m->closed = true;
		s->m->close_code = code;
	}
}

/* A whole control frame; false: it is the last that counts. */
static bool take_control(struct parse *s, __u8 opcode, const unsigned char *p, size_t n, __u32 key)
{
	unsigned char payload[CONTROL_MAX];
	struct model *m = s->m;
	bool shown = (opcode == OP_PING && s->config->flags & WEBSOCKET_F_PING) ||
		     (opcode == OP_PONG && s->config->flags & WEBSOCKET_F_PONG);
	size_t i, at;

	for (i = 0; i < n; i++)
		payload[i] = p[i] ^ (key >> (24 - i % 4 * 8) & 0xff);
	if (opcode == OP_CLOSE) {
		take_close(s, payload, n);
		return false;
	}
	if (shown && s->open && !m->bad_text)
		cut_piece(s, false);
	at = keep(&m->bytes, &m->len, &m->room, payload, n);
	if (opcode == OP_PING) {
		m->ping = grow(m->ping, m->pings, &m->ping_room, sizeof(*m->ping));
		m->ping[m->pings++] = (struct ping){ at, n, s->pos };
	}
	if (shown && !m->bad_text)
		add_piece(s, opcode, true, true, at);
	if (!shown && s->open) {
		/* the bytes of the open message stay together */
		memmove(m->bytes + s->start + n, m->bytes + s->start, at - s->start);
		memcpy(m->bytes + s->start, payload, n);
		if (opcode == OP_PING)
			m->ping[m->pings - 1].at = s->start;
		s->start += n;
	} else {
		s->start = m->len;
	}
	return true;
}

/* The header at @s->pos. Returns its size; 0: it is not complete; -1: it is forbidden. */
static int parse_header(struct parse *s, __u8 *opcode, bool *fin, __u64 *len, __u32 *key)
{
	const unsigned char *p = s->p + s->pos;
	size_t have = s->len - s->pos, n = 2, i;
	unsigned int more;
	__u64 set;

	if (have < 2)
		return 0;
	set = ref_start(p[0], p[1], s->masked, s->open);
	more = ref_length_bytes(p[1]);
	*opcode = p[0] & 15;
	*fin = p[0] & 0x80;
	*len = more ? 0 : p[1] & 127;
	if (!set && have < n + more)
		return 0;
	for (i = 0; !set && i < more; i++)
		*len = *len << 8 | p[n + i];
	n += more;
	if (!set)
		set = ref_length(more, *len);
	if (set) {
		fatal(s, set, s->pos + 2);
		return -1;
	}
	*key = 0;
	if (!s->masked)
		return n;
	if (have < n + 4)
		return 0;
	for (i = 0; i < 4; i++)
		*key = *key << 8 | p[n + i];
	return n + 4;
}

/* A data frame, as far as it has arrived; false: it is the last that counts. */
static bool parse_data(struct parse *s, __u8 opcode, bool fin, __u64 len, __u32 key, size_t size)
{
	size_t frame = s->pos + size, there = s->len - frame;
	__u64 max = s->config->max_message ?: 1 << 20;

	if (opcode != OP_CONTINUATION) {
		s->open = opcode;
		s->begun = false;
		s->start = s->m->len;
		s->total = 0;
		s->text = (struct ref_utf8){ 0 };
	}
	s->total += len;
	if (s->total > max) {
		fatal(s, REF_SET(TOO_BIG), frame);
		return false;
	}
	s->pos = frame;
	take_data(s, s->p + frame, there < len ? there : len, key);
	if (there < len)
		return false;
	s->pos = frame + len;
	if (fin)
		end_message(s);
	return true;
}

static bool parse_frame(struct parse *s)
{
	__u8 opcode;
	__u64 len;
	__u32 key;
	bool fin;
	int size = parse_header(s, &opcode, &fin, &len, &key);

	if (size <= 0)
		return false;
	if (opcode < 8)
		return parse_data(s, opcode, fin, len, key, size);
	if (s->len - s->pos - size < len)
		return false;
	s->pos += size + len;
	return take_control(s, opcode, s->p + s->pos - len, len, key);
}

void model_make(struct model *m, const unsigned char *stream, size_t len, const struct websocket_config *config)
{
	struct parse s = { .m = m, .config = config, .p = stream, .len = len,
			   .masked = !(config->flags & WEBSOCKET_F_CLIENT) };

	memset(m, 0, sizeof(*m));
	m->fatal = ~0UL;
	while (parse_frame(&s))
		;
	unfinished(&s);
}

void model_free(struct model *m)
{
	free(m->bytes);
	free(m->piece);
	free(m->ping);
	memset(m, 0, sizeof(*m));
}

static const struct { int error; unsigned int code; } failures[] = {
#define X(name, error, code, text) [WS_FAIL_##name] = { error, code },
	WS_FAILURES(X)
#undef X
};

bool model_error(const struct model *m, int error)
{
	size_t i;

	for (i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		if (m->failures >> i & 1 && failures[i].error == error)
			return true;
	return false;
}

bool model_close_code(const struct model *m, unsigned int code)
{
	size_t i;

	for (i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		if (m->failures >> i & 1 && failures[i].code == code)
			return true;
	return false;
}

void reader_hide_empty(struct reader *rd)
{
	const struct model *m = rd->model;

	while (rd->next < m->pieces && m->piece[rd->next].end && m->piece[rd->next].len == rd->off) {
		rd->next++;
		rd->off = 0;
	}
}

void reader_maybe_hidden(struct reader *rd, size_t arrived)
{
	while (rd->hidden < rd->model->pieces && rd->model->piece[rd->hidden].wire <= arrived)
		rd->hidden++;
}

static unsigned int begin_flag(const struct reader *rd, const struct piece *p)
{
	return p->begin && !rd->off ? WEBSOCKET_MSG_BEGIN : 0;
}

/* Steps over an empty message that may be gone, unless it is the one that came. */
static void skip_hidden(struct reader *rd, const struct got *g)
{
	const struct piece *p = &rd->model->piece[rd->next];

	for (; rd->next < rd->hidden && p->end && p->len == rd->off; p++) {
		if (g->eor && !g->len && (!g->has_record || (g->opcode == p->opcode && begin_flag(rd, p) == (g->flags & WEBSOCKET_MSG_BEGIN)))) {
			/* it, or the next empty one: then that may be missing as well */
			while (rd->hidden < rd->model->pieces && rd->model->piece[rd->hidden].end &&
			       !rd->model->piece[rd->hidden].len)
				rd->hidden++;
			return;
		}
		rd->next++;
		rd->off = 0;
	}
}

void reader_take(struct reader *rd, const struct got *g)
{
	const struct model *m = rd->model;
	const struct piece *p;
	size_t left;

	skip_hidden(rd, g);
	p = &m->piece[rd->next];
	/* a look without room for records sees the end behind empty messages, which stay */
	if (rd->over && (g->len || rd->next == m->pieces))
		fail("%zu bytes after the end", g->len);
	if (rd->next == m->pieces)
		fail("%zu bytes, EOR %d, opcode %u: more than was sent", g->len, g->eor, g->opcode);
	left = p->len - rd->off;
	if (g->len > left || memcmp(g->bytes, m->bytes + p->at + rd->off, g->len))
		fail("piece %zu of %zu (opcode %u), %zu bytes of %zu at %zu: too many, or others", rd->next, m->pieces,
		     p->opcode, g->len, p->len, rd->off);
	if (g->eor ? g->len != left || !p->end : !g->len)
		fail("%zu bytes of %zu at %zu, EOR %d", g->len, p->len, rd->off, g->eor);
	if (!g->eor && !rd->streams && !p->optional && (g->len == left ? p->end : !g->full))
		fail("%zu bytes of %zu at %zu without EOR", g->len, p->len, rd->off);
	if (g->has_record) {
		equal(p->opcode, g->opcode);
		equal(begin_flag(rd, p), g->flags & WEBSOCKET_MSG_BEGIN);
		equal(g->eor ? WEBSOCKET_MSG_END : 0, g->flags & ~WEBSOCKET_MSG_BEGIN);
	}
	if (g->peek)
		return;
	rd->off += g->len;
	if (g->eor || (rd->off == p->len && !p->end)) {
		rd->next++;
		rd->off = 0;
	}
}

bool reader_has(const struct reader *rd, size_t arrived, bool sees_empty)
{
	const struct model *m = rd->model;
	size_t i = rd->next, off = rd->off;

	for (; i < m->pieces && m->piece[i].wire <= arrived; i++, off = 0)
		if (m->piece[i].len > off || (sees_empty && i >= rd->hidden))
			return true;
	return false;
}

void reader_end(struct reader *rd, int error, unsigned int code)
{
	const struct model *m = rd->model;

	if (rd->over) {
		equal(rd->error, error);
		equal(rd->code, code);
		return;
	}
	if (!rd->cut && reader_has(rd, ~0UL - 1, false))
		fail("%s, code %u: piece %zu of %zu was not delivered", error_name(error), code, rd->next, m->pieces);
	if (error && !model_error(m, error) && !(rd->cut && (error == ECONNRESET || error == EPIPE)))
		fail("%s; the stream's failures are %#llx, cut %d", error_name(error), m->failures, rd->cut);
	if (!error && code != 1006 && !(m->closed && code == m->close_code))
		fail("the end with code %u", code);
	if (!error && code == 1006 && !rd->fin)
		fail("the end without Close or FIN");
	if (!error && code == 1006 && !rd->cut && (m->closed || m->failures))
		fail("the end without Close; there was one (%d), or a failure (%#llx)", m->closed, m->failures);
	rd->over = true;
	rd->error = error;
	rd->code = code;
}
