// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's protocol and the library's engine, one beside the other: random sessions, each played on both, must look the same
 * to the application (messages, opcodes, close codes, errno, counters) and to the peer (frames, end or reset).
 *
 *	engines [SEED [SESSIONS]]	default: seed 1, and SECONDS of sessions; 0: a seed from the clock
 *
 * A session that differs is printed with its seed; engines SEED 1 plays it again.
 * time limit: 120 s
 */
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/tcp.h>

#include "../../userspace/lib/kws.h"
#include "check.h"
#include "peer.h"

#define SECONDS		5
#define LEAST		20	/* sessions, however slow the machine is */
#define SENT_MAX	40000	/* bytes of one session that wait for the peer, who reads at its end */

static __u64 state;

static unsigned int draw(unsigned int n)
{
	state += 0x9e3779b97f4a7c15;
	__u64 z = state;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (__u32)(z >> 32) % n;
}

static bool one_in(unsigned int n)
{
	return !draw(n);
}

/* What was seen, one line each. */
struct log {
	char text[1 << 19];
	size_t len;
};

__attribute__((format(printf, 2, 3)))
static void note(struct log *l, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	if (l->len < sizeof(l->text) - 400)
		l->len += vsnprintf(l->text + l->len, 400, format, list);
	va_end(list);
}

static unsigned int sum(const unsigned char *p, size_t n)
{
	unsigned int h = 2166136261;

	while (n--)
		h = (h ^ *p++) * 16777619;
	return h;
}

