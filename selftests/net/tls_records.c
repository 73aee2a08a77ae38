// SPDX-License-Identifier: GPL-2.0
/*
 * Records as other implementations of TLS make them and Linux' own does not: padded, empty, replayed, too long (RFC 8446 5, RFC 5246 6.2).
 * The peer makes them here byte by byte, with AES-128-GCM; what comes back it reads by kTLS.
 */
#include <nettle/gcm.h>

#include "keys.h"
#include "shapes.h"

#define HEADER		5
#define NONCE_1_2	8
#define CONTENT_MAX	16384
#define PLAIN		(&self->plain)

FIXTURE(tls_records) {
	struct link link;
	struct stream plain;	/* frames that are to stand in records */
	struct gcm_aes128_ctx gcm;
	unsigned long long number;
};

FIXTURE_VARIANT(tls_records) { struct shape shape; unsigned int version; };
FIXTURE_VARIANT_ADD(tls_records, tls12) { .shape = { SEGMENT_ALL, IPV4, false, false }, .version = TLS_1_2_VERSION };
FIXTURE_VARIANT_ADD(tls_records, tls13) { .shape = { SEGMENT_ALL, IPV6, false, false }, .version = TLS_1_3_VERSION };
FIXTURE_VARIANT_ADD(tls_records, tls13_cut) { .shape = { SEGMENT_SEVEN, IPV4, true, false }, .version = TLS_1_3_VERSION };
FIXTURE_VARIANT_ADD(tls_records, tls13_client) { .shape = { SEGMENT_ALL, IPV4, true, true }, .version = TLS_1_3_VERSION };

FIXTURE_SETUP(tls_records)
{
	struct websocket_config config = { .flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0 };
	unsigned char key[AES128_KEY_SIZE];
	struct link *l = LINK;

	link_tls = variant->version;
	link_open(l, &variant->shape);
	tls_key(l->ws, variant->version, !variant->shape.client);
	/* its TLS_TX is this program */
	tls_attach(l->peer);
	must(tls_set_key(l->peer, TLS_RX, variant->version, TLS_CIPHER_AES_GCM_128, !variant->shape.client));
	l->wire.tls = true;
	must(ws_attach_tls(l->ws, &config));
	stream_init(&self->plain, !variant->shape.client);
	memset(key, tls_key_byte(variant->shape.client), sizeof(key));
	gcm_aes128_set_key(&self->gcm, key);
	self->number = 0;
}

FIXTURE_TEARDOWN(tls_records)
{
	stream_free(&self->plain);
	link_close(LINK);
}

typedef FIXTURE_DATA(tls_records) records_t;

static void big_endian(unsigned char *to, unsigned long long value, unsigned int bytes)
{
	while (bytes--) {
		to[bytes] = value;
		value >>= 8;
	}
}

/* In place, and the tag behind it, which covers other bytes too. */
static void encrypt(records_t *r, unsigned char *text, size_t len, const unsigned char *also, size_t also_len)
{
	unsigned char nonce[GCM_IV_SIZE], number[8];
	unsigned int i;

	memset(nonce, tls_key_byte(r->link.shape.client), sizeof(nonce));
	big_endian(number, r->number++, 8);
	for (i = 0; i < 8; i++)
		nonce[4 + i] = link_tls == TLS_1_3_VERSION ? nonce[4 + i] ^ number[i] : number[i];
	gcm_aes128_set_iv(&r->gcm, sizeof(nonce), nonce);
	gcm_aes128_update(&r->gcm, also_len, also);
	gcm_aes128_encrypt(&r->gcm, len, text, text);
	gcm_aes128_digest(&r->gcm, GCM_DIGEST_SIZE, text + len);
}

