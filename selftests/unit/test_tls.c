// SPDX-License-Identifier: GPL-2.0 OR MIT
/* wss without the kernel's help: handshakes, also with those who do not mean well, and the library's engine over OpenSSL. */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/tls.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "certificate.h"
#include "kws_tls.h"
#include "tap.h"

static char certificate[] = "/tmp/kws-tls.XXXXXX", other[] = "/tmp/kws-tls.XXXXXX";
static struct kws_tls *server_tls;
static int listener;
static char url[60];

/*
 * The kernel's part is played here: what it refuses
 */

enum step { NO_MODULE, NO_TLS, NO_CIPHER, ONE_KEY } refuses;

static int answer(int error)
{
	errno = error;
	return error ? -1 : 0;
}

int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	if (level == SOL_IP && name == WEBSOCKET_ATTACH)
		return answer(refuses == NO_MODULE ? ENOPROTOOPT : EUNATCH);
	if (level == IPPROTO_TCP && name == TCP_ULP)
		return answer(refuses == NO_TLS ? ENOENT : 0);
	if (level == SOL_TLS && name == TLS_TX)
		return answer(refuses == NO_CIPHER ? ENOENT : 0);
	if (level == SOL_TLS)
		return answer(ENOMEM);
	return syscall(SYS_setsockopt, fd, level, name, val, len);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static void listen_on_loopback(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&addr, len) || listen(listener, 16) || getsockname(listener, (struct sockaddr *)&addr, &len)) {
		printf("Bail out! loopback\n");
		exit(1);
	}
	snprintf(url, sizeof(url), "wss://localhost:%d/", ntohs(addr.sin_port));
}

/*
 * A server in a thread, for one connection
 */

struct server {
	pthread_t thread;
	struct kws_options opt;
	char why[200];
	int error;		/* of the handshake */
	uint16_t close_code;
	ssize_t last;		/* what ended the loop */
};

static void *serve(void *arg)
{
	static _Thread_local char buf[1 << 16];
	struct server *s = arg;
	int fd = accept(listener, NULL, NULL);
	struct kws_conn *c = kws_tls_conn_accept(fd, server_tls, &s->opt);
	struct kws_message msg;
	int on = 0;

	s->error = c ? 0 : errno;
	if (!c) {
		close(fd);
		return NULL;
	}
	CHECK(kws_conn_engine(c) == KWS_ENGINE_USER, "which engine");
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, &(socklen_t){ sizeof(on) }) && on, "an urgent byte would be taken out");
	while ((s->last = kws_conn_recv(c, buf, sizeof(buf), 0, &msg)) >= 0 && !kws_is_end(&msg))
		if (kws_conn_send(c, msg.begin ? msg.opcode : 0, buf, s->last, msg.end ? 0 : MSG_MORE) != s->last)
			break;
	s->close_code = msg.close_code;
	kws_conn_free(c);
	return NULL;
}

static void begin(struct server *s, unsigned int timeout_ms)
{
	memset(s, 0, sizeof(*s));
	s->opt = (struct kws_options){ .timeout_ms = timeout_ms, .why = s->why, .why_size = sizeof(s->why) };
	pthread_create(&s->thread, NULL, serve, s);
}

static void join(struct server *s)
{
	pthread_join(s->thread, NULL);
}

static struct kws_tls *client_tls(const char *ca, int version)
{
	struct kws_tls_options opt = { .ca = ca };
	struct kws_tls *tls = kws_tls_client(&opt);

	if (version) {
		SSL_CTX_set_min_proto_version(kws_tls_context(tls), version);
		SSL_CTX_set_max_proto_version(kws_tls_context(tls), version);
	}
	return tls;
}

static int connect_raw(void)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	getsockname(listener, (struct sockaddr *)&addr, &len);
	CHECK(!connect(fd, (struct sockaddr *)&addr, len), "connect");
	return fd;
}

/*
 * Messages
 */

