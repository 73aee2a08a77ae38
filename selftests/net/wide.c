// SPDX-License-Identifier: GPL-2.0
/*
 * Long payload, which is unmasked with the CPU's wide registers where it has them: the edges of their blocks, pages that are not
 * there yet or not at all, buffers in pieces, text that is not ASCII at any place, and the process's own registers.
 * time limit: 240 s
 */
#include "shapes.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#define LONG	70000
#define SHORTER	30000	/* fits in every window: never delivered in parts */

FIXTURE_WITH_LINK(wide)
SHAPE(wide, whole_v4, SEGMENT_FRAME, IPV4, false, false);
SHAPE(wide, whole_v6, SEGMENT_FRAME, IPV6, true, false);
SHAPE(wide, header_v4, SEGMENT_HEADER, IPV4, false, false);
SHAPE(wide, together_v6, SEGMENT_ALL, IPV6, false, false);

/* Everything of a message into a buffer that begins @shift behind a multiple of 64. */
static void expect_at(struct link *l, const unsigned char *bytes, size_t len, size_t shift)
{
	unsigned char *area = aligned_alloc(64, (len + shift + 127) / 64 * 64), *to = area + shift;
	struct received r = { 0 };
	size_t got;

	check(area);
	to[len] = 0xee;
	/* in parts if TCP's buffer was too small for it */
	for (got = 0; got < len; got += r.n) {
		r = ws_receive(l, to + got, len - got, 0);
		check(r.n > 0);
	}
	check(r.flags & MSG_EOR);
	check(!memcmp(to, bytes, len));
	equal(0xee, to[len]);
	free(area);
}

CASE(wide, lengths)
{
	static const size_t lengths[] = {
		4095, 4096, 4097, 4096 + 127, 4096 + 128, 4096 + 129, 8191, 8192 + 3, 32768 - 14, 32768, 65535, 65536, LONG
	};
	unsigned char *bytes = new_pattern(LONG, 1);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		put(OUT, .opcode = OP_BINARY, .key = 0x11223344 * (i + 1) | 1, .payload = bytes, .len = lengths[i]);
	put(OUT, .opcode = OP_BINARY, .key_zero = true, .payload = bytes, .len = LONG);
	peer_feed(LINK);
	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		expect_at(LINK, bytes, lengths[i], i * 5);
	expect_at(LINK, bytes, LONG, 0);
	peer_fed(LINK);
	free(bytes);
}

CASE(wide, in_fragments)
{
	unsigned char *bytes = new_pattern(LONG, 2);

	put(OUT, .opcode = OP_BINARY, .more = true, .payload = bytes, .len = 5001);
	put(OUT, .opcode = OP_CONTINUATION, .more = true, .payload = bytes + 5001, .len = 30002);
	put(OUT, .opcode = OP_CONTINUATION, .payload = bytes + 35003, .len = LONG - 35003);
	peer_feed(LINK);
	expect_at(LINK, bytes, LONG, 1);
	peer_fed(LINK);
	free(bytes);
}

/* Pages that are there only when somebody has stored to them. */
CASE(wide, fresh_pages)
{
	unsigned char *bytes = new_pattern(LONG, 3);
	int i;

	for (i = 0; i < 4; i++)
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = LONG);
	peer_feed(LINK);
	for (i = 0; i < 4; i++) {
		unsigned char *fresh = must(mmap(NULL, LONG + 100, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		size_t got = 0;

		while (got < LONG)
			got += ws_receive(LINK, fresh + i * 33 + got, LONG - got, 0).n;
		check(!memcmp(fresh + i * 33, bytes, LONG));
		must(munmap(fresh, LONG + 100));
	}
	peer_fed(LINK);
	free(bytes);
}

/* A buffer that ends where nothing is mapped: what was stored counts, and the rest is not lost. */
CASE(wide, faults)
{
	static const size_t room[] = { 1, 100, 4096, 4096 + 64, 5 * 4096 + 1, 7 * 4096 };
	unsigned char *area = must(mmap(NULL, 9 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	unsigned char *bytes = new_pattern(SHORTER, 4), *end = area + 8 * 4096, rest[SHORTER];
	size_t i;

	must(mprotect(end, 4096, PROT_NONE));
	for (i = 0; i < ARRAY_SIZE(room); i++) {
		struct received r;

		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = SHORTER);
		peer_feed(LINK);
		ws_wait(self->link.ws, POLLIN);
		refuses(EFAULT, recv(self->link.ws, end, SHORTER, 0));
		r = ws_receive(LINK, end - room[i], SHORTER, 0);
		equal(room[i], r.n);
		equal(WEBSOCKET_MSG_BEGIN, r.record.flags);
		check(!memcmp(end - room[i], bytes, room[i]));
		r = ws_receive(LINK, rest, SHORTER, 0);
		equal(SHORTER - room[i], r.n);
		equal(WEBSOCKET_MSG_END, r.record.flags);
		check(!memcmp(rest, bytes + room[i], r.n));
		peer_fed(LINK);
	}
	must(munmap(area, 9 * 4096));
	free(bytes);
}

/* The buffer in pieces of many lengths. */
CASE(wide, scattered)
{
	static const size_t pieces[] = { 1, 5000, 0, 127, 128, 4096, 31, 10000, 3, 129, 9000, SHORTER };
	unsigned char *bytes = new_pattern(SHORTER, 5), *area = malloc(SHORTER + 2 * ARRAY_SIZE(pieces));
	struct iovec iov[ARRAY_SIZE(pieces)];
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(pieces) };
	size_t i, at = 0, left = SHORTER;

	check(area);
	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		size_t len = pieces[i] < left ? pieces[i] : left;

		iov[i] = (struct iovec){ area + at, len };
		at += len + 2;
		left -= len;
	}
	put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = SHORTER);
	peer_feed(LINK);
	ws_wait(self->link.ws, POLLIN);
	equal(SHORTER, recvmsg(self->link.ws, &h, 0));
	for (i = 0, at = 0; i < ARRAY_SIZE(pieces); at += iov[i++].iov_len)
		check(!memcmp(iov[i].iov_base, bytes + at, iov[i].iov_len));
	peer_fed(LINK);
	free(area);
	free(bytes);
}

