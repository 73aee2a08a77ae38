/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* RFC 3629: is a stream of bytes UTF-8 so far? */
#ifndef WS_CORE_UTF8_H
#define WS_CORE_UTF8_H

#include "types.h"

/* Between characters: where a text starts and where it may end. */
#define WS_UTF8_START	0
/* No continuation can make it valid. Sticky. */
#define WS_UTF8_BAD	48

u8 ws_utf8_check(u8 state, const u8 *p, size_t n);

#endif
