/* SPDX-License-Identifier: GPL-2.0 */
/* JSON on standard output, as the tools of iproute2 write it with -j: one value a line, no spaces. */
#ifndef KWS_JSON_H
#define KWS_JSON_H

#include <stdbool.h>
#include <stdint.h>

/* All take the member's name; NULL: an element of an array, or the outermost value. */
void json_begin(const char *name, char bracket);	/* '{' or '[' */
void json_end(char bracket);				/* '}' or ']'; the outermost one ends the line */
void json_string(const char *name, const char *value);	/* bytes that are not UTF-8 become U+FFFD */
void json_u64(const char *name, uint64_t value);
void json_double(const char *name, double value);
void json_bool(const char *name, bool value);

#endif
