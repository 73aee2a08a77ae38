/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The only place that knows kernel versions: 6.1 to 7.3. Each block says what changed, and since when, so that it can go when
 * the older kernels do. Changed signatures of callbacks are told apart by their types, which is immune to backports.
 */
#ifndef WS_COMPAT_H
#define WS_COMPAT_H

#include <linux/timer.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <net/tcp.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "websocket needs Linux 6.1 or newer: this kernel is too old"
#endif

/* Of two functions the one that fits the slot of an operations structure; neither: a compile error where it is assigned. */
#define WS_FIT(slot, a, b) \
	__builtin_choose_expr(__builtin_types_compatible_p(typeof(slot), typeof(&(a))), (a), (b))

/* appeared between 6.12 and 7.3, in proto_ops.connect */
struct sockaddr_unsized;

/* 6.12: skbs of device memory, which the CPU cannot read */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define ws_frags_readable(skb) skb_frags_readable(skb)
#else
#define ws_frags_readable(skb) true
#endif

/*
 * TLS_RX_EXPECT_NO_PAD: before "tls: restore msg_iter" (in 7.3, and in 6.1.192, but not in 6.12.95) several padded records in one call
 * give wrong bytes
 */
#define WS_TLS_NO_PAD_WORKS (LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0) || \
			     (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 192) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)))

/* 6.16: from_timer() became timer_container_of() */
#ifndef timer_container_of
#define timer_container_of(var, timer, field) container_of(timer, typeof(*(var)), field)
#endif

/* up to 6.18 or so proto->recvmsg had one more argument, which nobody uses */
static inline int ws_prot_recvmsg(const struct proto *prot, struct sock *sk, struct msghdr *msg, size_t len, int flags)
{
	int (*with)(struct sock *sk, struct msghdr *msg, size_t len, int flags, int *addr_len) = (void *)prot->recvmsg;
	int (*without)(struct sock *sk, struct msghdr *msg, size_t len, int flags) = (void *)prot->recvmsg;
	int addr_len = 0;

	if (__builtin_types_compatible_p(typeof(prot->recvmsg), typeof(with)))
		return with(sk, msg, len, flags, &addr_len);
	return without(sk, msg, len, flags);
}

/* after 6.12: has flags */
static inline void ws_tcp_send_ack(struct sock *sk)
{
	void (*plain)(struct sock *sk, u32 rcv_nxt) = (void *)__tcp_send_ack;
	void (*flags)(struct sock *sk, u32 rcv_nxt, u16 flags) = (void *)__tcp_send_ack;

	if (__builtin_types_compatible_p(typeof(&__tcp_send_ack), typeof(plain)))
		plain(sk, tcp_sk(sk)->rcv_nxt);
	else
		flags(sk, tcp_sk(sk)->rcv_nxt, 0);
}

/* 6.17 or so: a workqueue says if it is for each CPU, as they were by default */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define WS_WQ_PERCPU WQ_PERCPU
#else
#define WS_WQ_PERCPU 0
#endif

/* 6.4: iov_iter_iovec() gave way to iter_iov_addr() and iter_iov_len(), which know ITER_UBUF */
static inline void __user *ws_iter_user(const struct iov_iter *iter, size_t *n)
{
	*n = 0;
	/* at its end an iterator may point behind its last piece */
	if (!iov_iter_count(iter))
		return NULL;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	*n = iter_iov_len(iter);
	return iter_iov_addr(iter);
#else
	struct iovec iov;

	if (iter_is_ubuf(iter)) {
		*n = iter->count;
		return iter->ubuf + iter->iov_offset;
	}
	iov = iov_iter_iovec(iter);
	*n = iov.iov_len;
	return iov.iov_base;
#endif
}

/* up to 6.4: sendpage operations; without them the core sends such pages by sendmsg() */
static inline void ws_compat_proto(struct proto *prot)
{
#ifdef MSG_SENDPAGE_NOTLAST
	prot->sendpage = NULL;
#endif
}

static inline void ws_compat_proto_ops(struct proto_ops *ops)
{
#ifdef MSG_SENDPAGE_NOTLAST
	ops->sendpage_locked = NULL;
#endif
}

/* up to 6.4: the core marks pages of one sendfile() so; each is a fragment of one message, as with MSG_MORE */
#ifdef MSG_SENDPAGE_NOTLAST
#define WS_MSG_MORE	(MSG_MORE | MSG_SENDPAGE_NOTLAST)
#else
#define WS_MSG_MORE	MSG_MORE
#endif

/**
 * ws_tcp_push() - hand pages to TCP
 * @bv: the bytes; they must not change any more
 * @nr: entries of @bv, at least 1
 * @size: their total
 * @flags: MSG_MORE or 0
 *
 * Never sleeps for memory, never raises SIGPIPE. TCP takes its own references to the pages.
 * Context: the socket lock is held; with sk_err set TCP would consume it and send nothing
 * Return: bytes taken, from the start; or a negative errno if none was.
 */
static inline ssize_t ws_tcp_push(struct sock *sk, struct bio_vec *bv, unsigned int nr, size_t size, int flags)
{
#ifdef MSG_SENDPAGE_NOTLAST
	/* up to 6.4: one page, or run of pages, a call */
	ssize_t done = 0, n;
	unsigned int i;

	flags |= MSG_DONTWAIT | MSG_NOSIGNAL | MSG_NO_SHARED_FRAGS;
	tcp_rate_check_app_limited(sk);
	for (i = 0; i < nr; i++) {
		bool last = i == nr - 1;

		n = do_tcp_sendpages(sk, bv[i].bv_page, bv[i].bv_offset, bv[i].bv_len,
				     last ? flags : flags | MSG_MORE | MSG_SENDPAGE_NOTLAST);
		if (n < 0)
			return done ?: n;
		done += n;
		if (n < bv[i].bv_len)
			break;
	}
	return done;
#else
	struct msghdr msg = {
		.msg_flags = flags | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_SPLICE_PAGES | MSG_NO_SHARED_FRAGS,
	};

	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, bv, nr, size);
	return tcp_sendmsg_locked(sk, &msg, size);
#endif
}

#endif