static void echo(struct kws_conn *c, int opcode, size_t size)
{
	char *sent = malloc(size + 1), *got = malloc(size + 1);
	struct kws_message msg = { 0 };
	size_t done = 0;
	ssize_t n;

	for (size_t i = 0; i < size; i++)
		sent[i] = 'a' + i % 23;
	n = kws_conn_send(c, opcode, sent, size, 0);
	CHECK(n == (ssize_t)size, "%zd of %zu sent", n, size);
	do {
		n = kws_conn_recv(c, got + done, size + 1 - done, 0, &msg);
		done += n > 0 ? n : 0;
	} while (n > 0 && !msg.end);
	CHECK(msg.end && msg.opcode == opcode && done == size && !memcmp(sent, got, size), "%zu came back as %zu: %zd", size, done, n);
	free(sent);
	free(got);
}

static void talk(int version)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 16379, 16380, 16384, 16385, 70000, 1 << 20 };
	struct kws_tls *tls = client_tls(certificate, version);
	struct kws_message msg;
	struct server s;
	struct kws_conn *c;
	char buf[10];

	begin(&s, 5000);
	c = kws_tls_conn_connect(url, tls, NULL);
	CHECK(c, "connect: %s, server: %s", strerror(errno), s.why);
	if (c) {
		for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
			echo(c, i % 2 ? WEBSOCKET_OP_TEXT : WEBSOCKET_OP_BINARY, sizes[i]);
		CHECK(!kws_conn_close(c, 1001, "bye"), "close");
		CHECK(kws_conn_recv(c, buf, sizeof(buf), 0, &msg) == 0 && kws_is_end(&msg) && msg.close_code == 1001, "end: %d", msg.close_code);
	}
	kws_conn_free(c);
	join(&s);
	CHECK(!s.error && s.close_code == 1001, "server: %d, %d", s.error, s.close_code);
	kws_tls_free(tls);
}

static void tls13(void)
{
	talk(TLS1_3_VERSION);
}

static void tls12(void)
{
	talk(TLS1_2_VERSION);
}

/* Both sides send more than the sockets hold before either reads: nothing is lost, repeated or out of order. */
static void both_ways_full(void)
{
	struct kws_tls *tls = client_tls(certificate, 0);
	struct kws_message msg;
	struct kws_conn *c;
	struct server s;
	static char buf[100000];
	unsigned int sent = 0, got = 0;
	ssize_t n;

	begin(&s, 5000);
	c = kws_tls_conn_connect(url, tls, NULL);
	while (c && got < 300) {
		struct pollfd p = { kws_conn_fd(c), kws_conn_events(c), 0 };

		if (sent < 300) {
			memset(buf, sent, 5000 + 97 * sent);
			n = kws_conn_send(c, WEBSOCKET_OP_BINARY, buf, 5000 + 97 * sent, MSG_DONTWAIT);
			CHECK(n == -EAGAIN || n == 5000 + 97 * sent, "%zd", n);
			sent += n > 0;
			if (n > 0)
				continue;
		}
		n = kws_conn_recv(c, buf, sizeof(buf), MSG_DONTWAIT, &msg);
		if (n == -EAGAIN) {
			p.events = kws_conn_events(c);
			CHECK(poll(&p, 1, 5000) == 1, "stuck with %u sent, %u received", sent, got);
			if (!p.revents)
				break;
			continue;
		}
		CHECK(n == 5000 + 97 * got && msg.end && buf[0] == (char)got && buf[n - 1] == (char)got, "%zd for %u", n, got);
		if (n < 0)
			break;
		got++;
	}
	CHECK(got == 300, "%u came back", got);
	kws_conn_free(c);
	join(&s);
	kws_tls_free(tls);
}

/*
 * Certificates
 */

static void expect_refusal(struct kws_tls *tls, const char *to, const char *why_has)
{
	char why[200] = "";
	struct kws_options opt = { .why = why, .why_size = sizeof(why), .timeout_ms = 5000 };
	struct server s;
	struct kws_conn *c;

	begin(&s, 5000);
	c = kws_tls_conn_connect(to, tls, &opt);
	CHECK(!c && errno == EKEYREJECTED && strstr(why, why_has), "%s: %s, %s", to, strerror(errno), why);
	kws_conn_free(c);
	join(&s);
	CHECK(s.error == ECONNABORTED || s.error == ECONNRESET, "server: %d, %s", s.error, s.why);
}

