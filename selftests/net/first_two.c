// SPDX-License-Identifier: GPL-2.0
/*
 * Row 22: a frame's first two bytes in all their values, as the first frame of a connection to a server, against a model
 * of a few lines. What follows is whatever the length needs, zero. With RSV bits, which decide alone, every eighth value
 * stands for its neighbours, and so it does for a client, where the mask bit means the opposite. time limit: 300 s
 */
#include "shapes.h"

FIXTURE(first_two) { struct link link; int listener; };
FIXTURE_VARIANT(first_two) { unsigned int high; };	/* FIN and RSV */
#define HIGH(name, value) FIXTURE_VARIANT_ADD(first_two, name) { value }
HIGH(more, 0x0);
HIGH(more_rsv3, 0x1);
HIGH(more_rsv2, 0x2);
HIGH(more_rsv23, 0x3);
HIGH(more_rsv1, 0x4);
HIGH(more_rsv13, 0x5);
HIGH(more_rsv12, 0x6);
HIGH(more_rsv123, 0x7);
HIGH(fin, 0x8);
HIGH(fin_rsv3, 0x9);
HIGH(fin_rsv2, 0xa);
HIGH(fin_rsv23, 0xb);
HIGH(fin_rsv1, 0xc);
HIGH(fin_rsv13, 0xd);
HIGH(fin_rsv12, 0xe);
HIGH(fin_rsv123, 0xf);

FIXTURE_SETUP(first_two)
{
	self->listener = tcp_listen(IPV4);
}

FIXTURE_TEARDOWN(first_two)
{
	close(self->listener);
}

enum verdict { MESSAGE, INCOMPLETE, PONGED, NOTHING, CLOSED, BROKEN };

static enum verdict model(unsigned char b0, unsigned char b1, bool client)
{
	unsigned int opcode = b0 & 15, len = b1 & 127;
	bool fin = b0 & 0x80, masked = b1 & 0x80;

	if (b0 & 0x70 || masked == client)
		return BROKEN;
	if (opcode == OP_TEXT || opcode == OP_BINARY)
		return fin && len < 126 ? MESSAGE : INCOMPLETE;
	if (opcode < OP_CLOSE || opcode > OP_PONG || !fin || len > CONTROL_MAX)
		return BROKEN;
	if (opcode == OP_CLOSE)		/* a payload of zeros has code 0 */
		return len ? BROKEN : CLOSED;
	return opcode == OP_PING ? PONGED : NOTHING;
}

/* Both bytes and what has to follow them; lengths over 125 are minimal and their payload does not come. */
static size_t frame(unsigned char *bytes, unsigned char b0, unsigned char b1)
{
	unsigned int len = b1 & 127;
	size_t n = 2;

	memset(bytes, 0, 200);
	bytes[0] = b0;
	bytes[1] = b1;
	if (len == 126) {
		bytes[3] = 126;
		n += 2;
	} else if (len == 127) {
		bytes[7] = 1;
		n += 8;
	}
	n += b1 & 0x80 ? 4 : 0;
	return len < 126 ? n + len : n;
}

static void one(struct link *l, int listener, unsigned int b0, unsigned int b1, bool client)
{
	static const unsigned char zeros[CONTROL_MAX];
	struct websocket_config config = { .flags = client ? WEBSOCKET_F_CLIENT : 0 };
	unsigned char bytes[200];
	size_t len = frame(bytes, b0, b1);

	l->shape.client = client;
	l->peer = tcp_connect(listener, 0);
	l->ws = must(accept(listener, NULL, NULL));
	l->wire = (struct wire){ .fd = l->peer, .expect_mask = client,
				 .bytes = l->wire.bytes, .room = l->wire.room };
	must(ulp_attach(l->ws));
	must(ws_configure(l->ws, &config));
	equal(len, send(l->peer, bytes, len, 0));
	switch (model(b0, b1, client)) {
	case BROKEN:
		refuses(EPROTO, recv(l->ws, bytes, 1, 0));
		wire_expect_close(&l->wire, 1002);
		break;
	case MESSAGE:
		expect_message(l, b0 & 15, zeros, b1 & 127);
		break;
	case PONGED:
		wire_expect(&l->wire, OP_PONG, true, zeros, b1 & 127);
		expect_nothing(l);
		break;
	case CLOSED:
		expect_end(l, 1005);
		wire_expect_close(&l->wire, 1005);
		break;
	default:
		/* what is wrong is answered on the spot: nothing was */
		refuses(EAGAIN, recv(l->ws, bytes, 1, MSG_DONTWAIT));
		refuses(EAGAIN, recv(l->peer, bytes, 1, MSG_DONTWAIT));
	}
	link_reset_peer(l);
	link_close_ws(l);
}

/* Those of the variant's high half; a step of 8 still meets every second byte, and every first one with many. */
static void all(FIXTURE_DATA(first_two) *self, unsigned int high, unsigned int step, bool client)
{
	unsigned int b0, b1;

	for (b0 = high << 4; b0 < (high + 1) << 4; b0++)
		for (b1 = b0 % step; b1 < 256; b1 += step)
			one(LINK, self->listener, b0, b1, client);
}

TEST_F_TIMEOUT(first_two, row22_server, 200)
{
	all(self, variant->high, variant->high & 7 ? 8 : 1, false);
}

TEST_F_TIMEOUT(first_two, row22_client, 200)
{
	all(self, variant->high, 8, true);
}

SELFTEST_MAIN
