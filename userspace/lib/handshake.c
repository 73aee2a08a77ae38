// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The handshake's input, output and time limit; handshake.h has the stages. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "handshake.h"
#include "tcp.h"

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

void handshake_why(struct kws_handshake *hs, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(hs->why, sizeof(hs->why), format, args);
	va_end(args);
}

int handshake_fail(struct kws_handshake *hs, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(hs->why, sizeof(hs->why), format, args);
	va_end(args);
	hs->error = error;
	hs->result = error;
	hs->stage = STAGE_OVER;
	return error;
}

int handshake_attach(struct kws_handshake *hs)
{
	int err;

	if (hs->attached || hs->flags & KWS_F_NO_START)
		return 0;
	err = hs->layer ? hs->layer->attach(hs->layer_ctx) : kws_attach(hs->fd);
	hs->attached = !err;
	return err;
}

const char *handshake_attach_why(const struct kws_handshake *hs, int error)
{
	const char *why = hs->layer ? hs->layer->why(hs->layer_ctx) : "";

	return *why ? why : kws_strerror(error);
}

bool handshake_numbers_valid(const struct kws_options *opt, bool client)
{
	if (opt->max_head > LARGEST_MAX_HEAD || opt->flags & ~(KWS_F_NO_START | KWS_F_PLAIN | KWS_F_PROXY))
		return false;
	if (client && opt->flags & KWS_F_PROXY)
		return false;
	return client || !opt->config || !(opt->config->flags & WEBSOCKET_F_CLIENT);
}

struct kws_handshake *handshake_new(int fd, bool client, const struct kws_options *opt)
{
	static const struct kws_options defaults;
	struct kws_handshake *hs;
	int err = 0;

	if (!opt)
		opt = &defaults;
	if (!handshake_numbers_valid(opt, client)) {
		errno = EINVAL;
		return NULL;
	}
	hs = calloc(1, sizeof(*hs));
	if (!hs)
		return NULL;
	hs->fd = fd;
	hs->client = client;
	hs->stage = handshake_first(hs);
	hs->max_head = opt->max_head ? opt->max_head : DEFAULT_MAX_HEAD;
	hs->deadline = now_ms() + (opt->timeout_ms ? opt->timeout_ms : DEFAULT_TIMEOUT_MS);
	hs->flags = opt->flags;
	if (opt->config)
		hs->config = *opt->config;
	if (client)
		hs->config.flags |= WEBSOCKET_F_CLIENT;
	head_init(&hs->head, client ? HTTP_RESPONSE : HTTP_REQUEST);
	if (opt->subprotocols)
		err = protocols_split(&hs->known, opt->subprotocols, strlen(opt->subprotocols));
	if (opt->flags & KWS_F_PROXY) {
		hs->stage = STAGE_PROXY;
		hs->proxy = calloc(1, sizeof(*hs->proxy));
		err = hs->proxy ? err : -ENOMEM;
	}
	if (err) {
		kws_handshake_free(hs);
		errno = -err;
		return NULL;
	}
	return hs;
}

void kws_handshake_free(struct kws_handshake *hs)
{
	if (!hs)
		return;
	head_free(&hs->head);
	text_free(&hs->out);
	text_free(&hs->extra);
	text_free(&hs->known);
	text_free(&hs->offers);
	free(hs->proxy);
	if (hs->layer)
		hs->layer->free(hs->layer_ctx);
	free(hs);
}

/*
 * Bytes, which a layer may have its own ways with. Return: as the calls, but an errno instead of -1.
 */

