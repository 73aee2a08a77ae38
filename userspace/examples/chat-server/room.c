// SPDX-License-Identifier: GPL-2.0 OR MIT
/* What is said and who is told: see chat.h for why it stands in this order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "chat.h"

static struct client *members[ROOMS];
static bool dirty[ROOMS];

/* The compiler keeps the order of stores; a process that is killed has done all of them up to a point. */
#define barrier() __asm__ volatile("" ::: "memory")

static struct slot *slot_of(const struct client *c)
{
	return &shared->slots[c->slot];
}

static struct told *told_of(struct slot *s)
{
	return &s->told[s->which];
}

int room_find(const char *name)
{
	for (int i = 0; i < ROOMS; i++) {
		if (!*shared->rooms[i])
			snprintf(shared->rooms[i], NAME, "%s", name);
		if (!strncmp(shared->rooms[i], name, NAME - 1))
			return i;
	}
	return 0;
}

static void link_member(struct client *c)
{
	struct client **list = &members[slot_of(c)->room];

	c->prev = NULL;
	c->next = *list;
	if (*list)
		(*list)->prev = c;
	*list = c;
}

static void unlink_member(struct client *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		members[slot_of(c)->room] = c->next;
	if (c->next)
		c->next->prev = c->prev;
}

/* Puts bytes into the log. */
static void say(int room, uint64_t origin, const char *text, size_t len)
{
	struct entry *e = &shared->log[shared->end % LOG];
	uint64_t pos = shared->end ? shared->log[(shared->end - 1) % LOG].pos + shared->log[(shared->end - 1) % LOG].len : 0;

	/* in one piece */
	if (pos % LOG_BYTES + len > LOG_BYTES)
		pos += LOG_BYTES - pos % LOG_BYTES;
	memcpy(shared->bytes + pos % LOG_BYTES, text, len);
	*e = (struct entry){ .pos = pos, .origin = origin, .len = len, .room = room };
	barrier();
	shared->end++;
	dirty[room] = true;
	/* who is told nothing, because his room is quiet, has to come along as well, before the log overtakes him */
	if (shared->end % (LOG / 4) == 0)
		memset(dirty, true, sizeof(dirty));
}

/* Appends text as it stands in a JSON string. */
static char *quote(char *to, const char *from, size_t len)
{
	for (; len; from++, len--) {
		if (*from == '"' || *from == '\\')
			*to++ = '\\';
		if ((unsigned char)*from < ' ')
			to += sprintf(to, "\\u%04x", *from);
		else
			*to++ = *from;
	}
	return to;
}

static void say_message(int room, uint64_t origin, const char *type, const char *from, const char *text, size_t len)
{
	static char json[6 * MESSAGE_MAX + 6 * NAME + 100];
	char *p = json + sprintf(json, "{\"type\":\"%s\",\"from\":\"", type);

	p = quote(p, from, strlen(from));
	p += sprintf(p, "\",\"text\":\"");
	p = quote(p, text, len);
	p += sprintf(p, "\"}");
	say(room, origin, json, p - json);
}

void room_enter(struct client *c, int room)
{
	struct slot *s = slot_of(c);

	s->room = room;
	told_of(s)->next = shared->end;
	link_member(c);
}

void room_resume(struct client *c)
{
	struct slot *s = slot_of(c);
	struct websocket_info info;

	/* what the kernel has taken beyond what was noted belongs to the next entry for it */
	if (!kws_info(c->fd, &info))
		c->part = info.tx_bytes - told_of(s)->tx_bytes;
	link_member(c);
}

void room_leave(struct client *c)
{
	unlink_member(c);
}

/* As much of it as has room, but no part of a character: nobody takes text that is not UTF-8. */
static void copy_word(char to[NAME], const char *from, size_t len)
{
	len = strnlen(from, len);
	if (len >= NAME)
		for (len = NAME - 1; len && (from[len] & 0xc0) == 0x80; len--)
			;
	memcpy(to, from, len);
	to[len] = 0;
}

/* "/name X", "/room X"; anything else is for the room. */
static void take_message(struct client *c, uint64_t origin, const char *text, size_t len)
{
	struct slot *s = slot_of(c);
	char word[NAME];

	shared->messages++;
	if (len > 6 && (!memcmp(text, "/name ", 6) || !memcmp(text, "/room ", 6))) {
		copy_word(word, text + 6, len - 6);
		if (text[1] == 'n') {
			snprintf(s->name, NAME, "%s", word);
		} else {
			unlink_member(c);
			s->room = room_find(word);
			link_member(c);
		}
		say_message(s->room, origin, "joined", s->name, shared->rooms[s->room], strlen(shared->rooms[s->room]));
		return;
	}
	say_message(s->room, origin, "message", s->name, text, len);
}

/* The room is told in text, and the kernel has looked at that only. Parts, which come when memory is short, end anywhere. */
static bool is_text(const struct websocket_batch *b)
{
	return b->opcode == WEBSOCKET_OP_TEXT && b->flags & WEBSOCKET_MSG_BEGIN && b->flags & WEBSOCKET_MSG_END;
}

