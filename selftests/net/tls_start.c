// SPDX-License-Identifier: GPL-2.0
/*
 * The beginning over kTLS: what WEBSOCKET_ATTACH takes and refuses, what has come before it, records that TLS itself cannot use, and
 * that nothing leaves in the clear. Both ends have keys made up here.
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sock_diag.h>
#include <sys/syscall.h>

#include "keys.h"
#include "intact.h"

static const struct websocket_config defaults;

FIXTURE(door) { struct link link; };
FIXTURE_VARIANT(door) { struct shape shape; unsigned int version; };
FIXTURE_VARIANT_ADD(door, v4_tls12) { .shape = (struct shape){ .family = IPV4 }, .version = TLS_1_2_VERSION };
FIXTURE_VARIANT_ADD(door, v6_tls13) { .shape = (struct shape){ .family = IPV6 }, .version = TLS_1_3_VERSION };
FIXTURE_VARIANT_ADD(door, mapped_tls13) { .shape = (struct shape){ .family = MAPPED }, .version = TLS_1_3_VERSION };

FIXTURE_SETUP(door)
{
	link_open(LINK, &variant->shape);
}

FIXTURE_TEARDOWN(door)
{
	link_close(LINK);
}

static int one_key(struct link *l, int direction, unsigned int version)
{
	return tls_set_key(l->ws, direction, version, TLS_CIPHER_AES_GCM_128, direction == TLS_TX);
}

CASE(door, needs_tls_in_both_directions)
{
	refuses(EUNATCH, ws_attach_tls(self->link.ws, &defaults));
	tls_attach(self->link.ws);
	refuses(ENOKEY, ws_attach_tls(self->link.ws, &defaults));
	must(one_key(LINK, TLS_TX, variant->version));
	refuses(ENOKEY, ws_attach_tls(self->link.ws, &defaults));
	must(one_key(LINK, TLS_RX, variant->version));
	must(ws_attach_tls(self->link.ws, &defaults));
}

CASE(door, receiving_alone_is_not_enough)
{
	tls_attach(self->link.ws);
	must(one_key(LINK, TLS_RX, variant->version));
	refuses(ENOKEY, ws_attach_tls(self->link.ws, &defaults));
}

CASE(door, another_protocol)
{
	must(ulp_attach(self->link.ws));
	refuses(EEXIST, ws_attach_tls(self->link.ws, &defaults));
	must(ws_configure(self->link.ws, &defaults));
	refuses(EEXIST, ws_attach_tls(self->link.ws, &defaults));
}

CASE(door, other_sockets)
{
	int udp = must(socket(AF_INET, SOCK_DGRAM, 0)), tcp = must(socket(AF_INET, SOCK_STREAM, 0));
	int listener = tcp_listen(variant->shape.family);

	refuses(EOPNOTSUPP, ws_attach_tls(udp, &defaults));
	refuses(ENOTCONN, ws_attach_tls(tcp, &defaults));
	refuses(ENOTCONN, ws_attach_tls(listener, &defaults));
	close(udp);
	close(tcp);
	close(listener);
}

CASE(door, configuration)
{
	struct { struct websocket_config config; char more[40]; } longer = { .more = "" };
	struct websocket_config config = { .flags = 1U << 31 };
	int fd = self->link.ws;

	tls_key(fd, variant->version, 1);
	refuses(EINVAL, ws_attach_tls(fd, &config));
	refuses(EINVAL, setsockopt(fd, SOL_IP, WEBSOCKET_ATTACH, &config, 3));
	refuses(EFAULT, setsockopt(fd, SOL_IP, WEBSOCKET_ATTACH, (void *)8, sizeof(config)));
	longer.more[39] = 1;
	refuses(E2BIG, setsockopt(fd, SOL_IP, WEBSOCKET_ATTACH, &longer, sizeof(longer)));
	longer.more[39] = 0;
	must(setsockopt(fd, SOL_IP, WEBSOCKET_ATTACH, &longer, sizeof(longer)));
}

CASE(door, by_the_level_of_ipv6)
{
	tls_key(self->link.ws, variant->version, 1);
	if (variant->shape.family == IPV4)
		refuses(ENOPROTOOPT, setsockopt(self->link.ws, SOL_IPV6, WEBSOCKET_ATTACH, &defaults, sizeof(defaults)));
	else
		must(setsockopt(self->link.ws, SOL_IPV6, WEBSOCKET_ATTACH, &defaults, sizeof(defaults)));
}

struct below { int fd, tid; };

static void *read_below(void *argument)
{
	struct below *b = argument;
	char bytes[8];

	__atomic_store_n(&b->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	return (void *)recv(b->fd, bytes, sizeof(bytes), 0);
}

/* A thread that waits in TLS' own recv() would take the first record away. */
CASE(door, a_reader_inside_tls)
{
	struct link *l = LINK;
	struct below below = { .fd = l->ws };
	pthread_t thread;
	void *got;

	tls_key(l->ws, variant->version, 1);
	tls_key(l->peer, variant->version, 0);
	check(!pthread_create(&thread, NULL, read_below, &below));
	until_asleep(&below.tid);
	refuses(EBUSY, ws_attach_tls(l->ws, &defaults));
	peer_write_raw(l, "plain", 5);
	check(!pthread_join(thread, &got));
	equal(5, (long)got);
	must(ws_attach_tls(l->ws, &defaults));
}

