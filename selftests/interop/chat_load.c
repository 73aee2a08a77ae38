// SPDX-License-Identifier: GPL-2.0
/*
 * Load for the chat server, by clients that speak RFC 6455 by themselves: each says numbered, checksummed messages, many of them in
 * fragments with a pause between, in a room of ROOM clients, and must hear every message of its room exactly once, each sender's in
 * order; pings it now and then. Another process, which is not held up by all that, has a few quiet connections, pings one of them
 * every PING_MS and measures how long each pong takes.
 *
 *	chat_load PORT CLIENTS SECONDS
 *
 * Prints "ready" when all are connected; on SIGTERM ends before its time is over; prints at the end lines of figures. Status 0:
 * nothing was lost, doubled, damaged or disconnected, and each ping answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROOM	10
#define PIECES	3
#define PIECES_PER_S 300
#define QUIET	8	/* connections of the process that pings */
#define PING_MS	100
#define PINGS	65536

struct client {
	int fd;
	uint32_t said;			/* messages begun */
	uint32_t piece;			/* of the one being said: pieces sent */
	char text[600];			/* it */
	size_t len;
	uint32_t heard[ROOM];		/* of each client of the room */
	double pinged;			/* a ping waits since; 0: none does */
	uint32_t pings;
	unsigned char in[8192];		/* bytes of frames */
	size_t have;
};

static struct client *all;
static int count;
static unsigned long long said, heard, pongs, bad, lost;
static double gap;
static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static uint32_t sum(const char *p, size_t n)
{
	uint32_t h = 2166136261;

	while (n--)
		h = (h ^ (unsigned char)*p++) * 16777619;
	return h;
}

static void complain(const struct client *c, const char *what, const char *text, size_t len)
{
	if (bad++ < 10)
		printf("client %d: %s: %.*s\n", (int)(c - all), what, (int)(len < 200 ? len : 200), text);
}

static void gone(struct client *c, const char *why)
{
	if (c->fd < 0)
		return;
	if (lost++ < 10)
		printf("client %d: %s: %s\n", (int)(c - all), why, strerror(errno));
	close(c->fd);
	c->fd = -1;
}

/* A masked frame. */
static void frame(struct client *c, int opcode, bool fin, const char *p, size_t n)
{
	static const unsigned char key[4] = { 0x12, 0x34, 0xab, 0xcd };
	unsigned char buf[1024];
	size_t head = 2;

	buf[0] = (fin ? 0x80 : 0) | opcode;
	buf[1] = 0x80 | (n < 126 ? n : 126);
	if (n >= 126) {
		buf[2] = n >> 8;
		buf[3] = n;
		head = 4;
	}
	memcpy(buf + head, key, 4);
	for (size_t i = 0; i < n; i++)
		buf[head + 4 + i] = p[i] ^ key[i % 4];
	n += head + 4;
	for (size_t done = 0; done < n;) {
		ssize_t k = send(c->fd, buf + done, n - done, MSG_NOSIGNAL);

		if (k < 0) {
			gone(c, "sending");
			return;
		}
		done += k;
	}
}

/* The next piece of a message, or a new one. */
static void say(struct client *c)
{
	size_t third;

	if (!c->piece) {
		uint32_t me = c - all, pad = (me * 7 + c->said * 13) % 300;
		char body[400];

		memset(body, 'a' + (me + c->said) % 26, pad);
		body[pad] = 0;
		c->len = snprintf(c->text, sizeof(c->text), "%u %u %s", me, c->said, body);
		c->len += snprintf(c->text + c->len, sizeof(c->text) - c->len, " %08x", sum(c->text, c->len));
		if (c->said++ % 2) {
			frame(c, 1, true, c->text, c->len);
			said++;
			return;
		}
	}
	third = c->len / PIECES;
	frame(c, c->piece ? 0 : 1, c->piece == PIECES - 1, c->text + c->piece * third,
	      c->piece == PIECES - 1 ? c->len - c->piece * third : third);
	said += c->piece == PIECES - 1;
	c->piece = (c->piece + 1) % PIECES;
}

