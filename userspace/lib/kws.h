/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * libkws: the user-space half of WebSocket in the kernel (RFC 6455).
 *
 * The kernel module "websocket" speaks frames; this library does what comes before them, the HTTP upgrade, and
 * wraps the calls whose ancillary data is tedious to write. <linux/websocket.h> is the manual of the socket itself.
 *
 * A SERVER, one connection at a time:
 *
 *	int fd = accept(listener, NULL, NULL);
 *	int err = kws_accept(fd, NULL);				// HTTP head, 101, TCP_ULP, WEBSOCKET_CONFIG
 *
 *	while (!err) {
 *		struct kws_message msg;
 *		ssize_t n = kws_recv(fd, buf, sizeof(buf), 0, &msg);
 *
 *		if (n < 0 || kws_is_end(&msg))
 *			break;
 *		kws_send(fd, msg.opcode, buf, n, msg.end ? 0 : MSG_MORE);
 *	}
 *	close(fd);
 *
 * A CLIENT:
 *
 *	int fd = kws_connect("ws://localhost:8080/chat", NULL);
 *
 * AN EVENT LOOP takes the handshake step by step:
 *
 *	struct kws_handshake *hs = kws_accept_start(fd, NULL);
 *
 *	// whenever fd is ready, and once more when kws_handshake_timeout(hs) milliseconds are over:
 *	switch (kws_handshake_run(hs)) {
 *	case KWS_WANT_READ:	wait for EPOLLIN; break;
 *	case KWS_WANT_WRITE:	wait for EPOLLOUT; break;
 *	case KWS_REQUEST:	look at it, choose or refuse, run again; break;
 *	case KWS_DONE:		kws_handshake_free(hs); fd is a message socket now; break;
 *	default:		kws_handshake_free(hs); close(fd);	// refused, or failed
 *	}
 *
 * How the head is read. Bytes are looked at with MSG_PEEK and given to the HTTP parser, and then exactly those that
 * it took are read. What follows the head (a fast client sends frames at once) is never touched, and of an incomplete
 * head nothing stays behind, so level-triggered polling does not spin.
 *
 * Errors are negative errno values. kws_strerror() says what each means here and what to do about it. No function
 * prints, exits, installs a signal handler or closes a descriptor that it did not open. A handshake may be used by one
 * thread at a time; different ones are independent.
 */
#ifndef KWS_H
#define KWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <linux/websocket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KWS_API __attribute__((visibility("default")))

struct kws_handshake;

/* What kws_handshake_run() and kws_handshake_wait() return when it is not a negative errno. */
#define KWS_DONE	0	/* the connection is upgraded */
#define KWS_WANT_READ	1	/* run again when the socket is readable */
#define KWS_WANT_WRITE	2	/* run again when the socket is writable */
#define KWS_REQUEST	3	/* server: the request is there; running again accepts it */
#define KWS_REFUSED	4	/* the answer was not 101: see kws_handshake_status(), then close the socket */

/* Flags of struct kws_options. */
#define KWS_F_NO_START	(1U << 0)	/* only the HTTP part: do not touch the kernel's WebSocket options */
#define KWS_F_PLAIN	(1U << 1)	/* server: show requests without an upgrade too, see kws_handshake_answer() */
#define KWS_F_PROXY	(1U << 2)	/* server: the connection comes from a proxy and begins with the PROXY protocol */

/**
 * struct kws_options - how to do a handshake; NULL or zeros mean the defaults
 * @max_head: bytes of HTTP head accepted from the peer, 1 to 1048576; 0: 16384. A longer request is answered with 431.
 * @timeout_ms: for the whole handshake, connecting included; 0: 10000. A late request is answered with 408.
 * @flags: KWS_F_*
 * @config: for WEBSOCKET_CONFIG; NULL: the defaults. A client's WEBSOCKET_F_CLIENT is added by the library.
 * @subprotocols: names with commas between them, the best first. A server takes its first one that the client offers;
 *	a client offers them all. NULL: none. No name may stand there twice (RFC 6455 4.1), and no more than 64 in all;
 *	a request that offers more is answered with 400.
 * @origin: client: the Origin header; NULL: none
 * @headers: client: further headers, "Name: value" each, NULL after the last; NULL: none
 * @why: buffer for one line of English that says why kws_accept() or kws_connect() failed, or NULL
 * @why_size: its size in bytes
 *
 * All is copied when the handshake starts; only @why has to live as long as the call.
 */
