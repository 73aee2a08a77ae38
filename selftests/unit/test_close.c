// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Close payloads and failures: kmod/core/close.c and failure.h against RFC 6455 5.5.1 and 7.4. */
#include <string.h>

#include "close.h"
#include "frame.h"
#include "reference.h"
#include "tap.h"

/* Check a copy that ends where the array ends: the sanitizer sees a look behind it. */
static enum ws_failure check(const u8 *p, size_t n, u16 *code)
{
	static u8 copy[WS_CONTROL_MAX];
	u8 *start = copy + sizeof(copy) - n;

	memcpy(start, p, n);
	*code = 0xdead;
	return ws_close_check(start, n, code);
}

static enum ws_failure check_reason(const char *reason, size_t n)
{
	u8 p[WS_CONTROL_MAX] = { 0x03, 0xe8 };
	enum ws_failure failure;
	u16 code;

	memcpy(p + 2, reason, n);
	failure = check(p, 2 + n, &code);
	CHECK(code == WS_CLOSE_NORMAL, "code %u", code);
	return failure;
}

static void every_code(void)
{
	unsigned int code, legal = 0;
	u16 got;

	for (code = 0; code < 65536; code++) {
		u8 p[3] = { code / 256, code % 256, '!' };
		enum ws_failure expected = ref_close_code(code) ? WS_FAIL_NONE : WS_FAIL_CLOSE_CODE;

		CHECK(ws_close_code_valid(code) == ref_close_code(code), "code %u", code);
		CHECK(check(p, 2, &got) == expected && got == code, "code %u became %u", code, got);
		CHECK(check(p, 3, &got) == expected && got == code, "code %u became %u, with a reason", code, got);
		legal += ws_close_code_valid(code);
	}
	CHECK(legal == 12 + 2000, "%u codes are legal", legal);
}

static void named_codes(void)
{
	static const u16 legal[] = {
		1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
	};
	static const u16 illegal[] = { 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65535 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(legal); i++)
		CHECK(ws_close_code_valid(legal[i]), "code %u", legal[i]);
	for (i = 0; i < ARRAY_SIZE(illegal); i++)
		CHECK(!ws_close_code_valid(illegal[i]), "code %u", illegal[i]);
}

static void no_code(void)
{
	unsigned int byte;
	u16 code;

	CHECK(check((const u8 *)"", 0, &code) == WS_FAIL_NONE, "an empty payload");
	CHECK(code == WS_CLOSE_NO_STATUS, "code %u", code);
	for (byte = 0; byte < 256; byte++) {
		u8 p = byte;

		CHECK(check(&p, 1, &code) == WS_FAIL_CLOSE_LENGTH, "%02x alone", byte);
		CHECK(code == WS_CLOSE_NO_STATUS, "code %u", code);
	}
}

