// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The calls of kws_tls.h for connections: a handshake's layer, and the engine's transport. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tls.h"

#define RECORD_MAX	16384

/*
 * The layer
 */

static int layer_begin(void *ctx)
{
	return link_begin(ctx);
}

static ssize_t layer_recv(void *ctx, void *buf, size_t len, int flags)
{
	struct link *l = ctx;

	return l->ssl ? link_recv(l, buf, len, flags) : kernel_recv(l, buf, len, flags);
}

static ssize_t layer_send(void *ctx, const void *buf, size_t len)
{
	struct link *l = ctx;

	return l->ssl ? link_send(l, buf, len) : kernel_send(l, buf, len);
}

static bool layer_shutdown(void *ctx)
{
	struct link *l = ctx;

	if (!l->ssl)
		return kernel_shutdown(l);
	if (!l->notified) {
		link_shutdown(l);
		shutdown(l->fd, SHUT_WR);
	}
	l->notified = true;
	return true;
}

static int layer_attach(void *ctx)
{
	struct link *l = ctx;

	memcpy(l->why, l->kernel_why, sizeof(l->why));
	return l->kernel_error;
}

static int layer_start(void *ctx, const struct websocket_config *config)
{
	return kernel_start(ctx, config);
}

static const char *layer_why(void *ctx)
{
	struct link *l = ctx;

	return l->why;
}

static void layer_free(void *ctx)
{
	link_free(ctx);
}

static const struct kws_layer layer = {
	.begin = layer_begin,
	.recv = layer_recv,
	.send = layer_send,
	.shutdown = layer_shutdown,
	.attach = layer_attach,
	.start = layer_start,
	.why = layer_why,
	.free = layer_free,
};

/*
 * The transport: OpenSSL under the library's engine
 */

static ssize_t transport_read(void *ctx, void *buf, size_t len)
{
	/* no record has more: nothing stays in OpenSSL, where poll() would not see it */
	return link_recv(ctx, buf, len, 0);
}

/* Up to a record's worth of what is behind @skip: where it is, or gathered in @record. */
static const void *piece(const struct iovec *iov, int count, size_t skip, uint8_t record[RECORD_MAX], size_t *len)
{
	for (; count && skip >= iov->iov_len; iov++, count--)
		skip -= iov->iov_len;
	*len = 0;
	if (count == 1 || (count && iov->iov_len - skip >= RECORD_MAX)) {
		*len = iov->iov_len - skip < RECORD_MAX ? iov->iov_len - skip : RECORD_MAX;
		return (const uint8_t *)iov->iov_base + skip;
	}
	for (; count && *len < RECORD_MAX; iov++, count--, skip = 0) {
		size_t n = iov->iov_len - skip < RECORD_MAX - *len ? iov->iov_len - skip : RECORD_MAX - *len;

		memcpy(record + *len, (const uint8_t *)iov->iov_base + skip, n);
		*len += n;
	}
	return record;
}

static ssize_t transport_write(void *ctx, const struct iovec *iov, int count, bool more)
{
	uint8_t record[RECORD_MAX];
	struct link *l = ctx;
	size_t done = 0, len;

	(void)more;
	for (;;) {
		const void *data = piece(iov, count, done, record, &len);
		ssize_t n = len ? link_send(l, data, len) : 0;

		if (n > 0)
			done += n;
		/* what OpenSSL has encrypted it cannot take back: 0 if it is the first */
		else if (!n || n == -EAGAIN || done)
			return done;
		else
			return n;
	}
}

static void transport_shutdown(void *ctx)
{
	struct link *l = ctx;

	link_shutdown(l);
	shutdown(l->fd, SHUT_WR);
}

static short transport_events(void *ctx)
{
	struct link *l = ctx;

	return l->events & POLLOUT;
}

static void transport_close(void *ctx, bool abort)
{
	struct link *l = ctx;
	int fd = l->fd;

	if (!abort && !(SSL_get_shutdown(l->ssl) & SSL_SENT_SHUTDOWN))
		link_shutdown(l);
	link_free(l);
	kws_layer_close(fd, abort);
}

static const struct transport transport = {
	.read = transport_read,
	.write = transport_write,
	.shutdown = transport_shutdown,
	.events = transport_events,
	.close = transport_close,
};

/*
 * The handshake
 */

/* @url: NULL: a server's */
static struct kws_handshake *start(int fd, const char *url, struct kws_tls *tls, const struct kws_options *opt)
{
	char *host = url ? kws_layer_host(url) : NULL;
	struct kws_handshake *hs = NULL;
	struct link *l = NULL;
	int err;

	if (host || !url)
		l = link_new(fd, tls, host);
	if (l) {
		l->want_kernel = !opt || !(opt->flags & KWS_F_NO_START) || kws_layer_engine(KWS_ENGINE_ANY) != KWS_ENGINE_USER;
		hs = url ? kws_layer_connect(fd, url, opt, &layer, l) : kws_layer_accept(fd, opt, &layer, l);
	}
	err = errno;
	if (l && !hs)
		link_free(l);
	free(host);
	errno = err;
	return hs;
}

