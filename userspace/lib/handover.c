// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Handing sockets to a successor: over a Unix socket, or by way of the service manager.
 *
 * On the Unix socket go parts of up to PART descriptors: struct part with their names, the descriptors with it (SCM_RIGHTS);
 * the successor answers each with a byte, so that no more are in flight than the system allows. A part of 0 is the end: whoever
 * reads it has the sockets. A predecessor that lives and keeps them after all, because no answer came, sends a byte behind that
 * part, and hears no answer any more. So an answer that cannot be sent says that the predecessor has died, unless that byte is
 * there.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "kws.h"

#define NAME	32
#define PART	128
#define MAGIC	0x6b777331	/* "kws1" */
#define STATE	"kws.state"
#define FIRST	3		/* SD_LISTEN_FDS_START */
#ifndef STALL_MS
#define STALL_MS 10000		/* who does not go on for so long is given up */
#endif

struct entry {
	int fd;			/* -1: taken */
	bool ours;		/* to be closed with the handover */
	char *name;		/* of any length, if the service manager gave it */
};

struct kws_handover {
	struct entry *entries;
	unsigned int count, room;
	int state_fd;
	void *state;
	size_t state_len;
};

struct part {
	uint32_t magic, count;
	char names[PART][NAME];
};

static bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len && len < NAME && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

struct kws_handover *kws_handover_new(void)
{
	struct kws_handover *h = calloc(1, sizeof(*h));

	if (h)
		h->state_fd = -1;
	return h;
}

static void drop_state(struct kws_handover *h)
{
	free(h->state);
	if (h->state_fd >= 0)
		close(h->state_fd);
	h->state = NULL;
	h->state_fd = -1;
}

void kws_handover_free(struct kws_handover *h)
{
	if (!h)
		return;
	for (unsigned int i = 0; i < h->count; i++) {
		if (h->entries[i].ours && h->entries[i].fd >= 0)
			close(h->entries[i].fd);
		free(h->entries[i].name);
	}
	drop_state(h);
	free(h->entries);
	free(h);
}

