// SPDX-License-Identifier: GPL-2.0
/* See tunpeer.h. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip.h>
#define __FAVOR_BSD
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "check.h"
#include "peer.h"
#include "tunpeer.h"

enum { KERNEL = 0x0a4d0001, OURS = 0x0a4d0002, PORT = 7, MTU = 17000, SCALE = 7 };

static int tun = -1, listener = -1;
static __u16 next_port = 1024;

struct packet {
	struct ip	ip;
	struct tcphdr	tcp;
	unsigned char	rest[MTU];
} __attribute__((packed));

static void set_address(int fd, unsigned long request, struct ifreq *r, __u32 address)
{
	struct sockaddr_in *a = (void *)&r->ifr_addr;

	*a = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
	must(ioctl(fd, request, r));
}

static void make_device(void)
{
	struct ifreq r = { .ifr_name = "kws", .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = must(socket(AF_INET, SOCK_DGRAM, 0));

	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (tun == -1) {
		/* a module of the kernel's */
		check(system("/sbin/modprobe tun") == 0);
		if (access("/dev/net/tun", F_OK)) {
			mkdir("/dev/net", 0755);
			must(mknod("/dev/net/tun", S_IFCHR | 0600, makedev(10, 200)));
		}
		tun = must(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
	}
	must(ioctl(tun, TUNSETIFF, &r));
	set_address(fd, SIOCSIFADDR, &r, KERNEL);
	set_address(fd, SIOCSIFNETMASK, &r, 0xffffff00);
	r.ifr_mtu = MTU;
	must(ioctl(fd, SIOCSIFMTU, &r));
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	must(ioctl(fd, SIOCSIFFLAGS, &r));
	close(fd);
}

void tunpeer_world(int rcvbuf)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(KERNEL) };

	fresh_netns();
	make_device();
	listener = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	if (rcvbuf)
		set_option(listener, SOL_SOCKET, SO_RCVBUFFORCE, rcvbuf);
	must(bind(listener, (void *)&a, sizeof(a)));
	must(listen(listener, 8));
}

static __u32 add(__u32 sum, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (; len > 1; len -= 2, p += 2)
		sum += p[0] << 8 | p[1];
	return len ? sum + (p[0] << 8) : sum;
}