struct kws_options {
	size_t max_head;
	unsigned int timeout_ms;
	unsigned int flags;
	const struct websocket_config *config;
	const char *subprotocols;
	const char *origin;
	const char *const *headers;
	char *why;
	size_t why_size;
};

/*
 * The handshake in one call
 */

/**
 * kws_accept - upgrade a connection that a client opened
 * @fd: connected TCP socket from which nothing was read yet
 * @opt: options, or NULL
 *
 * Blocks, whatever the socket's own mode is, at most for the options' time. Every acceptable request is accepted
 * (RFC 6455 4.2); use kws_accept_start() to decide.
 *
 * Return: 0: @fd is a message socket. -EBADMSG: the request was no acceptable upgrade and has been answered;
 * -EMSGSIZE: its head was too long; -ETIMEDOUT; -ECONNRESET: the client left; -ENOENT: the module is not loaded;
 * -EINVAL: bad options; -ENOMEM; or what TCP_ULP and WEBSOCKET_CONFIG return. Close @fd on errors.
 */
KWS_API int kws_accept(int fd, const struct kws_options *opt);

/**
 * kws_connect - connect to a WebSocket server
 * @url: "ws://host[:port][/path][?query]"; the host is a name, an IPv4 address or an IPv6 address in brackets
 * @opt: options, or NULL
 *
 * The connection is established, or has failed, when this returns: so a program that calls it again and again makes one
 * connection after the other, as RFC 6455 4.1 wants it. Threads and processes know nothing of each other here, nor do handshakes
 * begun with kws_connect_start(): that no two of them connect to the same address at the same time is up to the program.
 *
 * The addresses of a name are tried in turn, each for its share of the time that is left. Looking up the name counts, but is
 * not cut short by the time limit: it takes what the resolver takes (resolv.conf(5)).
 *
 * Return: a message socket in the client role, blocking, close-on-exec. -EINVAL: not such a URL, or bad options;
 * -EPROTONOSUPPORT: wss; -EHOSTUNREACH: the name is unknown; -ECONNREFUSED: nobody listens there, or the server
 * answered with another status than 101; -EPROTO: its 101 is not valid; -EMSGSIZE: its head was too long;
 * -ETIMEDOUT; -ECONNRESET; -ENOENT: the module is not loaded; or the errors of connect(), TCP_ULP and WEBSOCKET_CONFIG.
 */
KWS_API int kws_connect(const char *url, const struct kws_options *opt);

/*
 * The handshake step by step
 */

/**
 * kws_accept_start - begin the server's side of a handshake
 * @fd: connected TCP socket, blocking or not, from which nothing was read yet. It stays the caller's.
 * @opt: options, or NULL
 *
 * Return: the handshake, to be freed with kws_handshake_free(); NULL with errno EINVAL or ENOMEM.
 */
KWS_API struct kws_handshake *kws_accept_start(int fd, const struct kws_options *opt);

/**
 * kws_connect_start - begin the client's side of a handshake
 * @fd: connected TCP socket, blocking or not
 * @url: as for kws_connect(); the host is only named in the request, not looked up
 * @opt: options, or NULL
 *
 * Return: as kws_accept_start(); errno EPROTONOSUPPORT: wss.
 */
KWS_API struct kws_handshake *kws_connect_start(int fd, const char *url, const struct kws_options *opt);

/**
 * kws_handshake_run - go on as far as possible without blocking
 *
 * Good for level- and edge-triggered polling. After KWS_DONE, KWS_REFUSED and errors it keeps returning the same.
 * A refusal ends with shutdown(SHUT_WR) and up to a second in which the client can fetch the answer. Over the kernel's TLS (libkws-tls)
 * it ends with close_notify, and while close() would cut the answer off the client has a second from when it last took some of it, and
 * ten in all.
 *
 * Return: KWS_*, or an errno as kws_accept() and kws_connect() have (-EBADMSG, -EMSGSIZE, -ETIMEDOUT and a missing
 * module show as KWS_REFUSED here once they were answered; kws_handshake_error() has them).
 */
KWS_API int kws_handshake_run(struct kws_handshake *hs);

/* kws_handshake_wait - the same, but block instead of returning KWS_WANT_READ or KWS_WANT_WRITE. */
KWS_API int kws_handshake_wait(struct kws_handshake *hs);

