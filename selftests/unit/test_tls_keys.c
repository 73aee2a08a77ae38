// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What libkws-tls would give to the kernel: keys, numbers of records and nonces; checked by decrypting, as the kernel would, what OpenSSL
 * sends next.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <openssl/hmac.h>

#include "certificate.h"
#include "tap.h"
#include "tls.h"

static char certificate[] = "/tmp/kws-tls.XXXXXX";

/* RFC 8448 3: the keys of application data */
static void rfc8448(void)
{
	static const uint8_t server[32] = {
		0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50, 0x32,
		0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43,
	};
	static const uint8_t key[16] = {
		0x9f, 0x02, 0x28, 0x3b, 0x6c, 0x9c, 0x07, 0xef, 0xc2, 0x6b, 0xb9, 0xf2, 0xac, 0x92, 0xe3, 0x56,
	};
	static const uint8_t iv[12] = { 0xcf, 0x78, 0x2b, 0x88, 0xdd, 0x83, 0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84 };
	union crypto_info info;
	struct key got;
	size_t len;

	CHECK(!key_from_secret(&got, key_cipher(NID_aes_128_gcm), EVP_sha256(), server), "derive");
	CHECK(!memcmp(got.key, key, sizeof(key)) && !memcmp(got.iv, iv, sizeof(iv)), "key and IV");
	len = key_info(&info, &got, key_cipher(NID_aes_128_gcm), TLS_1_3_VERSION, 0x0102030405060708, 0xffff);
	CHECK(len == sizeof(info.gcm128) && info.head.version == TLS_1_3_VERSION && info.head.cipher_type == TLS_CIPHER_AES_GCM_128, "head");
	CHECK(!memcmp(info.gcm128.key, key, 16) && !memcmp(info.gcm128.salt, iv, 4) && !memcmp(info.gcm128.iv, iv + 4, 8), "its parts");
	CHECK(!memcmp(info.gcm128.rec_seq, "\1\2\3\4\5\6\7\10", 8), "number");
	key_info(&info, &got, key_cipher(NID_aes_128_gcm), TLS_1_2_VERSION, 1, 0x1122334455667788);
	CHECK(!memcmp(info.gcm128.iv, "\x11\x22\x33\x44\x55\x66\x77\x88", 8), "the nonce of TLS 1.2");
}

/* RFC 5246 5: the PRF once more */
static void prf(const EVP_MD *md, const uint8_t *secret, const uint8_t *seed, size_t seed_len, uint8_t *out, size_t len)
{
	uint8_t a[64 + 100], block[64];
	unsigned int n = EVP_MD_get_size(md), an = n;

	HMAC(md, secret, 48, seed, seed_len, a, &an);
	for (size_t done = 0; done < len; done += n) {
		memcpy(a + n, seed, seed_len);
		HMAC(md, secret, 48, a, n + seed_len, block, &an);
		memcpy(out + done, block, len - done < n ? len - done : n);
		HMAC(md, secret, 48, a, n, block, &an);
		memcpy(a, block, n);
	}
}

static void key_block(void)
{
	static const int nids[] = { NID_aes_128_gcm, NID_aes_256_gcm, NID_chacha20_poly1305 };
	uint8_t master[48], random[2][32], seed[77], block[88], *p;
	struct key keys[2];

	memset(master, 7, sizeof(master));
	memset(random[0], 0xc1, 32);
	memset(random[1], 0x5e, 32);
	memcpy(seed, "key expansion", 13);
	memcpy(seed + 13, random[1], 32);
	memcpy(seed + 45, random[0], 32);
	for (unsigned int i = 0; i < ARRAY_SIZE(nids); i++) {
		const struct cipher *c = key_cipher(nids[i]);
		const EVP_MD *md = i == 1 ? EVP_sha384() : EVP_sha256();
		size_t iv = nids[i] == NID_chacha20_poly1305 ? 12 : 4;

		prf(md, master, seed, sizeof(seed), block, sizeof(block));
		CHECK(!key_from_master(keys, c, md, master, sizeof(master), random[0], random[1]), "derive");
		p = block;
		CHECK(!memcmp(keys[0].key, p, c->key_len) && !memcmp(keys[1].key, p + c->key_len, c->key_len), "keys of %d", nids[i]);
		p += 2 * c->key_len;
		CHECK(!memcmp(keys[0].iv, p, iv) && !memcmp(keys[1].iv, p + iv, iv), "IVs of %d", nids[i]);
	}
	CHECK(!key_cipher(NID_aes_128_cbc), "the kernel has no CBC");
}

