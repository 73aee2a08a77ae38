/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Keys of TLS, from the secrets of a handshake to what the kernel wants to have; no sockets, no SSL. */
#ifndef KWS_TLS_KEYS_H
#define KWS_TLS_KEYS_H

#include <stddef.h>
#include <stdint.h>
#include <linux/tls.h>
#include <openssl/evp.h>

#define SECRET_MAX	48	/* SHA-384; also the master secret of TLS 1.2 */
#define KEY_MAX		32
#define IV_MAX		12

/**
 * struct key - of one direction
 * @iv: TLS 1.3 and ChaCha20: 12 bytes; AES-GCM of TLS 1.2: 4, the rest is in each record
 */
struct key {
	uint8_t key[KEY_MAX];
	uint8_t iv[IV_MAX];
};

/**
 * struct cipher - what the kernel has
 * @nid: OpenSSL's number
 * @type: the kernel's
 */
struct cipher {
	int nid;
	uint16_t type;
	uint8_t key_len;
	uint8_t salt_len;	/* of AES-GCM */
};

union crypto_info {
	struct tls_crypto_info head;
	struct tls12_crypto_info_aes_gcm_128 gcm128;
	struct tls12_crypto_info_aes_gcm_256 gcm256;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
};

/* NULL: the kernel does not have it. */
const struct cipher *key_cipher(int nid);

/* RFC 8446 7.3: from a traffic secret, which is as long as the hash. Return: 0 or -ENOMEM. */
int key_from_secret(struct key *key, const struct cipher *cipher, const EVP_MD *md, const uint8_t *secret);

/* RFC 5246 6.3: both directions, the client's first, from the master secret and both randoms of 32 bytes. Return: 0 or -ENOMEM. */
int key_from_master(struct key keys[2], const struct cipher *cipher, const EVP_MD *md, const uint8_t *master, size_t master_len,
		    const uint8_t *client_random, const uint8_t *server_random);

/**
 * key_info - in the kernel's form
 * @version: TLS_1_2_VERSION, TLS_1_3_VERSION
 * @seq: number of the next record
 * @nonce: AES-GCM of TLS 1.2: the explicit part of the next record's that is sent, which the kernel counts up
 * Return: its length
 */
size_t key_info(union crypto_info *info, const struct key *key, const struct cipher *cipher, unsigned int version, uint64_t seq,
		uint64_t nonce);

#endif
