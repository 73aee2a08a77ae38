// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Connections: the same calls over the kernel's protocol and over the library's engine. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "close_payload.h"
#include "engine.h"

/**
 * struct kws_conn - a connection
 * @fd: its descriptor
 * @engine: the library's engine; NULL: the kernel's protocol runs it
 */
struct kws_conn {
	int fd;
	struct engine *engine;
};

int kws_layer_engine(int engine)
{
	const char *env = engine == KWS_ENGINE_ANY ? getenv("KWS_ENGINE") : NULL;

	if (!env)
		return engine;
	return !strcmp(env, "user") ? KWS_ENGINE_USER : !strcmp(env, "kernel") ? KWS_ENGINE_KERNEL : engine;
}

/* Starts the kernel's protocol, or goes on with it. Return: 0, or an errno: -EEXIST: another protocol is in its place. */
static int start_kernel(int fd, const struct websocket_config *config)
{
	struct websocket_info info;
	int err = kws_attach(fd);

	if (err == -EEXIST && !kws_info(fd, &info))
		err = config || info.state == WEBSOCKET_STATE_ATTACHED ? kws_start(fd, config) : 0;
	else if (!err)
		err = kws_start(fd, config);
	return err;
}

bool kws_layer_falls_back(int err)
{
	return err == -ENOENT || err == -EPERM || err == -ENOPROTOOPT || err == -EOPNOTSUPP || err == -EEXIST || err == -EBUSY;
}

struct kws_conn *kws_conn_new(int fd, const struct websocket_config *config, int engine)
{
	struct kws_conn *c = calloc(1, sizeof(*c));
	int err = -EOPNOTSUPP;

	if (!c)
		return NULL;
	c->fd = fd;
	engine = kws_layer_engine(engine);
	if (engine != KWS_ENGINE_USER)
		err = start_kernel(fd, config);
	if (engine == KWS_ENGINE_USER || (engine == KWS_ENGINE_ANY && kws_layer_falls_back(err))) {
		c->engine = engine_new(fd, config);
		err = c->engine ? 0 : -errno;
	}
	if (!err)
		return c;
	free(c);
	errno = -err;
	return NULL;
}

struct kws_conn *kws_layer_conn(int fd, const struct websocket_config *config, const struct transport *transport, void *ctx)
{
	struct kws_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fd = fd;
	c->engine = engine_new_over(fd, config, transport, ctx);
	if (c->engine)
		return c;
	free(c);
	return NULL;
}

/* Options for the HTTP part alone. */
static struct kws_options http_only(const struct kws_options *opt)
{
	struct kws_options http = { 0 };

	if (opt)
		http = *opt;
	http.flags |= KWS_F_NO_START;
	return http;
}

struct kws_conn *kws_conn_accept(int fd, const struct kws_options *opt)
{
	struct kws_options http = http_only(opt);
	int err = kws_accept(fd, &http);

	if (err) {
		errno = -err;
		return NULL;
	}
	return kws_conn_new(fd, http.config, KWS_ENGINE_ANY);
}

struct kws_conn *kws_conn_connect(const char *url, const struct kws_options *opt)
{
	struct kws_options http = http_only(opt);
	struct websocket_config config = { 0 };
	int err, fd = kws_connect(url, &http);
	struct kws_conn *c;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	if (http.config)
		config = *http.config;
	config.flags |= WEBSOCKET_F_CLIENT;
	c = kws_conn_new(fd, &config, KWS_ENGINE_ANY);
	if (!c) {
		err = errno;
		close(fd);
		errno = err;
	}
	return c;
}

void kws_conn_free(struct kws_conn *c)
{
	if (!c)
		return;
	if (c->engine)
		engine_free(c->engine);
	else
		close(c->fd);
	free(c);
}

int kws_conn_detach(struct kws_conn *c)
{
	int fd = c->fd;

	if (c->engine)
		return -EOPNOTSUPP;
	free(c);
	return fd;
}

int kws_conn_fd(const struct kws_conn *c)
{
	return c->fd;
}

int kws_conn_engine(const struct kws_conn *c)
{
	return c->engine ? KWS_ENGINE_USER : KWS_ENGINE_KERNEL;
}

short kws_conn_events(const struct kws_conn *c)
{
	return c->engine ? engine_events(c->engine) : POLLIN;
}

int kws_conn_timeout(const struct kws_conn *c)
{
	return c->engine ? engine_timeout(c->engine) : -1;
}

int kws_conn_run(struct kws_conn *c)
{
	if (c->engine) {
		engine_run(c->engine);
		/* as with poll(): the program is back */
		if (!engine_readable(c->engine) && !c->engine->ending)
			c->engine->in_hand = false;
	}
	return kws_conn_pending(c);
}