/* kws_handshake_timeout - milliseconds until kws_handshake_run() has to be called even if nothing happens; 0: now. */
KWS_API int kws_handshake_timeout(const struct kws_handshake *hs);

/* kws_handshake_free - forget it; the socket stays open. NULL is allowed. */
KWS_API void kws_handshake_free(struct kws_handshake *hs);

/*
 * What the peer said. Strings live until kws_handshake_free(). Before the head is complete (server: KWS_REQUEST,
 * client: KWS_DONE or KWS_REFUSED) there is nothing to see: NULL, 0 or false.
 */

/* kws_handshake_target - server: the request target as sent, "/chat?room=1" (or the absolute form, RFC 9112 3.2.2). */
KWS_API const char *kws_handshake_target(const struct kws_handshake *hs);

/* kws_handshake_header - value of the @index-th header line (from 0) of that name, in any case; NULL: not there. */
KWS_API const char *kws_handshake_header(const struct kws_handshake *hs, const char *name, unsigned int index);

/* kws_handshake_header_at - the @index-th header line of all (from 0); false: there are not so many. */
KWS_API bool kws_handshake_header_at(const struct kws_handshake *hs, unsigned int index, const char **name,
				     const char **value);

/* kws_handshake_offered - server: the @index-th subprotocol (from 0) that the client offers; NULL: no more. */
KWS_API const char *kws_handshake_offered(const struct kws_handshake *hs, unsigned int index);

/**
 * kws_handshake_client - server with KWS_F_PROXY: the client's address, as the proxy gives it (PROXY protocol 1 or 2)
 *
 * A connection that does not begin with the PROXY protocol ends with -EBADMSG and gets no answer. Only let the proxy
 * connect: anybody who can reach the port can claim any address.
 *
 * Return: the address's length; 0: the proxy names none (its own health check), or was not heard yet.
 */
KWS_API socklen_t kws_handshake_client(const struct kws_handshake *hs, struct sockaddr_storage *addr);

/* kws_handshake_is_upgrade - server: false for a request shown only because of KWS_F_PLAIN. */
KWS_API bool kws_handshake_is_upgrade(const struct kws_handshake *hs);

/* kws_handshake_subprotocol - the one that is agreed on (server: as chosen so far); NULL: none. RFC 6455 1.9. */
KWS_API const char *kws_handshake_subprotocol(const struct kws_handshake *hs);

/* kws_handshake_status - the HTTP status sent (server) or received (client); 0: none so far. */
KWS_API int kws_handshake_status(const struct kws_handshake *hs);

/* kws_handshake_error - why it did not succeed, a negative errno; 0: it did, or is under way, or the caller refused. */
KWS_API int kws_handshake_error(const struct kws_handshake *hs);

/* kws_handshake_message - the same as one line of English without a full stop; "" where kws_handshake_error() is 0. */
KWS_API const char *kws_handshake_message(const struct kws_handshake *hs);

/*
 * What a server can do between KWS_REQUEST and the next kws_handshake_run(). At any other time: -EINVAL.
 */

/* kws_handshake_choose - take this subprotocol, or none (NULL). -EINVAL: the client does not offer it. */
KWS_API int kws_handshake_choose(struct kws_handshake *hs, const char *subprotocol);

/**
 * kws_handshake_add_header - one more header for the answer, whatever it will be
 * Return: 0; -EINVAL: not a header, or one that the library writes itself; -ENOMEM.
 */
KWS_API int kws_handshake_add_header(struct kws_handshake *hs, const char *name, const char *value);

/**
 * kws_handshake_answer - answer with something else than 101
 * @status: 200 to 599
 * @type: Content-Type; NULL: text/plain
 * @body, @len: what to send; copied. NULL: the status in words.
 *
 * The connection is not kept: close it after KWS_REFUSED.
 *
 * Return: 0; -EINVAL: no such status, or no header value; -ENOMEM.
 */
KWS_API int kws_handshake_answer(struct kws_handshake *hs, int status, const char *type, const void *body, size_t len);

/*
 * The socket
 */

/**
 * kws_attach - setsockopt(TCP_ULP): make the kernel's protocol ready; the socket is still plain TCP
 * Return: 0; -ENOENT: the module is not loaded; -EEXIST, -ENOTCONN, -EOPNOTSUPP, -EBUSY, -ENOMEM: <linux/websocket.h>.
 */
