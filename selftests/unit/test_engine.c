// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The user-space engine over a transport that does what sockets rarely do. */
#include <netinet/in.h>
#include <poll.h>
#include <sys/wait.h>

#include "fake.h"

/*
 * What comes without end
 */

static void pings_without_end(void)
{
	struct timeval limit = { .tv_usec = 50000 };
	struct kws_message msg;

	fake_begin(NULL);
	fake_frames(WS_OP_PING, "x", 1, 10000);
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
	fake_frames(WS_OP_PING, "0123456789", 10, 80000);
	fake_frame(WS_OP_TEXT, "behind them", 11);
	CHECK(fake_recv(0, &msg) == 11 && msg.end, "the message");
	CHECK(engine_timeout(fake.e) == -1, "%d ms", engine_timeout(fake.e));
	fake_end();
}

static void bytes_without_end_behind_close(void)
{
	struct kws_message msg;

	fake_begin(NULL);
	fake_frames(WS_OP_TEXT, "y", 1, 10000);
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

/* Nothing is lost without a reset. */
static void end_with_a_message_behind_many_pings(void)
{
	fake_begin(NULL);
	fake_frames(WS_OP_PING, "0123456789", 10, 80000);
	fake_frame(WS_OP_TEXT, "unread", 6);
	fake_end();
	CHECK(fake.aborted, "it ended in order");
	/* who does not stop is not heard for ever */
	fake_begin(NULL);
	fake_frames(WS_OP_PING, "x", 1, 10000);
	fake.again = true;
	fake_end();
	CHECK(fake.aborted && fake.reads < MANY_CALLS, "%u reads", fake.reads);
	fake_begin(NULL);
	fake_frames(WS_OP_PING, "0123456789", 10, 80000);
	fake_end();
	CHECK(!fake.aborted, "a reset with nothing unread");
}

/*
 * A transport that takes nothing at first, with nothing waiting before
 */

static void empty_message(void)
{
	struct websocket_batch one = { .opcode = WEBSOCKET_OP_TEXT };

	fake_begin(NULL);
	fake.refuse = 1;
	CHECK(fake_send(WS_OP_TEXT, 0, 0) == 0, "send");
	CHECK(fake.out_len == 6, "%zu bytes", fake.out_len);
	fake.refuse = 1;
	CHECK(fake_send(WS_OP_TEXT, 0, MSG_DONTWAIT) == -EAGAIN && fake.out_len == 6, "MSG_DONTWAIT");
	fake.refuse = 1;
	CHECK(engine_send_batch(fake.e, NULL, 0, 0, &one, 1) == 0 && fake.out_len == 12, "batch");
	fake.refuse = 1;
	CHECK(fake_send(WS_OP_PING, 0, 0) == 0 && fake.out_len == 18, "ping");
	CHECK(fake.e->tx_messages == 2, "%llu messages", (unsigned long long)fake.e->tx_messages);
	fake_end();
}

/* poll() returns at once while a byte is unread: it has to be read for the call to sleep. */
static void unread_byte(void)
{
	static const struct {
		u8 opcode;
		size_t len;
	} sends[] = { { WS_OP_BINARY, 0 }, { WS_OP_BINARY, 100 }, { WS_OP_BINARY, 5000 }, { WS_OP_PONG, 3 } };

	for (unsigned int i = 0; i < ARRAY_SIZE(sends); i++) {
		fake_begin(NULL);
		CHECK(write(fake.fd[1], "", 1) == 1, "write");
		fake.refuse = MANY_CALLS * 2;
		fake.refuse_until_read = fake.reads + 3;
		CHECK(fake_send(sends[i].opcode, sends[i].len, 0) == (ssize_t)sends[i].len, "send %u", i);
		CHECK(fake.refused <= 3 && fake.out_len > sends[i].len, "%u times refused, %zu bytes", fake.refused,
		      fake.out_len);
		fake_end();
	}
}

static void unread_byte_and_a_batch(void)
{
	struct iovec iov = { "abc", 3 };
	struct websocket_batch two[] = { { .opcode = WEBSOCKET_OP_TEXT, .len = 1 }, { .opcode = WEBSOCKET_OP_TEXT, .len = 2 } };

	fake_begin(NULL);
	CHECK(write(fake.fd[1], "", 1) == 1, "write");
	fake.refuse = MANY_CALLS * 2;
	fake.refuse_until_read = fake.reads + 3;
	CHECK(engine_send_batch(fake.e, &iov, 1, 0, two, 2) == 3, "batch");
	CHECK(fake.refused <= 3 && fake.out_len == 15, "%u times refused, %zu bytes", fake.refused, fake.out_len);
	fake_end();
}

/* What was sent behind a frame that is cut off would be taken for the rest of it. */
static void no_memory_amid_a_frame(void)
{
	struct kws_message msg;
	size_t out;

	fake_begin(NULL);
	fake.room = 50;
	fake.no_memory = true;
	CHECK(fake_send(WS_OP_BINARY, 100, MSG_DONTWAIT) == -ENOMEM, "send");
	fake.no_memory = false;
	out = fake.out_len;
	CHECK(out == 50, "%zu bytes", out);
	fake.room = SIZE_MAX;
	fake_frames(WS_OP_PING, "0123456789", 10, 3);
	CHECK(fake_recv(MSG_DONTWAIT, &msg) == -ENOMEM, "the error");
	CHECK(fake_send(WS_OP_BINARY, 10, MSG_DONTWAIT) == -ENOMEM, "the error again");
	fake_send_close();
	CHECK(fake.out_len == out && !fake.e->tx_pongs, "%zu bytes behind it, %u pongs", fake.out_len - out, fake.e->tx_pongs);
	fake_end();
	CHECK(fake.out_len == out, "%zu bytes at the end", fake.out_len - out);
	CHECK(fake.aborted, "it ended in order");
}

/*
 * Streaming
 */

/* What of it carries nothing is no reason to call recv. */
static void nothing_behind_a_part(void)
{
	const struct websocket_config cfg = { .flags = WEBSOCKET_F_PING, .max_message = 1 << 30 };
	const size_t size = HOLD_MAX - 10;
	struct kws_message msg;
	struct iovec iov;
	size_t got = 0;

	fake_begin(&cfg);
	fake.in_len = ws_frame_encode(fake.in, WS_OP_BINARY, false, size, false, 0);
	engine_run(fake.e);
	for (size_t sent = 0; sent < size; sent += fake.in_len) {
		fake.in_len = size - sent < sizeof(fake.in) ? size - sent : sizeof(fake.in);
		fake.in_at = 0;
		engine_read_on(fake.e);
	}
	while (got < size - 100) {
		size_t n = size - 100 - got;

		iov = (struct iovec){ fake.out, n < sizeof(fake.out) ? n : sizeof(fake.out) };
		CHECK(engine_recv(fake.e, &iov, 1, MSG_DONTWAIT, &msg, NULL, NULL) == (ssize_t)iov.iov_len, "a part at %zu", got);
		got += iov.iov_len;
	}
	fake.in_len = fake.in_at = 0;
	fake_frame(WS_OP_PING, "ping", 4);
	fake_frame(WS_OP_PONG, "pong", 4);
	fake.in_len += ws_frame_encode(fake.in + fake.in_len, WS_OP_CONTINUATION, false, 0, false, 0);
	engine_run(fake.e);
	CHECK(fake.in_at == fake.in_len, "%zu bytes read", fake.in_at);
	CHECK(fake_recv(MSG_DONTWAIT, &msg) == 100 && !msg.end, "the last part");
	CHECK(engine_pending(fake.e) && fake_recv(MSG_DONTWAIT, &msg) == 4 && msg.opcode == WS_OP_PING, "the ping");
	CHECK(!engine_pending(fake.e), "pending");
	CHECK(fake_recv(MSG_DONTWAIT, &msg) == -EAGAIN, "nothing");
	fake_frame(WS_OP_CONTINUATION, "end", 3);
	CHECK(fake_recv(MSG_DONTWAIT, &msg) == 3 && msg.opcode == WS_OP_BINARY && msg.end, "the end of the message");
	CHECK(!engine_pending(fake.e), "pending at the end");
	fake_end();
}

/*
 * The end
 */

static void last_message_and_close_in_one_read(void)
{
	struct kws_message msg;

	fake_begin(NULL);
	fake_send_close();
	fake_frame(WS_OP_TEXT, "last", 4);
	fake_frame(WS_OP_PING, "", 0);
	fake_frame(WS_OP_CLOSE, "\x03\xe8", 2);
	CHECK(fake_recv(0, &msg) == 4 && msg.opcode == WS_OP_TEXT && msg.end, "the message");
	CHECK(fake.e->head == fake.e->ready && fake.e->tail == fake.e->head, "head %llu, tail %llu",
	      (unsigned long long)fake.e->head, (unsigned long long)fake.e->tail);
	CHECK(fake_recv(0, &msg) == 0 && kws_is_end(&msg) && msg.close_code == 1000, "the end");
	fake_end();
}

/* The frames that were sent: their payload, and whether Close is the last. */
static size_t payload_sent(bool *closed)
{
	size_t at = 0, sum = 0;
	struct ws_header h;

	*closed = false;
	while (at < fake.out_len && ws_frame_decode(&h, fake.out + at, fake.out_len - at, true, 0) > 0) {
		at += h.size + h.len;
		*closed = h.opcode == WS_OP_CLOSE;
		sum += *closed ? 0 : h.len;
	}
	CHECK(at == fake.out_len, "%zu bytes cut off", at - fake.out_len);
	return sum;
}

/* Who frees the connection at the end must not lose what TCP had no room for. */
static void end_with_no_room(void)
{
	struct kws_message msg;
	bool closed;

	/* the peer's Close; or ours, too */
	for (int ours = 0; ours < 2; ours++) {
		fake_begin(NULL);
		fake.room = 1000;
		CHECK(fake_send(WS_OP_BINARY, 50000, 0) == 50000, "send");
		if (ours)
			fake_send_close();
		fake_frame(WS_OP_CLOSE, "\x03\xe8", 2);
		for (int i = 0; i < 3; i++) {
			CHECK(fake_recv(MSG_DONTWAIT, &msg) == -EAGAIN, "the end with %zu bytes out", fake.out_len);
			CHECK(!engine_pending(fake.e), "pending with %zu bytes out", fake.out_len);
			CHECK(engine_events(fake.e) & POLLOUT, "events %#x", engine_events(fake.e));
			fake.room = 1000;
		}
		fake.in_ended = true;
		CHECK(fake_recv(MSG_DONTWAIT, &msg) == -EAGAIN, "the end because of the peer's FIN");
		CHECK(!engine_pending(fake.e), "pending because of the peer's FIN");
		fake.room = SIZE_MAX;
		engine_run(fake.e);
		CHECK(engine_pending(fake.e), "not pending");
		CHECK(fake_recv(MSG_DONTWAIT, &msg) == 0 && kws_is_end(&msg) && msg.close_code == 1000, "no end");
		fake_end();
		CHECK(!fake.aborted && payload_sent(&closed) == 50000 && closed, "%zu bytes, Close %d", payload_sent(&closed), closed);
	}
}

/* It does not go on for ever. */
static void end_with_no_room_ever(void)
{
	const struct websocket_config cfg = { .close_timeout_ms = 500 };
	struct kws_message msg;

	fake_begin(&cfg);
	fake.room = 1000;
	CHECK(fake_send(WS_OP_BINARY, 50000, 0) == 50000, "send");
	fake_frame(WS_OP_CLOSE, "\x03\xe8", 2);
	CHECK(fake_recv(MSG_DONTWAIT, &msg) == -EAGAIN, "the end at once");
	CHECK(engine_timeout(fake.e) == 500, "%d ms", engine_timeout(fake.e));
	fake.ms += 499;
	CHECK(fake_recv(MSG_DONTWAIT, &msg) == -EAGAIN, "the end too early");
	fake.ms += 1;
	CHECK(fake_recv(MSG_DONTWAIT, &msg) == 0 && kws_is_end(&msg) && msg.close_code == 1000, "no end");
	fake_end();
}

/*
 * TCP
 */

/* A connection over loopback: [0] is a server's. */
static void tcp_pair(int fd[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	fd[1] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(!bind(listener, (void *)&addr, len) && !listen(listener, 1) && !getsockname(listener, (void *)&addr, &len), "listen");
	CHECK(!connect(fd[1], (void *)&addr, len), "connect");
	fd[0] = accept(listener, NULL, NULL);
	CHECK(fd[0] >= 0, "accept");
	close(listener);
}

/* An urgent byte is one of the stream. */
static void urgent_byte(void)
{
	static const char frame[] = "\x82\x85\0\0\0\0hello";
	struct kws_message msg;
	struct kws_conn *c;
	char buf[10];
	ssize_t n;
	int fd[2];

	for (size_t urgent = 1; urgent < sizeof(frame); urgent++) {
		struct pollfd p;

		tcp_pair(fd);
		c = kws_conn_new(fd[0], NULL, KWS_ENGINE_USER);
		CHECK(send(fd[1], frame, urgent, MSG_OOB) == (ssize_t)urgent, "send");
		send(fd[1], frame + urgent, sizeof(frame) - 1 - urgent, 0);
		p = (struct pollfd){ .fd = fd[0], .events = POLLIN };
		for (n = -EAGAIN; n == -EAGAIN && poll(&p, 1, 1000) == 1;)
			n = kws_conn_recv(c, buf, sizeof(buf), MSG_DONTWAIT, &msg);
		CHECK(n == 5 && msg.end && !memcmp(buf, "hello", 5), "%zd, byte %zu urgent", n, urgent);
		kws_conn_free(c);
		close(fd[1]);
	}
}

/* TCP calls a reset behind FIN EPIPE, and says nothing of it to who reads. */
static void reset_behind_fin(void)
{
	static const char frame[] = "\x81\x83\0\0\0\0one";
	struct linger now = { .l_onoff = 1 };

	for (int what = 0; what < 4; what++) {
		struct kws_message msg;
		struct kws_conn *c;
		char buf[10];
		ssize_t n;
		int fd[2];

		tcp_pair(fd);
		c = kws_conn_new(fd[0], NULL, KWS_ENGINE_USER);
		send(fd[1], frame, sizeof(frame) - 1, 0);
		CHECK(!shutdown(fd[1], SHUT_WR), "shutdown");
		/* the first read takes FIN, or the reset is there as well */
		if (what & 1)
			kws_conn_run(c);
		setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd[1]);
		if (what & 2) {
			n = kws_conn_send(c, WEBSOCKET_OP_TEXT, "x", 1, 0);
			CHECK(n == -ECONNRESET, "%zd of the first send, %d", n, what);
		}
		n = kws_conn_recv(c, buf, sizeof(buf), MSG_DONTWAIT, &msg);
		CHECK(n == 3, "%zd bytes, %d", n, what);
		for (int i = 0; i < 2; i++) {
			n = kws_conn_recv(c, buf, sizeof(buf), MSG_DONTWAIT, &msg);
			CHECK(n == -ECONNRESET, "%zd of recv, %d", n, what);
		}
		n = kws_conn_send(c, WEBSOCKET_OP_TEXT, "x", 1, 0);
		CHECK(n == -ECONNRESET, "%zd of send, %d", n, what);
		kws_conn_free(c);
	}
}

/* A message in hand defers the peer's Close: it is the end, whatever fails behind it. */
static void reset_behind_close(void)
{
	static const char frames[] = "\x81\x83\0\0\0\0one\x88\x82\0\0\0\0\x03\xe8";
	struct linger now = { .l_onoff = 1 };

	for (int sends = 0; sends < 3; sends++) {
		struct kws_message msg;
		struct kws_conn *c;
		char buf[10];
		ssize_t n;
		int fd[2];

		tcp_pair(fd);
		c = kws_conn_new(fd[0], NULL, KWS_ENGINE_USER);
		CHECK(send(fd[1], frames, sizeof(frames) - 1, 0) == sizeof(frames) - 1, "send");
		n = kws_conn_recv(c, buf, sizeof(buf), 0, &msg);
		CHECK(n == 3, "%zd bytes", n);
		setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd[1]);
		for (int i = 0; i < sends; i++) {
			n = kws_conn_send(c, WEBSOCKET_OP_TEXT, "x", 1, 0);
			CHECK(n == -EPIPE, "%zd of send %d", n, i);
		}
		n = kws_conn_recv(c, buf, sizeof(buf), MSG_DONTWAIT, &msg);
		CHECK(n == 0 && kws_is_end(&msg) && msg.close_code == 1000, "%zd behind %d sends, Close %d", n, sends, msg.close_code);
		kws_conn_free(c);
	}
}

