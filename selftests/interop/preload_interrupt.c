// SPDX-License-Identifier: GPL-2.0
/*
 * For LD_PRELOAD: the first INTERRUPTED netlink dumps that a program reads look as if the kernel had said that the table
 * changed meanwhile (NLM_F_DUMP_INTR), and lack their sockets.
 */
#include <dlfcn.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <sys/socket.h>

static int interrupted(void)
{
	static int left = -1;

	if (left < 0)
		left = atoi(getenv("INTERRUPTED") ?: "0");
	return left ? left-- : 0;
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t (*next)(int, struct msghdr *, int) = dlsym(RTLD_NEXT, "recvmsg");
	ssize_t n = next(fd, msg, flags);
	struct nlmsghdr *h = msg->msg_iov->iov_base;
	int len = n;

	if (n <= 0 || h->nlmsg_type != SOCK_DIAG_BY_FAMILY || !interrupted())
		return n;
	for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
		h->nlmsg_flags |= NLM_F_DUMP_INTR;
		h->nlmsg_type = NLMSG_NOOP;
	}
	return n;
}
