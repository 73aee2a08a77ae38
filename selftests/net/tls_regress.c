// SPDX-License-Identifier: GPL-2.0
/*
 * Over kTLS, what went wrong once: calls that did not come back, work without end, and windows that stayed shut. Both ends have keys made
 * up here.
 */
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <linux/sockios.h>

#include "held.h"
#include "keys.h"
#include "shapes.h"

FIXTURE(tls_regress) { struct link link; };
FIXTURE_VARIANT(tls_regress) { struct shape shape; unsigned int version; };
FIXTURE_VARIANT_ADD(tls_regress, v4_tls12) { .shape = { SEGMENT_ALL, IPV4, false, false }, .version = TLS_1_2_VERSION };
FIXTURE_VARIANT_ADD(tls_regress, v6_client_tls13) { .shape = { SEGMENT_ALL, IPV6, false, true }, .version = TLS_1_3_VERSION };

FIXTURE_SETUP(tls_regress)
{
	link_tls = variant->version;
	link_start_default(LINK, &variant->shape);
}

FIXTURE_TEARDOWN(tls_regress)
{
	link_close(LINK);
}

/* Behind such a handshake record newer kernels' TLS reads nothing more; to older ones, and to us, it means nothing. */
static void still_there_or_rekey(struct link *l)
{
	struct received r;
	char buffer[16];

	put(&l->out, .opcode = OP_TEXT, .text = "behind");
	peer_write(l);
	peer_settle(l);
	tls_comes_to_rest();
	ws_wait(l->ws, POLLIN);
	r = ws_recvmsg(l->ws, buffer, sizeof(buffer), 0);
	if (r.n == 6) {
		expect_nothing(l);
	} else {
		expect_error(l, EKEYEXPIRED);
		wire_expect_close(&l->wire, 1011);
		wire_expect_end(&l->wire);
	}
	tls_comes_to_rest();
}

/* The first byte of a record, but not of a message, is that of a KeyUpdate. */
CASE(tls_regress, row62_ticket_in_two_records)
{
	static const unsigned char ticket[] = { 4, 0, 0, 6, 1, 2, 3, 24, 5, 6 };

	tls_send_record(self->link.peer, RECORD_HANDSHAKE, ticket, 7);
	tls_send_record(self->link.peer, RECORD_HANDSHAKE, ticket + 7, 3);
	still_there_or_rekey(LINK);
}

CASE(tls_regress, row62_one_byte_of_a_key_update)
{
	tls_send_record(self->link.peer, RECORD_HANDSHAKE, "\30", 1);
	still_there_or_rekey(LINK);
}

CASE(tls_regress, row62_one_byte_of_a_key_update_then_fin)
{
	struct received r;
	char buffer[16];

	tls_send_record(self->link.peer, RECORD_HANDSHAKE, "\30", 1);
	must(shutdown(self->link.peer, SHUT_WR));
	ws_wait(self->link.ws, POLLIN);
	r = ws_recvmsg(self->link.ws, buffer, sizeof(buffer), 0);
	if (r.n)
		expect_error(LINK, EKEYEXPIRED);
	else
		expect_end(LINK, 1006);
	tls_comes_to_rest();
}

/* A peer that sends what carries nothing as fast as it is taken. */
struct flood {
	struct link *link;
	bool over;
	pthread_t thread;
};

