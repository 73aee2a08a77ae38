// SPDX-License-Identifier: GPL-2.0
/*
 * WebSocket over kTLS: records and frames that do not coincide, alerts and handshakes, the ends of the connection, a program that
 * does not come, and the hand-over. Both ends have keys made up here; how it begins is in tls_start.c.
 * What a WebSocket does over TLS as over TCP is in the other programs, which tls_*.c run over TLS.
 * time limit: 600 s
 */
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "keys.h"
#include "shapes.h"

FIXTURE(tls) { struct link link; };
FIXTURE_VARIANT(tls) { struct shape shape; unsigned int version; };

FIXTURE_VARIANT_ADD(tls, v4_tls12) { .shape = { SEGMENT_FRAME, IPV4, false, false }, .version = TLS_1_2_VERSION };
FIXTURE_VARIANT_ADD(tls, v6_tls13) { .shape = { SEGMENT_FRAME, IPV6, true, false }, .version = TLS_1_3_VERSION };
FIXTURE_VARIANT_ADD(tls, v4_client_tls13) { .shape = { SEGMENT_FRAME, IPV4, true, true }, .version = TLS_1_3_VERSION };

static const struct websocket_config defaults;

FIXTURE_SETUP(tls)
{
	link_tls = variant->version;
	link_start_default(LINK, &variant->shape);
}

FIXTURE_TEARDOWN(tls)
{
	link_close(LINK);
}

/* The socket under test is a working message socket. */
static void talk(struct link *l)
{
	put(&l->out, .opcode = OP_PING, .text = "ping");
	put(&l->out, .opcode = OP_TEXT, .text = "hello");
	peer_write(l);
	wire_expect(&l->wire, OP_PONG, true, "ping", 4);
	expect_text(l, "hello");
	equal(5, ws_send(l->ws, OP_BINARY, "reply", 5, 0));
	wire_expect(&l->wire, OP_BINARY, true, "reply", 5);
}

CASE(tls, messages_both_ways)
{
	char name[16] = "";
	socklen_t len = sizeof(name);

	talk(LINK);
	must(getsockopt(self->link.ws, IPPROTO_TCP, TCP_ULP, name, &len));
	check(!strcmp(name, "tls,websocket"));
}

CASE(tls, one_frame_in_many_records)
{
	unsigned char *bytes = new_pattern(3000, 1);

	self->link.shape.segmentation = SEGMENT_SEVEN;
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 3000);
	peer_feed(LINK);
	expect_message(LINK, OP_BINARY, bytes, 3000);
	peer_fed(LINK);
	free(bytes);
}

struct sleeper { int fd; unsigned char *bytes; size_t len; ssize_t n; };

static void *sleep_in_recv(void *argument)
{
	struct sleeper *s = argument;

	s->n = recv(s->fd, s->bytes, s->len, 0);
	return NULL;
}

/* Row 28: the receive buffer becomes smaller than the part of a message that a reader sleeps over. It gets that part when more comes. */
CASE(tls, row28_buffer_shrinks_under_a_reader)
{
	enum { LEN = 60000, FIRST = 20000, MORE = 10000 };
	unsigned char *bytes = new_pattern(LEN, 28), *got = malloc(LEN);
	struct sleeper s = { self->link.ws, got, LEN, 0 };
	pthread_t thread;
	size_t len, done;

	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = LEN);
	len = self->link.out.len;
	equal(0, pthread_create(&thread, NULL, sleep_in_recv, &s));
	peer_write_raw(LINK, self->link.out.bytes, FIRST);
	peer_settle(LINK);
	usleep(200000);
	set_option(self->link.ws, SOL_SOCKET, SO_RCVBUF, 4096);
	peer_write_raw(LINK, self->link.out.bytes + FIRST, MORE);
	equal(0, pthread_join(thread, NULL));
	check(s.n > 0);
	self->link.shape.segmentation = SEGMENT_ALL;
	memmove(self->link.out.bytes, self->link.out.bytes + FIRST + MORE, len - FIRST - MORE);
	self->link.out.len = len - FIRST - MORE;
	peer_feed(LINK);
	for (done = s.n; done < LEN;) {
		struct received r = ws_receive(LINK, got + done, LEN - done, 0);

		check(r.n > 0);
		done += r.n;
		equal(done == LEN ? MSG_EOR : 0, r.flags & MSG_EOR);
	}
	peer_fed(LINK);
	check(!memcmp(got, bytes, LEN));
	free(bytes);
	free(got);
}

