// SPDX-License-Identifier: GPL-2.0
/*
 * Over TLS: what allocates or copies when records come, and when the protocol is attached, fails once, in system calls as well as in
 * the work item. Nothing is lost or doubled, and the connection works on. time limit: 600 s
 */
#include <netinet/tcp.h>

#include "inject.h"
#include "keys.h"
#include "shapes.h"

#define PLENTY	900	/* seconds for one test */

FIXTURE(secure) { struct link link; };
FIXTURE_VARIANT(secure) { struct shape shape; unsigned int version; };
FIXTURE_VARIANT_ADD(secure, tls12) { .shape = (struct shape){ SEGMENT_FRAME, IPV4 }, .version = TLS_1_2_VERSION };
FIXTURE_VARIANT_ADD(secure, tls13_client) { .shape = (struct shape){ SEGMENT_FRAME, IPV6, .client = true }, .version = TLS_1_3_VERSION };

FIXTURE_SETUP(secure)
{
	inject_setup();
	self->link.shape = variant->shape;
	link_tls = variant->version;
}

FIXTURE_TEARDOWN(secure) { }

/* A ping, and a message each way. */
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

TEST_F_TIMEOUT(secure, attach, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		struct websocket_config config = { .flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0 };
		struct tls_crypto_info info;
		socklen_t len = sizeof(info);
		int error;

		link_open(l, &variant->shape);
		tls_key(l->ws, variant->version, !variant->shape.client);
		tls_key(l->peer, variant->version, variant->shape.client);
		l->wire.tls = true;
		nth_arm(&at);
		error = ws_attach_tls(l->ws, &config) ? errno : 0;
		if (!error && getsockopt(l->ws, SOL_TLS, TLS_TX, &info, &len))
			equal(EFAULT, errno);
		nth_disarm(&at);
		check(!error || error == ENOMEM || error == EFAULT);
		check(!error || at.hit);
		if (error)
			must(ws_attach_tls(l->ws, &config));
		talk(l);
		link_close(l);
	}
}

/* Small records, each by itself and many at once, and large ones, which come in pages. The work item decrypts all of them. */
TEST_F_TIMEOUT(secure, records, PLENTY)
{
	unsigned char *bytes = new_pattern(50000, 1);
	struct link *l = LINK;

	EVERY_FAULT(at) {
		int i;

		link_start_default(l, &variant->shape);
		nth_arm(&at);
		for (i = 0; i < 20; i++) {
			put(OUT, .opcode = OP_TEXT, .text = "small");
			peer_write(l);
		}
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 50000);
		put(OUT, .opcode = OP_PING, .text = "seen");
		peer_write(l);
		wire_expect(WIRE, OP_PONG, true, "seen", 4);
		nth_disarm(&at);
		for (i = 0; i < 20; i++)
			expect_text(l, "small");
		expect_parts(l, OP_BINARY, bytes, 50000, 50000);
		talk(l);
		link_close(l);
	}
	free(bytes);
}

/* One large record, in one piece: the first thing that is wanted for it is its skb. */
TEST_F_TIMEOUT(secure, large, PLENTY)
{
	unsigned char *bytes = new_pattern(16000, 2);
	struct link *l = LINK;

	EVERY_FAULT(at) {
		link_start_default(l, &variant->shape);
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 16000);
		nth_arm(&at);
		peer_write(l);
		ws_wait(l->ws, POLLIN);
		nth_disarm(&at);
		expect_parts(l, OP_BINARY, bytes, 16000, 16000);
		talk(l);
		link_close(l);
	}
	free(bytes);
}

/* Tickets and an alert: of a record that cannot be read, the connection dies. */
TEST_F_TIMEOUT(secure, not_data, PLENTY)
{
	static const unsigned char failure[] = { 2, 40 };
	unsigned char ticket[400] = { [0] = 4, [2] = 1, [3] = 140 };
	struct link *l = LINK;

	EVERY_FAULT(at) {
		int error;

		link_start_default(l, &variant->shape);
		nth_arm(&at);
		tls_send_record(l->peer, RECORD_HANDSHAKE, ticket, sizeof(ticket));
		tls_send_record(l->peer, RECORD_ALERT, failure, 2);
		while (!(ws_wait(l->ws, POLLIN | POLLERR) & POLLERR))
			;
		nth_disarm(&at);
		error = ws_info(l->ws).error;
		check(error == ECONNABORTED || (error == EBADMSG && at.hit));
		link_close(l);
	}
}

/* The beginning of a frame that would keep a large skb: it is copied, or stays until it can be. */
TEST_F_TIMEOUT(secure, compact, PLENTY)
{
	unsigned char *bytes = new_pattern(16000, 1), *buffer = new_pattern(16000, 0);
	struct link *l = LINK;
	size_t have;

	EVERY_FAULT(at) {
		link_start_default(l, &variant->shape);
		set_option(l->ws, SOL_SOCKET, SO_RCVBUF, 1);
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = 16000);
		put(OUT, .opcode = OP_TEXT, .text = "its header is there");
		l->out.len -= 19;
		peer_write_raw(l, l->out.bytes, l->out.len);
		nth_arm(&at);
		for (have = 0; have < 16000; ) {
			struct received r = ws_recvmsg(l->ws, buffer + have, 16000 - have, MSG_DONTWAIT);

			if (r.error == EAGAIN)
				ws_wait(l->ws, POLLIN);
			else if (r.error)
				check(r.error == EFAULT);
			else
				have += r.n;
		}
		nth_disarm(&at);
		check(!memcmp(bytes, buffer, 16000));
		l->out.len += 19;
		peer_write_raw(l, l->out.bytes + l->out.len - 19, 19);
		stream_clear(OUT);
		expect_text(l, "its header is there");
		talk(l);
		link_close(l);
	}
	free(buffer);
	free(bytes);
}

TEST_F_TIMEOUT(secure, options, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		int one = 1, error;

		link_start_default(l, &variant->shape);
		nth_arm(&at);
		error = setsockopt(l->ws, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ? errno : 0;
		nth_disarm(&at);
		check(!error || (error == EFAULT && at.hit));
		talk(l);
		link_close(l);
	}
}

SELFTEST_MAIN