static ssize_t receive(struct kws_handshake *hs, void *buf, size_t len, int flags)
{
	ssize_t n;

	if (hs->layer)
		return hs->layer->recv(hs->layer_ctx, buf, len, flags);
	n = recv(hs->fd, buf, len, flags | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

static ssize_t transmit(struct kws_handshake *hs, const void *buf, size_t len)
{
	ssize_t n;

	if (hs->layer)
		return hs->layer->send(hs->layer_ctx, buf, len);
	n = send(hs->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

/* What is to be said of an error besides its number. */
static const char *explain(struct kws_handshake *hs, int error)
{
	const char *why = hs->layer ? hs->layer->why(hs->layer_ctx) : "";

	return *why ? why : strerrordesc_np(-error);
}

enum stage handshake_first(const struct kws_handshake *hs)
{
	return hs->client ? STAGE_WRITE : STAGE_READ;
}

/* The head is complete, or not to be completed: what next? */
static int head_done(struct kws_handshake *hs, int result)
{
	if (!hs->client) {
		if (result < 0)
			server_refuse_head(hs, result);
		else
			server_check(hs);
		return 0;
	}
	if (result == -EBADMSG)
		return handshake_fail(hs, -EPROTO, "the server's answer is not HTTP: %s", head_error(&hs->head));
	if (result == -ENOMEM)
		return handshake_fail(hs, -ENOMEM, "no memory for the server's answer");
	if (result < 0)
		return handshake_fail(hs, -EMSGSIZE, "the server's answer has a head that is too large");
	result = client_check(hs);
	if (result == 1)
		head_reset(&hs->head);
	return result < 0 ? result : 0;
}

/* Takes from the socket what was only looked at so far; it is there. */
static int consume(struct kws_handshake *hs, size_t len, ssize_t (*from)(struct kws_handshake *, void *, size_t, int))
{
	char scrap[2048];

	hs->consumed += len;
	while (len) {
		ssize_t n = from(hs, scrap, len < sizeof(scrap) ? len : sizeof(scrap), 0);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n ? n : -ECONNRESET;
		len -= n;
	}
	return 0;
}

/* Below the layer. */
static ssize_t receive_raw(struct kws_handshake *hs, void *buf, size_t len, int flags)
{
	ssize_t n = recv(hs->fd, buf, len, flags | MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

/* What the proxy says comes first. Nobody is answered who does not begin with it: that is no client of ours. */
static int run_proxy(struct kws_handshake *hs)
{
	char bytes[256];
	ssize_t n = receive_raw(hs, bytes, sizeof(bytes), MSG_PEEK);
	size_t used;
	int err, result;

	if (n == -EINTR)
		return 0;
	if (n == -EAGAIN)
		return KWS_WANT_READ;
	if (n < 0)
		return handshake_fail(hs, n, "receiving: %s", strerrordesc_np(-n));
	if (!n)
		return handshake_fail(hs, -ECONNRESET, "the proxy closed the connection before it named the client");
	result = proxy_feed(hs->proxy, bytes, n, &used);
	if (result < 0)
		return handshake_fail(hs, result, "the connection does not begin with the PROXY protocol");
	err = consume(hs, used, receive_raw);
	if (err)
		return handshake_fail(hs, err, "receiving: %s", strerrordesc_np(-err));
	if (result) {
		hs->consumed = 0;
		hs->stage = hs->layer ? STAGE_LAYER : STAGE_READ;
	}
	return 0;
}

static int run_layer(struct kws_handshake *hs)
{
	int result = hs->layer->begin(hs->layer_ctx);

	if (result < 0)
		return handshake_fail(hs, result, "%s", explain(hs, result));
	if (!result)
		hs->stage = handshake_first(hs);
	return result;
}

socklen_t kws_handshake_client(const struct kws_handshake *hs, struct sockaddr_storage *addr)
{
	if (!hs->proxy || hs->stage == STAGE_PROXY || !hs->proxy->client_len)
		return 0;
	*addr = hs->proxy->client;
	return hs->proxy->client_len;
}

/*
 * Looks at what is there, lets the parser have it, and consumes what it took: of an incomplete head all, of a complete
 * one nothing behind it.
 */
static int run_read(struct kws_handshake *hs)
{
	char bytes[2048];
	size_t room = hs->max_head - hs->consumed, used;
	ssize_t n;
	int err, result;

	if (!room)
		return head_done(hs, -EMSGSIZE);
	n = receive(hs, bytes, room < sizeof(bytes) ? room : sizeof(bytes), MSG_PEEK);
	if (n == -EINTR)
		return 0;
	if (n == -EAGAIN)
		return KWS_WANT_READ;
	if (n < 0)
		return handshake_fail(hs, n, "receiving: %s", explain(hs, n));
	if (!n)
		return handshake_fail(hs, -ECONNRESET, "the peer closed the connection in the middle of the handshake");
	result = head_feed(&hs->head, bytes, n, &used);
	err = consume(hs, used, receive);
	if (err)
		return handshake_fail(hs, err, "receiving: %s", explain(hs, err));
	return result ? head_done(hs, result) : 0;
}

static int run_write(struct kws_handshake *hs)
{
	ssize_t n;

	if (hs->out.failed || hs->extra.failed)
		return handshake_fail(hs, -ENOMEM, "no memory for the %s", hs->client ? "request" : "answer");
	if (hs->client) {
		int err = handshake_attach(hs);

		if (err)
			return handshake_fail(hs, err, "attaching: %s", handshake_attach_why(hs, err));
	}
	n = transmit(hs, hs->out.s + hs->sent, hs->out.len - hs->sent);
	if (n == -EINTR)
		return 0;
	if (n == -EAGAIN)
		return KWS_WANT_WRITE;
	if (n < 0)
		return handshake_fail(hs, n, "sending: %s", explain(hs, n));
	hs->sent += n;
	if (hs->sent < hs->out.len)
		return 0;
	if (hs->client) {
		hs->stage = STAGE_READ;
	} else if (hs->status == 101) {
		hs->stage = STAGE_START;
	} else {
		hs->stage = STAGE_LINGER;
		hs->consumed = 0;
		hs->deadline = now_ms() + LINGER_MS;
		hs->linger_end = now_ms() + LINGER_MOST_MS;
		tcp_acknowledged(hs->fd, &hs->acked);
		if (!hs->layer)
			shutdown(hs->fd, SHUT_WR);
	}
	return 0;
}

static int run_start(struct kws_handshake *hs)
{
	int err = 0;

	if (!(hs->flags & KWS_F_NO_START))
		err = hs->layer ? hs->layer->start(hs->layer_ctx, &hs->config) : kws_start(hs->fd, &hs->config);

	if (err)
		return handshake_fail(hs, err, "starting: %s", kws_strerror(err));
	hs->result = KWS_DONE;
	hs->stage = STAGE_OVER;
	return 0;
}

/* What close() would lose goes on: the client gets time as long as it takes some of it. */
static void linger_on(struct kws_handshake *hs)
{
	uint64_t acked = hs->acked, deadline = now_ms() + LINGER_MS;

	tcp_acknowledged(hs->fd, &acked);
	if (acked != hs->acked)
		hs->deadline = deadline < hs->linger_end ? deadline : hs->linger_end;
	hs->acked = acked;
}

/* close() with bytes unread would reset the connection, and the answer be lost: read until the client has closed. */
static int run_linger(struct kws_handshake *hs)
{
	bool out = !hs->layer || hs->layer->shutdown(hs->layer_ctx);
	char scrap[2048];
	ssize_t n = receive_raw(hs, scrap, sizeof(scrap), 0);

	if (!out)
		linger_on(hs);
	hs->consumed += n > 0 ? n : 0;
	if (hs->consumed <= LINGER_BYTES) {
		if (n > 0 || n == -EINTR)
			return 0;
		/* not for its end, which stays readable */
		if (!out)
			return KWS_WANT_WRITE;
		if (n == -EAGAIN)
			return KWS_WANT_READ;
	}
	hs->result = KWS_REFUSED;
	hs->stage = STAGE_OVER;
	return 0;
}

/* The time is over. Nothing more comes: go on without. */
static void run_late(struct kws_handshake *hs)
{
	if (hs->stage == STAGE_LINGER) {
		hs->result = KWS_REFUSED;
		hs->stage = STAGE_OVER;
	} else if (hs->stage == STAGE_READ && !hs->client) {
		server_refuse_head(hs, -ETIMEDOUT);
	} else {
		handshake_fail(hs, -ETIMEDOUT, "the %s took too long",
			       hs->stage == STAGE_LAYER ? "TLS handshake" : hs->stage == STAGE_READ ? "server" : "peer");
	}
}

static int run_stage(struct kws_handshake *hs)
{
	switch (hs->stage) {
	case STAGE_PROXY:
		return run_proxy(hs);
	case STAGE_LAYER:
		return run_layer(hs);
	case STAGE_READ:
		return run_read(hs);
	case STAGE_DECIDE:
		server_accept(hs);
		return 0;
	case STAGE_WRITE:
		return run_write(hs);
	case STAGE_START:
		return run_start(hs);
	case STAGE_LINGER:
		return run_linger(hs);
	default:
		return hs->result;
	}
}

int kws_handshake_run(struct kws_handshake *hs)
{
	int result;

	while (hs->stage != STAGE_OVER) {
		enum stage before = hs->stage;

		result = run_stage(hs);
		if (hs->stage == STAGE_DECIDE && before == STAGE_READ)
			return KWS_REQUEST;
		if (result == KWS_WANT_READ || result == KWS_WANT_WRITE) {
			if (kws_handshake_timeout(hs))
				return result;
			run_late(hs);
		}
	}
	return hs->result;
}

int handshake_poll(int fd, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now = now_ms();
	int n = poll(&p, 1, deadline > now ? (int)(deadline - now) : 0);

	return n < 0 && errno != EINTR ? -errno : 0;
}

int kws_handshake_wait(struct kws_handshake *hs)
{
	for (;;) {
		int err, result = kws_handshake_run(hs);

		if (result != KWS_WANT_READ && result != KWS_WANT_WRITE)
			return result;
		err = handshake_poll(hs->fd, result == KWS_WANT_READ ? POLLIN : POLLOUT, hs->deadline);
		if (err)
			return handshake_fail(hs, err, "waiting: %s", strerrordesc_np(-err));
	}
}

int kws_handshake_timeout(const struct kws_handshake *hs)
{
	uint64_t now = now_ms();

	return hs->deadline > now && hs->stage != STAGE_OVER ? hs->deadline - now : 0;
}
