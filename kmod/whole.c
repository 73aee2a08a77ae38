// SPDX-License-Identifier: GPL-2.0
/*
 * The common case in all three ways: frames that are whole messages, examined, received and sent at once.
 *
 * DESIGN NOTES
 *
 * Nearly every frame is a final text or binary frame below 64 KiB, has arrived in one piece of memory, and goes to or comes from
 * one piece of the program's, with nothing else going on. What rx.c, recvmsg.c and sendmsg.c do step by step for whatever may come
 * is done here in one go for such frames. Each function first looks, and as long as it returns false nothing has happened: its
 * caller goes the long way, which knows every case. So what is unusual, or an error, is said in one place only.
 */
#include "compat/compat.h"
#include "source.h"
#include "trace.h"
#include "unmask.h"
#include "whole.h"

static __always_inline size_t step(struct ws *ws, const u8 *p, size_t n, bool masked)
{
	unsigned int frames = 0;
	struct ws_header h;
	size_t left = n;
	u64 bytes = 0;

	while (ws_frame_message(&h, p, left, masked) && h.len <= ws->max_message) {
		bytes += h.len;
		frames++;
		p += h.size + h.len;
		left -= h.size + h.len;
	}
	ws->rx_bytes += bytes;
	ws->rx_frames += frames;
	ws->rx_messages += frames;
	ws->scan += n - left;
	return n - left;
}

/**
 * ws_whole_step() - the scan cursor passes whole messages
 * @ws: its context; between messages
 * @p: received bytes at the cursor
 * @n: how many stand there in one piece
 * Return: the bytes of those messages; 0: none is there.
 */
size_t ws_whole_step(struct ws *ws, const u8 *p, size_t n)
{
	return ws_client(ws) ? step(ws, p, n, false) : step(ws, p, n, true);
}

/**
 * ws_whole_scan() - what has come is whole messages
 * @sk: the socket
 * @ws: its context
 * @found: set to true if messages were found, of which the program was not told yet
 * Return: true: nothing else has come, and the program was told.
 */
bool ws_whole_scan(struct sock *sk, struct ws *ws, bool *found)
{
	size_t n, done;
	const u8 *p;

	if (ws->scan_opcode || ws->scan_whole || ws->scan_again || ws->ending || ws_rx_ended(ws) ||
	    !ws_source_ok(sk, ws) || trace_websocket_frame_enabled() || trace_websocket_message_enabled())
		return false;
	p = ws_source_new(ws, ws->scan, &n);
	if (!p)
		return false;
	done = ws_client(ws) ? step(ws, p, n, false) : step(ws, p, n, true);
	*found = done;
	if (!done)
		return false;
	WRITE_ONCE(ws->ready, ws->scan);
	if (done < n)
		return false;
	ws_source_want_any(sk, ws);
	ws->base->data_ready(sk);
	return true;
}

/* Payload of one message into user memory, unmasked; text has to be ASCII. False: a fault, or it is not. */
static __always_inline bool put_payload(u8 __user *to, const u8 *from, const struct ws_header *h, bool text, bool wide)
{
	size_t done = 0;
	u64 bits = 0;
	u32 high = 0;

	/* whole blocks, which do not change the key; then what is left */
	if (wide)
		done = ws_wide_put(to, from, h->len, h->key, &high);
	done += ws_put_unmasked(to + done, from + done, h->len - done, h->key, text ? &bits : NULL);
	return done == h->len && !(text && (high || bits & WS_NOT_ASCII));
}

/* ws_whole_copy() for one role, and for one message or a batch. @n: bytes at @p, and is set to how many of them were taken. */
static __always_inline unsigned int copy_messages(const struct ws *ws, const u8 *p, size_t *n, u8 __user *to, size_t *room,
						  struct websocket_batch *entry, unsigned int max, bool masked, bool wide,
						  struct ws_run *run)
{
	bool checks = !(ws->flags & WEBSOCKET_F_NO_UTF8);
	size_t left = *n, space = *room;
	unsigned int nr = 0;
	struct ws_header h;

