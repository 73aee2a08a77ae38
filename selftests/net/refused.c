// SPDX-License-Identifier: GPL-2.0
/*
 * What would read or write raw bytes behind the parser, or take the connection away, is refused: zero-copy receive,
 * mmap(), splice(), sockmap, KCM, TCP_REPAIR, disconnect, listen, SO_PEEK_OFF, MSG_OOB, MSG_TRUNC, MSG_ZEROCOPY.
 * Each with its errno, and the stream goes on as if nothing had been asked.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/kcm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sendfile.h>

#include "shapes.h"

#ifndef TCP_ZEROCOPY_RECEIVE
#define TCP_ZEROCOPY_RECEIVE	35
#endif
#ifndef TCP_INQ
#define TCP_INQ			36
#endif

FIXTURE(refused) { struct link link; size_t half; };
FIXTURE_VARIANT(refused) { struct shape shape; };
SHAPE(refused, server_v4, SEGMENT_FRAME, IPV4, false, false);
SHAPE(refused, server_v6, SEGMENT_FRAME, IPV6, false, false);
SHAPE(refused, client_v4, SEGMENT_FRAME, IPV4, false, true);
SHAPE(refused, client_v6, SEGMENT_FRAME, IPV6, false, true);

/* A message unread, another half there, a third half sent: raw bytes taken or given now would be noticed. */
FIXTURE_SETUP(refused)
{
	link_start_default(LINK, &variant->shape);
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_TEXT, .text = "and another");
	self->half = self->link.out.len - 5;
	peer_write_raw(LINK, self->link.out.bytes, self->half);
	peer_settle(LINK);
	equal(4, ws_send(self->link.ws, OP_TEXT, "half", 4, MSG_MORE));
}

FIXTURE_TEARDOWN(refused)
{
	link_close(LINK);
}

static void goes_on(FIXTURE_DATA(refused) *self)
{
	expect_text(LINK, "one");
	expect_nothing(LINK);
	peer_write_raw(LINK, self->link.out.bytes + self->half, 5);
	stream_clear(OUT);
	expect_text(LINK, "and another");
	equal(5, ws_send(self->link.ws, 0, "whole", 5, 0));
	wire_expect_message(WIRE, OP_TEXT, "halfwhole", 9);
	peer_expect_silence(LINK);
	equal(WEBSOCKET_STATE_OPEN, ws_info(self->link.ws).state);
}

/* Row 26 */
CASE(refused, row26_zerocopy_receive)
{
	struct { __u64 address; __u32 length, recv_skip_hint, inq; __s32 err; } zc = { .length = 4096 };
	socklen_t len = sizeof(zc);

	refuses(EOPNOTSUPP, getsockopt(self->link.ws, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zc, &len));
	goes_on(self);
}

CASE(refused, row26_mmap)
{
	errno = 0;
	check(mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->link.ws, 0) == MAP_FAILED);
	equal(EOPNOTSUPP, errno);
	goes_on(self);
}

/* Row 48 */
CASE(refused, row48_splice_from)
{
	int p[2];

	must(pipe(p));
	refuses(EOPNOTSUPP, splice(self->link.ws, NULL, p[1], NULL, 4096, SPLICE_F_NONBLOCK));
	close(p[0]);
	close(p[1]);
	goes_on(self);
}

CASE(refused, sendfile_from)
{
	int p[2];

	must(pipe(p));
	check(sendfile(p[1], self->link.ws, NULL, 4096) == -1);
	close(p[0]);
	close(p[1]);
	goes_on(self);
}

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int new_sockmap(void)
{
	union bpf_attr map = { .map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 4, .max_entries = 1 };

	return must(bpf(BPF_MAP_CREATE, &map));
}

static int sockmap_add(int map, int fd)
{
	__u32 key = 0;
	union bpf_attr update = { .map_fd = map, .key = (unsigned long)&key, .value = (unsigned long)&fd };

	return bpf(BPF_MAP_UPDATE_ELEM, &update);
}

/* Row 49. The kernel's core refuses a socket that has a ULP: EINVAL. */
CASE(refused, row49_sockmap)
{
	int map = new_sockmap();

	check(sockmap_add(map, self->link.ws) == -1);
	close(map);
	goes_on(self);
}

/* Row 15, 49: the other way round. */
CASE(refused, row15_attach_in_a_sockmap)
{
	struct link l;
	int map = new_sockmap();

	link_open(&l, &variant->shape);
	if (!sockmap_add(map, l.ws)) {
		check(ulp_attach(l.ws) == -1);
		check(errno == EOPNOTSUPP || errno == EBUSY || errno == EEXIST || errno == EINVAL);
	}
	link_close(&l);
	close(map);
	goes_on(self);
}

