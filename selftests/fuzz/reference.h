/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A receiver of WebSocket frames that takes one byte at a time and uses nothing of kmod/core: what the fuzzers compare
 * with. It writes down what it received, in the form that any receiver can be asked for.
 */
#ifndef WS_FUZZ_REFERENCE_H
#define WS_FUZZ_REFERENCE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/reference.h"

#define STREAM_MAX	4096	/* bytes on the wire; longer inputs are not looked at */

/* A message or a control frame. */
struct event {
	u8 opcode;
	u16 close_code;
	size_t at, len;		/* in log.bytes */
};

/*
 * struct log - what was received
 * @failures: the set of what broke, or 0: any of them may be reported
 * @closed: a Close came; nothing behind it was looked at
 * @open: opcode of the unfinished message, or 0
 * @left: payload bytes of the current frame that are missing
 * @partial_len: bytes of the unfinished message. It, @open, @left and @partial mean nothing after a failure: a receiver
 *	may notice it later than byte by byte.
 */
struct log {
	struct event event[STREAM_MAX / 2];
	unsigned int events;
	u8 bytes[STREAM_MAX];
	size_t len;
	u64 failures;
	bool closed;
	u8 open;
	u64 left;
	size_t partial_len;
	u8 partial[STREAM_MAX];
};

static inline void log_start(struct log *log)
{
	log->events = 0;
	log->len = 0;
	log->failures = 0;
	log->closed = false;
	log->open = 0;
	log->left = 0;
	log->partial_len = 0;
}

static inline void log_event(struct log *log, u8 opcode, u16 close_code, const u8 *p, size_t n)
{
	struct event *e = &log->event[log->events++];

	e->opcode = opcode;
	e->close_code = close_code;
	e->at = log->len;
	e->len = n;
	memcpy(log->bytes + log->len, p, n);
	log->len += n;
}

static inline void log_message(struct log *log)
{
	log_event(log, log->open, 0, log->partial, log->partial_len);
	log->open = 0;
	log->partial_len = 0;
}

/* Say it and stop. */
#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* @other must have received what @log did; of several failures it may have reported one. */
static inline void log_compare(const struct log *log, const struct log *other)
{
	unsigned int i;

	MUST(log->events == other->events);
	for (i = 0; i < log->events; i++) {
		MUST(log->event[i].opcode == other->event[i].opcode);
		MUST(log->event[i].close_code == other->event[i].close_code);
		MUST(log->event[i].len == other->event[i].len);
	}
	MUST(!memcmp(log->bytes, other->bytes, log->len));
	MUST(log->closed == other->closed);
	if (log->failures) {
		MUST(other->failures & log->failures);
		MUST(!(other->failures & ~log->failures));
		return;
	}
	MUST(!other->failures);
	MUST(log->open == other->open);
	MUST(log->left == other->left);
	MUST(log->partial_len == other->partial_len);
	MUST(!memcmp(log->partial, other->partial, log->partial_len));
}

struct reference {
	bool masked;		/* this is the server */
	bool check_text;
	struct log *log;
	struct ref_utf8 text;	/* of the unfinished message */
	enum { FIRST, SECOND, LENGTH, KEY, PAYLOAD } next;
	u8 first, second;
	unsigned int want;	/* bytes of length or key to come */
	u64 len, at;		/* of the frame: payload, and how much of it there was */
	u8 key[4];
	u8 control[125];
};

static inline void reference_start(struct reference *r, struct log *log, bool masked, bool check_text)
{
	log_start(log);
	*r = (struct reference) { .masked = masked, .check_text = check_text, .log = log };
}

/* RFC 6455 5.5.1 */
static inline void reference_close(struct reference *r)
{
	unsigned int code = r->control[0] * 256 + r->control[1];
	struct ref_utf8 reason = { 0 };
	u64 i;

	if (r->len == 1) {
		r->log->failures = REF_SET(CLOSE_LENGTH);
		return;
	}
	for (i = 2; i < r->len; i++)
		ref_utf8_byte(&reason, r->control[i]);
	if (!r->len)
		code = 1005;
	else if (!ref_close_code(code))
		r->log->failures = REF_SET(CLOSE_CODE);
	else if (reason.bad || reason.left)
		r->log->failures = REF_SET(CLOSE_UTF8);
	if (r->log->failures)
		return;
	log_event(r->log, 8, code, r->control, r->len);
	r->log->closed = true;
}

static inline void reference_end_of_frame(struct reference *r)
{
	u8 opcode = r->first % 16;

	r->next = FIRST;
	if (opcode == 8) {
		reference_close(r);
	} else if (opcode > 8) {
		log_event(r->log, opcode, 0, r->control, r->len);
	} else if (r->first >= 128) {
		/* RFC 6455 8.1: a text ends between characters */
		if (r->log->open == 1 && r->check_text && r->text.left)
			r->log->failures = REF_SET(UTF8);
		else
			log_message(r->log);
	}
}

static inline void reference_header_is_there(struct reference *r)
{
	u8 opcode = r->first % 16;

	if (opcode == 1 || opcode == 2) {
		r->log->open = opcode;
		r->text = (struct ref_utf8) { 0 };
	}
	r->at = 0;
	r->log->left = r->len;
	r->next = PAYLOAD;
	if (!r->len)
		reference_end_of_frame(r);
}

static inline void reference_length_is_there(struct reference *r)
{
	r->log->failures = ref_length(ref_length_bytes(r->second), r->len);
	if (r->log->failures)
		return;
	r->next = KEY;
	r->want = 4;
	if (!r->masked)
		reference_header_is_there(r);
}

static inline void reference_payload(struct reference *r, u8 byte)
{
	u64 at = r->at++;

	/* RFC 6455 5.3 */
	if (r->masked)
		byte ^= r->key[at % 4];
	r->log->left--;
	if (r->first % 16 >= 8) {
		r->control[at] = byte;
	} else {
		r->log->partial[r->log->partial_len++] = byte;
		if (r->log->open == 1 && r->check_text)
			ref_utf8_byte(&r->text, byte);
		if (r->text.bad) {
			r->log->failures = REF_SET(UTF8);
			return;
		}
	}
	if (r->at == r->len)
		reference_end_of_frame(r);
}

/* Take one byte. Return false when there is nothing more to do. */
static inline bool reference_byte(struct reference *r, u8 byte)
{
	switch (r->next) {
	case FIRST:
		r->first = byte;
		r->next = SECOND;
		break;
	case SECOND:
		r->second = byte;
		r->log->failures = ref_start(r->first, byte, r->masked, r->log->open);
		if (r->log->failures)
			break;
		r->want = ref_length_bytes(byte);
		r->len = r->want ? 0 : byte % 128;
		r->next = LENGTH;
		if (!r->want)
			reference_length_is_there(r);
		break;
	case LENGTH:
		r->len = r->len * 256 + byte;
		if (!--r->want)
			reference_length_is_there(r);
		break;
	case KEY:
		r->key[4 - r->want] = byte;
		if (!--r->want)
			reference_header_is_there(r);
		break;
	case PAYLOAD:
		reference_payload(r, byte);
		break;
	}
	return !r->log->failures && !r->log->closed;
}

#endif
