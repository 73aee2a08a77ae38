/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For net/sessions.c: chance that can be repeated, streams of frames made by it, what a receiver must make of such a
 * stream, and the account of what was sent. Frames are judged by ../unit/reference.h, not by kmod/core.
 */
#ifndef MODEL_H
#define MODEL_H

#include <linux/websocket.h>
#include <pthread.h>

#include "frame.h"

struct rng { __u64 state; };

/* A number from 0 to @n - 1. */
unsigned int rnd(struct rng *r, unsigned int n);
bool chance(struct rng *r, unsigned int percent);
/* Mostly small, seldom as large as @max. */
unsigned int rnd_size(struct rng *r, unsigned int max);

/* A stream for a receiver in this role: valid messages and control frames, then perhaps damage. */
struct script {
	bool		client;		/* the receiver's role */
	bool		damaged;
	struct stream	out;		/* its marks are where frames began before the damage */
};

void script_make(struct script *s, struct rng *r, bool client);
void script_free(struct script *s);

/* What one recvmsg() can return at most: a message, or the run of it between two delivered control frames. */
struct piece {
	__u8		opcode;
	bool		begin, end;	/* first and last of its message */
	bool		optional;	/* the message is unfinished or invalid: any part of it, or nothing */
	size_t		at, len;	/* in model.bytes */
	size_t		wire;		/* bytes of the stream after which it can be delivered */
};

struct ping { size_t at, len, wire; };

/*
 * What a receiver has to make of a stream. @failures: REF_SET()s, any of them; 0: none.
 * @fatal: bytes of the stream after which a failure or the Close can show, at the earliest
 */
struct model {
	unsigned char	*bytes;
	size_t		len, room;
	struct piece	*piece;
	size_t		pieces, piece_room;
	struct ping	*ping;
	size_t		pings, ping_room;
	size_t		messages;	/* complete, up to the failure or Close */
	bool		closed;
	unsigned int	close_code;	/* 1005: the Close had none */
	__u64		failures;
	size_t		fatal;
	bool		bad_text;	/* one failure waits for the reader; others may come before */
};

void model_make(struct model *m, const unsigned char *stream, size_t len, const struct websocket_config *config);
void model_free(struct model *m);
/* Is this errno, or this code of our Close, one that the failures cause? */
bool model_error(const struct model *m, int error);
bool model_close_code(const struct model *m, unsigned int code);

/* The reader's place in a model, and how the stream ended for it. */
struct reader {
	const struct model	*model;
	size_t			next, off;	/* piece, and bytes of it that were read */
	size_t			hidden;		/* empty ones before this one may be gone */
	bool			streams;	/* TCP may be unable to hold a message: parts at any time */
	bool			cut;		/* the connection was reset: anything may be missing */
	bool			fin;		/* the peer has sent FIN */
	bool			over;
	int			error;		/* of the end: errno, or 0 and */
	unsigned int		code;		/* the peer's code */
};

/* Part of the result of a recvmsg(): a message, or a part of one. */
struct got {
	const unsigned char	*bytes;
	size_t			len;
	bool			eor, peek;
	bool			full;		/* the buffer ended there */
	bool			has_record;
	__u8			opcode, flags;
};

/* A caller without room for records does not see empty messages. */
void reader_hide_empty(struct reader *rd);
/* Perhaps with a call that returned nothing, of what has arrived with @arrived bytes of the stream. */
void reader_maybe_hidden(struct reader *rd, size_t arrived);
void reader_take(struct reader *rd, const struct got *g);
/* The end, as errno or code. */
void reader_end(struct reader *rd, int error, unsigned int code);
/* Something that has to be delivered when @arrived bytes of the stream have. */
bool reader_has(const struct reader *rd, size_t arrived, bool sees_empty);

/* Messages and control frames, as accepted by send() or as seen on the wire. */
struct sent { __u8 opcode; bool end; size_t at, len; };

struct account {
	unsigned char	*bytes;
	size_t		len, room;
	struct sent	*message, *control;
	size_t		messages, message_room, controls, control_room;
	bool		open;
};

void account_data(struct account *a, __u8 opcode, const void *bytes, size_t len, bool end);
void account_control(struct account *a, __u8 opcode, const void *bytes, size_t len);
void account_free(struct account *a);

/* What was seen on the wire must be what was accepted, all of it if @complete; pongs may answer @m's pings. */
void account_compare(const struct account *accepted, const struct account *seen, const struct model *m, bool complete,
		     bool keepalive);

#endif