/* {"type":"message","from":"...","text":"SENDER NUMBER BODY SUM"} */
static void hear(struct client *c, const char *json, size_t len)
{
	const char *text = memmem(json, len, "\"text\":\"", 8), *end = json + len - 2;
	unsigned int from, number, want, room = (c - all) / ROOM * ROOM;

	if (len < 20 || memmem(json, len < 20 ? len : 20, "joined", 6))
		return;
	if (!text || sscanf(text + 8, "%u %u", &from, &number) != 2 || end - text < 20 || sscanf(end - 8, "%8x", &want) != 1) {
		complain(c, "not a message", json, len);
		return;
	}
	if (sum(text + 8, end - 9 - (text + 8)) != want)
		complain(c, "damaged", json, len);
	if (from < room || from >= room + ROOM) {
		complain(c, "of another room", json, len);
		return;
	}
	if (number != c->heard[from - room])
		complain(c, number < c->heard[from - room] ? "doubled" : "one before it is lost", json, len);
	c->heard[from - room] = number + 1;
	heard++;
}

static void receive(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->have, sizeof(c->in) - c->have, MSG_DONTWAIT);
	size_t at = 0;

	if (n <= 0) {
		if (!n || errno != EAGAIN)
			gone(c, n ? "receiving" : "the end");
		return;
	}
	c->have += n;
	while (c->have - at >= 2) {
		unsigned char *f = c->in + at;
		size_t head = (f[1] & 127) == 126 ? 4 : 2, len = head == 4 ? f[2] << 8 | f[3] : f[1] & 127;

		if (c->have - at < head + len)
			break;
		if (f[0] == 0x81)
			hear(c, (char *)f + head, len);
		else if (f[0] == 0x89)
			frame(c, 10, true, (char *)f + head, len);
		else if (f[0] == 0x8a && c->pinged && len == 8) {
			if (now() - c->pinged > gap)
				gap = now() - c->pinged;
			c->pinged = 0;
			pongs++;
		} else
			complain(c, "an unexpected frame", "", 0);
		at += head + len;
	}
	memmove(c->in, c->in + at, c->have - at);
	c->have -= at;
}

