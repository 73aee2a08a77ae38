// SPDX-License-Identifier: GPL-2.0 OR MIT
/* One HTTP/1 head: llhttp does the parsing, this keeps what it found. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "head.h"

static struct head *head_of(llhttp_t *parser)
{
	return parser->data;
}

/* A callback's only way to say what went wrong is to stop the parser: head_feed() finds out. */
static int stop_if_failed(const struct head *head)
{
	return head->text.failed ? HPE_USER : 0;
}

static int end_of_text(struct head *head)
{
	text_add(&head->text, "", 1);
	head->begun = false;
	return stop_if_failed(head);
}

static int on_target(llhttp_t *parser, const char *at, size_t len)
{
	struct head *head = head_of(parser);

	text_add(&head->text, at, len);
	return stop_if_failed(head);
}

/* RFC 9112 2.3: "HTTP/" is before it; the parser takes some other names too, and says nothing of them. */
static int on_version(llhttp_t *parser, const char *at, size_t len)
{
	struct head *head = head_of(parser);
	size_t here = at - head->piece < 5 ? at - head->piece : 5;

	(void)len;
	/* only of its first bytes, which may come alone */
	if (head->versioned)
		return 0;
	head->versioned = true;
	if (!memcmp(at - here, "HTTP/" + 5 - here, here) && !memcmp(head->before + here, "HTTP/", 5 - here))
		return 0;
	head->wrong = "the protocol is not HTTP";
	return HPE_USER;
}

static int on_element_complete(llhttp_t *parser)
{
	return end_of_text(head_of(parser));
}

/* RFC 9112 5: a name has at least one character; the parser does not mind. */
static int on_name_complete(llhttp_t *parser)
{
	struct head *head = head_of(parser);

	if (!head->begun || head->text.len == head->header[head->headers - 1].name) {
		head->wrong = "a header without a name";
		return HPE_USER;
	}
	return end_of_text(head);
}

/* Room for one more line; the array doubles. */
static bool new_line(struct head *head)
{
	if (head->headers == head->size) {
		unsigned int size = head->size ? 2 * head->size : 16;
		void *header;

		if (head->headers >= HEAD_MAX_HEADERS)
			return false;
		header = reallocarray(head->header, size, sizeof(*head->header));
		if (!header) {
			head->text.failed = true;
			return false;
		}
		head->header = header;
		head->size = size;
	}
	head->header[head->headers++] = (struct head_line){ .name = head->text.len };
	head->begun = true;
	return true;
}

static int on_name(llhttp_t *parser, const char *at, size_t len)
{
	struct head *head = head_of(parser);

	if (!head->begun && !new_line(head))
		return HPE_USER;
	return on_target(parser, at, len);
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
	struct head *head = head_of(parser);

	if (!head->begun) {
		head->header[head->headers - 1].value = head->text.len;
		head->begun = true;
	}
	return on_target(parser, at, len);
}

static int on_value_complete(llhttp_t *parser)
{
	struct head *head = head_of(parser);
	struct head_line *line = &head->header[head->headers - 1];
	struct text *text = &head->text;

	if (!head->begun)
		line->value = text->len;
	while (text->len > line->value && strchr(" \t", text->s[text->len - 1]))
		text->len--;
	return end_of_text(head);
}

/* 2: whatever the head says, this is where the parser stops, on the byte after it. */
static int on_headers_complete(llhttp_t *parser)
{
	head_of(parser)->complete = true;
	return 2;
}

static const llhttp_settings_t settings = {
	.on_url = on_target,
	.on_url_complete = on_element_complete,
	.on_version = on_version,
	.on_header_field = on_name,
	.on_header_field_complete = on_name_complete,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
};

void head_init(struct head *head, llhttp_type_t type)
{
	*head = (struct head){ 0 };
	llhttp_init(&head->parser, type, &settings);
	head->parser.data = head;
}

void head_free(struct head *head)
{
	text_free(&head->text);
	free(head->header);
	head->header = NULL;
}

void head_reset(struct head *head)
{
	llhttp_type_t type = llhttp_get_type(&head->parser);

	head_free(head);
	head_init(head, type);
}

int head_feed(struct head *head, const char *bytes, size_t len, size_t *used)
{
	size_t keep = len < sizeof(head->before) ? len : sizeof(head->before);
	llhttp_errno_t err;

	head->piece = bytes;
	err = llhttp_execute(&head->parser, bytes, len);
	*used = len;
	memmove(head->before, head->before + keep, sizeof(head->before) - keep);
	memcpy(head->before + sizeof(head->before) - keep, bytes + len - keep, keep);
	if (err == HPE_OK)
		return 0;
	*used = llhttp_get_error_pos(&head->parser) - bytes;
	if (head->complete && err == HPE_PAUSED_UPGRADE)
		return 1;
	if (head->text.failed)
		return -ENOMEM;
	return err == HPE_USER && !head->wrong ? -E2BIG : -EBADMSG;
}

const char *head_error(const struct head *head)
{
	const char *reason = llhttp_get_error_reason(&head->parser);

	if (head->wrong)
		return head->wrong;
	return reason && *reason ? reason : "malformed";
}

const char *head_target(const struct head *head)
{
	return head->text.s ? head->text.s : "";
}

const char *head_name(const struct head *head, unsigned int line)
{
	return head->text.s + head->header[line].name;
}

const char *head_value(const struct head *head, unsigned int line)
{
	return head->text.s + head->header[line].value;
}

const char *head_get(const struct head *head, const char *name, unsigned int index)
{
	for (unsigned int i = 0; i < head->headers; i++)
		if (!strcasecmp(head_name(head, i), name) && !index--)
			return head_value(head, i);
	return NULL;
}

unsigned int head_count(const struct head *head, const char *name)
{
	unsigned int n = 0;

	while (head_get(head, name, n))
		n++;
	return n;
}

bool head_next(struct head_list *list, const char **element, size_t *len)
{
	for (;;) {
		if (!list->rest)
			list->rest = head_get(list->head, list->name, list->line++);
		if (!list->rest)
			return false;
		list->rest += strspn(list->rest, ", \t");
		*element = list->rest;
		*len = strcspn(list->rest, ",");
		list->rest += *len;
		while (*len && strchr(" \t", (*element)[*len - 1]))
			--*len;
		if (*len)
			return true;
		list->rest = NULL;
	}
}

bool head_has_token(const struct head *head, const char *name, const char *token)
{
	struct head_list list = { .head = head, .name = name };
	const char *element;
	size_t len;

	while (head_next(&list, &element, &len))
		if (len == strlen(token) && !strncasecmp(element, token, len))
			return true;
	return false;
}

bool is_token(const char *s, size_t len)
{
	static const char chars[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	return len && strspn(s, chars) >= len;
}