KWS_API int kws_attach(int fd);

/**
 * kws_start - setsockopt(WEBSOCKET_CONFIG): from here on the socket carries messages; or change limits later
 * @config: NULL: server role, defaults
 * Return: 0; -ENOPROTOOPT: kws_attach() did not come first; -EINVAL, -E2BIG, -ENOTCONN: <linux/websocket.h>.
 */
KWS_API int kws_start(int fd, const struct websocket_config *config);

/**
 * struct kws_message - what kws_recv() got
 * @opcode: WEBSOCKET_OP_*; WEBSOCKET_OP_CLOSE at the end of the connection; 0: nothing
 * @begin: the first byte of the message is among them (or it is empty)
 * @end: the last one is
 * @close_code: at the end of the connection: the peer's code, 1005: none in its Close, 1006: no Close
 * @frame_left: bytes of the current frame still to be read
 */
struct kws_message {
	uint8_t opcode;
	bool begin;
	bool end;
	uint16_t close_code;
	uint64_t frame_left;
};

/* kws_is_end - the connection has ended (close_code 1006: without Close), and not by an error; this is no message. */
static inline bool kws_is_end(const struct kws_message *msg)
{
	return msg->opcode == WEBSOCKET_OP_CLOSE;
}

/**
 * kws_recv - receive one message, or a part of it where it is larger than @len or than TCP can hold
 * @flags: of recvmsg(): MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL
 * @msg: filled in, also on errors (then with zeros)
 *
 * One message with WEBSOCKET_F_BATCH too; msg->frame_left is 0 then where it is not known.
 *
 * Return: bytes. 0 is an empty message, or the end: ask kws_is_end(). -EAGAIN, -EINTR, -EFAULT, or why the connection
 * failed: -EPROTO, -EILSEQ, -EMSGSIZE, -ETIMEDOUT, -ECONNRESET, -EPIPE, and what else <linux/websocket.h> lists.
 */
KWS_API ssize_t kws_recv(int fd, void *buf, size_t len, int flags, struct kws_message *msg);

/**
 * kws_send - send one message, or a part of one
 * @opcode: WEBSOCKET_OP_*; 0: go on with the open message, or the socket's default
 * @flags: of sendmsg(): MSG_MORE: more of this message follows; MSG_DONTWAIT. MSG_NOSIGNAL is implied.
 *
 * Return: bytes taken. Fewer than @len (non-blocking, signal): the message is still open, send the rest with opcode 0.
 * -EAGAIN: nothing was taken; -EINVAL: an opcode that does not fit the open message; -EMSGSIZE: a control frame of more
 * than 125 bytes; -EPIPE: after Close; -EINTR, -EFAULT, -ENOMEM, or why the connection failed.
 */
KWS_API ssize_t kws_send(int fd, int opcode, const void *buf, size_t len, int flags);

/**
 * kws_close - send Close; the peer's messages can still be received until kws_is_end()
 * @code: RFC 6455 7.4: 1000 to 1003, 1007 to 1014, 3000 to 4999; 0: none
 * @reason: UTF-8, at most 123 bytes; NULL: none
 *
 * Does not close @fd.
 *
 * Return: 0; -EINVAL: a code that must not be sent, a reason without a code, one that is not UTF-8; -EMSGSIZE: too long
 * a reason; -EPIPE: Close was sent or received before; or why the connection failed.
 */
KWS_API int kws_close(int fd, uint16_t code, const char *reason);

/* kws_close_reason - the reason in the peer's Close, with a NUL, at most 124 bytes. Return: its length, or -errno. */
KWS_API int kws_close_reason(int fd, char *buf, size_t size);

/* kws_info - getsockopt(WEBSOCKET_INFO); what this kernel does not know is 0. Return: 0 or -errno. */
KWS_API int kws_info(int fd, struct websocket_info *info);

/**
 * kws_recv_batch - receive what is there and fits: whole messages, back to back (needs WEBSOCKET_F_BATCH)
 * @batch: filled in, one entry a message
 * @count: in: entries that @batch has room for, at least 1 (WEBSOCKET_BATCH_MAX suffice); out: entries filled in
 * @msg: as for kws_recv(); describes the message when there is one, and tells the end
 *
 * A message that is larger than @len comes in parts, as the only entry, flagged with what of it that is. With room for one entry
 * msg->frame_left is not known, and 0.
 *
 * Return: bytes, or -errno as kws_recv(). @count 0: the end, if kws_is_end(@msg).
 */
