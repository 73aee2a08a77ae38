// SPDX-License-Identifier: GPL-2.0
/*
 * server_lws [uv] PORT: echo with libwebsockets, on its own loop, or that of libuv: its own one is poll(), which
 * is cheaper for few connections and walks all of them for each event.
 */
#include <err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libwebsockets.h>

#include "busy.h"

#define RX	65536

/* A piece of a message that waits to be sent. */
struct piece {
	struct piece *next;
	size_t len;
	bool first, final;
	unsigned char data[];	/* LWS_PRE bytes, then the payload */
};

struct session {
	struct piece *head, **tail;
};

static int take(struct lws *wsi, struct session *s, const void *in, size_t len)
{
	struct piece *p = malloc(sizeof(*p) + LWS_PRE + len);

	busy();
	if (!p)
		return -1;
	p->next = NULL;
	p->len = len;
	p->first = lws_is_first_fragment(wsi);
	p->final = lws_is_final_fragment(wsi);
	memcpy(p->data + LWS_PRE, in, len);
	*s->tail = p;
	s->tail = &p->next;
	lws_callback_on_writable(wsi);
	return 0;
}

static int put(struct lws *wsi, struct session *s)
{
	while (s->head) {
		struct piece *p = s->head;
		int flags = lws_write_ws_flags(LWS_WRITE_BINARY, p->first, p->final);

		if (lws_send_pipe_choked(wsi)) {
			lws_callback_on_writable(wsi);
			return 0;
		}
		if (lws_write(wsi, p->data + LWS_PRE, p->len, flags) < (int)p->len)
			return -1;
		s->head = p->next;
		if (!s->head)
			s->tail = &s->head;
		free(p);
	}
	return 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct session *s = user;

	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		s->tail = &s->head;
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return take(wsi, s, in, len);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return put(wsi, s);
	case LWS_CALLBACK_CLOSED:
		while (s->head) {
			struct piece *p = s->head;

			s->head = p->next;
			free(p);
		}
		return 0;
	default:
		return 0;
	}
}

int main(int argc, char **argv)
{
	static const struct lws_protocols protocols[] = {
		{ .name = "echo", .callback = callback, .per_session_data_size = sizeof(struct session),
		  .rx_buffer_size = RX },
		{ 0 },
	};
	struct lws_context_creation_info info = { .port = atoi(argv[argc - 1]), .protocols = protocols,
						  .pt_serv_buf_size = RX,
						  .options = LWS_SERVER_OPTION_DISABLE_IPV6 };
	struct lws_context *context;

	if (argc > 2)
		info.options |= LWS_SERVER_OPTION_LIBUV;
	lws_set_log_level(LLL_ERR, NULL);
	context = lws_create_context(&info);
	if (!context)
		errx(1, "no libwebsockets context");
	while (lws_service(context, 0) >= 0)
		;
}