/* Works off what a receive has brought, from where that stopped. False: that was no text, and the client has to go. */
static bool work_off(struct client *c)
{
	struct intake *in = &shared->in;
	struct cmsghdr *cmsg = (struct cmsghdr *)in->control;
	const struct websocket_batch *b = (void *)CMSG_DATA(cmsg);
	unsigned int count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(*b);
	bool good = true;
	size_t at = 0;

	for (unsigned int i = 0; i < count && good; at += b[i++].len) {
		uint64_t origin = in->number << 8 | (i + 1);

		if (i < in->done)
			continue;
		good = is_text(&b[i]);
		/* said, but not noted */
		if (good && (!shared->end || shared->log[(shared->end - 1) % LOG].origin != origin))
			take_message(c, origin, in->data + at, b[i].len);
		barrier();
		in->done = i + 1;
	}
	in->slot = 0;
	return good;
}

static void not_text(struct client *c)
{
	kws_close(c->fd, 1003, "text only");
	client_drop(c);
}

void room_receive(struct client *c)
{
	struct intake *in = &shared->in;
	struct cmsghdr *cmsg = (struct cmsghdr *)in->control;
	struct iovec iov = { in->data, sizeof(in->data) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	for (int rounds = 0; rounds < 4; rounds++) {
		mh.msg_control = in->control;
		mh.msg_controllen = CMSG_LEN(WEBSOCKET_BATCH_MAX * sizeof(struct websocket_batch));
		memset(cmsg, 0, sizeof(*cmsg));
		in->number++;
		in->done = 0;
		barrier();
		in->slot = c->slot + 1;
		barrier();
		n = recvmsg(c->fd, &mh, MSG_DONTWAIT);
		if (n >= 0 && cmsg->cmsg_len && cmsg->cmsg_type == WEBSOCKET_BATCH) {
			if (work_off(c))
				continue;
			not_text(c);
			return;
		}
		in->slot = 0;
		if (n >= 0 || errno != EAGAIN)
			client_drop(c);
		return;
	}
}

/* A predecessor died in the middle of a receive. */
void room_recover(void)
{
	struct intake *in = &shared->in;
	struct cmsghdr *cmsg = (struct cmsghdr *)in->control;
	struct client *c = in->slot ? clients[in->slot - 1] : NULL;

	if (c && cmsg->cmsg_len && cmsg->cmsg_type == WEBSOCKET_BATCH && !work_off(c))
		not_text(c);
	in->slot = 0;
	memset(dirty, true, sizeof(dirty));
}

/* It has been told of the entry at told->next, which had @len bytes for it. */
static void note_told(struct slot *s, uint32_t len)
{
	struct told *now = told_of(s), *then = &s->told[!s->which];

	then->next = now->next + 1;
	then->tx_bytes = now->tx_bytes + len;
	barrier();
	s->which = !s->which;
}

/* The bytes of an entry; NULL: they were overwritten. */
static const char *bytes_of(const struct entry *e)
{
	uint64_t last = shared->log[(shared->end - 1) % LOG].pos + shared->log[(shared->end - 1) % LOG].len;

	return last - e->pos > LOG_BYTES - (1 << 20) ? NULL : shared->bytes + e->pos % LOG_BYTES;
}

static void too_slow(struct client *c)
{
	kws_close(c->fd, 1008, "too slow");
	client_drop(c);
}

void room_tell(struct client *c)
{
	struct slot *s = slot_of(c);

	while (told_of(s)->next < shared->end) {
		uint64_t number = told_of(s)->next;
		const struct entry *e = &shared->log[number % LOG];
		const char *bytes;
		ssize_t n = 0;

		if (shared->end - number >= LOG) {
			too_slow(c);
			return;
		}
		if (e->room != s->room && !c->part) {
			told_of(s)->next++;
			continue;
		}
		bytes = bytes_of(e);
		if (!bytes) {
			too_slow(c);
			return;
		}
		if (c->part < e->len)
			n = kws_send(c->fd, c->part ? 0 : WEBSOCKET_OP_TEXT, bytes + c->part, e->len - c->part, MSG_DONTWAIT);
		if (n < 0 && n != -EAGAIN)
			return;		/* its end comes by epoll */
		c->part += n > 0 ? n : 0;
		if (c->part < e->len) {
			c->blocked = true;
			watch(c, EPOLLIN | EPOLLOUT);
			return;
		}
		note_told(s, e->len);
		c->part = 0;
	}
	if (c->blocked) {
		c->blocked = false;
		watch(c, EPOLLIN);
	}
}

void room_tell_all(void)
{
	for (int i = 0; i < ROOMS; i++) {
		struct client *next;

		if (!dirty[i])
			continue;
		dirty[i] = false;
		for (struct client *c = members[i]; c; c = next) {
			next = c->next;
			if (!c->blocked)
				room_tell(c);
		}
	}
}
