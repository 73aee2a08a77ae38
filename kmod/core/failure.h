/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Every way in which a connection fails: one line each with the errno that the application gets, the code of the Close
 * frame that goes out (RFC 6455 7.4.1; 0: none can), and the name of its counter.
 */
#ifndef WS_CORE_FAILURE_H
#define WS_CORE_FAILURE_H

#include "types.h"

#define WS_FAILURES(X) \
	/* RFC 6455 5.2: reserved bits without an extension */ \
	X(RSV,			EPROTO,		1002,	"FailRsv") \
	/* RFC 6455 5.2: opcodes 3-7 and 11-15 */ \
	X(OPCODE,		EPROTO,		1002,	"FailOpcode") \
	/* RFC 6455 5.1: a client masks, a server does not */ \
	X(UNMASKED,		EPROTO,		1002,	"FailUnmasked") \
	X(MASKED,		EPROTO,		1002,	"FailMasked") \
	/* RFC 6455 5.5: control frames are whole and at most 125 bytes */ \
	X(CONTROL_FRAGMENT,	EPROTO,		1002,	"FailControlFragment") \
	X(CONTROL_LENGTH,	EPROTO,		1002,	"FailControlLength") \
	/* RFC 6455 5.2: the shortest length form, top bit 0 */ \
	X(LENGTH_FORM,		EPROTO,		1002,	"FailLengthForm") \
	X(LENGTH_TOP_BIT,	EPROTO,		1002,	"FailLengthTopBit") \
	/* RFC 6455 5.4: fragments of one message at a time */ \
	X(CONTINUATION,		EPROTO,		1002,	"FailContinuation") \
	X(INTERLEAVED,		EPROTO,		1002,	"FailInterleaved") \
	/* RFC 6455 5.5.1, 7.4: the body of a Close frame */ \
	X(CLOSE_LENGTH,		EPROTO,		1002,	"FailCloseLength") \
	X(CLOSE_CODE,		EPROTO,		1002,	"FailCloseCode") \
	X(CLOSE_UTF8,		EILSEQ,		1007,	"FailCloseUtf8") \
	/* RFC 6455 8.1 */ \
	X(UTF8,			EILSEQ,		1007,	"FailUtf8") \
	/* RFC 6455 10.4: limits */ \
	X(TOO_BIG,		EMSGSIZE,	1009,	"FailTooBig") \
	/* header bytes differ from what they were when they were examined */ \
	X(UNSTABLE,		EPROTO,		1002,	"FailUnstable") \
	/* a byte of the stream went to or came from somebody else */ \
	X(STOLEN,		EPIPE,		0,	"FailStolen") \
	X(PONG_TIMEOUT,		ETIMEDOUT,	0,	"FailPongTimeout") \
	X(CLOSE_TIMEOUT,	ETIMEDOUT,	0,	"FailCloseTimeout") \
	/* payload in memory that the CPU cannot read */ \
	X(UNREADABLE,		EFAULT,		1011,	"FailUnreadable") \
	/* kTLS: a record that is broken or out of place; an alert; a handshake after the handshake */ \
	X(TLS_RECORD,		EBADMSG,	0,	"FailTlsRecord") \
	X(TLS_ALERT,		ECONNABORTED,	0,	"FailTlsAlert") \
	X(TLS_REKEY,		EKEYEXPIRED,	1011,	"FailTlsRekey")

enum ws_failure {
	WS_FAIL_NONE,
#define X(name, error, code, counter) WS_FAIL_##name,
	WS_FAILURES(X)
#undef X
	WS_FAIL_COUNT
};

#endif