	while (nr < max && ws_frame_message(&h, p, left, masked) && (wide || h.len < WS_WIDE_MIN)) {
		if (h.len > space) {
			run->full = true;
			break;
		}
		p += h.size;
		if (!(h.opcode == WS_OP_TEXT && checks ? put_payload(to, p, &h, true, wide) :
							 put_payload(to, p, &h, false, wide)))
			break;
		p += h.len;
		to += h.len;
		space -= h.len;
		left -= h.size + h.len;
		run->opcode = h.opcode;
		if (entry)
			entry[nr] = (struct websocket_batch){
				.len = h.len,
				.opcode = h.opcode,
				.flags = WEBSOCKET_MSG_BEGIN | WEBSOCKET_MSG_END,
			};
		nr++;
	}
	*n -= left;
	*room -= space;
	return nr;
}

/* Wide registers are worth it for a long message, or for a batch of so much. */
static bool worth_wide(const u8 *p, size_t n, size_t room, bool batch)
{
	struct ws_header h;

	if (likely(n < WS_WIDE_MIN) || room < WS_WIDE_MIN)
		return false;
	return batch || (ws_frame_message(&h, p, n, true) && h.len >= WS_WIDE_MIN);
}

/**
 * ws_whole_copy() - copy whole messages to the program
 * @ws: its context; between messages
 * @p: received bytes at the head of a message
 * @n: how many may be delivered of those that stand there in one piece
 * @iter: the program's buffer; it is not advanced
 * @batch: gets the records of a batch; NULL: none are wanted
 * @max: how many messages there may be
 * @run: zeroed; gets what was copied
 *
 * Text only as long as it is ASCII.
 * Return: whether anything was.
 */
bool ws_whole_copy(const struct ws *ws, const u8 *p, size_t n, const struct iov_iter *iter, struct websocket_batch *batch,
		   unsigned int max, struct ws_run *run)
{
	size_t room = 0, all = iov_iter_count(iter);
	bool masked = !ws_client(ws), on;
	struct ws_wide wide = {};
	unsigned int nr = 0;
	u8 __user *to;

	if (!user_backed_iter(iter))
		return false;
	to = ws_iter_user(iter, &room);
	if (room < all)
		all = 0;
	else
		room = all;
	if (masked && worth_wide(p, n, room, batch))
		ws_wide_begin(&wide);
	on = wide.on;
	if (room && user_write_access_begin(to, room)) {
		if (!masked)
			nr = copy_messages(ws, p, &n, to, &room, batch, max, false, false, run);
		else if (on)
			nr = copy_messages(ws, p, &n, to, &room, batch, max, true, true, run);
		else
			nr = copy_messages(ws, p, &n, to, &room, batch, max, true, false, run);
		user_write_access_end();
	}
	ws_wide_end(&wide);
	/* other pieces of the buffer may have room */
	run->full &= all != 0;
	if (!nr)
		return false;
	run->nr = nr;
	run->copied = room;
	run->stream = n;
	return true;
}

/**
 * ws_whole_take() - what recvmsg() is to return is whole messages
 * @sk: the socket
 * @ws: its context
 * @iter: the program's buffer; it is not advanced
 * @batch: gets the records of a batch; NULL: one message
 * @max: how many there may be
 * @run: zeroed; gets what was copied. Nothing is consumed
 *
 * Return: false: it is not so, or not for all that a batch should have; what was copied does not count.
 */
bool ws_whole_take(struct sock *sk, struct ws *ws, const struct iov_iter *iter, struct websocket_batch *batch,
		   unsigned int max, struct ws_run *run)
{
	size_t n, ready = ws->ready - ws->head;
	const u8 *p;

	if (!ws_readable(ws) || ws->read.left || ws->read.opcode || ws->read.control || !ws_source_ok(sk, ws))
		return false;
	p = ws_source_first(ws, &n);
	if (!p || (batch && n < ready) || !ws_whole_copy(ws, p, min(n, ready), iter, batch, max, run))
		return false;
	if (!batch || run->stream == ready || run->nr == max || run->full)
		return true;
	/* there are more, of other kinds */
	*run = (struct ws_run){};
	return false;
}

