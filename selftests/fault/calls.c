// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and every user copy of each system call fails once: the call returns a proper errno or what it had done
 * before, nothing is lost or doubled, and the connection works on, or ends in good order. time limit: 600 s
 */
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "inject.h"
#include "shapes.h"

#define PLENTY	900	/* seconds for one test */

FIXTURE(nth) { struct link link; };
FIXTURE_VARIANT(nth) { struct shape shape; };
SHAPE(nth, server, SEGMENT_ALL, IPV4, false, false);
SHAPE(nth, client, SEGMENT_ALL, IPV6, false, true);
FIXTURE_SETUP(nth)
{
	inject_setup();
	self->link.shape = variant->shape;
}
FIXTURE_TEARDOWN(nth) { }

static const struct websocket_config defaults;

static void one_of_(int seen, const int *allowed, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (seen == allowed[i])
			return;
	fail("%s", error_name(seen));
}
#define one_of(seen, ...) ({ const int _a[] = { __VA_ARGS__ }; HERE(one_of_(seen, _a, sizeof(_a) / sizeof(_a[0]))); })

/* A message each way. */
static void talk(struct link *l)
{
	equal(7, ws_send(l->ws, OP_TEXT, "outward", 7, MSG_NOSIGNAL));
	wire_expect_message(&l->wire, OP_TEXT, "outward", 7);
	put(&l->out, OP_BINARY, .text = "inward");
	peer_write(l);
	expect_message(l, OP_BINARY, "inward", 6);
}

TEST_F_TIMEOUT(nth, attach_and_start, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		struct websocket_config config = { .flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0 };
		int error;

		link_open(l, &variant->shape);
		nth_arm(&at);
		error = ulp_attach(l->ws) ? errno : 0;
		if (!error && ws_configure(l->ws, &config))
			error = errno;
		nth_disarm(&at);
		one_of(error, 0, ENOMEM, EFAULT);
		check(!error || at.hit);
		if (error && ulp_attach(l->ws))
			equal(EEXIST, errno);
		link_configure(l, &defaults);
		talk(l);
		link_close(l);
	}
}

/* The start finds frames queued, so all that follows from them happens in process context. */
TEST_F_TIMEOUT(nth, start_answers_pings, PLENTY)
{
	struct link *l = LINK;
	char payload[125];

	EVERY_FAULT(at) {
		int error, i;

		link_open(l, &variant->shape);
		must(ulp_attach(l->ws));
		put(OUT, OP_TEXT, .text = "first");
		for (i = 0; i < 40; i++) {
			memset(payload, 'a' + i, sizeof(payload));
			put(OUT, OP_PING, .payload = payload, .len = sizeof(payload));
		}
		put(OUT, OP_TEXT, .more = true, .text = "second");
		put(OUT, OP_CONTINUATION, .text = "!");
		peer_write(l);
		peer_settle(l);
		nth_arm(&at);
		error = ws_configure(l->ws, &(struct websocket_config){
			.flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0 }) ? errno : 0;
		nth_disarm(&at);
		one_of(error, 0, EFAULT);
		if (error)
			link_configure(l, &defaults);
		expect_text(l, "first");
		expect_text(l, "second!");
		/* the last one is answered, however late */
		do {
			equal(WIRE_FRAME, wire_read(WIRE));
			equal(OP_PONG, WIRE->seen.opcode);
		} while (memcmp(WIRE->seen.payload, payload, sizeof(payload)));
		talk(l);
		link_close(l);
	}
}

TEST_F_TIMEOUT(nth, start_answers_close, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		char reason[128];
		socklen_t len = sizeof(reason);
		int error;

		link_open(l, &variant->shape);
		must(ulp_attach(l->ws));
		put_close(OUT, 3000, "a reason");
		peer_write(l);
		peer_settle(l);
		nth_arm(&at);
		error = ws_configure(l->ws, &(struct websocket_config){
			.flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0 }) ? errno : 0;
		nth_disarm(&at);
		one_of(error, 0, EFAULT);
		if (error)
			link_configure(l, &defaults);
		expect_end(l, 3000);
		wire_expect_close(WIRE, 3000);
		/* without memory there is no reason */
		must(getsockopt(l->ws, SOL_WEBSOCKET, WEBSOCKET_CLOSE_REASON, reason, &len));
		one_of(len, 0, 8);
		check(at.hit || len == 8);
		link_close(l);
	}
}