static int add(struct kws_handover *h, int fd, const char *name, bool ours)
{
	if (h->count == h->room) {
		unsigned int room = h->room ? 2 * h->room : 64;
		struct entry *entries = realloc(h->entries, room * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		h->entries = entries;
		h->room = room;
	}
	h->entries[h->count] = (struct entry){ .fd = fd, .ours = ours, .name = strdup(name) };
	if (!h->entries[h->count].name)
		return -ENOMEM;
	return h->count++;
}

int kws_handover_add(struct kws_handover *h, int fd, const char *name)
{
	if (!name)
		name = "socket";
	if (fd < 0 || !name_valid(name) || !strcmp(name, STATE))
		return -EINVAL;
	return add(h, fd, name, false);
}

int kws_handover_state(struct kws_handover *h, const void *state, size_t len)
{
	int fd = memfd_create("kws state", MFD_CLOEXEC);
	size_t done = 0;

	while (fd >= 0 && done < len) {
		ssize_t n = write(fd, (const char *)state + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int err = errno;

			close(fd);
			return -err;
		}
		done += n;
	}
	if (fd < 0)
		return -errno;
	drop_state(h);
	h->state_fd = fd;
	return 0;
}

const void *kws_handover_get_state(const struct kws_handover *h, size_t *len)
{
	*len = h->state ? h->state_len : 0;
	return h->state;
}

/*
 * What came is the state of the application. It is copied: who sent it could cut the file later, and a mapping of it would be
 * SIGBUS then. Return: 0 or -errno; the descriptor is taken in any case.
 */
static int take_state(struct kws_handover *h, int fd)
{
	size_t done = 0;
	struct stat st;

	drop_state(h);
	h->state_fd = fd;
	if (fstat(fd, &st))
		return -errno;
	if (!st.st_size)
		return 0;
	h->state = malloc(st.st_size);
	if (!h->state)
		return -ENOMEM;
	while (done < (size_t)st.st_size) {
		ssize_t n = pread(fd, (char *)h->state + done, st.st_size - done, done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EPROTO;
		done += n;
	}
	h->state_len = done;
	return 0;
}

unsigned int kws_handover_count(const struct kws_handover *h)
{
	return h->count;
}

int kws_handover_take(struct kws_handover *h, unsigned int index, const char **name)
{
	int fd;

	if (index >= h->count)
		return -ENOENT;
	if (name)
		*name = h->entries[index].name;
	fd = h->entries[index].fd;
	h->entries[index].fd = -1;
	return fd < 0 ? -EBADF : fd;
}

/*
 * Over a Unix socket
 */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

#define NEVER	UINT64_MAX

/* @timeout_ms: -1: never */
static uint64_t deadline_in(int timeout_ms)
{
	return timeout_ms < 0 ? NEVER : now_ms() + timeout_ms;
}

/* Until it is readable, whatever signals come. Return: 0, -ETIMEDOUT, or -errno of poll(). */
static int wait_until(int fd, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		uint64_t now = now_ms();
		int n = poll(&p, 1, deadline == NEVER ? -1 : deadline > now ? (int)(deadline - now) : 0);

		if (n >= 0)
			return n ? 0 : -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int wait_readable(int fd, int timeout_ms)
{
	return wait_until(fd, deadline_in(timeout_ms));
}

/* The socket's own time limit for receiving (SO_RCVTIMEO), which in a call would begin again at each signal; -1: none. */
static int own_limit(int sock)
{
	struct timeval t = { 0 };
	socklen_t len = sizeof(t);

	if (fcntl(sock, F_GETFL) & O_NONBLOCK)
		return 0;
	getsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &t, &len);
	if (t.tv_sec >= INT_MAX / 1000 || (!t.tv_sec && !t.tv_usec))
		return -1;
	return t.tv_sec * 1000 + (t.tv_usec + 999) / 1000;
}

/* Return: 0: the part was answered; or -errno. */
static int hear_answer(int sock, int flags)
{
	ssize_t n;
	char ack;

	while ((n = recv(sock, &ack, 1, flags)) < 0 && errno == EINTR)
		;
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return n ? 0 : -ECONNRESET;
}

/* The end was not answered in time. Keeps the sockets, or finds that the successor has them. Return: as hear_answer(). */
static int take_back(int sock)
{
	int err = send(sock, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;

	shutdown(sock, SHUT_RD);
	return hear_answer(sock, MSG_DONTWAIT) ? (err ? err : -ETIMEDOUT) : 0;
}

/* @limit_ms: for the answer; -1: none but that of the socket. */
static int send_part(int sock, const struct part *part, const int *fds, int limit_ms)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(PART * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)part, sizeof(*part) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)control;
	ssize_t n;
	int err;

	if (part->count) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(part->count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, part->count * sizeof(int));
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(part->count * sizeof(int));
	}
	while ((n = sendmsg(sock, &mh, MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	err = wait_readable(sock, limit_ms < 0 ? own_limit(sock) : limit_ms);
	if (!err)
		err = hear_answer(sock, 0);
	return err == -ETIMEDOUT && !part->count ? take_back(sock) : err;
}

/* Some names of the service manager's do not fit a part. */
static int check_names(const struct kws_handover *h)
{
	for (unsigned int i = 0; i < h->count; i++)
		if (h->entries[i].fd >= 0 && !name_valid(h->entries[i].name))
			return -EINVAL;
	return 0;
}

static int send_all(struct kws_handover *h, int sock, int limit_ms)
{
	struct part part = { .magic = MAGIC };
	int fds[PART], err = check_names(h);

	for (unsigned int i = 0; !err && i < h->count; i++) {
		if (h->entries[i].fd < 0)
			continue;
		fds[part.count] = h->entries[i].fd;
		snprintf(part.names[part.count++], NAME, "%s", h->entries[i].name);
		if (part.count == PART) {
			err = send_part(sock, &part, fds, limit_ms);
			part.count = 0;
		}
	}
	if (!err && h->state_fd >= 0) {
		fds[part.count] = h->state_fd;
		snprintf(part.names[part.count++], NAME, STATE);
	}
	if (!err && part.count)
		err = send_part(sock, &part, fds, limit_ms);
	part.count = 0;
	return err ? err : send_part(sock, &part, NULL, limit_ms);
}

int kws_handover_send_fd(struct kws_handover *h, int sock)
{
	return send_all(h, sock, -1);
}

/* Descriptors that came with some bytes, behind those that came before; above PART they are closed. Return: how many there are. */
static unsigned int take_descriptors(struct msghdr *mh, int *fds, unsigned int count)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (count < PART)
				fds[count++] = fd;
			else
				close(fd);
		}
	}
	return count;
}