static void certificates(void)
{
	struct kws_tls *tls = client_tls(other, 0), *trusting = client_tls(certificate, 0);
	char by_address[60];
	struct server s;
	struct kws_conn *c;

	snprintf(by_address, sizeof(by_address), "wss://127.0.0.1%s", strrchr(url, ':'));
	expect_refusal(tls, url, "self-signed");
	expect_refusal(NULL, url, "self-signed");
	/* it is for the name alone */
	expect_refusal(trusting, by_address, "IP address mismatch");
	kws_tls_free(tls);
	tls = kws_tls_client(&(struct kws_tls_options){ .flags = KWS_TLS_F_INSECURE });
	begin(&s, 5000);
	c = kws_tls_conn_connect(by_address, tls, NULL);
	CHECK(c, "without a check: %s", strerror(errno));
	if (c)
		echo(c, WEBSOCKET_OP_TEXT, 5);
	kws_conn_free(c);
	join(&s);
	kws_tls_free(tls);
	kws_tls_free(trusting);
}

static void expect_no_context(struct kws_tls *tls, int error, const char *why, const char *why_has)
{
	CHECK(!tls && errno == error && strstr(why, why_has), "%s: %s", strerror(errno), why);
	kws_tls_free(tls);
}

static void contexts(void)
{
	static const char encrypted[] = "/tmp/kws-tls-encrypted.XXXXXX";
	char why[200] = "", path[sizeof(encrypted)];
	struct kws_tls_options opt = { .why = why, .why_size = sizeof(why) };
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *f;

	expect_no_context(kws_tls_server(&opt), EINVAL, why, "no certificate");
	opt.cert = "/nonexistent";
	expect_no_context(kws_tls_server(&opt), ENOENT, why, "/nonexistent: No such file");
	opt.cert = "/etc/passwd";
	expect_no_context(kws_tls_server(&opt), EKEYREJECTED, why, "/etc/passwd: ");
	opt.cert = certificate;
	opt.key = other;
	expect_no_context(kws_tls_server(&opt), EKEYREJECTED, why, "key values mismatch");
	strcpy(path, encrypted);
	f = fdopen(mkstemp(path), "w");
	PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), (unsigned char *)"secret", 6, NULL, NULL);
	fclose(f);
	EVP_PKEY_free(key);
	opt.key = path;
	expect_no_context(kws_tls_server(&opt), EKEYREJECTED, why, path);
	CHECK(strstr(why, "no private key that is not encrypted"), "%s", why);
	unlink(path);
	for (int i = 0; i < 3; i++) {
		opt.key = (const char *[]){ "/etc/passwd", "/dev/null", "/nonexistent" }[i];
		expect_no_context(kws_tls_server(&opt), i < 2 ? EKEYREJECTED : ENOENT, why, i < 2 ? "no private key" : "No such file");
	}
	/* of another type than the certificate's */
	key = EVP_RSA_gen(2048);
	strcpy(path, encrypted);
	f = fdopen(mkstemp(path), "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	EVP_PKEY_free(key);
	opt.key = path;
	expect_no_context(kws_tls_server(&opt), EKEYREJECTED, why, "not the key of the certificate");
	opt.flags = KWS_TLS_F_INSECURE;
	expect_no_context(kws_tls_client(&opt), EKEYREJECTED, why, "not the key of the certificate");
	unlink(path);
	opt.key = NULL;
	opt.flags = KWS_TLS_F_INSECURE;
	expect_no_context(kws_tls_server(&opt), EINVAL, why, "bad options");
	opt = (struct kws_tls_options){ .why = why, .why_size = sizeof(why), .ca = "/nonexistent" };
	expect_no_context(kws_tls_client(&opt), ENOENT, why, "/nonexistent: No such file");
}

/* Where the kernel has to do it and cannot, nobody hangs: the client gets 503. */
static void *serve_kernel(void *arg)
{
	struct server *s = arg;
	int fd = accept(listener, NULL, NULL);

	s->error = -kws_tls_accept(fd, server_tls, &s->opt);
	close(fd);
	return NULL;
}

