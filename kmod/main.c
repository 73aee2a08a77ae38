// SPDX-License-Identifier: GPL-2.0
/* WebSocket (RFC 6455) as a TCP upper layer protocol: start and end of the module. */
#include <linux/module.h>
#include "compat/compat.h"
#include "stats.h"
#include "websocket.h"
#include "wide.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

struct kmem_cache *ws_cache;

static struct tcp_ulp_ops ws_ulp = {
	.name = "websocket",
	.owner = THIS_MODULE,
	.init = ws_attach,
	.get_info = WS_FIT(((struct tcp_ulp_ops *)0)->get_info, ws_diag_fill, ws_diag_fill_admin),
	.get_info_size = WS_FIT(((struct tcp_ulp_ops *)0)->get_info_size, ws_diag_size, ws_diag_size_admin),
};

static int __init ws_init(void)
{
	int err;

	ws_wide_init();
	ws_cache = KMEM_CACHE(ws, SLAB_ACCOUNT);
	if (!ws_cache)
		return -ENOMEM;
	err = register_pernet_subsys(&ws_net_ops);
	if (err)
		goto err_cache;
	err = WS_TLS ? ws_tls_init() : 0;
	if (err)
		goto err_pernet;
	/* last, for a socket may be there from now on, and would outlive a start that fails */
	err = tcp_register_ulp(&ws_ulp);
	if (err)
		goto err_tls;
	return 0;

err_tls:
	if (WS_TLS)
		ws_tls_exit();
err_pernet:
	unregister_pernet_subsys(&ws_net_ops);
err_cache:
	kmem_cache_destroy(ws_cache);
	return err;
}

/*
 * Every socket holds a reference to the module until TCP destroys it, so none is left. Unregistering waits for RCU readers: a
 * timer that was about to run, sock_diag. The contexts that RCU has still to free are waited for by rcu_barrier().
 */
static void __exit ws_exit(void)
{
	tcp_unregister_ulp(&ws_ulp);
	if (WS_TLS)
		ws_tls_exit();
	unregister_pernet_subsys(&ws_net_ops);
	rcu_barrier();
	ws_tx_exit();
	kmem_cache_destroy(ws_cache);
}

module_init(ws_init);
module_exit(ws_exit);
MODULE_DESCRIPTION("WebSocket (RFC 6455) as a TCP upper layer protocol");
MODULE_LICENSE("GPL");
MODULE_ALIAS_TCP_ULP("websocket");
MODULE_VERSION("0.1");
