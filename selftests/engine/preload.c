// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Puts the library's user-space engine in the place of the kernel's protocol under a program that uses the socket calls: the net
 * tests, unchanged (LD_PRELOAD). Sockets on which TCP_ULP "websocket" is set get an engine at WEBSOCKET_CONFIG; the calls on
 * them are translated, all others go through.
 *
 * What the kernel does in softirq, a thread does here: it looks at every engine each millisecond. One lock is for all.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

#define FDS	4096
static _Thread_local int inside;	/* the engine's own calls of these functions */

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static struct socket {
	bool attached;
	struct engine *engine;
	u32 skipped;
} sockets[FDS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void enter(void)
{
	pthread_mutex_lock(&lock);
	inside++;
}

static void leave(void)
{
	inside--;
	pthread_mutex_unlock(&lock);
}

static void *run_all(void *unused)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	for (;; nanosleep(&ms, NULL)) {
		enter();
		for (int fd = 0; fd < FDS; fd++)
			if (sockets[fd].engine)
				engine_run(sockets[fd].engine);
		leave();
	}
	return unused;
}

static void lock_all(void)
{
	pthread_mutex_lock(&lock);
}

static void unlock_all(void)
{
	pthread_mutex_unlock(&lock);
}

/* One thread for each process that has such a socket. */
static void start_thread(void)
{
	static pid_t process;
	sigset_t all, old;
	pthread_t t;

	if (process == getpid())
		return;
	if (!process)
		pthread_atfork(lock_all, unlock_all, unlock_all);
	process = getpid();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_create(&t, NULL, run_all, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static struct engine *engine_of(int fd)
{
	return !inside && fd >= 0 && fd < FDS ? sockets[fd].engine : NULL;
}

static int result(long long n)
{
	if (n >= 0)
		return n;
	errno = -n;
	return -1;
}

/* A call of the engine; waiting in it drops the lock: see poll(). */
#define IN(call) ({ enter(); __typeof__(call) _r = (call); leave(); _r; })

/* A configuration of any length, as the kernel takes it. */
static int configure(int fd, const void *val, socklen_t len)
{
	struct websocket_config cfg = { 0 };
	struct socket *s = &sockets[fd];

	if (len < sizeof(cfg.flags))
		return -EINVAL;
	for (socklen_t i = sizeof(cfg); i < len; i++)
		if (((const char *)val)[i])
			return -E2BIG;
	memcpy(&cfg, val, len < sizeof(cfg) ? len : sizeof(cfg));
	if (s->engine) {
		int err = IN(engine_configure(s->engine, &cfg));

		return err;
	}
	s->engine = IN(engine_new(fd, &cfg));
	start_thread();
	return s->engine ? 0 : -errno;
}

int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	if (inside || fd < 0 || fd >= FDS)
		return REAL(setsockopt)(fd, level, name, val, len);
	if (level == IPPROTO_TCP && name == TCP_ULP && len == 9 && !memcmp(val, "websocket", 9)) {
		if (sockets[fd].attached)
			return result(-EEXIST);
		sockets[fd].attached = true;
		return 0;
	}
	if (level != SOL_WEBSOCKET)
		return REAL(setsockopt)(fd, level, name, val, len);
	return result(sockets[fd].attached && name == WEBSOCKET_CONFIG ? configure(fd, val, len) : -ENOPROTOOPT);
}

static int put_option(const void *from, size_t size, void *val, socklen_t *len)
{
	if ((int)*len < 0)
		return result(-EINVAL);
	*len = *len < size ? *len : size;
	memcpy(val, from, *len);
	return 0;
}

int getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	struct engine *e = engine_of(fd);
	struct websocket_config cfg;
	struct websocket_info info;

	if (!e || level != SOL_WEBSOCKET)
		return REAL(getsockopt)(fd, level, name, val, len);
	IN((engine_run(e), 0));
	switch (name) {
	case WEBSOCKET_CONFIG:
		engine_get_config(e, &cfg);
		return put_option(&cfg, sizeof(cfg), val, len);
	case WEBSOCKET_INFO:
		engine_info(e, &info);
		info.skipped_messages = sockets[fd].skipped;
		return put_option(&info, sizeof(info), val, len);
	case WEBSOCKET_CLOSE_REASON:
		return put_option(e->reason, e->reason_len, val, len);
	default:
		return result(-ENOPROTOOPT);
	}
}

