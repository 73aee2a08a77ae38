// SPDX-License-Identifier: GPL-2.0
/* kws echo: options, the listening socket, signals and the loop; echo.h has the idea. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"
#include "tool.h"

#define QUIT_MS		6000	/* for the peers to answer Close; the kernel's own limit is 5 s */
#define PAUSE_MS	200	/* until accepting is tried again after it failed */

static const char help[] =
"usage: kws echo [OPTION]...\n"
"\n"
"Sends every WebSocket message back. Prints the address that it listens on. SIGTERM or\n"
"SIGINT ends it: everybody gets Close 1001, and it exits with status 0.\n"
"\n"
"  -p, --port PORT           listen there (default 8080); 0 takes a free one\n"
"  -a, --bind ADDRESS        default 127.0.0.1; :: is every address, IPv4 and IPv6\n"
"      --max-message SIZE    fail connections that send more (default 16M; none)\n"
"      --ping-interval SECS  let the kernel ping connections that are quiet for so long\n"
"      --pong-timeout SECS   and end those that stay quiet (default 10)\n"
"      --batch               receive and send many small messages with one call\n"
"      --subprotocol LIST    subprotocols to agree on, the best first\n"
"      --proxy               the clients come through a proxy that speaks the PROXY protocol\n"
"      --cert FILE           wss: the certificate, and those that lead to its authority, PEM\n"
"      --key FILE            and its private key, PEM (default: in the same file)\n"
"      --page FILE           answer requests without upgrade with this HTML page\n"
"  -v, --verbose             say who comes and goes\n"
"  -h, --help                this text\n";

/* Descriptors that are no connections, as epoll's data */
static char is_listener, is_signal;

struct settings {
	const char *bind;
	const char *port;
	struct websocket_config config;
	struct kws_tls_options tls;
};

static char *read_page(const char *path, size_t *len)
{
	const size_t largest = 1 << 20;
	char *page = malloc(largest + 1);
	FILE *f = fopen(path, "r");

	if (!f || !page)
		fatal(EXIT_USAGE, "--page %s: %s", path, strerror(errno));
	*len = fread(page, 1, largest + 1, f);
	if (ferror(f) || *len > largest)
		fatal(EXIT_USAGE, "--page %s: %s", path, ferror(f) ? strerror(errno) : "larger than 1 MiB");
	fclose(f);
	return page;
}

enum { OPT_MAX = 256, OPT_INTERVAL, OPT_TIMEOUT, OPT_BATCH, OPT_SUBPROTOCOL, OPT_PAGE, OPT_PROXY, OPT_CERT, OPT_KEY };

static void set_option(struct server *s, struct settings *set, int option, const char *arg)
{
	switch (option) {
	case 'p':
		parse_number("--port", arg, 0, 65535);
		set->port = arg;
		break;
	case 'a':
		set->bind = arg;
		break;
	case OPT_MAX:
		set->config.max_message = strcmp(arg, "none") ? parse_size("--max-message", arg) : WEBSOCKET_NO_LIMIT;
		break;
	case OPT_INTERVAL:
		set->config.ping_interval_ms = parse_seconds("--ping-interval", arg);
		break;
	case OPT_TIMEOUT:
		set->config.pong_timeout_ms = parse_seconds("--pong-timeout", arg);
		break;
	case OPT_BATCH:
		set->config.flags |= WEBSOCKET_F_BATCH;
		break;
	case OPT_SUBPROTOCOL:
		s->options.subprotocols = arg;
		break;
	case OPT_PAGE:
		s->page = read_page(arg, &s->page_len);
		s->options.flags |= KWS_F_PLAIN;
		break;
	case OPT_PROXY:
		s->options.flags |= KWS_F_PROXY;
		break;
	case OPT_CERT:
		set->tls.cert = arg;
		break;
	case OPT_KEY:
		set->tls.key = arg;
		break;
	case 'v':
		s->verbose = true;
	}
}

static void parse_options(struct server *s, struct settings *set, int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "bind", required_argument, NULL, 'a' },
		{ "max-message", required_argument, NULL, OPT_MAX },
		{ "ping-interval", required_argument, NULL, OPT_INTERVAL },
		{ "pong-timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "batch", no_argument, NULL, OPT_BATCH },
		{ "subprotocol", required_argument, NULL, OPT_SUBPROTOCOL },
		{ "page", required_argument, NULL, OPT_PAGE },
		{ "proxy", no_argument, NULL, OPT_PROXY },
		{ "cert", required_argument, NULL, OPT_CERT },
		{ "key", required_argument, NULL, OPT_KEY },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int option;

	while ((option = getopt_long(argc, argv, "p:a:vh", options, NULL)) >= 0) {
		if (option == 'h') {
			fputs(help, stdout);
			exit(0);
		}
		if (option == '?')
			exit(EXIT_USAGE);
		set_option(s, set, option, optarg);
	}
	if (optind < argc)
		fatal(EXIT_USAGE, "%s: what is that? See kws echo --help", argv[optind]);
	s->options.config = &set->config;
}

/*
 * Start
 */

static struct kws_tls *make_tls(struct kws_tls_options *opt)
{
	char why[200] = "no memory";
	struct kws_tls *tls;