static void *write_below(void *argument)
{
	enum { LEN = 20 << 20 };
	struct below *b = argument;
	void *bytes = calloc(1, LEN);
	ssize_t n;

	__atomic_store_n(&b->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	n = send(b->fd, bytes, LEN, 0);
	free(bytes);
	return (void *)n;
}

/* One that waits in its send() would put bytes between ours. */
CASE(door, a_writer_inside_tls)
{
	static char bytes[1 << 20];
	struct link *l = LINK;
	struct below below = { .fd = l->ws };
	ssize_t left = 20 << 20;
	pthread_t thread;
	void *sent;

	tls_key(l->ws, variant->version, 1);
	tls_key(l->peer, variant->version, 0);
	check(!pthread_create(&thread, NULL, write_below, &below));
	until_asleep(&below.tid);
	refuses(EBUSY, ws_attach_tls(l->ws, &defaults));
	while (left)
		left -= must(recv(l->peer, bytes, sizeof(bytes), 0));
	check(!pthread_join(thread, &sent));
	equal(20 << 20, (long)sent);
	must(ws_attach_tls(l->ws, &defaults));
}

/* Frames that are there, decrypted or not, before the attach. */
CASE(door, row13_records_before)
{
	struct link *l = LINK;

	tls_key(l->ws, variant->version, 1);
	tls_key(l->peer, variant->version, 0);
	l->wire.tls = true;
	put(&l->out, .opcode = OP_TEXT, .text = "early");
	put(&l->out, .opcode = OP_PING, .text = "too");
	peer_write(l);
	peer_write_raw(l, "", 0);
	must(ws_attach_tls(l->ws, &defaults));
	wire_expect(WIRE, OP_PONG, true, "too", 3);
	expect_text(l, "early");
}

/* As many records as are pulled in one go, and FIN, which nobody tells of again. */
CASE(door, row62_tickets_and_the_end_before)
{
	static const unsigned char ticket[] = { 4, 0, 0, 1, 0 };
	struct link *l = LINK;
	int i;

	tls_key(l->ws, variant->version, 1);
	tls_key(l->peer, variant->version, 0);
	for (i = 0; i < 16; i++)
		tls_send_record(l->peer, RECORD_HANDSHAKE, ticket, sizeof(ticket));
	must(shutdown(l->peer, SHUT_WR));
	peer_settle(l);
	must(ws_attach_tls(l->ws, &defaults));
	ws_wait(l->ws, POLLIN);
	expect_end(l, 1006);
}

/* Row 30: TLS would be called for nothing below it. */
CASE(door, row30_rcvlowat_before)
{
	struct link *l = LINK;

	set_option(l->ws, SOL_SOCKET, SO_RCVLOWAT, 1000000);
	link_tls = variant->version;
	link_start(l, &defaults);
	put(&l->out, .opcode = OP_PING, .text = "small");
	peer_write(l);
	wire_expect(WIRE, OP_PONG, true, "small", 5);
}

CASE(door, every_cipher)
{
	static const unsigned int ciphers[] = {
		TLS_CIPHER_AES_GCM_256, TLS_CIPHER_AES_CCM_128, TLS_CIPHER_CHACHA20_POLY1305,
	};
	unsigned int i, known = 0;

	for (i = 0; i < ARRAY_SIZE(ciphers); i++) {
		struct link l;
		int fd[2];

		link_open(&l, &variant->shape);
		fd[0] = l.ws;
		fd[1] = l.peer;
		tls_attach(l.ws);
		tls_attach(l.peer);
		/* not every kernel has every cipher */
		if (tls_set_key(l.ws, TLS_TX, variant->version, ciphers[i], 1)) {
			check(errno == ENOENT || errno == EINVAL);
			link_close(&l);
			continue;
		}
		known++;
		must(tls_set_key(fd[0], TLS_RX, variant->version, ciphers[i], 0));
		must(tls_set_key(fd[1], TLS_TX, variant->version, ciphers[i], 0));
		must(tls_set_key(fd[1], TLS_RX, variant->version, ciphers[i], 1));
		l.wire.tls = true;
		must(ws_attach_tls(l.ws, &defaults));
		intact(&l);
		link_close(&l);
	}
	check(known);
}

/* The peer's records are made with another key than ours. */
CASE(door, row62_bad_mac)
{
	struct link *l = LINK;
	enum record type;
	unsigned char alert[4];

	tls_key(l->ws, variant->version, 1);
	tls_attach(l->peer);
	must(tls_set_key(l->peer, TLS_TX, variant->version, TLS_CIPHER_AES_GCM_128, 1));
	must(tls_set_key(l->peer, TLS_RX, variant->version, TLS_CIPHER_AES_GCM_128, 1));
	must(ws_attach_tls(l->ws, &defaults));
	put(&l->out, .opcode = OP_TEXT, .text = "unreadable");
	peer_write(l);
	expect_error(l, EBADMSG);
	equal(2, tls_recv_record(l->peer, &type, alert, sizeof(alert), 0));
	equal(RECORD_ALERT, type);
	equal(2, alert[0]);
	equal(20, alert[1]);
}

/* Bytes that are no TLS, or a record that never ends. */
CASE(door, not_a_record)
{
	struct link *l = LINK;

	tls_key(l->ws, variant->version, 1);
	must(ws_attach_tls(l->ws, &defaults));
	peer_write_raw(l, "GET / HTTP/1.1\r\n\r\n", 18);
	expect_error(l, EBADMSG);
}

/* SO_ERROR takes what TLS says of it, if it is there before the module; the end is shown all the same. */
CASE(door, not_a_record_and_so_error)
{
	socklen_t len = sizeof(int);
	int error = 0, i;

	for (i = 0; i < 100 && !error; i++) {
		struct link l;

		link_open(&l, &variant->shape);
		tls_key(l.ws, variant->version, 1);
		must(ws_attach_tls(l.ws, &defaults));
		peer_write_raw(&l, "GET / HTTP/1.1\r\n\r\n", 18);
		do
			must(getsockopt(l.ws, SOL_SOCKET, SO_ERROR, &error, &len));
		while (!error && !ws_info(l.ws).error);
		ws_wait(l.ws, POLLIN);
		expect_error(&l, EBADMSG);
		link_close(&l);
	}
	check(error);
}

/* The same when nobody has looked before FIN came. */
CASE(door, not_a_record_and_so_error_and_fin)
{
	struct link *l = LINK;
	socklen_t len = sizeof(int);
	int error = 0;

	tls_key(l->ws, variant->version, 1);
	peer_write_raw(l, "GET / HTTP/1.1\r\n\r\n", 18);
	must(shutdown(l->peer, SHUT_WR));
	peer_settle(l);
	must(getsockopt(l->ws, SOL_SOCKET, SO_ERROR, &error, &len));
	check(error);
	must(ws_attach_tls(l->ws, &defaults));
	ws_wait(l->ws, POLLIN);
	expect_error(l, EBADMSG);
}

/* Sends until it cannot; what that was. */
static void *send_on(void *argument)
{
	struct link *l = argument;

	while (ws_send(l->ws, OP_BINARY, "b", 1, MSG_NOSIGNAL) == 1)
		;
	return (void *)(long)errno;
}

static void read_exactly(int fd, unsigned char *to, size_t n)
{
	equal(n, recv(fd, to, n, MSG_WAITALL));
}

/* What cannot be read comes while another thread sends: an alert goes out behind the records, and FIN. */
static void broken_while_sending(struct link *l, unsigned int version, const void *bytes, size_t n)
{
	unsigned char header[5], rest[16384];
	pthread_t thread;
	bool alert = false;
	void *error;

	tls_key(l->ws, version, 1);
	must(ws_attach_tls(l->ws, &defaults));
	check(!pthread_create(&thread, NULL, send_on, l));
	usleep(20000);
	peer_write_raw(l, bytes, n);
	while (must(recv(l->peer, header, 1, 0))) {
		size_t len;

		check(!alert);
		read_exactly(l->peer, header + 1, 4);
		len = header[3] << 8 | header[4];
		read_exactly(l->peer, rest, len);
		/* TLS 1.3 hides the type: two bytes, it, and the tag */
		alert = version == TLS_1_2_VERSION ? header[0] == RECORD_ALERT : len == 2 + 1 + 16;
	}
	check(alert);
	check(!pthread_join(thread, &error));
	equal(EBADMSG, (long)error);
	expect_error(l, EBADMSG);
}

CASE(door, row62_bad_mac_while_sending)
{
	broken_while_sending(LINK, variant->version, "\27\3\3\0\40" "broken, broken, broken, broken!!", 37);
}

CASE(door, not_a_record_while_sending)
{
	broken_while_sending(LINK, variant->version, "GET / HTTP/1.1\r\n\r\n", 18);
}

CASE(door, part_of_a_record)
{
	struct link *l = LINK;

	tls_key(l->ws, variant->version, 1);
	must(ws_attach_tls(l->ws, &defaults));
	peer_write_raw(l, "\27\3\3\1\0half", 9);
	expect_nothing(l);
	must(shutdown(l->peer, SHUT_WR));
	expect_end(l, 1006);
}

/* The segments that a socket of this port sends over lo. */
static size_t capture(int packets, unsigned char *bytes, size_t room)
{
	size_t have = 0;
	ssize_t n;

	while ((n = recv(packets, bytes + have, room - have, MSG_DONTWAIT)) > 0)
		have += n;
	return have;
}

/* Row 52: the words of every message, ping and Close are in no packet. */
CASE(door, row52_nothing_in_the_clear)
{
	static const char word[] = "Kwyjibo-Kwyjibo-Kwyjibo";
	static unsigned char bytes[1 << 20];
	struct link l;
	int packets, room = 1 << 20;
	size_t n;

	fresh_netns();
	packets = must(socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL)));
	must(setsockopt(packets, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)));
	link_tls = 0;
	link_open(&l, &variant->shape);
	/* so would it be seen */
	equal(sizeof(word), send(l.peer, word, sizeof(word), 0));
	equal(sizeof(word), recv(l.ws, bytes, sizeof(word), MSG_WAITALL));
	n = capture(packets, bytes, sizeof(bytes));
	check(memmem(bytes, n, word, sizeof(word) - 1));

	link_tls = variant->version;
	link_start(&l, &defaults);
	put(&l.out, .opcode = OP_PING, .text = word);
	put(&l.out, .opcode = OP_TEXT, .text = word);
	peer_write(&l);
	wire_expect(&l.wire, OP_PONG, true, word, sizeof(word) - 1);
	expect_text(&l, word);
	equal(sizeof(word), ws_send(l.ws, OP_BINARY, word, sizeof(word), 0));
	wire_expect(&l.wire, OP_BINARY, true, word, sizeof(word));
	equal(sizeof(word) - 1 + 2, ws_send(l.ws, OP_CLOSE, "\3\350Kwyjibo-Kwyjibo-Kwyjibo", sizeof(word) - 1 + 2, 0));
	wire_expect_close(&l.wire, 1000);
	link_close_ws(&l);
	n = capture(packets, bytes, sizeof(bytes));
	check(n > 500);
	check(!memmem(bytes, n, "Kwyjibo", 7));
	link_close(&l);
	close(packets);
}