static void refused_by_the_kernel(enum step step, int error, const char *why_has)
{
	char why[200] = "";
	struct kws_options opt = { .why = why, .why_size = sizeof(why) };
	struct kws_tls *tls = client_tls(certificate, 0);
	struct server s = { .opt = { .why = s.why, .why_size = sizeof(s.why) } };
	struct kws_conn *c;
	int fd;

	refuses = step;
	pthread_create(&s.thread, NULL, serve_kernel, &s);
	c = kws_tls_conn_connect(url, tls, &opt);
	if (step == ONE_KEY)
		CHECK(!c && errno == ECONNRESET, "the client of %d: %s, %s", step, strerror(errno), why);
	else
		CHECK(!c && errno == ECONNREFUSED && strstr(why, "503"), "the client of %d: %s, %s", step, strerror(errno), why);
	join(&s);
	CHECK(s.error == error && strstr(s.why, why_has), "the server: %d, %s", s.error, s.why);

	begin(&s, 5000);
	fd = kws_tls_connect(url, tls, &opt);
	CHECK(fd == -error && strstr(why, why_has), "a client: %d, %s", fd, why);
	join(&s);
	CHECK(s.error == ECONNRESET, "its server: %d, %s", s.error, s.why);
	kws_tls_free(tls);
	refuses = NO_MODULE;
}

/* The same, where it need not be the kernel: it goes on without, unless it is too late. */
static void falls_back(enum step step)
{
	struct kws_tls *tls = client_tls(certificate, 0);
	struct server s;
	struct kws_conn *c;

	begin(&s, 5000);
	unsetenv("KWS_ENGINE");
	refuses = step;
	c = kws_tls_conn_connect(url, tls, NULL);
	CHECK(!c == (step == ONE_KEY), "step %d: %s", step, strerror(errno));
	if (c)
		echo(c, WEBSOCKET_OP_TEXT, 20000);
	kws_conn_free(c);
	join(&s);
	refuses = NO_MODULE;
	setenv("KWS_ENGINE", "user", 1);
	kws_tls_free(tls);
}

static void without_the_kernel(void)
{
	refused_by_the_kernel(NO_MODULE, ENOENT, "modprobe websocket");
	refused_by_the_kernel(NO_TLS, ENOENT, "modprobe tls");
	refused_by_the_kernel(NO_CIPHER, EOPNOTSUPP, "does not take the keys of TLS_");
	refused_by_the_kernel(ONE_KEY, ECONNABORTED, "only one of the keys");
	for (enum step step = NO_MODULE; step <= ONE_KEY; step++)
		falls_back(step);
}

/*
 * Peers that do not mean well
 */

/* Whatever it sends and however it ends, the server is done in its time. */
static void bad_client(const char *name, const void *bytes, size_t len, int how, int error)
{
	struct linger now_ = { .l_onoff = 1 };
	uint64_t start = now();
	struct server s;
	int fd;

	begin(&s, 400);
	fd = connect_raw();
	CHECK(send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len, "%s: send", name);
	if (how == 'r')
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now_, sizeof(now_));
	if (how == 'e')
		shutdown(fd, SHUT_WR);
	else if (how != 's')
		close(fd);
	join(&s);
	if (how == 's' || how == 'e')
		close(fd);
	CHECK(s.error == error, "%s: %d, %s", name, s.error, s.why);
	CHECK(now() - start < 3000, "%s: took %d ms", name, (int)(now() - start));
}

static void bad_clients(void)
{
	static const char hello[] = "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";
	static const char huge[] = "\x16\x03\x01\xff\xff\x01\xff\xff\xff";
	static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

	bad_client("says nothing", "", 0, 's', ETIMEDOUT);
	bad_client("stops in the middle", hello, sizeof(hello) - 1, 's', ETIMEDOUT);
	bad_client("leaves at once", "", 0, 'c', ECONNRESET);
	bad_client("ends at once", "", 0, 'e', ECONNRESET);
	bad_client("leaves in the middle", hello, sizeof(hello) - 1, 'c', ECONNRESET);
	bad_client("resets in the middle", hello, sizeof(hello) - 1, 'r', ECONNRESET);
	bad_client("a record too large", huge, sizeof(huge) - 1, 's', ECONNABORTED);
	bad_client("speaks HTTP", http, sizeof(http) - 1, 's', ECONNABORTED);
	bad_client("zeros", (char[4096]){ 0 }, 4096, 's', ECONNABORTED);
}