	if (!opt->cert && opt->key)
		fatal(EXIT_USAGE, "--key: without --cert?");
	if (!opt->cert)
		return NULL;
	opt->why = why;
	opt->why_size = sizeof(why);
	tls = kws_tls_server(opt);
	if (!tls)
		fatal(EXIT_USAGE, "%s", why);
	return tls;
}

/* A bad list is no reason to refuse each client: a handshake that never runs says so at the start. */
static void check_options(const struct server *s)
{
	struct kws_handshake *hs = kws_accept_start(-1, &s->options);

	if (!hs && errno == EINVAL)
		fatal(EXIT_USAGE, "--subprotocol: %s is no list of up to 64 different names with commas between", s->options.subprotocols);
	if (!hs)
		fatal(EXIT_USAGE, "%s", strerror(errno));
	kws_handshake_free(hs);
}

static void print_address(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	getsockname(fd, (struct sockaddr *)&addr, &len);
	getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	printf("kws echo: listening on %s port %s\n", host, port);
	fflush(stdout);
}

static int listen_on(const char *bind_to, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *ai;
	int fd, on = 1, off = 0, err = getaddrinfo(bind_to, port, &hints, &ai);

	if (err)
		fatal(EXIT_USAGE, "%s: %s", bind_to, gai_strerror(err));
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fatal(EXIT_USAGE, "%s: %s", bind_to, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, SOMAXCONN))
		fatal(EXIT_USAGE, "%s port %s: %s", bind_to, port, strerror(errno));
	freeaddrinfo(ai);
	return fd;
}

static void watch_fd(struct server *s, int op, int fd, void *tag)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = tag };

	if (epoll_ctl(s->epoll, op, fd, &e))
		fatal(EXIT_USAGE, "epoll: %s", strerror(errno));
}

/* SIGTERM and SIGINT become readable. */
static int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * The loop
 */

static void accept_connections(struct server *s)
{
	for (int i = 0; i < 64; i++) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			conn_new(s, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			watch_fd(s, EPOLL_CTL_DEL, s->listener, NULL);
			s->retry = clock_ms() + PAUSE_MS;
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

/* After accept() failed: is it time to try again? Return: the shorter time-out, milliseconds, -1: none. */
static int resume_accepting(struct server *s, int timeout)
{
	uint64_t now = clock_ms();
	int left = s->retry - now;

	if (now < s->retry)
		return timeout < 0 || left < timeout ? left : timeout;
	watch_fd(s, EPOLL_CTL_ADD, s->listener, &is_listener);
	s->retry = 0;
	return timeout;
}

/* Handshakes whose time is over are run once more, which ends them. Return: milliseconds until the next one's is. */
static int run_late_handshakes(struct server *s)
{
	int next = -1;

	for (struct conn *c = s->handshakes, *after; c; c = after) {
		int left = kws_handshake_timeout(c->hs);

		after = c->next;
		if (!left)
			conn_ready(s, c);
		else if (next < 0 || left < next)
			next = left;
	}
	return next;
}

/* A signal: nobody new, and Close to everybody. */
static void begin_quitting(struct server *s)
{
	struct conn *c, *after;

	s->quitting = true;
	close(s->listener);
	while (s->handshakes)
		conn_drop(s, s->handshakes, "the server ends");
	for (c = s->open; c; c = after) {
		after = c->next;
		conn_quit(s, c);
	}
}

/* Return: true: a signal came. */
static bool handle_events(struct server *s, int timeout)
{
	struct epoll_event events[64];
	int n = epoll_wait(s->epoll, events, 64, timeout);
	bool signal = false;

	if (n < 0 && errno != EINTR)
		fatal(EXIT_USAGE, "epoll: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == &is_signal)
			signal = true;
		else if (events[i].data.ptr == &is_listener)
			accept_connections(s);
		else
			conn_ready(s, events[i].data.ptr);
	}
	return signal;
}

static void serve(struct server *s)
{
	int timeout = -1;

	while (!handle_events(s, timeout)) {
		timeout = run_late_handshakes(s);
		if (s->retry)
			timeout = resume_accepting(s, timeout);
	}
}

static void quit(struct server *s, int signal_fd)
{
	uint64_t now = clock_ms(), deadline = now + QUIT_MS;
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) > 0)
		;
	begin_quitting(s);
	for (; s->connections && now < deadline; now = clock_ms())
		if (handle_events(s, deadline - now))
			break;	/* another signal: at once */
	while (s->open)
		conn_drop(s, s->open, "no answer to Close in time");
}

int echo_main(int argc, char **argv)
{
	static struct server s;
	struct settings set = { .bind = "127.0.0.1", .port = "8080", .config.max_message = 16 << 20 };
	int signal_fd;

	parse_options(&s, &set, argc, argv);
	check_options(&s);
	s.tls = make_tls(&set.tls);
	allow_many_descriptors();
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	signal_fd = catch_signals();
	s.listener = listen_on(set.bind, set.port);
	watch_fd(&s, EPOLL_CTL_ADD, signal_fd, &is_signal);
	watch_fd(&s, EPOLL_CTL_ADD, s.listener, &is_listener);
	print_address(s.listener);
	serve(&s);
	quit(&s, signal_fd);
	free(s.page);
	kws_tls_free(s.tls);
	return 0;
}
