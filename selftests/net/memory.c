// SPDX-License-Identifier: GPL-2.0
/*
 * Row 42: less memory than the sockets could hold: a memory cgroup's limit, and TCP's own (tcp_mem). Nothing is lost, nobody is
 * killed, and messages that do not fit beside each other do not wait for each other: they come in parts.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "shapes.h"

#define CGROUPS	"/sys/fs/cgroup"
#define TCP_MEM	"/proc/sys/net/ipv4/tcp_mem"

enum {
	LINKS = 16,
#ifdef OVER_TLS
	LIMIT = 256 << 20,
#else
	LIMIT = 4 << 20,	/* of the cgroup */
#endif
	LEN = 900000,		/* of a message: all of them are three times the limit, or TCP's */
};

FIXTURE(memory) { struct link links[LINKS]; unsigned char *bytes; };
FIXTURE_VARIANT(memory) { bool client; };
FIXTURE_VARIANT_ADD(memory, server) {};
FIXTURE_VARIANT_ADD(memory, client) { .client = true };

static void write_file(const char *path, const char *text)
{
	int fd = must(open(path, O_WRONLY));

	must(write(fd, text, strlen(text)));
	close(fd);
}

static void join(const char *cgroup)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	write_file(path, "0");
}

/* The number behind @key in a file of the cgroup; of one without keys, its number. */
static long long of_cgroup(const char *file, const char *key)
{
	char path[128], line[256];
	long long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), CGROUPS "/kws/%s", file);
	f = fopen(path, "r");
	check(f);
	while (value < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			value = atoll(line + strlen(key));
	fclose(f);
	check(value >= 0);
	return value;
}

/* The socket under test belongs to the cgroup, its peer does not. */
static void open_link(struct link *l, bool client)
{
	static const struct websocket_config defaults;
	int listener = tcp_listen(IPV4), connected, accepted;

	if (client)
		join(CGROUPS "/kws");
	connected = tcp_connect(listener, 0);
	join(client ? CGROUPS : CGROUPS "/kws");
	accepted = must(accept(listener, NULL, NULL));
	join(CGROUPS);
	close(listener);
	*l = (struct link){
		.ws = client ? connected : accepted,
		.peer = client ? accepted : connected,
		.shape = { .segmentation = SEGMENT_ALL, .client = client },
	};
	stream_init(&l->out, !client);
	l->wire.fd = l->peer;
	l->wire.expect_mask = client;
	link_start(l, &defaults);
}

FIXTURE_SETUP(memory)
{
	char limit[16];
	int i;

	write_file(CGROUPS "/cgroup.subtree_control", "+memory");
	if (mkdir(CGROUPS "/kws", 0755))
		equal(EEXIST, errno);
	snprintf(limit, sizeof(limit), "%d", LIMIT);
	write_file(CGROUPS "/kws/memory.max", limit);
	for (i = 0; i < LINKS; i++)
		open_link(self->links + i, variant->client);
	self->bytes = new_pattern(LEN, 42);
}

FIXTURE_TEARDOWN(memory)
{
	int i;

	for (i = 0; i < LINKS; i++)
		link_close(self->links + i);
	free(self->bytes);
	rmdir(CGROUPS "/kws");
}

/* Nothing has come on any of them for a second. */
static void until_all_stand_still(struct link *links)
{
	long long before = -1, now = 0;
	int i, left;

	for (;; before = now) {
		for (i = 0, now = 0; i < LINKS; i++) {
			must(ioctl(links[i].peer, SIOCOUTQ, &left));
			now += left;
		}
		if (now == before)
			return;
		sleep(1);
	}
}

