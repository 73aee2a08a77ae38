// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Handing descriptors to a successor: over a Unix socket, and by way of a service manager, whose part is played here. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kws.h"
#include "tap.h"

#define MANY	300	/* more than go in one part */
#define NOBODY	65534	/* another user */
#define LONG	"our-rather-long-chat-service-name-for-everybody.socket"

/* A pipe with a number in it; its reading end. */
static int numbered(int number)
{
	int fds[2] = { -1, -1 };

	CHECK(!pipe(fds) && write(fds[1], &number, sizeof(number)) == sizeof(number), "pipe");
	close(fds[1]);
	return fds[0];
}

static void fill(struct kws_handover *h, int *fds)
{
	char name[32];

	for (int i = 0; i < MANY; i++) {
		fds[i] = numbered(i);
		snprintf(name, sizeof(name), "client-%d", i);
		CHECK(kws_handover_add(h, fds[i], name) == i, "add %d", i);
	}
}

/* Takes everything out again and looks at it. */
static void check_all(struct kws_handover *h)
{
	char want[32];

	CHECK(kws_handover_count(h) == MANY, "%u descriptors", kws_handover_count(h));
	for (int i = 0; i < MANY; i++) {
		const char *name = "";
		int number = -1, fd = kws_handover_take(h, i, &name);

		snprintf(want, sizeof(want), "client-%d", i);
		CHECK(fd >= 0 && read(fd, &number, sizeof(number)) == sizeof(number) && number == i, "%d is %d", i, number);
		CHECK(!strcmp(name, want), "%d is called %s", i, name);
		close(fd);
	}
	CHECK(kws_handover_take(h, 0, NULL) == -EBADF, "taken twice");
	CHECK(kws_handover_take(h, MANY, NULL) == -ENOENT, "more than there are");
}

static void over_a_path(void)
{
	static const char state[] = "names\0and rooms";
	char path[] = "/tmp/kws.XXXXXX";
	struct kws_handover *h = kws_handover_new(), *got;
	int fds[MANY], status = -1;
	const char *s;
	size_t len;
	pid_t pid;

	CHECK(mkdtemp(path), "mkdtemp");
	CHECK(!chdir(path), "chdir");
	fill(h, fds);
	CHECK(!kws_handover_state(h, state, sizeof(state)), "state");
	pid = fork();
	if (!pid)
		_exit(-kws_handover_send(h, "sock", 20000));
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
	got = kws_handover_receive("sock", 20000);
	CHECK(got, "receive: %s", strerror(errno));
	if (got) {
		check_all(got);
		s = kws_handover_get_state(got, &len);
		CHECK(s && len == sizeof(state) && !memcmp(s, state, len), "%zu bytes of state", len);
	}
	waitpid(pid, &status, 0);
	CHECK(!status, "the sender's status is %d", status);
	CHECK(access("sock", F_OK), "the socket is still there");
	kws_handover_free(got);
	kws_handover_free(h);
	CHECK(!chdir("/") && !rmdir(path), "rmdir");
}

static int umasks;

/* The library's, were it to use it: other threads make files meanwhile. */
mode_t umask(mode_t mask)
{
	umasks++;
	return syscall(SYS_umask, mask);
}

static void mode_of_the_socket(void)
{
	struct kws_handover *h = kws_handover_new();
	char path[] = "/tmp/kws.XXXXXX";
	struct stat st = { 0 };
	int status = -1;
	pid_t pid;

	CHECK(mkdtemp(path) && !chdir(path), "mkdtemp");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		syscall(SYS_umask, 0);
		_exit(kws_handover_send(h, "sock", 1000) != -ETIMEDOUT ? 1 : umasks ? 2 : 0);
	}
	for (int i = 0; i < 500 && stat("sock", &st); i++)
		usleep(1000);
	CHECK(st.st_mode == (S_IFSOCK | 0600), "mode %o", st.st_mode);
	waitpid(pid, &status, 0);
	CHECK(!status, "status %#x", status);
	kws_handover_free(h);
	CHECK(!chdir("/") && !rmdir(path), "rmdir");
}

static void nobody_there(void)
{
	struct kws_handover *h = kws_handover_new();

	errno = 0;
	CHECK(!kws_handover_receive("/tmp/there is no such socket", 0) && errno == ENOENT, "%s", strerror(errno));
	CHECK(!kws_handover_receive("/tmp/there is no such socket", 30) && errno == ENOENT, "%s", strerror(errno));
	CHECK(kws_handover_send(h, "/tmp/kws-nobody.sock", 20) == -ETIMEDOUT, "a successor came");
	kws_handover_free(h);
}

