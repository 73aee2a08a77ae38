// SPDX-License-Identifier: GPL-2.0
/*
 * Rows 1 and 2: received bytes are never written. A peer that masks with a key of its choice sends pages of a file it
 * may only read, by sendfile(), splice() and vmsplice(); after they were unmasked for the reader the file holds what it
 * held. In-place transforms of such pages were ways to root.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "shapes.h"

#define SIZE	(256 * 1024)

FIXTURE(readonly) { struct link link; int file; unsigned char *bytes; unsigned char *map; };
FIXTURE_VARIANT(readonly) { struct shape shape; };
SHAPE(readonly, v4, SEGMENT_FRAME, IPV4, false, false);
SHAPE(readonly, v6, SEGMENT_FRAME, IPV6, true, false);
SHAPE(readonly, small_buffer, SEGMENT_FRAME, IPV4, true, false, 16384);
SHAPE(readonly, large_buffer, SEGMENT_FRAME, IPV4, false, false, 4 << 20);

FIXTURE_SETUP(readonly)
{
	int fd = must(memfd_create("readonly", MFD_ALLOW_SEALING));
	char path[64];

	self->bytes = new_pattern(SIZE, 70);
	equal(SIZE, write(fd, self->bytes, SIZE));
	must(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK));
	sprintf(path, "/proc/self/fd/%d", fd);
	self->file = must(open(path, O_RDONLY));
	close(fd);
	self->map = must(mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->file, 0));
	link_start_default(LINK, &variant->shape);
	set_option(self->link.peer, IPPROTO_TCP, TCP_MAXSEG, 1000);	/* more segments to coalesce */
}

FIXTURE_TEARDOWN(readonly)
{
	link_close(LINK);
	close(self->file);
}

enum way { SENDFILE, SPLICE, VMSPLICE, TEE, ZEROCOPY };

struct job { FIXTURE_DATA(readonly) *self; enum way way; };

static void zerocopy(int fd, const unsigned char *bytes, size_t len)
{
	size_t at;
	ssize_t n;

	set_option(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	for (at = 0; at < len; at += n)
		n = must(send(fd, bytes + at, len - at, MSG_ZEROCOPY));
}

static void through_pipe(int fd, const unsigned char *bytes, int file, enum way way)
{
	loff_t offset = 0;
	size_t at, n;
	int p[2], q[2];

	must(pipe(p));
	must(pipe(q));
	for (at = 0; at < SIZE; at += n) {
		n = 16384;
		if (way == SPLICE) {
			n = must(splice(file, &offset, p[1], NULL, n, 0));
		} else {
			struct iovec iov = { (void *)(bytes + at), n };

			n = must(vmsplice(p[1], &iov, 1, 0));
		}
		if (way == TEE) {
			equal(n, tee(p[0], q[1], n, 0));
			equal(n, splice(q[0], NULL, fd, NULL, n, SPLICE_F_MORE));
			equal(n, read(p[0], (char[16384]){ 0 }, n));
		} else {
			equal(n, splice(p[0], NULL, fd, NULL, n, SPLICE_F_MORE));
		}
	}
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
}

static void *give(void *argument)
{
	struct job *job = argument;
	int fd = job->self->link.peer;
	off_t offset = 0;

	switch (job->way) {
	case SENDFILE:
		while (offset < SIZE)
			must(sendfile(fd, job->self->file, &offset, SIZE - offset));
		break;
	case ZEROCOPY:
		zerocopy(fd, job->self->map, SIZE);
		break;
	default:
		through_pipe(fd, job->self->map, job->self->file, job->way);
	}
	return NULL;
}

/* The header by send(), the payload as it lies in the page cache. */
static void attack(FIXTURE_DATA(readonly) *self, enum way way)
{
	unsigned char *seen = malloc(SIZE), *want = malloc(SIZE);
	struct job job = { self, way };
	struct received r;
	pthread_t thread;
	size_t i, have = 0;

	put(OUT, .opcode = OP_BINARY, .key = 0xdeadbeef, .announce = SIZE);
	peer_write(LINK);
	check(!pthread_create(&thread, NULL, give, &job));
	for (i = 0; i < SIZE; i++)
		want[i] = self->bytes[i] ^ 0xdeadbeef >> (24 - i % 4 * 8);
	do {
		r = ws_receive(LINK, seen, SIZE - have, have % 3 ? MSG_PEEK : 0);
		check(r.n > 0);
		check(!memcmp(seen, want + have, r.n));
		if (have % 3)
			r = ws_receive(LINK, seen, SIZE - have, 0);
		have += r.n;
	} while (!(r.flags & MSG_EOR));
	equal(SIZE, have);
	check(!pthread_join(thread, NULL));
	check(!memcmp(self->map, self->bytes, SIZE));
	equal(SIZE, pread(self->file, seen, SIZE, 0));
	check(!memcmp(seen, self->bytes, SIZE));
	free(want);
	free(seen);
}

CASE(readonly, row1_sendfile)
{
	attack(self, SENDFILE);
}

CASE(readonly, row1_splice)
{
	attack(self, SPLICE);
}

CASE(readonly, row1_vmsplice)
{
	attack(self, VMSPLICE);
}

CASE(readonly, row1_tee)
{
	attack(self, TEE);
}

CASE(readonly, row1_zerocopy)
{
	attack(self, ZEROCOPY);
}

/* Control frames too: a ping's payload is masked pages, its pong is not. */
CASE(readonly, row1_ping_and_close)
{
	unsigned char want[100];
	off_t offset = 0;
	int i;

	put(OUT, .opcode = OP_PING, .key = 0xffffffff, .announce = 100);
	peer_write(LINK);
	equal(100, sendfile(self->link.peer, self->file, &offset, 100));
	for (i = 0; i < 100; i++)
		want[i] = ~self->bytes[i];
	wire_expect(WIRE, OP_PONG, true, want, 100);
	check(!memcmp(self->map, self->bytes, SIZE));
	put(OUT, .opcode = OP_CLOSE, .key = 0x01010101, .announce = 2);
	peer_write(LINK);
	equal(2, sendfile(self->link.peer, self->file, &offset, 2));
	ws_wait(self->link.ws, POLLIN);
	check(!memcmp(self->map, self->bytes, SIZE));
}

SELFTEST_MAIN
