// SPDX-License-Identifier: GPL-2.0
/*
 * The WebSockets of a network namespace, over sock_diag.
 *
 * DESIGN NOTES
 *
 * One dump of all TCP sockets for each family. With INET_DIAG_INFO the kernel also sends what upper layer protocols have to
 * say, in INET_DIAG_ULP_INFO (6.1 and 6.12 only to CAP_NET_ADMIN); sockets without our attribute in it are not ours. A dump may be
 * flagged as interrupted: then it is repeated, and believed after some tries. Attributes and structures may be longer or
 * shorter than those that we know.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "diag.h"
#include "tool.h"

#define TRIES		5
#define BUFFER_SIZE	65536
#define STATES		(1 << TCP_ESTABLISHED | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_CLOSE_WAIT | \
			 1 << TCP_LAST_ACK | 1 << TCP_CLOSING)

static struct entry *new_entry(struct diag_list *l)
{
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 256;
		l->v = reallocarray(l->v, l->room, sizeof(*l->v));
		if (!l->v)
			fatal(EXIT_USAGE, "no memory");
	}
	return memset(&l->v[l->n++], 0, sizeof(*l->v));
}

/* Copies an attribute, which may be shorter or longer than we know. */
static void copy(void *to, size_t size, const struct nlattr *a)
{
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	if (len)
		memcpy(to, mnl_attr_get_payload(a), len < size ? len : size);
}

static void add(struct diag_list *l, const struct inet_diag_msg *m, const struct nlattr *name, const struct nlattr *info,
		const struct nlattr *tcp)
{
	struct entry *e = new_entry(l);
	struct tcp_info tcp_info = { 0 };

	e->family = m->idiag_family;
	e->tcp_state = m->idiag_state;
	e->id = m->id;
	e->cookie = m->id.idiag_cookie[0] | (uint64_t)m->id.idiag_cookie[1] << 32;
	e->uid = m->idiag_uid;
	e->inode = m->idiag_inode;
	copy(e->ulp, sizeof(e->ulp) - 1, name);
	copy(&e->info, sizeof(e->info), info);
	copy(&tcp_info, sizeof(tcp_info), tcp);
	e->tcp_rtt_us = tcp_info.tcpi_rtt;
}

/* One socket. */
static int received(const struct nlmsghdr *h, void *data)
{
	const struct nlattr *a, *b, *tcp = NULL, *info = NULL, *name = NULL;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(struct inet_diag_msg))
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(struct inet_diag_msg)) {
		if (mnl_attr_get_type(a) == INET_DIAG_INFO)
			tcp = a;
		if (mnl_attr_get_type(a) != INET_DIAG_ULP_INFO)
			continue;
		mnl_attr_for_each_nested(b, a) {
			if (mnl_attr_get_type(b) == INET_ULP_INFO_NAME)
				name = b;
			else if (mnl_attr_get_type(b) == WEBSOCKET_ULP_INFO)
				info = b;
		}
	}
	if (info)
		add(data, mnl_nlmsg_get_payload(h), name, info, tcp);
	return MNL_CB_OK;
}

static void ask(struct mnl_socket *nl, int family, unsigned int sequence)
{
	char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct inet_diag_req_v2))];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *r;

	h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = sequence;
	r = mnl_nlmsg_put_extra_header(h, sizeof(*r));
	r->sdiag_family = family;
	r->sdiag_protocol = IPPROTO_TCP;
	r->idiag_ext = 1 << (INET_DIAG_INFO - 1);	/* without it ULPs are not asked */
	r->idiag_states = STATES;
	r->id.idiag_cookie[0] = r->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
		fatal(EXIT_USAGE, "sock_diag: %s", strerror(errno));
}

/* Takes the mark of an interrupted dump off, so that the dump can be read to its end. Return: it was there. */
static bool take_interrupted(void *buffer, int len)
{
	bool found = false;

	for (struct nlmsghdr *h = buffer; mnl_nlmsg_ok(h, len); h = mnl_nlmsg_next(h, &len)) {
		found |= h->nlmsg_flags & NLM_F_DUMP_INTR;
		h->nlmsg_flags &= ~NLM_F_DUMP_INTR;
	}
	return found;
}

/* Return: the dump is consistent. */
static bool dump(struct diag_list *l, struct mnl_socket *nl, int family, unsigned int sequence)
{
	static char buffer[BUFFER_SIZE] __attribute__((aligned(8)));
	bool interrupted = false;
	int left = MNL_CB_OK;

	ask(nl, family, sequence);
	while (left > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n >= 0) {
			interrupted |= take_interrupted(buffer, n);
			left = mnl_cb_run(buffer, n, sequence, mnl_socket_get_portid(nl), received, l);
		}
		if (n >= 0 && left >= 0)
			continue;
		if (errno == ENOENT)
			fatal(EXIT_USAGE, "the kernel does not list TCP sockets: load its module (\"modprobe tcp_diag\", as root)");
		fatal(EXIT_USAGE, "sock_diag: %s", strerror(errno));
	}
	return !interrupted;
}

static int by_cookie(const void *a, const void *b)
{
	uint64_t x = ((const struct entry *)a)->cookie, y = ((const struct entry *)b)->cookie;

	return x < y ? -1 : x > y;
}

/* A socket that moved while the table was read may have been seen twice. */
static void remove_doubles(struct diag_list *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (!n || l->v[n - 1].cookie != l->v[i].cookie)
			l->v[n++] = l->v[i];
	l->n = n;
}

void diag_fill(struct diag_list *l)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	static unsigned int sequence;

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		fatal(EXIT_USAGE, "netlink: %s", strerror(errno));
	l->n = 0;
	l->inconsistent = false;
	for (unsigned int i = 0; i < 2; i++) {
		size_t before = l->n;
		int try = 0;

		while (!dump(l, nl, families[i], ++sequence)) {
			if (++try == TRIES) {
				l->inconsistent = true;
				break;
			}
			l->n = before;
		}
	}
	mnl_socket_close(nl);
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_cookie);
	remove_doubles(l);
}

void diag_free(struct diag_list *l)
{
	free(l->v);
	*l = (struct diag_list){ 0 };
}

const struct entry *diag_find(const struct diag_list *l, uint64_t cookie)
{
	struct entry key = { .cookie = cookie };

	return l->n ? bsearch(&key, l->v, l->n, sizeof(*l->v), by_cookie) : NULL;
}
