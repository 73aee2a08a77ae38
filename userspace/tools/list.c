// SPDX-License-Identifier: GPL-2.0
/* kws list: the WebSockets of all processes. Options, filters, and the loop. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kws.h"
#include "list.h"
#include "tool.h"
#include "watch.h"

static const char help[] =
"usage: kws list [OPTION]... [-w [SECS]]\n"
"\n"
"Lists the WebSockets of this network namespace that the kernel runs, whoever has them:\n"
"state, role, addresses, messages and bytes each way, pings received and sent, unread\n"
"bytes, the round trip of the last keep-alive ping, and close codes or the error.\n"
"\n"
"  -s, --state LIST    only those in these states: attached, open, close-sent,\n"
"                      close-received, closed, failed\n"
"  -r, --role ROLE     only these: server, client\n"
"  -P, --port PORT     only those with this port at either end\n"
"  -4, -6              only IPv4, only IPv6\n"
"  -p, --processes     say which processes have them\n"
"  -w, --watch[=SECS]  look again every so many seconds (default 1); show rates a second\n"
"  -n, --count N       end after N looks\n"
"  -j, --json          JSON, one line a look\n"
"  -h, --help          this text\n"
"\n"
"Linux 6.1 and 6.12 show protocols above TCP to CAP_NET_ADMIN only, so this takes root\n"
"there. Exit status: 0; 1 the module is not loaded, or the kernel does not tell.\n";

/**
 * struct filter - what to show
 * @states: a bit for each; 0: all
 * @role: "server" or "client"; NULL: both
 * @port: of either end; 0: any
 * @family: 0: any
 */
struct filter {
	unsigned int states;
	const char *role;
	unsigned int port;
	int family;
};

struct settings {
	struct filter filter;
	struct watch watch;
	bool processes;
};

static unsigned int parse_states(char *list)
{
	unsigned int states = 0;

	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		unsigned int i;

		for (i = 0; i < N_STATES && strcmp(name, state_names[i]); i++)
			;
		if (i == N_STATES)
			fatal(EXIT_USAGE, "--state: %s is no state. See kws list --help", name);
		states |= 1U << i;
	}
	return states;
}

static const struct option options[] = {
	{ "state", required_argument, NULL, 's' },
	{ "role", required_argument, NULL, 'r' },
	{ "port", required_argument, NULL, 'P' },
	{ "processes", no_argument, NULL, 'p' },
	{ "watch", optional_argument, NULL, 'w' },
	{ "count", required_argument, NULL, 'n' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 }
};

static void set_option(struct settings *s, int option)
{
	switch (option) {
	case 's':
		s->filter.states |= parse_states(optarg);
		break;
	case 'r':
		if (strcmp(optarg, "server") && strcmp(optarg, "client"))
			fatal(EXIT_USAGE, "--role: server or client");
		s->filter.role = optarg;
		break;
	case 'P':
		s->filter.port = parse_number("--port", optarg, 1, 65535);
		break;
	case '4':
		s->filter.family = AF_INET;
		break;
	case '6':
		s->filter.family = AF_INET6;
		break;
	case 'p':
		s->processes = true;
		break;
	case 'w':
		watch_set(&s->watch, optarg);
		break;
	case 'n':
		s->watch.count = parse_number("--count", optarg, 1, 1000000000);
		break;
	case 'j':
		s->watch.json = true;
		break;
	case 'h':
		fputs(help, stdout);
		exit(0);
	default:
		exit(EXIT_USAGE);
	}
}

static bool passes(const struct filter *f, const struct entry *e)
{
	bool client = e->info.flags & WEBSOCKET_F_CLIENT;

	if (f->states && !(e->info.state < N_STATES && f->states & 1U << e->info.state))
		return false;
	if (f->role && (e->info.state == WEBSOCKET_STATE_ATTACHED || client != !strcmp(f->role, "client")))
		return false;
	if (f->port && ntohs(e->id.idiag_sport) != f->port && ntohs(e->id.idiag_dport) != f->port)
		return false;
	return !f->family || e->family == f->family;
}

/* The filter's choice, into v->shown. */
static void choose(struct view *v, const struct filter *f)
{
	v->shown = reallocarray(v->shown, v->now->n + 1, sizeof(*v->shown));
	if (!v->shown)
		fatal(EXIT_USAGE, "no memory");
	v->n = 0;
	for (size_t i = 0; i < v->now->n; i++)
		if (passes(f, &v->now->v[i]))
			v->shown[v->n++] = &v->now->v[i];
}

static bool owner_missing(const struct view *v)
{
	size_t count;

	for (size_t i = 0; i < v->n; i++)
		if (v->shown[i]->inode && !owners_find(v->owners, v->shown[i]->inode, &count))
			return true;
	return false;
}

/* Says what this look could not see. Return: exit status. */
static int explain(const struct view *v)
{
	if (v->now->inconsistent)
		fputs("kws: sockets came and went too fast for the kernel to list them all\n", stderr);
	if (v->owners && v->owners->hidden && owner_missing(v))
		fputs("kws: processes of other users do not show: run as root to see them\n", stderr);
	if (v->now->n)
		return 0;
	if (!module_loaded()) {
		fprintf(stderr, "kws: %s\n", kws_strerror(ENOENT));
		return EXIT_USAGE;
	}
	if (has_net_admin())
		return 0;
	fputs("kws: no WebSocket can be seen; this kernel may show them to CAP_NET_ADMIN only: run as root\n", stderr);
	return EXIT_USAGE;
}

static int look(struct settings *s)
{
	struct diag_list lists[2] = { 0 };
	struct owners owners = { 0 };
	struct view v = { .rates = s->watch.ms, .owners = s->processes ? &owners : NULL };
	int status = 0;

	for (unsigned int i = 0; watch_next(&s->watch); i = !i) {
		diag_fill(&lists[i]);
		if (s->processes)
			owners_fill(&owners);
		v.now = &lists[i];
		v.before = &lists[!i];
		v.seconds = s->watch.seconds;
		choose(&v, &s->filter);
		watch_begin(&s->watch);
		if (s->watch.json)
			show_json(&v);
		else
			show_table(&v);
		watch_end();
		status = explain(&v);
	}
	free(v.shown);
	diag_free(&lists[0]);
	diag_free(&lists[1]);
	owners_free(&owners);
	return status;
}

int list_main(int argc, char **argv)
{
	struct settings s = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "s:r:P:46pw::n:jh", options, NULL)) >= 0)
		set_option(&s, option);
	watch_rest(&s.watch, "list", argc - optind, argv + optind);
	return look(&s);
}