TEST_F_TIMEOUT(nth, start_fails, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		int error;

		link_open(l, &variant->shape);
		must(ulp_attach(l->ws));
		put(OUT, 3, .text = "bad");
		peer_write(l);
		peer_settle(l);
		nth_arm(&at);
		error = ws_configure(l->ws, &(struct websocket_config){
			.flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0 }) ? errno : 0;
		nth_disarm(&at);
		one_of(error, 0, EFAULT);
		if (error)
			link_configure(l, &defaults);
		expect_error(l, EPROTO);
		wire_expect_close(WIRE, 1002);
		link_close(l);
	}
}

TEST_F_TIMEOUT(nth, options, PLENTY)
{
	static const int names[] = { WEBSOCKET_CONFIG, WEBSOCKET_INFO, WEBSOCKET_CLOSE_REASON };
	struct link *l = LINK;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		EVERY_FAULT(at) {
			char value[256];
			socklen_t len = sizeof(value);
			int error;

			link_start_default(l, &variant->shape);
			nth_arm(&at);
			error = getsockopt(l->ws, SOL_WEBSOCKET, names[i], value, &len) ? errno : 0;
			nth_disarm(&at);
			one_of(error, 0, EFAULT);
			check(!error || at.hit);
			talk(l);
			link_close(l);
		}
	}
	EVERY_FAULT(at) {
		int error, n;

		link_start_default(l, &variant->shape);
		nth_arm(&at);
		error = ioctl(l->ws, SIOCINQ, &n) ? errno : 0;
		nth_disarm(&at);
		one_of(error, 0, EFAULT);
		link_close(l);
	}
	EVERY_FAULT(at) {
		/* longer than what the kernel knows: copied in pieces */
		char longer[300] = { 0 };
		int error;

		link_start_default(l, &variant->shape);
		if (variant->shape.client)
			longer[0] = WEBSOCKET_F_CLIENT;
		nth_arm(&at);
		error = setsockopt(l->ws, SOL_WEBSOCKET, WEBSOCKET_CONFIG, longer, sizeof(longer)) ? errno : 0;
		nth_disarm(&at);
		one_of(error, 0, EFAULT);
		talk(l);
		link_close(l);
	}
}

/* One message in as many calls as it takes; the first one with the fault. */
static void collect(struct link *l, struct nth *at, __u8 opcode, const unsigned char *bytes, size_t len, size_t room, int flags)
{
	unsigned char *buffer = malloc(room);
	struct received r = { 0 };
	size_t have = 0;
	bool first = true, peeked;

	do {
		if (first)
			nth_arm(at);
		r = ws_recvmsg(l->ws, buffer, room, flags);
		if (first)
			nth_disarm(at);
		first = false;
		if (r.error) {
			one_of(r.error, EFAULT, ENOMEM);
			check(at->hit);
		}
		/* only the first call peeks */
		peeked = flags & MSG_PEEK;
		flags &= ~MSG_PEEK;
		if (r.error)
			continue;
		if (!(r.flags & MSG_CTRUNC))
			equal(opcode, r.record.opcode);
		check(have + r.n <= len && !memcmp(buffer, bytes + have, r.n));
		if (!peeked)
			have += r.n;
	} while (r.error || peeked || !(r.flags & MSG_EOR));
	equal(len, have);
	free(buffer);
}

static void receive_all(struct link *l, const struct shape *shape, __u8 opcode, size_t len, size_t room, int flags)
{
	unsigned char *bytes = new_pattern(len, 5);
	size_t i;

	if (opcode == OP_TEXT)
		for (i = 0; i < len; i++)
			bytes[i] = "\xc3\xa4"[i & 1];
	EVERY_FAULT(at) {
		link_start_default(l, shape);
		put(&l->out, opcode, .more = true, .payload = bytes, .len = len / 2);
		put(&l->out, OP_PING, .text = "between");
		put(&l->out, OP_CONTINUATION, .payload = bytes + len / 2, .len = len - len / 2);
		peer_write(l);
		peer_settle(l);
		collect(l, &at, opcode, bytes, len, room, flags);
		talk(l);
		link_close(l);
	}
	free(bytes);
}

TEST_F_TIMEOUT(nth, receive_binary, PLENTY)
{
	receive_all(LINK, &variant->shape, OP_BINARY, 30000, 40000, 0);
}

TEST_F_TIMEOUT(nth, receive_text, PLENTY)
{
	receive_all(LINK, &variant->shape, OP_TEXT, 2000, 4000, 0);
}

TEST_F_TIMEOUT(nth, receive_parts, PLENTY)
{
	receive_all(LINK, &variant->shape, OP_BINARY, 3000, 500, 0);
}

