// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Sec-WebSocket-Key and Sec-WebSocket-Accept, by nettle. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>

#include "key.h"

/* RFC 6455 1.3 */
static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

int key_make(char key[static KEY_LEN + 1])
{
	uint8_t nonce[16];

	/* Less than 256 bytes come whole, once the pool is ready. */
	while (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce))
		if (errno != EINTR)
			return -errno;
	base64_encode_raw(key, sizeof(nonce), nonce);
	key[KEY_LEN] = 0;
	return 0;
}

bool key_is_valid(const char *key)
{
	struct base64_decode_ctx ctx;
	uint8_t nonce[BASE64_DECODE_LENGTH(KEY_LEN)];
	size_t len = sizeof(nonce);

	if (strlen(key) != KEY_LEN)
		return false;
	base64_decode_init(&ctx);
	/* It would skip white space; then the 16 bytes do not come together. */
	return base64_decode_update(&ctx, &len, nonce, KEY_LEN, key) && base64_decode_final(&ctx) && len == 16;
}

void key_accept(const char *key, char accept[static ACCEPT_LEN + 1])
{
	uint8_t digest[SHA1_DIGEST_SIZE];
	struct sha1_ctx ctx;

	sha1_init(&ctx);
	sha1_update(&ctx, strlen(key), (const uint8_t *)key);
	sha1_update(&ctx, strlen(guid), (const uint8_t *)guid);
	sha1_digest(&ctx, sizeof(digest), digest);
	base64_encode_raw(accept, sizeof(digest), digest);
	accept[ACCEPT_LEN] = 0;
}
