/* SPDX-License-Identifier: GPL-2.0 */
/*
 * RFC 6455 frames by hand: a builder in which every header field can be made wrong, and a reader that accepts nothing
 * but what the RFC allows. Neither shares a line with the module.
 */
#ifndef FRAME_H
#define FRAME_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define OP_CONTINUATION	0
#define OP_TEXT		1
#define OP_BINARY	2
#define OP_CLOSE	8
#define OP_PING		9
#define OP_PONG		10

#define CONTROL_MAX	125

enum length_encoding { LENGTH_MINIMAL, LENGTH_7, LENGTH_16, LENGTH_64 };
enum mask_choice { MASK_BY_ROLE, MASK_ON, MASK_OFF };

/* One frame to be built. What is not set is right. */
struct frame {
	__u8			opcode;
	bool			more;		/* FIN is clear */
	__u8			rsv;		/* 4: RSV1, 2: RSV2, 1: RSV3 */
	enum mask_choice	mask;
	__u32			key;		/* 0: a new one */
	bool			key_zero;	/* the key is 0 indeed */
	enum length_encoding	encoding;
	const char		*text;		/* the payload as a string, or */
	const void		*payload;
	size_t			len;
	__u64			announce;	/* length in the header; 0: the true one */
};

/* Bytes for the wire. Marks say where frames begin, so that segments can be cut there. */
struct stream {
	unsigned char	*bytes;
	size_t		len, room;
	struct mark { size_t start, payload; } *marks;
	size_t		count, mark_room;
	bool		masked;			/* the writer's role: it is a client */
	__u32		seed;
};

void stream_init(struct stream *s, bool masked);
void stream_free(struct stream *s);
void stream_clear(struct stream *s);
void stream_frame(struct stream *s, const struct frame *f);
void stream_raw(struct stream *s, const void *bytes, size_t len);

#define put(s, ...) stream_frame(s, &(struct frame){ __VA_ARGS__ })

/* A Close frame; code 0 means without a payload. */
void put_close(struct stream *s, unsigned int code, const char *reason);

/* Bytes that differ from their neighbours and between seeds. */
void pattern(void *bytes, size_t len, unsigned int seed);
unsigned char *new_pattern(size_t len, unsigned int seed);

/* One frame as it came. */
struct seen {
	bool		fin, masked;
	__u8		opcode;
	__u32		key;
	size_t		len;
	unsigned char	*payload;		/* unmasked; freed by the next read */
};

/* What the other side of the connection reads. */
struct wire {
	bool		tls;		/* the socket has kTLS */
	bool		notified;	/* its close_notify has come */
	int		fd;
	bool		expect_mask;		/* the writer is a client */
	bool		open;			/* a fragmented message is */
	bool		closed;			/* a Close was seen */
	bool		pongs_late;		/* RFC 6455 5.5.2: they may follow it */
	bool		may_be_cut;		/* another thread's send() may have taken the error of a reset away */
	int		patience_ms;		/* silence for longer fails the test; 0: 30 s */
	unsigned char	*bytes;
	size_t		have, room, used;
	struct seen	seen;
};

enum wire_result { WIRE_FRAME, WIRE_END, WIRE_RESET };

/* The next frame, checked; the end; or the reset. Anything else, 30 s of silence included, fails the test. */
enum wire_result wire_read(struct wire *w);
void wire_free(struct wire *w);

/* The next frame is this one. */
void wire_expect_(struct wire *w, __u8 opcode, bool fin, const void *payload, size_t len);
/* The next message, whatever its fragments; control frames between them are left out. */
void wire_expect_message_(struct wire *w, __u8 opcode, const void *payload, size_t len);
/* A Close with this code; 1005: none. */
void wire_expect_close_(struct wire *w, unsigned int code);
/* The frame that was read last is. */
void wire_is_close_(const struct wire *w, unsigned int code);
void wire_expect_end_(struct wire *w);
void wire_expect_reset_(struct wire *w);

#define wire_expect(...) HERE(wire_expect_(__VA_ARGS__))
#define wire_expect_message(...) HERE(wire_expect_message_(__VA_ARGS__))
#define wire_expect_close(...) HERE(wire_expect_close_(__VA_ARGS__))
#define wire_expect_end(w) HERE(wire_expect_end_(w))
#define wire_expect_reset(w) HERE(wire_expect_reset_(w))

/* RFC 6455 7.4 and its registry: codes that may stand in a Close. */
bool close_code_valid(unsigned int code);

#endif
