// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A server for many clients in one thread, with io_uring: sends back what it gets. One multishot request for each client receives all its
 * messages, each with its record, into buffers that all clients share; a buffer is given back when its message has been sent. A busy
 * server so makes one system call for many messages of many clients: cc uring-server.c -lkws -lnettle -luring
 *
 * A multishot request asks for more by itself, so the kernel answers a Close at once: what a client asked for just before its Close
 * may not be answered any more.
 */
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <kws.h>

#define BUFFERS	256		/* a power of two */
#define ROOM	16384		/* a larger message comes in parts */
#define GROUP	1
#define PATIENCE 5000		/* ms: a client that does not read for so long is given up */

/* What a completion is of: the low bits of its data, beside the client. */
enum { NOTHING, ACCEPT, HANDSHAKE, RECEIVE, SEND, ACCEPT_LATER, WHAT = 7 };

struct client {
	int fd;
	unsigned int requests;		/* under way, or what else keeps it */
	bool ended;
	struct kws_handshake *hs;	/* NULL: done */
	int first, last;		/* buffers that are to be sent, in their order; -1: none */
	struct client *hungry;		/* the next one that waits for buffers */
	struct __kernel_timespec limit;
	struct msghdr msg;
	struct iovec iov;
	_Alignas(struct cmsghdr) char record[CMSG_SPACE(1)];
};

/* A buffer that holds a message, or a part of one. */
static struct part {
	int next;
	char *data;
	size_t len;
	struct websocket_msg record;
} parts[BUFFERS];

static struct io_uring ring;
static struct io_uring_buf_ring *shared;
static char *buffers;
static struct client *hungry;
/* what comes with the bytes of each message: no address, but a record */
static struct msghdr shape = { .msg_controllen = CMSG_SPACE(sizeof(struct websocket_msg)) };

/* There is room for it and for one that is linked to it. */
static struct io_uring_sqe *request(void)
{
	if (io_uring_sq_space_left(&ring) < 2)
		io_uring_submit(&ring);
	return io_uring_get_sqe(&ring);
}

static void under_way(struct io_uring_sqe *sqe, struct client *cl, int what)
{
	io_uring_sqe_set_data64(sqe, (uintptr_t)cl | what);
	cl->requests++;
}

