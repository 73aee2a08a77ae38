// SPDX-License-Identifier: GPL-2.0 OR MIT
/* OpenSSL's part of a connection: the handshake, and what has to be seen of it; tls.h has the idea. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls.h"

#define RECORD_HEAD	5
#define DATA		23

static pthread_once_t once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method;
static int ex_index = -1;

/*
 * The BIO
 */

static int bio_read(BIO *bio, char *buf, size_t len, size_t *done)
{
	struct link *l = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do {
		n = recv(l->fd, buf, len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		*done = n;
		return 1;
	}
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_read(bio);
	l->eof |= !n;
	l->error = n ? errno : 0;
	return 0;
}

/* Keeps the nonce of each record that passes. */
static void see_written(struct link *l, const uint8_t *p, size_t len)
{
	for (; len; p++, len--) {
		if (l->have < RECORD_HEAD) {
			l->head[l->have++] = *p;
			if (l->have == RECORD_HEAD)
				l->left = l->head[3] << 8 | l->head[4];
			if (l->have == RECORD_HEAD && !l->left)
				l->have = 0;
			continue;
		}
		if (l->have < sizeof(l->head))
			l->head[l->have++] = *p;
		if (--l->left)
			continue;
		l->nonce = 0;
		for (unsigned int i = RECORD_HEAD; i < l->have; i++)
			l->nonce = l->nonce << 8 | l->head[i];
		l->have = 0;
	}
}

static int bio_write(BIO *bio, const char *buf, size_t len, size_t *done)
{
	struct link *l = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do {
		n = send(l->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0) {
		if (l->watch)
			see_written(l, (const uint8_t *)buf, n);
		*done = n;
		return 1;
	}
	if (errno == EAGAIN)
		BIO_set_retry_write(bio);
	l->error = errno;
	return 0;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct link *l = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
	case BIO_CTRL_DUP:
		return 1;
	case BIO_CTRL_EOF:
		return l->eof;
	default:
		return 0;
	}
}

static void init(void)
{
	ex_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "kws");
	if (!method)
		return;
	BIO_meth_set_read_ex(method, bio_read);
	BIO_meth_set_write_ex(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
}

/*
 * What is seen of the handshake
 */

/* "CLIENT_TRAFFIC_SECRET_0 <random> <secret>", in hexadecimal */
void link_keylog(const SSL *ssl, const char *line)
{
	struct link *l = ex_index < 0 ? NULL : SSL_get_ex_data(ssl, ex_index);
	const char *hex = strrchr(line, ' ');
	bool of_client = !strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24);
	enum direction d;
	size_t len;

	if (!l || !hex || (!of_client && strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24)))
		return;
	d = of_client == l->client ? WRITE : READ;
	if (!OPENSSL_hexstr2buf_ex(l->secret[d], sizeof(l->secret[d]), &len, hex + 1, '\0'))
		len = 0;
	l->secret_len[d] = len;
}

static void on_message(int writing, int version, int type, const void *buf, size_t len, SSL *ssl, void *arg)
{
	enum direction d = writing ? WRITE : READ;
	const uint8_t *p = buf;
	struct link *l = arg;

	(void)version;
	if (type == SSL3_RT_HEADER && len >= RECORD_HEAD) {
		/* TLS 1.3: what is not encrypted has its own type */
		l->seq[d] += l->counting[d] && (SSL_version(ssl) != TLS1_3_VERSION || *p == DATA);
	} else if (type == SSL3_RT_HANDSHAKE && len && *p == SSL3_MT_FINISHED) {
		l->counting[d] = true;
		l->seq[d] = SSL_version(ssl) != TLS1_3_VERSION;
	} else if (type == SSL3_RT_HANDSHAKE && len && *p == SSL3_MT_KEY_UPDATE) {
		l->rekeyed = true;
	}
}

/*
 * Life
 */

