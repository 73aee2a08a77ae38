// SPDX-License-Identifier: GPL-2.0
/* The peer's side of a session, and the verdict. See session.h. */
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"
#include "keys.h"
#include "session.h"

bool sessions_verbose;
static int listeners[2][2];	/* IPv4, IPv6; and with a small receive buffer */

enum { SMALL_BUFFER = 4608 };

void say_(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
	fflush(stdout);
}

void session_world(void)
{
	int family, fd;

	fresh_netns();
	/* thousands of connections a minute: none has to rest in TIME_WAIT */
	fd = must(open("/proc/sys/net/ipv4/tcp_max_tw_buckets", O_WRONLY));
	equal(2, write(fd, "8\n", 2));
	close(fd);
	for (family = 0; family < 2; family++) {
		listeners[family][0] = tcp_listen(family ? IPV6 : IPV4);
		listeners[family][1] = tcp_listen(family ? IPV6 : IPV4);
		set_option(listeners[family][1], SOL_SOCKET, SO_RCVBUF, SMALL_BUFFER);
	}
}

static void session_connect(struct session *s, bool small)
{
	enum family family = chance(&s->rng, 70) ? IPV4 : IPV6;
	int *listener = &listeners[family == IPV6][small && !s->script.client];
	int connected = tcp_connect(*listener, small && s->script.client ? SMALL_BUFFER : 0);
	int accepted = must(accept4(*listener, NULL, NULL, SOCK_CLOEXEC));

	memset(&s->l, 0, sizeof(s->l));
	s->l.shape = (struct shape){ .family = family, .client = s->script.client };
	s->l.ws = s->script.client ? connected : accepted;
	s->l.peer = s->script.client ? accepted : connected;
	s->l.wire.fd = s->l.peer;
	s->l.wire.expect_mask = s->script.client;
	s->l.wire.pongs_late = true;
	s->l.wire.patience_ms = 120000;
	set_option(s->l.peer, IPPROTO_TCP, TCP_NODELAY, 1);
	if (chance(&s->rng, 10))
		set_option(s->l.ws, SOL_SOCKET, SO_SNDBUF, 4608);
	if (chance(&s->rng, 5))
		set_option(s->l.peer, SOL_SOCKET, SO_RCVBUF, 2304);
}

static void random_config(struct session *s)
{
	static const __u32 flags[] = { WEBSOCKET_F_NO_UTF8, WEBSOCKET_F_PING, WEBSOCKET_F_PONG, WEBSOCKET_F_BATCH,
				       WEBSOCKET_F_TEXT };
	unsigned int i;

	s->config = (struct websocket_config){ .close_timeout_ms = 600000 };
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (chance(&s->rng, 25))
			s->config.flags |= flags[i];
	if (s->script.client)
		s->config.flags |= WEBSOCKET_F_CLIENT;
	s->batch = s->config.flags & WEBSOCKET_F_BATCH;
	if (chance(&s->rng, 10))
		s->config.max_message = chance(&s->rng, 50) ? WEBSOCKET_NO_LIMIT : rnd(&s->rng, 2000);
	if (chance(&s->rng, 10))
		s->config.ping_interval_ms = 1 + rnd(&s->rng, 50);
	s->config.pong_timeout_ms = 600000;
}

static void tell_pieces(const struct model *m)
{
	size_t i;

	for (i = 0; i < m->pieces; i++)
		say("  piece %zu: opcode %u, %zu bytes, begin %d, end %d, optional %d, there at %zu", i, m->piece[i].opcode,
		    m->piece[i].len, m->piece[i].begin, m->piece[i].end, m->piece[i].optional, m->piece[i].wire);
}