/* Row 34: looking past an empty message, which a caller without a control buffer is not shown, is not looking for ever. */
CASE(tls, row34_peek_past_an_empty_message)
{
	char buffer[16];

	put(OUT, .opcode = OP_TEXT);
	peer_write(LINK);
	while (!ws_info(self->link.ws).rx_messages)
		usleep(1000);
	refuses(EAGAIN, recv(self->link.ws, buffer, sizeof(buffer), MSG_PEEK | MSG_DONTWAIT));
	put(OUT, .opcode = OP_TEXT, .text = "seen");
	peer_write(LINK);
	equal(4, recv(self->link.ws, buffer, sizeof(buffer), MSG_PEEK));
	check(!memcmp(buffer, "seen", 4));
	expect_text(LINK, "");
	expect_text(LINK, "seen");
}

CASE(tls, many_frames_in_one_record)
{
	int i;

	self->link.shape.segmentation = SEGMENT_ALL;
	for (i = 0; i < 300; i++)
		put(OUT, .opcode = OP_TEXT, .text = "many");
	put(OUT, .opcode = OP_PING, .text = "last");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "last", 4);
	for (i = 0; i < 300; i++)
		expect_text(LINK, "many");
	expect_nothing(LINK);
}

CASE(tls, large_messages)
{
	unsigned char *bytes = new_pattern(1000000, 2);

	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 1000000);
	peer_feed(LINK);
	expect_parts(LINK, OP_BINARY, bytes, 1000000, 1000000);
	peer_fed(LINK);
	free(bytes);
}

/* Decrypting stops, the peer's window closes; nothing is lost. */
CASE(tls, a_program_that_does_not_read)
{
	unsigned char *bytes = new_pattern(100000, 3);
	struct websocket_info info;
	int i;

	for (i = 0; i < 60; i++)
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 100000);
	peer_feed(LINK);
	for (i = 0; i < 3000 && !counter("TlsStops"); i++)
		usleep(10000);
	check(counter("TlsStops"));
	info = ws_info(self->link.ws);
	check(info.unread_bytes < 6000000);
	for (i = 0; i < 60; i++)
		expect_parts(LINK, OP_BINARY, bytes, 100000, 100000);
	peer_fed(LINK);
	free(bytes);
}

/* Each byte is a record of its own and is decrypted before the next one comes: a frame may not be kept from coming by its beginning. */
static void each_byte_alone(struct link *l)
{
	size_t i;

	for (i = 0; i < l->out.len; i++) {
		peer_write_raw(l, l->out.bytes + i, 1);
		ws_info(l->ws);
	}
	stream_clear(&l->out);
}

CASE(tls, tiny_records)
{
	char bytes[CONTROL_MAX];
	int i;

	memset(bytes, 'x', sizeof(bytes));
	for (i = 0; i < 3; i++) {
		put(OUT, .opcode = OP_PING, .payload = bytes, .len = CONTROL_MAX);
		each_byte_alone(LINK);
		wire_expect(WIRE, OP_PONG, true, bytes, CONTROL_MAX);
	}
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = CONTROL_MAX);
	put_close(OUT, 1000, "a reason that is as long as it can be, as long as it can be, as long as it can be");
	each_byte_alone(LINK);
	expect_message(LINK, OP_BINARY, bytes, CONTROL_MAX);
	expect_end(LINK, 1000);
}

/* A record alone is more than the buffer may hold, and ends in the middle of a header. */
CASE(tls, small_buffer)
{
	unsigned char *bytes = new_pattern(60000, 4);
	int i;

	set_option(self->link.ws, SOL_SOCKET, SO_RCVBUF, 1);
	self->link.shape.segmentation = SEGMENT_ALL;
	/* TLS cuts at 16384 */
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = variant->shape.client ? 16377 : 16373);
	for (i = 0; i < 40; i++)
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = i * 37);
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 60000);
	peer_feed(LINK);
	expect_parts(LINK, OP_BINARY, bytes, variant->shape.client ? 16377 : 16373, 60000);
	for (i = 0; i < 40; i++)
		expect_parts(LINK, OP_BINARY, bytes, i * 37, 60000);
	expect_parts(LINK, OP_BINARY, bytes, 60000, 60000);
	peer_fed(LINK);
	free(bytes);
}