/*
 * Two ends
 */

struct ends {
	struct kws_tls *tls[2];
	struct link *l[2];	/* client, server */
	int fd[2];
};

static bool small;

static void handshake(struct ends *e, int version, const char *cipher)
{
	struct kws_tls_options server = { .cert = certificate }, client = { .ca = certificate };
	int done[2] = { 1, 1 };

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, e->fd), "socketpair");
	e->tls[0] = kws_tls_client(&client);
	e->tls[1] = kws_tls_server(&server);
	SSL_CTX_set_min_proto_version(kws_tls_context(e->tls[0]), version);
	SSL_CTX_set_max_proto_version(kws_tls_context(e->tls[0]), version);
	if (version == TLS1_3_VERSION)
		SSL_CTX_set_ciphersuites(kws_tls_context(e->tls[0]), cipher);
	else
		SSL_CTX_set_cipher_list(kws_tls_context(e->tls[0]), cipher);
	e->l[0] = link_new(e->fd[0], e->tls[0], "localhost");
	e->l[1] = link_new(e->fd[1], e->tls[1], NULL);
	if (small)
		SSL_set_tlsext_max_fragment_length(e->l[0]->ssl, TLSEXT_max_fragment_length_512);
	for (int i = 0; i < 100 && (done[0] > 0 || done[1] > 0); i++)
		for (int k = 0; k < 2; k++)
			done[k] = done[k] > 0 ? link_begin(e->l[k]) : done[k];
	CHECK(!done[0] && !done[1], "%s: %s, %s", cipher, e->l[0]->why, e->l[1]->why);
	CHECK(SSL_version(e->l[0]->ssl) == version, "version");
}

static void end(struct ends *e)
{
	for (int i = 0; i < 2; i++) {
		link_free(e->l[i]);
		kws_tls_free(e->tls[i]);
		close(e->fd[i]);
	}
}

/* A record from the wire. */
static size_t record(int fd, uint8_t *buf)
{
	size_t n = recv(fd, buf, 5, MSG_WAITALL | MSG_DONTWAIT) == 5 ? buf[3] << 8 | buf[4] : 0;

	return n && recv(fd, buf + 5, n, MSG_WAITALL | MSG_DONTWAIT) == (ssize_t)n ? n + 5 : 0;
}

/* What the kernel does with a record and crypto_info. Return: bytes, -1: it is not authentic. */
static int decrypt(const struct key *key, int nid, int tls13, uint64_t seq, const uint8_t *rec, size_t len, uint8_t *out)
{
	const EVP_CIPHER *c = nid == NID_aes_128_gcm ? EVP_aes_128_gcm() : nid == NID_aes_256_gcm ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
	bool explicit = !tls13 && nid != NID_chacha20_poly1305;
	const uint8_t *body = rec + 5 + (explicit ? 8 : 0);
	int n = len - (body - rec) - 16, m, good;
	uint8_t nonce[12], aad[13];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	memcpy(nonce, key->iv, 12);
	if (explicit)
		memcpy(nonce + 4, rec + 5, 8);
	else
		for (int i = 0; i < 8; i++)
			nonce[4 + i] ^= seq >> (56 - 8 * i);
	for (int i = 0; i < 8; i++)
		aad[i] = seq >> (56 - 8 * i);
	memcpy(aad + 8, rec, 3);
	aad[11] = n >> 8;
	aad[12] = n;
	good = EVP_DecryptInit_ex(ctx, c, NULL, key->key, nonce) && EVP_DecryptUpdate(ctx, NULL, &m, tls13 ? rec : aad, tls13 ? 5 : 13) &&
	       EVP_DecryptUpdate(ctx, out, &m, body, n) && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(body + n)) &&
	       EVP_DecryptFinal_ex(ctx, out + n, &m) > 0;
	EVP_CIPHER_CTX_free(ctx);
	return good ? n - tls13 : -1;
}

/* What the kernel was told of both directions; it then says that it has no memory, so that OpenSSL goes on. */
static union crypto_info told[2];

