// SPDX-License-Identifier: GPL-2.0
/* kws list: the table, and JSON. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "json.h"
#include "list.h"
#include "tool.h"

#define ADDRESS_SIZE	(INET6_ADDRSTRLEN + IF_NAMESIZE + 16)
#define NOTE_SIZE	128

const char *const state_names[N_STATES] = {
	[WEBSOCKET_STATE_ATTACHED] = "attached",
	[WEBSOCKET_STATE_OPEN] = "open",
	[WEBSOCKET_STATE_CLOSE_SENT] = "close-sent",
	[WEBSOCKET_STATE_CLOSE_RECEIVED] = "close-received",
	[WEBSOCKET_STATE_CLOSED] = "closed",
	[WEBSOCKET_STATE_FAILED] = "failed",
};

static const char *const tcp_names[] = {
	[TCP_ESTABLISHED] = "established", [TCP_SYN_SENT] = "syn-sent", [TCP_SYN_RECV] = "syn-recv",
	[TCP_FIN_WAIT1] = "fin-wait-1", [TCP_FIN_WAIT2] = "fin-wait-2", [TCP_TIME_WAIT] = "time-wait",
	[TCP_CLOSE] = "close", [TCP_CLOSE_WAIT] = "close-wait", [TCP_LAST_ACK] = "last-ack", [TCP_LISTEN] = "listen",
	[TCP_CLOSING] = "closing",
};

static const char *state_name(const struct entry *e)
{
	return e->info.state < N_STATES ? state_names[e->info.state] : "unknown";
}

static const char *role_name(const struct entry *e)
{
	if (e->info.state == WEBSOCKET_STATE_ATTACHED)
		return "-";	/* not chosen yet */
	return e->info.flags & WEBSOCKET_F_CLIENT ? "client" : "server";
}

/* The address alone: 127.0.0.1, ::1, fe80::1%eth0, ::ffff:127.0.0.1. */
static void address(const struct entry *e, const __be32 *addr, char *buf)
{
	char name[IF_NAMESIZE];
	size_t len;

	inet_ntop(e->family, addr, buf, INET6_ADDRSTRLEN);
	len = strlen(buf);
	if (e->family != AF_INET6 || !e->id.idiag_if || !IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)addr))
		return;
	if (if_indextoname(e->id.idiag_if, name))
		snprintf(buf + len, ADDRESS_SIZE - len, "%%%s", name);
	else
		snprintf(buf + len, ADDRESS_SIZE - len, "%%%u", e->id.idiag_if);
}

/* Address and port, as they stand in a URL. */
static void endpoint(const struct entry *e, const __be32 *addr, __be16 port, char *buf)
{
	char a[ADDRESS_SIZE];

	address(e, addr, a);
	snprintf(buf, ADDRESS_SIZE + 8, e->family == AF_INET6 ? "[%s]:%u" : "%s:%u", a, ntohs(port));
}

/* A number in at most six characters. */
static const char *brief(double n, char buf[16])
{
	static const char units[] = " kMGTPE";
	const char *unit = units;

	if (n < 10000 && n == (double)(unsigned int)n) {
		snprintf(buf, 16, "%u", (unsigned int)n);
		return buf;
	}
	for (; n >= 999.95 && unit[1]; unit++)
		n /= 1000;
	snprintf(buf, 16, "%.1f%.1s", n, *unit == ' ' ? "" : unit);
	return buf;
}

/* What was counted, or how much of it a second. */
static double figure(const struct view *v, uint64_t now, uint64_t before)
{
	if (!v->rates)
		return now;
	return v->seconds && now > before ? (now - before) / v->seconds : 0;
}

