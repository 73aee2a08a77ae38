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

/* Bytes that others may change are read once. */
static inline u8 ws_load8_once(const u8 *p)
{
	return *(const volatile u8 *)p;
}

/**
 * ws_frame_message() - the common case at once: a frame which is a whole data message, all of it there, below 64 KiB
 * @h: filled in when the return value is true
 * @p: the bytes at the start of the frame; they may change meanwhile
 * @n: how many there are
 * @masked: the peer has to mask, because it is the client
 *
 * Call between messages. Return: false: anything else; ws_frame_decode() tells what.
 */
static inline bool ws_frame_message(struct ws_header *h, const u8 *p, size_t n, bool masked)
{
	u8 start, size;

	if (n < 4)
		return false;
	start = ws_load8_once(p);
	size = ws_load8_once(p + 1) ^ (masked ? 0x80 : 0);
	if (start != (0x80 | WS_OP_TEXT) && start != (0x80 | WS_OP_BINARY))
		return false;
	h->opcode = start & 0xf;
	h->fin = true;
	h->key = 0;
	h->len = size;
	h->size = 2;
	if (size > 125) {
		h->len = ws_load8_once(p + 2) << 8 | ws_load8_once(p + 3);
		h->size = 4;
		if (size != 126 || h->len < 126)
			return false;
	}
	if (masked) {
		if (n < h->size + 4u)
			return false;
		h->key = ws_load32(p + h->size);
		h->size += 4;
	}
	return n - h->size >= h->len;
}

int ws_frame_decode(struct ws_header *h, const u8 *p, size_t n, bool masked, bool open);
unsigned int ws_frame_encode(u8 *p, u8 opcode, bool fin, u64 len, bool masked, u32 key);

#endif
