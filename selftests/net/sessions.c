// SPDX-License-Identifier: GPL-2.0
/*
 * A fuzzer of whole sessions. A seed makes a stream of frames, mostly valid and often damaged, cuts it into segments, and
 * mixes them with calls on the module's side; a model in user space (model.h) says what each call may return and what
 * may be on the wire.
 *
 *	sessions			some fixed seeds, as a self-test: the same each time; new ones are for make torture
 *	sessions SEED [KIND]		one of them again, telling each step; KIND: steps, threads or chaos
 *	sessions -s SEED -n COUNT -j PROCESSES [-t SECONDS]	many; the last line says how many
 *
 * The steps of a seed are always the same; what several threads, the kernel's timers and TCP do between them is not.
 * time limit: 600 s
 */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "session.h"

enum { HANG = 240 };		/* seconds that no session takes */

/* All that can be delivered was, and what ended the stream was told. */
static bool received_all(const struct session *s)
{
	const struct model *m = &s->model;

	if (s->reader.over)
		return true;
	if (s->reader.fin || m->closed || m->failures)
		return false;
	return s->written == s->script.out.len && !reader_has(&s->reader, s->written, true);
}

static void drain(struct session *s)
{
	time_t start = time(NULL);

	while (s->written < s->script.out.len || !received_all(s)) {
		struct pollfd p[2] = { { .fd = s->l.ws, .events = POLLIN }, { .fd = s->l.peer, .events = POLLIN } };

		if (s->reader.cut && s->reader.over)
			break;
		session_peer_write(s);
		session_peer_read(s, 100);
		session_receive(s, &s->rng, false);
		if (time(NULL) - start > HANG / 2)
			fail("stalled: %zu of %zu bytes written, piece %zu of %zu, over %d", s->written,
			     s->script.out.len, s->reader.next, s->model.pieces, s->reader.over);
		if (s->written == s->script.out.len && !received_all(s))
			poll(p, s->wire_end ? 1 : 2, 5);
	}
}

/* RFC 6455 5.5.2, 5.5.3: of all pings, the last one at least is answered. */
static void expect_last_pong(struct session *s)
{
	const struct model *m = &s->model;
	const struct ping *last = m->pings ? &m->ping[m->pings - 1] : NULL;
	time_t start = time(NULL);

	while (last) {
		size_t i;

		session_peer_read(s, 1000);
		for (i = 0; i < s->seen.controls; i++)
			if (s->seen.control[i].opcode == OP_PONG && s->seen.control[i].len == last->len &&
			    !memcmp(s->seen.bytes + s->seen.control[i].at, m->bytes + last->at, last->len))
				return;
		if (s->wire_end || time(NULL) - start > HANG / 2)
			fail("the last of %zu pings was not answered", m->pings);
		usleep(1000);
	}
}