static void write_note(const struct entry *e, char *note)
{
	const struct websocket_info *i = &e->info;
	const char *name = i->error ? strerrorname_np(i->error) : NULL;
	size_t len = 0;

	*note = 0;
	if (name)
		len += snprintf(note, NOTE_SIZE, "%s", name);
	else if (i->error)
		len += snprintf(note, NOTE_SIZE, "error %u", i->error);
	if (i->sent_close_code)
		len += snprintf(note + len, NOTE_SIZE - len, "%ssent %u", len ? ", " : "", i->sent_close_code);
	if (i->received_close_code)
		len += snprintf(note + len, NOTE_SIZE - len, "%sreceived %u", len ? ", " : "", i->received_close_code);
	if (i->partial_bytes)
		snprintf(note + len, NOTE_SIZE - len, "%samidst a message of %llu bytes or more", len ? ", " : "",
			 (unsigned long long)i->partial_bytes);
}

/* Names come from the processes themselves: nothing of them may reach the terminal as a command. */
static void print_owners(const struct view *v, const struct entry *e)
{
	const struct owner *w;
	size_t count;

	w = owners_find(v->owners, e->inode, &count);
	printf("  %s", count ? "" : "-");
	for (size_t i = 0; i < count; i++) {
		fputs(i ? "," : "", stdout);
		put_plain(stdout, w[i].name);
		printf("[%d]", w[i].pid);
	}
}

static void print_head(const struct view *v, int local, int peer)
{
	static const char *const counts[] = { "RX-MSG", "RX-BYTE", "TX-MSG", "TX-BYTE" };

	printf("%-15s%-8s%-*s  %-*s", "STATE", "ROLE", local, "LOCAL", peer, "PEER");
	for (int i = 0; i < 4; i++) {
		char head[16];

		snprintf(head, sizeof(head), "%s%s", counts[i], v->rates ? "/s" : "");
		printf(" %9s", head);
	}
	printf(" %11s %7s %9s%s  NOTE\n", "PINGS(R/T)", "UNREAD", "RTT", v->owners ? "  PROCESS" : "");
}

static void print_row(const struct view *v, const struct entry *e, int local, int peer)
{
	static const struct websocket_info zero;
	const struct entry *old = diag_find(v->before, e->cookie);
	const struct websocket_info *i = &e->info, *o = old ? &old->info : &zero;
	char l[ADDRESS_SIZE + 8], p[ADDRESS_SIZE + 8], note[NOTE_SIZE], n[16], pings[24], rtt[16] = "-";

	endpoint(e, e->id.idiag_src, e->id.idiag_sport, l);
	endpoint(e, e->id.idiag_dst, e->id.idiag_dport, p);
	printf("%-15s%-8s%-*s  %-*s", state_name(e), role_name(e), local, l, peer, p);
	printf(" %9s", brief(figure(v, i->rx_messages, o->rx_messages), n));
	printf(" %9s", brief(figure(v, i->rx_bytes, o->rx_bytes), n));
	printf(" %9s", brief(figure(v, i->tx_messages, o->tx_messages), n));
	printf(" %9s", brief(figure(v, i->tx_bytes, o->tx_bytes), n));
	snprintf(pings, sizeof(pings), "%u/%u", i->rx_pings, i->tx_pings);
	if (i->rtt_us)
		snprintf(rtt, sizeof(rtt), "%.2fms", i->rtt_us / 1000.0);
	printf(" %11s %7s %9s", pings, brief(i->unread_bytes, n), rtt);
	if (v->owners)
		print_owners(v, e);
	write_note(e, note);
	printf("%s%s\n", *note ? "  " : "", note);
}

void show_table(const struct view *v)
{
	char buf[ADDRESS_SIZE + 8];
	size_t local = 5, peer = 4, len;

	for (size_t i = 0; i < v->n; i++) {
		const struct entry *e = v->shown[i];

		endpoint(e, e->id.idiag_src, e->id.idiag_sport, buf);
		len = strlen(buf);
		local = len > local ? len : local;
		endpoint(e, e->id.idiag_dst, e->id.idiag_dport, buf);
		len = strlen(buf);
		peer = len > peer ? len : peer;
	}
	print_head(v, local, peer);
	for (size_t i = 0; i < v->n; i++)
		print_row(v, v->shown[i], local, peer);
}

/*
 * JSON
 */

