/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What a TLS library plugs in: between a handshake, or the user-space engine, and the socket.
 *
 * Not installed: libkws-tls is the only user, comes from the same source, and wants the libkws that was built with it.
 */
#ifndef KWS_LAYER_H
#define KWS_LAYER_H

#include <stdbool.h>
#include <sys/uio.h>

#include "kws.h"

/**
 * struct kws_layer - how a handshake's bytes come and go; nothing here may block
 * @begin: what comes before HTTP. 0: done; KWS_WANT_READ, KWS_WANT_WRITE: call again; or -errno
 * @recv: as recv(), with MSG_PEEK or 0: bytes, of which those that are taken are read again without MSG_PEEK; 0: the peer has ended
 *	its side; -EAGAIN; or -errno
 * @send: as send(): bytes taken, -EAGAIN, or -errno. After -EAGAIN the same bytes come again.
 * @shutdown: our side has ended, behind all that was sent. True: TCP has it, and goes on behind close(); false: close() would lose some
 *	of it: called again when there is room, and may be otherwise
 * @attach, @start: in place of kws_attach() and kws_start()
 * @why: one line about the last error; "": its errno says it all
 * @free: forget it; the socket stays open
 */
struct kws_layer {
	int (*begin)(void *ctx);
	ssize_t (*recv)(void *ctx, void *buf, size_t len, int flags);
	ssize_t (*send)(void *ctx, const void *buf, size_t len);
	bool (*shutdown)(void *ctx);
	int (*attach)(void *ctx);
	int (*start)(void *ctx, const struct websocket_config *config);
	const char *(*why)(void *ctx);
	void (*free)(void *ctx);
};

/**
 * struct transport - how the engine's bytes come and go; nothing here may block
 * @read: bytes received; 0: the peer has ended its side; -EAGAIN; or the errno that ended the connection
 * @write: bytes taken, fewer than there are if that is all that fits; -EAGAIN: none; or an errno. 0: none so far, but they cannot be
 *	recalled. After 0 or a short write the next call begins with the same bytes, perhaps elsewhere in memory, and perhaps
 *	with more behind them. @more: the next write follows at once.
 * @shutdown: our side has ended: FIN, or TLS's close_notify and then FIN
 * @events: poll() events that a read or write that returned -EAGAIN waits for beyond the usual; NULL: none
 * @close: forget the connection and close its descriptor; @abort: with a reset
 */
struct transport {
	ssize_t (*read)(void *ctx, void *buf, size_t len);
	ssize_t (*write)(void *ctx, const struct iovec *iov, int count, bool more);
	void (*shutdown)(void *ctx);
	short (*events)(void *ctx);
	void (*close)(void *ctx, bool abort);
};

/* As kws_accept_start() and kws_connect_start(), over a layer, which belongs to the handshake from then on. NULL: it does not. */
KWS_API struct kws_handshake *kws_layer_accept(int fd, const struct kws_options *opt, const struct kws_layer *layer, void *ctx);
KWS_API struct kws_handshake *kws_layer_connect(int fd, const char *url, const struct kws_options *opt, const struct kws_layer *layer,
						void *ctx);

/* Whom the URL names, without brackets, to be freed. NULL: errno. */
KWS_API char *kws_layer_host(const char *url);

/**
 * kws_layer_dial - as kws_connect(), but the handshake stays
 * @start: begins it on the connected socket. NULL: errno
 * @hs: the finished handshake
 * Return: the descriptor, blocking; or an errno, and nothing is left.
 */
KWS_API int kws_layer_dial(const char *url, const struct kws_options *opt,
			   struct kws_handshake *(*start)(int fd, const char *url, const struct kws_options *opt, void *arg),
			   void *arg, struct kws_handshake **hs);

/* In the options' why; @error is returned. */
KWS_API int kws_layer_say(const struct kws_options *opt, const char *why, int error);
/* Before anything is sent, and anybody bothered: what is wrong with the options, in their why. Return: 0, -EINVAL or -ENOMEM. */
KWS_API int kws_layer_check(const struct kws_options *opt, bool client);

/* Runs a handshake to its end. Return: 0 or -errno, as kws_accept(). */
KWS_API int kws_layer_run(struct kws_handshake *hs, const struct kws_options *opt);

/* The layer's ctx, of a handshake that is done; NULL: none. kws_layer_take(): from then on it is the caller's. */
KWS_API void *kws_layer_of(const struct kws_handshake *hs);
KWS_API void *kws_layer_take(struct kws_handshake *hs);

/* The options' config with the role in it. */
KWS_API const struct websocket_config *kws_layer_config(const struct kws_handshake *hs);

/* What KWS_ENGINE_ANY, or another, comes to with $KWS_ENGINE. */
KWS_API int kws_layer_engine(int engine);
/* The kernel's protocol cannot be had, and the bytes are there all the same. */
KWS_API bool kws_layer_falls_back(int err);

/* A connection of the library's engine over a transport, which belongs to it from then on. NULL: errno. */
KWS_API struct kws_conn *kws_layer_conn(int fd, const struct websocket_config *config, const struct transport *transport, void *ctx);
/* close() of a socket, with a reset or so that what was sent arrives. */
KWS_API void kws_layer_close(int fd, bool abort);

#endif