KWS_API ssize_t kws_recv_batch(int fd, void *buf, size_t len, int flags, struct websocket_batch *batch,
			       unsigned int *count, struct kws_message *msg);

/**
 * kws_send_batch - send several whole messages with one call
 * @buf, @len: their bytes, back to back
 * @batch, @count: their lengths and opcodes, 1 to WEBSOCKET_BATCH_MAX
 *
 * Return: bytes taken, -errno as kws_send(); -EINVAL also when the lengths do not add up to @len. Fewer than @len ends
 * at a message boundary, unless not even the first fitted, or a blocking call gave up amid a later one: that is then open.
 * Whether an empty message behind that boundary was sent does not show: send those alone where a call may be short.
 */
KWS_API ssize_t kws_send_batch(int fd, const void *buf, size_t len, int flags, const struct websocket_batch *batch,
			       unsigned int count);

/*
 * Connections, over the kernel's protocol or without it
 *
 * A struct kws_conn is a WebSocket whichever engine runs it: the kernel's protocol where it is there, or else the same protocol in
 * this library, over the same code (kmod/core). Messages, opcodes, close codes and errors are the same. What differs:
 *
 *	- The library's engine works only when it is called: a ping that comes while the program does something else waits,
 *	  and so does the keep-alive of struct websocket_config. In an event loop call kws_conn_run() when kws_conn_timeout() is over.
 *	- It reads ahead, so poll() on the descriptor does not know of every message. Right for both engines is: when poll() says that
 *	  the descriptor is ready, call kws_conn_recv() with MSG_DONTWAIT until it returns -EAGAIN, the end or an error; or ask
 *	  kws_conn_pending() before going back to poll(). Poll for kws_conn_events(): EPOLLOUT is among them while something waits to
 *	  be sent.
 *	- Its state is in the process: it ends with the process, and cannot be handed over. Nothing is buffered for an idle
 *	  connection.
 *	- One thread at a time may use a connection.
 *
 *	struct kws_conn *c = kws_conn_accept(accept(listener, NULL, NULL), NULL);
 *	struct kws_message msg;
 *
 *	while (c && (n = kws_conn_recv(c, buf, sizeof(buf), 0, &msg)) >= 0 && !kws_is_end(&msg))
 *		kws_conn_send(c, msg.opcode, buf, n, msg.end ? 0 : MSG_MORE);
 *	kws_conn_free(c);
 */

struct kws_conn;

/* Which engine runs a connection. */
#define KWS_ENGINE_ANY		0	/* the kernel's if it can be had; $KWS_ENGINE, "kernel" or "user", decides otherwise */
#define KWS_ENGINE_KERNEL	1
#define KWS_ENGINE_USER		2

/**
 * kws_conn_new - a connection from a descriptor on which the HTTP part is done
 * @fd: after a handshake with KWS_F_NO_START; or a socket on which the kernel's protocol runs already (handed over, say): it goes on
 * @config: limits and role; NULL: server role, defaults (or what is in force on a running socket)
 * @engine: KWS_ENGINE_*
 *
 * From here on @fd belongs to the connection.
 *
 * Return: the connection; NULL with errno, and @fd is the caller's still: EINVAL, ENOTCONN, ENOMEM as kws_attach() and kws_start();
 * with KWS_ENGINE_KERNEL also ENOENT and the like.
 */
KWS_API struct kws_conn *kws_conn_new(int fd, const struct websocket_config *config, int engine);

/**
 * kws_conn_accept, kws_conn_connect - as kws_accept() and kws_connect(), for both engines
 *
 * Return: the connection; NULL with errno as those have it. A server's @fd is the caller's still then.
 */
KWS_API struct kws_conn *kws_conn_accept(int fd, const struct kws_options *opt);
KWS_API struct kws_conn *kws_conn_connect(const char *url, const struct kws_options *opt);

/**
 * kws_conn_free - close() of the connection, with all that the kernel's does
 *
 * Sends Close (1000) if none was sent and no message is unread; resets the connection if one is. NULL is allowed.
 *
 * Only the kernel goes on sending behind it. With the library's engine what TCP has no room for is lost, and the peer sees the end
 * inside a message: kws_conn_close() first, and kws_conn_free() when kws_conn_recv() has said the end, loses nothing.
 */
