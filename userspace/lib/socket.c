// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The calls on a message socket; <linux/websocket.h> says what they mean. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "close_payload.h"
#include "kws.h"

int kws_attach(int fd)
{
	if (!setsockopt(fd, IPPROTO_TCP, TCP_ULP, "websocket", sizeof("websocket") - 1))
		return 0;
	/* UDP, MPTCP and so on: they do not know the option at all */
	return errno == ENOPROTOOPT ? -EOPNOTSUPP : -errno;
}

int kws_start(int fd, const struct websocket_config *config)
{
	static const struct websocket_config defaults;

	if (!config)
		config = &defaults;
	return setsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_CONFIG, config, sizeof(*config)) ? -errno : 0;
}

/* The payload of our control message of that type; NULL: there is none. Bytes of it in len. */
static void *find_record(struct msghdr *mh, int type, size_t *len)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level == SOL_WEBSOCKET && c->cmsg_type == type) {
			*len = c->cmsg_len - CMSG_LEN(0);
			return CMSG_DATA(c);
		}
	}
	return NULL;
}

/*
 * Room for one record of either kind, but not for two entries of a batch, whose messages would come glued together. Of frame_left the
 * last byte is cut off: the highest, which is 0, or the lowest, without which it is not known.
 */
#define ONE	(2 * sizeof(struct websocket_batch) - 1)

/* Reads the record of one message, of which the end may be cut off; MSG_EOR decides about the end. */
static void read_message(struct msghdr *mh, struct kws_message *msg)
{
	struct websocket_msg record = { 0 };
	struct websocket_batch one;
	size_t len;
	void *data = find_record(mh, WEBSOCKET_MSG, &len);

	msg->end = mh->msg_flags & MSG_EOR;
	if (data) {
		memcpy(&record, data, len < sizeof(record) ? len : sizeof(record));
		msg->close_code = record.close_code;
		if (len == sizeof(record) || (len >= ONE && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__))
			msg->frame_left = record.frame_left;
	} else if ((data = find_record(mh, WEBSOCKET_BATCH, &len)) && len >= sizeof(one)) {
		memcpy(&one, data, sizeof(one));
		record.opcode = one.opcode;
		record.flags = one.flags;
	}
	msg->opcode = record.opcode;
	msg->begin = record.flags & WEBSOCKET_MSG_BEGIN;
}

ssize_t kws_recv(int fd, void *buf, size_t len, int flags, struct kws_message *msg)
{
	_Alignas(struct cmsghdr) char control[CMSG_LEN(ONE)];
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &mh, flags);
	int err = errno;

	memset(msg, 0, sizeof(*msg));
	if (n < 0)
		return -err;
	read_message(&mh, msg);
	return n;
}

/* One sendmsg() with a record of ours. */
static ssize_t send_with(int fd, const void *buf, size_t len, int flags, int type, const void *record, size_t size)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(WEBSOCKET_BATCH_MAX * sizeof(struct websocket_batch))];
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (size) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		memset(control, 0, CMSG_SPACE(size));
		c->cmsg_level = SOL_WEBSOCKET;
		c->cmsg_type = type;
		c->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(c), record, size);
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(size);
	}
	n = sendmsg(fd, &mh, flags | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

ssize_t kws_send(int fd, int opcode, const void *buf, size_t len, int flags)
{
	uint8_t op = opcode;

	if (opcode < 0 || opcode > UINT8_MAX)
		return -EINVAL;
	return send_with(fd, buf, len, flags, WEBSOCKET_OPCODE, &op, opcode ? sizeof(op) : 0);
}

int kws_close(int fd, uint16_t code, const char *reason)
{
	uint8_t payload[CLOSE_MAX];
	int len = close_payload(payload, code, reason);
	ssize_t n = len < 0 ? len : kws_send(fd, WEBSOCKET_OP_CLOSE, payload, len, 0);

	return n < 0 ? n : 0;
}

/* getsockopt(); TCP over IPv4 says of a level that it does not know what IPv6 does not. */
static int get_option(int fd, int name, void *val, socklen_t *len)
{
	if (!getsockopt(fd, SOL_WEBSOCKET, name, val, len))
		return 0;
	return errno == EOPNOTSUPP ? -ENOPROTOOPT : -errno;
}

int kws_close_reason(int fd, char *buf, size_t size)
{
	socklen_t len = size ? size - 1 : 0;
	int err;

	if (!size)
		return -EINVAL;
	err = get_option(fd, WEBSOCKET_CLOSE_REASON, buf, &len);
	if (err)
		return err;
	buf[len] = 0;
	return len;
}

int kws_info(int fd, struct websocket_info *info)
{
	socklen_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return get_option(fd, WEBSOCKET_INFO, info, &len);
}

/* What a batch says about its last message, as kws_recv() would; or the other way round. */
static void reconcile(ssize_t n, struct websocket_batch *batch, unsigned int count, struct kws_message *msg)
{
	if (count) {
		msg->opcode = batch[count - 1].opcode;
		msg->begin = batch[count - 1].flags & WEBSOCKET_MSG_BEGIN;
		msg->end = batch[count - 1].flags & WEBSOCKET_MSG_END;
	} else {
		batch[0] = (struct websocket_batch){
			.len = n,
			.opcode = msg->opcode,
			.flags = (msg->begin ? WEBSOCKET_MSG_BEGIN : 0) | (msg->end ? WEBSOCKET_MSG_END : 0),
		};
	}
}

ssize_t kws_recv_batch(int fd, void *buf, size_t len, int flags, struct websocket_batch *batch, unsigned int *count,
		       struct kws_message *msg)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(WEBSOCKET_BATCH_MAX * sizeof(*batch))];
	unsigned int room = *count < WEBSOCKET_BATCH_MAX ? *count : WEBSOCKET_BATCH_MAX;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	size_t size;
	ssize_t n;
	void *data;
	int err;

	/* the kernel fills it: room for more would take more messages than the caller can be told of */
	mh.msg_controllen = CMSG_LEN(room * sizeof(*batch));
	*count = 0;
	memset(msg, 0, sizeof(*msg));
	if (!room)
		return -EINVAL;
	n = recvmsg(fd, &mh, flags);
	err = errno;
	if (n < 0)
		return -err;
	read_message(&mh, msg);
	data = find_record(&mh, WEBSOCKET_BATCH, &size);
	if (data) {
		*count = size / sizeof(*batch) < room ? size / sizeof(*batch) : room;
		memcpy(batch, data, *count * sizeof(*batch));
	}
	if (!kws_is_end(msg)) {
		reconcile(n, batch, *count, msg);
		*count += !*count;
	}
	return n;
}

ssize_t kws_send_batch(int fd, const void *buf, size_t len, int flags, const struct websocket_batch *batch,
		       unsigned int count)
{
	if (!count || count > WEBSOCKET_BATCH_MAX)
		return -EINVAL;
	return send_with(fd, buf, len, flags, WEBSOCKET_BATCH, batch, count * sizeof(*batch));
}
