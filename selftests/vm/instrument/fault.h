/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Read before everything else when an instrumented module is compiled: what can fail for want of memory, or because user memory
 * is not there, is counted, and the n-th from now on fails (fault.c), in any context. TCP fails likewise: it takes nothing, or
 * one byte.
 */
#ifndef WS_FAULT_H
#define WS_FAULT_H

#include <linux/bvec.h>
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/sockptr.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <net/netlink.h>
#include <net/tcp.h>

struct ws_fault_site {
	const char *file;
	const char *what;
	unsigned int line, reached, failed;
};

bool ws_fault(struct ws_fault_site *site);
void ws_stall(void);

#define WS_FAULT(word) ({								\
	static struct ws_fault_site _site = { __FILE__, word, __LINE__ };		\
	static struct ws_fault_site *_entry __used __section("ws_faults") = &_site;	\
	ws_fault(&_site);								\
})

/* These are macros already. */
static __always_inline int ws_real_get_user(int *to, const int __user *from)
{
	return get_user(*to, from);
}

static __always_inline int ws_real_put_user(int from, int __user *to)
{
	return put_user(from, to);
}

static __always_inline bool ws_real_write_begin(const void __user *p, size_t n)
{
	return user_write_access_begin(p, n);
}

#undef get_user
#undef put_user
#undef user_write_access_begin
#define get_user(to, from)	(WS_FAULT("get_user") ? -EFAULT : ws_real_get_user(&(to), from))
#define put_user(from, to)	(WS_FAULT("put_user") ? -EFAULT : ws_real_put_user(from, to))
#define user_write_access_begin(p, n)	(!WS_FAULT("user_write_access_begin") && ws_real_write_begin(p, n))

#define kmalloc(...)		(WS_FAULT("kmalloc") ? NULL : kmalloc(__VA_ARGS__))
#define kzalloc(...)		(WS_FAULT("kzalloc") ? NULL : kzalloc(__VA_ARGS__))
#define kmem_cache_zalloc(...)	(WS_FAULT("kmem_cache_zalloc") ? NULL : kmem_cache_zalloc(__VA_ARGS__))
#define alloc_pages(...)	(WS_FAULT("alloc_page") ? NULL : alloc_pages(__VA_ARGS__))
#define alloc_skb(...)		(WS_FAULT("alloc_skb") ? NULL : alloc_skb(__VA_ARGS__))
#define alloc_skb_with_frags(...)	(WS_FAULT("alloc_skb_with_frags") ? NULL : alloc_skb_with_frags(__VA_ARGS__))
#define __alloc_percpu(...)	(WS_FAULT("alloc_percpu") ? NULL : __alloc_percpu(__VA_ARGS__))
#define sk_page_frag_refill(...)	(!WS_FAULT("sk_page_frag_refill") && sk_page_frag_refill(__VA_ARGS__))
#define skb_page_frag_refill(...)	(!WS_FAULT("skb_page_frag_refill") && skb_page_frag_refill(__VA_ARGS__))
#define skb_copy_bits(...)	(WS_FAULT("skb_copy_bits") ? -EFAULT : skb_copy_bits(__VA_ARGS__))
#define copy_to_user(to, from, n)	(WS_FAULT("copy_to_user") ? (n) : copy_to_user(to, from, n))
#define copy_from_sockptr(...)	(WS_FAULT("copy_from_sockptr") ? -EFAULT : copy_from_sockptr(__VA_ARGS__))
#define copy_from_sockptr_offset(...)	(WS_FAULT("copy_from_sockptr_offset") ? -EFAULT : copy_from_sockptr_offset(__VA_ARGS__))
/* the first half arrives */
#define _copy_from_iter(to, n, iter)	_copy_from_iter(to, WS_FAULT("copy_from_iter") ? (n) / 2 : (n), iter)
#define copy_from_iter(to, n, iter)	copy_from_iter(to, WS_FAULT("copy_from_iter") ? (n) / 2 : (n), iter)
#define copy_to_iter(from, n, iter)	copy_to_iter(from, WS_FAULT("copy_to_iter") ? (n) / 2 : (n), iter)
#define put_cmsg(...)		(WS_FAULT("put_cmsg") ? -EFAULT : put_cmsg(__VA_ARGS__))
#define nla_put(...)		(WS_FAULT("nla_put") ? -EMSGSIZE : nla_put(__VA_ARGS__))
#define proc_create_net_single(...)	(WS_FAULT("proc_create") ? NULL : proc_create_net_single(__VA_ARGS__))
#define do_tcp_sendpages(sk, page, off, n, flags)					\
	(WS_FAULT("TCP takes nothing") ? -EAGAIN :					\
	 do_tcp_sendpages(sk, page, off, WS_FAULT("TCP takes a byte") ? 1 : (n), flags))

/*
 * A virtual machine's CPU may be taken away at any point, here for longer than the timer was set for,
 * and softirqs come first when it is back.
 */
#define mod_timer(...)		({ int _pending = mod_timer(__VA_ARGS__); ws_stall(); _pending; })

#endif
