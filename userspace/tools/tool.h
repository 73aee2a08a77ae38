/* SPDX-License-Identifier: GPL-2.0 */
/* What the subcommands of kws share. */
#ifndef KWS_TOOL_H
#define KWS_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdnoreturn.h>

/* Exit statuses, of every subcommand. */
#define EXIT_USAGE	1	/* a bad option, or this machine cannot do it (no memory, no such file) */
#define EXIT_CONNECT	2	/* no connection, or the handshake failed */
#define EXIT_FAILED	3	/* the connection failed: protocol error, reset */
#define EXIT_LATE	4	/* what was waited for did not come in time */
#define EXIT_CLOSED	5	/* the peer closed with a code that is no normal end */

/* The subcommands: argv[0] is for getopt(). Return: the exit status. */
int echo_main(int argc, char **argv);
int connect_main(int argc, char **argv);
int list_main(int argc, char **argv);
int stat_main(int argc, char **argv);
int bench_main(int argc, char **argv);

/* Prints "kws: ..." and exits. */
noreturn void fatal(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The argument of an option, or fatal(): "16M" (k, M, G: powers of 1024), "0.5" seconds, a whole number. */
uint64_t parse_size(const char *option, const char *arg);
uint32_t parse_seconds(const char *option, const char *arg);
unsigned long parse_number(const char *option, const char *arg, unsigned long min, unsigned long max);

/* Writes what a stranger has chosen: what is not printable ASCII as '?', so that a terminal takes nothing for a command. */
void put_plain(FILE *to, const char *s);

/* The module's counters, in this network namespace; it is there while the module is. */
#define STAT_FILE	"/proc/net/websocket_stat"

bool module_loaded(void);

/* This process has CAP_NET_ADMIN. */
bool has_net_admin(void);

/* Raises the limit of open files as far as it goes. */
void allow_many_descriptors(void);

/* Milliseconds of a clock that only runs forward. */
uint64_t clock_ms(void);

#endif