static void put_record(struct msghdr *mh, int type, const void *data, size_t size)
{
	struct cmsghdr *c = mh->msg_control;
	size_t len = CMSG_LEN(size);

	if (mh->msg_controllen < len) {
		mh->msg_flags |= MSG_CTRUNC;
		len = mh->msg_controllen;
	}
	if (len < sizeof(*c))
		return;
	c->cmsg_level = SOL_WEBSOCKET;
	c->cmsg_type = type;
	c->cmsg_len = len;
	memcpy(CMSG_DATA(c), data, len - sizeof(*c));
	mh->msg_controllen = CMSG_SPACE(size) < mh->msg_controllen ? CMSG_SPACE(size) : mh->msg_controllen;
}

ssize_t recvmsg(int fd, struct msghdr *mh, int flags)
{
	struct engine *e = engine_of(fd);
	struct websocket_batch batch[WEBSOCKET_BATCH_MAX];
	size_t control = mh->msg_control ? mh->msg_controllen : 0;
	struct kws_message msg;
	unsigned int nr;
	ssize_t n;

	if (!e)
		return REAL(recvmsg)(fd, mh, flags);
	do {
		nr = control < CMSG_LEN(0) ? 0 : (control - CMSG_LEN(0)) / sizeof(batch[0]);
		nr = nr < WEBSOCKET_BATCH_MAX ? nr : WEBSOCKET_BATCH_MAX;
		if (!(e->flags & WEBSOCKET_F_BATCH))
			nr = 0;
		/* the kernel has looked at all that has come before; the thread may be late */
		n = IN((engine_run(e), engine_recv(e, mh->msg_iov, mh->msg_iovlen, flags, &msg, nr ? batch : NULL, nr ? &nr : NULL)));
		/* a caller who cannot see records would take an empty message for the end */
	} while (!control && !n && msg.end && ++sockets[fd].skipped);
	if (n < 0)
		return result(n);
	mh->msg_flags = msg.end ? MSG_EOR : 0;
	if (nr) {
		put_record(mh, WEBSOCKET_BATCH, batch, nr * sizeof(batch[0]));
	} else if (control) {
		struct websocket_msg record = {
			.opcode = msg.opcode,
			.flags = (msg.begin ? WEBSOCKET_MSG_BEGIN : 0) | (msg.end ? WEBSOCKET_MSG_END : 0),
			.close_code = msg.close_code,
			.frame_left = msg.frame_left,
		};

		put_record(mh, WEBSOCKET_MSG, &record, sizeof(record));
	} else {
		mh->msg_controllen = 0;
	}
	return n;
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	struct iovec iov = { buf, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	return engine_of(fd) ? recvmsg(fd, &mh, flags) : REAL(recv)(fd, buf, len, flags);
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
	struct msghdr mh = { .msg_iov = (struct iovec *)iov, .msg_iovlen = count };

	return engine_of(fd) ? recvmsg(fd, &mh, 0) : REAL(readv)(fd, iov, count);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	struct msghdr mh = { .msg_iov = (struct iovec *)iov, .msg_iovlen = count };

	return engine_of(fd) ? sendmsg(fd, &mh, 0) : REAL(writev)(fd, iov, count);
}

ssize_t read(int fd, void *buf, size_t len)
{
	return engine_of(fd) ? recv(fd, buf, len, 0) : REAL(read)(fd, buf, len);
}

/* What the control messages say. Return: 0, or -EINVAL. */
static int parse(const struct msghdr *mh, int *opcode, const struct websocket_batch **batch, unsigned int *nr)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR((struct msghdr *)mh, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_len < CMSG_LEN(0) || c->cmsg_level != SOL_WEBSOCKET)
			return -EINVAL;
		if (c->cmsg_type == WEBSOCKET_OPCODE && len == 1 && !*batch) {
			*opcode = *CMSG_DATA(c);
			if (!*opcode)
				return -EINVAL;
		} else if (c->cmsg_type == WEBSOCKET_BATCH && !(len % sizeof(**batch)) && !*opcode) {
			*batch = (void *)CMSG_DATA(c);
			*nr = len / sizeof(**batch);
		} else {
			return -EINVAL;
		}
	}
	return 0;
}

