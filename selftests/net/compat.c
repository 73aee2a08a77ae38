// SPDX-License-Identifier: GPL-2.0
/*
 * What a 32-bit program sees on a 64-bit kernel: int $0x80 enters the kernel as its system calls do, also from here, as long as
 * everything lies where 32 bits reach. Control messages have another layout there, our records and options the same.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "shapes.h"

#ifdef __x86_64__
/* Numbers of the i386 calls, from the kernel's syscall_32.tbl. */
enum { I386_IOCTL = 54, I386_GETSOCKOPT = 365, I386_SETSOCKOPT = 366, I386_SENDMSG = 370, I386_RECVMSG = 372 };

static long i386(long number, long a, long b, long c, long d, long e)
{
	long result = number;

	asm volatile("int $0x80" : "+a" (result) : "b" (a), "c" (b), "d" (c), "S" (d), "D" (e)
		     : "r8", "r9", "r10", "r11", "memory");
	result = (int)result;
	if (result < 0) {
		errno = -result;
		return -1;
	}
	return result;
}

/* struct msghdr, struct iovec and struct cmsghdr of such a program. */
struct msghdr32 { __u32 name, namelen, iov, iovlen, control, controllen, flags; };
struct iovec32 { __u32 base, len; };
struct cmsghdr32 { __u32 len; __s32 level, type; };

/* All that a call points to. */
struct low {
	struct msghdr32		h;
	struct iovec32		iov;
	struct cmsghdr32	cmsg;	/* what follows is the first record */
	union {
		struct websocket_msg	record;
		struct websocket_batch	batch[4];
		__u8			opcode;
	};
	union {
		struct websocket_info	info;
		struct websocket_config	config;
		int			number;
	};
	__u32			len;
	char			bytes[256];
};

FIXTURE_ROLES(compat);

static __u32 low32(const void *p)
{
	check(((unsigned long)p >> 32) == 0);
	return (unsigned long)p;
}