/* Bytes of a part, with the descriptors that come with them. Return: how many bytes, 0: the end; -errno. */
static ssize_t receive_some(int sock, char *to, size_t len, int *fds, unsigned int *count, uint64_t deadline)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(PART * sizeof(int))];
	struct iovec iov = { to, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int err = wait_until(sock, deadline);
	ssize_t n;

	if (err)
		return err;
	n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN ? -EINTR : -errno;
	*count = take_descriptors(&mh, fds, *count);
	return mh.msg_flags & MSG_CTRUNC ? -EPROTO : n;
}

/* One part. Return: its descriptors; -errno. */
static int receive_part(int sock, struct part *part, int *fds)
{
	uint64_t deadline = deadline_in(own_limit(sock));
	unsigned int count = 0;
	size_t done = 0;
	ssize_t n;

	do {
		n = receive_some(sock, (char *)part + done, sizeof(*part) - done, fds, &count, deadline);
		done += n > 0 ? n : 0;
	} while (n == -EINTR || (n > 0 && done < sizeof(*part)));
	if (n > 0 && part->magic == MAGIC && part->count == count)
		return count;
	while (count)
		close(fds[--count]);
	return n < 0 ? n : -EPROTO;
}

/* Takes over one descriptor of a part. */
static int accept_entry(struct kws_handover *h, int fd, char *name)
{
	int err;

	name[NAME - 1] = 0;
	if (!strcmp(name, STATE))
		return take_state(h, fd);
	err = name_valid(name) ? add(h, fd, name, true) : -EPROTO;
	if (err < 0)
		close(fd);
	return err < 0 ? err : 0;
}

struct kws_handover *kws_handover_receive_fd(int sock)
{
	struct kws_handover *h = kws_handover_new();
	struct part part;
	int fds[PART], n = -ENOMEM, err = 0;

	while (h && !err && (n = receive_part(sock, &part, fds)) >= 0) {
		for (int i = 0; i < n; i++) {
			int e = accept_entry(h, fds[i], part.names[i]);

			err = err ? err : e;
		}
		if (!err && send(sock, "", 1, MSG_NOSIGNAL) != 1)
			err = -errno;
		if (n)
			continue;
		if (err && recv(sock, &(char){ 0 }, 1, MSG_DONTWAIT) != 1)
			err = 0;	/* a predecessor that died, now that all is here */
		break;
	}
	if (n < 0)
		err = n;
	if (!err)
		return h;
	kws_handover_free(h);
	errno = -err;
	return NULL;
}

static int address(struct sockaddr_un *un, const char *path)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(un->sun_path))
		return -ENAMETOOLONG;
	strcpy(un->sun_path, path);
	return 0;
}

/* Nobody but our own user, or root, gets the sockets; and from nobody else they are taken. */
static bool may_have(int sock)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return !getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &len) && (who.uid == geteuid() || !who.uid);
}

/* A listening socket at @path. */
static int listen_at(const char *path)
{
	struct sockaddr_un un;
	int err = address(&un, path), sock;

	if (err)
		return err;
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	unlink(path);
	/* Linux gives its mode to what bind() makes; umask() would be every thread's */
	err = fchmod(sock, 0600) || bind(sock, (struct sockaddr *)&un, sizeof(un)) || listen(sock, 1) ? -errno : 0;
	if (!err)
		return sock;
	close(sock);
	return err;
}