/* One that comes to OpenSSL byte by byte, but not to an end. */
static void slow_client(void)
{
	static const char hello[] = "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";
	uint64_t start = now();
	struct server s;
	int fd;

	begin(&s, 500);
	fd = connect_raw();
	for (unsigned int i = 0; i < 200 && send(fd, &hello[i % 11], 1, MSG_NOSIGNAL) == 1 && now() - start < 2000; i++)
		usleep(20000);
	join(&s);
	close(fd);
	CHECK(s.error == ETIMEDOUT || s.error == ECONNABORTED, "%d, %s", s.error, s.why);
	CHECK(now() - start < 3000, "took %d ms", (int)(now() - start));
}

/* An OpenSSL client on a socket; @alpn: what it offers, NULL: nothing. */
static SSL *openssl_client(SSL_CTX **ctx, int version, const char *alpn)
{
	int fd = connect_raw();
	SSL *ssl;

	*ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(*ctx, version);
	SSL_CTX_set_min_proto_version(*ctx, version < TLS1_2_VERSION ? version : TLS1_2_VERSION);
	SSL_CTX_set_security_level(*ctx, 0);
	ssl = SSL_new(*ctx);
	if (alpn)
		SSL_set_alpn_protos(ssl, (const unsigned char *)alpn, strlen(alpn));
	SSL_set_fd(ssl, fd);
	return ssl;
}

static void openssl_end(SSL *ssl, SSL_CTX *ctx)
{
	close(SSL_get_fd(ssl));
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	ERR_clear_error();
}

static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/* What a proxy says comes before TLS, in the same segment. */
static void behind_a_proxy(void)
{
	static const char line[] = "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n";
	char answer[1000];
	struct server s;
	SSL_CTX *ctx;
	SSL *ssl;

	memset(&s, 0, sizeof(s));
	s.opt = (struct kws_options){ .flags = KWS_F_PROXY, .timeout_ms = 5000, .why = s.why, .why_size = sizeof(s.why) };
	pthread_create(&s.thread, NULL, serve, &s);
	ssl = openssl_client(&ctx, TLS1_3_VERSION, NULL);
	send(SSL_get_fd(ssl), line, sizeof(line) - 1, MSG_MORE);
	CHECK(SSL_connect(ssl) == 1 && SSL_write(ssl, request, sizeof(request) - 1) > 0, "connect");
	CHECK(SSL_read(ssl, answer, sizeof(answer)) > 12 && !memcmp(answer, "HTTP/1.1 101", 12), "answer");
	openssl_end(ssl, ctx);
	join(&s);
	CHECK(!s.error, "%d, %s", s.error, s.why);
}

/* Frames in the record of the request's end; byte by byte too. */
static void frames_with_the_request(void)
{
	char all[sizeof(request) + 20], answer[1000] = "";
	size_t len = sizeof(request) - 1, got;

	memcpy(all, request, len);
	memcpy(all + len, "\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0", 14);
	len += 14;
	for (int step = 1; step <= 1000; step *= 1000) {
		struct server s;
		SSL_CTX *ctx;
		SSL *ssl;
		int n;

		begin(&s, 5000);
		ssl = openssl_client(&ctx, TLS1_3_VERSION, NULL);
		CHECK(SSL_connect(ssl) == 1, "connect");
		for (size_t i = 0; i < len; i += step)
			SSL_write(ssl, all + i, len - i < (size_t)step ? len - i : (size_t)step);
		for (got = 0; got < sizeof(answer) - 1 && (n = SSL_read(ssl, answer + got, sizeof(answer) - 1 - got)) > 0; got += n)
			;
		CHECK(got > 6 && !memcmp(answer + got - 6, "\x81\x02hi\x88\0", 6), "%zu bytes: %s", got, answer);
		CHECK(SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN, "close_notify at the end");
		openssl_end(ssl, ctx);
		join(&s);
		CHECK(!s.error && s.close_code == 1005, "%d, %d", s.error, s.close_code);
	}
}