static struct low *new_low(void)
{
	return must(mmap(NULL, sizeof(struct low), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
}

/* @len bytes of payload, a control buffer of @control bytes. */
static long receive32(struct low *low, int fd, size_t len, size_t control)
{
	low->iov = (struct iovec32){ low32(low->bytes), len };
	low->h = (struct msghdr32){ .iov = low32(&low->iov), .iovlen = 1, .control = low32(&low->cmsg), .controllen = control };
	memset(&low->cmsg, 0x55, sizeof(low->cmsg) + sizeof(low->batch));
	return i386(I386_RECVMSG, fd, low32(&low->h), 0, 0, 0);
}

static long send32(struct low *low, int fd, const char *bytes, int type, size_t record)
{
	memcpy(low->bytes, bytes, strlen(bytes));
	low->iov = (struct iovec32){ low32(low->bytes), strlen(bytes) };
	low->cmsg = (struct cmsghdr32){ sizeof(low->cmsg) + record, SOL_WEBSOCKET, type };
	low->h = (struct msghdr32){ .iov = low32(&low->iov), .iovlen = 1, .control = low32(&low->cmsg),
				    .controllen = low->cmsg.len };
	return i386(I386_SENDMSG, fd, low32(&low->h), 0, 0, 0);
}

static void expect_record32(const struct low *low, int type, size_t record)
{
	equal(sizeof(low->cmsg) + record, low->cmsg.len);
	equal(SOL_WEBSOCKET, low->cmsg.level);
	equal(type, low->cmsg.type);
	equal(sizeof(low->cmsg) + record, low->h.controllen);
}

CASE(compat, pitfall27_messages_and_the_end)
{
	struct low *low = new_low();

	put(OUT, .opcode = OP_TEXT, .text = "message");
	put(OUT, .opcode = OP_BINARY);
	put_close(OUT, 1000, "");
	peer_write(LINK);
	peer_settle(LINK);
	/* in two parts, the second of which finds no room for the record */
	equal(3, receive32(low, self->link.ws, 3, sizeof(low->cmsg) + sizeof(low->record)));
	expect_record32(low, WEBSOCKET_MSG, sizeof(low->record));
	equal(0, low->h.flags);
	equal(OP_TEXT, low->record.opcode);
	equal(WEBSOCKET_MSG_BEGIN, low->record.flags);
	equal(4, low->record.frame_left);
	equal(4, receive32(low, self->link.ws, sizeof(low->bytes), sizeof(low->cmsg) - 1));
	equal(MSG_EOR | MSG_CTRUNC, low->h.flags);
	equal(0, receive32(low, self->link.ws, sizeof(low->bytes), sizeof(low->cmsg) + sizeof(low->record)));
	expect_record32(low, WEBSOCKET_MSG, sizeof(low->record));
	equal(MSG_EOR, low->h.flags);
	equal(OP_BINARY, low->record.opcode);
	equal(0, receive32(low, self->link.ws, sizeof(low->bytes), sizeof(low->cmsg) + sizeof(low->record)));
	expect_record32(low, WEBSOCKET_MSG, sizeof(low->record));
	equal(0, low->h.flags);
	equal(OP_CLOSE, low->record.opcode);
	equal(1000, low->record.close_code);
}

/* The room for entries counts from a shorter struct cmsghdr, and what was received is what can be sent. */
CASE(compat, batches)
{
	struct low *low = new_low();
	int i;

	link_configure(LINK, &(struct websocket_config){ .flags = WEBSOCKET_F_BATCH });
	put(OUT, .opcode = OP_TEXT, .text = "one");
	put(OUT, .opcode = OP_BINARY, .text = "and two");
	put(OUT, .opcode = OP_TEXT, .text = "left");
	peer_write(LINK);
	peer_settle(LINK);
	equal(10, receive32(low, self->link.ws, sizeof(low->bytes), sizeof(low->cmsg) + 2 * sizeof(*low->batch)));
	expect_record32(low, WEBSOCKET_BATCH, 2 * sizeof(*low->batch));
	equal(MSG_EOR, low->h.flags);
	equal(3, low->batch[0].len);
	equal(OP_TEXT, low->batch[0].opcode);
	equal(7, low->batch[1].len);
	equal(OP_BINARY, low->batch[1].opcode);
	check(!memcmp(low->bytes, "oneand two", 10));
	for (i = 0; i < 2; i++) {
		equal(10, send32(low, self->link.ws, "oneand two", WEBSOCKET_BATCH, 2 * sizeof(*low->batch)));
		wire_expect(WIRE, OP_TEXT, true, "one", 3);
		wire_expect(WIRE, OP_BINARY, true, "and two", 7);
	}
	/* no room for an entry: a message a call */
	equal(4, receive32(low, self->link.ws, sizeof(low->bytes), sizeof(low->cmsg)));
	equal(MSG_EOR | MSG_CTRUNC, low->h.flags);
}

CASE(compat, sends_and_options)
{
	struct low *low = new_low();

	low->opcode = OP_TEXT;
	equal(4, send32(low, self->link.ws, "text", WEBSOCKET_OPCODE, 1));
	wire_expect(WIRE, OP_TEXT, true, "text", 4);
	low->config = (struct websocket_config){ .flags = variant->shape.client ? WEBSOCKET_F_CLIENT : 0, .max_message = 1ULL << 40 };
	must(i386(I386_SETSOCKOPT, self->link.ws, SOL_WEBSOCKET, WEBSOCKET_CONFIG, low32(&low->config), sizeof(low->config)));
	low->len = sizeof(low->config);
	must(i386(I386_GETSOCKOPT, self->link.ws, SOL_WEBSOCKET, WEBSOCKET_CONFIG, low32(&low->config), low32(&low->len)));
	equal(1ULL << 40, low->config.max_message);
	equal(10000, low->config.pong_timeout_ms);
	low->len = sizeof(low->info);
	must(i386(I386_GETSOCKOPT, self->link.ws, SOL_WEBSOCKET, WEBSOCKET_INFO, low32(&low->info), low32(&low->len)));
	equal(sizeof(low->info), low->len);
	equal(1, low->info.tx_messages);
	equal(4, low->info.tx_bytes);
	put(OUT, .opcode = OP_BINARY, .text = "five5");
	peer_write(LINK);
	peer_settle(LINK);
	must(i386(I386_IOCTL, self->link.ws, FIONREAD, low32(&low->number), 0, 0));
	equal(5, low->number);
}
#endif

SELFTEST_MAIN