TEST_F_TIMEOUT(nth, receive_peek, PLENTY)
{
	receive_all(LINK, &variant->shape, OP_TEXT, 3000, 4000, MSG_PEEK);
}

TEST_F_TIMEOUT(nth, receive_waitall, PLENTY)
{
	receive_all(LINK, &variant->shape, OP_BINARY, 3000, 4000, MSG_WAITALL);
}

/* As many messages as one call gets; returns how many, with their lengths checked; 0 after a fault. */
static int receive_batch(struct link *l, int next)
{
	char control[CMSG_SPACE(16 * sizeof(struct websocket_batch))] __attribute__((aligned(8)));
	char buffer[4096], *p = buffer;
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(l->ws, &h, MSG_DONTWAIT);
	const struct websocket_batch *b;
	unsigned int i, nr;

	if (n == -1) {
		one_of(errno, EFAULT, ENOMEM);
		return 0;
	}
	equal(WEBSOCKET_BATCH, CMSG_FIRSTHDR(&h)->cmsg_type);
	b = (const void *)CMSG_DATA(CMSG_FIRSTHDR(&h));
	nr = (CMSG_FIRSTHDR(&h)->cmsg_len - CMSG_LEN(0)) / sizeof(*b);
	for (i = 0; i < nr; i++) {
		unsigned char want[200];

		equal(100 + next + i, b[i].len);
		equal(3, b[i].flags);
		pattern(want, b[i].len, next + i);
		check(!memcmp(want, p, b[i].len));
		p += b[i].len;
	}
	equal(n, p - buffer);
	return nr;
}

TEST_F_TIMEOUT(nth, receive_batch, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		unsigned char bytes[200];
		int i, next;

		link_start_default(l, &variant->shape);
		link_configure(l, &(struct websocket_config){ .flags = WEBSOCKET_F_BATCH });
		for (i = 0; i < 10; i++) {
			pattern(bytes, 100 + i, i);
			put(OUT, OP_BINARY, .payload = bytes, .len = 100 + i);
		}
		peer_write(l);
		peer_settle(l);
		nth_arm(&at);
		next = receive_batch(l, 0);
		nth_disarm(&at);
		check(next || at.hit);
		for (i = 0; next < 10 && i < 10; i++)
			next += receive_batch(l, next);
		equal(10, next);
		link_configure(l, &defaults);
		talk(l);
		link_close(l);
	}
}

/* The peer reads one message while the test sends. */
struct reader {
	struct link *l;
	__u8 opcode;
	const void *bytes;
	size_t len;
	pthread_t thread;
};

static void *read_message(void *arg)
{
	struct reader *r = arg;

	wire_expect_message(&r->l->wire, r->opcode, r->bytes, r->len);
	return NULL;
}

static void send_all(struct link *l, const struct shape *shape, size_t len, int flags, __u32 config)
{
	unsigned char *bytes = new_pattern(len, 9);

	EVERY_FAULT(at) {
		struct reader r = { l, OP_BINARY, bytes, len };
		size_t done = 0;
		ssize_t n;

		link_start(l, (link_open(l, shape), &(struct websocket_config){ .flags = config }));
		check(!pthread_create(&r.thread, NULL, read_message, &r));
		while (done < len) {
			if (!done)
				nth_arm(&at);
			n = ws_send(l->ws, OP_BINARY, bytes + done, len - done, flags | MSG_NOSIGNAL);
			if (!done)
				nth_disarm(&at);
			if (n == -1) {
				one_of(errno, EFAULT, ENOMEM, ENOBUFS, EAGAIN);
				check(at.hit || flags & MSG_DONTWAIT);
				if (errno == EAGAIN)
					ws_wait(l->ws, POLLOUT);
				/* nth_arm() again would not end */
				n = ws_send(l->ws, OP_BINARY, bytes + done, len - done, MSG_NOSIGNAL);
				check(n > 0);
			}
			done += n;
		}
		check(!pthread_join(r.thread, NULL));
		equal(1, ws_info(l->ws).tx_messages);
		equal(len, ws_info(l->ws).tx_bytes);
		talk(l);
		link_close(l);
	}
	free(bytes);
}

TEST_F_TIMEOUT(nth, send_small, PLENTY)
{
	send_all(LINK, &variant->shape, 10, 0, 0);
}

TEST_F_TIMEOUT(nth, send_large, PLENTY)
{
	send_all(LINK, &variant->shape, 200000, 0, 0);
}

TEST_F_TIMEOUT(nth, send_large_nonblocking, PLENTY)
{
	send_all(LINK, &variant->shape, 200000, MSG_DONTWAIT, 0);
}