/* When the pong that it read has gone out for good. */
static void expect_option(int fd, int option, int value)
{
	int now = -1, i;
	socklen_t len = sizeof(now);

	for (i = 0; i < 3000 && now != value; i++) {
		must(getsockopt(fd, IPPROTO_TCP, option, &now, &len));
		usleep(i * 10);
	}
	equal(value, now);
}

/* TCP_CORK and Nagle hold messages back, not pongs; and what the program sets while a pong goes out stays set. */
CASE(tls, cork)
{
	int i, cork = 1;

	set_option(self->link.ws, IPPROTO_TCP, TCP_NODELAY, 0);
	for (i = 0; i < 20; i++) {
		set_option(self->link.ws, IPPROTO_TCP, TCP_CORK, i % 2);
		put(OUT, .opcode = OP_PING, .text = "quick");
		peer_write(LINK);
		set_option(self->link.ws, IPPROTO_TCP, TCP_CORK, !(i % 2));
		wire_expect(WIRE, OP_PONG, true, "quick", 5);
		expect_option(self->link.ws, TCP_CORK, !(i % 2));
	}
	refuses(EINVAL, setsockopt(self->link.ws, IPPROTO_TCP, TCP_CORK, &cork, 3));
	refuses(EFAULT, setsockopt(self->link.ws, IPPROTO_TCP, TCP_CORK, (void *)8, 4));
	expect_option(self->link.ws, TCP_NODELAY, 0);
}

CASE(tls, new_keys_are_refused)
{
	struct tls_crypto_info info = {};
	socklen_t len = sizeof(info);
	int on = 1;

	refuses(EBUSY, tls_set_key(self->link.ws, TLS_TX, variant->version, TLS_CIPHER_AES_GCM_128, 1));
	refuses(EBUSY, tls_set_key(self->link.ws, TLS_RX, variant->version, TLS_CIPHER_AES_GCM_128, 1));
	refuses(EBUSY, setsockopt(self->link.ws, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &on, sizeof(on)));
	refuses(EEXIST, ws_attach_tls(self->link.ws, &defaults));
	must(getsockopt(self->link.ws, SOL_TLS, TLS_TX, &info, &len));
	equal(variant->version, info.version);
	equal(TLS_CIPHER_AES_GCM_128, info.cipher_type);
	talk(LINK);
}

CASE(tls, row62_close_notify)
{
	put(OUT, .opcode = OP_TEXT, .text = "before");
	peer_write(LINK);
	tls_send_record(self->link.peer, RECORD_ALERT, "\1", 2);
	expect_text(LINK, "before");
	ws_wait(self->link.ws, POLLRDHUP);
	expect_end(LINK, 1006);
	/* the other direction is open */
	equal(2, ws_send(self->link.ws, OP_TEXT, "ok", 2, 0));
	wire_expect(WIRE, OP_TEXT, true, "ok", 2);
}

CASE(tls, row62_alerts)
{
	static const unsigned char canceled[] = { 1, 90 }, failure[] = { 2, 40 };

	tls_send_record(self->link.peer, RECORD_ALERT, canceled, 2);
	talk(LINK);
	put(OUT, .opcode = OP_TEXT, .text = "before");
	peer_write(LINK);
	tls_send_record(self->link.peer, RECORD_ALERT, failure, 2);
	expect_text(LINK, "before");
	expect_error(LINK, ECONNABORTED);
	wire_expect_end(WIRE);
}

/* A ticket, as servers of TLS 1.3 send them; its content does not matter. */
CASE(tls, row62_new_session_ticket)
{
	unsigned char tickets[600] = { [0] = 4, [3] = 196, [200] = 4, [202] = 1, [203] = 140 };

	tls_send_record(self->link.peer, RECORD_HANDSHAKE, tickets, sizeof(tickets));
	talk(LINK);
	/* RFC 8446 5.1: a message may be spread over records */
	tls_send_record(self->link.peer, RECORD_HANDSHAKE, tickets, 3);
	tls_send_record(self->link.peer, RECORD_HANDSHAKE, tickets + 3, 198);
	tls_send_record(self->link.peer, RECORD_HANDSHAKE, tickets + 201, sizeof(tickets) - 201);
	talk(LINK);
}