/* Nothing ended the session: the last thing the peer wrote. */
static void peer_ends(struct session *s)
{
	unsigned int how = rnd(&s->rng, 3);

	if (how == 0) {
		say("peer sends FIN");
		shutdown(s->l.peer, SHUT_WR);
		s->reader.fin = true;
	} else if (how == 1 && chance(&s->rng, 30)) {
		struct linger now = { .l_onoff = 1 };

		say("peer resets");
		must(setsockopt(s->l.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
		link_close_peer(&s->l);
		s->reader.cut = s->reader.fin = true;
		s->wire_end = WIRE_RESET;
	}
}

/* close() has no reason to reset the connection. */
static bool nothing_unread(const struct session *s)
{
	struct reader rd = s->reader;

	/* an empty message that may be gone may also be there */
	rd.hidden = 0;
	return s->written == s->script.out.len && !rd.cut && session_settled(s) && (rd.over || !rd.streams) &&
	       !reader_has(&rd, s->written, true);
}

static void run_steps(__u64 seed)
{
	struct session s;
	unsigned int steps;
	bool clean;

	session_open(&s, seed, seed % 8 == 0);
	for (steps = 4 + rnd(&s.rng, 24); steps; steps--) {
		unsigned int kind = rnd(&s.rng, 100);

		if (kind < 40)
			session_peer_write(&s);
		else if (kind < 65)
			session_receive(&s, &s.rng, false);
		else if (kind < 80)
			session_send(&s, &s.rng, MSG_DONTWAIT);
		else if (kind < 90)
			session_peer_read(&s, 1 + rnd(&s.rng, 20));
		else
			session_disturb(&s, &s.rng);
	}
	if (chance(&s.rng, 75)) {
		while (s.written < s.script.out.len && !s.reader.cut) {
			session_peer_write(&s);
			session_peer_read(&s, 100);
			session_receive(&s, &s.rng, false);
		}
		peer_ends(&s);
		if (chance(&s.rng, 80))
			drain(&s);
		if (received_all(&s) && !s.model.closed && !s.model.failures && !s.reader.cut && !s.closed_here)
			expect_last_pong(&s);
	}
	clean = received_all(&s) && nothing_unread(&s);
	if (chance(&s.rng, 20)) {
		say("shutdown");
		shutdown(s.l.ws, SHUT_WR);
		session_peer_read(&s, 10);
	}
	link_close_ws(&s.l);
	session_read_wire(&s);
	session_judge(&s, clean);
	session_free(&s);
}

enum kind { STEPS, THREADS, CHAOS };

/* Threads cost more: one in 16 has them. */
static enum kind kind_of(__u64 seed)
{
	return seed % 16 != 7 ? STEPS : seed % 32 == 7 ? CHAOS : THREADS;
}

static void run(__u64 seed, enum kind kind)
{
	alarm(HANG);
	if (kind == STEPS)
		run_steps(seed);
	else
		session_threads(seed, kind == CHAOS);
	alarm(0);
}

/* What a worker process is doing. */
struct worker {
	pid_t	pid;
	__u64	seed, done;
};

static void work(struct worker *w, __u64 first, __u64 count, unsigned int step, time_t until)
{
	session_world();
	for (w->seed = first; w->seed < first + count; w->seed += step) {
		if (until && time(NULL) >= until)
			return;
		run(w->seed, kind_of(w->seed));
		w->done++;
	}
}

/* Sessions from @first on, in @processes; returns how many were done, or -1 after saying which one failed. */
static long long run_many(__u64 first, __u64 count, unsigned int processes, unsigned int seconds)
{
	struct worker *w = must(mmap(NULL, processes * sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	time_t until = seconds ? time(NULL) + seconds : 0;
	unsigned int i, left;
	long long done = 0;
	int status;
	pid_t pid;

	for (i = 0; i < processes; i++) {
		pid = must(fork());
		if (!pid) {
			work(&w[i], first + i, count - i, processes, until);
			_exit(0);
		}
		w[i].pid = pid;
	}
	for (left = processes; left; left--) {
		pid = must(wait(&status));
		for (i = 0; w[i].pid != pid; i++)
			;
		if (status) {
			printf("# sessions %llu failed (signal %d): repeat it with \"sessions %llu\"\n", w[i].seed,
			       WTERMSIG(status), w[i].seed);
			fflush(stdout);
			done = -1;
		}
		if (done >= 0)
			done += w[i].done;
	}
	munmap(w, processes * sizeof(*w));
	return done;
}

static bool as_test(int number, const char *name, __u64 first, __u64 count)
{
	long long done = run_many(first, count, 2, 20);

	printf("# %lld sessions from seed %llu on\n%sok %d %s\n", done, first, done > 20 ? "" : "not ", number, name);
	fflush(stdout);
	return done > 20;
}

/* Seeds in which something was found that no other test shows. */
static bool found_once(int number)
{
	/* row 28: SO_RCVBUF was made smaller under a message, TCP dropped the rest of it, and nobody looked again */
	bool good = run_many(110088531, 1, 1, 0) == 1;

	printf("%sok %d those in which something was found\n", good ? "" : "not ", number);
	fflush(stdout);
	return good;
}

static int usage(void)
{
	fprintf(stderr, "usage: sessions [SEED [steps|threads|chaos] | -s SEED -n COUNT [-j PROCESSES] [-t SECONDS]]\n");
	return 2;
}

int main(int argc, char **argv)
{
	__u64 first = 1, count = 0;
	unsigned int processes = 1, seconds = 0;
	long long done;
	int c;

	signal(SIGPIPE, SIG_IGN);
	while ((c = getopt(argc, argv, "s:n:j:t:")) != -1) {
		if (c == 's')
			first = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			count = strtoull(optarg, NULL, 0);
		else if (c == 'j')
			processes = atoi(optarg);
		else if (c == 't')
			seconds = atoi(optarg);
		else
			return usage();
	}
	if (optind < argc) {
		first = strtoull(argv[optind], NULL, 0);
		c = kind_of(first);
		if (optind + 1 < argc)
			c = argv[optind + 1][0] == 's' ? STEPS : argv[optind + 1][0] == 't' ? THREADS : CHAOS;
		sessions_verbose = true;
		session_world();
		run(first, c);
		return 0;
	}
	if (!count) {
		bool good;

		printf("1..2\n");
		fflush(stdout);
		good = as_test(1, "the same sessions", 1, 400);
		return !found_once(2) || !good;
	}
	done = run_many(first, count, processes, seconds);
	printf("%lld sessions from seed %llu on\n", done, first);
	return done < 0;
}
