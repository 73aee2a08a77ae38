/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A handshake, either side.
 *
 * DESIGN NOTES
 *
 * handshake.c moves bytes and keeps time, and knows no header; server.c and client.c know the headers, and do no I/O.
 *
 *	server	(PROXY -> LAYER ->) READ -> DECIDE -> WRITE -> START -> OVER	client	(LAYER ->) WRITE -> READ -> START -> OVER
 *				     |       |         `-> LINGER -> OVER
 *				     `-------`-> (the answer is a refusal)
 *
 * The kernel's protocol is attached before the 101 (server) or the request (client) goes out, so that a missing module
 * is found while it can still be answered with 503 or is nobody's business. The socket is plain TCP until it is
 * started, after the last byte of either head. The peer's frames may be queued by then: starting takes them as frames.
 *
 * A layer (layer.h) does all this in its own way: TLS.
 */
#ifndef KWS_HANDSHAKE_H
#define KWS_HANDSHAKE_H

#include <stdint.h>

#include "head.h"
#include "key.h"
#include "kws.h"
#include "layer.h"
#include "proxy.h"

enum stage { STAGE_PROXY, STAGE_LAYER, STAGE_READ, STAGE_DECIDE, STAGE_WRITE, STAGE_START, STAGE_LINGER, STAGE_OVER };

/**
 * struct kws_handshake - its state
 * @fd: the caller's socket
 * @layer, @layer_ctx: between us and it; NULL: nothing
 * @client: which side
 * @stage: what is to be done next
 * @result: at STAGE_OVER: what kws_handshake_run() returns
 * @error: why it did not succeed, a negative errno, or 0
 * @status: HTTP status of the answer sent or received, 0: none yet
 * @attached: TCP_ULP is set
 * @upgrade: server: the request is one for WebSocket, and acceptable
 * @deadline: when it is too late, milliseconds of CLOCK_MONOTONIC
 * @max_head, @consumed: bytes that the peer's head may have, and has so far; at STAGE_LINGER: bytes thrown away
 * @acked, @linger_end: at STAGE_LINGER: bytes that the client's TCP has taken, and when it is too late whatever it takes
 * @flags, @config: of struct kws_options
 * @head: the peer's head
 * @out, @sent: our head, and how much of it TCP has taken
 * @extra: header lines of the caller
 * @accept: Sec-WebSocket-Accept to be sent (server), or expected (client)
 * @known: subprotocols of the options, server's or client's
 * @offers: server: what the client offers, a NUL after each, an empty one at the end
 * @chosen: the subprotocol agreed on, in @offers or @known; NULL: none
 * @why: one line of English about @error
 * @proxy: what the proxy said of the client; NULL: not asked for
 */
struct kws_handshake {
	int fd;
	const struct kws_layer *layer;
	void *layer_ctx;
	bool client;
	enum stage stage;
	int result;
	int error;
	int status;
	bool attached;
	bool upgrade;
	uint64_t deadline;
	size_t max_head, consumed;
	uint64_t acked, linger_end;
	unsigned int flags;
	struct websocket_config config;
	struct head head;
	struct text out;
	size_t sent;
	struct text extra;
	char accept[ACCEPT_LEN + 1];
	struct text known;
	struct text offers;
	const char *chosen;
	char why[200];	/* the longest of kws_strerror() too */
	struct proxy *proxy;
};

/* Fixed by the library */
#define DEFAULT_MAX_HEAD	16384
#define LARGEST_MAX_HEAD	(1 << 20)
#define DEFAULT_TIMEOUT_MS	10000
#define MAX_SUBPROTOCOLS	64	/* each is compared with all before it */
#define LINGER_MS		1000	/* for the client to fetch a refusal */
#ifndef LINGER_MOST_MS
#define LINGER_MOST_MS		10000	/* in all, if it takes some of it each LINGER_MS, and close() would lose the rest */
#endif
#define LINGER_BYTES		65536	/* of a body, say, that are thrown away meanwhile */

/* handshake.c */
uint64_t now_ms(void);
struct kws_handshake *handshake_new(int fd, bool client, const struct kws_options *opt);
/* Limits, flags and the configuration of the options; the strings are looked at where they are used. */
bool handshake_numbers_valid(const struct kws_options *opt, bool client);
/* The stage after the layer's own. */
enum stage handshake_first(const struct kws_handshake *hs);
/* Blocks until the socket is ready for events or the time is over. Return: 0, or -errno of poll(). */
int handshake_poll(int fd, short events, uint64_t deadline);
/* Ends with an error that cannot be or need not be answered. Return: error. */
int handshake_fail(struct kws_handshake *hs, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Sets TCP_ULP unless that is done, or not wanted. Return: 0, or -errno of kws_attach(). */
int handshake_attach(struct kws_handshake *hs);
/* Why that failed, and what to do about it. */
const char *handshake_attach_why(const struct kws_handshake *hs, int error);
void handshake_why(struct kws_handshake *hs, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* server.c: the request's head is complete; or cannot be any more (result of head_feed(), -EMSGSIZE, -ETIMEDOUT). */
void server_check(struct kws_handshake *hs);
void server_refuse_head(struct kws_handshake *hs, int error);
/* Puts the answer that was decided on into hs->out. */
void server_accept(struct kws_handshake *hs);
void server_answer(struct kws_handshake *hs, const char *type, const void *body, size_t len);

/* server.c, for both sides: may this stand in a header; does the library write that header itself? */
bool is_header_value(const char *value);
bool is_own_header(const char *name, size_t len);

/* client.c: the answer's head is complete. Return: 1: go on with the next head; 0; or -errno, already noted. */
int client_check(struct kws_handshake *hs);
/* May this line of the options stand in the request? */
bool client_may_send_header(const char *line);

/* extensions.c: how many a header value lists, -1: it breaks the grammar; does a head's, if it has one? */
int extensions_count(const char *value);
bool extensions_are_valid(const struct head *head);

/* protocols.c: lists of subprotocols */
/* Appends "a, b" with a NUL after each and an empty one at the end; -EINVAL: not a list of tokens, one comes twice,
 * or there are more than MAX_SUBPROTOCOLS; -ENOMEM. */
int protocols_split(struct text *to, const char *list, size_t len);
/* The entry of that name (len bytes of it, case counts); NULL: there is none. */
const char *protocols_find(const struct text *list, const char *name, size_t len);

#endif