/*
 * Row 20: bytes of a frame, each in a record of its own, with others between and much behind them, and a message unread before: none of
 * them takes as much memory as all would.
 */
CASE(door, row20_bytes_among_tickets)
{
	enum { LEN = 60000, ALONE = 130 };
	static const unsigned char ticket[] = { 4, 0, 0, 1, 0 };
	unsigned char *bytes = new_pattern(LEN, 13);
	__u32 memory[SK_MEMINFO_VARS] = {}, buffer;
	socklen_t len = sizeof(memory);
	struct link *l = LINK;
	size_t i;

	set_option(l->ws, SOL_SOCKET, SO_RCVBUF, 65536);
	must(getsockopt(l->ws, SOL_SOCKET, SO_MEMINFO, memory, &len));
	buffer = memory[SK_MEMINFO_RCVBUF];
	tls_key(l->ws, variant->version, 1);
	tls_key(l->peer, variant->version, 0);
	put(&l->out, .opcode = OP_TEXT, .text = "unread");
	peer_write(l);
	put(&l->out, .opcode = OP_BINARY, .payload = bytes, .len = LEN);
	for (i = 0; i < ALONE; i++) {
		equal(1, send(l->peer, l->out.bytes + i, 1, 0));
		tls_send_record(l->peer, RECORD_HANDSHAKE, ticket, sizeof(ticket));
	}
	/* as much as the buffer takes */
	while (send(l->peer, l->out.bytes + i, l->out.len - i < 16384 ? l->out.len - i : 16384, MSG_DONTWAIT) > 0)
		i += l->out.len - i < 16384 ? l->out.len - i : 16384;
	usleep(100000);
	must(ws_attach_tls(l->ws, &defaults));
	tls_comes_to_rest();
	must(getsockopt(l->ws, SOL_SOCKET, SO_MEMINFO, memory, &len));
	/* most of it is what small segments take in TCP */
	if (memory[SK_MEMINFO_RMEM_ALLOC] > 4 * buffer)
		fail("%u bytes received are kept, of a buffer of %u", memory[SK_MEMINFO_RMEM_ALLOC], buffer);
	expect_text(l, "unread");
	free(bytes);
}

