// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The handshake in one call, either side; and what may be asked about one. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handshake.h"
#include "url.h"

int kws_layer_say(const struct kws_options *opt, const char *why, int error)
{
	if (opt && opt->why && opt->why_size)
		snprintf(opt->why, opt->why_size, "%s", why);
	return error;
}

static int say_which(const struct kws_options *opt, const char *what, const char *which)
{
	char why[200];

	snprintf(why, sizeof(why), "%s: %.100s", what, which);
	return kws_layer_say(opt, why, -EINVAL);
}

int kws_layer_check(const struct kws_options *opt, bool client)
{
	struct text names = { 0 };
	int err;

	if (!opt)
		return 0;
	if (!handshake_numbers_valid(opt, client))
		return kws_layer_say(opt, "bad options: max_head, flags, or the role in config", -EINVAL);
	if (opt->subprotocols) {
		err = protocols_split(&names, opt->subprotocols, strlen(opt->subprotocols));
		text_free(&names);
		if (err == -EINVAL)
			return say_which(opt, "no list of up to 64 different subprotocols with commas between", opt->subprotocols);
		if (err)
			return kws_layer_say(opt, "no memory", err);
	}
	if (client && opt->origin && !is_header_value(opt->origin))
		return say_which(opt, "not fit for the header Origin", opt->origin);
	for (const char *const *h = client ? opt->headers : NULL; h && *h; h++)
		if (!client_may_send_header(*h))
			return say_which(opt, "no header (\"Name: value\"), or one that the library writes itself", *h);
	return 0;
}

int kws_layer_run(struct kws_handshake *hs, const struct kws_options *opt)
{
	int result;

	do
		result = kws_handshake_wait(hs);
	while (result == KWS_REQUEST);
	if (result == KWS_REFUSED)
		result = kws_handshake_error(hs);
	if (result)
		kws_layer_say(opt, kws_handshake_message(hs), result);
	return result;
}

int kws_accept(int fd, const struct kws_options *opt)
{
	struct kws_handshake *hs;
	int err = kws_layer_check(opt, false);

	if (err)
		return err;
	hs = kws_accept_start(fd, opt);
	if (!hs)
		return kws_layer_say(opt, "no memory", -errno);
	err = kws_layer_run(hs, opt);
	kws_handshake_free(hs);
	return err;
}

/* Connects to one address within the time. Return: non-blocking socket, or -errno. */
static int connect_address(const struct addrinfo *ai, uint64_t deadline)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
	socklen_t len = sizeof(int);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) && errno != EINPROGRESS)
		err = -errno;
	while (!err) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		uint64_t now = now_ms();
		int n = poll(&p, 1, deadline > now ? (int)(deadline - now) : 0);

		if (n > 0)
			break;
		if (!n)
			err = -ETIMEDOUT;
		else if (errno != EINTR)
			err = -errno;
	}
	if (!err) {
		int pending = 0;

		getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &len);
		err = -pending;
	}
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* Tries every address of the name in turn, each for its share of the time left. Return: socket, or the last one's -errno. */
static int connect_host(const struct url *url, uint64_t deadline, const struct kws_options *opt)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list;
	int fd = -EHOSTUNREACH, err = getaddrinfo(url->host, url->port, &hints, &list);
	unsigned int addresses = 0;
	char why[160];

	if (err == EAI_ADDRFAMILY || err == EAI_NONAME) {
		/* AI_ADDRCONFIG does not count loopback addresses */
		hints.ai_flags = 0;
		err = getaddrinfo(url->host, url->port, &hints, &list);
	}
	if (err) {
		snprintf(why, sizeof(why), "%s: %s", url->host, gai_strerror(err));
		return kws_layer_say(opt, why, err == EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH);
	}
	for (struct addrinfo *ai = list; ai; ai = ai->ai_next)
		addresses++;
	for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		uint64_t now = now_ms();

		fd = connect_address(ai, now < deadline ? now + (deadline - now) / addresses-- : deadline);
		if (fd >= 0)
			break;
		snprintf(why, sizeof(why), "%s port %s: %s", url->host, url->port, strerrordesc_np(-fd));
		kws_layer_say(opt, why, 0);
	}
	freeaddrinfo(list);
	return fd;
}

