/* SPDX-License-Identifier: GPL-2.0 */
/* Whole messages at once: the common case. */
#ifndef WS_WHOLE_H
#define WS_WHOLE_H

#include "websocket.h"

/* Messages that were copied to the program, one behind the other. */
struct ws_run {
	size_t stream;		/* bytes of the stream, headers included */
	size_t copied;		/* of payload */
	unsigned int nr;	/* messages */
	u8 opcode;		/* of the last one */
	bool full;		/* the next one is larger than what is left of the buffer */
};

size_t ws_whole_step(struct ws *ws, const u8 *p, size_t n);
bool ws_whole_scan(struct sock *sk, struct ws *ws, bool *found);
bool ws_whole_copy(const struct ws *ws, const u8 *p, size_t n, const struct iov_iter *iter, struct websocket_batch *batch,
		   unsigned int max, struct ws_run *run);
bool ws_whole_take(struct sock *sk, struct ws *ws, const struct iov_iter *iter, struct websocket_batch *batch,
		   unsigned int max, struct ws_run *run);
size_t ws_whole_gather(u8 *to, size_t room, const struct iov_iter *iter, const struct websocket_batch *b, unsigned int *nr);

#endif
