// SPDX-License-Identifier: GPL-2.0 OR MIT
/* RFC 6455 5.2: the header of a frame. */
#include "frame.h"

#define FIN	0x80
#define RSV	0x70
#define MASK	0x80

/* What the first two bytes alone forbid; peers that send garbage are refused before the rest of a header arrives. */
static enum ws_failure check_start(u8 b0, u8 b1, bool masked, bool open)
{
	u8 opcode = b0 & 0xf;

	if (b0 & RSV)
		return WS_FAIL_RSV;
	if ((opcode & 7) > WS_OP_BINARY)
		return WS_FAIL_OPCODE;
	/* RFC 6455 5.1: a server closes on an unmasked frame, a client on a masked one */
	if (!!(b1 & MASK) != masked)
		return masked ? WS_FAIL_UNMASKED : WS_FAIL_MASKED;
	if (ws_op_is_control(opcode)) {
		/* RFC 6455 5.5 */
		if (!(b0 & FIN))
			return WS_FAIL_CONTROL_FRAGMENT;
		if ((b1 & 0x7f) > WS_CONTROL_MAX)
			return WS_FAIL_CONTROL_LENGTH;
	} else if (opcode == WS_OP_CONTINUATION) {
		/* RFC 6455 5.4 */
		if (!open)
			return WS_FAIL_CONTINUATION;
	} else if (open) {
		return WS_FAIL_INTERLEAVED;
	}
	return WS_FAIL_NONE;
}

static u64 load_be(const u8 *p, unsigned int n)
{
	u64 v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

/**
 * ws_frame_decode() - decode and check one frame header
 * @h: filled in when the return value is positive
 * @p: the bytes at the start of the frame; they must not change meanwhile
 * @n: how many there are; more than WS_HEADER_MAX are not looked at
 * @masked: the peer has to mask, because it is the client
 * @open: a fragmented message is unfinished
 *
 * Return: the size of the header; 0 if more bytes are needed; a negative enum ws_failure if the header, or what is
 * there of it, is forbidden.
 */
int ws_frame_decode(struct ws_header *h, const u8 *p, size_t n, bool masked, bool open)
{
	enum ws_failure failure;
	unsigned int size = 2;

	if (n < 2)
		return 0;
	failure = check_start(p[0], p[1], masked, open);
	if (failure)
		return -(int)failure;

	h->opcode = p[0] & 0xf;
	h->fin = p[0] & FIN;
	h->len = p[1] & 0x7f;
	/* RFC 6455 5.2: "the minimal number of bytes MUST be used", "the most significant bit MUST be 0" */
	if (h->len == 126) {
		size = 4;
		if (n < size)
			return 0;
		h->len = load_be(p + 2, 2);
		if (h->len < 126)
			return -WS_FAIL_LENGTH_FORM;
	} else if (h->len == 127) {
		size = 10;
		if (n < size)
			return 0;
		h->len = load_be(p + 2, 8);
		if (h->len >> 63)
			return -WS_FAIL_LENGTH_TOP_BIT;
		if (h->len <= 0xffff)
			return -WS_FAIL_LENGTH_FORM;
	}
	h->key = 0;
	if (masked) {
		if (n < size + 4)
			return 0;
		h->key = ws_load32(p + size);
		size += 4;
	}
	h->size = size;
	return size;
}

static void store_be(u8 *p, u64 v, unsigned int n)
{
	while (n--) {
		p[n] = v;
		v >>= 8;
	}
}

/**
 * ws_frame_encode() - write a frame header
 * @p: room for WS_HEADER_MAX bytes
 * @opcode: WS_OP_*
 * @fin: last frame of its message
 * @len: payload bytes, below 2^63
 * @masked: write @key
 * @key: masking key in memory order
 *
 * Return: bytes written, 2 to 14.
 */
unsigned int ws_frame_encode(u8 *p, u8 opcode, bool fin, u64 len, bool masked, u32 key)
{
	unsigned int size = 2;

	p[0] = (fin ? FIN : 0) | opcode;
	p[1] = masked ? MASK : 0;
	if (len < 126) {
		p[1] |= len;
	} else if (len <= 0xffff) {
		p[1] |= 126;
		store_be(p + 2, len, 2);
		size = 4;
	} else {
		p[1] |= 127;
		store_be(p + 2, len, 8);
		size = 10;
	}
	if (masked) {
		ws_store32(p + size, key);
		size += 4;
	}
	return size;
}
