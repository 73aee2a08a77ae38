// SPDX-License-Identifier: GPL-2.0
/*
 * What would go around the parser, or take the connection away from it, is refused, and the stream stays intact:
 * TCP_ZEROCOPY_RECEIVE and mmap(), splice() out, connect(), listen(), TCP_REPAIR, and other users of TCP in the kernel.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/kcm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#include "intact.h"

#ifndef TCP_ZEROCOPY_RECEIVE
#define TCP_ZEROCOPY_RECEIVE	35
#endif
#ifndef TCP_INQ
#define TCP_INQ			36
#endif

FIXTURE_ROLES(bypass);

static const struct websocket_config defaults;

/* Row 26: whoever maps received pages, or asks for it before the start, does not get them past the parser. */
CASE(bypass, row26_zerocopy_receive_and_mmap)
{
	struct { __u64 address; __u32 length, recv_skip_hint, more[8]; } zerocopy = { .length = 4096 };
	socklen_t len = sizeof(zerocopy);
	void *before, *page;

	check(mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->link.ws, 0) == MAP_FAILED && errno == EOPNOTSUPP);
	link_close(LINK);
	link_open(LINK, &variant->shape);
	before = must(mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->link.ws, 0));
	link_start(LINK, &defaults);
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->link.ws, 0);
	check(page == MAP_FAILED && errno == EOPNOTSUPP);
	put(OUT, .opcode = OP_BINARY, .payload = new_pattern(8192, 90), .len = 8192);
	peer_write(LINK);
	zerocopy.address = (unsigned long)before;
	refuses(EOPNOTSUPP, getsockopt(self->link.ws, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zerocopy, &len));
	expect_message(LINK, OP_BINARY, new_pattern(8192, 90), 8192);
	intact(LINK);
	munmap(before, 4096);
}

/* Row 48: splice() cannot tell an opcode. */
CASE(bypass, row48_splice_from_it)
{
	int p[2];

	must(pipe(p));
	put(OUT, .opcode = OP_TEXT, .text = "text");
	peer_write(LINK);
	ws_wait(self->link.ws, POLLIN);
	refuses(EOPNOTSUPP, splice(self->link.ws, NULL, p[1], NULL, 100, 0));
	refuses(EOPNOTSUPP, sendfile(p[1], self->link.ws, NULL, 100));
	expect_text(LINK, "text");
	intact(LINK);
	close(p[0]);
	close(p[1]);
}

/* Rows 8, 9: a message socket is nothing else any more. */
CASE(bypass, row8_row9_no_way_back)
{
	struct sockaddr_in6 a = { 0 };
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	socklen_t len = sizeof(a);

	must(getpeername(self->link.ws, (struct sockaddr *)&a, &len));
	refuses(EISCONN, connect(self->link.ws, (struct sockaddr *)&a, len));
	refuses(EOPNOTSUPP, connect(self->link.ws, &nobody, sizeof(nobody)));
	refuses(EOPNOTSUPP, listen(self->link.ws, 1));
	refuses(EINVAL, accept(self->link.ws, NULL, NULL));
	check(bind(self->link.ws, (struct sockaddr *)&a, len) == -1);
	refuses(EINVAL, shutdown(self->link.ws, 3));
	intact(LINK);
}

/* Rows 34, 51, 58: options of TCP that would reach around the protocol, or mean nothing. */
CASE(bypass, row34_row51_row58_options)
{
	int fd = self->link.ws, on = 1, value;
	socklen_t len = sizeof(value);

	refuses(EOPNOTSUPP, setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)));
	refuses(EOPNOTSUPP, setsockopt(fd, IPPROTO_TCP, TCP_INQ, &on, sizeof(on)));
	refuses(EOPNOTSUPP, setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &on, sizeof(on)));
	refuses(EOPNOTSUPP, getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &value, &len));
	refuses(ENOPROTOOPT, setsockopt(fd, SOL_SOCKET, SO_SNDLOWAT, &on, sizeof(on)));
	set_option(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	refuses(EOPNOTSUPP, send(fd, "x", 1, MSG_ZEROCOPY));
	refuses(EEXIST, setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3));
	intact(LINK);
}

/* Rows 15, 49: a sockmap does not take a message socket, nor a socket of a sockmap the protocol. */
CASE(bypass, row15_row49_sockmap)
{
	union bpf_attr entry, map = { .map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 4,
				      .max_entries = 1 };
	__u32 key = 0, value = self->link.ws;
	struct shape shape = variant->shape;
	struct link l;
	int fd = syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map));

	if (fd == -1 && errno == ENOSYS)
		return;		/* a kernel without BPF has no sockmap */
	must(fd);
	memset(&entry, 0, sizeof(entry));
	entry.map_fd = fd;
	entry.key = (unsigned long)&key;
	entry.value = (unsigned long)&value;
	refuses(EINVAL, syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &entry, sizeof(entry)));
	intact(LINK);
	link_open(&l, &shape);
	value = l.ws;
	must(syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &entry, sizeof(entry)));
	refuses(EBUSY, ulp_attach(l.ws));
	link_close(&l);
	close(fd);
}

/* Row 49: a multiplexor does not take one either. */
CASE(bypass, row49_kcm)
{
	struct bpf_insn whole[] = {	/* return 0 */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 }, { .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr program = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = (unsigned long)whole,
				   .insn_cnt = ARRAY_SIZE(whole), .license = (unsigned long)"GPL" };
	int kcm = socket(AF_KCM, SOCK_SEQPACKET, KCMPROTO_CONNECTED);
	struct kcm_attach attach = { .fd = self->link.ws };

	if (kcm == -1 && errno == EAFNOSUPPORT)
		return;		/* a kernel without it */
	must(kcm);
	attach.bpf_fd = must(syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof(program)));
	refuses(EALREADY, ioctl(kcm, SIOCKCMATTACH, &attach));
	intact(LINK);
	close(attach.bpf_fd);
	close(kcm);
}

SELFTEST_MAIN
