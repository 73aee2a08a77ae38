/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* RFC 6455 5.2: the header of a frame, decoded from and encoded to bytes. */
#ifndef WS_CORE_FRAME_H
#define WS_CORE_FRAME_H

#include "failure.h"

/* RFC 6455 11.8 */
#define WS_OP_CONTINUATION	0
#define WS_OP_TEXT		1
#define WS_OP_BINARY		2
#define WS_OP_CLOSE		8
#define WS_OP_PING		9
#define WS_OP_PONG		10

#define WS_HEADER_MAX		14	/* 2, 8 for the length, 4 for the key */
#define WS_CONTROL_MAX		125	/* RFC 6455 5.5: payload of a control frame */

/**
 * struct ws_header - a decoded frame header
 * @len: payload bytes, below 2^63
 * @key: the masking key in memory order; 0 when not masked, which unmasks to the same bytes
 * @opcode: WS_OP_*
 * @size: bytes of the header itself, 2 to 14
 * @fin: last frame of its message
 */
struct ws_header {
	u64 len;
	u32 key;
	u8 opcode;
	u8 size;
	bool fin;
};

static inline bool ws_op_is_control(u8 opcode)
{
	return opcode & 8;
}

int ws_frame_decode(struct ws_header *h, const u8 *p, size_t n, bool masked, bool open);
unsigned int ws_frame_encode(u8 *p, u8 opcode, bool fin, u64 len, bool masked, u32 key);

#endif
