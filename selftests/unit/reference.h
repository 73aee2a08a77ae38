/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * RFC 6455 and RFC 3629 written a second time, slowly and straight from their text, for the unit tests and the fuzzers
 * to compare with. Of kmod/core only the names of the failures are used here.
 */
#ifndef WS_REFERENCE_H
#define WS_REFERENCE_H

#include "failure.h"

/* Sets of failures: where several rules are broken at once, any of them may be reported. */
#define REF_SET(name)	(1ULL << WS_FAIL_##name)

/*
 * ref_start() - which rules do the first two bytes of a frame break?
 * @masked: the receiver is the server
 * @open: a fragmented message is unfinished
 */
static inline u64 ref_start(u8 b0, u8 b1, bool masked, bool open)
{
	bool fin = b0 / 128 == 1;
	unsigned int rsv = b0 / 16 % 8;
	unsigned int opcode = b0 % 16;
	bool mask = b1 / 128 == 1;
	unsigned int length = b1 % 128;
	u64 set = 0;

	/* 5.2: "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values" */
	if (rsv != 0)
		set |= REF_SET(RSV);

	/* 5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_" */
	switch (opcode) {
	case 0x0: case 0x1: case 0x2:
	case 0x8: case 0x9: case 0xA:
		break;
	default:
		set |= REF_SET(OPCODE);
	}

	/* 5.1: "The server MUST close the connection upon receiving a frame that is not masked" */
	if (masked && !mask)
		set |= REF_SET(UNMASKED);
	/* 5.1: "A client MUST close a connection if it detects a masked frame" */
	if (!masked && mask)
		set |= REF_SET(MASKED);

	/* 5.5: "Control frames are identified by opcodes where the most significant bit of the opcode is 1" */
	if (opcode >= 8) {
		/* "All control frames MUST have a payload length of 125 bytes or less" */
		if (length > 125)
			set |= REF_SET(CONTROL_LENGTH);
		/* "and MUST NOT be fragmented" */
		if (!fin)
			set |= REF_SET(CONTROL_FRAGMENT);
	}

	/* 5.4: "a single frame with the FIN bit clear and an opcode other than 0, followed by zero or more …" */
	if (opcode == 0 && !open)
		set |= REF_SET(CONTINUATION);
	/* 5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message" */
	if ((opcode == 1 || opcode == 2) && open)
		set |= REF_SET(INTERLEAVED);
	return set;
}

/* ref_length_bytes() - how many bytes of extended payload length follow the second byte? */
static inline unsigned int ref_length_bytes(u8 b1)
{
	switch (b1 % 128) {
	case 126:
		return 2;
	case 127:
		return 8;
	default:
		return 0;
	}
}

/* ref_length() - which rules does a length in an extended form of @bytes bytes break? */
static inline u64 ref_length(unsigned int bytes, u64 len)
{
	/* 5.2: "in all cases, the minimal number of bytes MUST be used to encode the length" */
	if (bytes == 2 && len <= 125)
		return REF_SET(LENGTH_FORM);
	if (bytes == 8 && len <= 65535)
		return REF_SET(LENGTH_FORM);
	/* 5.2: "a 64-bit unsigned integer (the most significant bit MUST be 0)" */
	if (bytes == 8 && len >= 9223372036854775808ULL)
		return REF_SET(LENGTH_TOP_BIT);
	return 0;
}

/* ref_close_code() - may @code stand in a Close frame? */
static inline bool ref_close_code(unsigned int code)
{
	switch (code) {
	case 1000: case 1001: case 1002: case 1003:	/* 7.4.1 */
	case 1007: case 1008: case 1009: case 1010: case 1011:
	case 1012: case 1013: case 1014:		/* IANA: restart, try again later, bad gateway */
		return true;
	case 1004:					/* "Reserved" */
	case 1005: case 1006: case 1015:		/* "MUST NOT be set as a status code" */
		return false;
	}
	/* 7.4.2: 0-999 are not used, 1000-2999 are for the protocol, 3000-4999 for libraries and applications */
	return code / 1000 == 3 || code / 1000 == 4;
}

/*
 * struct ref_utf8 - UTF-8 as the arithmetic of RFC 3629 3, a byte at a time; all zero to start with
 * @point: the bits of the code point so far
 * @min: the lowest code point that needs so many bytes
 * @left: bytes still to come
 * @bad: it is not UTF-8
 */
struct ref_utf8 {
	u32 point;
	u32 min;
	unsigned int left;
	bool bad;
};

static inline void ref_utf8_byte(struct ref_utf8 *u, u8 byte)
{
	static const u32 min[] = { 0x0, 0x80, 0x800, 0x10000 };
	unsigned int ones = 0;
	u32 low, high;

	if (u->bad)
		return;
	while (ones < 8 && byte & 0x80 >> ones)
		ones++;
	if (!u->left) {
		/* 0xxxxxxx, 110xxxxx, 1110xxxx, 11110xxx */
		if (ones == 1 || ones > 4)
			goto bad;
		u->left = ones ? ones - 1 : 0;
		u->min = min[u->left];
		u->point = byte & 0x7f >> ones;
	} else {
		/* 10xxxxxx */
		if (ones != 1)
			goto bad;
		u->left--;
		u->point = u->point << 6 | (byte & 0x3f);
	}
	/* the code points that can still come of it: is any of them a legal one in its shortest form? */
	low = u->point << 6 * u->left;
	high = low + (1U << 6 * u->left) - 1;
	if (low < u->min)
		low = u->min;
	if (high > 0x10FFFF)
		high = 0x10FFFF;
	if (low > high || (low >= 0xD800 && high <= 0xDFFF))
		goto bad;
	return;
bad:
	u->bad = true;
}

#endif