/*
 * Masking keys
 */

enum { KEYS = 10 };

static void next_keys(u32 *keys)
{
	for (int i = 0; i < KEYS; i++) {
		size_t at = fake.out_len;

		CHECK(fake_send(WS_OP_TEXT, 0, 0) == 0 && fake.out_len == at + 6, "send");
		memcpy(&keys[i], fake.out + at + 2, 4);
	}
}

/* Two of 10 keys and 10 others are the same once in 40 million runs. */
static void keys_after_fork(void)
{
	u32 ours[KEYS], childs[KEYS] = { 0 };
	int pipe_fd[2], same = 0;
	pid_t pid;

	fake_begin(NULL);
	CHECK(fake_send(WS_OP_TEXT, 0, 0) == 0, "send");
	CHECK(!pipe(pipe_fd), "pipe");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		next_keys(childs);
		_exit(write(pipe_fd[1], childs, sizeof(childs)) != sizeof(childs));
	}
	next_keys(ours);
	CHECK(read(pipe_fd[0], childs, sizeof(childs)) == sizeof(childs), "read");
	CHECK(waitpid(pid, NULL, 0) == pid, "wait");
	for (int i = 0; i < KEYS; i++)
		for (int j = 0; j < KEYS; j++)
			same += ours[i] == childs[j];
	CHECK(!same, "%d keys of the child's are the parent's", same);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	fake_end();
}