CASE(tls, row62_key_update)
{
	static const unsigned char update[] = { 24, 0, 0, 1, 0 };

	put(OUT, .opcode = OP_TEXT, .text = "before");
	peer_write(LINK);
	tls_send_record(self->link.peer, RECORD_HANDSHAKE, update, sizeof(update));
	expect_text(LINK, "before");
	expect_error(LINK, EKEYEXPIRED);
	wire_expect_close(WIRE, 1011);
	wire_expect_end(WIRE);
}

CASE(tls, row62_change_cipher_spec)
{
	char byte[8];
	enum record type;

	tls_send_record(self->link.peer, RECORD_CCS, "\1", 1);
	expect_error(LINK, EBADMSG);
	equal(2, tls_recv_record(self->link.peer, &type, byte, sizeof(byte), 0));
	equal(RECORD_ALERT, type);
}

/* FIN without close_notify; then also in the middle of a message. */
CASE(tls, fin_alone)
{
	put(OUT, .opcode = OP_TEXT, .text = "before");
	put(OUT, .opcode = OP_TEXT, .text = "part", .announce = 100);
	peer_write(LINK);
	must(shutdown(self->link.peer, SHUT_WR));
	expect_text(LINK, "before");
	expect_end(LINK, 1006);
	equal(2, ws_send(self->link.ws, OP_TEXT, "ok", 2, 0));
	wire_expect(WIRE, OP_TEXT, true, "ok", 2);
	must(shutdown(self->link.ws, SHUT_WR));
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
}

CASE(tls, close_in_order)
{
	equal(4, ws_send(self->link.ws, OP_TEXT, "last", 4, 0));
	link_close_ws(LINK);
	wire_expect(WIRE, OP_TEXT, true, "last", 4);
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);	/* which asks for close_notify */
}

CASE(tls, close_with_unread_messages_resets)
{
	put(OUT, .opcode = OP_TEXT, .text = "unread");
	peer_write(LINK);
	ws_wait(self->link.ws, POLLIN);
	link_close_ws(LINK);
	wire_expect_reset(WIRE);
}

CASE(tls, close_with_part_of_a_record)
{
	put(OUT, .opcode = OP_PING, .text = "x");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "x", 1);
	link_close_ws(LINK);
	wire_expect_close(WIRE, 1000);
	wire_expect_end(WIRE);
}

CASE(tls, the_peer_closes)
{
	put_close(OUT, 1001, "bye");
	peer_write(LINK);
	expect_end(LINK, 1001);
	wire_expect_close(WIRE, 1001);
	if (!variant->shape.client)
		wire_expect_end(WIRE);
}

CASE(tls, reset)
{
	link_reset_peer(LINK);
	expect_error(LINK, ECONNRESET);
}

/* A reader asleep while the peer pings: the kernel answers. */
static int read_one(void *l)
{
	char buffer[16];

	return recv(((struct link *)l)->ws, buffer, sizeof(buffer), 0) == 5 ? 7 : 1;
}

CASE(tls, pings_while_stopped)
{
	pid_t pid = spawn(read_one, LINK);
	int i, status;

	link_close_ws(LINK);
	must(kill(pid, SIGSTOP));
	must(waitpid(pid, &status, WUNTRACED));
	for (i = 0; i < 5; i++) {
		put(OUT, .opcode = OP_PING, .payload = "12345", .len = i);
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, "12345", i);
	}
	put(OUT, .opcode = OP_TEXT, .text = "hello");
	peer_write(LINK);
	must(kill(pid, SIGCONT));
	equal(7, reap(pid));
}

/* A program that took a message is told of the next record, and decrypts it in poll() itself. */
static void take_one(struct link *l, int ep)
{
	struct epoll_event e;

	put(&l->out, .opcode = OP_TEXT, .text = "hello");
	peer_write(l);
	equal(1, must(epoll_wait(ep, &e, 1, 30000)));
	expect_text(l, "hello");
}

