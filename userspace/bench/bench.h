/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The load client of `make bench': one program, the same for every server.
 *
 * DESIGN NOTES
 *
 * It starts the server it measures, speaks WebSocket to it over plain sockets, checks every byte that comes back,
 * and prints one JSON object a result. All frames are built and masked before the measured part, so that what the
 * client itself costs is the same with and without framing, but for the two or four bytes of header that it parses
 * in each reply.
 *
 * Time is the TSC. In a guest under QEMU's -icount shift=0 it counts instructions, those of both processes and of
 * the kernel, whoever runs; nothing else moves it but idling. A measured part must not idle: `rest' in the output
 * is the share of time that was not run time of either process, which is interrupts' wake-ups of kernel threads,
 * and idling if any.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define IN_FLIGHT	8	/* messages in a burst */
#define BURSTS		4	/* different bursts */

#define OP_CONTINUATION	0
#define OP_BINARY	2
#define OP_PING		9
#define OP_PONG		10

/**
 * struct options - what the command line says
 * @raw: the server is a plain TCP echo
 * @tls: connections are encrypted, behind the upgrade
 * @conns: connections
 * @count: repetitions, whatever these are in a case
 * @sizes, @nsizes: bytes of payload; or other steps of a case
 * @name: what the server is called in the results
 * @argv: the server's command
 */
struct options {
	bool raw, tls;
	unsigned int conns, count, nsizes;
	size_t sizes[16];
	const char *name;
	char **argv;
};

extern struct options opt;

/* load.c */
noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* server process: spawn.c */
extern pid_t server;
extern u16 server_port;
void server_start(void);
void server_stop(void);
long server_wakeups(void);
long server_rss(void);

/* time: meter.c */
struct meter {
	u64 ns, self, other;
	long wakeups;
};

u64 now(void);
void meter_start(struct meter *m);
void meter_pause(struct meter *m);
void meter_resume(struct meter *m);
void meter_stop(struct meter *m);
void say(const char *name, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void result(const char *name, size_t size, u64 n, const struct meter *m);
void syscalls_start(void);
long long syscalls_stop(void);

/* frames and their check: frame.c */

/**
 * struct burst - messages to be sent and the echo that is expected
 * @wire, @wire_len: what is sent
 * @reply: what has to come back, if every message comes in one frame with the shortest header
 * @size, @count: bytes of a message, messages
 * @unit: bytes of a message in @reply, its header included
 * @opcode: of the reply
 */
struct burst {
	u8 *wire, *reply;
	size_t wire_len, size, unit;
	unsigned int count;
	u8 opcode;
};

/**
 * struct reader - what has been seen of the replies to a burst
 * @same: bytes that are the same as in @reply
 * @parsed: a reply is framed in another way: the fields below are valid
 * @pos: payload bytes
 * @done: messages
 * @left: payload bytes to come in the current frame
 */
struct reader {
	size_t same, pos;
	u64 left;
	unsigned int done;
	u8 head[10], have;
	bool parsed, inside, begun, fin;
};

size_t put_frame(u8 *wire, u8 first, const u8 *payload, size_t n);
void burst_make_fragments(struct burst *b, size_t size, size_t piece);
void burst_make(struct burst *b, size_t size, unsigned int count, u8 opcode);
void burst_free(struct burst *b);
unsigned int burst_check(const struct burst *b, struct reader *r, const u8 *p, size_t n);

/* connections: conn.c */
struct conn {
	int fd;
	unsigned int nr;	/* bursts sent */
	size_t sent;		/* bytes of the current one */
	unsigned int done;	/* messages of it that came back */
	bool blocked;		/* waits for EPOLLOUT */
	struct reader reader;
};

extern struct conn *conns;
extern u8 inbuf[1 << 18];
void conns_open(unsigned int n);
void conns_close(void);
void send_all(int fd, const void *p, size_t n);
void exchange(struct conn *c, const struct burst *b);
void exchange_start(struct conn *c, const struct burst *b);
bool exchange_finish(struct conn *c, const struct burst *b, int timeout_ms);

/* cases */
void case_rtt(void);
void case_pipelined(void);
void case_pings(void);
void case_pings_client(void);
void case_memory(void);
void case_segments(void);
void case_pieces(void);
void case_pong(void);
void case_pong_stopped(void);
void case_pong_busy(void);
void case_fragments(void);
void case_unread(void);
void case_http(void);
void case_http_short(void);
void case_websocket(void);
void case_longpoll(void);
void case_longpoll_short(void);
void case_push(void);

#endif