/* A record behind what the peer writes next. Padding, which 1.2 does not have, is left out there. */
static void seal(records_t *r, unsigned char type, const void *content, size_t len, size_t padding)
{
	bool tls13 = link_tls == TLS_1_3_VERSION;
	unsigned int before = HEADER + (tls13 ? 0 : NONCE_1_2);
	size_t inner = len + (tls13 ? 1 + padding : 0), all = before + inner + GCM_DIGEST_SIZE;
	unsigned char *record = calloc(1, all), *text = record + before, also[13];

	check(record);
	record[0] = tls13 ? RECORD_DATA : type;
	record[1] = record[2] = 3;
	big_endian(record + 3, all - HEADER, 2);
	memcpy(text, content, len);
	if (tls13) {
		text[len] = type;
		encrypt(r, text, inner, record, HEADER);
	} else {
		big_endian(record + HEADER, r->number, NONCE_1_2);
		big_endian(also, r->number, 8);
		memcpy(also + 8, record, 3);
		big_endian(also + 11, inner, 2);
		encrypt(r, text, inner, also, sizeof(also));
	}
	stream_raw(&r->link.out, record, all);
	free(record);
}

/* All frames that were put, in records of so many bytes. */
static void seal_frames(records_t *r, size_t size, size_t padding)
{
	struct stream *s = &r->plain;
	size_t off, n;

	for (off = 0; off < s->len; off += n) {
		n = s->len - off < size ? s->len - off : size;
		seal(r, RECORD_DATA, s->bytes + off, n, padding);
	}
	stream_clear(s);
}

CASE(tls_records, padded_each_differently)
{
	char text[64];
	int i, round;

	for (round = 0; round < 10; round++) {
		for (i = 0; i < 20; i++) {
			snprintf(text, sizeof(text), "message %d of round %d", i, round);
			put(PLAIN, .opcode = OP_TEXT, .text = text);
			seal_frames(self, CONTENT_MAX, i * 13 % 300);
		}
		peer_write(LINK);
		for (i = 0; i < 20; i++) {
			snprintf(text, sizeof(text), "message %d of round %d", i, round);
			expect_text(LINK, text);
		}
	}
	expect_nothing(LINK);
}

/* Somebody else than a reader decrypts them; frames end within records. A ping that comes while a pong is encrypted may stand for others. */
CASE(tls_records, padded_while_nobody_reads)
{
	unsigned char i, last = 0;

	for (i = 1; i <= 10; i++) {
		put(PLAIN, .opcode = OP_PING, .payload = &i, .len = 1);
		put(PLAIN, .opcode = OP_TEXT, .text = "and so on");
		seal_frames(self, 9, i * 100);
	}
	peer_write(LINK);
	while (last != 10) {
		equal(WIRE_FRAME, wire_read(WIRE));
		equal(OP_PONG, self->link.wire.seen.opcode);
		check(self->link.wire.seen.payload[0] > last);
		last = self->link.wire.seen.payload[0];
	}
	for (i = 1; i <= 10; i++)
		expect_text(LINK, "and so on");
}

/* All that fits behind contents of each size. */
CASE(tls_records, padded_to_the_limit)
{
	static const size_t sizes[] = { 1, 100, 4096, 8191, 16000, 16383, CONTENT_MAX };
	unsigned char *bytes = new_pattern(20 * CONTENT_MAX, 5);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t len = 20 * sizes[i];

		put(PLAIN, .opcode = OP_BINARY, .payload = bytes, .len = len);
		seal_frames(self, sizes[i], CONTENT_MAX - sizes[i]);
		peer_feed(LINK);
		expect_parts(LINK, OP_BINARY, bytes, len, 7000);
		peer_fed(LINK);
	}
	free(bytes);
}

CASE(tls_records, empty_ones_between)
{
	int i;

	for (i = 0; i < 100; i++) {
		put(PLAIN, .opcode = OP_TEXT, .text = "between");
		seal_frames(self, 6, 0);
		seal(self, RECORD_DATA, "", 0, i);
		seal(self, RECORD_DATA, "", 0, 0);
	}
	peer_write(LINK);
	for (i = 0; i < 100; i++)
		expect_text(LINK, "between");
	expect_nothing(LINK);
}