static void handshakes(void)
{
	static const struct { const char *name, *alpn; int version, good; } cases[] = {
		{ "without ALPN", NULL, TLS1_3_VERSION, 1 },
		{ "http/1.1", "\x08http/1.1", TLS1_3_VERSION, 1 },
		{ "h2 and http/1.1", "\x02h2\x08http/1.1", TLS1_2_VERSION, 1 },
		{ "h2 alone", "\x02h2", TLS1_3_VERSION, 0 },
		{ "TLS 1.1", NULL, TLS1_1_VERSION, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		const unsigned char *chosen;
		unsigned int len;
		struct server s;
		SSL_CTX *ctx;
		SSL *ssl;
		int n;

		begin(&s, 5000);
		ssl = openssl_client(&ctx, cases[i].version, cases[i].alpn);
		n = SSL_connect(ssl);
		SSL_get0_alpn_selected(ssl, &chosen, &len);
		CHECK((n == 1) == cases[i].good, "%s: %d", cases[i].name, n);
		CHECK(len == (cases[i].good && cases[i].alpn ? 8 : 0), "%s: chosen %.*s", cases[i].name, (int)len, chosen);
		openssl_end(ssl, ctx);
		join(&s);
		CHECK(s.error == (cases[i].good ? ECONNRESET : ECONNABORTED), "%s: %d, %s", cases[i].name, s.error, s.why);
	}
}

/* In an open connection: a broken record, an alert, FIN without close_notify; each as over the kernel's TLS. */
static void endings(void)
{
	static const struct { const char *name; int how; ssize_t last; } cases[] = {
		{ "a broken record", 'b', -EBADMSG }, { "renegotiation is refused, which the client answers with an alert", 'a', -ECONNABORTED }, { "FIN alone", 'f', 0 },
		{ "close_notify", 'n', 0 }, { "reset", 'r', -ECONNRESET }, { "KeyUpdate, which OpenSSL can", 'k', 0 },
	};
	char answer[1000];

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct linger reset = { .l_onoff = 1 };
		struct server s;
		SSL_CTX *ctx;
		SSL *ssl;
		int fd, n = 0;

		begin(&s, 5000);
		ssl = openssl_client(&ctx, cases[i].how == 'a' ? TLS1_2_VERSION : TLS1_3_VERSION, NULL);
		fd = SSL_get_fd(ssl);
		CHECK(SSL_connect(ssl) == 1 && SSL_write(ssl, request, sizeof(request) - 1) > 0, "connect");
		while (n <= 0)
			n = SSL_read(ssl, answer, sizeof(answer));
		if (cases[i].how == 'b')
			send(fd, "\x17\x03\x03\0\x20this can not be a record of TLS.", 37, 0);
		else if (cases[i].how == 'a')
			SSL_renegotiate(ssl), SSL_do_handshake(ssl);
		else if (cases[i].how == 'n')
			SSL_shutdown(ssl);
		else if (cases[i].how == 'k')
			SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), SSL_write(ssl, "\x81\x80\0\0\0\0", 6), SSL_read(ssl, answer, 100);
		else if (cases[i].how == 'r')
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		openssl_end(ssl, ctx);
		join(&s);
		CHECK(!s.error && s.last == cases[i].last, "%s: %zd, %d %s", cases[i].name, s.last, s.error, s.why);
		CHECK(s.last < 0 || s.close_code == 1006, "%s: close code %d", cases[i].name, s.close_code);
	}
}

static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int before;

static void nothing_is_left(void)
{
	CHECK(descriptors() == before, "%d descriptors, %d before", descriptors(), before);
	CHECK(!ERR_peek_error(), "an error is left: %s", ERR_reason_error_string(ERR_peek_error()));
}