static void no_keys(void)
{
	struct websocket_batch one = { .opcode = WEBSOCKET_OP_TEXT };
	ssize_t n = 0;
	size_t out;

	fake_begin(NULL);
	fake.no_random = true;
	for (int i = 0; i < 1000 && !n; i++)
		n = fake_send(WS_OP_TEXT, 0, 0);
	CHECK(n == -EPERM, "%zd", n);
	out = fake.out_len;
	CHECK(fake_send(WS_OP_TEXT, 5000, 0) == -EPERM, "a message");
	CHECK(fake_send(WS_OP_PING, 0, 0) == -EPERM, "a ping");
	CHECK(engine_send_batch(fake.e, NULL, 0, 0, &one, 1) == -EPERM, "a batch");
	CHECK(fake.out_len == out, "%zu bytes", fake.out_len - out);
	fake.no_random = false;
	CHECK(fake_send(WS_OP_TEXT, 5, 0) == 5, "send");
	/* nor is Close, for which the peer would be waited for */
	fake.no_random = true;
	for (n = 0; !n;)
		n = fake_send(WS_OP_TEXT, 0, 0);
	fake_send_close();
	CHECK(engine_timeout(fake.e) > 0, "%d ms", engine_timeout(fake.e));
	fake.ms += engine_timeout(fake.e);
	engine_run(fake.e);
	CHECK(fake.e->error == ETIMEDOUT, "error %d", fake.e->error);
	fake_end();
}

