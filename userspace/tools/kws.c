// SPDX-License-Identifier: GPL-2.0
/* kws: WebSocket in the kernel, from the command line. Finds the subcommand. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "echo", echo_main, "a server that sends back what it gets" },
	{ "connect", connect_main, "send and receive messages from the command line" },
	{ "list", list_main, "the WebSockets of all processes" },
	{ "bench", bench_main, "load an echo server, and measure its answers" },
	{ "stat", stat_main, "the kernel's counters" },
};

#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

noreturn void fatal(int status, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("kws: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(status);
}

uint64_t parse_size(const char *option, const char *arg)
{
	static const char units[] = "kMG";
	const char *unit;
	uint64_t n;
	char *end;

	errno = 0;
	n = strtoull(arg, &end, 10);
	if (end == arg || *arg == '-' || errno)
		fatal(EXIT_USAGE, "%s: %s is no size (bytes, or with k, M, G)", option, arg);
	unit = *end ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
	if (unit) {
		int shift = 10 * (unit - units + 1);

		if (n >> (64 - shift))
			fatal(EXIT_USAGE, "%s: %s is too large", option, arg);
		n <<= shift;
		end++;
	}
	if (*end)
		fatal(EXIT_USAGE, "%s: %s is no size (bytes, or with k, M, G)", option, arg);
	return n;
}

uint32_t parse_seconds(const char *option, const char *arg)
{
	char *end;
	double s = strtod(arg, &end);

	if (end == arg || *end || !(s >= 0 && s <= 86400))
		fatal(EXIT_USAGE, "%s: %s is no time (0 to 86400 seconds)", option, arg);
	return s * 1000 + 0.5;
}

unsigned long parse_number(const char *option, const char *arg, unsigned long min, unsigned long max)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(arg, &end, 10);
	if (end == arg || *end || *arg == '-' || errno || n < min || n > max)
		fatal(EXIT_USAGE, "%s: %s is no number from %lu to %lu", option, arg, min, max);
	return n;
}

void put_plain(FILE *to, const char *s)
{
	for (; *s; s++)
		putc(*s >= ' ' && *s < 0x7f ? *s : '?', to);
}

bool has_net_admin(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	return !syscall(SYS_capget, &head, data) && data[0].effective & 1U << CAP_NET_ADMIN;
}

bool module_loaded(void)
{
	return !access(STAT_FILE, F_OK);
}

void allow_many_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

/* What is opened next would be the standard input or output that the caller has closed: a connection, say. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

static void usage(FILE *to)
{
	fputs("usage: kws COMMAND [OPTION]...\n\n", to);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(to, "  %-10s%s\n", commands[i].name, commands[i].summary);
	fputs("\nkws COMMAND --help says more; kws --version. The kernel module must be loaded: modprobe websocket.\n", to);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	static char full_name[32];

	fill_standard_descriptors();
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(name, commands[i].name))
			continue;
		/* getopt() begins its complaints with it */
		snprintf(full_name, sizeof(full_name), "kws: %s", name);
		argv[1] = full_name;
		return commands[i].main(argc - 1, argv + 1);
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		puts("kws " VERSION);
		return 0;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		usage(stdout);
		return 0;
	}
	if (*name)
		fprintf(stderr, "kws: there is no command %s\n\n", name);
	usage(stderr);
	return EXIT_USAGE;
}
