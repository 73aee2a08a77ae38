// SPDX-License-Identifier: GPL-2.0
/* kws connect: a client for people and scripts. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../kmod/core/close.h"
#include "close_payload.h"
#include "kws_tls.h"
#include "tool.h"

#define MAX_MESSAGES	64	/* -m */
#define IN_SIZE		65536

static const char help[] =
"usage: kws connect [OPTION]... ws[s]://HOST[:PORT][/PATH]\n"
"\n"
"Sends each line of its input as a text message, and prints the text messages that come,\n"
"one a line. At the end of the input it waits for more, and closes.\n"
"\n"
"  -m, --message TEXT     send this instead of the input (again for more); wait for as\n"
"                         many messages as were sent\n"
"  -b, --binary           the input is one binary message (-m: so are those); what comes\n"
"                         is written as it is, without ends of lines\n"
"  -n, --count N          close after N received messages\n"
"  -P, --ping             send a ping, and print how long the pong took\n"
"  -w, --wait SECS        after the input, close when nothing came for so long (default 1)\n"
"  -t, --timeout SECS     give up when what is waited for did not come (default 10)\n"
"  -c, --close CODE[:REASON]  close with this (default 1000)\n"
"  -s, --subprotocol LIST subprotocols to offer\n"
"  -o, --origin ORIGIN    send this Origin\n"
"  -H, --header LINE      send this header too (again for more)\n"
"      --max-message SIZE refuse to receive larger ones (default 64M)\n"
"      --cacert FILE      wss: trust these authorities (PEM), not those of the system\n"
"      --insecure         wss: do not check the server's certificate\n"
"  -v, --verbose          print the reason too when the server closes: not for end users\n"
"  -h, --help             this text\n"
"\n"
"Exit status: 0 closed in order; 1 usage; 2 no connection; 3 the connection failed;\n"
"4 too late; 5 closed by the server too early, or with another code than 1000, 1001,\n"
"none, and that of -c.\n";

/**
 * struct client - everything
 * @message, @messages: of -m; @next: which one comes
 * @wanted: received messages before closing; 0: close when it is quiet
 * @got: received so far
 * @wait_for_pong: none came yet
 * @in, @in_len: input that was not sent yet
 * @in_end: nothing comes after it
 * @piece: what is being sent: a message or a part of one, of argv or of @in
 * @open: a message was begun and not ended
 * @blocked: the socket does not take more now
 * @closing: Close was sent, or cannot be
 * @progress: when something was last sent or received, or input came, ms
 * @bytes: of a message that is being received
 * @held: the last byte of its text so far, if that may begin a control character
 */
struct client {
	int fd;
	const char *message[MAX_MESSAGES];
	unsigned int messages, next;
	unsigned long wanted, got;
	bool binary, wait_for_pong, verbose;
	struct kws_tls_options tls;
	uint32_t wait_ms, timeout_ms;
	uint16_t code;
	const char *reason;
	char in[IN_SIZE];
	size_t in_len;
	bool in_end;
	struct piece {
		const char *data;
		size_t len;
		size_t eat;	/* bytes of @in that go with it */
		bool more;	/* of the message follows */
		bool there;
	} piece;
	bool open, blocked, closing;
	uint64_t progress, ping_us;
	unsigned long bytes;
	unsigned char held;
};

#define PING	"kws"

static void parse_close(struct client *c, char *arg)
{
	char *colon = strchr(arg, ':');
	uint8_t payload[CLOSE_MAX];
	int len;

	if (colon) {
		*colon = 0;
		c->reason = colon + 1;
	}
	c->code = parse_number("--close", arg, 1000, 4999);
	len = close_payload(payload, c->code, c->reason);
	if (len < 0)
		fatal(EXIT_USAGE, "--close: the reason has more than 123 bytes");
	switch (ws_close_check(payload, len, &c->code)) {
	case WS_FAIL_NONE:
		break;
	case WS_FAIL_CLOSE_UTF8:
		fatal(EXIT_USAGE, "--close: the reason is not UTF-8");
	default:
		fatal(EXIT_USAGE, "--close: %s must not be sent, but 1000 to 1003, 1007 to 1014, 3000 to 4999", arg);
	}
}