/* There is nothing to read, and nobody is kept at work. */
CASE(tls_records, empty_ones_alone)
{
	int i;

	for (i = 0; i < 100; i++)
		seal(self, RECORD_DATA, "", 0, i * 7);
	peer_write(LINK);
	peer_settle(LINK);
	expect_nothing(LINK);
	tls_comes_to_rest();
	put(PLAIN, .opcode = OP_PING, .text = "still there");
	seal_frames(self, CONTENT_MAX, 0);
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "still there", 11);
}

CASE(tls_records, row62_without_a_type)
{
	static const unsigned char zeros[100];

	seal(self, 0, zeros, sizeof(zeros), 50);
	peer_write(LINK);
	expect_error(LINK, EBADMSG);
}

CASE(tls_records, row62_replayed)
{
	unsigned char alert[4];
	enum record type;
	int i;

	for (i = 0; i < 2; i++) {
		put(PLAIN, .opcode = OP_TEXT, .text = "once", .key = 7);
		self->number = 0;
		seal_frames(self, CONTENT_MAX, 0);
	}
	peer_write(LINK);
	expect_text(LINK, "once");
	expect_error(LINK, EBADMSG);
	equal(2, tls_recv_record(self->link.peer, &type, alert, sizeof(alert), 0));
	equal(RECORD_ALERT, type);
	equal(20, alert[1]);
}

/* RFC 8446 5.2, RFC 5246 6.2.1: more than 2^14 bytes. */
CASE(tls_records, row62_too_long)
{
	static const unsigned char bytes[CONTENT_MAX + 1];

	put(PLAIN, .opcode = OP_TEXT, .text = "before");
	seal_frames(self, CONTENT_MAX, 0);
	seal(self, RECORD_DATA, bytes, sizeof(bytes), 0);
	peer_write(LINK);
	expect_text(LINK, "before");
	expect_error(LINK, EBADMSG);
}

/* Of the message before it nothing is missing. */
CASE(tls_records, row62_cut_off)
{
	put(PLAIN, .opcode = OP_TEXT, .text = "whole");
	seal_frames(self, CONTENT_MAX, 0);
	put(PLAIN, .opcode = OP_TEXT, .text = "cut");
	seal_frames(self, CONTENT_MAX, 0);
	self->link.out.len -= 3;
	peer_write(LINK);
	must(shutdown(self->link.peer, SHUT_WR));
	expect_text(LINK, "whole");
	expect_end(LINK, 1006);
}

/* recvmmsg() leaves its error where TLS finds it when no whole record is there. It says nothing of the records. */
CASE(tls_records, error_of_recvmmsg_beside_part_of_a_record)
{
	char buffer[16];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct mmsghdr m[2] = { 0 };
	unsigned char end[3];
	ssize_t n;

	put(PLAIN, .opcode = OP_TEXT, .text = "one");
	seal_frames(self, CONTENT_MAX, 0);
	put(PLAIN, .opcode = OP_TEXT, .text = "two");
	seal_frames(self, CONTENT_MAX, 0);
	self->link.out.len -= sizeof(end);
	memcpy(end, self->link.out.bytes + self->link.out.len, sizeof(end));
	peer_write(LINK);
	peer_settle(LINK);
	m[0].msg_hdr = m[1].msg_hdr = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
	m[1].msg_hdr.msg_iovlen = 2000;
	equal(1, recvmmsg(self->link.ws, m, 2, 0, NULL));
	check(recv(self->link.ws, buffer, sizeof(buffer), MSG_DONTWAIT) == -1 && (errno == EMSGSIZE || errno == EAGAIN));
	stream_raw(OUT, end, sizeof(end));
	peer_write(LINK);
	while ((n = recv(self->link.ws, buffer, sizeof(buffer), 0)) == -1)
		equal(EMSGSIZE, errno);
	equal(3, n);
	check(!memcmp(buffer, "two", 3));
}

SELFTEST_MAIN