static __u16 fold(__u32 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

/* One segment; @options: bytes of TCP options at the front of @bytes. */
static void segment(struct tunpeer *p, int flags, __u32 off, const void *bytes, size_t len, size_t options)
{
	static struct packet k;
	size_t size = sizeof(k.tcp) + len, window = p->offer >> (flags & TH_SYN ? 0 : SCALE);

	check(len <= sizeof(k.rest));
	k.ip = (struct ip){ .ip_v = 4, .ip_hl = 5, .ip_len = htons(sizeof(k.ip) + size), .ip_ttl = 64, .ip_p = IPPROTO_TCP,
			    .ip_src.s_addr = htonl(OURS), .ip_dst.s_addr = htonl(KERNEL) };
	k.ip.ip_sum = fold(add(0, &k.ip, sizeof(k.ip)));
	k.tcp = (struct tcphdr){ .th_sport = htons(p->port), .th_dport = htons(PORT), .th_seq = htonl(p->isn + off),
				 .th_ack = flags & TH_ACK ? htonl(p->irs + p->in_len + p->fin) : 0,
				 .th_off = (sizeof(k.tcp) + options) / 4, .th_flags = flags,
				 .th_win = htons(window > 65535 ? 65535 : window) };
	memcpy(k.rest, bytes, len);
	k.tcp.th_sum = fold(add(add(0, &k.ip.ip_src, 8) + IPPROTO_TCP + size, &k.tcp, size));
	equal(sizeof(k.ip) + size, write(tun, &k, sizeof(k.ip) + size));
}

static void take_payload(struct tunpeer *p, __u32 off, const unsigned char *bytes, size_t len)
{
	/* sent again, or with a part that was seen */
	if (off > p->in_len || off + len <= p->in_len)
		return;
	bytes += p->in_len - off;
	len -= p->in_len - off;
	if (p->in_len + len > p->in_room) {
		p->in_room = (p->in_len + len) * 2;
		p->in = realloc(p->in, p->in_room);
		check(p->in);
	}
	memcpy(p->in + p->in_len, bytes, len);
	p->in_len += len;
}

/* Our window scale, and the kernel's from its SYN. */
static void read_scale(struct tunpeer *p, const struct packet *k)
{
	const unsigned char *o = k->rest, *end = (const unsigned char *)&k->tcp + k->tcp.th_off * 4;

	while (o < end && *o)
		if (*o == TCPOPT_WINDOW) {
			p->scale = o[2];
			return;
		} else {
			o += *o == TCPOPT_NOP ? 1 : o[1];
		}
}

static void take_packet(struct tunpeer *p, const struct packet *k, size_t size)
{
	size_t head = sizeof(k->ip) + k->tcp.th_off * 4, len = size - head;
	bool syn = k->tcp.th_flags & TH_SYN;

	if (size < sizeof(k->ip) + sizeof(k->tcp) || k->ip.ip_v != 4 || k->ip.ip_p != IPPROTO_TCP ||
	    ntohs(k->tcp.th_dport) != p->port)
		return;
	if (k->tcp.th_flags & TH_RST) {
		p->reset = true;
		return;
	}
	if (syn) {
		p->irs = ntohl(k->tcp.th_seq) + 1;
		read_scale(p, k);
	}
	p->acked = ntohl(k->tcp.th_ack) - p->isn;
	p->window = ntohs(k->tcp.th_win) << (syn ? 0 : p->scale);
	if (syn)
		return;
	take_payload(p, ntohl(k->tcp.th_seq) - p->irs, (const unsigned char *)k + head, len);
	if (k->tcp.th_flags & TH_FIN && ntohl(k->tcp.th_seq) + len == p->irs + p->in_len)
		p->fin = true;
	if (!p->silent && (len || k->tcp.th_flags & TH_FIN))
		tunpeer_ack(p);
}

bool tunpeer_poll(struct tunpeer *p, int ms)
{
	struct pollfd pfd = { .fd = tun, .events = POLLIN };
	static struct packet k;
	bool any = false;

	while (poll(&pfd, 1, any ? 0 : ms) == 1) {
		take_packet(p, &k, must(read(tun, &k, sizeof(k))));
		any = true;
	}
	return any;
}

void tunpeer_connect(struct tunpeer *p)
{
	/* MSS, window scale */
	static const unsigned char options[] = { 2, 4, 0x40, 0, 1, 3, 3, SCALE };
	int i;

	memset(p, 0, sizeof(*p));
	p->port = next_port++;
	p->isn = 0xfffff000 + p->port;		/* sequence numbers wrap */
	p->offer = 1 << 20;
	segment(p, TH_SYN, -1, options, sizeof(options), sizeof(options));
	for (i = 0; !p->irs; i++) {
		check(i < 600);
		tunpeer_poll(p, 100);
	}
	tunpeer_ack(p);
	p->fd = must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
}

void tunpeer_send(struct tunpeer *p, __u32 off, const void *bytes, size_t len)
{
	segment(p, TH_ACK | TH_PUSH, off, bytes, len, 0);
}

void tunpeer_ack(struct tunpeer *p)
{
	/* behind what was acknowledged: whatever else was sent, this is in the window */
	segment(p, TH_ACK, p->acked, "", 0, 0);
}

void tunpeer_fin(struct tunpeer *p, __u32 off)
{
	segment(p, TH_ACK | TH_FIN, off, "", 0, 0);
}

void tunpeer_reset(struct tunpeer *p, __u32 off)
{
	segment(p, TH_RST | TH_ACK, off, "", 0, 0);
}

void tunpeer_settle(struct tunpeer *p, __u32 bytes)
{
	int i;

	for (i = 0; (__s32)(p->acked - bytes) < 0; i++) {
		if (i == 600)
			fail("the kernel has acknowledged %u bytes of %u", p->acked, bytes);
		tunpeer_poll(p, 100);
	}
}

void tunpeer_free(struct tunpeer *p)
{
	int i;

	if (p->fd >= 0)
		close(p->fd);
	/* where TCP does not expect it, a reset is answered, and then we know where */
	p->silent = true;
	for (i = 0; p->port && !p->reset && i < 3; i++) {
		tunpeer_poll(p, 0);
		tunpeer_reset(p, p->acked);
		tunpeer_poll(p, 1);
	}
	free(p->in);
	p->in = NULL;
	p->fd = -1;
}