static void reasons(void)
{
	static const struct {
		const char *reason;
		size_t n;
		enum ws_failure failure;
	} cases[] = {
		{ "", 0, WS_FAIL_NONE },
		{ "bye", 3, WS_FAIL_NONE },
		{ "\0", 1, WS_FAIL_NONE },
		{ "\xe2\x82\xac", 3, WS_FAIL_NONE },
		{ "abcde\xe2\x82\xac", 8, WS_FAIL_NONE },
		{ "abcde\xe2\x82", 7, WS_FAIL_CLOSE_UTF8 },		/* cut: "a UTF-8-encoded data" is whole */
		{ "\xe2", 1, WS_FAIL_CLOSE_UTF8 },
		{ "\xf0\x9f\x98", 3, WS_FAIL_CLOSE_UTF8 },
		{ "\xf0\x9f\x98\x80", 4, WS_FAIL_NONE },
		{ "\xed\xa0\x80", 3, WS_FAIL_CLOSE_UTF8 },
		{ "\xc0\x80", 2, WS_FAIL_CLOSE_UTF8 },
		{ "\x80", 1, WS_FAIL_CLOSE_UTF8 },
		{ "\xff", 1, WS_FAIL_CLOSE_UTF8 },
		{ "fine so far, and then\xff", 22, WS_FAIL_CLOSE_UTF8 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(check_reason(cases[i].reason, cases[i].n) == cases[i].failure, "case %u", i);
}

/* Every length, right and with one wrong byte at every place. */
static void reason_lengths(void)
{
	char reason[WS_CONTROL_MAX - 2];
	size_t n, at;

	for (n = 0; n <= sizeof(reason); n++) {
		memset(reason, 'r', sizeof(reason));
		CHECK(check_reason(reason, n) == WS_FAIL_NONE, "%zu bytes", n);
		for (at = 0; at < n; at++) {
			reason[at] = 0x80;
			CHECK(check_reason(reason, n) == WS_FAIL_CLOSE_UTF8, "%zu bytes, wrong at %zu", n, at);
			reason[at] = 0xc3;
			CHECK(check_reason(reason, n) == WS_FAIL_CLOSE_UTF8, "%zu bytes, lead at %zu", n, at);
			if (at + 1 < n) {
				reason[at + 1] = 0xa9;
				CHECK(check_reason(reason, n) == WS_FAIL_NONE, "%zu bytes, a character at %zu", n, at);
				reason[at + 1] = 'r';
			}
			reason[at] = 'r';
		}
	}
}

/* A code that may not be sent is refused whatever stands behind it. */
static void code_before_reason(void)
{
	u16 code;

	CHECK(check((const u8 *)"\x03\xed\xff", 3, &code) == WS_FAIL_CLOSE_CODE, "1005 and a bad reason");
	CHECK(code == 1005, "code %u", code);
}

/* The table of failures: each has an errno, a code that may be sent (or none), and a counter of its own. */
static void failures(void)
{
	static const struct {
		int error;
		unsigned int code;
		const char *counter;
	} table[] = {
		{ 0, 0, "" },
#define X(name, error, code, counter) { error, code, counter },
		WS_FAILURES(X)
#undef X
	};
	unsigned int i, j;

	CHECK(WS_FAIL_NONE == 0, "no failure is %d", WS_FAIL_NONE);
	CHECK(ARRAY_SIZE(table) == WS_FAIL_COUNT, "%zu entries", ARRAY_SIZE(table));
	for (i = 1; i < WS_FAIL_COUNT; i++) {
		CHECK(table[i].error > 0, "%s: errno %d", table[i].counter, table[i].error);
		CHECK(!table[i].code || ref_close_code(table[i].code), "%s: %u", table[i].counter, table[i].code);
		for (j = 1; j < i; j++)
			CHECK(strcmp(table[i].counter, table[j].counter), "%s stands there twice", table[i].counter);
	}
#define CODE(name)	(table[WS_FAIL_##name].code)
	/* 8.1: "MUST _Fail the WebSocket Connection_", 7.4.1: 1007 */
	CHECK(CODE(UTF8) == 1007 && CODE(CLOSE_UTF8) == 1007, "text: %u, %u", CODE(UTF8), CODE(CLOSE_UTF8));
	CHECK(CODE(TOO_BIG) == 1009, "too big: %u", CODE(TOO_BIG));
	for (i = WS_FAIL_RSV; i <= WS_FAIL_CLOSE_CODE; i++)
		CHECK(table[i].code == 1002, "%s: %u", table[i].counter, table[i].code);
#undef CODE
}

static const struct tap_test tests[] = {
	{ "RFC 6455 7.4: all 65536 codes", every_code },
	{ "RFC 6455 7.4.1, 7.4.2: the codes by name", named_codes },
	{ "RFC 6455 5.5.1: no code, half a code", no_code },
	{ "RFC 6455 5.5.1: reasons", reasons },
	{ "RFC 6455 5.5.1: reasons of every length, wrong at every place", reason_lengths },
	{ "RFC 6455 7.4: the code is judged before the reason", code_before_reason },
	{ "RFC 6455 7.1.7, 7.4.1: every failure has its errno, code and counter", failures },
};

TAP_MAIN(tests)
