// SPDX-License-Identifier: GPL-2.0 OR MIT
/* RFC 6455 5.5.1 and 7.4: the payload of a Close frame. */
#include "close.h"
#include "utf8.h"

/**
 * ws_close_code_valid() - may this code stand in a Close frame?
 * @code: in host byte order
 *
 * RFC 6455 7.4.1, 7.4.2 and the IANA registry: 1004 is reserved, 1005, 1006 and 1015 must not be sent, 1012 to 1014
 * were registered later, 3000 to 4999 belong to libraries and applications.
 */
bool ws_close_code_valid(u16 code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/**
 * ws_close_check() - check the payload of a Close frame
 * @p: the payload, unmasked; it must not change meanwhile
 * @n: its length
 * @code: set to the code, or to WS_CLOSE_NO_STATUS when there is none
 *
 * Return: WS_FAIL_NONE, or what RFC 6455 5.5.1 (code of two bytes, reason in UTF-8) and 7.4 forbid.
 */
enum ws_failure ws_close_check(const u8 *p, size_t n, u16 *code)
{
	*code = WS_CLOSE_NO_STATUS;
	if (!n)
		return WS_FAIL_NONE;
	if (n < 2)
		return WS_FAIL_CLOSE_LENGTH;
	*code = p[0] << 8 | p[1];
	if (!ws_close_code_valid(*code))
		return WS_FAIL_CLOSE_CODE;
	if (ws_utf8_check(WS_UTF8_START, p + 2, n - 2) != WS_UTF8_START)
		return WS_FAIL_CLOSE_UTF8;
	return WS_FAIL_NONE;
}