/*
 * Options
 */

static void defaults_again(void)
{
	const struct websocket_config some = { .flags = WEBSOCKET_F_TEXT, .ping_interval_ms = 1000 };
	struct websocket_info info;
	struct kws_conn *c;
	int fd[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd), "socketpair");
	c = kws_conn_new(fd[0], &some, KWS_ENGINE_USER);
	CHECK(kws_conn_timeout(c) > 0, "%d ms", kws_conn_timeout(c));
	CHECK(!kws_conn_configure(c, NULL), "configure");
	CHECK(!kws_conn_info(c, &info) && !info.flags, "flags %#x", info.flags);
	CHECK(kws_conn_timeout(c) == -1, "%d ms", kws_conn_timeout(c));
	kws_conn_free(c);
	close(fd[1]);

	/* the role cannot be changed */
	fake_begin(NULL);
	CHECK(engine_configure(fake.e, NULL) == -EINVAL, "a client's");
	fake_end();
}

static const struct tap_test tests[] = {
	{ "pings without end do not hold the thread", pings_without_end },
	{ "a message behind many pings", message_behind_many_pings },
	{ "the end with a message behind many pings", end_with_a_message_behind_many_pings },
	{ "bytes without end behind Close do not hold the thread", bytes_without_end_behind_close },
	{ "an empty message that finds no room is sent later", empty_message },
	{ "a send that waits reads what comes", unread_byte },
	{ "a batch that waits reads what comes", unread_byte_and_a_batch },
	{ "nothing is sent behind a frame that is cut off for want of memory", no_memory_amid_a_frame },
	{ "frames that carry nothing behind a part of a message", nothing_behind_a_part },
	{ "the last message and Close in one read, behind our Close", last_message_and_close_in_one_read },
	{ "the end while the last frame and Close have no room", end_with_no_room },
	{ "the end though they never get it", end_with_no_room_ever },
	{ "urgent bytes are of the stream", urgent_byte },
	{ "a reset behind FIN is one", reset_behind_fin },
	{ "the peer's Close ends the messages, not the reset behind it", reset_behind_close },
	{ "a child's masking keys are not its parent's", keys_after_fork },
	{ "without random numbers nothing is sent", no_keys },
	{ "kws_conn_configure(c, NULL): the defaults", defaults_again },
};

TAP_MAIN(tests)
