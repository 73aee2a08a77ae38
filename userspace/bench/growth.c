// SPDX-License-Identifier: GPL-2.0
/* Costs that must not grow with what is queued: fragments of one message, messages nobody has read. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define SAMPLE	50	/* messages measured at each depth of the queue */
#define ROUNDS	40	/* so often, for what they cost in all */

/* Messages of so many one-byte fragments. */
void case_fragments(void)
{
	server_start();
	for (unsigned int s = 0; s < opt.nsizes; s++) {
		unsigned int i, n = 1 + opt.count / opt.sizes[s];
		struct burst message;
		struct meter m;

		burst_make_fragments(&message, opt.sizes[s], 1);
		conns_open(1);
		for (i = 0; i < 2; i++)
			exchange(conns, &message);
		meter_start(&m);
		for (i = 0; i < n; i++)
			exchange(conns, &message);
		meter_stop(&m);
		result("fragments", opt.sizes[s], n * opt.sizes[s], &m);
		conns_close();
		burst_free(&message);
	}
	server_stop();
}

static void send_messages(const struct burst *b, unsigned int from, unsigned int n)
{
	size_t len = b->wire_len / b->count;

	for (; n; n--, from++)
		send_all(conns->fd, b->wire + from * len, len);
}

/* Messages arrive while so many are unread, because the process is stopped; then all are read and come back. */
static void arrive_unread(const struct burst *all, struct meter *arrive, struct meter *read)
{
	unsigned int depth = all->count - SAMPLE;

	kill(server, SIGSTOP);
	waitpid(server, NULL, WUNTRACED);
	send_messages(all, 0, depth);
	meter_resume(arrive);
	send_messages(all, depth, SAMPLE);
	meter_pause(arrive);
	memset(&conns->reader, 0, sizeof(conns->reader));
	conns->done = 0;
	meter_resume(read);
	kill(server, SIGCONT);
	exchange_finish(conns, all, -1);
	meter_pause(read);
}

static void measure_depth(unsigned int depth)
{
	struct meter arrive = { 0 }, read = { 0 };
	struct burst all;

	burst_make(&all, 16, depth + SAMPLE, OP_BINARY);
	conns_open(1);
	exchange(conns, &all);
	for (unsigned int i = 0; i < ROUNDS; i++)
		arrive_unread(&all, &arrive, &read);
	result("unread", depth, ROUNDS * SAMPLE, &arrive);
	result("unread-read", depth, ROUNDS * (depth + SAMPLE), &read);
	conns_close();
	burst_free(&all);
}

void case_unread(void)
{
	server_start();
	for (unsigned int s = 0; s < opt.nsizes; s++)
		measure_depth(opt.sizes[s]);
	server_stop();
}
