// SPDX-License-Identifier: GPL-2.0
/* libwebsockets as the client, one connection a test. Prints TAP. Usage: with_lws PORT */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libwebsockets.h>

#define LIMIT	60	/* seconds for a test; the whole program has a limit too */

/* One test: a message of size bytes goes out in frames of at most frame bytes, and has to come back; then a ping; then Close. */
static const struct test {
	const char *name;
	size_t size, frame;
	bool text;
	size_t ping;
	enum lws_close_status code;
} tests[] = {
	{ "text", 5, 5, true, 4, LWS_CLOSE_STATUS_NORMAL },
	{ "an empty message", 0, 1, false, 1, LWS_CLOSE_STATUS_NORMAL },
	{ "125 bytes", 125, 125, false, 125, LWS_CLOSE_STATUS_GOINGAWAY },
	{ "126 bytes", 126, 126, false, 1, LWS_CLOSE_STATUS_NORMAL },
	{ "65535 bytes", 65535, 65535, false, 1, LWS_CLOSE_STATUS_NORMAL },
	{ "65536 bytes", 65536, 65536, false, 1, 3000 },
	{ "1 MiB", 1 << 20, 1 << 20, false, 1, LWS_CLOSE_STATUS_NORMAL },
	{ "1 MiB of text", 1 << 20, 1 << 20, true, 1, LWS_CLOSE_STATUS_NORMAL },
	{ "fragments", 1000, 7, true, 1, LWS_CLOSE_STATUS_NORMAL },
	{ "large fragments", 300000, 70000, false, 1, LWS_CLOSE_STATUS_NORMAL },
};

#define N_TESTS (sizeof(tests) / sizeof(*tests))

enum step { SEND, RECEIVE, PING, PONG, CLOSING, OVER };

/* The test that runs. */
static const struct test *test;
static enum step step;
static size_t sent, received;
static const char *failure;
static unsigned char *buffer;		/* LWS_PRE bytes, then the message */

static unsigned char byte_at(size_t i)
{
	return test->text ? 'a' + i % 23 : i * 167 >> 3;
}

static int fail(const char *why)
{
	failure = why;
	step = OVER;
	return -1;
}

static int send_frame(struct lws *wsi)
{
	size_t len = test->size - sent < test->frame ? test->size - sent : test->frame;
	bool last = sent + len == test->size;
	int flags = lws_write_ws_flags(test->text ? LWS_WRITE_TEXT : LWS_WRITE_BINARY, !sent, last);

	for (size_t i = 0; i < len; i++)
		buffer[LWS_PRE + i] = byte_at(sent + i);
	if (lws_write(wsi, buffer + LWS_PRE, len, flags) < (int)len)
		return fail("lws_write() failed");
	sent += len;
	if (last)
		step = RECEIVE;
	else
		lws_callback_on_writable(wsi);
	return 0;
}

static int receive(struct lws *wsi, const unsigned char *in, size_t len)
{
	if (received + len > test->size || lws_frame_is_binary(wsi) == test->text)
		return fail("too much came back, or of the other type");
	for (size_t i = 0; i < len; i++)
		if (in[i] != byte_at(received + i))
			return fail("another byte came back");
	received += len;
	if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi))
		return 0;
	if (received != test->size)
		return fail("too little came back");
	step = PING;
	lws_callback_on_writable(wsi);
	return 0;
}

static int writeable(struct lws *wsi)
{
	if (step == SEND)
		return send_frame(wsi);
	if (step != PING)
		return 0;
	memset(buffer + LWS_PRE, 'p', test->ping);
	step = PONG;
	return lws_write(wsi, buffer + LWS_PRE, test->ping, LWS_WRITE_PING) < 0 ? fail("the ping was not sent") : 0;
}

static int pong(struct lws *wsi, size_t len)
{
	if (step != PONG || len != test->ping)
		return fail("a pong that answers no ping");
	step = CLOSING;
	lws_close_reason(wsi, test->code, (unsigned char *)"done", 4);
	return -1;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	(void)user;
	switch (reason) {
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		lws_callback_on_writable(wsi);
		return 0;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		return fail(in ? in : "no connection");
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return writeable(wsi);
	case LWS_CALLBACK_CLIENT_RECEIVE:
		return receive(wsi, in, len);
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		return pong(wsi, len);
	case LWS_CALLBACK_CLIENT_CLOSED:
		if (step != OVER && step != CLOSING)
			fail("the server closed");
		step = OVER;
		return 0;
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = { { .name = "chat", .callback = callback }, { 0 } };

static void run(struct lws_context *context, int port)
{
	struct lws_client_connect_info info = {
		.context = context, .address = "127.0.0.1", .port = port, .path = "/", .host = "127.0.0.1",
		.origin = "http://127.0.0.1", .protocol = "chat", .local_protocol_name = "chat",
	};
	time_t start = time(NULL);

	step = SEND;
	sent = received = 0;
	failure = NULL;
	buffer = malloc(LWS_PRE + test->frame + test->ping);
	if (!lws_client_connect_via_info(&info))
		fail("no connection");
	while (step != OVER && time(NULL) - start < LIMIT)
		lws_service(context, 0);
	if (step != OVER)
		failure = "too late";
	free(buffer);
}

int main(int argc, char **argv)
{
	struct lws_context_creation_info info = { .port = CONTEXT_PORT_NO_LISTEN, .protocols = protocols };
	struct lws_context *context;
	int bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	lws_set_log_level(LLL_ERR, NULL);
	context = argc > 1 ? lws_create_context(&info) : NULL;
	if (!context)
		return 1;
	printf("1..%zu\n", N_TESTS);
	for (size_t i = 0; i < N_TESTS; i++) {
		test = &tests[i];
		run(context, atoi(argv[1]));
		if (failure)
			printf("# %s after %zu bytes sent, %zu received\n", failure, sent, received);
		printf("%sok %zu - %s\n", failure ? "not " : "", i + 1, test->name);
		bad += !!failure;
	}
	return bad ? 1 : 0;	/* the context may still hold a failed connection: leave it */
}