/* What is no handover, and one that ends early. */
static void not_a_handover(void)
{
	for (int len = 0; len < 6000; len += 1999) {
		char rubbish[6000] = "GET / HTTP/1.1";
		int fds[2];

		CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");
		CHECK(!len || write(fds[1], rubbish, len) == len, "write");
		shutdown(fds[1], SHUT_WR);
		errno = 0;
		CHECK(!kws_handover_receive_fd(fds[0]) && errno == EPROTO, "%d bytes: %s", len, strerror(errno));
		close(fds[0]);
		close(fds[1]);
	}
}

/* Somebody else was there first, and offers his sockets: ours would be what he likes. */
static void of_another_user(void)
{
	char path[] = "/tmp/kws.XXXXXX";
	struct kws_handover *h, *got;
	int status;
	pid_t pid;

	CHECK(!geteuid(), "only root can play two users");
	CHECK(mkdtemp(path) && !chown(path, NOBODY, NOBODY) && !chdir(path), "mkdtemp");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		h = kws_handover_new();
		_exit(setgid(NOBODY) || setuid(NOBODY) || !kws_handover_send(h, "sock", 20000));
	}
	errno = 0;
	got = kws_handover_receive("sock", 20000);
	CHECK(!got && errno == EPERM, "taken from somebody else: %s", strerror(errno));
	kws_handover_free(got);
	waitpid(pid, &status, 0);
	CHECK(!status, "the sender's status is %#x", status);
	CHECK(!chdir("/") && !rmdir(path), "rmdir");
}

/* The state is the successor's own, whatever becomes of the file that it came in. */
static void state_is_cut_later(void)
{
	struct kws_handover *h = kws_handover_new(), *got;
	int fds[2], file = dup(0), status = -1;
	const char *s;
	size_t len;
	pid_t pid;

	close(file);
	CHECK(!kws_handover_state(h, "state", 5) && !lseek(file, 0, SEEK_SET), "%d is not the file", file);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(-kws_handover_send_fd(h, fds[1]));
	got = kws_handover_receive_fd(fds[0]);
	waitpid(pid, &status, 0);
	CHECK(got && !status, "receive: %s, status %#x", strerror(errno), status);
	CHECK(!ftruncate(file, 0), "ftruncate");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		s = kws_handover_get_state(got, &len);
		_exit(len != 5 || memcmp(s, "state", 5));
	}
	waitpid(pid, &status, 0);
	CHECK(!status, "looking at the state: status %#x", status);
	kws_handover_free(got);
	kws_handover_free(h);
	close(fds[0]);
	close(fds[1]);
}

/* What a predecessor sends; the same on both sides of an update, so it is written down here again. */
struct part {
	uint32_t magic, count;
	char names[128][32];
};

/* A predecessor that sends a socket and the end, and hears no more: it died, or (@takes_back) it gave up and lives on. */
static void part_and_end(int sock, bool takes_back)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct part part = { .magic = 0x6b777331, .count = 1, .names = { "client-7" } };
	struct iovec iov = { &part, sizeof(part) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	int fd = numbered(7);
	char ack, end[sizeof(part) + 1] = "";
	ssize_t len = sizeof(part) + takes_back;

	*c = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(sock, &mh, 0) != sizeof(part) || recv(sock, &ack, 1, 0) != 1)
		_exit(1);
	part = (struct part){ .magic = 0x6b777331 };
	memcpy(end, &part, sizeof(part));
	_exit(shutdown(sock, SHUT_RD) || send(sock, end, len, 0) != len ? 2 : 0);
}

static void end_cannot_be_answered(void)
{
	for (int takes_back = 0; takes_back < 2; takes_back++) {
		int fds[2], status = -1, number = 0;
		struct kws_handover *h;
		pid_t pid;

		CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");
		fflush(stdout);
		pid = fork();
		if (!pid) {
			close(fds[0]);
			part_and_end(fds[1], takes_back);
		}
		close(fds[1]);
		errno = 0;
		h = kws_handover_receive_fd(fds[0]);
		if (takes_back)
			CHECK(!h && errno == EPIPE, "taken though the predecessor keeps it: %s", strerror(errno));
		else
			CHECK(h && read(kws_handover_take(h, 0, NULL), &number, sizeof(number)) > 0 && number == 7,
			      "lost with the predecessor: %s", strerror(errno));
		waitpid(pid, &status, 0);
		CHECK(!status, "the predecessor's status is %#x", status);
		kws_handover_free(h);
		close(fds[0]);
	}
}