struct kws_handshake *kws_tls_accept_start(int fd, struct kws_tls *tls, const struct kws_options *opt)
{
	return start(fd, NULL, tls, opt);
}

struct kws_handshake *kws_tls_connect_start(int fd, const char *url, struct kws_tls *tls, const struct kws_options *opt)
{
	return start(fd, url, tls, opt);
}

static struct kws_handshake *start_client(int fd, const char *url, const struct kws_options *opt, void *arg)
{
	return start(fd, url, arg, opt);
}

/* What returns a connection that has started cannot leave that to the caller. Return: 0 or -EINVAL. */
static int refuse_no_start(const struct kws_options *opt)
{
	if (!opt || !(opt->flags & KWS_F_NO_START))
		return 0;
	return kws_layer_say(opt, "KWS_F_NO_START is for kws_tls_accept_start() and kws_tls_connect_start()", -EINVAL);
}

/* The server's handshake, whole. Return: 0 or an errno. */
static int accept_on(int fd, struct kws_tls *tls, const struct kws_options *opt, struct kws_handshake **hs)
{
	int err = kws_layer_check(opt, false);

	*hs = NULL;
	if (err)
		return err;
	*hs = kws_tls_accept_start(fd, tls, opt);
	if (*hs)
		return kws_layer_run(*hs, opt);
	err = -errno;
	return kws_layer_say(opt, strerrordesc_np(-err), err);
}

int kws_tls_accept(int fd, struct kws_tls *tls, const struct kws_options *opt)
{
	struct kws_handshake *hs = NULL;
	int err = refuse_no_start(opt);

	if (!err)
		err = accept_on(fd, tls, opt, &hs);
	kws_handshake_free(hs);
	return err;
}

/* The client's, whole, connecting included. Return: the descriptor or an errno. */
static int dial(const char *url, struct kws_tls *tls, const struct kws_options *opt, struct kws_handshake **hs)
{
	struct kws_tls_options defaults = { .why = opt ? opt->why : NULL, .why_size = opt ? opt->why_size : 0 };
	struct kws_tls *own = tls ? NULL : kws_tls_client(&defaults);
	int fd = -errno;

	*hs = NULL;
	if (tls || own)
		fd = kws_layer_dial(url, opt, start_client, tls ? tls : own, hs);
	kws_tls_free(own);
	return fd;
}

int kws_tls_connect(const char *url, struct kws_tls *tls, const struct kws_options *opt)
{
	struct kws_handshake *hs = NULL;
	int fd;

	if (strncasecmp(url, "wss://", 6))
		return kws_connect(url, opt);
	fd = refuse_no_start(opt);
	if (!fd)
		fd = dial(url, tls, opt, &hs);
	kws_handshake_free(hs);
	return fd;
}

/*
 * Connections
 */

struct kws_conn *kws_tls_conn_new(struct kws_handshake *hs)
{
	const struct websocket_config *config = kws_layer_config(hs);
	int err, on = 1, engine = kws_layer_engine(KWS_ENGINE_ANY);
	struct link *l = kws_layer_of(hs);
	struct kws_conn *c;

	if (!l) {
		errno = EINVAL;
		return NULL;
	}
	if (!l->ssl) {
		err = kernel_start(l, config);
		errno = -err;
		return err ? NULL : kws_conn_new(l->fd, NULL, KWS_ENGINE_KERNEL);
	}
	if (engine == KWS_ENGINE_KERNEL || (engine == KWS_ENGINE_ANY && !kws_layer_falls_back(l->kernel_error))) {
		errno = -l->kernel_error;
		return NULL;
	}
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* as engine_new() */
	setsockopt(l->fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	c = kws_layer_conn(l->fd, config, &transport, l);
	if (c)
		kws_layer_take(hs);
	return c;
}

static struct kws_options http_only(const struct kws_options *opt)
{
	struct kws_options http = { 0 };

	if (opt)
		http = *opt;
	http.flags |= KWS_F_NO_START;
	return http;
}

struct kws_conn *kws_tls_conn_accept(int fd, struct kws_tls *tls, const struct kws_options *opt)
{
	struct kws_options http = http_only(opt);
	struct kws_conn *c = NULL;
	struct kws_handshake *hs;
	int err = accept_on(fd, tls, &http, &hs);

	if (!err) {
		c = kws_tls_conn_new(hs);
		err = -errno;
	}
	kws_handshake_free(hs);
	errno = -err;
	return c;
}

struct kws_conn *kws_tls_conn_connect(const char *url, struct kws_tls *tls, const struct kws_options *opt)
{
	struct kws_options http = http_only(opt);
	struct kws_handshake *hs;
	struct kws_conn *c;
	int err, fd;

	if (strncasecmp(url, "wss://", 6))
		return kws_conn_connect(url, opt);
	fd = dial(url, tls, &http, &hs);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	c = kws_tls_conn_new(hs);
	err = errno;
	kws_handshake_free(hs);
	if (!c)
		close(fd);
	errno = err;
	return c;
}
