// SPDX-License-Identifier: GPL-2.0
/*
 * Heartbeats: idle connections, a ping on one after the other, as they come when they are spread over time.
 *
 * DESIGN NOTES
 *
 * Between two pings a connection is idle for longer than a retransmission time-out, as it is in real life. TCP
 * then acknowledges what comes at once, not with the next message, and this is part of the cost of a ping. So a
 * few connections are measured at a time, and then there is a pause.
 *
 * The client's own part is measured by the same loop against a peer that costs nothing meanwhile: the pongs are
 * there before the pings are sent. What remains is one send, one segment received and acknowledged, and one recv.
 * The segment is the ping, in the peer's socket, and stands for the pong, in the client's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define PING_LEN	4
#define CHUNK		50
#define STRIDE		7919	/* a prime: all connections have their turn */
#define PAUSE		300000	/* microseconds; TCP_RTO_MIN is 200,000 */

/* Pings on each of opt.conns connections, the number of which grows through opt.sizes. */
void case_pings(void)
{
	struct burst ping[BURSTS];
	struct meter m;

	for (unsigned int i = 0; i < BURSTS; i++)
		burst_make(&ping[i], PING_LEN, 1, OP_PING);
	server_start();
	for (unsigned int s = 0; s < opt.nsizes; s++) {
		unsigned int n = opt.sizes[s], i;

		opt.conns = n;
		conns_open(n);
		for (i = 0; i < n; i++)
			exchange(&conns[i], &ping[i % BURSTS]);
		usleep(PAUSE);
		meter_start(&m);
		for (i = 0; i < opt.count; i++) {
			exchange(&conns[i * STRIDE % n], &ping[i % BURSTS]);
			if (i % CHUNK < CHUNK - 1)
				continue;
			meter_pause(&m);
			usleep(PAUSE);
			meter_resume(&m);
		}
		meter_stop(&m);
		result("pings", n, opt.count, &m);
	}
	conns_close();
	server_stop();
	for (unsigned int i = 0; i < BURSTS; i++)
		burst_free(&ping[i]);
}

/* The other ends of all connections, in this process. */
static void pairs_open(int *peers, unsigned int n)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool raw = opt.raw;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || listen(fd, 4) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		die("no listening socket: %s", strerror(errno));
	server_port = ntohs(a.sin_port);
	opt.raw = true;		/* no handshake */
	for (unsigned int i = 0; i < n; i++) {
		conns_open(i + 1);
		peers[i] = accept(fd, NULL, NULL);
		if (peers[i] < 0)
			die("accept: %s", strerror(errno));
	}
	opt.raw = raw;
	close(fd);
}

/* The peers take a ping and send the pong to the next one. */
static void answer(int *peers, const struct burst *ping, unsigned int n, bool first)
{
	for (unsigned int i = 0; i < n; i++) {
		u8 buf[64];

		if (!first && recv(peers[i], buf, sizeof(buf), 0) != (ssize_t)ping->wire_len)
			die("no ping");
		send_all(peers[i], ping->reply, ping->unit);
	}
}

/* What the client itself costs in case_pings(). */
void case_pings_client(void)
{
	unsigned int n = opt.conns, rounds = 1 + opt.count / n, i, j, k;
	int *peers = calloc(n, sizeof(*peers));
	struct meter m = { 0 };
	struct burst ping;

	if (!peers)
		die("no memory");
	burst_make(&ping, PING_LEN, 1, OP_PING);
	pairs_open(peers, n);
	answer(peers, &ping, n, true);
	for (k = 0; k < rounds + 2; k++)
		for (i = 0; i < n; i += CHUNK) {
			unsigned int some = n - i < CHUNK ? n - i : CHUNK;
			u64 start = now();

			for (j = 0; j < some; j++)
				exchange(&conns[i + j], &ping);
			if (k >= 2)
				m.ns += now() - start;
			usleep(PAUSE);
			answer(peers + i, &ping, some, false);
		}
	m.self = m.ns;
	result("pings-client", 0, (u64)rounds * n, &m);
	conns_close();
	while (n)
		close(peers[--n]);
	free(peers);
	burst_free(&ping);
}
