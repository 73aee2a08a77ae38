/* SPDX-License-Identifier: GPL-2.0 */
/* A reader that holds the socket's lock, because its buffer is being paged in, for as long as a test wants. */
#ifndef KWS_HELD_H
#define KWS_HELD_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "peer.h"

struct held {
	int		uffd;
	void		*page;
	struct link	*link;
	pthread_t	thread;
	struct received	received;	/* what it got, after let_go() */
	char		*next;		/* takes the first byte of what the reader gets at once behind that; NULL: it does not ask */
	struct received	received_next;
};

static void *held_reader(void *argument)
{
	struct held *h = argument;

	h->received = ws_recvmsg(h->link->ws, h->page, 4096, 0);
	if (h->next)
		h->received_next = ws_recvmsg(h->link->ws, h->next, 1, 0);
	return NULL;
}

/* A message is there, or has to come. */
static void hold(struct held *h, struct link *l)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register area = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_msg message;

	h->link = l;
	h->uffd = must(syscall(SYS_userfaultfd, O_CLOEXEC));
	must(ioctl(h->uffd, UFFDIO_API, &api));
	h->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(h->page != MAP_FAILED);
	area.range.start = (unsigned long)h->page;
	area.range.len = 4096;
	must(ioctl(h->uffd, UFFDIO_REGISTER, &area));
	check(!pthread_create(&h->thread, NULL, held_reader, h));
	if (poll(&(struct pollfd){ h->uffd, POLLIN }, 1, 10000) != 1)
		fail("recvmsg() does not wait for its buffer");
	equal(sizeof(message), read(h->uffd, &message, sizeof(message)));
}

static void let_go(struct held *h)
{
	struct uffdio_zeropage zero = { .range = { (unsigned long)h->page, 4096 } };

	must(ioctl(h->uffd, UFFDIO_ZEROPAGE, &zero));
	check(!pthread_join(h->thread, NULL));
	must(munmap(h->page, 4096));
	must(close(h->uffd));
}

#endif