static volatile int ticks;

static void on_tick(int sig)
{
	(void)sig;
	if (++ticks == 100)
		_exit(99);
}

/* A process that a signal disturbs every 100 ms, for 10 s at most. Return: as fork(). */
static pid_t disturbed(void)
{
	struct itimerval often = { { 0, 100000 }, { 0, 100000 } };
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_tick }, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	return 0;
}

static pid_t disturbed_sender(const char *path, int timeout_ms)
{
	pid_t pid = disturbed();

	if (!pid)
		_exit(-kws_handover_send(kws_handover_new(), path, timeout_ms));
	return pid;
}

static void signals_meanwhile(void)
{
	char dir[] = "/tmp/kws.XXXXXX", path[sizeof(dir) + 8];
	int status = -1;

	CHECK(mkdtemp(dir), "mkdtemp");
	snprintf(path, sizeof(path), "%s/sock", dir);
	waitpid(disturbed_sender(path, 500), &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == ETIMEDOUT, "status %#x", status);
	CHECK(!rmdir(dir), "rmdir");
}

/* It connects and says nothing. What was sent to it is taken back. */
static void mute_successor(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM, 0), status = -1;
	char got[2 * sizeof(struct part)], dir[] = "/tmp/kws.XXXXXX";
	ssize_t n;
	pid_t pid;

	CHECK(mkdtemp(dir), "mkdtemp");
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/sock", dir);
	pid = disturbed_sender(un.sun_path, 20000);
	for (int i = 0; connect(sock, (struct sockaddr *)&un, sizeof(un)) && i < 1000; i++)
		usleep(10000);
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == ETIMEDOUT, "status %#x", status);
	n = recv(sock, got, sizeof(got), MSG_WAITALL | MSG_DONTWAIT);
	CHECK(n == sizeof(struct part) + 1, "%zd bytes came", n);
	close(sock);
	CHECK(!rmdir(dir), "rmdir");
}

/*
 * The same over a socket of the caller's, whose time limit counts, and does not begin again at each signal: a successor that does not
 * answer; and a predecessor that has said nothing, or some bytes, and no more.
 */
static void mute_socket(void)
{
	struct timeval limit = { .tv_usec = 300000 };

	for (int said = -1; said <= 999; said = said < 0 ? 0 : said + 999) {
		int fds[2], status = -1;
		pid_t pid;

		CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");
		setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		CHECK(said <= 0 || write(fds[0], &(struct part){ .magic = 0x6b777331 }, said) == said, "write");
		pid = disturbed();
		if (!pid && said < 0)
			_exit(-kws_handover_send_fd(kws_handover_new(), fds[1]));
		if (!pid)
			_exit(kws_handover_receive_fd(fds[1]) ? 0 : errno);
		waitpid(pid, &status, 0);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == ETIMEDOUT, "%d bytes: status %#x", said, status);
		close(fds[0]);
		close(fds[1]);
	}
}

/* A part may come in pieces, whatever signals come between. */
static void in_pieces(void)
{
	struct part part = { .magic = 0x6b777331 };
	int fds[2], status = -1;
	pid_t pid;
	char ack;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");
	pid = disturbed();
	if (!pid)
		_exit(kws_handover_receive_fd(fds[1]) ? 0 : errno);
	signal(SIGPIPE, SIG_IGN);
	close(fds[1]);
	for (size_t n, done = 0; done < sizeof(part); done += n) {
		n = sizeof(part) - done < 1500 ? sizeof(part) - done : 1500;
		CHECK(write(fds[0], (char *)&part + done, n) == (ssize_t)n, "write");
		usleep(250000);
	}
	CHECK(recv(fds[0], &ack, 1, 0) == 1, "no answer");
	waitpid(pid, &status, 0);
	CHECK(!status, "status %#x", status);
	close(fds[0]);
}

static void bad_arguments(void)
{
	struct kws_handover *h = kws_handover_new();

	CHECK(kws_handover_add(h, -1, "a") == -EINVAL, "no descriptor");
	CHECK(kws_handover_add(h, 0, "") == -EINVAL, "no name");
	CHECK(kws_handover_add(h, 0, "a:b") == -EINVAL, "a colon");
	CHECK(kws_handover_add(h, 0, "12345678901234567890123456789012") == -EINVAL, "a long name");
	CHECK(kws_handover_store(0, "a\nFDSTOREREMOVE=1") == -EINVAL, "a second line");
	kws_handover_free(h);
	kws_handover_free(NULL);
}