static void append(const char *name, const char **list, unsigned int *count, const char *arg)
{
	if (*count == MAX_MESSAGES - 1)
		fatal(EXIT_USAGE, "--%s: at most %d of them", name, MAX_MESSAGES - 1);
	list[(*count)++] = arg;
}

enum { OPT_MAX = 256, OPT_CA, OPT_INSECURE };

static const struct option options[] = {
	{ "message", required_argument, NULL, 'm' },
	{ "binary", no_argument, NULL, 'b' },
	{ "count", required_argument, NULL, 'n' },
	{ "ping", no_argument, NULL, 'P' },
	{ "wait", required_argument, NULL, 'w' },
	{ "timeout", required_argument, NULL, 't' },
	{ "close", required_argument, NULL, 'c' },
	{ "subprotocol", required_argument, NULL, 's' },
	{ "origin", required_argument, NULL, 'o' },
	{ "header", required_argument, NULL, 'H' },
	{ "max-message", required_argument, NULL, OPT_MAX },
	{ "cacert", required_argument, NULL, OPT_CA },
	{ "insecure", no_argument, NULL, OPT_INSECURE },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 }
};

static void set_option(struct client *c, struct kws_options *opt, struct websocket_config *config, int option)
{
	static const char *headers[MAX_MESSAGES];
	static unsigned int n_headers;

	switch (option) {
	case 'm':
		append("message", c->message, &c->messages, optarg);
		break;
	case 'b':
		c->binary = true;
		break;
	case 'n':
		c->wanted = parse_number("--count", optarg, 1, 1000000000);
		break;
	case 'P':
		c->wait_for_pong = true;
		config->flags |= WEBSOCKET_F_PONG;
		break;
	case 'w':
		c->wait_ms = parse_seconds("--wait", optarg);
		break;
	case 't':
		c->timeout_ms = parse_seconds("--timeout", optarg);
		break;
	case 'c':
		parse_close(c, optarg);
		break;
	case 's':
		opt->subprotocols = optarg;
		break;
	case 'o':
		opt->origin = optarg;
		break;
	case 'H':
		append("header", headers, &n_headers, optarg);
		opt->headers = headers;
		break;
	case OPT_MAX:
		config->max_message = parse_size("--max-message", optarg);
		break;
	case OPT_CA:
		c->tls.ca = optarg;
		break;
	case OPT_INSECURE:
		c->tls.flags |= KWS_TLS_F_INSECURE;
		break;
	case 'v':
		c->verbose = true;
		break;
	case 'h':
		fputs(help, stdout);
		exit(0);
	default:
		exit(EXIT_USAGE);
	}
}

static void connect_to(struct client *c, const char *url, struct kws_options *opt)
{
	struct kws_tls *tls = NULL;
	char why[200] = "";

	opt->why = c->tls.why = why;
	opt->why_size = c->tls.why_size = sizeof(why);
	opt->timeout_ms = c->timeout_ms;
	if (c->tls.ca || c->tls.flags) {
		tls = kws_tls_client(&c->tls);
		if (!tls)
			fatal(EXIT_USAGE, "%s", *why ? why : "no memory");
	}
	c->fd = kws_tls_connect(url, tls, opt);
	kws_tls_free(tls);
	if (c->fd >= 0)
		return;
	/* ENOENT: the module is not loaded */
	fatal(c->fd == -EINVAL || c->fd == -EPROTONOSUPPORT || c->fd == -ENOENT || c->fd == -ENOMEM ? EXIT_USAGE : EXIT_CONNECT,
	      "%s: %s", url, *why ? why : kws_strerror(c->fd));
}

/*
 * Sending
 */

/* Sees to it that there is a piece to send. Return: false: not now. */
static bool next_piece(struct client *c)
{
	char *newline = memchr(c->in, '\n', c->in_len);
	struct piece *p = &c->piece;

	if (p->there)
		return true;
	*p = (struct piece){ .data = c->in };
	if (c->next < c->messages) {
		p->data = c->message[c->next++];
		p->len = strlen(p->data);
	} else if (newline && !c->binary) {
		p->len = newline - c->in;
		p->eat = p->len + 1;
	} else if (c->binary || c->in_end || c->in_len == sizeof(c->in)) {
		/* the message goes on, unless this is the end of the input; that may show only now */
		if (!c->in_len && !(c->in_end && c->open))
			return false;
		p->len = p->eat = c->in_len;
		p->more = !c->in_end;
	} else {
		return false;
	}
	p->there = true;
	return true;
}

