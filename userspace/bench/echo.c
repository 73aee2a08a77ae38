// SPDX-License-Identifier: GPL-2.0
/* Echo: round trips on one connection; many connections with several messages in flight. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

static struct burst bursts[BURSTS];

static void make_bursts(size_t size, unsigned int count)
{
	for (unsigned int i = 0; i < BURSTS; i++)
		burst_make(&bursts[i], size, count, OP_BINARY);
}

static void free_bursts(void)
{
	for (unsigned int i = 0; i < BURSTS; i++)
		burst_free(&bursts[i]);
}

/* Fewer repetitions for large messages; each measured part takes some 50 million instructions. */
static unsigned int repetitions(size_t size, unsigned int least)
{
	unsigned int n = opt.count * 30000ULL / (30000 + size * 3);

	return n < least ? least : n;
}

/* One connection, one message at a time. */
void case_rtt(void)
{
	for (unsigned int s = 0; s < opt.nsizes; s++) {
		unsigned int i, n = repetitions(opt.sizes[s], 32);
		struct meter m;

		make_bursts(opt.sizes[s], 1);
		server_start();
		conns_open(1);
		for (i = 0; i < n / 2; i++)
			exchange(conns, &bursts[i % BURSTS]);
		meter_start(&m);
		for (i = 0; i < n; i++)
			exchange(conns, &bursts[i % BURSTS]);
		meter_stop(&m);
		result("rtt", opt.sizes[s], n, &m);
		conns_close();
		server_stop();
		free_bursts();
	}
}

static void begin(struct conn *c)
{
	c->sent = 0;
	c->done = 0;
	memset(&c->reader, 0, sizeof(c->reader));
}

/* Goes on sending the connection's burst. */
static void push(int epoll, struct conn *c)
{
	const struct burst *b = &bursts[c->nr % BURSTS];
	ssize_t n = send(c->fd, b->wire + c->sent, b->wire_len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
	bool blocked;

	if (n >= 0)
		c->sent += n;
	else if (errno != EAGAIN)
		die("send: %s", strerror(errno));
	blocked = c->sent < b->wire_len;
	if (blocked != c->blocked) {
		struct epoll_event e = { .events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.ptr = c };

		epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
		c->blocked = blocked;
	}
}

/* Return: whether the burst has come back. */
static bool pull(struct conn *c)
{
	const struct burst *b = &bursts[c->nr % BURSTS];
	ssize_t n = recv(c->fd, inbuf, sizeof(inbuf), MSG_DONTWAIT);

	if (n > 0)
		c->done = burst_check(b, &c->reader, inbuf, n);
	else if (n == 0 || errno != EAGAIN)
		die("recv: %s", n ? strerror(errno) : "end of stream");
	return c->done == b->count;
}

/* Every connection sends @n bursts, the next one when the last one has come back. */
static void run(int epoll, unsigned int n)
{
	unsigned int left = opt.conns, until = conns[0].nr + n;
	struct epoll_event events[64];

	for (unsigned int i = 0; i < opt.conns; i++) {
		begin(&conns[i]);
		push(epoll, &conns[i]);
	}
	while (left) {
		int ready = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < ready; i++) {
			struct conn *c = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				push(epoll, c);
			if (!(events[i].events & ~EPOLLOUT) || !pull(c))
				continue;
			begin(c);
			if (++c->nr == until)
				left--;
			else
				push(epoll, c);
		}
	}
}

/* Many connections, each with a burst of messages under way. */
void case_pipelined(void)
{
	for (unsigned int s = 0; s < opt.nsizes; s++) {
		unsigned int n = repetitions(opt.sizes[s], 8), i;
		int epoll = epoll_create1(EPOLL_CLOEXEC);
		struct meter m;

		make_bursts(opt.sizes[s], IN_FLIGHT);
		server_start();
		conns_open(opt.conns);
		for (i = 0; i < opt.conns; i++) {
			struct epoll_event e = { .events = EPOLLIN, .data.ptr = &conns[i] };

			epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &e);
		}
		run(epoll, n / 2 + 4);
		meter_start(&m);
		run(epoll, n);
		meter_stop(&m);
		result("pipelined", opt.sizes[s], (u64)n * opt.conns * IN_FLIGHT, &m);
		n = 4;
		syscalls_start();
		run(epoll, n);
		say("syscalls", opt.sizes[s], "\"each\": %.4f",
		    (double)syscalls_stop() / ((u64)n * opt.conns * IN_FLIGHT));
		conns_close();
		close(epoll);
		server_stop();
		free_bursts();
	}
}