/* The page fragment is used up every 32 KiB: enough control frames, and messages, for each kind of allocation. */
TEST_F_TIMEOUT(nth, send_pings, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		char payload[125];
		bool sent[40] = { false };
		int i;

		link_start_default(l, &variant->shape);
		nth_arm(&at);
		for (i = 0; i < 40; i++) {
			memset(payload, 'a' + i, sizeof(payload));
			sent[i] = ws_send(l->ws, OP_PING, payload, sizeof(payload), MSG_NOSIGNAL) == sizeof(payload);
			if (!sent[i])
				one_of(errno, EFAULT, ENOMEM, ENOBUFS, EAGAIN);
		}
		nth_disarm(&at);
		for (i = 0; i < 40; i++) {
			memset(payload, 'a' + i, sizeof(payload));
			if (sent[i])
				wire_expect(WIRE, OP_PING, true, payload, sizeof(payload));
			else
				check(at.hit);
		}
		talk(l);
		link_close(l);
	}
}

TEST_F_TIMEOUT(nth, send_batch, PLENTY)
{
	struct link *l = LINK;
	unsigned char bytes[8 * 5000];
	char control[CMSG_SPACE(8 * sizeof(struct websocket_batch))] __attribute__((aligned(8)));
	struct websocket_batch *b;
	struct iovec iov;
	struct msghdr h;
	int i;

	pattern(bytes, sizeof(bytes), 3);
	EVERY_FAULT(at) {
		int done = 0;
		ssize_t n;

		link_start_default(l, &variant->shape);
		for (n = 0; done < 8; done += n / 5000) {
			memset(control, 0, sizeof(control));
			h = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
					     .msg_controllen = CMSG_SPACE((8 - done) * sizeof(*b)) };
			CMSG_FIRSTHDR(&h)->cmsg_level = SOL_WEBSOCKET;
			CMSG_FIRSTHDR(&h)->cmsg_type = WEBSOCKET_BATCH;
			CMSG_FIRSTHDR(&h)->cmsg_len = CMSG_LEN((8 - done) * sizeof(*b));
			b = (void *)CMSG_DATA(CMSG_FIRSTHDR(&h));
			for (i = 0; i < 8 - done; i++)
				b[i] = (struct websocket_batch){ .len = 5000, .opcode = OP_BINARY };
			iov = (struct iovec){ bytes + 5000 * done, 5000 * (8 - done) };
			nth_arm(&at);
			n = sendmsg(l->ws, &h, MSG_NOSIGNAL);
			nth_disarm(&at);
			if (n == -1) {
				one_of(errno, EFAULT, ENOMEM, ENOBUFS);
				check(at.hit);
				break;
			}
			equal(0, n % 5000);
			if (n < 5000 * (8 - done))
				break;
		}
		if (n > 0)
			done = n / 5000;
		for (i = 0; i < done; i++)
			wire_expect_message(WIRE, OP_BINARY, bytes + 5000 * i, 5000);
		equal(done, ws_info(l->ws).tx_messages);
		talk(l);
		link_close(l);
	}
}

TEST_F_TIMEOUT(nth, sendfile, PLENTY)
{
	struct link *l = LINK;
	unsigned char *bytes = new_pattern(20000, 4);
	int file = must(memfd_create("file", 0));

	equal(20000, write(file, bytes, 20000));
	EVERY_FAULT(at) {
		struct reader r = { l, OP_BINARY, bytes, 20000 };
		off_t off = 0;
		ssize_t n;

		link_start_default(l, &variant->shape);
		check(!pthread_create(&r.thread, NULL, read_message, &r));
		nth_arm(&at);
		n = sendfile(l->ws, file, &off, 20000);
		nth_disarm(&at);
		if (n == -1) {
			one_of(errno, ENOMEM, EFAULT, ENOBUFS, EAGAIN);
			check(at.hit);
			/* what the pipe inside had read is lost for us, not for the file */
			off = ws_info(l->ws).tx_bytes;
		}
		if (off < 20000)
			equal(20000 - off, ws_send(l->ws, 0, bytes + off, 20000 - off, MSG_NOSIGNAL));
		check(!pthread_join(r.thread, NULL));
		talk(l);
		link_close(l);
	}
	close(file);
	free(bytes);
}

