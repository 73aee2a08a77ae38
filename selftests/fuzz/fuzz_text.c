// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Text and Close payloads, without frames around them: in the segments that the fuzzer chose, in one piece, and byte by
 * byte, where each verdict has to come with the first wrong byte.
 *
 * Input: segmentation, text.
 */
#include "close.h"
#include "frame.h"
#include "reference.h"
#include "segments.h"
#include "utf8.h"

static void text(struct segments *segments, const u8 *p, size_t n)
{
	struct ref_utf8 u = { 0 };
	u8 state = WS_UTF8_START, whole;
	size_t i, segment;

	for (i = 0; i < n; i++) {
		ref_utf8_byte(&u, p[i]);
		state = ws_utf8_check(state, p + i, 1);
		MUST((state == WS_UTF8_BAD) == u.bad);
		MUST((state == WS_UTF8_START) == (!u.bad && !u.left));
	}
	whole = ws_utf8_check(WS_UTF8_START, p, n);
	MUST(whole == state);
	for (state = WS_UTF8_START, i = 0; i < n; i += segment) {
		segment = segments_next(segments, n - i);
		state = ws_utf8_check(state, p + i, segment);
	}
	MUST(whole == state);
}

static void close_payload(const u8 *p, size_t n)
{
	enum ws_failure failure, expected = WS_FAIL_NONE;
	struct ref_utf8 u = { 0 };
	unsigned int expected_code = n < 2 ? 1005 : p[0] * 256 + p[1];
	u16 code;
	size_t i;

	failure = ws_close_check(p, n, &code);
	for (i = 2; i < n; i++)
		ref_utf8_byte(&u, p[i]);
	if (n == 1)
		expected = WS_FAIL_CLOSE_LENGTH;
	else if (n && !ref_close_code(expected_code))
		expected = WS_FAIL_CLOSE_CODE;
	else if (u.bad || u.left)
		expected = WS_FAIL_CLOSE_UTF8;
	MUST(failure == expected);
	MUST(code == expected_code);
}

int LLVMFuzzerTestOneInput(const u8 *p, size_t n);

int LLVMFuzzerTestOneInput(const u8 *p, size_t n)
{
	struct segments segments = segments_take(&p, &n);

	text(&segments, p, n);
	if (n <= WS_CONTROL_MAX)
		close_payload(p, n);
	return 0;
}
