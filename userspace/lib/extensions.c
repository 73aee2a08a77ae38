// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The grammar of Sec-WebSocket-Extensions (RFC 6455 9.1). No extension is used; a header that breaks it fails the handshake. */
#include <string.h>

#include "handshake.h"

static const char *skip_space(const char *s)
{
	return s + strspn(s, " \t");
}

/* Behind the token at s; NULL: there is none. */
static const char *skip_token(const char *s)
{
	size_t len = strcspn(s, " \t,;=\"");

	return is_token(s, len) ? s + len : NULL;
}

/* Behind the quoted string at s; NULL: it does not end, or what is in it is no token once it is unquoted. */
static const char *skip_quoted(const char *s)
{
	size_t len = 0;

	for (s++; *s != '"'; s++, len++) {
		if (*s == '\\')
			s++;
		if (!*s || !is_token(s, 1))
			return NULL;
	}
	return len ? s + 1 : NULL;
}

/* Behind "; name", "; name=token" or "; name="quoted"", from the name on; NULL: none of these. */
static const char *skip_parameter(const char *s)
{
	s = skip_token(skip_space(s));
	if (!s)
		return NULL;
	s = skip_space(s);
	if (*s != '=')
		return s;
	s = skip_space(s + 1);
	return *s == '"' ? skip_quoted(s) : skip_token(s);
}

int extensions_count(const char *value)
{
	int n = 0;

	for (;;) {
		/* RFC 9110 5.6.1.2: empty elements do not count */
		value += strspn(value, ", \t");
		if (!*value)
			return n;
		value = skip_token(value);
		while (value && *(value = skip_space(value)) == ';')
			value = skip_parameter(value + 1);
		if (!value || (*value && *value != ','))
			return -1;
		n++;
	}
}

bool extensions_are_valid(const struct head *head)
{
	const char *value;
	int sum = 0;

	for (unsigned int i = 0; (value = head_get(head, "Sec-WebSocket-Extensions", i)); i++) {
		int n = extensions_count(value);

		if (n < 0)
			return false;
		sum += n;
	}
	/* RFC 6455 9.1: 1#extension */
	return sum || !head_get(head, "Sec-WebSocket-Extensions", 0);
}
