// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A connection: frames through kmod/core in the segments that the fuzzer chose, in one piece and byte by byte. Each
 * time the same must come out as from the reference.
 *
 * Input: flags (1: server, 2: text is not checked), segmentation, stream.
 */
#include "close.h"
#include "frame.h"
#include "mask.h"
#include "reference.h"
#include "segments.h"
#include "utf8.h"

/*
 * struct session - a receiver built on kmod/core as the module and the library build theirs
 * @header: what is there of a header that came in pieces
 * @in_payload: @h is the frame of which @h.len bytes are still to come; @h.key is for the first of them
 */
struct session {
	bool masked, check_text;
	struct log *log;
	u8 header[WS_HEADER_MAX];
	size_t have;
	bool in_payload;
	struct ws_header h;
	u8 utf8;
	u8 control[WS_CONTROL_MAX];
	size_t control_len;
};

static bool fail(struct session *s, enum ws_failure failure)
{
	s->log->failures = 1ULL << failure;
	return false;
}

static bool frame_ends(struct session *s)
{
	enum ws_failure failure;
	u16 code = 0;

	s->in_payload = false;
	if (ws_op_is_control(s->h.opcode)) {
		if (s->h.opcode == WS_OP_CLOSE) {
			failure = ws_close_check(s->control, s->control_len, &code);
			if (failure)
				return fail(s, failure);
			s->log->closed = true;
		}
		log_event(s->log, s->h.opcode, code, s->control, s->control_len);
		return !s->log->closed;
	}
	if (!s->h.fin)
		return true;
	if (s->utf8 != WS_UTF8_START)
		return fail(s, WS_FAIL_UTF8);
	log_message(s->log);
	return true;
}

/* Take a header, or what is there of one, off the front. */
static bool header(struct session *s, const u8 **p, size_t *n)
{
	size_t take = WS_HEADER_MAX - s->have;
	int size;

	if (take > *n)
		take = *n;
	memcpy(s->header + s->have, *p, take);
	size = ws_frame_decode(&s->h, s->header, s->have + take, s->masked, s->log->open);
	if (size < 0)
		return fail(s, -size);
	if (size)
		take = size - s->have;
	*p += take;
	*n -= take;
	s->have += take;
	if (!size)
		return true;
	s->have = 0;
	s->in_payload = true;
	s->log->left = s->h.len;
	if (ws_op_is_control(s->h.opcode)) {
		s->control_len = 0;
	} else if (s->h.opcode != WS_OP_CONTINUATION) {
		s->log->open = s->h.opcode;
		s->utf8 = WS_UTF8_START;
	}
	return s->h.len || frame_ends(s);
}

static bool payload(struct session *s, const u8 **p, size_t *n)
{
	size_t take = s->h.len < *n ? s->h.len : *n;
	u8 *to = s->log->partial + s->log->partial_len;

	if (ws_op_is_control(s->h.opcode)) {
		to = s->control + s->control_len;
		s->control_len += take;
	} else {
		s->log->partial_len += take;
	}
	ws_mask_copy(to, *p, take, s->h.key);
	s->h.key = ws_mask_advance(s->h.key, take);
	s->h.len -= take;
	s->log->left = s->h.len;
	*p += take;
	*n -= take;
	if (!ws_op_is_control(s->h.opcode) && s->log->open == WS_OP_TEXT && s->check_text) {
		s->utf8 = ws_utf8_check(s->utf8, to, take);
		if (s->utf8 == WS_UTF8_BAD)
			return fail(s, WS_FAIL_UTF8);
	}
	return s->h.len || frame_ends(s);
}

/*
 * Take a segment; return false when there is nothing more to do. It is copied to the end of an array: the sanitizer
 * sees a look behind it.
 */
static bool feed(struct session *s, const u8 *segment, size_t n)
{
	static u8 copy[STREAM_MAX];
	const u8 *p = copy + sizeof(copy) - n;

	memcpy(copy + sizeof(copy) - n, segment, n);
	while (n)
		if (!(s->in_payload ? payload : header)(s, &p, &n))
			return false;
	return true;
}

static void session_run(struct log *log, u8 flags, struct segments *segments, const u8 *p, size_t n)
{
	struct session s = { .masked = flags & 1, .check_text = !(flags & 2), .log = log };

	log_start(log);
	while (n) {
		size_t segment = segments_next(segments, n);

		if (!feed(&s, p, segment))
			break;
		p += segment;
		n -= segment;
	}
}

int LLVMFuzzerTestOneInput(const u8 *p, size_t n);

int LLVMFuzzerTestOneInput(const u8 *p, size_t n)
{
	static const u8 one = 1;
	static struct log expected, chosen, whole, bytewise;
	struct segments segments, everything = { 0 }, single = { .lengths = &one, .n = 1 };
	struct reference r;
	size_t i;
	u8 flags;

	if (!n || n > STREAM_MAX)
		return 0;
	flags = *p++;
	n--;
	segments = segments_take(&p, &n);

	reference_start(&r, &expected, flags & 1, !(flags & 2));
	for (i = 0; i < n && reference_byte(&r, p[i]); i++)
		;
	session_run(&chosen, flags, &segments, p, n);
	session_run(&whole, flags, &everything, p, n);
	session_run(&bytewise, flags, &single, p, n);

	log_compare(&expected, &chosen);
	log_compare(&expected, &whole);
	log_compare(&expected, &bytewise);
	/* which of several failures is reported does not depend on the segmentation either */
	MUST(chosen.failures == whole.failures && whole.failures == bytewise.failures);
	return 0;
}