void session_open(struct session *s, __u64 seed, bool small_buffers)
{
	memset(s, 0, sizeof(*s));
	s->rng.state = seed * 0x9e3779b97f4a7c15ULL + 1;
	rnd(&s->rng, 1);
	script_make(&s->script, &s->rng, chance(&s->rng, 35));
	random_config(s);
	model_make(&s->model, s->script.out.bytes, s->script.out.len, &s->config);
	s->reader.model = &s->model;
	s->reader.streams = small_buffers || s->script.out.len > 30000;
	s->pace = chance(&s->rng, 15) ? 1 + rnd(&s->rng, 7) : chance(&s->rng, 30) ? s->script.out.len + 1 : 0;
	if (s->pace && s->script.out.len / s->pace > 400)
		s->pace = 0;
	say("%s, %zu bytes in %zu frames%s, flags %#x, max %llu; %zu pieces, close %u, failures %#llx",
	    s->script.client ? "client" : "server", s->script.out.len, s->script.out.count,
	    s->script.damaged ? ", damaged" : "", s->config.flags, s->config.max_message, s->model.pieces,
	    s->model.closed ? s->model.close_code : 0, s->model.failures);
	tell_pieces(&s->model);
	session_connect(s, small_buffers);
	if (link_tls) {
		s->l.shape.tls = seed & 1 ? TLS_1_2_VERSION : TLS_1_3_VERSION;
		link_start(&s->l, &s->config);
		return;
	}
	while (chance(&s->rng, 20))
		session_peer_write(s);
	must(ulp_attach(s->l.ws));
	if (chance(&s->rng, 20))
		session_peer_write(s);
	must(ws_configure(s->l.ws, &s->config));
}

void session_free(struct session *s)
{
	link_close(&s->l);
	script_free(&s->script);
	model_free(&s->model);
	account_free(&s->accepted);
	account_free(&s->seen);
}

bool session_settled(const struct session *s)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int left;

	/* records are longer than what is in them */
	if (link_tls)
		return s->l.peer >= 0 && !ioctl(s->l.peer, SIOCOUTQ, &left) && !left;
	/* a FIN counts as a byte */
	return !getsockopt(s->l.ws, IPPROTO_TCP, TCP_INFO, &info, &len) && info.tcpi_bytes_received >= s->written;
}

void session_peer_write(struct session *s)
{
	size_t left = s->script.out.len - s->written, n = s->pace;
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	ssize_t rc;

	if (!left)
		return;
	if (!n)
		n = 1 + (chance(&s->rng, 50) ? rnd(&s->rng, left) : rnd(&s->rng, left < 40 ? left : 40));
	if (n > left)
		n = left;
	if (chance(&s->rng, 2) && !link_tls)
		flags |= MSG_OOB;
	rc = send(s->l.peer, s->script.out.bytes + s->written, n, flags);
	say("peer writes %zd of %zu at %zu%s", rc, n, s->written, flags & MSG_OOB ? ", urgent" : "");
	if (rc >= 0)
		s->written += rc;
	else if (errno != EAGAIN && errno != EPIPE && errno != ECONNRESET)
		fail("peer's send: %s", error_name(errno));
	else if (errno != EAGAIN)
		s->reader.cut = true;
}

static void see_frame(struct session *s)
{
	const struct seen *f = &s->l.wire.seen;

	say("wire: opcode %u, %zu bytes, FIN %d", f->opcode, f->len, f->fin);
	if (f->opcode < 8) {
		account_data(&s->seen, f->opcode, f->payload, f->len, f->fin);
		return;
	}
	account_control(&s->seen, f->opcode, f->payload, f->len);
	if (f->opcode != OP_CLOSE)
		return;
	s->wire_code = f->len ? f->payload[0] << 8 | f->payload[1] : 1005;
	if (s->wire_code != s->own_code && s->wire_code != 1000 && s->wire_code != 1001 &&
	    !(s->model.closed && s->wire_code == s->model.close_code) && !model_close_code(&s->model, s->wire_code))
		fail("Close %u on the wire: nobody asked for it", s->wire_code);
}

void session_peer_read(struct session *s, unsigned int frames)
{
	struct pollfd p = { .fd = s->l.peer, .events = POLLIN };

	while (frames-- && !s->wire_end && (s->l.wire.used < s->l.wire.have || poll(&p, 1, 0) > 0)) {
		s->wire_end = wire_read(&s->l.wire);
		if (!s->wire_end)
			see_frame(s);
		else
			say("wire: %s", s->wire_end == WIRE_RESET ? "reset" : "end");
	}
}

void session_read_wire(struct session *s)
{
	while (!s->wire_end) {
		s->wire_end = wire_read(&s->l.wire);
		if (!s->wire_end)
			see_frame(s);
		else
			say("wire: %s", s->wire_end == WIRE_RESET ? "reset" : "end");
	}
}

void session_judge(struct session *s, bool clean)
{
	if (clean && s->wire_end != WIRE_END)
		fail("the peer saw a reset, though nothing was left unread");
	if (clean && !s->wire_code)
		fail("the connection ended without Close");
	account_compare(&s->accepted, &s->seen, &s->model, clean, s->config.ping_interval_ms);
}
