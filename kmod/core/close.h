/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* RFC 6455 5.5.1 and 7.4: the payload of a Close frame. */
#ifndef WS_CORE_CLOSE_H
#define WS_CORE_CLOSE_H

#include "failure.h"

#define WS_CLOSE_NORMAL			1000
#define WS_CLOSE_GOING_AWAY		1001
#define WS_CLOSE_NO_STATUS		1005	/* never on the wire: the Close frame had no code */
#define WS_CLOSE_ABNORMAL		1006	/* never on the wire: there was no Close frame */

bool ws_close_code_valid(u16 code);
enum ws_failure ws_close_check(const u8 *p, size_t n, u16 *code);

#endif