struct rekey { int fd; bool over; };

static void *rekey(void *argument)
{
	struct rekey *r = argument;

	while (!__atomic_load_n(&r->over, __ATOMIC_RELAXED))
		tls_set_key(r->fd, TLS_TX, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, 1);
	return NULL;
}

FIXTURE(keys) { int unused; };
FIXTURE_SETUP(keys) { self->unused = 0; }
FIXTURE_TEARDOWN(keys) { check(!self->unused); }

/* Newer kernels take new keys of TLS 1.3, and put TLS' own operations back with them: not behind an attach that came in between. */
CASE(keys, row12_new_keys_at_the_attach)
{
	int i;

	for (i = 0; i < 300; i++) {
		struct link l = {};
		struct rekey r;
		pthread_t thread;

		link_open(&l, &(struct shape){ .family = IPV4 });
		tls_key(l.ws, TLS_1_3_VERSION, 1);
		r = (struct rekey){ .fd = l.ws };
		check(!pthread_create(&thread, NULL, rekey, &r));
		usleep(i % 10 * 50);
		must(ws_attach_tls(l.ws, &defaults));
		__atomic_store_n(&r.over, true, __ATOMIC_RELAXED);
		check(!pthread_join(thread, NULL));
		equal(WEBSOCKET_STATE_OPEN, ws_info(l.ws).state);
		link_close(&l);
	}
}

SELFTEST_MAIN