/* On each link a message that no more than some of them can hold. Returns in how many parts they came. */
static unsigned int messages_on_all(struct link *links, const unsigned char *bytes)
{
	size_t got[LINKS] = {}, all = 0;
	unsigned char *buffer = malloc(LEN);
	unsigned int parts = 0;
	int i;

	for (i = 0; i < LINKS; i++) {
		put(&links[i].out, .opcode = OP_BINARY, .payload = bytes, .len = LEN);
		peer_feed(links + i);
	}
	until_all_stand_still(links);
	while (all < (size_t)LEN * LINKS)
		for (i = 0; i < LINKS; i++) {
			struct received r;

			if (!(ws_poll(links[i].ws) & POLLIN))
				continue;
			r = ws_recvmsg(links[i].ws, buffer, LEN, MSG_DONTWAIT);
			if (r.error == EAGAIN)
				continue;
			check(!r.error && r.n > 0 && r.record.opcode == OP_BINARY);
			check(!memcmp(buffer, bytes + got[i], r.n));
			got[i] += r.n;
			all += r.n;
			parts++;
			equal(got[i] == LEN ? MSG_EOR : 0, r.flags & MSG_EOR);
		}
	for (i = 0; i < LINKS; i++) {
		peer_fed(links + i);
		expect_nothing(links + i);
	}
	free(buffer);
	return parts;
}

/* TCP may go beyond such a limit for what comes in softirq, and does so; it is told, and so are we. */
CASE(memory, row42_limit_of_a_cgroup)
{
	unsigned int parts = messages_on_all(self->links, self->bytes);

	printf("# %u parts; %lld times at the limit\n", parts, of_cgroup("memory.events", "max "));
	check(of_cgroup("memory.events", "max ") > 0);
	equal(0, of_cgroup("memory.events", "oom_kill "));
}

static int with_little(void *p)
{
	FIXTURE_DATA(memory) *self = p;
	unsigned int parts = messages_on_all(self->links, self->bytes);

	printf("# %u parts\n", parts);
	check(parts > LINKS);
	return 0;
}

/* All sockets of the machine may have 4 MiB, and what is above 2 MiB is pressure. */
static void limit_tcp(char *usual, int len)
{
	FILE *f = fopen(TCP_MEM, "r");

	check(f && fgets(usual, len, f));
	fclose(f);
	write_file(TCP_MEM, "384 512 1024");
}

CASE(memory, row42_limit_of_tcp)
{
	char usual[64];
	int status;

	limit_tcp(usual, sizeof(usual));
	status = reap(spawn(with_little, self));
	write_file(TCP_MEM, usual);
	equal(0, status);
}

/* So many bytes that a link has accepted have not even reached TCP. */
static long not_in_tcp(const struct link *l, size_t accepted)
{
	int left = 0, unread = 0;

	ioctl(l->ws, SIOCOUTQ, &left);
	ioctl(l->peer, SIOCINQ, &unread);
	return accepted - left - unread;
}

/* All that was taken, then Close and FIN; after close() TCP may have reset the connection, as it does with orphans when memory is short. */
static void expect_all(struct link *l, const unsigned char *bytes, size_t len)
{
	size_t have;

	for (have = 0;; have += l->wire.seen.len) {
		enum wire_result result = wire_read(&l->wire);

		if (result == WIRE_RESET && l->ws < 0)
			return;
		equal(WIRE_FRAME, result);
		if (l->wire.seen.opcode == OP_CLOSE)
			break;
		check(have + l->wire.seen.len <= len && !memcmp(bytes + have, l->wire.seen.payload, l->wire.seen.len));
	}
	equal(len, have);
	wire_expect_end(&l->wire);
}

/*
 * Many send, nobody reads, then they end. What TCP turns away when its memory becomes short is on nobody's account: there may be a frame or
 * two of that, not one on every link.
 */
CASE(memory, row42_sending_at_the_limit_of_tcp)
{
	ssize_t sent[LINKS];
	long outside = 0;
	char usual[64];
	int i;

	write_file(CGROUPS "/kws/memory.max", "max");
	limit_tcp(usual, sizeof(usual));
	for (i = 0; i < LINKS; i++) {
		sent[i] = ws_send(self->links[i].ws, OP_BINARY, self->bytes, LEN, MSG_DONTWAIT);
		outside += not_in_tcp(self->links + i, sent[i]);
	}
	for (i = 0; i < LINKS; i++) {
		if (i % 2)
			link_close_ws(self->links + i);
		else
			shutdown(self->links[i].ws, SHUT_WR);
	}
	write_file(TCP_MEM, usual);
	printf("# TCP does not have %ld bytes\n", outside);
	fflush(stdout);
	check(outside < 2 * LEN + LINKS * 8192);
	for (i = 0; i < LINKS; i++) {
		check(sent[i] > 0);
		expect_all(self->links + i, self->bytes, sent[i]);
	}
}

SELFTEST_MAIN