static int kcm_attach(int kcm, int fd)
{
	union bpf_attr load = { 0 };
	struct bpf_insn program[2] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 5 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct kcm_attach attach = { .fd = fd };
	int result, saved;

	load.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	load.insns = (unsigned long)program;
	load.insn_cnt = 2;
	load.license = (unsigned long)"GPL";
	attach.bpf_fd = must(bpf(BPF_PROG_LOAD, &load));
	result = ioctl(kcm, SIOCKCMATTACH, &attach);
	saved = errno;
	close(attach.bpf_fd);
	errno = saved;
	return result;
}

/* Row 49: it would read frames as its own messages. Kernels without KCM refuse by not having it. */
CASE(refused, row49_kcm)
{
	int kcm = socket(AF_KCM, SOCK_DGRAM, KCMPROTO_CONNECTED);
	struct link l;

	if (kcm == -1) {
		equal(EAFNOSUPPORT, errno);
		goes_on(self);
		return;
	}
	check(kcm_attach(kcm, self->link.ws) == -1);
	check(errno == EALREADY || errno == EBUSY);
	goes_on(self);

	link_open(&l, &variant->shape);
	must(kcm_attach(kcm, l.ws));
	refuses(EBUSY, ulp_attach(l.ws));
	link_close(&l);
	close(kcm);
}

/* Row 58 */
CASE(refused, row58_repair)
{
	int on = 1;

	refuses(EOPNOTSUPP, setsockopt(self->link.ws, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)));
	goes_on(self);
}

/* Row 9 */
CASE(refused, row9_disconnect)
{
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	refuses(EOPNOTSUPP, connect(self->link.ws, &nobody, sizeof(nobody)));
	goes_on(self);
}

CASE(refused, connect_and_bind)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	must(getsockname(self->link.ws, (struct sockaddr *)&a, &len));
	refuses(EISCONN, connect(self->link.ws, (struct sockaddr *)&a, len));
	refuses(EINVAL, bind(self->link.ws, (struct sockaddr *)&a, len));
	goes_on(self);
}

/* Row 8 */
CASE(refused, row8_listen_and_accept)
{
	refuses(EOPNOTSUPP, listen(self->link.ws, 1));
	check(accept(self->link.ws, NULL, NULL) == -1);
	goes_on(self);
}

CASE(refused, row34_peek_off)
{
	int zero = 0;

	refuses(EOPNOTSUPP, setsockopt(self->link.ws, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)));
	goes_on(self);
}

/* Row 51: the option is the socket layer's, which asks nobody; the flag is what counts. */
CASE(refused, row51_zerocopy)
{
	set_option(self->link.ws, SOL_SOCKET, SO_ZEROCOPY, 1);
	refuses(EOPNOTSUPP, send(self->link.ws, "x", 1, MSG_ZEROCOPY));
	goes_on(self);
}

CASE(refused, inq)
{
	int on = 1;

	refuses(EOPNOTSUPP, setsockopt(self->link.ws, IPPROTO_TCP, TCP_INQ, &on, sizeof(on)));
	goes_on(self);
}

/* Row 35: flags of recvmsg() that cannot mean what they mean for TCP. */
CASE(refused, row35_flags)
{
	static const int no[] = { MSG_OOB, MSG_TRUNC, MSG_TRUNC | MSG_PEEK, MSG_OOB | MSG_DONTWAIT };
	char buffer[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(no); i++)
		refuses(EOPNOTSUPP, recv(self->link.ws, buffer, sizeof(buffer), no[i]));
	refuses(EAGAIN, recv(self->link.ws, buffer, sizeof(buffer), MSG_ERRQUEUE));
	goes_on(self);
}

/* Those that mean nothing here change nothing. */
CASE(refused, row35_harmless_flags)
{
	static const int flags[] = { MSG_NOSIGNAL, MSG_WAITFORONE, MSG_CMSG_CLOEXEC, MSG_DONTWAIT | MSG_NOSIGNAL };
	char buffer[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++)
		equal(3, recv(self->link.ws, buffer, sizeof(buffer), flags[i] | MSG_PEEK));
	goes_on(self);
}

/* Row 60: time stamps are switched on, and do no harm. */
CASE(refused, row60_timestamps)
{
	set_option(self->link.ws, SOL_SOCKET, 37 /* SO_TIMESTAMPING */, 0x1ff);
	set_option(self->link.ws, SOL_SOCKET, 29 /* SO_TIMESTAMP */, 1);
	goes_on(self);
	equal(3, ws_send(self->link.ws, OP_TEXT, "end", 3, 0));
	wire_expect(WIRE, OP_TEXT, true, "end", 3);
}

/* Row 2: what TCP may do to the socket's buffers in the middle of messages. */
CASE(refused, row28_buffers_shrink)
{
	set_option(self->link.ws, SOL_SOCKET, SO_RCVBUF, 1);
	set_option(self->link.ws, SOL_SOCKET, SO_SNDBUF, 1);
	goes_on(self);
}

SELFTEST_MAIN
