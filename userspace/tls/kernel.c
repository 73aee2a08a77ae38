// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The kernel's part: it gets the keys, and HTTP goes over its TLS. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <openssl/crypto.h>

#include "tls.h"

/* RFC 8446 5.1, 6, 4 */
#define ALERT			21
#define HANDSHAKE		22
#define DATA			23
#define CLOSE_NOTIFY		0
#define USER_CANCELED		90
#define HELLO_REQUEST		0
#define NEW_SESSION_TICKET	4

#define OTHER_MAX	65536	/* bytes of records that are no data, during HTTP: a handful of tickets */

int kernel_derive(struct link *l, const struct cipher *cipher, struct key keys[2])
{
	const EVP_MD *md = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(l->ssl));
	uint8_t master[SSL_MAX_MASTER_KEY_LENGTH], client[SSL3_RANDOM_SIZE], server[SSL3_RANDOM_SIZE];
	struct key both[2];	/* the client's first */
	size_t len;
	int err;

	if (!md)
		return -EOPNOTSUPP;
	if (SSL_version(l->ssl) == TLS1_3_VERSION) {
		for (int d = READ; d <= WRITE; d++) {
			err = l->secret_len[d] == (size_t)EVP_MD_get_size(md) ? 0 : -EOPNOTSUPP;
			err = err ? err : key_from_secret(&keys[d], cipher, md, l->secret[d]);
			if (err)
				return err;
		}
		return 0;
	}
	SSL_get_client_random(l->ssl, client, sizeof(client));
	SSL_get_server_random(l->ssl, server, sizeof(server));
	len = SSL_SESSION_get_master_key(SSL_get_session(l->ssl), master, sizeof(master));
	err = key_from_master(both, cipher, md, master, len, client, server);
	keys[READ] = both[l->client];
	keys[WRITE] = both[!l->client];
	OPENSSL_cleanse(master, sizeof(master));
	OPENSSL_cleanse(both, sizeof(both));
	return err;
}

static int set_key(struct link *l, enum direction d, const struct key *key, const struct cipher *cipher)
{
	unsigned int version = SSL_version(l->ssl) == TLS1_3_VERSION ? TLS_1_3_VERSION : TLS_1_2_VERSION;
	union crypto_info info;
	size_t len = key_info(&info, key, cipher, version, l->seq[d], l->nonce + 1);
	int err = setsockopt(l->fd, SOL_TLS, d == WRITE ? TLS_TX : TLS_RX, &info, len) ? -errno : 0;

	OPENSSL_cleanse(&info, sizeof(info));
	return err;
}

/* Has the kernel load the module, as TCP_ULP does it and WEBSOCKET_ATTACH does not: for who has CAP_NET_ADMIN. */
static void load(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_ULP, "websocket", sizeof("websocket") - 1);
	close(fd);
}

/* Is the module there? It says so by what it misses on this socket. */
static int probe(struct link *l)
{
	static const struct websocket_config config;

	for (int tries = 0; tries < 2; tries++) {
		if (!setsockopt(l->fd, SOL_IP, WEBSOCKET_ATTACH, &config, sizeof(config)))
			return -EEXIST;
		if (errno == EUNATCH)
			return 0;
		if (errno != ENOPROTOOPT)
			return -errno;
		if (!tries)
			load();
	}
	snprintf(l->why, sizeof(l->why), "the kernel has no \"websocket\" protocol over TLS: modprobe websocket, as root");
	return -ENOENT;
}

static int attach_tls(struct link *l)
{
	if (!setsockopt(l->fd, IPPROTO_TCP, TCP_ULP, "tls", 3))
		return 0;
	if (errno == ENOENT)
		snprintf(l->why, sizeof(l->why), "the kernel has no TLS: modprobe tls, as root");
	return -errno;
}

int kernel_keys(struct link *l)
{
	const SSL_CIPHER *current = SSL_get_current_cipher(l->ssl);
	const struct cipher *cipher = key_cipher(SSL_CIPHER_get_cipher_nid(current));
	struct key keys[2];
	int err;

	/* nothing can be there: OpenSSL reads record by record, and has what it needs */
	if (SSL_has_pending(l->ssl) || l->rekeyed || !l->counting[READ] || !l->counting[WRITE])
		return -EOPNOTSUPP;
	if (!cipher || SSL_version(l->ssl) < TLS1_2_VERSION) {
		snprintf(l->why, sizeof(l->why), "the kernel cannot have the cipher %s", SSL_CIPHER_get_name(current));
		return -EOPNOTSUPP;
	}
	/* RFC 6066 4: the kernel does not know of it */
	if (SSL_SESSION_get_max_fragment_length(SSL_get_session(l->ssl)) != TLSEXT_max_fragment_length_DISABLED) {
		snprintf(l->why, sizeof(l->why), "the peer wants small records (max_fragment_length), which the kernel cannot");
		return -EOPNOTSUPP;
	}
	err = kernel_derive(l, cipher, keys);
	err = err ? err : probe(l);
	err = err ? err : attach_tls(l);
	if (err)
		goto out;
	err = set_key(l, WRITE, &keys[WRITE], cipher);
	if (err) {
		snprintf(l->why, sizeof(l->why), "the kernel does not take the keys of %s: %s", SSL_CIPHER_get_name(current), strerror(-err));
		/* ENOENT: the kernel's cryptography does not have it */
		err = err == -ENOMEM ? err : -EOPNOTSUPP;
		goto out;
	}
	err = set_key(l, READ, &keys[READ], cipher);
	if (err) {
		snprintf(l->why, sizeof(l->why), "the kernel took only one of the keys: %s", strerror(-err));
		err = -ECONNABORTED;
	}
out:
	OPENSSL_cleanse(keys, sizeof(keys));
	return err;
}