static const size_t places[] = { 0, 1, 126, 127, 128, 1022, 1023, 1024, 4094, 4095, 4096, 20000, 32766, LONG - 2 };

/* One character that is not ASCII, anywhere. */
CASE(wide, text)
{
	unsigned char *text = malloc(LONG);
	size_t i;

	check(text);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		memset(text, 'a' + i, LONG);
		memcpy(text + places[i], "\xc3\xa4", 2);
		put(OUT, .opcode = OP_TEXT, .payload = text, .len = LONG);
	}
	peer_feed(LINK);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		memset(text, 'a' + i, LONG);
		memcpy(text + places[i], "\xc3\xa4", 2);
		expect_at(LINK, text, LONG, i);
	}
	peer_fed(LINK);
	free(text);
}

/* One byte that is not UTF-8, anywhere: never delivered. */
CASE(wide, bad_text)
{
	unsigned char *text = malloc(LONG);
	size_t i;

	check(text);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		struct link l;
		size_t got;
		ssize_t n;

		link_start_default(&l, &variant->shape);
		memset(text, 'a', LONG);
		text[places[i]] = 0xff;
		put(&l.out, .opcode = OP_TEXT, .text = "before");
		put(&l.out, .opcode = OP_TEXT, .payload = text, .len = LONG);
		peer_feed(&l);
		expect_text(&l, "before");
		for (got = 0;; got += n) {
			ws_wait(l.ws, POLLIN);
			n = recv(l.ws, text, LONG, 0);
			if (n < 0)
				break;
			check(n && got + n <= places[i] && !memchr(text, 0xff, n));
		}
		equal(EILSEQ, errno);
		expect_failure(&l, EILSEQ, 1007);
		peer_fed(&l);
		link_close(&l);
	}
	free(text);
}

#ifdef __x86_64__
/* recv(), with registers that belong to us: @regs goes into eight of them, and comes out of them */
__attribute__((target("avx2"))) static ssize_t recv_between(int fd, void *buffer, size_t len, unsigned char regs[8][32])
{
	register long flags asm("r10") = MSG_WAITALL;
	register long none8 asm("r8") = 0, none9 asm("r9") = 0;
	long result = SYS_recvfrom;

	asm volatile("vmovdqu (%[regs]), %%ymm0\n\tvmovdqu 32(%[regs]), %%ymm1\n\tvmovdqu 64(%[regs]), %%ymm2\n\t"
		     "vmovdqu 96(%[regs]), %%ymm3\n\tvmovdqu 128(%[regs]), %%ymm4\n\tvmovdqu 160(%[regs]), %%ymm5\n\t"
		     "vmovdqu 192(%[regs]), %%ymm14\n\tvmovdqu 224(%[regs]), %%ymm15\n\t"
		     "syscall\n\t"
		     "vmovdqu %%ymm0, (%[regs])\n\tvmovdqu %%ymm1, 32(%[regs])\n\tvmovdqu %%ymm2, 64(%[regs])\n\t"
		     "vmovdqu %%ymm3, 96(%[regs])\n\tvmovdqu %%ymm4, 128(%[regs])\n\tvmovdqu %%ymm5, 160(%[regs])\n\t"
		     "vmovdqu %%ymm14, 192(%[regs])\n\tvmovdqu %%ymm15, 224(%[regs])\n\tvzeroupper"
		     : "+a" (result)
		     : "D" ((long)fd), "S" (buffer), "d" (len), "r" (flags), "r" (none8), "r" (none9), [regs] "r" (regs)
		     : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm14", "xmm15");
	return result;
}

/* What the kernel does with the registers is not seen in the process. */
CASE(wide, registers)
{
	unsigned char *bytes = new_pattern(LONG, 6), *buffer = malloc(LONG), regs[8][32], want[8][32];
	int i;

	check(buffer && __builtin_cpu_supports("avx2"));
	pattern(want, sizeof(want), 7);
	for (i = 0; i < 20; i++)
		put(OUT, .opcode = OP_BINARY, .payload = bytes, .len = SHORTER);
	peer_feed(LINK);
	for (i = 0; i < 20; i++) {
		memcpy(regs, want, sizeof(regs));
		ws_wait(self->link.ws, POLLIN);
		equal(SHORTER, recv_between(self->link.ws, buffer, SHORTER, regs));
		check(!memcmp(regs, want, sizeof(regs)));
		check(!memcmp(buffer, bytes, SHORTER));
	}
	peer_fed(LINK);
	free(buffer);
	free(bytes);
}
#endif

SELFTEST_MAIN