static void send_pieces(struct client *c)
{
	struct piece *p = &c->piece;

	c->blocked = false;
	while (!c->closing && next_piece(c)) {
		int opcode = c->open ? 0 : c->binary ? WEBSOCKET_OP_BINARY : WEBSOCKET_OP_TEXT;
		ssize_t n = kws_send(c->fd, opcode, p->data, p->len, MSG_DONTWAIT | (p->more ? MSG_MORE : 0));

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			c->blocked = true;
			return;
		}
		if (n < 0) {
			c->closing = true;	/* why: receiving will say */
			return;
		}
		c->progress = clock_ms();
		c->open = p->more || (size_t)n < p->len;
		p->there = (size_t)n < p->len;
		p->data += n;
		p->len -= n;
		if (!p->there) {
			c->in_len -= p->eat;
			memmove(c->in, c->in + p->eat, c->in_len);
		}
	}
}

static uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

static void send_ping(struct client *c)
{
	ssize_t n;

	c->ping_us = clock_us();
	n = kws_send(c->fd, WEBSOCKET_OP_PING, PING, strlen(PING), 0);
	if (n < 0)
		fatal(EXIT_FAILED, "ping: %s", kws_strerror(n));
}

static void send_close(struct client *c)
{
	int err = kws_close(c->fd, c->code, c->reason);

	if (err && err != -EPIPE)
		fatal(err == -EINVAL || err == -EMSGSIZE ? EXIT_USAGE : EXIT_FAILED, "close: %s", kws_strerror(err));
	c->closing = true;
	c->progress = clock_ms();
}

/*
 * Receiving
 */

/* What a stranger writes: on a terminal without control characters. @held: as in struct client; 0 at the beginning. */
static void print_text(FILE *to, const char *text, size_t len, unsigned char *held)
{
	if (!isatty(fileno(to))) {
		fwrite(text, 1, len, to);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = text[i];

		if (*held && byte >= 0xa0)
			putc(*held, to);
		/* U+0080 to U+009F are 0xc2 and such a byte */
		if ((*held && byte < 0xa0) || (byte < ' ' && byte != '\n' && byte != '\t') || byte == 0x7f)
			putc('?', to);
		else if (byte != 0xc2)
			putc(byte, to);
		*held = byte == 0xc2 ? byte : 0;
	}
}

/* A pong that nobody asked for is none (RFC 6455 5.5.3). */
static void hear_pong(struct client *c, const char *data, size_t len)
{
	if (!c->wait_for_pong || len != strlen(PING) || memcmp(data, PING, len))
		return;
	printf("pong after %.2f ms\n", (clock_us() - c->ping_us) / 1000.0);
	c->wait_for_pong = false;
	c->progress = clock_ms();
}

static void show(struct client *c, const struct kws_message *msg, const char *data, size_t len)
{
	if (msg->opcode == WEBSOCKET_OP_PONG) {
		hear_pong(c, data, len);
		return;
	}
	c->progress = clock_ms();
	c->bytes = msg->begin ? len : c->bytes + len;
	if (c->binary)
		fwrite(data, 1, len, stdout);
	else if (msg->opcode == WEBSOCKET_OP_TEXT)
		print_text(stdout, data, len, &c->held);
	if (!msg->end)
		return;
	c->got++;
	if (!c->binary && msg->opcode == WEBSOCKET_OP_TEXT)
		putchar('\n');
	else if (!c->binary)
		printf("(binary, %lu bytes)\n", c->bytes);
}

/* The connection has ended. Return: exit status. */
static int ended(struct client *c, uint16_t code)
{
	bool done = c->got >= c->wanted && !c->wait_for_pong && !c->piece.there;
	char reason[124] = "";
	unsigned char held = 0;

	if (code == 1006)
		fatal(EXIT_FAILED, "the connection ended without Close");
	if (done && (code == 1000 || code == 1001 || code == 1005 || (c->closing && code == c->code)))
		return 0;
	/* RFC 6455 5.5.1: for debugging only */
	if (c->verbose && kws_close_reason(c->fd, reason, sizeof(reason)) < 0)
		*reason = 0;
	fprintf(stderr, "kws: closed by the server: %d%s", code, *reason ? " " : "");
	print_text(stderr, reason, strlen(reason), &held);
	fputc('\n', stderr);
	return EXIT_CLOSED;
}