/* The file ends first: an empty frame ends the message, at once or before whatever is sent next. */
TEST_F_TIMEOUT(nth, sendfile_beyond_the_end, PLENTY)
{
	struct link *l = LINK;
	unsigned char *bytes = new_pattern(1000, 4);
	int file = must(memfd_create("file", 0));

	equal(1000, write(file, bytes, 1000));
	EVERY_FAULT(at) {
		off_t off = 0;
		ssize_t n;

		link_start_default(l, &variant->shape);
		nth_arm(&at);
		n = sendfile(l->ws, file, &off, 5000);
		nth_disarm(&at);
		if (n == 1000) {
			equal(7, ws_send(l->ws, OP_TEXT, "outward", 7, MSG_NOSIGNAL));
			wire_expect_message(&l->wire, OP_BINARY, bytes, 1000);
			wire_expect_message(&l->wire, OP_TEXT, "outward", 7);
		} else {
			check(at.hit);
		}
		link_close(l);
	}
	close(file);
	free(bytes);
}

/* Close may be missing then, but what is there is in order; FIN or RST comes in any case. */
static void expect_close_or_end(struct link *l, bool hit)
{
	enum wire_result r = wire_read(&l->wire);

	if (r == WIRE_FRAME) {
		wire_is_close_(&l->wire, 1000);
		/* TCP forgets a FIN that it has no memory for; the peer of a plain TCP socket hears nothing at all then */
		if (hit && inject_in_tcp() && !poll(&(struct pollfd){ .fd = l->wire.fd, .events = POLLIN }, 1, 3000))
			return;
		r = wire_read(&l->wire);
	} else {
		check(hit);
	}
	check(r == WIRE_END || r == WIRE_RESET);
}

TEST_F_TIMEOUT(nth, shutdown, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		link_start_default(l, &variant->shape);
		nth_arm(&at);
		must(shutdown(l->ws, SHUT_WR));
		nth_disarm(&at);
		expect_close_or_end(l, at.hit);
		link_close(l);
	}
}

TEST_F_TIMEOUT(nth, close, PLENTY)
{
	struct link *l = LINK;

	EVERY_FAULT(at) {
		link_start_default(l, &variant->shape);
		put(OUT, OP_BINARY, .more = true, .text = "never finished");
		peer_write(l);
		nth_arm(&at);
		link_close_ws(l);
		nth_disarm(&at);
		expect_close_or_end(l, at.hit);
		link_close(l);
	}
}

static void dump_all(void)
{
	struct { struct nlmsghdr h; struct inet_diag_req_v2 r; } ask = {
		.h = { .nlmsg_len = sizeof(ask), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0U,
		       .idiag_ext = 1 << (INET_DIAG_INFO - 1) },
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	char buffer[16384];

	if (fd == -1)
		return;
	ask.r.sdiag_family = AF_INET;
	if (send(fd, &ask, sizeof(ask), 0) == sizeof(ask))
		while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
			;
	close(fd);
}

TEST_F_TIMEOUT(nth, looked_at, PLENTY)
{
	struct link *l = LINK;

	link_start_default(l, &variant->shape);
	EVERY_FAULT(at) {
		nth_arm(&at);
		dump_all();
		nth_disarm(&at);
	}
	EVERY_FAULT(at) {
		char buffer[8192];
		int fd;

		nth_arm(&at);
		fd = open("/proc/net/websocket_stat", O_RDONLY | O_CLOEXEC);
		if (fd != -1) {
			if (read(fd, buffer, sizeof(buffer)) == -1)
				one_of(errno, EFAULT, ENOMEM);
			close(fd);
		} else {
			one_of(errno, ENOMEM, EFAULT);
		}
		nth_disarm(&at);
	}
	talk(l);
	link_close(l);
}

/* Whether the n-th place of making a network namespace exists; it may fail, or go without. */
static bool unshare_fails_at(unsigned int n)
{
	struct nth at = { .n = n };
	pid_t pid = must(fork());
	int status;

	if (!pid) {
		nth_arm(&at);
		if (unshare(CLONE_NEWNET))
			one_of(errno, ENOMEM, EFAULT);
		nth_disarm(&at);
		_exit(at.hit);
	}
	must(waitpid(pid, &status, 0));
	check(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The module came last, so the namespace's last allocations are its own. */
TEST_F_TIMEOUT(nth, namespace, PLENTY)
{
	unsigned int low = 1, high = 64, n;

	if (variant->shape.client)
		return;
	while (unshare_fails_at(high))
		high *= 2;
	while (high - low > 1) {
		unsigned int middle = (low + high) / 2;

		*(unshare_fails_at(middle) ? &low : &high) = middle;
	}
	printf("# %u places\n", low);
	for (n = low > 60 ? low - 60 : 1; n <= low; n++)
		unshare_fails_at(n);
	link_start_default(LINK, &variant->shape);
	talk(LINK);
	link_close(LINK);
}

SELFTEST_MAIN