/* Text that is UTF-8, mostly. */
static void text(unsigned char *p, size_t len)
{
	static const char *const chars[] = { "a", "z ", "ä", "€", "😀", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf", "line\n" };
	size_t n = 0;

	while (n < len) {
		const char *c = chars[draw(8)];
		size_t k = strlen(c);

		if (k > len - n)
			c = "xxxx", k = len - n;
		memcpy(p + n, c, k);
		n += k;
	}
	if (len && one_in(40))
		p[draw(len)] = draw(256);
}

static size_t some_length(void)
{
	static const size_t lengths[] = { 0, 1, 2, 5, 40, 124, 125, 126, 127, 300, 1000, 4000, 65535, 65536 };

	return one_in(3) ? draw(200) : lengths[draw(one_in(20) ? 14 : 12)];
}

/* The peer's bytes: frames in order, and then, perhaps, damage. */
static void make_stream(struct stream *s)
{
	unsigned int i, n = 1 + draw(24), open = 0;

	for (i = 0; i < n; i++) {
		unsigned int kind = draw(10);
		struct frame f = { .key_zero = one_in(10) };
		unsigned char *payload;

		f.len = kind < 6 ? some_length() : draw(126);
		payload = malloc(f.len + 1);
		if (kind < 6) {
			unsigned int was = open ? open : 1 + draw(2);

			f.opcode = one_in(60) ? draw(16) : open ? 0 : was;
			f.more = one_in(3);
			open = f.more ? was : 0;
			text(payload, f.len);
			if (was == OP_BINARY)
				pattern(payload, f.len, draw(1000));
			if (one_in(80))
				f.announce = 1ULL << draw(64);
		} else {
			f.opcode = kind < 8 ? OP_PING : kind < 9 ? OP_PONG : i > n / 2 ? OP_CLOSE : OP_PING;
			pattern(payload, f.len, draw(1000));
			if (f.opcode == OP_CLOSE) {
				static const unsigned int codes[] = { 1000, 1001, 1003, 1005, 1006, 999, 3000, 4999, 5000, 1007 };
				unsigned int code = codes[draw(10)];

				f.len = one_in(4) ? 0 : one_in(10) ? 1 : 2 + draw(20);
				text(payload, f.len);
				payload[0] = code >> 8;
				if (f.len > 1)
					payload[1] = code;
			}
		}
		f.payload = payload;
		stream_frame(s, &f);
		free(payload);
	}
	for (i = one_in(3) ? 1 + draw(3) : 0; i && s->len; i--)
		s->bytes[draw(s->len)] ^= one_in(2) ? 1u << draw(8) : draw(256);
	if (one_in(6))
		s->len = draw(s->len + 1);
}

static struct tcp_info tcp(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info;
}

/* Until TCP has it all on the other side. */
static void arrived(int fd, __u64 sent, int not_state)
{
	for (int i = 0; i < 20000; i++) {
		struct tcp_info info = tcp(fd);

		if (info.tcpi_bytes_received >= sent && info.tcpi_state != not_state)
			return;
		if (i > 100)
			usleep(50);
	}
}

struct play {
	struct kws_conn *c;
	int fd, peer;
	struct log *log;
	unsigned char buf[70000];
	size_t sent;		/* by the application */
	__u64 written;		/* by the peer */
	bool ended;
};

static void app_recv(struct play *p, size_t len, int flags, unsigned int batch)
{
	struct websocket_batch b[WEBSOCKET_BATCH_MAX];
	unsigned int i, count = batch;
	struct kws_message m;
	ssize_t n;

	flags |= MSG_DONTWAIT;
	n = batch ? kws_conn_recv_batch(p->c, p->buf, len, flags, b, &count, &m) :
		kws_conn_recv(p->c, p->buf, len, flags, &m);
	note(p->log, "recv %zu %#x %u: %zd op %u %d%d code %u left %llu sum %x\n", len, flags, batch, n, m.opcode, m.begin, m.end,
	     m.close_code, (unsigned long long)m.frame_left, n > 0 ? sum(p->buf, n) : 0);
	for (i = 0; batch && i < count; i++)
		note(p->log, "\t%u op %u flags %u\n", b[i].len, b[i].opcode, b[i].flags);
	p->ended = (n < 0 && n != -EAGAIN) || (n == 0 && kws_is_end(&m));
}

static void app_send(struct play *p)
{
	static const int opcodes[] = { 0, 1, 2, 1, 2, 9, 10, 3 };
	int opcode = opcodes[draw(8)], flags = MSG_DONTWAIT | (one_in(3) ? MSG_MORE : 0);
	size_t len = opcode > 8 ? draw(130) : some_length() % 8000;
	ssize_t n;

	pattern(p->buf, len, draw(1000));
	if (p->sent + len > SENT_MAX)
		len = 0;
	p->sent += len;
	n = kws_conn_send(p->c, opcode, p->buf, len, flags);
	note(p->log, "send op %d %zu %#x: %zd\n", opcode, len, flags, n);
}

static void app_send_batch(struct play *p)
{
	struct websocket_batch b[8] = { { 0 } };
	unsigned int i, nr = 1 + draw(8);
	size_t len = 0;

	for (i = 0; i < nr; i++) {
		b[i].len = draw(300);
		b[i].opcode = one_in(30) ? draw(16) : 1 + draw(2);
		len += b[i].len;
	}
	pattern(p->buf, len, draw(1000));
	if (p->sent + len > SENT_MAX)
		return;
	p->sent += len;
	note(p->log, "batch %u %zu: %zd\n", nr, len, kws_conn_send_batch(p->c, p->buf, len + one_in(20), MSG_DONTWAIT, b, nr));
}

static void app_close(struct play *p)
{
	static const unsigned int codes[] = { 0, 1000, 1001, 3000, 1005, 12 };
	unsigned int code = codes[draw(6)];

	note(p->log, "close %u: %d\n", code, kws_conn_close(p->c, code, one_in(3) ? "€ reason" : NULL));
}

static void app_step(struct play *p)
{
	unsigned int what = draw(20);
	size_t len = one_in(3) ? draw(20) + 1 : one_in(2) ? draw(2000) + 1 : 65536;

	if (what < 9)
		app_recv(p, len, one_in(10) ? MSG_PEEK : one_in(10) ? MSG_WAITALL : 0, 0);
	else if (what < 12)
		app_recv(p, len, one_in(10) ? MSG_PEEK : 0, 1 + draw(one_in(2) ? 4 : 64));
	else if (what < 16)
		app_send(p);
	else if (what < 18)
		app_send_batch(p);
	else if (one_in(4))
		app_close(p);
}

/* What the peer has read by its end. */
static void note_wire(struct play *p, bool masked)
{
	size_t have = 0, room = 1 << 18, at = 0;
	unsigned char *bytes = malloc(room);
	ssize_t n;

	while ((n = recv(p->peer, bytes + have, room - have, 0)) > 0)
		have += n;
	while (have - at >= 2) {
		unsigned int head = 2, key = 0;
		__u64 len = bytes[at + 1] & 127;

		if (len == 126)
			len = bytes[at + 2] << 8 | bytes[at + 3], head = 4;
		else if (len == 127)
			len = bytes[at + 6] << 24 | bytes[at + 7] << 16 | bytes[at + 8] << 8 | bytes[at + 9], head = 10;
		if (bytes[at + 1] & 128)
			key = at + head, head += 4;
		if (!!key != masked || head + len > have - at)
			break;
		for (__u64 i = 0; key && i < len; i++)
			bytes[at + head + i] ^= bytes[key + i % 4];
		note(p->log, "wire %02x %llu sum %x\n", bytes[at], (unsigned long long)len, sum(bytes + at + head, len));
		at += head + len;
	}
	note(p->log, "wire: %zu bytes over, %s\n", have - at, n ? error_name(errno) : "end");
	free(bytes);
}

static void note_info(struct play *p)
{
	struct websocket_info i;
	char reason[128];

	equal(0, kws_conn_info(p->c, &i));
	note(p->log, "info state %u sent %u received %u reason %u error %u rx %llu %llu %llu tx %llu %llu %llu control %u %u %u %u unread "
	     "%llu partial %llu\n", i.state, i.sent_close_code, i.received_close_code, i.close_reason_len, i.error,
	     i.rx_messages, i.rx_frames, i.rx_bytes, i.tx_messages, i.tx_frames, i.tx_bytes, i.rx_pings, i.rx_pongs,
	     i.tx_pings, i.tx_pongs, i.unread_bytes, i.partial_bytes);
	note(p->log, "reason %d %s\n", kws_conn_close_reason(p->c, reason, sizeof(reason)), reason);
}

static void peer_part(struct play *p, const struct stream *s, size_t *at)
{
	size_t n = one_in(3) ? 1 + draw(4) : one_in(2) ? 1 + draw(200) : 1 + draw(20000);

	if (n > s->len - *at)
		n = s->len - *at;
	if (send(p->peer, s->bytes + *at, n, MSG_NOSIGNAL) != (ssize_t)n) {
		*at = s->len;
		return;
	}
	*at += n;
	p->written += n;
	arrived(p->fd, p->written, -1);
}

static void peer_ends(struct play *p)
{
	struct linger now = { .l_onoff = 1 };

	switch (draw(3)) {
	case 0:
		shutdown(p->peer, SHUT_WR);
		arrived(p->fd, p->written, 1);	/* TCP_ESTABLISHED */
		break;
	case 1:
		setsockopt(p->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(p->peer);
		p->peer = -1;
		arrived(p->fd, p->written, 1);
	}
}

/* One session: the same seed draws the same one, whichever engine plays it. */
static void play(__u64 seed, int engine, struct log *log)
{
	static struct play p;
	struct websocket_config cfg = { 0 };
	static const __u64 limits[] = { 0, 0, 0, 200, 1000, WEBSOCKET_NO_LIMIT };
	struct stream s;
	size_t at = 0;
	bool client;

	state = seed;
	log->len = 0;
	p = (struct play){ .log = log };
	client = one_in(3);
	cfg.flags = (client ? WEBSOCKET_F_CLIENT : 0) | (one_in(6) ? WEBSOCKET_F_NO_UTF8 : 0) | (one_in(4) ? WEBSOCKET_F_PING : 0) |
		    (one_in(4) ? WEBSOCKET_F_PONG : 0) | (one_in(3) ? WEBSOCKET_F_BATCH : 0) | (one_in(4) ? WEBSOCKET_F_TEXT : 0);
	cfg.max_message = limits[draw(6)];
	stream_init(&s, !client);
	make_stream(&s);

	tcp_pair(IPV4, &p.fd, &p.peer, 0, 0);
	set_option(p.peer, IPPROTO_TCP, TCP_NODELAY, 1);
	p.c = kws_conn_new(p.fd, &cfg, engine);
	if (!p.c)
		fail("kws_conn_new: %s", error_name(errno));
	while (at < s.len) {
		unsigned int steps = one_in(3) ? draw(6) : 0;

		peer_part(&p, &s, &at);
		note(log, "run %d\n", kws_conn_run(p.c));
		while (steps--)
			app_step(&p);
	}
	peer_ends(&p);
	note(log, "run %d\n", kws_conn_run(p.c));
	for (int i = one_in(4) ? draw(10) : 1000; i && !p.ended; i--) {
		size_t before = log->len;

		app_recv(&p, 65536, 0, one_in(4) ? 64 : 0);
		if (strstr(log->text + before, ": -11 "))
			break;
	}
	note_info(&p);
	kws_conn_free(p.c);
	if (p.peer >= 0) {
		note_wire(&p, client);
		close(p.peer);
	}
	stream_free(&s);
}

static void show(const char *who, const char *text)
{
	printf("# %s saw:\n", who);
	for (; *text; text = strchr(text, '\n') + 1)
		printf("#   %.*s\n", (int)strcspn(text, "\n"), text);
}

/* Whether both saw the same; a busy machine gets two more chances, a true difference shows each time. */
static bool same(__u64 seed)
{
	static struct log kernel, user;

	for (int i = 0; i < 3; i++) {
		play(seed, KWS_ENGINE_KERNEL, &kernel);
		play(seed, KWS_ENGINE_USER, &user);
		if (kernel.len == user.len && !memcmp(kernel.text, user.text, user.len))
			return true;
	}
	printf("# seed %llu differs\n", (unsigned long long)seed);
	show("the kernel's user", kernel.text);
	show("the library's user", user.text);
	return false;
}

int main(int argc, char **argv)
{
	struct timespec now;
	unsigned long done = 0, bad = 0, want = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	__u64 seed;
	time_t end;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	if (!seed)
		seed = (__u64)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	printf("1..1\n# sessions from seed %llu on\n", (unsigned long long)seed);
	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + SECONDS;
	while (want ? done < want : done < LEAST || now.tv_sec < end) {
		bad += !same(seed + done++);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (bad > 4)
			break;
	}
	printf("%sok 1 %lu sessions, %lu differ between the kernel's protocol and the library's engine\n", bad ? "not " : "", done, bad);
	return !!bad;
}