int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	(void)fd;
	if (level == IPPROTO_TCP)
		return 0;
	if (level == SOL_TLS)
		memcpy(&told[name == TLS_TX ? WRITE : READ], val, len);
	errno = level == SOL_TLS ? ENOMEM : EUNATCH;
	return level == SOL_TLS && name == TLS_TX ? 0 : -1;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | p[i];
	return n;
}

/* The other way round than key_info(). */
static void as_told(enum direction d, struct key *key, uint64_t *seq, uint64_t *nonce)
{
	const union crypto_info *info = &told[d];

#define TAKE(from) (memcpy(key->key, (from).key, sizeof((from).key)), memcpy(key->iv, (from).salt, sizeof((from).salt)),	\
		    memcpy(key->iv + sizeof((from).salt), (from).iv, sizeof((from).iv)), *seq = get64((from).rec_seq),		\
		    *nonce = get64((from).iv))
	if (info->head.cipher_type == TLS_CIPHER_AES_GCM_128)
		TAKE(info->gcm128);
	else if (info->head.cipher_type == TLS_CIPHER_AES_GCM_256)
		TAKE(info->gcm256);
	else
		TAKE(info->chacha);
}

/* The next record of @from decrypts with what either side tells its kernel. */
static void next_record(struct ends *e, int from, int nid, int version)
{
	const char *text = from ? "from the server" : "from the client";
	uint64_t sent_seq, sent_nonce, seq, nonce;
	int n, tls13 = version == TLS1_3_VERSION;
	uint8_t rec[1000], plain[1000];
	struct key sender, receiver;
	size_t len;

	CHECK(kernel_keys(e->l[from]) == -ECONNABORTED, "%s", e->l[from]->why);
	as_told(WRITE, &sender, &sent_seq, &sent_nonce);
	CHECK(told[WRITE].head.version == (tls13 ? TLS_1_3_VERSION : TLS_1_2_VERSION), "version");
	CHECK(told[WRITE].head.cipher_type == key_cipher(nid)->type, "cipher");
	CHECK(kernel_keys(e->l[!from]) == -ECONNABORTED, "%s", e->l[!from]->why);
	as_told(READ, &receiver, &seq, &nonce);
	CHECK(link_send(e->l[from], text, 15) == 15, "send");
	/* the client has not read the server's ticket */
	len = record(e->fd[!from], rec);
	for (; seq < sent_seq; seq++) {
		CHECK(decrypt(&receiver, nid, tls13, seq, rec, len, plain) > 0, "record %d before it", (int)seq);
		len = record(e->fd[!from], rec);
	}
	for (int i = 0; i < 2; i++) {
		n = decrypt(i ? &receiver : &sender, nid, tls13, i ? seq : sent_seq, rec, len, plain);
		CHECK(n == 15 && !memcmp(plain, text, 15), "record %d %s: %d", (int)seq, text, n);
	}
	CHECK(decrypt(&sender, nid, tls13, sent_seq + 1, rec, len, plain) < 0, "another number");
	if (!tls13 && nid != NID_chacha20_poly1305)
		CHECK(get64(rec + 5) == sent_nonce, "the nonce: %llx for %llx", (unsigned long long)get64(rec + 5), (unsigned long long)sent_nonce);
}