bool kws_conn_pending(const struct kws_conn *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	return c->engine ? engine_pending(c->engine) : poll(&p, 1, 0) > 0;
}

/* A batch says of its last message what kws_conn_recv() would. */
static void from_batch(const struct websocket_batch *batch, unsigned int count, struct kws_message *msg)
{
	if (!count)
		return;
	msg->opcode = batch[count - 1].opcode;
	msg->begin = batch[count - 1].flags & WEBSOCKET_MSG_BEGIN;
	msg->end = batch[count - 1].flags & WEBSOCKET_MSG_END;
}

ssize_t kws_conn_recv(struct kws_conn *c, void *buf, size_t len, int flags, struct kws_message *msg)
{
	struct iovec iov = { buf, len };
	struct websocket_batch one;
	unsigned int count = 1;
	ssize_t n;

	if (!c->engine)
		return kws_recv(c->fd, buf, len, flags, msg);
	if (!(c->engine->flags & WEBSOCKET_F_BATCH))
		return engine_recv(c->engine, &iov, 1, flags, msg, NULL, NULL);
	n = engine_recv(c->engine, &iov, 1, flags, msg, &one, &count);
	from_batch(&one, count, msg);
	return n;
}

/* What a single message says of itself, as an entry of a batch. */
static void to_batch(ssize_t n, const struct kws_message *msg, struct websocket_batch *batch, unsigned int *count)
{
	if (n < 0 || kws_is_end(msg) || *count)
		return;
	*count = 1;
	batch[0] = (struct websocket_batch){
		.len = n,
		.opcode = msg->opcode,
		.flags = (msg->begin ? WEBSOCKET_MSG_BEGIN : 0) | (msg->end ? WEBSOCKET_MSG_END : 0),
	};
}

ssize_t kws_conn_recv_batch(struct kws_conn *c, void *buf, size_t len, int flags, struct websocket_batch *batch,
			    unsigned int *count, struct kws_message *msg)
{
	struct iovec iov = { buf, len };
	unsigned int room = *count < WEBSOCKET_BATCH_MAX ? *count : WEBSOCKET_BATCH_MAX;
	ssize_t n;

	if (!c->engine)
		return kws_recv_batch(c->fd, buf, len, flags, batch, count, msg);
	*count = 0;
	memset(msg, 0, sizeof(*msg));
	if (!room)
		return -EINVAL;
	if (c->engine->flags & WEBSOCKET_F_BATCH)
		*count = room;
	n = engine_recv(c->engine, &iov, 1, flags, msg, *count ? batch : NULL, count);
	/* the control buffer for one entry has no room for it */
	if (room == 1)
		msg->frame_left = 0;
	from_batch(batch, *count, msg);
	to_batch(n, msg, batch, count);
	return n;
}

ssize_t kws_conn_send(struct kws_conn *c, int opcode, const void *buf, size_t len, int flags)
{
	struct iovec iov = { (void *)buf, len };

	if (!c->engine)
		return kws_send(c->fd, opcode, buf, len, flags);
	return engine_send(c->engine, opcode, &iov, 1, flags);
}

ssize_t kws_conn_send_batch(struct kws_conn *c, const void *buf, size_t len, int flags,
			    const struct websocket_batch *batch, unsigned int count)
{
	struct iovec iov = { (void *)buf, len };

	if (!c->engine)
		return kws_send_batch(c->fd, buf, len, flags, batch, count);
	return engine_send_batch(c->engine, &iov, 1, flags, batch, count);
}

int kws_conn_close(struct kws_conn *c, uint16_t code, const char *reason)
{
	uint8_t payload[CLOSE_MAX];
	int len = close_payload(payload, code, reason);
	ssize_t n = len < 0 ? len : kws_conn_send(c, WEBSOCKET_OP_CLOSE, payload, len, 0);

	return n < 0 ? n : 0;
}

int kws_conn_close_reason(struct kws_conn *c, char *buf, size_t size)
{
	size_t len;

	if (!c->engine)
		return kws_close_reason(c->fd, buf, size);
	if (!size)
		return -EINVAL;
	len = c->engine->reason_len < size - 1 ? c->engine->reason_len : size - 1;
	if (len)
		memcpy(buf, c->engine->reason, len);
	buf[len] = 0;
	return len;
}

int kws_conn_info(struct kws_conn *c, struct websocket_info *info)
{
	if (!c->engine)
		return kws_info(c->fd, info);
	engine_info(c->engine, info);
	return 0;
}

int kws_conn_configure(struct kws_conn *c, const struct websocket_config *config)
{
	return c->engine ? engine_configure(c->engine, config) : kws_start(c->fd, config);
}
