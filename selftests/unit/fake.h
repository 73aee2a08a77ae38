/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A peer for the user-space engine that is a program's own: numbers say what it sends and takes, and when, and the clock goes
 * when it is told to. One for each test program.
 */
#ifndef FAKE_H
#define FAKE_H

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "tap.h"

#define MANY_CALLS	2000	/* of one function of the transport: it goes round for ever */

static struct fake {
	struct engine *e;
	int fd[2];		/* the first is what the engine waits on */
	u8 in[1 << 20];		/* what the peer sends */
	size_t in_len, in_at;
	size_t in_most;		/* of it with one read */
	bool again;		/* it is sent again and again */
	bool in_ended;
	size_t room;		/* bytes that are taken */
	unsigned int refuse;	/* writes of which nothing is taken */
	unsigned int refuse_until_read;	/* but no longer than so many reads; 0: as many as there are */
	u8 out[1 << 20];	/* its beginning, if there is more */
	size_t out_len;
	unsigned int reads, writes, refused;
	bool no_random;
	bool no_memory;
	bool aborted;		/* it was closed with a reset */
	u64 ms, read_ms;	/* the clock, and how far a read moves it */
} fake;

int clock_gettime(clockid_t clock, struct timespec *t)
{
	(void)clock;
	*t = (struct timespec){ .tv_sec = 1000 + fake.ms / 1000, .tv_nsec = fake.ms % 1000 * 1000000 };
	return 0;
}

ssize_t getrandom(void *buf, size_t len, unsigned int flags)
{
	if (!fake.no_random)
		return syscall(SYS_getrandom, buf, len, flags);
	errno = EPERM;
	return -1;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

/* LDFLAGS: --wrap=malloc */
void *__wrap_malloc(size_t size)
{
	return fake.no_memory ? NULL : __real_malloc(size);
}

static ssize_t fake_read(void *ctx, void *buf, size_t len)
{
	size_t n = fake.in_len - fake.in_at;

	(void)ctx;
	fake.ms += fake.read_ms;
	if (++fake.reads > MANY_CALLS)
		return -EIO;
	if (fake.reads == fake.refuse_until_read)
		fake.refuse = 0;
	n = n < len ? n : len;
	n = fake.in_most && n > fake.in_most ? fake.in_most : n;
	memcpy(buf, fake.in + fake.in_at, n);
	fake.in_at += n;
	if (fake.again && fake.in_at == fake.in_len)
		fake.in_at = 0;
	return n || fake.in_ended ? (ssize_t)n : -EAGAIN;
}

static ssize_t fake_write(void *ctx, const struct iovec *iov, int count, bool more)
{
	size_t done = 0;

	(void)ctx;
	(void)more;
	fake.writes++;
	if (fake.refuse) {
		fake.refuse--;
		return ++fake.refused > MANY_CALLS ? -EIO : -EAGAIN;
	}
	for (int i = 0; i < count; i++) {
		size_t n = iov[i].iov_len < fake.room ? iov[i].iov_len : fake.room;

		if (fake.out_len + n <= sizeof(fake.out)) {
			memcpy(fake.out + fake.out_len, iov[i].iov_base, n);
			fake.out_len += n;
		}
		fake.room -= n;
		done += n;
	}
	return done ? (ssize_t)done : -EAGAIN;
}

static void fake_shutdown(void *ctx)
{
	(void)ctx;
}

static void fake_close(void *ctx, bool abort)
{
	(void)ctx;
	fake.aborted = abort;
	close(fake.fd[0]);
	close(fake.fd[1]);
}

/* In the client's role: what comes is not masked. */
static inline void fake_begin(const struct websocket_config *cfg)
{
	static const struct transport transport = {
		.read = fake_read, .write = fake_write, .shutdown = fake_shutdown, .close = fake_close,
	};
	struct websocket_config config = { 0 };

	/* what hangs ends the program */
	alarm(60);
	memset(&fake, 0, sizeof(fake));
	fake.room = SIZE_MAX;
	if (cfg)
		config = *cfg;
	config.flags |= WEBSOCKET_F_CLIENT;
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fake.fd), "socketpair");
	fake.e = engine_new_over(fake.fd[0], &config, &transport, NULL);
	CHECK(fake.e, "engine_new_over");
}

static inline void fake_end(void)
{
	engine_free(fake.e);
}

/* The peer's next frame. */
static inline void fake_frame(u8 opcode, const void *payload, size_t len)
{
	fake.in_len += ws_frame_encode(fake.in + fake.in_len, opcode, true, len, false, 0);
	memcpy(fake.in + fake.in_len, payload, len);
	fake.in_len += len;
}

static inline void fake_frames(u8 opcode, const void *payload, size_t len, unsigned int nr)
{
	while (nr--)
		fake_frame(opcode, payload, len);
}

static inline ssize_t fake_recv(int flags, struct kws_message *msg)
{
	static u8 buf[1 << 20];
	struct iovec iov = { buf, sizeof(buf) };

	return engine_recv(fake.e, &iov, 1, flags, msg, NULL, NULL);
}

static inline ssize_t fake_send(u8 opcode, size_t len, int flags)
{
	static u8 buf[65536];
	struct iovec iov = { buf, len };

	return engine_send(fake.e, opcode, &iov, 1, flags);
}

static inline void fake_send_close(void)
{
	engine_send_close(fake.e, (const u8 *)"\x03\xe8", 2);
}

#endif