static void live(void)
{
	static const struct { int version, nid; const char *name; } ciphers[] = {
		{ TLS1_3_VERSION, NID_aes_128_gcm, "TLS_AES_128_GCM_SHA256" },
		{ TLS1_3_VERSION, NID_aes_256_gcm, "TLS_AES_256_GCM_SHA384" },
		{ TLS1_3_VERSION, NID_chacha20_poly1305, "TLS_CHACHA20_POLY1305_SHA256" },
		{ TLS1_2_VERSION, NID_aes_128_gcm, "ECDHE-ECDSA-AES128-GCM-SHA256" },
		{ TLS1_2_VERSION, NID_aes_256_gcm, "ECDHE-ECDSA-AES256-GCM-SHA384" },
		{ TLS1_2_VERSION, NID_chacha20_poly1305, "ECDHE-ECDSA-CHACHA20-POLY1305" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(ciphers); i++) {
		for (int from = 0; from < 2; from++) {
			struct ends e;

			handshake(&e, ciphers[i].version, ciphers[i].name);
			next_record(&e, from, ciphers[i].nid, ciphers[i].version);
			end(&e);
		}
	}
}

/* Keys that change after the handshake cannot be given away; it shows. */
static void key_update(void)
{
	struct ends e;
	char buf[10];

	handshake(&e, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	CHECK(!e.l[1]->rekeyed, "not yet");
	SSL_key_update(e.l[0]->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
	CHECK(link_send(e.l[0], "x", 1) == 1 && link_recv(e.l[1], buf, sizeof(buf), 0) == 1, "data after it");
	CHECK(e.l[0]->rekeyed && e.l[1]->rekeyed, "both know");
	end(&e);
}

/* What the kernel would deliver is made up here. */
static struct { uint8_t type, bytes[100]; size_t len; unsigned int times; } records;

ssize_t recvmsg(int fd, struct msghdr *mh, int flags)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(mh);
	size_t n = records.len < mh->msg_iov->iov_len ? records.len : mh->msg_iov->iov_len;

	(void)fd;
	if (!records.times) {
		errno = EAGAIN;
		return -1;
	}
	records.times -= !(flags & MSG_PEEK);
	memcpy(mh->msg_iov->iov_base, records.bytes, n);
	*c = (struct cmsghdr){ .cmsg_level = SOL_TLS, .cmsg_type = TLS_GET_RECORD_TYPE, .cmsg_len = CMSG_LEN(1) };
	*CMSG_DATA(c) = records.type;
	return n;
}

static void expect_record(const char *name, uint8_t type, const char *bytes, size_t len, unsigned int times, ssize_t result)
{
	struct link l = { 0 };
	char buf[1000];
	ssize_t n;

	records.type = type;
	memcpy(records.bytes, bytes, len);
	records.len = len;
	records.times = times;
	n = kernel_recv(&l, buf, sizeof(buf), MSG_PEEK);
	CHECK(n == result, "%s: %zd", name, n);
}

/* Between the TLS handshake and the end of HTTP what is no data has to be seen to; also if there is no end of it. */
static void records_that_are_no_data(void)
{
	expect_record("data", 23, "GET", 3, 1, 3);
	expect_record("a ticket", 22, "\4\0\0\3abc", 7, 1, -EAGAIN);
	expect_record("two in one", 22, "\4\0\0\3abc\4\0\0\1x", 12, 1, -EAGAIN);
	expect_record("one that is cut", 22, "\4\0\0\12abc", 7, 2, -EAGAIN);
	expect_record("tickets without end", 22, "\4\0\0\3abc", 7, 1000000, -EBADMSG);
	expect_record("KeyUpdate", 22, "\30\0\0\1\0", 5, 1, -EKEYEXPIRED);
	expect_record("a ClientHello", 22, "\1\0\0\1\0", 5, 1, -EKEYEXPIRED);
	expect_record("close_notify", 21, "\1\0", 2, 1, 0);
	expect_record("an alert", 21, "\2\50", 2, 1, -ECONNABORTED);
	expect_record("user_canceled", 21, "\1\132", 2, 1, -EAGAIN);
	expect_record("half an alert", 21, "\1", 1, 1, -EBADMSG);
	expect_record("another type", 24, "\1\0", 2, 1, -EBADMSG);
}

/* RFC 6066 4: records of at most 512 bytes */
static void max_fragment_length(void)
{
	struct ends e;

	small = true;
	handshake(&e, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	small = false;
	for (int i = 0; i < 2; i++)
		CHECK(kernel_keys(e.l[i]) == -EOPNOTSUPP && strstr(e.l[i]->why, "small records"), "%s", e.l[i]->why);
	end(&e);
}

static const struct tap_test tests[] = {
	{ "RFC 8448: keys of TLS 1.3", rfc8448 },
	{ "RFC 5246: the key block, against another PRF", key_block },
	{ "the next record of either side decrypts: 2 versions, 3 ciphers", live },
	{ "a KeyUpdate is seen", key_update },
	{ "a peer that wants small records is not for the kernel", max_fragment_length },
	{ "records that are no data, before HTTP is over", records_that_are_no_data },
};

int main(void)
{
	int status;

	make_certificate(certificate, "DNS:localhost");
	status = tap_run(tests, ARRAY_SIZE(tests));
	unlink(certificate);
	return status;
}
