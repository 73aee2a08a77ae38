// SPDX-License-Identifier: GPL-2.0
/*
 * server_uring PORT: echo on the module under io_uring, with WEBSOCKET_F_BATCH. Each connection has one request
 * under way: recvmsg, then sendmsg of what was received. One call takes all that has completed and submits all
 * that follows.
 */
#include <err.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/websocket.h>

#include "server.h"

struct connection {
	int fd, more;
	bool sending;
	size_t left;		/* bytes to send */
	struct iovec iov;
	struct msghdr msg;
	char records[CMSG_SPACE(WEBSOCKET_BATCH_MAX * sizeof(struct websocket_batch))];
	char data[65536];
};

static struct io_uring ring;

static struct io_uring_sqe *request(void *data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe) {
		io_uring_submit(&ring);
		sqe = io_uring_get_sqe(&ring);
	}
	io_uring_sqe_set_data(sqe, data);
	return sqe;
}

static void receive(struct connection *c)
{
	struct io_uring_sqe *sqe = request(c);

	c->sending = false;
	c->iov = (struct iovec){ c->data, sizeof(c->data) };
	c->msg = (struct msghdr){ .msg_iov = &c->iov, .msg_iovlen = 1, .msg_control = c->records,
				  .msg_controllen = sizeof(c->records) };
	io_uring_prep_recvmsg(sqe, c->fd, &c->msg, 0);
	/* the next message is hardly ever there by now */
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

static void transmit(struct connection *c)
{
	c->sending = true;
	io_uring_prep_sendmsg(request(c), c->fd, &c->msg, c->more | MSG_NOSIGNAL);
}

/* The records go back as they came, but for a part of a message, which has no batch. */
static void received(struct connection *c, size_t n)
{
	struct cmsghdr *record = CMSG_FIRSTHDR(&c->msg);
	struct websocket_batch *first = (void *)CMSG_DATA(record);

	c->more = c->msg.msg_flags & MSG_EOR ? 0 : MSG_MORE;
	c->left = c->iov.iov_len = n;
	if (c->more || !(first->flags & WEBSOCKET_MSG_BEGIN)) {
		*(char *)CMSG_DATA(record) = first->opcode;
		record->cmsg_type = WEBSOCKET_OPCODE;
		record->cmsg_len = CMSG_LEN(1);
		c->msg.msg_controllen = CMSG_SPACE(1);
	}
	transmit(c);
}

static void completed(struct connection *c, int res)
{
	if (res < 0 || (!c->sending && res == 0 && !(c->msg.msg_flags & MSG_EOR))) {
		close(c->fd);
		free(c);
	} else if (!c->sending) {
		received(c, res);
	} else if ((size_t)res < c->left) {
		c->left -= res;
		c->iov = (struct iovec){ (char *)c->iov.iov_base + res, c->left };
		c->msg.msg_controllen = 0;
		transmit(c);
	} else {
		receive(c);
	}
}

static void accepted(int fd)
{
	struct connection *c = malloc(sizeof(*c));

	if (!c || !upgrade(fd)) {
		free(c);
		close(fd);
		return;
	}
	module_start(fd, WEBSOCKET_F_BATCH);
	c->fd = fd;
	receive(c);
}

int main(int argc, char **argv)
{
	int listener = listen_on(argv[argc - 1]);
	struct io_uring_cqe *cqe;
	unsigned int head, n;

	if (io_uring_queue_init(4096, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN))
		errx(1, "no io_uring");
	io_uring_prep_multishot_accept(request(NULL), listener, NULL, NULL, 0);
	for (;;) {
		io_uring_submit_and_wait(&ring, 1);
		n = 0;
		io_uring_for_each_cqe(&ring, head, cqe) {
			struct connection *c = io_uring_cqe_get_data(cqe);

			n++;
			if (c)
				completed(c, cqe->res);
			else if (cqe->res >= 0)
				accepted(cqe->res);
		}
		io_uring_cq_advance(&ring, n);
	}
}