KWS_API void kws_conn_free(struct kws_conn *c);

/**
 * kws_conn_detach - forget the object, keep the socket
 * Return: the descriptor, which is the caller's again; -EOPNOTSUPP: the library's engine runs it, nothing has happened.
 */
KWS_API int kws_conn_detach(struct kws_conn *c);

/* kws_conn_fd - the descriptor, for poll() only. */
KWS_API int kws_conn_fd(const struct kws_conn *c);

/* kws_conn_engine - KWS_ENGINE_KERNEL or KWS_ENGINE_USER. */
KWS_API int kws_conn_engine(const struct kws_conn *c);

/* kws_conn_events - what to poll() for: POLLIN, and POLLOUT while something waits to be sent. EPOLLIN and EPOLLOUT are the same. */
KWS_API short kws_conn_events(const struct kws_conn *c);

/* kws_conn_timeout - milliseconds until kws_conn_run() has to be called though nothing happens; 0: now, -1: never. */
KWS_API int kws_conn_timeout(const struct kws_conn *c);

/**
 * kws_conn_run - do what can be done without blocking: pings answered, what waits sent, time limits kept
 * Return: 0: call kws_conn_recv() when poll() says so; 1: kws_conn_recv() has something to say now. Errors are told there.
 */
KWS_API int kws_conn_run(struct kws_conn *c);

/* kws_conn_pending - would kws_conn_recv() return a message, the end or an error at once? Asks without reading from the socket. */
KWS_API bool kws_conn_pending(const struct kws_conn *c);

/*
 * As the calls of the same names above, with a connection in place of the descriptor. The descriptor's O_NONBLOCK, SO_RCVTIMEO and
 * SO_SNDTIMEO count for both engines.
 */
KWS_API ssize_t kws_conn_recv(struct kws_conn *c, void *buf, size_t len, int flags, struct kws_message *msg);
KWS_API ssize_t kws_conn_send(struct kws_conn *c, int opcode, const void *buf, size_t len, int flags);
KWS_API ssize_t kws_conn_recv_batch(struct kws_conn *c, void *buf, size_t len, int flags, struct websocket_batch *batch,
				    unsigned int *count, struct kws_message *msg);
KWS_API ssize_t kws_conn_send_batch(struct kws_conn *c, const void *buf, size_t len, int flags,
				    const struct websocket_batch *batch, unsigned int count);
KWS_API int kws_conn_close(struct kws_conn *c, uint16_t code, const char *reason);
KWS_API int kws_conn_close_reason(struct kws_conn *c, char *buf, size_t size);
KWS_API int kws_conn_info(struct kws_conn *c, struct websocket_info *info);
/* kws_start() on a running connection: other limits and timers, not another role. NULL: a server's defaults. */
KWS_API int kws_conn_configure(struct kws_conn *c, const struct websocket_config *config);

/*
 * Handing over: a server's successor goes on with its sockets, in the middle of messages too
 *
 * A handover is a list of descriptors, each with a name, and some bytes: what the application must know of them (names, rooms).
 * The old process fills one and gives it away; the new one gets it and takes what is in it.
 *
 *	old:	h = kws_handover_new();
 *		kws_handover_add(h, fd, "client");		// for each socket
 *		kws_handover_state(h, state, len);
 *		kws_handover_send(h, "/run/my.sock", 10000);	// waits for the successor
 *		exit(0);
 *
 *	new:	h = kws_handover_receive("/run/my.sock", 1000);	// NULL: there is no predecessor
 *		for (i = 0; (fd = kws_handover_take(h, i, &name)) >= 0; i++)
 *			...
 *
 * Under systemd the manager keeps them, also when the process dies: kws_handover_store() instead of kws_handover_send(), whenever a
 * socket comes or the state changes, and kws_handover_stored() at the start. The unit needs FileDescriptorStoreMax=.
 *
 * Connections of the library's own engine (KWS_ENGINE_USER) cannot be handed over.
 */

struct kws_handover;

/* kws_handover_new - an empty one. NULL: errno ENOMEM. */
KWS_API struct kws_handover *kws_handover_new(void);