/* Whom the certificate has to be for: a name or an address. */
static bool expect(SSL *ssl, const char *host, bool check)
{
	unsigned char address[sizeof(struct in6_addr)];
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	size_t len = strlen(host);
	char name[256];

	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return !check || X509_VERIFY_PARAM_set1_ip_asc(param, host);
	/* RFC 6066 3: without the dot at the end */
	len -= len && host[len - 1] == '.';
	if (!len || len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = 0;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(ssl, name) && (!check || X509_VERIFY_PARAM_set1_host(param, name, 0));
}

struct link *link_new(int fd, struct kws_tls *tls, const char *host)
{
	struct link *l = calloc(1, sizeof(*l));
	BIO *bio = NULL;

	pthread_once(&once, init);
	if (!l)
		return NULL;
	if (tls->client != !!host)
		goto invalid;
	l->fd = fd;
	l->client = tls->client;
	l->watch = true;
	l->ssl = method && ex_index >= 0 ? SSL_new(tls->ctx) : NULL;
	bio = l->ssl ? BIO_new(method) : NULL;
	if (!bio || !SSL_set_ex_data(l->ssl, ex_index, l))
		goto no_memory;
	BIO_set_data(bio, l);
	BIO_set_init(bio, 1);
	SSL_set_bio(l->ssl, bio, bio);
	bio = NULL;
	SSL_set_msg_callback(l->ssl, on_message);
	SSL_set_msg_callback_arg(l->ssl, l);
	if (!host)
		SSL_set_accept_state(l->ssl);
	else if (!expect(l->ssl, host, !tls->insecure))
		goto invalid;
	else
		SSL_set_connect_state(l->ssl);
	return l;

invalid:
	link_free(l);
	ERR_clear_error();
	errno = EINVAL;
	return NULL;
no_memory:
	BIO_free(bio);
	link_free(l);
	ERR_clear_error();
	errno = ENOMEM;
	return NULL;
}

void link_free(struct link *l)
{
	SSL_free(l->ssl);
	OPENSSL_cleanse(l, sizeof(*l));
	free(l);
}

/*
 * Calls
 */

/* What OpenSSL says about its first error, which is the cause of the others. */
static int ssl_error(struct link *l)
{
	unsigned long error = ERR_get_error();
	const char *reason = ERR_reason_error_string(error);
	long verified = SSL_get_verify_result(l->ssl);

	if (verified != X509_V_OK && SSL_get_verify_mode(l->ssl) != SSL_VERIFY_NONE) {
		snprintf(l->why, sizeof(l->why), "the peer's certificate is not accepted: %s", X509_verify_cert_error_string(verified));
		return -EKEYREJECTED;
	}
	if (ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET)
		snprintf(l->why, sizeof(l->why), "the peer has ended TLS: %s", reason ? reason : "an alert");
	else
		snprintf(l->why, sizeof(l->why), "TLS: %s", reason ? reason : "an error");
	return ERR_GET_REASON(error) < SSL_AD_REASON_OFFSET && !l->watch ? -EBADMSG : -ECONNABORTED;
}

ssize_t link_result(struct link *l, int n)
{
	int err;

	l->events = 0;
	*l->why = 0;
	if (n > 0)
		return n;
	switch (SSL_get_error(l->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		l->events = POLLIN;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		l->events = POLLOUT;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return l->error ? -l->error : l->eof ? 0 : -ECONNRESET;
	case SSL_ERROR_SSL:
		err = ssl_error(l);
		break;
	default:
		err = -ECONNABORTED;	/* a callback of the program's that wants to be waited for */
		snprintf(l->why, sizeof(l->why), "TLS: an asynchronous callback");
	}
	ERR_clear_error();
	return err;
}

ssize_t link_recv(struct link *l, void *buf, size_t len, int flags)
{
	ERR_clear_error();
	return link_result(l, flags & MSG_PEEK ? SSL_peek(l->ssl, buf, len) : SSL_read(l->ssl, buf, len));
}

ssize_t link_send(struct link *l, const void *buf, size_t len)
{
	ssize_t n;

	ERR_clear_error();
	n = link_result(l, SSL_write(l->ssl, buf, len));
	return n ? n : -EPIPE;
}

void link_shutdown(struct link *l)
{
	ERR_clear_error();
	SSL_shutdown(l->ssl);
	ERR_clear_error();
}

int link_begin(struct link *l)
{
	ssize_t n;
	int err;

	if (!l->watch)
		return 0;
	ERR_clear_error();
	n = link_result(l, SSL_do_handshake(l->ssl));
	if (n == -EAGAIN)
		return l->events == POLLOUT ? KWS_WANT_WRITE : KWS_WANT_READ;
	if (!n) {
		snprintf(l->why, sizeof(l->why), "the peer closed the connection in the TLS handshake");
		return -ECONNRESET;
	}
	if (n < 0)
		return n;
	l->watch = false;
	err = l->want_kernel ? kernel_keys(l) : -EOPNOTSUPP;
	if (err == -ECONNABORTED)
		return err;
	l->kernel_error = err;
	memcpy(l->kernel_why, l->why, sizeof(l->why));
	if (!err) {
		OPENSSL_cleanse(l->secret, sizeof(l->secret));
		SSL_set_quiet_shutdown(l->ssl, 1);
		SSL_free(l->ssl);
		l->ssl = NULL;
	}
	return 0;
}