ssize_t sendmsg(int fd, const struct msghdr *mh, int flags)
{
	struct engine *e = engine_of(fd);
	const struct websocket_batch *batch = NULL;
	unsigned int nr = 0;
	int opcode = 0;
	ssize_t n;

	if (!e)
		return REAL(sendmsg)(fd, mh, flags);
	n = parse(mh, &opcode, &batch, &nr);
	if (!n)
		n = batch ? IN(engine_send_batch(e, mh->msg_iov, mh->msg_iovlen, flags, batch, nr)) :
			IN(engine_send(e, opcode, mh->msg_iov, mh->msg_iovlen, flags));
	if (n == -EPIPE && !(flags & MSG_NOSIGNAL))
		raise(SIGPIPE);
	return result(n);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	struct iovec iov = { (void *)buf, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	return engine_of(fd) ? sendmsg(fd, &mh, flags) : REAL(send)(fd, buf, len, flags);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	return engine_of(fd) ? send(fd, buf, len, 0) : REAL(write)(fd, buf, len);
}

static short look(struct engine *e, short events)
{
	engine_run(e);
	/* the program is back */
	if (events & POLLIN && !engine_readable(e) && !e->ending)
		e->in_hand = false;
	return engine_poll(e);
}

/* Looks every millisecond: simple, and exact enough. */
int poll(struct pollfd *p, nfds_t nr, int timeout)
{
	struct timespec begin, now, ms = { .tv_nsec = 1000000 };
	nfds_t i, ours = 0;
	int found;

	if (inside) {
		/* the engine waits: the other thread may take what comes meanwhile */
		inside--;
		pthread_mutex_unlock(&lock);
		found = REAL(poll)(p, nr, timeout < 0 || timeout > 2 ? 2 : timeout);
		pthread_mutex_lock(&lock);
		inside++;
		return found;
	}
	for (i = 0; i < nr; i++)
		ours += !!engine_of(p[i].fd);
	if (!ours)
		return REAL(poll)(p, nr, timeout);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (;;) {
		found = 0;
		for (i = 0; i < nr; i++) {
			struct engine *e = engine_of(p[i].fd);

			if (e)
				p[i].revents = IN(look(e, p[i].events)) & (p[i].events | POLLERR | POLLHUP);
			else
				REAL(poll)(p + i, 1, 0);
			found += !!p[i].revents;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (found || (timeout >= 0 && (now.tv_sec - begin.tv_sec) * 1000 +
			      (now.tv_nsec - begin.tv_nsec) / 1000000 >= timeout))
			return found;
		if (nanosleep(&ms, NULL))
			return -1;
	}
}

int shutdown(int fd, int how)
{
	struct engine *e = engine_of(fd);

	if (!e || how == SHUT_RD)
		return REAL(shutdown)(fd, how);
	IN((engine_run(e), engine_shutdown(e, WS_CLOSE_NORMAL), 0));
	e->fin_sent = true;
	return REAL(shutdown)(fd, how);
}

int close(int fd)
{
	struct engine *e = engine_of(fd);

	if (inside || fd < 0 || fd >= FDS)
		return REAL(close)(fd);
	enter();
	memset(&sockets[fd], 0, sizeof(sockets[fd]));
	if (e)
		engine_free(e);
	else
		REAL(close)(fd);
	leave();
	return 0;
}
