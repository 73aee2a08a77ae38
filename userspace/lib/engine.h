/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The user-space engine: a WebSocket over a byte stream, for where the kernel's protocol is not there.
 *
 * DESIGN NOTES
 *
 * It is the module once more, over the same kmod/core, and it keeps the module's cut so that both can be compared: a scan cursor
 * (engine_rx.c) that examines each frame header once, as it arrives, and answers control frames; a read cursor
 * (engine_recv.c) that takes messages behind it; a sender (engine_send.c); timers (engine_timers.c); and state and transport
 * (engine.c). Positions are 64-bit offsets in the stream from the start of the protocol, as in kmod/websocket.h, whose words are
 * used here.
 *
 * What TCP's receive queue is to the module, the buffer is here: the bytes from head to tail, as they came, masked. It exists only
 * while there are any: an idle connection has no buffer. It is filled by engine_run(), which every call starts with, so what the
 * kernel does when a segment arrives is done here when the program calls.
 *
 * The transport (layer.h) is some functions that never block; a socket's are in engine.c, those of TLS in ../tls. Waiting, which
 * only blocking calls do, is poll() on the descriptor.
 */
#ifndef KWS_ENGINE_H
#define KWS_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "close.h"
#include "failure.h"
#include "frame.h"
#include "kws.h"
#include "layer.h"
#include "mask.h"
#include "utf8.h"

#define READ_SIZE	65536		/* asked of the transport at a time */
#define READ_AHEAD	(256 << 10)	/* held behind messages that are complete and unread */
#define HOLD_MAX	(4 << 20)	/* of one incomplete message: more of it is delivered in parts */
#define GONE_MAX	(256 << 10)	/* read at a time and not held */
#define FREE_RUNS	32		/* times GONE_MAX: a peer that does not stop is not listened to for ever at the end */
#define BATCH_SIZE	65536		/* of the frames that a batch sends with one write */
#define FRAME_MAX	(256 << 10)		/* payload of one frame that is sent */

/* Where the next receive goes on, in the frame at head: struct ws_read of kmod/websocket.h. */
struct read_cursor {
	u64 left;
	u32 key;
	u8 opcode;
	u8 control;
	u8 utf8;
	bool fin;
	bool begun;
	bool control_begun;
};

/* How far the text of an incomplete message was checked: struct ws_ahead. */
struct ahead {
	u64 off;
	u64 left;
	u32 key;
	u8 utf8;
	bool open;
};

/* engine.ending: the peer's Close; below it: enum ws_failure */
#define ENDING_CLOSE	WS_FAIL_COUNT

/* read_cursor.utf8, ahead.utf8: WEBSOCKET_F_NO_UTF8 was set when the message began */
#define UTF8_UNCHECKED	64

/**
 * struct engine - a WebSocket
 * @fd: to wait on
 * @buf, @start, @room: the buffer: the byte at @head is buf[start]; NULL: nothing is buffered
 * @head, @tail: stream offsets of what is in it
 * @scan: the next header to examine; beyond @tail while inside a frame
 * @ready: what is before it may be delivered; <= @head: nothing
 * @ended: the transport has no more bytes
 * @drained: it had none when it was looked at last
 * @more: reading stopped at GONE_MAX, engine_run() is due
 * @eof: the end without Close was reported: it stays so
 * @rest, @rest_off, @rest_len: a frame begun on the wire, sent before anything else; NULL: none
 * @cut: the rest of a frame begun on the wire was lost: what came behind it would be taken for that rest, so nothing is sent
 * @pong: a pong that waits behind it: its length, then its payload; NULL: none
 * @in_hand: the program was given a message and has not come back for more
 * @ending: what ends the messages, enum ws_failure or ENDING_CLOSE, found but not acted on (ENDING IN ORDER in kmod/control.c)
 * @fin_due: FIN waits for @rest
 * @error: positive errno of the ended connection, 0: none. Sticky.
 * @flushed: bytes of @rest that went, in all
 * @ping_taken, @ping_end: how far the peer's TCP had come when it was looked at last (@ping_look), and how far it is when it has
 *	the ping
 * @received: milliseconds of CLOCK_MONOTONIC when bytes last came; likewise the other times
 *
 * The rest means what it means in struct ws of kmod/websocket.h.
 */
struct engine {
	const struct transport *transport;
	void *ctx;
	int fd;
	u32 flags;
	u64 max_message;

	u8 *buf;
	size_t start, room;
	u64 head, tail, scan, ready;
	struct read_cursor read;
	struct ahead ahead;
	u64 frame_data, message_len;
	u8 frame_head;
	u8 state;
	u8 failure;
	u8 scan_opcode;
	bool scan_whole;
	bool streaming;
	bool ended;
	bool drained;
	bool more;
	bool eof;
	bool in_hand;
	u8 ending;

	u8 tx_opcode;
	bool cut;
	bool fin_due, fin_sent;
	u16 sent_code, peer_code;
	u8 *rest;
	size_t rest_off, rest_len;
	u8 *pong;

	u32 ping_interval_ms, pong_timeout_ms, close_timeout_ms;
	u32 jitter;
	bool ping_due, ping_waits, ping_timed, close_waits;
	u32 ping_id;
	u64 flushed, ping_taken, ping_end;
	u64 received, ping_sent, ping_look, close_sent, ending_since, ping_us;
	int error;
	u32 rtt_us;
	u8 *reason;		/* in the peer's Close; no NUL */
	u8 reason_len;