int kws_handover_send(struct kws_handover *h, const char *path, int timeout_ms)
{
	struct timeval limit = { STALL_MS / 1000, STALL_MS % 1000 * 1000 };
	int listener, sock = -1, err = check_names(h);

	if (err)
		return err;
	listener = listen_at(path);
	if (listener < 0)
		return listener;
	err = wait_readable(listener, timeout_ms);
	if (!err) {
		sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		err = sock < 0 ? -errno : may_have(sock) ? 0 : -EPERM;
	}
	unlink(path);
	close(listener);
	if (!err) {
		setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		err = send_all(h, sock, STALL_MS);
	}
	if (sock >= 0)
		close(sock);
	return err;
}

/* Connects until the time is over. */
static int connect_to(const char *path, int timeout_ms)
{
	struct timespec ms = { .tv_nsec = 10000000 };
	struct sockaddr_un un;
	int err = address(&un, path), sock;

	if (err)
		return err;
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	for (;; timeout_ms -= 10) {
		if (!connect(sock, (struct sockaddr *)&un, sizeof(un)))
			return sock;
		err = -errno;
		if ((err != -ENOENT && err != -ECONNREFUSED) || timeout_ms <= 0)
			break;
		nanosleep(&ms, NULL);
	}
	close(sock);
	return err == -ECONNREFUSED ? -ENOENT : err;
}

struct kws_handover *kws_handover_receive(const char *path, int timeout_ms)
{
	int sock = connect_to(path, timeout_ms), err;
	struct timeval limit = { STALL_MS / 1000, STALL_MS % 1000 * 1000 };
	struct kws_handover *h;

	if (sock >= 0 && !may_have(sock)) {
		close(sock);
		sock = -EPERM;
	}
	if (sock < 0) {
		errno = -sock;
		return NULL;
	}
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	h = kws_handover_receive_fd(sock);
	err = errno;
	close(sock);
	errno = err;
	return h;
}

/*
 * By way of the service manager: sd_notify(3), sd_listen_fds(3)
 */

int kws_handover_notify(const char *state, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct cmsghdr *c = (struct cmsghdr *)control;
	const char *path = getenv("NOTIFY_SOCKET");
	struct iovec iov = { (void *)state, strlen(state) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct sockaddr_un un;
	int sock, err;
	ssize_t n;

	if (!path || (*path != '/' && *path != '@'))
		return 0;
	err = address(&un, path);
	if (err)
		return err;
	mh.msg_name = &un;
	mh.msg_namelen = offsetof(struct sockaddr_un, sun_path) + strlen(path);
	if (*path == '@')
		un.sun_path[0] = 0;
	if (fd >= 0) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
		mh.msg_control = control;
		mh.msg_controllen = sizeof(control);
	}
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	while ((n = sendmsg(sock, &mh, MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	err = n < 0 ? -errno : 1;
	close(sock);
	return err;
}

static int notify_name(const char *what, const char *name, int fd)
{
	char state[128];

	if (!name_valid(name))
		return -EINVAL;
	snprintf(state, sizeof(state), "%s\nFDNAME=%s%s", what, name, fd < 0 ? "" : "\nFDPOLL=0");
	return kws_handover_notify(state, fd);
}

int kws_handover_store(int fd, const char *name)
{
	return notify_name("FDSTORE=1", name, fd);
}

int kws_handover_forget(const char *name)
{
	return notify_name("FDSTOREREMOVE=1", name, -1);
}

struct kws_handover *kws_handover_stored(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	struct kws_handover *h = kws_handover_new();

	if (!h || !pid || !count || atoi(pid) != getpid())
		return h;
	for (int fd = FIRST; fd < FIRST + atoi(count); fd++) {
		size_t len = names ? strcspn(names, ":") : 0;
		char *name = len ? strndup(names, len) : strdup("socket");
		int err = name ? add(h, fd, name, true) : -ENOMEM;

		free(name);
		names = names && names[len] ? names + len + 1 : NULL;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (err < 0) {
			kws_handover_free(h);
			errno = ENOMEM;
			return NULL;
		}
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return h;
}
