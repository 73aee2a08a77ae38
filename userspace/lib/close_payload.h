/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* RFC 6455 5.5.1: the payload of a Close from a code and a reason. */
#ifndef KWS_CLOSE_PAYLOAD_H
#define KWS_CLOSE_PAYLOAD_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define CLOSE_MAX	125

/* Return: bytes; -EINVAL: a reason without a code; -EMSGSIZE: too long a reason. What the code may be the engine knows. */
static inline int close_payload(uint8_t payload[CLOSE_MAX], uint16_t code, const char *reason)
{
	size_t len = reason ? strlen(reason) : 0;

	if (len && !code)
		return -EINVAL;
	if (len > CLOSE_MAX - 2)
		return -EMSGSIZE;
	payload[0] = code >> 8;
	payload[1] = code;
	if (len)
		memcpy(payload + 2, reason, len);
	return code ? 2 + len : 0;
}

#endif
