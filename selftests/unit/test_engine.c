// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The user-space engine over a transport that does what sockets rarely do, and its use of time. */
#include "fake.h"

/*
 * What comes without end
 */

static void fill_with(u8 opcode, const void *payload, size_t len, unsigned int nr)
{
	while (nr--)
		fake_frame(opcode, payload, len);
}

static void pings_without_end(void)
{
	struct timeval limit = { .tv_usec = 50000 };
	struct kws_message msg;

	fake_begin(NULL);
	fill_with(WS_OP_PING, "x", 1, 10000);
	fake.again = true;
	engine_run(fake.e);
	CHECK(fake.reads <= 2 + GONE_MAX / READ_SIZE * 2, "%u reads", fake.reads);
	CHECK(!fake.e->error, "error %d", fake.e->error);
	CHECK(engine_timeout(fake.e) == 0, "%d ms", engine_timeout(fake.e));
	CHECK(fake_recv(MSG_DONTWAIT, &msg) == -EAGAIN, "MSG_DONTWAIT");
	/* a millisecond for each read */
	fake.read_ms = 1;
	CHECK(!setsockopt(fake.fd[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), "SO_RCVTIMEO");
	CHECK(fake_recv(0, &msg) == -EAGAIN, "SO_RCVTIMEO");
	CHECK(fake.ms < 100, "%llu ms", (unsigned long long)fake.ms);
	fake_end();
}

static void message_behind_many_pings(void)
{
	struct kws_message msg;

	fake_begin(NULL);
	fill_with(WS_OP_PING, "0123456789", 10, 80000);
	fake_frame(WS_OP_TEXT, "behind them", 11);
	CHECK(fake_recv(0, &msg) == 11 && msg.end, "the message");
	CHECK(engine_timeout(fake.e) == -1, "%d ms", engine_timeout(fake.e));
	fake_end();
}

static void bytes_without_end_behind_close(void)
{
	struct kws_message msg;

	fake_begin(NULL);
	fill_with(WS_OP_TEXT, "y", 1, 10000);
	fake_frame(WS_OP_CLOSE, "\x03\xe8", 2);
	for (int i = 0; i < 10000; i++)
		CHECK(fake_recv(MSG_DONTWAIT, &msg) == 1, "message %d", i);
	CHECK(fake_recv(MSG_DONTWAIT, &msg) == 0 && kws_is_end(&msg), "the end");
	fake.again = true;
	fake.in_at = 0;
	fake.reads = 0;
	engine_run(fake.e);
	CHECK(fake.reads <= 2 + GONE_MAX / READ_SIZE * 2, "%u reads", fake.reads);
	CHECK(fake_recv(MSG_DONTWAIT, &msg) == 0 && msg.close_code == 1000, "the end again");
	fake_end();
}

static const struct tap_test tests[] = {
	{ "pings without end do not hold the thread", pings_without_end },
	{ "a message behind many pings", message_behind_many_pings },
	{ "bytes without end behind Close do not hold the thread", bytes_without_end_behind_close },
};

TAP_MAIN(tests)