/* The manager's socket: what is sent to it, and with which descriptor. */
static int manager_receives(int sock, char *text, size_t size)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { text, size - 1 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(sock, &mh, 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	int fd = -1;

	text[n > 0 ? n : 0] = 0;
	if (c)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void to_the_manager(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(un);
	int sock = socket(AF_UNIX, SOCK_DGRAM, 0), fd, number = 0, pipe_end = numbered(7);
	char text[200], name[120];

	unsetenv("NOTIFY_SOCKET");
	CHECK(kws_handover_notify("READY=1", -1) == 0, "without a manager");
	/* an abstract address of the system's choice */
	CHECK(!bind(sock, (struct sockaddr *)&un, sizeof(sa_family_t)) && !getsockname(sock, (struct sockaddr *)&un, &len), "bind");
	snprintf(name, sizeof(name), "@%.*s", (int)(len - sizeof(sa_family_t) - 1), un.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
	CHECK(kws_handover_notify("READY=1", -1) == 1, "notify");
	CHECK(manager_receives(sock, text, sizeof(text)) < 0 && !strcmp(text, "READY=1"), "%s", text);
	CHECK(kws_handover_store(pipe_end, "client-7") == 1, "store");
	fd = manager_receives(sock, text, sizeof(text));
	CHECK(!strcmp(text, "FDSTORE=1\nFDNAME=client-7\nFDPOLL=0"), "%s", text);
	CHECK(read(fd, &number, sizeof(number)) == sizeof(number) && number == 7, "not that descriptor");
	CHECK(kws_handover_forget("client-7") == 1, "forget");
	CHECK(manager_receives(sock, text, sizeof(text)) < 0 && !strcmp(text, "FDSTOREREMOVE=1\nFDNAME=client-7"), "%s", text);
	close(fd);
	close(pipe_end);
	close(sock);
	unsetenv("NOTIFY_SOCKET");
}

/* In a child, whose descriptors from 3 on are the manager's. */
static int stored_child(void)
{
	struct kws_handover *h;
	const char *name = "";
	char pid[20];
	int number = 0;

	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "4", 1);
	setenv("LISTEN_FDNAMES", "client-7:state:" LONG, 1);
	for (int fd = 3; fd < 7; fd++)
		dup2(numbered(fd + 4), fd);
	h = kws_handover_stored();
	if (!h || kws_handover_count(h) != 4 || kws_handover_take(h, 1, &name) != 4 || strcmp(name, "state"))
		return 1;
	/* a name that cannot be handed on; nobody is waited for */
	if (kws_handover_send(h, "/nowhere/sock", -1) != -EINVAL)
		return 4;
	if (kws_handover_take(h, 2, &name) != 5 || strcmp(name, LONG))
		return 5;
	for (int i = 0; i < MANY; i++)
		if (kws_handover_add(h, 0, "more") < 0)
			return 6;
	if (strcmp(name, LONG) || kws_handover_take(h, 3, &name) != 6 || strcmp(name, "socket"))
		return 7;
	if (read(4, &number, sizeof(number)) != sizeof(number) || number != 8 || getenv("LISTEN_FDS"))
		return 2;
	return kws_handover_count(kws_handover_stored()) ? 3 : 0;
}

static void from_the_manager(void)
{
	struct kws_handover *h;
	int status = -1;
	pid_t pid;

	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "2", 1);
	h = kws_handover_stored();
	CHECK(h && !kws_handover_count(h), "those of another process");
	kws_handover_free(h);
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(stored_child());
	waitpid(pid, &status, 0);
	CHECK(!status, "status %#x", status);
}

static const struct tap_test tests[] = {
	{ "300 descriptors and a state over a path", over_a_path },
	{ "the socket is for its owner alone, and the process's umask stays", mode_of_the_socket },
	{ "nobody there", nobody_there },
	{ "what is no handover", not_a_handover },
	{ "a predecessor of another user", of_another_user },
	{ "a state that is cut after it came", state_is_cut_later },
	{ "a predecessor that dies before it hears that all came; and one that gives up", end_cannot_be_answered },
	{ "nobody comes, but signals", signals_meanwhile },
	{ "a successor that says nothing", mute_successor },
	{ "nothing, or no more, is said over a socket with a time limit, but signals come", mute_socket },
	{ "a part in pieces, and signals between", in_pieces },
	{ "bad arguments", bad_arguments },
	{ "to the service manager", to_the_manager },
	{ "from the service manager", from_the_manager },
};

TAP_MAIN(tests)
