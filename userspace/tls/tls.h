/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A connection's TLS.
 *
 * DESIGN NOTES
 *
 * OpenSSL does the handshake and nothing else, if the kernel can do the rest. When it is done, link_begin() gives the keys of both
 * directions to the kernel and frees the SSL object; HTTP then goes over kTLS, with the calls of a socket. So nothing that the peer
 * sends behind its handshake is ever in OpenSSL's hands: what comes in one record with the end of the HTTP head, say the first frame, is
 * the kernel's to deliver. Otherwise the SSL object stays, and HTTP and perhaps the engine go over it.
 *
 * We give the keys ourselves, and not OpenSSL (SSL_OP_ENABLE_KTLS), because OpenSSL 3.0 cannot do so for TLS 1.3 in both directions, and
 * because it must not happen when the kernel then has no WebSocket. The traffic secrets come from the key log callback (TLS 1.3), or the
 * key block from the master secret (TLS 1.2). The numbers of the next records: the message callback counts record headers since
 * Finished, which is the last record under the old keys (1.3), or the first under the new ones (1.2). AES-GCM of TLS 1.2 has a part of
 * the nonce in each record, which OpenSSL begins at random: the last one sent is read off what passes the BIO, so that the kernel goes
 * on from there and none is used twice.
 *
 * The BIO is our own: it never blocks, whatever the socket's mode, and raises no SIGPIPE.
 */
#ifndef KWS_TLS_TLS_H
#define KWS_TLS_TLS_H

#include <stdbool.h>
#include <stdint.h>
#include <openssl/ssl.h>

#include "keys.h"
#include "kws_tls.h"
#include "layer.h"

enum direction { READ, WRITE };

/* struct kws_tls - a context */
struct kws_tls {
	SSL_CTX *ctx;
	bool client;
	bool insecure;
};

/**
 * struct link - a connection's TLS
 * @ssl: NULL: the kernel has the keys
 * @client: which side
 * @want_kernel: try to give it the keys
 * @kernel_error: why it does not have them; 0: it does, or that was not tried yet
 * @eof: the peer's FIN was read
 * @error: errno of the socket, positive, when OpenSSL says that a system call failed
 * @events: what the last call waits for
 * @secret, @secret_len: TLS 1.3: of the traffic in that direction
 * @counting: Finished has passed in that direction
 * @rekeyed: keys have changed since
 * @seq: number of the next record
 * @watch: the handshake is under way: @head and @nonce are kept
 * @head, @have, @left: the record that is being written: its first bytes, and how many come behind its header
 * @nonce: the explicit part of the last one
 * @msg_head, @msg_have, @msg_left: a handshake message from the kernel, which may be cut anywhere
 * @other: bytes of records from the kernel that are no data
 * @notified: close_notify is out, or cannot be sent any more
 * @why, @kernel_why: one line about the last error, and about @kernel_error
 */
struct link {
	int fd;
	SSL *ssl;
	bool client, want_kernel;
	int kernel_error;
	bool eof;
	int error;
	short events;
	uint8_t secret[2][SECRET_MAX];
	size_t secret_len[2];
	bool counting[2], rekeyed;
	uint64_t seq[2];
	bool watch;
	uint8_t head[13];
	unsigned int have, left;
	uint64_t nonce;
	uint8_t msg_head[4];
	unsigned int msg_have, msg_left, other;
	bool notified;
	char why[160], kernel_why[160];
};

/* link.c */
/* @host: client: whom to expect. NULL: errno */
struct link *link_new(int fd, struct kws_tls *tls, const char *host);
void link_free(struct link *l);
/* The TLS handshake, and the keys to the kernel. Return: 0, KWS_WANT_READ, KWS_WANT_WRITE, -errno. */
int link_begin(struct link *l);
/* What came of a call that returned @n. Return: bytes; 0: the peer has ended its side; -EAGAIN; -errno */
ssize_t link_result(struct link *l, int n);
/* Log callback of a context. */
void link_keylog(const SSL *ssl, const char *line);
/* Over OpenSSL: as recv() and send(), and our end. */
ssize_t link_recv(struct link *l, void *buf, size_t len, int flags);
ssize_t link_send(struct link *l, const void *buf, size_t len);
void link_shutdown(struct link *l);

/* kernel.c: the same over the kernel's TLS */
/* The keys of both directions, READ and WRITE, when the handshake is done. Return: 0; -ENOMEM; -EOPNOTSUPP: they are not known. */
int kernel_derive(struct link *l, const struct cipher *cipher, struct key keys[2]);
/* Gives it the keys. Return: 0; -ECONNABORTED: it has half of them, and nobody can go on; or another errno, and nothing has changed. */
int kernel_keys(struct link *l);
ssize_t kernel_recv(struct link *l, void *buf, size_t len, int flags);
ssize_t kernel_send(struct link *l, const void *buf, size_t len);
/* Only close_notify: FIN would cut off what the kernel's TLS still has. Return: as struct kws_layer. */
bool kernel_shutdown(struct link *l);
int kernel_start(struct link *l, const struct websocket_config *config);

#endif
