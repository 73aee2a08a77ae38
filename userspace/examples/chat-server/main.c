// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * chat-server [--cert FILE [--key FILE]] [PORT [SOCKET]]
 *
 * Under systemd, or chat-keeper, the sockets are kept by those (FDSTORE=1). With SOCKET, a path, the next chat-server that is
 * started with it takes everything over, and this one ends. Open http://localhost:PORT/ in a browser; with a certificate, https. The
 * keys of open connections are in the kernel: a successor may well have another certificate.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "chat.h"

struct shared *shared;
struct client *clients[SLOTS];
int epoll_fd;
struct kws_tls *tls;

static int listener = -1, state_fd = -1, heir = -1;
static volatile sig_atomic_t ending;
static bool heir_waits, full;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

void watch(struct client *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

void client_drop(struct client *c)
{
	char name[NAME];

	if (c->slot >= 0) {
		snprintf(name, sizeof(name), "c%d", c->slot);
		room_leave(c);
		shared->slots[c->slot].used = false;
		shared->clients--;
		clients[c->slot] = NULL;
		kws_handover_forget(name);
	}
	if (c->hs)
		http_leave(c);
	close(c->fd);
	free(c);
}

static void map_state(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, state_fd, 0);
	if (shared == MAP_FAILED)
		die("mmap");
}

/* A predecessor's socket. */
static void resume(int slot, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct client *c = calloc(1, sizeof(*c));

	if (!c || !shared->slots[slot].used || clients[slot]) {
		close(fd);
		free(c);
		return;
	}
	c->fd = fd;
	c->slot = slot;
	clients[slot] = c;
	ev.data.ptr = c;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
	room_resume(c);
}

/* Takes what a predecessor left; the state has to be there before the clients. */
static void inherit(struct kws_handover *h)
{
	static int sockets[SLOTS];	/* + 1 */
	const char *name;
	int fd, slot;

	for (unsigned int i = 0; i < kws_handover_count(h); i++) {
		fd = kws_handover_take(h, i, &name);
		slot = atoi(name + 1);
		if (!strcmp(name, "state"))
			state_fd = fd;
		else if (!strcmp(name, "listener"))
			listener = fd;
		else if (*name == 'c' && slot >= 0 && slot < SLOTS && !sockets[slot])
			sockets[slot] = fd + 1;
		else
			close(fd);
	}
	if (state_fd < 0)
		return;
	map_state();
	if (shared->magic != MAGIC) {
		fprintf(stderr, "chat-server: the predecessor's state is of another version\n");
		exit(1);
	}
	shared->restarts++;
	for (slot = 0; slot < SLOTS; slot++) {
		if (sockets[slot])
			resume(slot, sockets[slot] - 1);
		if (shared->slots[slot].used && !clients[slot]) {
			shared->slots[slot].used = false;
			shared->clients--;
		}
	}
	room_recover();
}

static void begin(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1;

	if (state_fd < 0) {
		state_fd = memfd_create("chat", MFD_CLOEXEC);
		if (state_fd < 0 || ftruncate(state_fd, sizeof(*shared)))
			die("memfd");
		map_state();
		shared->magic = MAGIC;
		kws_handover_store(state_fd, "state");
	}
	if (listener < 0) {
		listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 1024))
			die("listen");
		kws_handover_store(listener, "listener");
	}
}

static void give_away(void)
{
	int sock = accept4(heir, NULL, NULL, SOCK_CLOEXEC), err;
	struct timeval limit = { .tv_sec = 10 };
	struct kws_handover *h;
	char name[NAME];

	heir_waits = false;
	if (sock < 0) {
		poll(NULL, 0, 100);	/* no more descriptors, say: it stays in the queue */
		return;
	}
	h = kws_handover_new();
	/* an heir that says nothing does not hold up the clients for ever */
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	kws_handover_add(h, state_fd, "state");
	kws_handover_add(h, listener, "listener");
	for (int i = 0; i < SLOTS; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		if (clients[i])
			kws_handover_add(h, clients[i]->fd, name);
	}
	err = kws_handover_send_fd(h, sock);
	if (!err)
		exit(0);
	fprintf(stderr, "chat-server: handover: %s\n", kws_strerror(err));
	kws_handover_free(h);
	close(sock);
}

static void listen_for_heir(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	unlink(path);
	heir = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(heir, (struct sockaddr *)&un, sizeof(un)) || chmod(path, 0600) || listen(heir, 1))
		die(path);
}

static void add(int fd, void *ptr)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = ptr };

	if (fd >= 0)
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static void let_in(bool now)
{
	struct epoll_event ev = { .events = now ? EPOLLIN : 0, .data.ptr = &listener };

	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, listener, &ev);
	full = !now;
}

static void on_event(const struct epoll_event *ev)
{
	struct client *c = ev->data.ptr;

	if (ev->data.ptr == &listener) {
		if (!http_accept(listener))
			let_in(false);
	} else if (ev->data.ptr == &heir) {
		heir_waits = true;
	} else if (c->hs) {
		http_run(c);
	} else {
		if (ev->events & EPOLLOUT) {
			int slot = c->slot;

			room_tell(c);
			c = clients[slot];
		}
		if (c && ev->events & ~EPOLLOUT)
			room_receive(c);
	}
}

static void on_term(int sig)
{
	(void)sig;
	ending = 1;
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "cert", required_argument, NULL, 'c' }, { "key", required_argument, NULL, 'k' }, { 0 }
	};
	char why[200] = "no memory";
	struct kws_tls_options opt = { .why = why, .why_size = sizeof(why) };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if (option == 'c')
			opt.cert = optarg;
		else if (option == 'k')
			opt.key = optarg;
		else
			exit(2);
	if (opt.cert || opt.key)
		tls = kws_tls_server(&opt);
	if (!tls && (opt.cert || opt.key)) {
		fprintf(stderr, "chat-server: %s\n", why);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	struct epoll_event ev[64];
	struct kws_handover *h;
	sigset_t term, others;

	if (setrlimit(RLIMIT_NOFILE, &files) && !getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	parse_options(argc, argv);
	argc -= optind - 1;
	argv += optind - 1;
	signal(SIGPIPE, SIG_IGN);
	/* it comes inside epoll_pwait() and nowhere else: between a look at `ending' and the wait it would be overlooked */
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &others);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_term }, NULL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	h = argc > 2 ? kws_handover_receive(argv[2], 0) : kws_handover_stored();
	if (h)
		inherit(h);
	kws_handover_free(h);
	begin(argc > 1 ? atoi(argv[1]) : 8080);
	if (argc > 2)
		listen_for_heir(argv[2]);
	add(listener, &listener);
	add(heir, &heir);
	kws_handover_notify("READY=1", -1);
	room_tell_all();
	while (!ending) {
		int late = http_late();
		int n = epoll_pwait(epoll_fd, ev, 64, full && (late < 0 || late > 100) ? 100 : late, &others);

		if (full)
			let_in(true);
		for (int i = 0; i < n; i++)
			on_event(&ev[i]);
		room_tell_all();
		if (heir_waits)
			give_away();
	}
	return 0;
}
