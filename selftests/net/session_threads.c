// SPDX-License-Identifier: GPL-2.0
/* Sessions in which several threads use the socket at once. See session.h. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"
#include "session.h"

/* A session's threads, each with chance of its own. */
struct actor {
	struct session	*s;
	struct rng	rng;
	pthread_t	thread;
	bool		*stop;
};

static void *feed(void *argument)
{
	struct actor *a = argument;
	struct session *s = a->s;
	const struct stream *out = &s->script.out;

	while (s->written < out->len) {
		size_t left = out->len - s->written, n = s->pace ?: 1 + rnd(&a->rng, left);
		ssize_t rc = send(s->l.peer, out->bytes + s->written, n < left ? n : left, MSG_NOSIGNAL);

		if (rc < 0)
			break;
		s->written += rc;
		if (chance(&a->rng, 5))
			usleep(rnd(&a->rng, 300));
	}
	shutdown(s->l.peer, SHUT_WR);
	return NULL;
}

static void *read_wire(void *argument)
{
	struct actor *a = argument;

	session_read_wire(a->s);
	return NULL;
}

static void *receive(void *argument)
{
	struct actor *a = argument;

	while (!a->s->reader.over)
		session_receive(a->s, &a->rng, true);
	return NULL;
}

static void *write_messages(void *argument)
{
	struct actor *a = argument;
	unsigned int n = 1 + rnd(&a->rng, 15);

	while (n--) {
		if (__atomic_load_n(a->stop, __ATOMIC_RELAXED))
			break;
		session_send(a->s, &a->rng, chance(&a->rng, 50) ? MSG_DONTWAIT : 0);
	}
	return NULL;
}

static void *look_on(void *argument)
{
	struct actor *a = argument;
	unsigned int n = 1 + rnd(&a->rng, 20);

	while (n--) {
		set_option(a->s->l.ws, SOL_SOCKET, SO_RCVLOWAT, 1 + rnd(&a->rng, 1000000));
		ws_poll(a->s->l.ws);
		ws_info(a->s->l.ws);
		must(ws_configure(a->s->l.ws, &a->s->config));
	}
	return NULL;
}

static void receive_any(int fd, void *bytes, size_t len, int flags)
{
	char control[CMSG_SPACE(4 * sizeof(struct websocket_batch))] __attribute__((aligned(8)));
	struct iovec iov = { bytes, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

	recvmsg(fd, &h, flags);
}

/* Any call at any time; only the frames on the wire are judged. */
static void any_call(struct actor *a, int closed)
{
	static __thread char buffer[70000];
	struct session *s = a->s;
	unsigned int len = rnd_size(&a->rng, sizeof(buffer) - 1);

	switch (rnd(&a->rng, 12)) {
	case 0: case 1: case 2:
		receive_any(s->l.ws, buffer, len, rnd(&a->rng, 2) ? MSG_DONTWAIT : 0);
		break;
	case 3:
		recv(s->l.ws, buffer, len, MSG_DONTWAIT | (rnd(&a->rng, 2) ? MSG_PEEK : MSG_WAITALL));
		break;
	case 4: case 5: case 6:
		ws_send(s->l.ws, rnd(&a->rng, 3), buffer, len,
			MSG_NOSIGNAL | (rnd(&a->rng, 2) ? MSG_DONTWAIT : 0) | (rnd(&a->rng, 3) ? 0 : MSG_MORE));
		break;
	case 7:
		ws_send(s->l.ws, OP_PING, buffer, len % 130, MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case 8:
		poll(&(struct pollfd){ .fd = s->l.ws, .events = POLLIN | POLLOUT }, 1, rnd(&a->rng, 3));
		break;
	case 9:
		setsockopt(s->l.ws, SOL_WEBSOCKET, WEBSOCKET_CONFIG, &s->config, sizeof(s->config));
		break;
	case 10:
		if (chance(&a->rng, 15))
			shutdown(s->l.ws, rnd(&a->rng, 3));
		break;
	default:
		/* close(), but the number stays taken */
		if (chance(&a->rng, 15))
			dup2(closed, s->l.ws);
	}
}

static void *chaos(void *argument)
{
	struct actor *a = argument;
	int closed = must(open("/dev/null", O_RDWR | O_CLOEXEC));
	unsigned int n = 5 + rnd(&a->rng, 40);

	while (n-- && !__atomic_load_n(a->stop, __ATOMIC_RELAXED))
		any_call(a, closed);
	__atomic_store_n(a->stop, true, __ATOMIC_RELAXED);
	/* whoever is asleep in it wakes up */
	shutdown(a->s->l.ws, SHUT_RDWR);
	dup2(closed, a->s->l.ws);
	close(closed);
	return NULL;
}

static void start(struct actor *a, struct session *s, bool *stop, void *(*run)(void *))
{
	*a = (struct actor){ .s = s, .stop = stop };
	a->rng.state = s->rng.state ^ (rnd(&s->rng, 1 << 30) + 1ULL) << 20;
	check(!pthread_create(&a->thread, NULL, run, a));
}

static void join(struct actor *a)
{
	check(!pthread_join(a->thread, NULL));
}

static void run_orderly(struct session *s)
{
	struct actor feeder, wire, reader, writer, onlooker;
	bool stop = false, clean;

	s->threads = true;
	s->reader.fin = true;
	/* may be over before these know */
	s->model.fatal = 0;
	start(&feeder, s, &stop, feed);
	start(&wire, s, &stop, read_wire);
	start(&writer, s, &stop, write_messages);
	start(&onlooker, s, &stop, look_on);
	start(&reader, s, &stop, receive);
	join(&reader);
	join(&feeder);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	join(&writer);
	join(&onlooker);
	clean = s->written == s->script.out.len;
	link_close_ws(&s->l);
	join(&wire);
	session_judge(s, clean);
}

static void run_chaos(struct session *s)
{
	struct actor feeder, wire, actors[4];
	unsigned int n = 2 + rnd(&s->rng, 3), i;
	bool stop = false;

	s->l.wire.may_be_cut = true;
	start(&feeder, s, &stop, feed);
	start(&wire, s, &stop, read_wire);
	for (i = 0; i < n; i++)
		start(&actors[i], s, &stop, chaos);
	for (i = 0; i < n; i++)
		join(&actors[i]);
	link_close_ws(&s->l);
	join(&wire);
	join(&feeder);
}

void session_threads(__u64 seed, bool without_order)
{
	struct session s;

	session_open(&s, seed, seed % 3 == 0);
	if (without_order)
		run_chaos(&s);
	else
		run_orderly(&s);
	session_free(&s);
}