/* To the lobby. */
static void join(struct client *c, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char head[1024];
	size_t have = 0;
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to))) {
		perror("connect");
		exit(2);
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	dprintf(c->fd, "GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
	while (have < sizeof(head) - 1 && !memmem(head, have, "\r\n\r\n", 4)) {
		if (recv(c->fd, head + have, 1, 0) != 1)
			exit(2);
		have++;
	}
	if (strncmp(head, "HTTP/1.1 101", 12))
		exit(2);
}

/* Of its own. */
static void enter_room(struct client *c)
{
	char room[32];

	frame(c, 1, true, room, snprintf(room, sizeof(room), "/room r%d", (int)(c - all) / ROOM));
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Whatever else the quiet connections hear, which is what is said in the lobby, is passed over. Return: the pong to @sent came. */
static bool pong_to(struct client *c, double sent)
{
	ssize_t n = recv(c->fd, c->in + c->have, sizeof(c->in) - c->have, 0);
	size_t at = 0;
	bool found = false;

	if (n <= 0) {
		gone(c, n ? "receiving" : "the end");
		return false;
	}
	c->have += n;
	while (c->have - at >= 2) {
		unsigned char *f = c->in + at;
		size_t head = (f[1] & 127) == 126 ? 4 : 2, len = head == 4 ? f[2] << 8 | f[3] : f[1] & 127;

		if (c->have - at < head + len)
			break;
		if (f[0] == 0x89)
			frame(c, 10, true, (char *)f + head, len);
		found |= f[0] == 0x8a && len == sizeof(sent) && !memcmp(f + head, &sent, len);
		at += head + len;
	}
	memmove(c->in, c->in + at, c->have - at);
	c->have -= at;
	return found;
}

/*
 * The process that pings. How late its own sleeps end is what the machine adds to each figure. Return: exit status.
 */
static int ping_all_the_while(int port)
{
	static double waits[PINGS];
	double late = 0, begin, due;
	int n = 0;

	all = calloc(QUIET, sizeof(*all));
	for (int i = 0; i < QUIET; i++)
		join(&all[i], port);
	for (begin = due = now(); !stop && n < PINGS && !lost; due += PING_MS / 1e3) {
		struct client *c = &all[n % QUIET];
		double sent = now();

		if (due < sent)
			due = sent;
		usleep((due - sent) * 1e6);
		sent = now();
		if (sent - due > late)
			late = sent - due;
		frame(c, 9, true, (char *)&sent, sizeof(sent));
		while (c->fd >= 0 && !pong_to(c, sent))
			;
		waits[n++] = now() - sent;
	}
	qsort(waits, n, sizeof(*waits), by_size);
	printf("%d pings, one after the other in %.0f s: answered after %.1f ms (median), %.1f ms (99 of 100), %.1f ms (longest); the "
	       "process that measured was late itself by up to %.1f ms\n", n, now() - begin, waits[n / 2] * 1e3, waits[n * 99 / 100] * 1e3,
	       waits[n - 1] * 1e3, late * 1e3);
	return !n || lost;
}

static void drain(int ep, int ms)
{
	struct epoll_event ev[128];
	int n = epoll_wait(ep, ev, 128, ms);

	for (int i = 0; i < n; i++)
		if (((struct client *)ev[i].data.ptr)->fd >= 0)
			receive(ev[i].data.ptr);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	int ep = epoll_create1(0), turn = 0, pings_failed = 0;
	double begin, end;
	pid_t pinger;

	if (argc < 4)
		return 2;
	setrlimit(RLIMIT_NOFILE, &files);
	count = atoi(argv[2]) / ROOM * ROOM;
	all = calloc(count, sizeof(*all));
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, on_term);
	pinger = fork();
	if (!pinger)
		return ping_all_the_while(atoi(argv[1]));
	for (int i = 0; i < count; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &all[i] };

		join(&all[i], atoi(argv[1]));
		enter_room(&all[i]);
		epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &ev);
		drain(ep, 0);
	}
	/* rooms are entered when this has gone round */
	for (end = now() + 3; now() < end;)
		drain(ep, 100);
	printf("ready\n");
	begin = now();
	for (end = begin + atof(argv[3]); now() < end && !stop; turn++) {
		struct client *c = &all[turn % count];

		/* at its pace, and no more than some thousand unheard: what is measured is the server, not a machine without time */
		while ((turn > PIECES_PER_S * (now() - begin) || said * ROOM > heard + 5000) && !stop)
			drain(ep, 5);
		if (c->fd >= 0)
			say(c);
		if (c->fd >= 0 && turn % 16 == 0 && !c->pinged) {
			c->pinged = now();
			c->pings++;
			frame(c, 9, true, (char *)&c->pinged, 8);
		}
		drain(ep, 0);
	}
	for (int i = 0; i < count; i++)
		while (all[i].fd >= 0 && all[i].piece)
			say(&all[i]);
	for (end = now() + 60; now() < end && heard < said * ROOM && !lost;)
		drain(ep, 100);
	if (heard != said * ROOM)
		printf("%llu messages were heard, not %llu\n", heard, said * ROOM);
	for (int i = 0; i < count; i++)
		if (all[i].pinged && now() - all[i].pinged > gap)
			gap = now() - all[i].pinged;
	printf("%d clients, %.0f s: %llu messages said, %llu heard, %llu lost or doubled or damaged, %llu disconnects, %llu pongs, "
	       "longest wait for one %.0f ms\n", count, now() - begin, said, heard, bad + (said * ROOM - heard), lost, pongs, gap * 1e3);
	kill(pinger, SIGTERM);
	waitpid(pinger, &pings_failed, 0);
	return pings_failed || bad || lost || heard != said * ROOM;
}
