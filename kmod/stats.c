// SPDX-License-Identifier: GPL-2.0
/* Counters per network namespace, shown in /proc/net/websocket_stat: one line each, name and value. */
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include "websocket.h"
#include "stats.h"

unsigned int ws_net_id;

static const char *const names[WS_STAT_COUNT] = {
#define X(name, text) [WS_STAT_##name] = text,
	WS_STATS(X)
#undef X
#define X(name, error, code, text) [WS_STAT_FAILURES + WS_FAIL_##name] = text,
	WS_FAILURES(X)
#undef X
};

static unsigned long total(const struct ws_net *n, unsigned int what)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(n->stats, cpu)->count[what];
	return sum;
}

static int show(struct seq_file *seq, void *v)
{
	const struct ws_net *n = net_generic(seq->private, ws_net_id);
	unsigned int i;

	for (i = 0; i < WS_STAT_COUNT; i++)
		if (names[i])
			seq_printf(seq, "%-24s%lu\n", names[i], total(n, i));
	return 0;
}

static int __net_init ws_net_init(struct net *net)
{
	struct ws_net *n = net_generic(net, ws_net_id);

	n->stats = alloc_percpu(struct ws_stats);
	if (!n->stats)
		return -ENOMEM;
	if (!proc_create_net_single("websocket_stat", 0444, net->proc_net, show, NULL)) {
		free_percpu(n->stats);
		return -ENOMEM;
	}
	return 0;
}

static void __net_exit ws_net_exit(struct net *net)
{
	struct ws_net *n = net_generic(net, ws_net_id);

	remove_proc_entry("websocket_stat", net->proc_net);
	free_percpu(n->stats);
}

struct pernet_operations ws_net_ops = {
	.init = ws_net_init,
	.exit = ws_net_exit,
	.id = &ws_net_id,
	.size = sizeof(struct ws_net),
};