static void *flood(void *argument)
{
	struct flood *f = argument;
	struct stream *s = &f->link->out;

	while (!f->over && send(f->link->peer, s->bytes, s->len, MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void alarmed(int number)
{
	check(number == SIGALRM);
}

/* The call ends for this reason, again and again. */
static void ends(struct link *l, int error, int flags)
{
	char buffer[16];
	int i;

	for (i = 0; i < 8; i++)
		refuses(error, recv(l->ws, buffer, sizeof(buffer), flags));
}

static void flooded(struct link *l, unsigned char opcode)
{
	struct itimerval soon = { { 0, 20000 }, { 0, 20000 } }, never = { { 0, 0 } };
	struct flood f = { .link = l };
	struct timeval time_out = { 0, 20000 };
	sigset_t alarms;
	int i;

	/* SIGALRM is for the one who reads */
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	must(sigaction(SIGALRM, &(struct sigaction){ .sa_handler = alarmed }, NULL));
	for (i = 0; i < 5000; i++)
		put(&l->out, .opcode = opcode);
	check(!pthread_sigmask(SIG_BLOCK, &alarms, NULL));
	check(!pthread_create(&f.thread, NULL, flood, &f));
	check(!pthread_sigmask(SIG_UNBLOCK, &alarms, NULL));
	ends(l, EAGAIN, MSG_DONTWAIT);
	must(setitimer(ITIMER_REAL, &soon, NULL));
	ends(l, EINTR, 0);
	must(setitimer(ITIMER_REAL, &never, NULL));
	must(setsockopt(l->ws, SOL_SOCKET, SO_RCVTIMEO, &time_out, sizeof(time_out)));
	ends(l, EAGAIN, 0);
	f.over = true;
	must(shutdown(l->peer, SHUT_RDWR));
	check(!pthread_join(f.thread, NULL));
}

CASE(tls_regress, row39_a_reader_in_a_flood_of_pongs)
{
	flooded(LINK, OP_PONG);
}

/* Which are not shown to a caller without a control buffer. */
CASE(tls_regress, row39_a_reader_in_a_flood_of_empty_messages)
{
	flooded(LINK, OP_BINARY);
}

static void large_message(const struct shape *shape, const char *rmem)
{
	enum { LEN = 300000 };
	static char buffer[LEN];
	unsigned char *bytes = new_pattern(LEN, 28);
	ssize_t n, done;
	struct link l;
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_rmem", "w");

	check(f && fputs(rmem, f) >= 0 && !fclose(f));
	link_start_default(&l, shape);
	put(&l.out, .opcode = OP_BINARY, .payload = bytes, .len = LEN);
	peer_feed(&l);
	for (done = 0; done < LEN; done += n) {
		if (poll(&(struct pollfd){ l.ws, POLLIN }, 1, 20000) != 1)
			fail("tcp_rmem %s: nothing more after %zd bytes", rmem, done);
		n = must(recv(l.ws, buffer + done, LEN - done, MSG_DONTWAIT));
		check(n);
	}
	check(!memcmp(buffer, bytes, LEN));
	peer_fed(&l);
	link_close(&l);
	free(bytes);
}

/* The buffer is full after it was grown: a record is larger than that, or it cannot be grown twice. */
CASE(tls_regress, row28_small_default_buffers)
{
	fresh_netns();
	large_message(&variant->shape, "4096 4096 6291456");
	large_message(&variant->shape, "4096 16384 6291456");
	large_message(&variant->shape, "4096 87380 100000");
	large_message(&variant->shape, "4096 8192 16384");
}

/* Pongs that nobody takes: 16 of them, and not as many as the send buffer holds. */
CASE(tls_regress, row20_bursts_of_pings_not_read)
{
	static const unsigned char payload[CONTROL_MAX];
	int left, i, j;

	link_start_narrow(LINK, 4096);
	for (i = 0; i < 30; i++) {
		for (j = 0; j < 16; j++)
			put(OUT, .opcode = OP_PING, .payload = payload, .len = CONTROL_MAX);
		peer_write(LINK);
		peer_settle(LINK);
	}
	for (i = 0; i < 3000 && ws_info(self->link.ws).rx_pings != 480; i++)
		usleep(10000);
	equal(480, ws_info(self->link.ws).rx_pings);
	must(ioctl(self->link.ws, SIOCOUTQ, &left));
	if (left > 16 * (CONTROL_MAX + 6 + 50))
		fail("%d bytes of pongs wait", left);
}

/* What comes behind the peer's Close changes nothing, though Close waits for the program. */
CASE(tls_regress, row62_alert_behind_close)
{
	static const unsigned char failure[] = { 2, 40 };

	put(OUT, .opcode = OP_TEXT, .text = "before");
	put_close(OUT, 1000, "");
	peer_write(LINK);
	tls_send_record(self->link.peer, RECORD_ALERT, failure, 2);
	peer_settle(LINK);
	expect_text(LINK, "before");
	expect_end(LINK, 1000);
}

static void configure(struct link *l, unsigned int flags)
{
	link_configure(l, &(struct websocket_config){ .flags = flags | (l->shape.client ? WEBSOCKET_F_CLIENT : 0) });
}

/* The answer to the first of two messages is held back. */
static void hold_an_answer(struct link *l)
{
	configure(l, WEBSOCKET_F_CORK);
	put(&l->out, .opcode = OP_TEXT, .text = "one");
	put(&l->out, .opcode = OP_TEXT, .text = "two");
	peer_write(l);
	peer_settle(l);
	expect_text(l, "one");
	equal(7, ws_send(l->ws, OP_TEXT, "re: one", 7, 0));
}

CASE(tls_regress, close_behind_what_is_held_has_its_reason)
{
	hold_an_answer(LINK);
	equal(5, ws_send(self->link.ws, OP_CLOSE, "\x0f\xa0" "why", 5, 0));
	wire_expect(WIRE, OP_TEXT, true, "re: one", 7);
	wire_expect(WIRE, OP_CLOSE, true, "\x0f\xa0" "why", 5);
}

CASE(tls_regress, ping_behind_what_is_held)
{
	hold_an_answer(LINK);
	equal(1, ws_send(self->link.ws, OP_PING, "p", 1, MSG_DONTWAIT));
	wire_expect(WIRE, OP_TEXT, true, "re: one", 7);
	wire_expect(WIRE, OP_PING, true, "p", 1);
}

/* The peer's alert ends the connection: what was sent before goes out all the same, and FIN behind it. */
CASE(tls_regress, row62_alert_while_an_answer_is_held)
{
	hold_an_answer(LINK);
	tls_send_record(self->link.peer, RECORD_ALERT, "\2\50", 2);
	wire_expect(WIRE, OP_TEXT, true, "re: one", 7);
	wire_expect_end(WIRE);
}

CASE(tls_regress, close_into_a_full_buffer_has_its_reason)
{
	unsigned char *bytes = new_pattern(300000, 12);
	int before = 0, after = 0;
	socklen_t len = sizeof(int);

	link_start_narrow(LINK, 16384);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	must(getsockopt(self->link.ws, SOL_SOCKET, SO_SNDBUF, &before, &len));
	do
		while (ws_send(self->link.ws, OP_BINARY, bytes, 300000, MSG_DONTWAIT) > 0)
			;
	while (!ws_stuck(LINK));
	equal(5, ws_send(self->link.ws, OP_CLOSE, "\x0f\xa0" "why", 5, 0));
	must(getsockopt(self->link.ws, SOL_SOCKET, SO_SNDBUF, &after, &len));
	equal(before, after);
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.opcode != OP_CLOSE);
	equal(5, self->link.wire.seen.len);
	check(!memcmp(self->link.wire.seen.payload, "\x0f\xa0" "why", 5));
	free(bytes);
}

/* Close waits for room beyond its time limit: FIN goes behind it all the same, and behind what was sent before. */
CASE(tls_regress, close_time_behind_a_full_buffer)
{
	unsigned char *bytes = new_pattern(1000, 12);
	int sent = 0, i;

	link_start_narrow(LINK, 16384);
	link_configure(LINK, &(struct websocket_config){ .close_timeout_ms = 300 });
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 8192);
	do
		while (ws_send(self->link.ws, OP_BINARY, bytes, 1000, MSG_DONTWAIT) == 1000)
			sent++;
	while (!ws_stuck(LINK));
	put_close(OUT, 1000, "");
	peer_write(LINK);
	expect_end(LINK, 1000);
	usleep(800000);
	for (i = 0; i < sent; i++)
		wire_expect(WIRE, OP_BINARY, true, bytes, 1000);
	/* what the last send could do only in part */
	do
		equal(WIRE_FRAME, wire_read(WIRE));
	while (self->link.wire.seen.opcode != OP_CLOSE);
	wire_expect_end(WIRE);
	free(bytes);
}

/* A message and a reset come while the socket is locked: TLS says the reset before it looks at the message, if it is asked at once. */
CASE(tls_regress, row37_reset_behind_a_message_meanwhile)
{
	int i;

	for (i = 0; i < 40; i++) {
		char next = 0;
		struct held h = { .next = &next };
		struct link l;

		link_start_default(&l, &variant->shape);
		put(&l.out, .opcode = OP_TEXT, .text = "first");
		peer_write(&l);
		hold(&h, &l);
		put(&l.out, .opcode = OP_TEXT, .text = "2");
		peer_write(&l);
		link_reset_peer(&l);
		let_go(&h);
		equal(5, h.received.n);
		equal(1, h.received_next.n);
		equal('2', next);
		expect_error(&l, ECONNRESET);
		link_close(&l);
	}
}

/* A dead connection whose program does not come costs nothing. */
CASE(tls_regress, no_work_after_a_time_out)
{
	long long before;

	link_configure(LINK, &(struct websocket_config){ .ping_interval_ms = 100, .pong_timeout_ms = 100 });
	while (!ws_info(self->link.ws).error)
		usleep(10000);
	usleep(500000);
	before = counter("TlsWork");
	sleep(2);
	if (counter("TlsWork") - before > 2)
		fail("%lld runs of the work item", counter("TlsWork") - before);
	expect_error(LINK, ETIMEDOUT);
}

struct writer { int fd; bool over; };

static void *write_text(void *argument)
{
	static char text[300000];
	struct writer *w = argument;
	int i;

	memset(text, 'x', sizeof(text));
	for (i = 0; i < 30; i++)
		equal(sizeof(text), ws_send(w->fd, OP_TEXT, text, sizeof(text), 0));
	__atomic_store_n(&w->over, true, __ATOMIC_RELAXED);
	return NULL;
}

static void *write_binary(void *argument)
{
	struct writer *w = argument;

	while (!__atomic_load_n(&w->over, __ATOMIC_RELAXED))
		equal(1, ws_send(w->fd, OP_BINARY, "b", 1, 0));
	must(shutdown(w->fd, SHUT_WR));
	return NULL;
}

/* The lock is dropped in the middle of a message: another one waits for its end, whatever it is. */
CASE(tls_regress, row33_two_writers)
{
	struct writer w = { .fd = self->link.ws };
	pthread_t threads[2];
	int texts = 0;

	/* many frames a message */
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 16384);
	check(!pthread_create(threads, NULL, write_text, &w));
	check(!pthread_create(threads + 1, NULL, write_binary, &w));
	do {
		equal(WIRE_FRAME, wire_read(WIRE));
		texts += self->link.wire.seen.opcode == OP_TEXT;
	} while (self->link.wire.seen.opcode != OP_CLOSE);
	equal(30, texts);
	check(!pthread_join(threads[0], NULL) && !pthread_join(threads[1], NULL));
}

SELFTEST_MAIN
