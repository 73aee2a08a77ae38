/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * libkws-tls: wss. WebSocket connections over TLS, on OpenSSL and the kernel's TLS.
 *
 * OpenSSL does the TLS handshake: certificates, versions, ciphers. Then its keys go to the kernel (kTLS), the OpenSSL object is freed,
 * and HTTP and WebSocket go on in the kernel. What comes out is a message socket as any other: kws_recv(), kws_send(), poll(),
 * kws_handover_*(); pings are answered while the process is stopped, and a successor needs neither keys nor certificate.
 *
 *	struct kws_tls_options to = { .cert = "cert.pem", .key = "key.pem" };
 *	struct kws_tls *tls = kws_tls_server(&to);		// once
 *
 *	int fd = accept(listener, NULL, NULL);
 *	int err = kws_tls_accept(fd, tls, NULL);		// in place of kws_accept()
 *
 *	int fd = kws_tls_connect("wss://example.org/", NULL, NULL);
 *
 * It needs the modules websocket and tls, TLS 1.2 or 1.3, and AES-GCM or ChaCha20-Poly1305, which is what these contexts agree to. With
 * TLS 1.3 a peer that changes its keys (KeyUpdate) fails the connection (EKEYEXPIRED); browsers and OpenSSL do not do so by themselves.
 *
 * Where the kernel has no TLS or no WebSocket, kws_tls_conn_*() go on over OpenSSL and the library's engine, as kws_conn_*() do over TCP.
 *
 * A link takes -lkws-tls -lkws; OpenSSL's headers are not needed.
 */
#ifndef KWS_TLS_H
#define KWS_TLS_H

#include <kws.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kws_tls;
struct ssl_ctx_st;

/* Flags of struct kws_tls_options. */
#define KWS_TLS_F_INSECURE	(1U << 0)	/* client: do not check the server's certificate: for tests */

/**
 * struct kws_tls_options - what a context is made of
 * @cert: file of certificates in PEM: our own, then those that lead to the authority. A server needs one; a client: NULL: none
 * @key: file of the private key in PEM, not encrypted; NULL: it is in @cert
 * @ca: client: file of the authorities in PEM that are trusted; NULL: those of the system
 * @flags: KWS_TLS_F_*
 * @why: buffer for one line of English that says why it failed, or NULL
 * @why_size: its size in bytes
 */
struct kws_tls_options {
	const char *cert;
	const char *key;
	const char *ca;
	unsigned int flags;
	char *why;
	size_t why_size;
};

/**
 * kws_tls_server, kws_tls_client - a context, for any number of connections and threads
 *
 * TLS 1.2 and 1.3; ALPN "http/1.1"; no renegotiation, no early data. A client checks that the certificate is valid, comes from an
 * authority that it trusts, and is for the URL's host, and tells the server that name (SNI).
 *
 * To replace a certificate make a new context: connections keep what they have.
 *
 * Return: the context; NULL with errno: EINVAL: bad options; ENOENT, EACCES: a file cannot be read; EKEYREJECTED: what is in it cannot be
 * used (the key is encrypted, or another certificate's); ENOMEM.
 */
KWS_API struct kws_tls *kws_tls_server(const struct kws_tls_options *opt);
KWS_API struct kws_tls *kws_tls_client(const struct kws_tls_options *opt);

/* kws_tls_free - forget it; connections and handshakes that were made with it go on. NULL is allowed. */
KWS_API void kws_tls_free(struct kws_tls *tls);

/**
 * kws_tls_context - OpenSSL's object in it (SSL_CTX), for what is not here: certificates of clients, one of several certificates by SNI
 *
 * What it must keep: its key log callback, its modes, and that there is no read-ahead. A callback for SNI may only switch to an SSL_CTX
 * that is of another struct kws_tls.
 */
KWS_API struct ssl_ctx_st *kws_tls_context(struct kws_tls *tls);

/**
 * kws_tls_accept - as kws_accept(), with the TLS handshake before it
 *
 * The options' time is for both. KWS_F_NO_START is -EINVAL. With KWS_F_PROXY the PROXY protocol comes first, unencrypted.
 *
 * Return: as kws_accept(), and -ECONNABORTED: the TLS handshake failed; -ENOENT: the module websocket or tls is not loaded;
 * -EOPNOTSUPP: the kernel does not have the cipher. Where the kernel cannot, the client is answered with 503.
 */
KWS_API int kws_tls_accept(int fd, struct kws_tls *tls, const struct kws_options *opt);

/**
 * kws_tls_connect - as kws_connect(), for wss URLs; ws URLs go to kws_connect()
 * @tls: NULL: a client's context with the defaults, made for this call, which takes some milliseconds
 *
 * Return: as kws_connect() and kws_tls_accept(); -EKEYREJECTED: the server's certificate is not accepted.
 */
KWS_API int kws_tls_connect(const char *url, struct kws_tls *tls, const struct kws_options *opt);

/**
 * kws_tls_accept_start, kws_tls_connect_start - as kws_accept_start() and kws_connect_start(): all of kws_handshake_*() works
 * @url: of a client: wss; its host is what the certificate has to be for
 *
 * With KWS_F_NO_START the kernel need not have TLS and WebSocket: kws_tls_conn_new() makes the connection.
 */
KWS_API struct kws_handshake *kws_tls_accept_start(int fd, struct kws_tls *tls, const struct kws_options *opt);
KWS_API struct kws_handshake *kws_tls_connect_start(int fd, const char *url, struct kws_tls *tls, const struct kws_options *opt);

/**
 * kws_tls_conn_new - a connection from a handshake with KWS_F_NO_START that is done
 * @hs: KWS_DONE; free it afterwards. Its options' config counts.
 *
 * From here on the descriptor belongs to the connection. $KWS_ENGINE decides as for kws_conn_new().
 *
 * Return: the connection; NULL with errno, and the descriptor is the caller's, to be closed.
 */
KWS_API struct kws_conn *kws_tls_conn_new(struct kws_handshake *hs);

/* kws_tls_conn_accept, kws_tls_conn_connect - as kws_conn_accept() and kws_conn_connect(), over TLS. */
KWS_API struct kws_conn *kws_tls_conn_accept(int fd, struct kws_tls *tls, const struct kws_options *opt);
KWS_API struct kws_conn *kws_tls_conn_connect(const char *url, struct kws_tls *tls, const struct kws_options *opt);

#ifdef __cplusplus
}
#endif

#endif
