// SPDX-License-Identifier: GPL-2.0
/* See keys.h. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "keys.h"
#include "peer.h"

#ifndef TCP_ULP
#define TCP_ULP	31
#endif

unsigned int link_tls;

static void __attribute__((constructor)) from_environment(void)
{
	const char *version = getenv("KWS_TLS");

	if (version)
		link_tls = strcmp(version, "1.2") ? TLS_1_3_VERSION : TLS_1_2_VERSION;
}

void tls_attach(int fd)
{
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3))
		fail("TCP_ULP tls: %s: is tls.ko loaded?", error_name(errno));
}

int tls_set_key(int fd, int direction, unsigned int version, unsigned int cipher, int from_server)
{
	union {
		struct tls_crypto_info head;
		struct tls12_crypto_info_aes_gcm_128 gcm128;
		struct tls12_crypto_info_aes_gcm_256 gcm256;
		struct tls12_crypto_info_chacha20_poly1305 chacha;
		struct tls12_crypto_info_aes_ccm_128 ccm128;
	} info;
	socklen_t len;

	/* the record number starts at 0 */
	memset(&info, tls_key_byte(from_server), sizeof(info));
	info.head = (struct tls_crypto_info){ .version = version, .cipher_type = cipher };
	switch (cipher) {
	case TLS_CIPHER_AES_GCM_256:
		memset(info.gcm256.rec_seq, 0, sizeof(info.gcm256.rec_seq));
		len = sizeof(info.gcm256);
		break;
	case TLS_CIPHER_CHACHA20_POLY1305:
		memset(info.chacha.rec_seq, 0, sizeof(info.chacha.rec_seq));
		len = sizeof(info.chacha);
		break;
	case TLS_CIPHER_AES_CCM_128:
		memset(info.ccm128.rec_seq, 0, sizeof(info.ccm128.rec_seq));
		len = sizeof(info.ccm128);
		break;
	default:
		memset(info.gcm128.rec_seq, 0, sizeof(info.gcm128.rec_seq));
		len = sizeof(info.gcm128);
	}
	return setsockopt(fd, SOL_TLS, direction, &info, len);
}

void tls_key(int fd, unsigned int version, int is_server)
{
	tls_attach(fd);
	must(tls_set_key(fd, TLS_TX, version, TLS_CIPHER_AES_GCM_128, is_server));
	must(tls_set_key(fd, TLS_RX, version, TLS_CIPHER_AES_GCM_128, !is_server));
}

void tls_send_record(int fd, enum record type, const void *bytes, size_t len)
{
	struct iovec v = { (void *)bytes, len };
	char control[CMSG_SPACE(1)] = { 0 };
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_LEN(1) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_TLS;
	c->cmsg_type = TLS_SET_RECORD_TYPE;
	c->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(c) = type;
	equal(len, sendmsg(fd, &msg, MSG_NOSIGNAL));
}

ssize_t tls_recv_record(int fd, enum record *type, void *bytes, size_t len, int flags)
{
	struct iovec v = { bytes, len };
	char control[CMSG_SPACE(1)];
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, flags);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	*type = RECORD_DATA;
	if (c && c->cmsg_level == SOL_TLS && c->cmsg_type == TLS_GET_RECORD_TYPE)
		*type = *CMSG_DATA(c);
	return n;
}

void tls_comes_to_rest_(void)
{
	long long now = counter("TlsWork"), before = -1;
	int i;

	for (i = 0; i < 100 && now != before; i++) {
		usleep(20000);
		before = now;
		now = counter("TlsWork");
	}
	equal(before, now);
}
