// SPDX-License-Identifier: GPL-2.0
/* The calls on the module's side of a session. See session.h. */
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"
#include "session.h"

enum { ROOM = 1 << 18, GUARD = 4096, PATIENCE_MS = 60000 };

/* A buffer with memory behind it that faults. */
static unsigned char *buffer(void)
{
	static __thread unsigned char *p;

	if (!p) {
		p = must(mmap(NULL, ROOM + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		must(mprotect(p + ROOM, GUARD, PROT_NONE));
	}
	return p;
}

/* How one recvmsg() is done. */
struct call {
	unsigned char	*to;
	size_t		len, good;	/* bytes asked for; of them in memory */
	int		flags;
	size_t		control_len;
	char		control[CMSG_SPACE(64 * sizeof(struct websocket_batch))] __attribute__((aligned(8)));
	struct msghdr	h;
	ssize_t		n;
	int		error;
};

static void do_call(struct session *s, struct call *c)
{
	struct iovec iov[2] = { { c->to, c->len }, { 0 } };

	c->h = (struct msghdr){ .msg_iov = iov, .msg_iovlen = 1,
				.msg_control = c->control_len ? c->control : NULL, .msg_controllen = c->control_len };
	if (c->len > 3 && c->len % 5 == 0) {
		iov[0].iov_len = c->len / 3;
		iov[1] = (struct iovec){ c->to + c->len / 3, c->len - c->len / 3 };
		c->h.msg_iovlen = 2;
	}
	c->n = recvmsg(s->l.ws, &c->h, c->flags);
	c->error = c->n == -1 ? errno : 0;
	say("recvmsg(%zu, good %zu, flags %#x, control %zu) = %zd %s, flags %#x", c->len, c->good, c->flags,
	    c->control_len, c->n, error_name(c->error), c->n == -1 ? 0 : c->h.msg_flags);
}

static void take_batch(struct session *s, const struct call *c, const struct cmsghdr *m)
{
	const struct websocket_batch *b = (void *)CMSG_DATA(m);
	size_t nr = (m->cmsg_len - CMSG_LEN(0)) / sizeof(*b), i, at = 0;

	check(nr && !((m->cmsg_len - CMSG_LEN(0)) % sizeof(*b)));
	if (c->h.msg_flags & MSG_EOR ? !(b[nr - 1].flags & WEBSOCKET_MSG_END) : nr > 1)
		fail("%zu entries, msg_flags %#x", nr, c->h.msg_flags);
	for (i = 0; i < nr; i++) {
		say("  opcode %u, %u bytes, flags %u", b[i].opcode, b[i].len, b[i].flags);
		equal(0, b[i].reserved);
		check(at + b[i].len <= (size_t)c->n);
		reader_take(&s->reader, &(struct got){ .bytes = c->to + at, .len = b[i].len, .has_record = true,
					       .eor = b[i].flags & WEBSOCKET_MSG_END, .full = c->good == at + b[i].len ||
					       c->good < c->len, .opcode = b[i].opcode, .flags = b[i].flags });
		at += b[i].len;
	}
	equal(c->n, at);
}

/* Empty messages that have arrived may be gone: such a caller does not see them. */
static void hidden(struct session *s, const struct call *c)
{
	if (!c->control_len && !(c->flags & MSG_PEEK))
		reader_maybe_hidden(&s->reader, s->threads ? ~0UL : s->written);
}

static void take_record(struct session *s, const struct call *c)
{
	struct cmsghdr *m = c->control_len ? CMSG_FIRSTHDR(&c->h) : NULL;
	struct reader saved = s->reader;
	struct got g = { .bytes = c->to, .len = c->n, .eor = c->h.msg_flags & MSG_EOR, .peek = c->flags & MSG_PEEK,
			 .full = (size_t)c->n == c->good || c->good < c->len, };
	struct websocket_msg msg = { 0 };

	if (m && m->cmsg_type == WEBSOCKET_BATCH) {
		take_batch(s, c, m);
		if (g.peek)
			s->reader = saved;
		return;
	}
	if (m) {
		equal(WEBSOCKET_MSG, m->cmsg_type);
		memcpy(&msg, CMSG_DATA(m), sizeof(msg));
		g.has_record = true;
		g.opcode = msg.opcode;
		g.flags = msg.flags;
		equal(0, msg.reserved);
		if (!c->n && !g.eor && msg.opcode == WEBSOCKET_OP_CLOSE && !msg.flags) {
			reader_end(&s->reader, 0, msg.close_code);
			return;
		}
		equal(0, msg.close_code);
	}
	if (!c->n && !c->len && !g.eor) {
		hidden(s, c);
		return;
	}
	if (!c->control_len)
		reader_hide_empty(&s->reader);
	if (!c->n && !g.eor) {
		if (c->control_len)
			fail("0 bytes, no EOR, not the end");
		/* the end, which does not say its code */
		if (!s->reader.over)
			reader_end(&s->reader, 0, s->model.closed && !s->reader.cut ? s->model.close_code : 1006);
		/* a look does not take the empty messages before it */
		if (g.peek) {
			s->reader.next = saved.next;
			s->reader.off = saved.off;
		}
		return;
	}
	/* MSG_WAITALL, and what cannot be delivered came behind */
	reader_take(&s->reader, &g);
	if (g.peek)
		s->reader = saved;
}

static void choose_call(struct session *s, struct rng *r, struct call *c)
{
	static const size_t entries[] = { 1, 1, 2, 3, 5, 8, 64 };

	c->to = buffer();
	c->len = c->good = chance(r, 25) ? 1 + rnd(r, 16) : chance(r, 50) ? 1 + rnd(r, 2000) : ROOM;
	if (chance(r, 1))
		c->len = c->good = 0;
	if (chance(r, 4)) {
		c->good = chance(r, 50) ? 0 : rnd(r, 300);
		c->to = buffer() + ROOM - c->good;
		c->len = c->good + 1 + rnd(r, 2000);
	}
	c->flags = MSG_DONTWAIT;
	if (chance(r, 15))
		c->flags |= MSG_PEEK;
	if (chance(r, 10))
		c->flags |= MSG_WAITALL;
	c->control_len = chance(r, 25) ? 0 : CMSG_SPACE(sizeof(struct websocket_msg));
	if (s->batch && c->control_len)
		c->control_len = CMSG_SPACE(entries[rnd(r, 7)] * sizeof(struct websocket_batch));
	/* the end is told by WEBSOCKET_MSG, which needs its room */
	if (c->control_len && c->control_len < CMSG_SPACE(sizeof(struct websocket_msg)))
		c->control_len = CMSG_SPACE(sizeof(struct websocket_msg));
}

/* After EAGAIN: is there something to wait for? */
static bool expects(const struct session *s, const struct call *c)
{
	return !s->reader.over && !s->reader.cut && c->len && reader_has(&s->reader, s->written, c->control_len) &&
	       session_settled(s);
}

static bool would_block(struct session *s, struct call *c, short before)
{
	struct pollfd p = { .fd = s->l.ws, .events = POLLIN };

	if (before & POLLIN && c->control_len && c->len)
		fail("poll said %#x, recvmsg EAGAIN", before);
	if (!expects(s, c))
		return true;
	if (poll(&p, 1, PATIENCE_MS) != 1)
		fail("piece %zu at %zu should be there and is not", s->reader.next, s->reader.off);
	return false;
}

/* @wait: blocking, when nobody else can take what is there */
void session_receive(struct session *s, struct rng *r, bool wait)
{
	struct call c;
	short before = 0;

	choose_call(s, r, &c);
	if (chance(r, 30))
		before = ws_poll(s->l.ws);
	if (wait || (chance(r, 20) && expects(s, &c)))
		c.flags &= ~(MSG_DONTWAIT | (wait && !c.control_len ? MSG_PEEK : 0));
	if (wait && !c.len)
		c.flags |= MSG_DONTWAIT;
	/* would wait for the end of a message that may not come */
	if (!(c.flags & MSG_DONTWAIT) && !wait)
		c.flags &= ~MSG_WAITALL;
	do
		do_call(s, &c);
	while (c.error == EAGAIN && c.flags & MSG_DONTWAIT && !would_block(s, &c, before));
	if (c.error == EAGAIN && c.flags & MSG_DONTWAIT) {
		hidden(s, &c);
		return;
	}
	if (c.error == EFAULT && c.good < c.len && !s->reader.over) {
		hidden(s, &c);
		return;
	}
	if (c.error)
		reader_end(&s->reader, c.error, 0);
	else
		take_record(s, &c);
}

/* Sending may fail now. */
static bool may_be_over(const struct session *s)
{
	return s->closed_here || s->reader.cut || s->written >= s->model.fatal || s->wire_end || s->reader.over;
}

static void send_failed(const struct session *s, int error, bool wrong)
{
	if (error == EAGAIN || (wrong && (error == EINVAL || error == EMSGSIZE)))
		return;
	if (!may_be_over(s))
		fail("send: %s (wrong %d)", error_name(error), wrong);
	if (error != EPIPE && error != ECONNRESET && !model_error(&s->model, error))
		fail("send: %s", error_name(error));
}

static void send_message(struct session *s, struct rng *r, int flags)
{
	static const __u8 opcodes[] = { 0, 0, OP_TEXT, OP_BINARY };
	size_t len = rnd_size(r, 100000);
	unsigned char *bytes = buffer();
	__u8 opcode = opcodes[rnd(r, 4)];
	bool more = chance(r, 20), wrong;
	ssize_t n;

	wrong = s->accepted.open && opcode && opcode != s->accepted.message[s->accepted.messages - 1].opcode;
	if (chance(r, 1)) {
		opcode = 3 + rnd(r, 5);
		wrong = true;
	}
	pattern(bytes, len, rnd(r, 1 << 30));
	n = ws_send(s->l.ws, opcode, bytes, len, flags | (more ? MSG_MORE : 0));
	say("send(opcode %u, %zu, more %d) = %zd %s", opcode, len, more, n, error_name(n == -1 ? errno : 0));
	if (n == -1) {
		send_failed(s, errno, wrong);
		return;
	}
	if (wrong)
		fail("a send with opcode %u succeeded", opcode);
	if (n == 0 && len)
		fail("send() of %zu bytes returned 0", len);
	if (!opcode)
		opcode = s->config.flags & WEBSOCKET_F_TEXT ? OP_TEXT : OP_BINARY;
	account_data(&s->accepted, opcode, bytes, n, (size_t)n == len && !more);
}

static void send_batch(struct session *s, struct rng *r, int flags)
{
	unsigned char *bytes = buffer();
	struct websocket_batch b[8] = { 0 };
	unsigned int nr = 1 + rnd(r, 8), i;
	size_t len = 0;
	ssize_t n;

	for (i = 0; i < nr; i++) {
		b[i].len = 1 + rnd_size(r, 10000);
		b[i].opcode = chance(r, 50) ? OP_TEXT : OP_BINARY;
		len += b[i].len;
	}
	pattern(bytes, len, rnd(r, 1 << 30));
	n = ws_send_batch(s->l.ws, bytes, len, b, nr * sizeof(b[0]), flags);
	say("batch of %u, %zu bytes = %zd %s", nr, len, n, error_name(n == -1 ? errno : 0));
	if (n == -1) {
		send_failed(s, errno, s->accepted.open);
		return;
	}
	check(n > 0 && !s->accepted.open);
	for (i = 0; n > 0; bytes += b[i++].len) {
		/* one that waits may give up anywhere */
		if (n < b[i].len && i && flags & MSG_DONTWAIT)
			fail("a batch ends %zd bytes into message %u", n, i);
		account_data(&s->accepted, b[i].opcode, bytes, n < b[i].len ? n : b[i].len, n >= b[i].len);
		n -= b[i].len;
	}
}

static void send_many(struct session *s, struct rng *r, int flags)
{
	struct mmsghdr h[4] = { 0 };
	struct iovec iov[4];
	unsigned char *bytes = buffer();
	unsigned int nr = 1 + rnd(r, 4), i;
	int done;

	for (i = 0; i < nr; i++) {
		iov[i] = (struct iovec){ bytes, rnd_size(r, 5000) };
		bytes += iov[i].iov_len;
		h[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	pattern(buffer(), bytes - buffer(), rnd(r, 1 << 30));
	done = sendmmsg(s->l.ws, h, nr, flags);
	say("sendmmsg(%u) = %d %s", nr, done, error_name(done == -1 ? errno : 0));
	if (done == -1) {
		send_failed(s, errno, false);
		return;
	}
	for (i = 0; i < (unsigned int)done; i++)
		account_data(&s->accepted, s->config.flags & WEBSOCKET_F_TEXT ? OP_TEXT : OP_BINARY, iov[i].iov_base,
			     h[i].msg_len, h[i].msg_len == iov[i].iov_len);
}

static void send_control(struct session *s, struct rng *r, int flags)
{
	__u8 opcode = chance(r, 50) ? OP_PING : OP_PONG, payload[200];
	/* no pong of ours looks like one of the kernel's */
	size_t len = chance(r, 97) ? 6 + rnd(r, CONTROL_MAX - 5) : 126 + rnd(r, 60);
	ssize_t n;

	pattern(payload, len, rnd(r, 1 << 30));
	n = ws_send(s->l.ws, opcode, payload, len, flags);
	say("control(opcode %u, %zu) = %zd %s", opcode, len, n, error_name(n == -1 ? errno : 0));
	if (n == -1) {
		send_failed(s, errno, len > CONTROL_MAX);
		return;
	}
	equal(len, n);
	check(len <= CONTROL_MAX);
	account_control(&s->accepted, opcode, payload, len);
}

static void send_close(struct session *s, struct rng *r, int flags)
{
	static const unsigned int codes[] = { 1000, 1001, 1003, 1008, 3333, 4999, 1005, 999, 65535 };
	unsigned int code = codes[rnd(r, 9)];
	__u8 payload[3] = { code >> 8, code, chance(r, 95) ? '!' : 0xff };
	size_t len = rnd(r, 4);
	bool wrong = len == 1 || (len > 1 && !close_code_valid(code)) || (len > 2 && payload[2] == 0xff);
	ssize_t n;

	/* may be seen before the call returns */
	if (!wrong && !s->closed_here)
		s->own_code = len ? code : 1005;
	n = ws_send(s->l.ws, OP_CLOSE, payload, len, flags);
	say("close(%u, %zu) = %zd %s", code, len, n, error_name(n == -1 ? errno : 0));
	if (n == -1) {
		send_failed(s, errno, wrong);
		return;
	}
	equal(len, n);
	if (wrong)
		fail("a bad Close was taken: %u, %zu bytes", code, len);
	s->closed_here = true;
}

void session_send(struct session *s, struct rng *r, int flags)
{
	unsigned int kind = rnd(r, 100);

	flags |= MSG_NOSIGNAL;
	if (kind < 55)
		send_message(s, r, flags);
	else if (kind < 70)
		send_batch(s, r, flags);
	else if (kind < 80)
		send_many(s, r, flags);
	else if (kind < 97)
		send_control(s, r, flags);
	else if (kind < 99)
		send_close(s, r, flags);
	else
		refuses(EOPNOTSUPP, send(s->l.ws, "x", 1, flags | (chance(r, 50) ? MSG_OOB : MSG_ZEROCOPY)));
}

static void look(struct session *s, struct rng *r)
{
	struct websocket_info info;
	char bytes[200];
	socklen_t len = rnd(r, sizeof(bytes));
	int value;

	switch (rnd(r, 6)) {
	case 0:
		info = ws_info(s->l.ws);
		check(info.state >= WEBSOCKET_STATE_OPEN && info.state <= WEBSOCKET_STATE_FAILED);
		check(info.rx_messages <= s->model.messages || s->model.bad_text);
		break;
	case 1:
		must(getsockopt(s->l.ws, SOL_WEBSOCKET, WEBSOCKET_CLOSE_REASON, bytes, &len));
		break;
	case 2:
		must(getsockopt(s->l.ws, SOL_WEBSOCKET, WEBSOCKET_CONFIG, bytes, &len));
		break;
	case 3:
		must(ioctl(s->l.ws, SIOCINQ, &value));
		check(value >= 0 && (size_t)value <= s->script.out.len);
		break;
	case 4:
		len = sizeof(bytes);
		must(getsockopt(s->l.ws, IPPROTO_TCP, TCP_INFO, bytes, &len));
		break;
	default:
		ws_poll(s->l.ws);
	}
}

/* What must not matter. */
void session_disturb(struct session *s, struct rng *r)
{
	int fd, n;

	switch (rnd(r, 9)) {
	case 0:
		set_option(s->l.ws, SOL_SOCKET, SO_RCVLOWAT, 1 + rnd(r, 1 << 20));
		break;
	case 1:
		fd = must(dup(s->l.ws));
		close(fd);
		break;
	case 2:
		s->config.flags ^= chance(r, 50) ? WEBSOCKET_F_TEXT : WEBSOCKET_F_BATCH;
		s->batch = s->config.flags & WEBSOCKET_F_BATCH;
		must(ws_configure(s->l.ws, &s->config));
		break;
	case 3:
		set_option(s->l.ws, IPPROTO_TCP, TCP_NODELAY, rnd(r, 2));
		break;
	case 4:
		set_option(s->l.ws, IPPROTO_TCP, TCP_CORK, 1);
		set_option(s->l.ws, IPPROTO_TCP, TCP_CORK, 0);
		break;
	case 5:
		set_option(s->l.ws, SOL_SOCKET, SO_OOBINLINE, 1);
		set_option(s->l.ws, IPPROTO_TCP, TCP_QUICKACK, rnd(r, 2));
		break;
	case 6:
		set_option(s->l.ws, IPPROTO_TCP, TCP_NOTSENT_LOWAT, chance(r, 50) ? 0 : 1 + rnd(r, 20000));
		break;
	case 7:
		/* a message may be more than that now */
		s->reader.streams = true;
		n = 1 + rnd_size(r, 100000);
		say("SO_RCVBUF %d", n);
		set_option(s->l.ws, SOL_SOCKET, SO_RCVBUF, n);
		break;
	default:
		look(s, r);
	}
}