/* The same, but cancelled when it takes longer. */
static void under_way_for(struct io_uring_sqe *sqe, struct client *cl, int what, int ms)
{
	under_way(sqe, cl, what);
	sqe->flags |= IOSQE_IO_LINK;
	cl->limit = (struct __kernel_timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_link_timeout(sqe, &cl->limit, 0);
	io_uring_sqe_set_data64(sqe, NOTHING);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void put(struct client *cl)
{
	if (--cl->requests)
		return;
	kws_handshake_free(cl->hs);
	close(cl->fd);
	free(cl);
}

static void give_back(int buffer)
{
	io_uring_buf_ring_add(shared, buffers + buffer * ROOM, ROOM, buffer, io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(shared, 1);
}

static void receive(struct client *cl)
{
	struct io_uring_sqe *sqe = request();

	io_uring_prep_recvmsg_multishot(sqe, cl->fd, &shape, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	under_way(sqe, cl, RECEIVE);
}

/* Sends what is left of the client's first buffer. */
static void transmit(struct client *cl, bool begin)
{
	const struct part *p = &parts[cl->first];
	struct io_uring_sqe *sqe = request();

	cl->iov = (struct iovec){ p->data, p->len };
	cl->msg = (struct msghdr){ .msg_iov = &cl->iov, .msg_iovlen = 1 };
	if (begin) {
		struct cmsghdr *c = (struct cmsghdr *)cl->record;

		*c = (struct cmsghdr){ CMSG_LEN(1), SOL_WEBSOCKET, WEBSOCKET_OPCODE };
		*CMSG_DATA(c) = p->record.opcode;
		cl->msg.msg_control = c;
		cl->msg.msg_controllen = sizeof(cl->record);
	}
	io_uring_prep_sendmsg(sqe, cl->fd, &cl->msg, MSG_NOSIGNAL | (p->record.flags & WEBSOCKET_MSG_END ? 0 : MSG_MORE));
	under_way_for(sqe, cl, SEND, PATIENCE);
}

static void transmit_first(struct client *cl)
{
	transmit(cl, parts[cl->first].record.flags & WEBSOCKET_MSG_BEGIN);
}

static void end(struct client *cl)
{
	/* so that what is under way ends */
	if (!cl->ended)
		shutdown(cl->fd, SHUT_RDWR);
	cl->ended = true;
}

static void feed_the_hungry(void)
{
	struct client *cl;

	while ((cl = hungry)) {
		hungry = cl->hungry;
		if (!cl->ended)
			receive(cl);
		put(cl);
	}
}

static void received(struct client *cl, const struct io_uring_cqe *cqe)
{
	int buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	struct part *p = &parts[buffer];
	struct io_uring_recvmsg_out *o;

	if (cqe->res == -ENOBUFS) {
		cl->hungry = hungry;
		cl->requests++;
		hungry = cl;
		return;
	}
	if (cqe->res < 0) {
		end(cl);
		return;
	}
	o = io_uring_recvmsg_validate(buffers + buffer * ROOM, cqe->res, &shape);
	memcpy(&p->record, CMSG_DATA(io_uring_recvmsg_cmsg_firsthdr(o, &shape)), sizeof(p->record));
	p->data = io_uring_recvmsg_payload(o, &shape);
	p->len = io_uring_recvmsg_payload_length(o, cqe->res, &shape);
	p->next = -1;
	if (cl->ended || p->record.opcode == WEBSOCKET_OP_CLOSE) {
		give_back(buffer);
		end(cl);
		return;
	}
	if (cl->first < 0)
		cl->first = buffer;
	else
		parts[cl->last].next = buffer;
	cl->last = buffer;
	if (cl->first == buffer)
		transmit_first(cl);
	/* after an empty message, for one, the request has to be made again */
	if (!(cqe->flags & IORING_CQE_F_MORE))
		receive(cl);
}

static void sent(struct client *cl, int res)
{
	struct part *p = &parts[cl->first];

	if (res < 0)
		end(cl);
	else if ((size_t)res < p->len) {
		p->data += res;
		p->len -= res;
		transmit(cl, false);
		return;
	}
	do {
		int buffer = cl->first;

		cl->first = parts[buffer].next;
		give_back(buffer);
	} while (cl->ended && cl->first >= 0);
	if (cl->first >= 0)
		transmit_first(cl);
	else
		feed_the_hungry();
}

static void handshake(struct client *cl)
{
	int r = kws_handshake_run(cl->hs);
	struct io_uring_sqe *sqe;

	if (r == KWS_REQUEST)
		r = kws_handshake_run(cl->hs);
	if (r == KWS_WANT_READ || r == KWS_WANT_WRITE) {
		sqe = request();
		io_uring_prep_poll_add(sqe, cl->fd, r == KWS_WANT_READ ? POLLIN : POLLOUT);
		under_way_for(sqe, cl, HANDSHAKE, kws_handshake_timeout(cl->hs));
		return;
	}
	if (r != KWS_DONE)
		fprintf(stderr, "client: %s\n", kws_handshake_message(cl->hs));
	kws_handshake_free(cl->hs);
	cl->hs = NULL;
	if (r == KWS_DONE)
		receive(cl);
	else
		end(cl);
}

static void accepted(int fd)
{
	struct client *cl = calloc(1, sizeof(*cl));

	if (!cl) {
		close(fd);
		return;
	}
	cl->fd = fd;
	cl->first = -1;
	cl->requests = 1;
	cl->hs = kws_accept_start(fd, NULL);
	if (cl->hs)
		handshake(cl);
	put(cl);
}

static void accept_all(int listener)
{
	struct io_uring_sqe *sqe = request();

	io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data64(sqe, ACCEPT);
}

/* There are no more descriptors, say: at once would be for nothing, and again at once. */
static void accept_later(void)
{
	static struct __kernel_timespec moment = { .tv_nsec = 100000000 };
	struct io_uring_sqe *sqe = request();

	io_uring_prep_timeout(sqe, &moment, 0, 0);
	io_uring_sqe_set_data64(sqe, ACCEPT_LATER);
}

static void completed(int listener, const struct io_uring_cqe *cqe)
{
	struct client *cl = (struct client *)(uintptr_t)(cqe->user_data & ~(uint64_t)WHAT);
	bool more = cqe->flags & IORING_CQE_F_MORE;

	switch (cqe->user_data & WHAT) {
	case ACCEPT:
		if (cqe->res >= 0)
			accepted(cqe->res);
		if (!more && cqe->res < 0)
			accept_later();
		else if (!more)
			accept_all(listener);
		return;
	case ACCEPT_LATER:
		accept_all(listener);
		return;
	case HANDSHAKE:
		handshake(cl);
		break;
	case RECEIVE:
		received(cl, cqe);
		break;
	case SEND:
		sent(cl, cqe->res);
		break;
	}
	if (cl && !more)
		put(cl);
}

static void make_buffers(void)
{
	struct io_uring_buf_reg reg = { .ring_entries = BUFFERS, .bgid = GROUP };

	buffers = aligned_alloc(4096, BUFFERS * ROOM);
	shared = aligned_alloc(4096, BUFFERS * sizeof(struct io_uring_buf));
	reg.ring_addr = (uintptr_t)shared;
	io_uring_buf_ring_init(shared);
	if (io_uring_register_buf_ring(&ring, &reg, 0)) {
		fprintf(stderr, "the kernel has no rings of buffers: Linux 5.19 does\n");
		exit(1);
	}
	for (int i = 0; i < BUFFERS; i++)
		give_back(i);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 8080) };
	int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 128))
		return perror("listen"), 1;
	if (io_uring_queue_init(1024, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN))
		return fprintf(stderr, "io_uring as of Linux 6.1 is needed\n"), 1;
	make_buffers();
	accept_all(listener);
	for (;;) {
		struct io_uring_cqe *cqe;
		unsigned int head, n = 0;

		io_uring_submit_and_wait(&ring, 1);
		io_uring_for_each_cqe(&ring, head, cqe) {
			n++;
			completed(listener, cqe);
		}
		io_uring_cq_advance(&ring, n);
	}
}