int kws_layer_dial(const char *url, const struct kws_options *opt,
		   struct kws_handshake *(*start)(int fd, const char *url, const struct kws_options *opt, void *arg),
		   void *arg, struct kws_handshake **hs)
{
	unsigned int timeout = opt && opt->timeout_ms ? opt->timeout_ms : DEFAULT_TIMEOUT_MS;
	uint64_t deadline = now_ms() + timeout;
	struct url parts;
	int fd, err = url_parse(&parts, url);

	*hs = NULL;
	if (err)
		return kws_layer_say(opt, "not a ws or wss URL", err);
	err = kws_layer_check(opt, true);
	if (err) {
		url_free(&parts);
		return err;
	}
	fd = connect_host(&parts, deadline, opt);
	if (fd >= 0) {
		*hs = start(fd, url, opt, arg);
		err = *hs ? 0 : -errno;
	}
	url_free(&parts);
	if (fd < 0)
		return fd;
	if (*hs) {
		(*hs)->deadline = deadline;
		err = kws_layer_run(*hs, opt);
	} else {
		kws_layer_say(opt, strerrordesc_np(-err), err);
	}
	if (!err && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
		err = -errno;
	if (!err)
		return fd;
	kws_handshake_free(*hs);
	*hs = NULL;
	close(fd);
	return err;
}

static struct kws_handshake *start_plain(int fd, const char *url, const struct kws_options *opt, void *arg)
{
	(void)arg;
	return kws_connect_start(fd, url, opt);
}

int kws_connect(const char *url, const struct kws_options *opt)
{
	struct kws_handshake *hs;
	int fd;

	if (!strncasecmp(url, "wss://", 6))
		return kws_layer_say(opt, "wss needs TLS: kws_tls_connect() of libkws-tls", -EPROTONOSUPPORT);
	fd = kws_layer_dial(url, opt, start_plain, NULL, &hs);
	kws_handshake_free(hs);
	return fd;
}

/*
 * The layer
 */

char *kws_layer_host(const char *url)
{
	struct url parts;
	int err = url_parse(&parts, url);
	char *host = parts.host;

	if (err) {
		errno = -err;
		return NULL;
	}
	parts.host = NULL;
	url_free(&parts);
	return host;
}

void *kws_layer_of(const struct kws_handshake *hs)
{
	return hs->layer && hs->result == KWS_DONE && hs->stage == STAGE_OVER ? hs->layer_ctx : NULL;
}

void *kws_layer_take(struct kws_handshake *hs)
{
	void *ctx = hs->layer_ctx;

	hs->layer = NULL;
	hs->layer_ctx = NULL;
	return ctx;
}

const struct websocket_config *kws_layer_config(const struct kws_handshake *hs)
{
	return &hs->config;
}

/*
 * Questions
 */

const char *kws_handshake_target(const struct kws_handshake *hs)
{
	return hs->head.complete && !hs->client ? head_target(&hs->head) : NULL;
}

const char *kws_handshake_header(const struct kws_handshake *hs, const char *name, unsigned int index)
{
	return hs->head.complete ? head_get(&hs->head, name, index) : NULL;
}

bool kws_handshake_header_at(const struct kws_handshake *hs, unsigned int index, const char **name, const char **value)
{
	if (!hs->head.complete || index >= hs->head.headers)
		return false;
	*name = head_name(&hs->head, index);
	*value = head_value(&hs->head, index);
	return true;
}

const char *kws_handshake_offered(const struct kws_handshake *hs, unsigned int index)
{
	const char *p = hs->offers.s;

	while (p && *p && index--)
		p += strlen(p) + 1;
	return p && *p ? p : NULL;
}

bool kws_handshake_is_upgrade(const struct kws_handshake *hs)
{
	return hs->upgrade;
}

const char *kws_handshake_subprotocol(const struct kws_handshake *hs)
{
	return hs->chosen;
}

int kws_handshake_status(const struct kws_handshake *hs)
{
	return hs->status;
}

int kws_handshake_error(const struct kws_handshake *hs)
{
	return hs->error;
}

const char *kws_handshake_message(const struct kws_handshake *hs)
{
	return hs->why;
}