static void json_endpoint(const struct entry *e, const char *name, const __be32 *addr, __be16 port)
{
	char buf[ADDRESS_SIZE];

	address(e, addr, buf);
	json_begin(name, '{');
	json_string("address", buf);
	json_u64("port", ntohs(port));
	json_end('}');
}

static void json_counters(const struct websocket_info *i)
{
	json_u64("rx_messages", i->rx_messages);
	json_u64("rx_frames", i->rx_frames);
	json_u64("rx_bytes", i->rx_bytes);
	json_u64("tx_messages", i->tx_messages);
	json_u64("tx_frames", i->tx_frames);
	json_u64("tx_bytes", i->tx_bytes);
	json_u64("rx_pings", i->rx_pings);
	json_u64("rx_pongs", i->rx_pongs);
	json_u64("tx_pings", i->tx_pings);
	json_u64("tx_pongs", i->tx_pongs);
	json_u64("rtt_us", i->rtt_us);
	json_u64("skipped_messages", i->skipped_messages);
	json_u64("unread_bytes", i->unread_bytes);
	json_u64("partial_bytes", i->partial_bytes);
}

static void json_rates(const struct view *v, const struct entry *e)
{
	const struct entry *old = diag_find(v->before, e->cookie);
	static const struct websocket_info zero;
	const struct websocket_info *o = old ? &old->info : &zero;

	json_begin("rates", '{');
	json_double("rx_messages", figure(v, e->info.rx_messages, o->rx_messages));
	json_double("rx_bytes", figure(v, e->info.rx_bytes, o->rx_bytes));
	json_double("tx_messages", figure(v, e->info.tx_messages, o->tx_messages));
	json_double("tx_bytes", figure(v, e->info.tx_bytes, o->tx_bytes));
	json_end('}');
}

static void json_owners(const struct view *v, const struct entry *e)
{
	const struct owner *w;
	size_t count;

	w = owners_find(v->owners, e->inode, &count);
	json_begin("processes", '[');
	for (size_t i = 0; i < count; i++) {
		json_begin(NULL, '{');
		json_string("name", w[i].name);
		json_u64("pid", w[i].pid);
		json_u64("fd", w[i].fd);
		json_end('}');
	}
	json_end(']');
}

static void json_flags(uint32_t flags)
{
	static const char *const names[] = { "client", "no-utf8", "ping", "pong", "batch", "text", "cork" };

	json_begin("flags", '[');
	for (unsigned int i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (flags & 1U << i)
			json_string(NULL, names[i]);
	json_end(']');
}

static void json_entry(const struct view *v, const struct entry *e)
{
	const char *error = e->info.error ? strerrorname_np(e->info.error) : "";

	json_begin(NULL, '{');
	json_string("state", state_name(e));
	json_string("role", role_name(e));
	json_string("ulp", e->ulp);
	json_endpoint(e, "local", e->id.idiag_src, e->id.idiag_sport);
	json_endpoint(e, "peer", e->id.idiag_dst, e->id.idiag_dport);
	json_string("tcp_state", e->tcp_state < sizeof(tcp_names) / sizeof(*tcp_names) && tcp_names[e->tcp_state] ?
		    tcp_names[e->tcp_state] : "unknown");
	json_u64("tcp_rtt_us", e->tcp_rtt_us);
	json_u64("uid", e->uid);
	json_u64("inode", e->inode);
	json_u64("cookie", e->cookie);
	json_flags(e->info.flags);
	json_u64("error", e->info.error);
	json_string("error_name", error ? error : "");
	json_u64("sent_close_code", e->info.sent_close_code);
	json_u64("received_close_code", e->info.received_close_code);
	json_u64("close_reason_len", e->info.close_reason_len);
	json_counters(&e->info);
	if (v->rates && v->seconds)
		json_rates(v, e);
	if (v->owners)
		json_owners(v, e);
	json_end('}');
}

void show_json(const struct view *v)
{
	json_begin(NULL, '[');
	for (size_t i = 0; i < v->n; i++)
		json_entry(v, v->shown[i]);
	json_end(']');
}
