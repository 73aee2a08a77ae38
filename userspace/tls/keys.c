// SPDX-License-Identifier: GPL-2.0 OR MIT
/* See keys.h. */
#include <errno.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>

#include "keys.h"

static const struct cipher ciphers[] = {
	{ NID_aes_128_gcm, TLS_CIPHER_AES_GCM_128, 16, 4 },
	{ NID_aes_256_gcm, TLS_CIPHER_AES_GCM_256, 32, 4 },
	{ NID_chacha20_poly1305, TLS_CIPHER_CHACHA20_POLY1305, 32, 0 },
};

const struct cipher *key_cipher(int nid)
{
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(*ciphers); i++)
		if (ciphers[i].nid == nid)
			return &ciphers[i];
	return NULL;
}

static int derive(const char *name, const OSSL_PARAM *params, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	int good = ctx && EVP_KDF_derive(ctx, out, len, params) > 0;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return good ? 0 : -ENOMEM;
}

/* RFC 8446 7.1: HKDF-Expand-Label without a context */
static int expand_label(const EVP_MD *md, const uint8_t *secret, const char *label, uint8_t *out, size_t len)
{
	uint8_t info[2 + 1 + 6 + 8 + 1];
	size_t n = strlen(label);
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)EVP_MD_get0_name(md), 0),
		OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, EVP_MD_get_size(md)),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, info, 2 + 1 + 6 + n + 1),
		OSSL_PARAM_END
	};

	info[0] = 0;
	info[1] = len;
	info[2] = 6 + n;
	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, n);
	info[9 + n] = 0;
	return derive("HKDF", params, out, len);
}

int key_from_secret(struct key *key, const struct cipher *cipher, const EVP_MD *md, const uint8_t *secret)
{
	int err = expand_label(md, secret, "key", key->key, cipher->key_len);

	return err ? err : expand_label(md, secret, "iv", key->iv, IV_MAX);
}

int key_from_master(struct key keys[2], const struct cipher *cipher, const EVP_MD *md, const uint8_t *master, size_t master_len,
		    const uint8_t *client_random, const uint8_t *server_random)
{
	uint8_t seed[13 + 32 + 32], block[2 * (KEY_MAX + IV_MAX)], *p = block;
	size_t iv_len = cipher->salt_len ? cipher->salt_len : IV_MAX;
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)EVP_MD_get0_name(md), 0),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SECRET, (void *)master, master_len),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
		OSSL_PARAM_END
	};
	int err;

	memcpy(seed, "key expansion", 13);
	memcpy(seed + 13, server_random, 32);
	memcpy(seed + 45, client_random, 32);
	err = derive("TLS1-PRF", params, block, 2 * (cipher->key_len + iv_len));
	for (int i = 0; i < 2; i++, p += cipher->key_len)
		memcpy(keys[i].key, p, cipher->key_len);
	for (int i = 0; i < 2; i++, p += iv_len)
		memcpy(keys[i].iv, p, iv_len);
	OPENSSL_cleanse(block, sizeof(block));
	return err;
}

static void put64(uint8_t *to, uint64_t n)
{
	for (int i = 7; i >= 0; i--, n >>= 8)
		to[i] = n;
}

/* salt and iv: the first 4 bytes and the rest of the nonce; in TLS 1.2 the rest is in each record */
#define FILL(to) do {							\
	memcpy((to).key, key->key, sizeof((to).key));			\
	memcpy((to).salt, key->iv, sizeof((to).salt));			\
	if (version == TLS_1_2_VERSION)					\
		put64((to).iv, nonce);					\
	else								\
		memcpy((to).iv, key->iv + 4, sizeof((to).iv));		\
	put64((to).rec_seq, seq);					\
} while (0)

size_t key_info(union crypto_info *info, const struct key *key, const struct cipher *cipher, unsigned int version, uint64_t seq,
		uint64_t nonce)
{
	memset(info, 0, sizeof(*info));
	info->head.version = version;
	info->head.cipher_type = cipher->type;
	switch (cipher->type) {
	case TLS_CIPHER_AES_GCM_128:
		FILL(info->gcm128);
		return sizeof(info->gcm128);
	case TLS_CIPHER_AES_GCM_256:
		FILL(info->gcm256);
		return sizeof(info->gcm256);
	default:
		memcpy(info->chacha.key, key->key, sizeof(info->chacha.key));
		memcpy(info->chacha.iv, key->iv, sizeof(info->chacha.iv));
		put64(info->chacha.rec_seq, seq);
		return sizeof(info->chacha);
	}
}
