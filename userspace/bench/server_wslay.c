// SPDX-License-Identifier: GPL-2.0
/* server_wslay PORT: echo with wslay, which only frames, on epoll. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <wslay/wslay.h>

#include "busy.h"
#include "server.h"

static ssize_t do_recv(wslay_event_context_ptr ctx, uint8_t *p, size_t n, int flags, void *data)
{
	ssize_t got = recv((intptr_t)data, p, n, MSG_DONTWAIT);

	(void)flags;
	if (got <= 0)
		wslay_event_set_error(ctx, got < 0 && errno == EAGAIN ? WSLAY_ERR_WOULDBLOCK :
				      WSLAY_ERR_CALLBACK_FAILURE);
	return got > 0 ? got : -1;
}

static ssize_t do_send(wslay_event_context_ptr ctx, const uint8_t *p, size_t n, int flags, void *data)
{
	ssize_t sent = send((intptr_t)data, p, n, MSG_NOSIGNAL | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0));

	if (sent < 0)
		wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
	return sent;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *data)
{
	struct wslay_event_msg msg = { arg->opcode, arg->msg, arg->msg_length };

	(void)data;
	if (wslay_is_ctrl_frame(arg->opcode))
		return;
	busy();
	wslay_event_queue_msg(ctx, &msg);
}

static void *start(int fd)
{
	static const struct wslay_event_callbacks callbacks = { do_recv, do_send, NULL, NULL, NULL, NULL, on_message };
	wslay_event_context_ptr ctx;

	wslay_event_context_server_init(&ctx, &callbacks, (void *)(intptr_t)fd);
	return ctx;
}

static bool ready(int fd, void *context)
{
	wslay_event_context_ptr ctx = context;

	(void)fd;
	if (!wslay_event_recv(ctx) && !wslay_event_send(ctx) &&
	    (wslay_event_want_read(ctx) || wslay_event_want_write(ctx)))
		return true;
	wslay_event_context_free(ctx);
	return false;
}

int main(int argc, char **argv)
{
	serve(argv[argc - 1], &(struct handler){ true, start, ready });
}
