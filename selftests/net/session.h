/* SPDX-License-Identifier: GPL-2.0 */
/* One session of net/sessions.c: a connection, what is done to it, and what has to come of it. */
#ifndef SESSION_H
#define SESSION_H

#include "model.h"
#include "peer.h"

struct session {
	struct rng		rng;
	struct link		l;
	struct websocket_config	config;
	struct script		script;
	struct model		model;
	struct reader		reader;
	size_t			written;	/* of the script */
	unsigned int		pace;		/* bytes in one segment; 0: by chance */
	struct account		accepted, seen;
	bool			batch;
	bool			threads;	/* ->written may lag behind */
	bool			closed_here;	/* by Close or shutdown() of the module's side */
	unsigned int		own_code;	/* of the Close that was asked for last; 0: none */
	enum wire_result	wire_end;	/* WIRE_FRAME: it has not ended */
	unsigned int		wire_code;	/* of the Close on the wire; 0: none */
};

extern bool sessions_verbose;
void say_(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define say(...) do { if (sessions_verbose) say_(__VA_ARGS__); } while (0)

/* Connections of this process, quickly made. */
void session_world(void);
void session_open(struct session *s, __u64 seed, bool small_buffers);
void session_free(struct session *s);

/* One step of the kind, chosen by chance. */
void session_peer_write(struct session *s);
void session_peer_read(struct session *s, unsigned int frames);
void session_receive(struct session *s, struct rng *r, bool wait);
void session_send(struct session *s, struct rng *r, int flags);
void session_disturb(struct session *s, struct rng *r);

/* Everything the peer has written has arrived. */
bool session_settled(const struct session *s);
/* Every frame up to the connection's end. */
void session_read_wire(struct session *s);
/* After the end of both sides. @clean: nothing may be missing. */
void session_judge(struct session *s, bool clean);

/* Several threads at once; @chaos: more than one reader and writer, of which only the frames on the wire are judged. */
void session_threads(__u64 seed, bool chaos);

#endif