/* kws_handover_free - forget it, and close the descriptors in it that were not taken or added by the caller. NULL is allowed. */
KWS_API void kws_handover_free(struct kws_handover *h);

/**
 * kws_handover_add - put a descriptor in; it stays the caller's
 * @name: 1 to 31 bytes of [a-zA-Z0-9_.-], not "kws.state": what it is; NULL: "socket"
 * Return: its index, from 0; -EINVAL; -ENOMEM.
 */
KWS_API int kws_handover_add(struct kws_handover *h, int fd, const char *name);

/* kws_handover_state - what the application itself has to keep; copied (to a memfd). Return: 0 or -errno. */
KWS_API int kws_handover_state(struct kws_handover *h, const void *state, size_t len);

/* kws_handover_get_state - that of the predecessor; NULL: there is none, or it is empty. Lives as long as @h. */
KWS_API const void *kws_handover_get_state(const struct kws_handover *h, size_t *len);

/* kws_handover_count - descriptors in it. */
KWS_API unsigned int kws_handover_count(const struct kws_handover *h);

/**
 * kws_handover_take - a descriptor out of it, which is the caller's from then on
 * @name: set to its name, which lives as long as @h; may be NULL
 * Return: the descriptor, close-on-exec; -ENOENT: no such index; -EBADF: it was taken before.
 */
KWS_API int kws_handover_take(struct kws_handover *h, unsigned int index, const char **name);

/**
 * kws_handover_send - give it to the process that asks for it at a Unix socket
 * @path: made, with mode 0600, and removed again; an old one is replaced
 * @timeout_ms: how long to wait for the successor; -1: for ever
 *
 * Returns when the successor has all of it. Messages that come meanwhile wait in their sockets; the kernel answers the pings.
 *
 * Return: 0; -ETIMEDOUT: nobody came, or who came stalled for 10 s; -EPERM: somebody else's process came; -EINVAL: a descriptor of
 * kws_handover_stored() has a name that kws_handover_add() would not take; or what the socket calls say. On errors everything is
 * still here.
 */
KWS_API int kws_handover_send(struct kws_handover *h, const char *path, int timeout_ms);

/**
 * kws_handover_receive - ask the predecessor
 * @timeout_ms: how long to wait until it listens at @path; 0: it listens, or there is none
 * Return: the handover; NULL with errno ENOENT: no predecessor; EPERM: who listens there is neither root nor of our own
 * (effective) user; ETIMEDOUT: it stalled for 10 s while it sent; EPROTO: what came is no handover; ENOMEM; or what the socket calls say.
 */
KWS_API struct kws_handover *kws_handover_receive(const char *path, int timeout_ms);

/*
 * kws_handover_send_fd, kws_handover_receive_fd - the same over a connected Unix stream socket. Who is at its other end is
 * not looked at, and time limits are those of the socket (SO_RCVTIMEO, SO_SNDTIMEO: -ETIMEDOUT).
 */
KWS_API int kws_handover_send_fd(struct kws_handover *h, int sock);
KWS_API struct kws_handover *kws_handover_receive_fd(int sock);

/**
 * kws_handover_notify - what sd_notify() does: a state for the service manager, perhaps with a descriptor
 * @state: "READY=1", "FDSTORE=1\nFDNAME=client" and the like: sd_notify(3)
 * @fd: -1: none
 * Return: 1: sent; 0: no service manager listens ($NOTIFY_SOCKET is not set); -errno.
 */
KWS_API int kws_handover_notify(const char *state, int fd);

/**
 * kws_handover_store - give one descriptor to the service manager to keep; kws_handover_forget - it need not any longer, by name
 * Return: as kws_handover_notify()
 */
KWS_API int kws_handover_store(int fd, const char *name);
KWS_API int kws_handover_forget(const char *name);

/**
 * kws_handover_stored - what the service manager kept ($LISTEN_FDS), sockets that it listens on for us among it
 *
 * Names are the manager's, of up to 255 bytes; that of a socket unit is the whole name of the unit if FileDescriptorName= gives no
 * other.
 *
 * Return: the handover, perhaps empty; NULL with errno ENOMEM.
 */
KWS_API struct kws_handover *kws_handover_stored(void);

/* kws_strerror - what an errno (of either sign) of this library means and what to do about it; never NULL, static. */
KWS_API const char *kws_strerror(int err);

#ifdef __cplusplus
}
#endif

#endif /* KWS_H */
