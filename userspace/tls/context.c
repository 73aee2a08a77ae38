// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Contexts: certificates and settings. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/err.h>

#include "tls.h"

/* Those that the kernel has; TLS 1.3's are all among them. */
#define TLS12_CIPHERS	"ECDHE+AESGCM:ECDHE+CHACHA20"

static const unsigned char http11[] = "\x08http/1.1";
#define HTTP11_LEN	(sizeof(http11) - 1)

/* RFC 7301 3.2: a client that offers protocols, but not ours, is refused. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned int len,
			   void *arg)
{
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, http11, HTTP11_LEN, in, len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* Nobody is asked on the terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static int say(const struct kws_tls_options *opt, int err, const char *what, const char *why)
{
	if (opt->why && opt->why_size)
		snprintf(opt->why, opt->why_size, "%s: %s", what, why);
	return err;
}

/* Why OpenSSL does not like a file, if not that it cannot be read. @unread: in our words; NULL: in its own. */
static int refused(const struct kws_tls_options *opt, const char *file, const char *unread)
{
	const char *reason = unread ? unread : ERR_reason_error_string(ERR_get_error());
	FILE *f = fopen(file, "re");

	if (!f)
		return say(opt, errno == ENOENT || errno == EACCES ? -errno : -EINVAL, file, strerrordesc_np(errno));
	fclose(f);
	return say(opt, -EKEYREJECTED, file, reason ? reason : "not what it should be");
}

/* What it says of a key that it cannot read, "unsupported" or "interrupted or cancelled", is of no help. */
static int refused_key(const struct kws_tls_options *opt, const char *file)
{
	int lib = ERR_GET_LIB(ERR_peek_error());
	bool read = lib == ERR_LIB_X509 || lib == ERR_LIB_SSL;

	return refused(opt, file, read ? NULL : "it holds no private key that is not encrypted");
}

static int set_up_server(struct kws_tls *tls)
{
	SSL_CTX_set_alpn_select_cb(tls->ctx, choose_protocol, NULL);
	SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);	/* sessions are in the clients' tickets */
	SSL_CTX_set_session_id_context(tls->ctx, (const unsigned char *)"kws", 3);
	return SSL_CTX_set_num_tickets(tls->ctx, 1) ? 0 : -ENOMEM;
}

static int set_up_client(struct kws_tls *tls, const struct kws_tls_options *opt)
{
	if (SSL_CTX_set_alpn_protos(tls->ctx, http11, HTTP11_LEN))
		return -ENOMEM;
	tls->client = true;
	tls->insecure = opt->flags & KWS_TLS_F_INSECURE;
	SSL_CTX_set_verify(tls->ctx, tls->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (tls->insecure)
		return 0;
	if (!opt->ca)
		return SSL_CTX_set_default_verify_paths(tls->ctx) ? 0 : -ENOMEM;
	return SSL_CTX_load_verify_file(tls->ctx, opt->ca) ? 0 : refused(opt, opt->ca, NULL);
}

static int load_certificate(struct kws_tls *tls, const struct kws_tls_options *opt)
{
	const char *key = opt->key ? opt->key : opt->cert;

	SSL_CTX_set_default_passwd_cb(tls->ctx, no_password);
	if (!SSL_CTX_use_certificate_chain_file(tls->ctx, opt->cert))
		return refused(opt, opt->cert, NULL);
	/* it says too whether the key is that of the certificate, if it is of the same type */
	if (!SSL_CTX_use_PrivateKey_file(tls->ctx, key, SSL_FILETYPE_PEM))
		return refused_key(opt, key);
	return SSL_CTX_check_private_key(tls->ctx) ? 0 : refused(opt, key, "not the key of the certificate");
}

static int set_up(struct kws_tls *tls, const struct kws_tls_options *opt, bool client)
{
	int err;

	tls->ctx = SSL_CTX_new(client ? TLS_client_method() : TLS_server_method());
	if (!tls->ctx || !SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION) ||
	    !SSL_CTX_set_cipher_list(tls->ctx, TLS12_CIPHERS))
		return say(opt, -ENOMEM, "OpenSSL", "no context with TLS 1.2");
	SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_clear_options(tls->ctx, SSL_OP_ENABLE_KTLS);	/* we do that */
	SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(tls->ctx, 0);
	SSL_CTX_set_keylog_callback(tls->ctx, link_keylog);
	err = client ? set_up_client(tls, opt) : set_up_server(tls);
	if (err == -ENOMEM)
		say(opt, err, "OpenSSL", strerrordesc_np(ENOMEM));
	return !err && opt->cert ? load_certificate(tls, opt) : err;
}

static struct kws_tls *context_new(const struct kws_tls_options *opt, bool client)
{
	static const struct kws_tls_options defaults;
	struct kws_tls *tls;
	int err;

	opt = opt ? opt : &defaults;
	if (opt->flags & ~(client ? KWS_TLS_F_INSECURE : 0) || (!client && (!opt->cert || opt->ca)) || (opt->key && !opt->cert)) {
		errno = -say(opt, -EINVAL, "TLS", client ? "bad options" : "bad options, or no certificate");
		return NULL;
	}
	tls = calloc(1, sizeof(*tls));
	if (!tls) {
		errno = -say(opt, -ENOMEM, "TLS", strerrordesc_np(ENOMEM));
		return NULL;
	}
	err = set_up(tls, opt, client);
	ERR_clear_error();
	if (!err)
		return tls;
	kws_tls_free(tls);
	errno = -err;
	return NULL;
}

struct kws_tls *kws_tls_server(const struct kws_tls_options *opt)
{
	return context_new(opt, false);
}

struct kws_tls *kws_tls_client(const struct kws_tls_options *opt)
{
	return context_new(opt, true);
}

void kws_tls_free(struct kws_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->ctx);
	free(tls);
}

struct ssl_ctx_st *kws_tls_context(struct kws_tls *tls)
{
	return tls->ctx;
}
