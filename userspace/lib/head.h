/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * One HTTP/1 head: start line and headers, parsed by llhttp as its bytes come in.
 *
 * Names and values are kept one after the other in one string, as offsets, since it moves when it grows. It is never
 * longer than the head itself: every name and value is followed by a byte there (':' and CR) that is not kept.
 */
#ifndef KWS_HEAD_H
#define KWS_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <llhttp.h>

#include "text.h"

#define HEAD_MAX_HEADERS 128	/* more is an attack, or no WebSocket handshake */

/**
 * struct head - one head
 * @parser: llhttp's state
 * @text: target, names and values, a NUL after each
 * @header: where they start in @text
 * @headers: how many lines there are
 * @target: where the request target starts
 * @begun: the element being read has started
 * @complete: the empty line was seen
 * @wrong: what is refused here though the parser does not mind; NULL: nothing
 * @versioned: the version has begun
 * @piece, @before: the bytes being parsed, and the last ones before them
 */
struct head {
	llhttp_t parser;
	struct text text;
	struct head_line {
		unsigned int name, value;
	} *header;
	unsigned int headers, size;
	bool begun;
	bool complete;
	const char *wrong;
	bool versioned;
	const char *piece;
	char before[5];
};

/* A position in the comma-separated elements of all header lines of one name (RFC 9110 5.6.1). */
struct head_list {
	const struct head *head;
	const char *name;
	const char *rest;	/* of the current line's value; NULL: the next line comes */
	unsigned int line;
};

void head_init(struct head *head, llhttp_type_t type);
void head_free(struct head *head);

/* Ready for the next head of the same connection: an interim answer was skipped. */
void head_reset(struct head *head);

/**
 * head_feed - take more bytes
 * @used: how many of them belong to the head
 * Return: 1: it is complete; 0: more is needed; -EBADMSG: no HTTP, see head_error(); -E2BIG: too many headers; -ENOMEM.
 */
int head_feed(struct head *head, const char *bytes, size_t len, size_t *used);

/* What the parser objected to, after -EBADMSG. */
const char *head_error(const struct head *head);

const char *head_target(const struct head *head);
const char *head_name(const struct head *head, unsigned int line);
const char *head_value(const struct head *head, unsigned int line);
const char *head_get(const struct head *head, const char *name, unsigned int index);
unsigned int head_count(const struct head *head, const char *name);

/* The next element of a list, not terminated; false: no more. Empty ones are left out. */
bool head_next(struct head_list *list, const char **element, size_t *len);
bool head_has_token(const struct head *head, const char *name, const char *token);

/* RFC 9110 5.6.2 */
bool is_token(const char *s, size_t len);

#endif