/* Return: exit status; -1: go on. */
static int receive(struct client *c)
{
	static char buf[65536];
	struct kws_message msg;
	ssize_t n;

	for (int i = 0; i < 64; i++) {
		n = kws_recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT, &msg);
		if (n == -EAGAIN || n == -EINTR)
			break;
		if (n == -EMSGSIZE)
			fatal(EXIT_FAILED, "the server's message is larger than --max-message allows");
		if (n < 0)
			fatal(n == -ETIMEDOUT ? EXIT_LATE : EXIT_FAILED, "%s", kws_strerror(n));
		if (kws_is_end(&msg))
			return ended(c, msg.close_code);
		show(c, &msg, buf, n);
	}
	fflush(stdout);
	return -1;
}

static void read_input(struct client *c)
{
	ssize_t n = read(STDIN_FILENO, c->in + c->in_len, sizeof(c->in) - c->in_len);

	if (n < 0 && errno != EINTR)
		fatal(EXIT_USAGE, "input: %s", strerror(errno));
	if (n >= 0)
		c->progress = clock_ms();
	if (n > 0)
		c->in_len += n;
	c->in_end = n == 0;
}

/*
 * The loop
 */

/* Milliseconds until Close: when all is sent and nothing waited for, after some time without messages; -1: not yet. */
static int time_to_close(const struct client *c)
{
	uint64_t quiet = clock_ms() - c->progress;

	if (c->closing || c->piece.there || c->open || c->wait_for_pong)
		return -1;
	if (c->wanted)
		return c->got >= c->wanted ? 0 : -1;
	if (!c->in_end)
		return -1;
	return quiet < c->wait_ms ? c->wait_ms - quiet : 0;
}

/* Milliseconds until it is too late; -1: there is time, for nothing is waited for but input. */
static int time_to_give_up(const struct client *c)
{
	uint64_t quiet = clock_ms() - (c->wait_for_pong ? c->ping_us / 1000 : c->progress);

	if (!c->in_end && !c->blocked && !c->closing && c->got >= c->wanted && !c->wait_for_pong)
		return -1;
	return quiet < c->timeout_ms ? c->timeout_ms - quiet : 0;
}

static int talk(struct client *c)
{
	c->progress = clock_ms();
	for (;;) {
		int status, close_in, late_in;
		struct pollfd p[2] = { { .fd = c->fd, .events = POLLIN }, { .fd = -1, .events = POLLIN } };

		send_pieces(c);
		close_in = time_to_close(c);
		if (!close_in) {
			send_close(c);
			continue;
		}
		late_in = time_to_give_up(c);
		if (!late_in)
			fatal(EXIT_LATE, "%s for %.1f s", c->wait_for_pong ? "no pong" : "nothing came", c->timeout_ms / 1000.0);
		if (c->blocked)
			p[0].events |= POLLOUT;
		else if (!c->in_end && !c->closing)
			p[1].fd = STDIN_FILENO;
		if (poll(p, 2, close_in >= 0 && (late_in < 0 || close_in < late_in) ? close_in : late_in) <= 0)
			continue;
		if (p[1].revents)
			read_input(c);
		status = p[0].revents ? receive(c) : -1;
		if (status >= 0)
			return status;
	}
}

int connect_main(int argc, char **argv)
{
	static struct client c = { .wait_ms = 1000, .timeout_ms = 10000, .code = 1000 };
	struct websocket_config config = { .flags = 0, .max_message = 64 << 20 };
	struct kws_options opt = { .config = &config };
	int option;

	while ((option = getopt_long(argc, argv, "m:bn:Pw:t:c:s:o:H:vh", options, NULL)) >= 0)
		set_option(&c, &opt, &config, option);
	if (optind + 1 != argc)
		fatal(EXIT_USAGE, "which URL? See kws connect --help");
	if (!c.timeout_ms)
		fatal(EXIT_USAGE, "--timeout: 0 is no time");
	c.in_end = c.messages;
	if (!c.wanted)
		c.wanted = c.messages;
	connect_to(&c, argv[optind], &opt);
	if (c.wait_for_pong)
		send_ping(&c);
	option = talk(&c);
	close(c.fd);
	if (fflush(stdout))
		fatal(EXIT_USAGE, "output: %s", strerror(errno));
	return option;
}
