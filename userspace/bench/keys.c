// SPDX-License-Identifier: GPL-2.0
/* TLS on a connected socket: kTLS in both directions, with keys that both ends know. No case measures a handshake. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/tls.h>

#include "keys.h"

#ifndef TLS_RX_EXPECT_NO_PAD
#define TLS_RX_EXPECT_NO_PAD	4
#endif

/* Whether the server's connections are encrypted: the load client says so in its environment. */
bool tls_wanted(void)
{
	return getenv("BENCH_TLS");
}

static int set_key(int fd, int direction, int byte)
{
	struct tls12_crypto_info_aes_gcm_128 key;

	memset(&key, byte, sizeof(key));
	key.info = (struct tls_crypto_info){ TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128 };
	memset(key.rec_seq, 0, sizeof(key.rec_seq));
	return setsockopt(fd, SOL_TLS, direction, &key, sizeof(key));
}

bool tls_start(int fd, bool is_server)
{
	int one = 1;

	/* the last one: records are decrypted straight into the buffer of recv() */
	return !setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3) && !set_key(fd, TLS_TX, is_server ? 1 : 2) &&
	       !set_key(fd, TLS_RX, is_server ? 2 : 1) &&
	       !setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &one, sizeof(one));
}