/* One call; the type of what came. */
static ssize_t receive(struct link *l, void *buf, size_t len, int flags, uint8_t *type)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint8_t))];
	struct iovec iov = { buf, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(l->fd, &mh, flags | MSG_DONTWAIT);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&mh) : NULL;

	*type = DATA;
	if (c && c->cmsg_level == SOL_TLS && c->cmsg_type == TLS_GET_RECORD_TYPE)
		*type = *CMSG_DATA(c);
	return n < 0 ? -errno : n;
}

/* RFC 8446 4: tickets need no answer and are passed over. Return: 0, or an errno. */
static int see_handshake(struct link *l, const uint8_t *p, size_t len)
{
	for (; len; p++, len--) {
		if (l->msg_left) {
			l->msg_left--;
			continue;
		}
		l->msg_head[l->msg_have++] = *p;
		if (l->msg_have < sizeof(l->msg_head))
			continue;
		l->msg_have = 0;
		l->msg_left = l->msg_head[1] << 16 | l->msg_head[2] << 8 | l->msg_head[3];
		if (l->msg_head[0] != NEW_SESSION_TICKET && l->msg_head[0] != HELLO_REQUEST)
			return -EKEYEXPIRED;
	}
	return 0;
}

/* A record that is no data. Return: 0: go on; 1: the peer's end; or an errno. */
static int see_record(struct link *l, uint8_t type, const uint8_t *p, size_t len)
{
	l->other += len;
	if (l->other > OTHER_MAX) {
		snprintf(l->why, sizeof(l->why), "the peer sends too much that is no data");
		return -EBADMSG;
	}
	if (type == HANDSHAKE)
		return see_handshake(l, p, len);
	if (type != ALERT || len < 2)
		return -EBADMSG;
	if (p[1] == CLOSE_NOTIFY)
		return 1;
	if (p[1] == USER_CANCELED)
		return 0;
	snprintf(l->why, sizeof(l->why), "the peer has ended TLS: %s", SSL_alert_desc_string_long(p[1]));
	return -ECONNABORTED;
}

ssize_t kernel_recv(struct link *l, void *buf, size_t len, int flags)
{
	uint8_t type, other[512];
	ssize_t n;
	int err;

	*l->why = 0;
	for (;;) {
		n = receive(l, buf, len, flags, &type);
		if (n <= 0 || type == DATA)
			return n;
		if (flags & MSG_PEEK) {
			n = receive(l, other, sizeof(other), 0, &type);
			if (n <= 0)
				return n;
			err = see_record(l, type, other, n);
		} else {
			err = see_record(l, type, buf, n);
		}
		if (err)
			return err > 0 ? 0 : err;
	}
}

ssize_t kernel_send(struct link *l, const void *buf, size_t len)
{
	ssize_t n = send(l->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	*l->why = 0;
	return n < 0 ? -errno : n;
}

static bool send_close_notify(struct link *l)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint8_t))] = { 0 };
	uint8_t alert[2] = { 1, CLOSE_NOTIFY };
	struct iovec iov = { alert, sizeof(alert) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

	c->cmsg_level = SOL_TLS;
	c->cmsg_type = TLS_SET_RECORD_TYPE;
	c->cmsg_len = CMSG_LEN(sizeof(uint8_t));
	*CMSG_DATA(c) = ALERT;
	return sendmsg(l->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || (errno != EAGAIN && errno != EINTR);
}

bool kernel_shutdown(struct link *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLOUT };

	if (!l->notified)
		l->notified = send_close_notify(l);
	/*
	 * send() takes records of which TCP has only a part. The kernel's TLS sends on when TCP has room, but not behind close(), and
	 * with shutdown(SHUT_WR) not at all.
	 */
	return l->notified && poll(&p, 1, 0) > 0;
}

int kernel_start(struct link *l, const struct websocket_config *config)
{
	return setsockopt(l->fd, SOL_IP, WEBSOCKET_ATTACH, config, sizeof(*config)) ? -errno : 0;
}