static void urls(void)
{
	struct kws_tls *tls = client_tls(certificate, 0);
	char name[400] = "wss://";

	memset(name + 6, 'a', 300);
	CHECK(!kws_tls_connect_start(0, "ws://localhost/", tls, NULL) && errno == EINVAL, "ws over TLS");
	CHECK(!kws_tls_connect_start(0, "wss://a b/", tls, NULL) && errno == EINVAL, "no URL");
	CHECK(!kws_tls_connect_start(0, name, tls, NULL) && errno == EINVAL, "a name that is too long");
	CHECK(!kws_tls_connect_start(0, "wss://localhost/", server_tls, NULL) && errno == EINVAL, "a server's context");
	CHECK(!kws_tls_accept_start(0, tls, NULL) && errno == EINVAL, "a client's context");
	CHECK(kws_tls_connect("http://localhost/", tls, NULL) == -EINVAL, "http");
	CHECK(kws_tls_accept(0, server_tls, &(struct kws_options){ .flags = KWS_F_NO_START }) == -EINVAL, "KWS_F_NO_START");
	kws_tls_free(tls);
}

/* @result: what the call returned, or minus its errno */
static void expect_why(const char *call, int result, char *why, const char *why_has)
{
	CHECK(result == -EINVAL && *why && strstr(why, why_has), "%s: %d, \"%s\"", call, result, why);
	*why = 0;
}

/* Those that fail before there is a handshake say why, too. */
static void options(void)
{
	char why[200] = "";
	struct kws_options twice = { .subprotocols = "a,a", .why = why, .why_size = sizeof(why) };
	struct kws_options not_started = { .flags = KWS_F_NO_START, .why = why, .why_size = sizeof(why) };
	struct kws_options good = { .why = why, .why_size = sizeof(why) };
	struct kws_tls *tls = client_tls(certificate, 0);

	expect_why("accept", kws_tls_accept(0, server_tls, &twice), why, ": a,a");
	expect_why("conn_accept", kws_tls_conn_accept(0, server_tls, &twice) ? 0 : -errno, why, ": a,a");
	expect_why("connect", kws_tls_connect(url, tls, &twice), why, ": a,a");
	expect_why("conn_connect", kws_tls_conn_connect(url, tls, &twice) ? 0 : -errno, why, ": a,a");
	expect_why("accept", kws_tls_accept(0, server_tls, &not_started), why, "KWS_F_NO_START");
	expect_why("connect", kws_tls_connect(url, tls, &not_started), why, "KWS_F_NO_START");
	expect_why("accept", kws_tls_accept(0, tls, &good), why, "Invalid argument");
	expect_why("conn_accept", kws_tls_conn_accept(0, tls, &good) ? 0 : -errno, why, "Invalid argument");
	kws_tls_free(tls);
}

static const struct tap_test tests[] = {
	{ "TLS 1.3: messages of 0 to 1 MiB, close", tls13 },
	{ "TLS 1.2: messages of 0 to 1 MiB, close", tls12 },
	{ "300 messages while the sockets are full", both_ways_full },
	{ "certificates are checked: authority, name, address", certificates },
	{ "contexts say what is wrong with their files", contexts },
	{ "where only the kernel will do: 503, and what to do", without_the_kernel },
	{ "URLs and contexts that do not fit", urls },
	{ "options that do not fit: why", options },
	{ "peers that stall, leave or send something else, in the TLS handshake", bad_clients },
	{ "a peer that goes on for ever, byte by byte", slow_client },
	{ "frames in one record with the request", frames_with_the_request },
	{ "ALPN and versions", handshakes },
	{ "the PROXY protocol before TLS", behind_a_proxy },
	{ "ends of the connection", endings },
	{ "no descriptor and no error is left over", nothing_is_left },
};

int main(void)
{
	int status;

	setenv("KWS_ENGINE", "user", 1);
	make_certificate(certificate, "DNS:localhost");
	make_certificate(other, "DNS:localhost");
	server_tls = kws_tls_server(&(struct kws_tls_options){ .cert = certificate });
	listen_on_loopback();
	before = descriptors();
	status = tap_run(tests, ARRAY_SIZE(tests));
	kws_tls_free(server_tls);
	close(listener);
	unlink(certificate);
	unlink(other);
	return status;
}
