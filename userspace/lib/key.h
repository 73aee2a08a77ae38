/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Sec-WebSocket-Key and Sec-WebSocket-Accept, by nettle. */
#ifndef KWS_KEY_H
#define KWS_KEY_H

#include <stdbool.h>

#define KEY_LEN		24	/* base64 of 16 bytes */
#define ACCEPT_LEN	28	/* base64 of 20 bytes */

/* RFC 6455 4.1: a fresh random key, terminated. Return: 0, or -errno of getrandom(). */
int key_make(char key[static KEY_LEN + 1]);

/* RFC 6455 4.2.1: is it base64 of 16 bytes? */
bool key_is_valid(const char *key);

/* RFC 6455 4.2.2: what answers the key, terminated. */
void key_accept(const char *key, char accept[static ACCEPT_LEN + 1]);

#endif