/* Up to 125 bytes from user memory, inside user_read_access_begin(). False: a fault. */
static __always_inline bool get_short(u8 *to, const u8 __user *from, unsigned int n)
{
	unsigned int i;
	u64 word;
	u8 byte;

	if (n < 8) {
		for (i = 0; i < n; i++) {
			unsafe_get_user(byte, from + i, fault);
			to[i] = byte;
		}
		return true;
	}
	for (i = 0; i < n - 8; i += 8) {
		unsafe_get_user(word, (const u64 __user *)(from + i), fault);
		ws_store64(to + i, word);
	}
	/* the last word, of which a part may be there already */
	unsafe_get_user(word, (const u64 __user *)(from + n - 8), fault);
	ws_store64(to + n - 8, word);
	return true;
fault:
	return false;
}

/* Frames that are being gathered. */
struct frames {
	const u8 __user *from;	/* payload that is left */
	size_t len;		/* of so many bytes */
	u8 *to;
	size_t room;		/* bytes there */
};

/* Messages of up to 125 bytes: the header is two bytes. Returns how many there were, at most @nr. */
static unsigned int gather_short(struct frames *f, const struct websocket_batch *b, unsigned int nr)
{
	const u8 __user *from = f->from, *end = from + f->len;
	u8 *to = f->to, *limit = to + f->room;
	unsigned int i;

	if (!user_read_access_begin(from, f->len))
		return 0;
	for (i = 0; i < nr; i++) {
		unsigned int n = b[i].len;

		if (n > WS_CONTROL_MAX || n > end - from || n + 2 > limit - to || !get_short(to + 2, from, n))
			break;
		to[0] = 0x80 | b[i].opcode;
		to[1] = n;
		to += 2 + n;
		from += n;
	}
	user_read_access_end();
	*f = (struct frames){ from, end - from, to, limit - to };
	return i;
}

/* One message from 126 bytes to 64 KiB: four bytes. Returns whether there was one. */
static noinline bool gather_long(struct frames *f, const struct websocket_batch *b)
{
	unsigned int n = b->len;

	if (n <= WS_CONTROL_MAX || n > 0xffff || n > f->len || n + 4 > f->room || !access_ok(f->from, n))
		return false;
	/* raw_copy_from_user() leaves that to its caller: no copy ahead of access_ok() */
	barrier_nospec();
	/* without the check for objects: it is a page of ours */
	if (raw_copy_from_user(f->to + 4, f->from, n))
		return false;
	f->to[0] = 0x80 | b->opcode;
	f->to[1] = 126;
	f->to[2] = n >> 8;
	f->to[3] = n;
	f->to += 4 + n;
	f->room -= 4 + n;
	f->from += n;
	f->len -= n;
	return true;
}

/**
 * ws_whole_gather() - frames of whole messages, behind each other in a page
 * @to: where to; it is kernel memory that nobody else sees yet
 * @room: bytes there
 * @iter: the messages, from the program's memory; it is not advanced
 * @b: their lengths and opcodes
 * @nr: how many; set to how many were taken
 *
 * Server role. Takes what fits of those below 64 KiB that lie in one piece.
 * Return: the bytes of the frames.
 */
size_t ws_whole_gather(u8 *to, size_t room, const struct iov_iter *iter, const struct websocket_batch *b, unsigned int *nr)
{
	struct frames f = { .to = to, .room = room };
	unsigned int i = 0;

	if (user_backed_iter(iter))
		f.from = ws_iter_user(iter, &f.len);
	f.len = min(f.len, iov_iter_count(iter));
	while (i < *nr) {
		unsigned int more = b[i].len <= WS_CONTROL_MAX ? gather_short(&f, b + i, *nr - i) : gather_long(&f, b + i);

		if (!more)
			break;
		i += more;
	}
	*nr = i;
	return f.to - to;
}