static int watch(int fd)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP };
	int ep = must(epoll_create1(0));

	must(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	return ep;
}

/* If it does not come, somebody else does. */
CASE(tls, pings_to_a_program_that_does_not_come)
{
	int ep = watch(self->link.ws), i;
	struct epoll_event e;

	for (i = 0; i < 5; i++) {
		take_one(LINK, ep);
		put(OUT, .opcode = OP_PING, .text = "there?");
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, "there?", 6);
		equal(0, must(epoll_wait(ep, &e, 1, 0)));
	}
	close(ep);
}

static int poll_and_read(void *argument)
{
	struct link *l = argument;
	int ep = watch(l->ws), i;
	char buffer[16];

	for (i = 0; i < 2; i++) {
		struct epoll_event e;

		/* what is reported is there */
		if (epoll_wait(ep, &e, 1, 30000) != 1 || recv(l->ws, buffer, sizeof(buffer), MSG_DONTWAIT) != 5)
			return 1;
	}
	return 7;
}

/* epoll_wait() does not return for a ping, nor for part of a message. */
CASE(tls, a_program_that_comes_for_a_ping)
{
	pid_t pid = spawn(poll_and_read, LINK);
	int i;

	put(OUT, .opcode = OP_TEXT, .text = "first");
	peer_write(LINK);
	for (i = 0; i < 3; i++) {
		put(OUT, .opcode = OP_PING, .text = "there?");
		peer_write(LINK);
		wire_expect(WIRE, OP_PONG, true, "there?", 6);
	}
	self->link.shape.segmentation = SEGMENT_BYTE;
	put(OUT, .opcode = OP_TEXT, .text = "again");
	peer_write(LINK);
	equal(7, reap(pid));
}

static void send_fd(int over, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	equal(1, sendmsg(over, &h, 0));
}

static int receive_fd(int over)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))), byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int fd;

	equal(1, recvmsg(over, &h, MSG_CMSG_CLOEXEC));
	check(h.msg_controllen >= CMSG_LEN(sizeof(int)));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(fd));
	return fd;
}

static int take_over(void *over)
{
	char buffer[16] = "";
	int fd = receive_fd(*(int *)over);

	if (recv(fd, buffer, 4, 0) != 4 || memcmp(buffer, "half", 4))
		return 1;
	return ws_send(fd, OP_TEXT, "mine", 4, 0) == 4 ? 7 : 2;
}

/* Row 18: handed over in the middle of a message each way. What is under way, the kernel answers for; keys go with it. */
CASE(tls, row18_scm_rights_in_mid_message)
{
	char buffer[16];
	int pair[2];
	pid_t pid;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	put(OUT, .opcode = OP_TEXT, .text = "onehalf");
	peer_write(LINK);
	equal(3, recv(self->link.ws, buffer, 3, 0));
	equal(3, ws_send(self->link.ws, OP_TEXT, "one", 3, MSG_MORE));
	wire_expect(WIRE, OP_TEXT, false, "one", 3);
	send_fd(pair[0], self->link.ws);
	link_close_ws(LINK);
	put(OUT, .opcode = OP_PING, .text = "whose?");
	peer_write(LINK);
	wire_expect(WIRE, OP_PONG, true, "whose?", 6);
	pid = spawn(take_over, &pair[1]);
	close(pair[1]);
	wire_expect(WIRE, OP_CONTINUATION, true, "mine", 4);
	equal(7, reap(pid));
	close(pair[0]);
	wire_expect_close(WIRE, 1001);
	wire_expect_end(WIRE);
}

CASE(tls, keep_alive)
{
	struct websocket_config config = { .ping_interval_ms = 200, .pong_timeout_ms = 1000 };

	link_configure(LINK, &config);
	check(wire_read(WIRE) == WIRE_FRAME);
	equal(OP_PING, self->link.wire.seen.opcode);
	expect_error(LINK, ETIMEDOUT);
}

CASE(tls, counted)
{
	long long before = counter("TlsOpened");
	struct link l;

	link_start_default(&l, &variant->shape);
	equal(before + 1, counter("TlsOpened"));
	talk(&l);
	link_close(&l);
}

SELFTEST_MAIN
