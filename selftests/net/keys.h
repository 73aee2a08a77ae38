/* SPDX-License-Identifier: GPL-2.0 */
/* kTLS on both ends of a pair of sockets, with keys made up here: no handshake. */
#ifndef KEYS_H
#define KEYS_H

#include <linux/tls.h>
#include <sys/types.h>

#ifndef SOL_TLS
#define SOL_TLS	282
#endif

enum record { RECORD_CCS = 20, RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, RECORD_DATA = 23 };

/* The version that links are made over; 0: plain TCP. From KWS_TLS in the environment (1.2 or 1.3), or set by a program. */
extern unsigned int link_tls;

/* Which bytes are key, IV and salt of one direction does not matter: all of them are this one. */
static inline int tls_key_byte(int from_server)
{
	return from_server ? 0x51 : 0xc1;
}

/* TCP_ULP "tls" alone. */
void tls_attach(int fd);
/* The keys of one direction: TLS_TX or TLS_RX. @from_server: of what the server sends. */
int tls_set_key(int fd, int direction, unsigned int version, unsigned int cipher, int from_server);
/* All of it, AES-128-GCM. */
void tls_key(int fd, unsigned int version, int is_server);
/* A record of this type from the other end; the type it had. */
void tls_send_record(int fd, enum record type, const void *bytes, size_t len);
ssize_t tls_recv_record(int fd, enum record *type, void *bytes, size_t len, int flags);
/* The module's work items do nothing for a while. */
void tls_comes_to_rest_(void);
#define tls_comes_to_rest() HERE(tls_comes_to_rest_())

#endif
