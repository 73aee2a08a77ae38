// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The other direction: frames that kmod/core encodes and masks, in chunks that the fuzzer chose, are what the reference
 * and the decoder read.
 *
 * Input: flags (1: client), segmentation (here of the masking), then operations: one byte of kind, one of length, four
 * of key if the flags say client, and the payload. The last frame may be of any length at all: only its header is made.
 */
#include "frame.h"
#include "mask.h"
#include "reference.h"
#include "segments.h"

/* What an operation's first byte says. */
#define KIND_FIN	0x01	/* of data frames */
#define KIND_TEXT	0x02
#define KIND_OPCODE	0x0c	/* 0 and 4: data, 8: ping, c: pong */
#define KIND_HUGE	0x10	/* eight bytes of length follow, and no payload */

struct input {
	const u8 *p;
	size_t n;
};

static u64 take(struct input *in, unsigned int bytes)
{
	u64 v = 0;

	for (; bytes && in->n; bytes--, in->n--)
		v = v << 8 | *in->p++;
	return v;
}

/* Encode, and see that the decoder reads the same. */
static size_t encode(u8 *to, u8 opcode, bool fin, u64 len, bool masked, u32 key, bool open)
{
	unsigned int size = ws_frame_encode(to, opcode, fin, len, masked, key);
	struct ws_header h;

	MUST(size <= WS_HEADER_MAX);
	MUST(ws_frame_decode(&h, to, size, masked, open) == (int)size);
	MUST(ws_frame_decode(&h, to, size - 1, masked, open) == 0);
	MUST(ws_frame_decode(&h, to, WS_HEADER_MAX, masked, open) == (int)size);
	MUST(h.opcode == opcode && h.fin == fin && h.len == len && h.size == size && h.key == (masked ? key : 0));
	return size;
}

static void mask(u8 *to, const u8 *from, size_t n, u32 key, struct segments *segments)
{
	while (n) {
		size_t chunk = segments_next(segments, n);

		ws_mask_copy(to, from, chunk, key);
		key = ws_mask_advance(key, chunk);
		to += chunk;
		from += chunk;
		n -= chunk;
	}
}

static void read_back(struct log *expected, bool masked, const u8 *stream, size_t n)
{
	static struct log log;
	struct reference r;
	size_t i;

	reference_start(&r, &log, masked, false);
	for (i = 0; i < n; i++)
		MUST(reference_byte(&r, stream[i]));
	/* at the end of a frame, or behind the header of the huge one */
	MUST(r.next == (expected->left ? PAYLOAD : FIRST));
	log_compare(expected, &log);
}

int LLVMFuzzerTestOneInput(const u8 *p, size_t n);

int LLVMFuzzerTestOneInput(const u8 *p, size_t n)
{
	static struct log expected;
	static u8 stream[8 * STREAM_MAX];
	struct input in = { p, n };
	struct segments segments;
	size_t size = 0;
	bool masked;

	if (n > STREAM_MAX)
		return 0;
	log_start(&expected);
	masked = take(&in, 1) & 1;
	segments = segments_take(&in.p, &in.n);
	while (in.n && !expected.left) {
		u8 kind = take(&in, 1);
		bool control = kind & 8;
		bool fin = control || kind & KIND_FIN;
		bool open = expected.open;
		u8 opcode = control ? (kind & KIND_OPCODE) == 8 ? WS_OP_PING : WS_OP_PONG :
			    open ? WS_OP_CONTINUATION : kind & KIND_TEXT ? WS_OP_TEXT : WS_OP_BINARY;
		u64 len = take(&in, 1);
		u32 key = masked ? take(&in, 4) : 0;

		if (opcode == WS_OP_TEXT || opcode == WS_OP_BINARY)
			expected.open = opcode;
		if (kind & KIND_HUGE && !control) {
			len = take(&in, 8) >> 1;
			size += encode(stream + size, opcode, fin, len, masked, key, open);
			expected.left = len;
			if (!len && fin)
				log_message(&expected);
			continue;
		}
		if (kind & KIND_TEXT && !control)
			len += 64;
		if (control)
			len %= WS_CONTROL_MAX + 1;
		if (len > in.n)
			len = in.n;
		size += encode(stream + size, opcode, fin, len, masked, key, open);
		mask(stream + size, in.p, len, key, &segments);
		size += len;
		if (control) {
			log_event(&expected, opcode, 0, in.p, len);
		} else {
			memcpy(expected.partial + expected.partial_len, in.p, len);
			expected.partial_len += len;
			if (fin)
				log_message(&expected);
		}
		in.p += len;
		in.n -= len;
	}
	read_back(&expected, masked, stream, size);
	return 0;
}
