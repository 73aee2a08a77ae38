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

SELFTEST_MAIN