	u64 rx_messages, rx_frames, rx_bytes;
	u64 tx_messages, tx_frames, tx_bytes;
	u32 rx_pings, rx_pongs, tx_pings, tx_pongs;
};

static inline bool engine_client(const struct engine *e)
{
	return e->flags & WEBSOCKET_F_CLIENT;
}

static inline bool engine_readable(const struct engine *e)
{
	return e->ready > e->head;
}

/* The peer's messages have ended, by its Close or by failure. */
static inline bool engine_rx_ended(const struct engine *e)
{
	return e->state >= WEBSOCKET_STATE_CLOSE_RECEIVED;
}

/*
 * Both Closes are there, but ours, or what goes before it, has no room in TCP yet: the end is not said, because the program may then
 * free the connection. close_timeout() bounds it.
 */
static inline bool engine_closing(const struct engine *e)
{
	return engine_rx_ended(e) && e->rest && !e->error && e->close_waits && !e->fin_sent;
}

static inline const u8 *engine_at(const struct engine *e, u64 off)
{
	return e->buf + e->start + (off - e->head);
}

/* engine.c */
int engine_check_config(const struct websocket_config *config);
/* Over a connected socket, which the engine closes; or over another transport. NULL: errno. */
struct engine *engine_new(int fd, const struct websocket_config *config);
struct engine *engine_new_over(int fd, const struct websocket_config *config, const struct transport *transport, void *ctx);
/* NULL: the defaults. */
int engine_configure(struct engine *e, const struct websocket_config *config);
void engine_get_config(const struct engine *e, struct websocket_config *config);
void engine_free(struct engine *e);
/* All that can be done without blocking: bytes in, control frames, what waits to go out, timers. */
void engine_run(struct engine *e);
/* What to poll() the descriptor for. */
short engine_events(const struct engine *e);
/* What poll() of the module's socket would show. */
short engine_poll(const struct engine *e);
/* A receive has something to say. */
bool engine_pending(const struct engine *e);
/* Blocks until the descriptor is ready or a timer is due. Return: 0; -EAGAIN: must not or no longer block; -EINTR. */
int engine_wait(struct engine *e, bool sending, int flags, u64 *deadline);
void engine_consume(struct engine *e, u64 n);
/* Reads as far as may be, or as there is; engine_run() leaves what stands behind a message to the next call. */
void engine_read_on(struct engine *e);
/* No more is read ahead than this; TCP's window tells the peer. */
bool engine_may_read(const struct engine *e);
void engine_shutdown(struct engine *e, u16 code);
/* Our side of the connection ends, behind everything. */
void engine_send_fin(struct engine *e);
void engine_send_close(struct engine *e, const u8 *data, size_t len);
void engine_reply_close(struct engine *e);
enum ws_failure engine_received_close(struct engine *e, const u8 *data, size_t len);
void engine_received_pong(struct engine *e, const u8 *data, size_t len);
void engine_pong(struct engine *e, const u8 *data, size_t len);
void engine_fail(struct engine *e, enum ws_failure failure);
/* Does what ends the messages have to wait for the program? @unread: messages stand before it. */
bool engine_defer(struct engine *e, u8 ending, bool unread);
/* How long that waits for the program: milliseconds. */
u64 engine_patience(const struct engine *e);
/* Acts on it. */
void engine_settle(struct engine *e);
/* The program asks for more: nothing is in its hands any longer, and what ends the messages comes if nothing is before it. */
void engine_ask(struct engine *e);
/* The program was given a message. */
void engine_in_hand(struct engine *e);
void engine_set_error(struct engine *e, int error);
/* TCP says nothing of a reset behind the peer's FIN to who reads: looks for one. */
void engine_look_for_reset(struct engine *e);
void engine_info(const struct engine *e, struct websocket_info *info);
/* Return: 0, or the errno of getrandom(): nothing may be sent by the clock instead. */
int engine_random(u32 *number);

/* engine_timers.c: CLOCK_MONOTONIC */
u64 engine_now_us(void);
u64 engine_now_ms(void);
void engine_run_timers(struct engine *e);
/* Sends a keep-alive ping, or has it sent when there is room. */
void engine_ping(struct engine *e);
/* The reader is about to make room: if the peer waited for that, its time for pong and Close begins now. */
void engine_restart_timers(struct engine *e);
/* How much sooner the next ping comes. */
void engine_jitter(struct engine *e);
/* Milliseconds until engine_run() is due though nothing happens; -1: never. */
int engine_timeout(const struct engine *e);

/* engine_rx.c */
void engine_scan(struct engine *e);
void engine_drop(struct engine *e);
bool engine_delivers(const struct engine *e, u8 opcode);
void engine_enter(const struct engine *e, struct read_cursor *rd, const struct ws_header *h);
/* Steps over frames at the cursor that carry nothing, so that they do not count as unread. Return: where it stands then. */
u64 engine_step_over(const struct engine *e, struct read_cursor *rd, u64 off);

/* engine_recv.c: batch NULL: one message */
ssize_t engine_recv(struct engine *e, const struct iovec *iov, int count, int flags, struct kws_message *msg,
		    struct websocket_batch *batch, unsigned int *nr);

/* engine_send.c */
ssize_t engine_send(struct engine *e, int opcode, const struct iovec *iov, int count, int flags);
ssize_t engine_send_batch(struct engine *e, const struct iovec *iov, int count, int flags,
			  const struct websocket_batch *batch, unsigned int nr);
int engine_send_control(struct engine *e, u8 opcode, const void *data, size_t len);
/* Sends what was begun: 0; -EAGAIN; -EPIPE. */
int engine_flush(struct engine *e);

#endif
