// SPDX-License-Identifier: GPL-2.0 OR MIT
/* What comes before the WebSocket: the upgrade, the page, and the counters that the page shows. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "chat.h"

/* page.html as it is */
__asm__(".section .rodata\npage_start: .incbin \"" PAGE "\"\npage_end:\n.previous");
extern const char page_start[] __attribute__((visibility("hidden"))), page_end[] __attribute__((visibility("hidden")));

static const struct websocket_config config = {
	.flags = WEBSOCKET_F_BATCH | WEBSOCKET_F_TEXT,
	.max_message = MESSAGE_MAX,
	.ping_interval_ms = 20000,
	.pong_timeout_ms = 60000,
};

static struct client *handshakes;

/* A counter of the module, of all its sockets here. */
static unsigned long long counter(const char *name)
{
	FILE *f = fopen("/proc/net/websocket_stat", "re");
	unsigned long long value = 0;
	char line[128], key[64];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %llu", key, &value) == 2 && !strcmp(key, name))
			break;
		else
			value = 0;
	if (f)
		fclose(f);
	return value;
}

static void answer(struct kws_handshake *hs)
{
	const char *target = kws_handshake_target(hs);
	char json[256];
	int n;

	if (!strcmp(target, "/")) {
		kws_handshake_answer(hs, 200, "text/html; charset=utf-8", page_start, page_end - page_start);
		return;
	}
	if (strcmp(target, "/stats")) {
		kws_handshake_answer(hs, 404, NULL, NULL, 0);
		return;
	}
	n = snprintf(json, sizeof(json), "{\"clients\":%u,\"messages\":%llu,\"restarts\":%llu,\"pings\":%llu,\"pid\":%d}", shared->clients,
		     (unsigned long long)shared->messages, (unsigned long long)shared->restarts,
		     counter("KeepalivePings") + counter("PongsSent"), getpid());
	kws_handshake_answer(hs, 200, "application/json", json, n);
}

static void begin(struct client *c)
{
	c->next = handshakes;
	if (c->next)
		c->next->prev = c;
	handshakes = c;
}

/* It has no handshake any more. */
void http_leave(struct client *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		handshakes = c->next;
	if (c->next)
		c->next->prev = c->prev;
	kws_handshake_free(c->hs);
	c->hs = NULL;
}

/* The handshake is done: it gets a slot, which outlives this process. */
static void enter(struct client *c)
{
	char name[NAME];
	int i;

	for (i = 0; i < SLOTS && shared->slots[i].used; i++)
		;
	http_leave(c);
	if (i == SLOTS) {
		kws_close(c->fd, 1013, "full");
		client_drop(c);
		return;
	}
	memset(&shared->slots[i], 0, sizeof(shared->slots[i]));
	snprintf(shared->slots[i].name, NAME, "guest %llu", (unsigned long long)++shared->names);
	c->slot = i;
	clients[i] = c;
	room_enter(c, room_find("lobby"));
	shared->slots[i].used = true;
	shared->clients++;
	snprintf(name, sizeof(name), "c%d", i);
	kws_handover_store(c->fd, name);
	watch(c, EPOLLIN);
}

void http_run(struct client *c)
{
	for (;;) {
		switch (kws_handshake_run(c->hs)) {
		case KWS_WANT_READ:
			watch(c, EPOLLIN);
			return;
		case KWS_WANT_WRITE:
			watch(c, EPOLLOUT);
			return;
		case KWS_REQUEST:
			if (!kws_handshake_is_upgrade(c->hs))
				answer(c->hs);
			break;
		case KWS_DONE:
			enter(c);
			return;
		default:
			client_drop(c);
			return;
		}
	}
}

/* Runs handshakes whose time is over once more, which ends them. Return: milliseconds until the next one's is; -1: none. */
int http_late(void)
{
	int next = -1;

	for (struct client *c = handshakes, *after; c; c = after) {
		int left = kws_handshake_timeout(c->hs);

		after = c->next;
		if (!left)
			http_run(c);	/* if it goes on, with its refusal, the next round asks it again */
		next = next < 0 || left < next ? left : next;
	}
	return next;
}

/* Return: false: no more descriptors, say; those who wait have to wait on. */
bool http_accept(int listener)
{
	struct kws_options opt = { .flags = KWS_F_PLAIN, .config = &config };
	struct epoll_event ev = { .events = EPOLLIN };
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct client *c = calloc(1, sizeof(*c));

		if (!c) {
			close(fd);
			return false;
		}
		c->fd = fd;
		c->slot = -1;
		c->hs = tls ? kws_tls_accept_start(fd, tls, &opt) : kws_accept_start(fd, &opt);
		ev.data.ptr = c;
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
		if (c->hs) {
			begin(c);
			http_run(c);
		} else {
			client_drop(c);
		}
	}
	return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
}
