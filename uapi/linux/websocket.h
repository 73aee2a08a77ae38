/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * WebSocket (RFC 6455) as a TCP upper layer protocol: the user interface.
 *
 * IN SHORT
 *
 * A program does the HTTP upgrade itself, on an ordinary connected TCP socket. Then it turns the socket into a
 * message socket:
 *
 *	setsockopt(fd, SOL_TCP, TCP_ULP, "websocket", sizeof("websocket") - 1);
 *	struct websocket_config cfg = { .flags = 0 };		  // server role, safe defaults
 *	setsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_CONFIG, &cfg, sizeof(cfg)); // the protocol starts here
 *
 * From then on recvmsg() returns whole, unmasked, validated messages, sendmsg() sends one message, poll() says
 * readable only when a message is there, and the kernel answers pings, keeps the connection alive and runs the
 * closing handshake. There are no raw bytes any more, in either direction.
 *
 * ATTACH (TCP_ULP) AND START (WEBSOCKET_CONFIG)
 *
 * Between the two calls the socket is plain TCP (but cannot be disconnected, listen or enter TCP_REPAIR). The first
 * WEBSOCKET_CONFIG starts the protocol atomically: what is already queued is taken as frames, so the HTTP head must
 * have been read up to exactly its last byte, and frames that came with it are not lost. Later WEBSOCKET_CONFIG calls
 * may change limits, timers and flags, not the role; WEBSOCKET_F_NO_UTF8 counts from the next message on. The start succeeds
 * also when bad frames or the peer's end are queued: receiving tells of them. It sets TCP_NODELAY and SO_OOBINLINE. Before it,
 * WEBSOCKET_CONFIG reads as zeros. TCP_INQ and TCP_ZEROCOPY_RECEIVE are
 * EOPNOTSUPP from TCP_ULP on. getsockopt() fills a buffer that is too small as far as it goes, and returns that length.
 *
 *	TCP_ULP		ENOENT		the module is not loaded, and the caller may not load it (CAP_NET_ADMIN)
 *			EEXIST		the socket has an upper layer protocol
 *			ENOTCONN	not ESTABLISHED or CLOSE_WAIT
 *			EOPNOTSUPP	not a plain TCP socket (TCP_REPAIR, operations that somebody replaced)
 *			EBUSY		the socket belongs to another kernel user (KCM, a sockmap; see websocket(7))
 *			ENOMEM
 *	WEBSOCKET_CONFIG EINVAL		shorter than 4 bytes, an unknown flag, a time above WEBSOCKET_MAX_MS, a change of role
 *			E2BIG		longer than this kernel knows, and not zero there; longer than a page
 *			ENOTCONN	the connection ended before the start
 *			EFAULT
 *
 * OVER TLS (WEBSOCKET_ATTACH)
 *
 * wss: user space does the TLS handshake and the HTTP upgrade, gives the keys to the kernel (TCP_ULP "tls", then TLS_TX and
 * TLS_RX; TLS 1.2 or 1.3), and then
 *
 *	setsockopt(fd, SOL_IP, WEBSOCKET_ATTACH, &cfg, sizeof(cfg));	  // IPv6 too; there SOL_IPV6 does as well
 *
 * puts the protocol on top of TLS, and starts it. What comes decrypted from then on is taken as frames; the TLS library must have
 * read the HTTP head to its last byte and nothing behind it, and must not be used on the socket any more. Everything below
 * holds as for plain TCP, and nothing leaves the socket unencrypted. TLS_TX, TLS_RX and
 * TLS_RX_EXPECT_NO_PAD, which the attach sets, are EBUSY from then on.
 *
 *	WEBSOCKET_ATTACH ENOPROTOOPT	the module is not loaded, or its kernel has no TLS or no netfilter
 *			EUNATCH		the socket has no upper layer protocol
 *			EEXIST		it has one that is not "tls", or this one already
 *			ENOKEY		TLS_TX or TLS_RX is missing
 *			EOPNOTSUPP	not a TCP socket; a network card encrypts or decrypts; operations that somebody replaced
 *			EBUSY		as above, or a thread waits in recv() or send() on it
 *			ENOTCONN, ENOMEM, EINVAL, E2BIG, EFAULT	as above
 *
 * TLS' close_notify and a FIN without it are both the end of the stream (close_code 1006 unless Close came before). These fail
 * the connection: a record that is broken or that cannot be decrypted, EBADMSG; an alert, ECONNABORTED; a KeyUpdate,
 * EKEYEXPIRED, for the keys cannot be changed any more. Close, shutdown() and close() send close_notify before FIN.
 *
 * On a socket without this protocol the options of level SOL_WEBSOCKET fail with ENOPROTOOPT; for getsockopt() on IPv4, TCP says
 * EOPNOTSUPP. A listening or unconnected socket cannot have it, nor can an MPTCP socket (ENOPROTOOPT from TCP_ULP).
 *
 * RECEIVING
 *
 * One recvmsg() returns bytes of exactly one message. MSG_EOR is set with its last byte; a caller tests MSG_EOR,
 * because a message that TCP cannot hold (larger than the receive buffer may grow, a fixed SO_RCVBUF, memory pressure)
 * comes in several parts. A buffer that is too small gets the first part and the next call the rest: nothing is lost.
 * With a control buffer each call also gets a record SOL_WEBSOCKET/WEBSOCKET_MSG, struct websocket_msg.
 *
 *	bytes, MSG_EOR		the message, or its last part
 *	bytes, no MSG_EOR	a part; more follows
 *	0, MSG_EOR		an empty message. To a caller without a control buffer, who could not tell it from the end,
 *				empty messages are not shown (struct websocket_info counts them), nor is the empty end of a
 *				message that came in parts: such a caller should have a control buffer
 *	0, no MSG_EOR		the end. The record's opcode is WEBSOCKET_OP_CLOSE and its close_code is the peer's: 1005 if its
 *				Close had none, 1006 if the connection ended without Close.
 *	-1			EAGAIN, EINTR, EFAULT; EOPNOTSUPP for MSG_OOB and MSG_TRUNC; or the error of the connection
 *
 * Complete messages always come first (but for EPIPE, below). After them an ended connection keeps returning the same result,
 * the end or the error, however often it is asked:
 *
 *	errno		sent	why the connection failed
 *	EPROTO		1002	the peer broke the framing: mask, RSV, opcode, length, fragmentation, Close payload
 *	EILSEQ		1007	text, or a close reason, that is not UTF-8; as soon as it is there, also before the end of its
 *				message
 *	EMSGSIZE	1009	a message larger than max_message
 *	ETIMEDOUT	-	no pong, or no Close, in time; or TCP gave up
 *	ECONNRESET	-	the peer reset the connection; TCP's other errors likewise (ECONNABORTED after SOCK_DESTROY)
 *	EFAULT		1011	bytes arrived in memory that the CPU cannot read (a device's); a bad buffer of the caller is
 *				EFAULT too, once, and nothing is lost
 *	EBADMSG		-	TLS: a broken record
 *	ECONNABORTED	-	TLS: an alert
 *	EKEYEXPIRED	1011	TLS: the peer changed its keys, or, as kernels from 6.14 on see it, a handshake record began as
 *				if it did
 *	EPIPE		-	somebody else read or wrote this connection's bytes (a thread that was blocked in recv() or
 *				send() when the protocol started): the framing is lost, and what is unread with it
 *
 * A buffer of 0 bytes takes nothing but an empty message: the call waits for a message and returns 0 without MSG_EOR, with a
 * record that has the message's opcode (read() returns 0 at once). A control buffer that is too small for the record costs the
 * record alone (MSG_CTRUNC); an empty message is then shown all the same. After shutdown(SHUT_RD) what has come can be read,
 * then the end; pings and Close are still answered, but over TLS nothing is looked at any more. MSG_ERRQUEUE reads the
 * socket's error queue, as for TCP: transmit time stamps, whose SOF_TIMESTAMPING_OPT_ID counts bytes of the stream, frame
 * headers and the kernel's own control frames included. TCP_INQ is refused (EOPNOTSUPP).
 *
 * Pings are answered whatever stands unread before them, as long as the peer can send: until unread messages have filled the
 * receive buffer. Of more than 16 that arrive at once, or while 16 pongs are unacknowledged, the last ones get one pong, to the
 * latest (RFC 6455 5.5.3).
 *
 * read() and recv() work too. SIOCINQ says how many bytes of the first frame can be read now; SO_RCVLOWAT has no effect.
 * MSG_PEEK shows and changes nothing. MSG_WAITALL waits for the end of the message (or a full buffer), and takes one message
 * also with WEBSOCKET_F_BATCH; it is short after a time-out or signal, at the end, and when another reader takes the rest. By
 * io_uring it needs a control buffer (else EOPNOTSUPP): without one io_uring goes on into the next message. With
 * WEBSOCKET_F_PING or WEBSOCKET_F_PONG the peer's control frames are delivered too, as messages of that opcode; one that stands
 * between the fragments of a message splits it: the part before it comes without MSG_EOR.
 *
 * With WEBSOCKET_F_BATCH one recvmsg() returns as many whole messages as are there and fit, back to back, with one
 * record SOL_WEBSOCKET/WEBSOCKET_BATCH instead of WEBSOCKET_MSG: an array of struct websocket_batch, one entry a message, as
 * many as the control buffer holds (at most WEBSOCKET_BATCH_MAX), and MSG_EOR. A message that does not fit stays for the next
 * call; alone it comes in parts, one entry and no MSG_EOR each time but the last. The end (with WEBSOCKET_MSG) and errors are
 * reported alone. A caller without room for one entry gets one message a call, as without batches. The buffer should have room
 * for a struct websocket_msg too: the end comes with one.
 *
 * SENDING
 *
 * One sendmsg() is one message: binary, or text with WEBSOCKET_F_TEXT, or what a control message
 * SOL_WEBSOCKET/WEBSOCKET_OPCODE (one byte, WEBSOCKET_OP_*) says. MSG_MORE leaves the message open; the next send continues it
 * and needs no opcode; sendfile() does so with each piece of a file. Text is not checked: that it is UTF-8 (RFC 6455 5.6) is up
 * to the program. A record SOL_WEBSOCKET/WEBSOCKET_BATCH, in the layout in which recvmsg() gave it,
 * sends that many messages from one buffer with one push (text and binary; not with MSG_MORE, nor with io_uring's MSG_WAITALL,
 * which drops the record when it goes on after a short send).
 *
 * With WEBSOCKET_F_CORK a message that is sent while received ones can still be read waits for those that are sent behind it:
 * until one is sent with nothing left to read, or recvmsg() finds nothing to read, for two clock ticks (CONFIG_HZ) at most.
 * So a server that answers message by message sends the answers to what came together in one piece, as with TCP_CORK
 * but without the calls. Not for one that works for long on each message.
 *
 * The return value counts payload bytes. When not all of a message could be taken (non-blocking, time-out, signal) it is
 * short, and the message stays open: the next send continues it, with or without MSG_MORE. A short batch ends at a
 * message boundary, unless not even its first message fitted, or a blocking call gave up (time-out, signal, error) amid a later
 * one. Whether empty messages at that boundary went out does not show: where a batch may be short, they are better sent alone.
 *
 * PING and PONG take at most 125 bytes. CLOSE takes nothing, or a code in network byte order and a reason in UTF-8, at most 125
 * bytes together (RFC 6455 5.5.1); after it nothing but the peer's messages and its Close is expected, and sends are EPIPE.
 *
 *	EAGAIN		nothing fits now: wait for EPOLLOUT
 *	EINVAL		an unknown opcode or record; an opcode other than the open message's; MSG_MORE with a control frame or a
 *			batch; a batch whose lengths do not add up, or while a message is open; a Close payload that RFC 6455
 *			7.4 forbids
 *	EMSGSIZE	a control frame of more than 125 bytes
 *	EPIPE		after Close or shutdown (and SIGPIPE, unless MSG_NOSIGNAL)
 *	EOPNOTSUPP	MSG_OOB, MSG_ZEROCOPY, MSG_FASTOPEN
 *	EFAULT, EINTR, ENOMEM, and the errors of the connection above, which come before EPIPE
 *
 * What is wrong with the call itself (records, an opcode other than the open message's, EMSGSIZE, EOPNOTSUPP, the address of a
 * control frame's payload) is said first, also when nothing would fit; then the connection's error or EPIPE; then a bad Close
 * payload (EINVAL); then EAGAIN; then a batch while a message is open, and the address of a message.
 *
 * ENDING
 *
 * A program that wants to close in order sends CLOSE, or calls shutdown(SHUT_WR), receives until the end, and calls close().
 * shutdown(SHUT_WR) sends Close 1000, then FIN; messages of the peer can still be read. close() sends Close (1000, or 1001
 * if the process is dying; a hint only) when no message is left unread, and resets the connection otherwise, as TCP does; with
 * SO_LINGER and a time of 0, or after ETIMEDOUT, it resets the connection and sends nothing.
 * When the peer closes, the kernel answers its Close with its code, and (server role) ends the TCP connection: at once, if the
 * program waits for messages. If messages are unread, or the program has read one and not come back, the answer waits until it
 * asks for more (a receive or poll() finds nothing before the end), so that its replies still go out; but not longer than
 * close_timeout_ms since it came or since the last read, or 250 ms when nothing is unread or half sent. The same goes for the
 * Close that a bad frame is answered with. recvmmsg() comes back by itself; io_uring's multishot requests do so up to 6.9 or so,
 * and on newer kernels these 250 ms pass.
 *
 * POLL
 *
 * EPOLLIN	a message (also an empty one, which a caller without a control buffer is not shown), or a part that recvmsg()
 *		would return, or the end, or an error
 * EPOLLRDHUP	no more messages will come: Close, FIN, failure, SHUT_RD
 * EPOLLOUT	a message may be sent, or a send would fail at once
 * EPOLLHUP	both directions ended
 * EPOLLERR	the connection failed and nothing is left to read before the error; or the error queue is not empty
 */
#ifndef _UAPI_LINUX_WEBSOCKET_H
#define _UAPI_LINUX_WEBSOCKET_H

#include <linux/types.h>

/* The level of the options and control messages below: "WS" in ASCII. */
#define SOL_WEBSOCKET		0x5753

/* Socket options. */
#define WEBSOCKET_CONFIG	1	/* set, get: struct websocket_config */
#define WEBSOCKET_INFO		2	/* get: struct websocket_info */
#define WEBSOCKET_CLOSE_REASON	3	/* get: the reason in the peer's Close, UTF-8, no NUL, 0 to 123 bytes */

/* At SOL_IP, on a socket of kTLS: attach and start in one. */
#define WEBSOCKET_ATTACH	0x5753	/* set: struct websocket_config */

/* Control messages. */
#define WEBSOCKET_MSG		16	/* receive: struct websocket_msg */
#define WEBSOCKET_OPCODE	17	/* send: one byte, WEBSOCKET_OP_* */
#define WEBSOCKET_BATCH		18	/* both: an array of struct websocket_batch */

/* RFC 6455 11.8. Continuation frames do not show: a message has its first frame's opcode. */
#define WEBSOCKET_OP_TEXT	1
#define WEBSOCKET_OP_BINARY	2
#define WEBSOCKET_OP_CLOSE	8
#define WEBSOCKET_OP_PING	9
#define WEBSOCKET_OP_PONG	10

/* Flags of struct websocket_config. */
#define WEBSOCKET_F_CLIENT	(1U << 0)	/* client role: mask what is sent, expect what comes unmasked */
#define WEBSOCKET_F_NO_UTF8	(1U << 1)	/* do not check that text is UTF-8 */
#define WEBSOCKET_F_PING	(1U << 2)	/* deliver the peer's pings too (they are answered all the same) */
#define WEBSOCKET_F_PONG	(1U << 3)	/* deliver the peer's pongs too */
#define WEBSOCKET_F_BATCH	(1U << 4)	/* one recvmsg() may return several messages */
#define WEBSOCKET_F_TEXT	(1U << 5)	/* a send without WEBSOCKET_OPCODE is text */
#define WEBSOCKET_F_CORK	(1U << 6)	/* messages sent while others are unread go out together */

#define WEBSOCKET_NO_LIMIT	(~0ULL)		/* max_message */
#define WEBSOCKET_MAX_MS	86400000U	/* the longest time that can be set: one day */
#define WEBSOCKET_BATCH_MAX	64		/* entries in one batch */

/*
 * struct websocket_config - what WEBSOCKET_CONFIG sets
 * @flags: WEBSOCKET_F_*; unknown ones are EINVAL
 * @ping_interval_ms: send a ping when nothing was received for so long. Default 0: never. The interval is jittered by up
 *	to an eighth, downwards; the kernel's timers may be late by as much.
 * @max_message: bytes of payload in one message from the peer. A larger one fails the connection (Close 1009, EMSGSIZE) when
 *	the header that announces it arrives. Default (0): 1 MiB.
 * @pong_timeout_ms: after such a ping, end the connection (ETIMEDOUT) when nothing at all was received for so long, counted
 *	anew as long as the peer's TCP takes what was sent before the ping. Default (0): 10,000.
 * @close_timeout_ms: after our Close, how long to wait for the peer's, while the socket is open; then the connection ends with
 *	ETIMEDOUT. Also how long the answer to the peer's Close may wait for the program. A client that has both waits as long
 *	for the server's FIN before it sends its own. Default (0): 5,000.
 *
 * The structure may grow at its end. A shorter one means defaults for the rest; a longer one must be zero past what the
 * kernel knows. getsockopt() returns the values in force, defaults filled in.
 */
struct websocket_config {
	__u32		flags;
	__u32		ping_interval_ms;
	__aligned_u64	max_message;
	__u32		pong_timeout_ms;
	__u32		close_timeout_ms;
};

/* Flags of struct websocket_msg and struct websocket_batch. */
#define WEBSOCKET_MSG_BEGIN	(1U << 0)	/* holds the first byte of its message (or it is empty) */
#define WEBSOCKET_MSG_END	(1U << 1)	/* holds the last byte; MSG_EOR says the same */

/*
 * struct websocket_msg - the record of one recvmsg()
 * @opcode: WEBSOCKET_OP_*; WEBSOCKET_OP_CLOSE at the end of the stream
 * @flags: WEBSOCKET_MSG_*; 0 at the end of the stream
 * @close_code: at the end of the stream the peer's code, in host byte order, 1005 (its Close had none) or 1006 (no Close came);
 *	else 0
 * @reserved: 0
 * @frame_left: payload bytes of the current frame that are still unread. With MSG_EOR always 0; otherwise 0 says only that
 *	another fragment follows.
 */
struct websocket_msg {
	__u8		opcode;
	__u8		flags;
	__u16		close_code;
	__u32		reserved;
	__aligned_u64	frame_left;
};

/*
 * struct websocket_batch - one message of a batch
 * @len: its bytes in the buffer, behind those of the messages before it
 * @opcode: WEBSOCKET_OP_*
 * @flags: WEBSOCKET_MSG_* as received. When sending they say nothing, since every entry is a whole message; other bits are EINVAL
 * @reserved: 0; must be 0 when sending
 */
struct websocket_batch {
	__u32		len;
	__u8		opcode;
	__u8		flags;
	__u16		reserved;
};

/* States of struct websocket_info. */
#define WEBSOCKET_STATE_ATTACHED	0	/* TCP_ULP was set, the protocol has not started */
#define WEBSOCKET_STATE_OPEN		1
#define WEBSOCKET_STATE_CLOSE_SENT	2	/* our Close went out first; the peer's is awaited */
#define WEBSOCKET_STATE_CLOSE_RECEIVED	3	/* the peer's came first; ours is about to go */
#define WEBSOCKET_STATE_CLOSED		4	/* both were exchanged */
#define WEBSOCKET_STATE_FAILED		5	/* see error */

/*
 * struct websocket_info - what WEBSOCKET_INFO, and INET_DIAG_ULP_INFO of sock_diag, tell
 * @state: WEBSOCKET_STATE_*
 * @reserved: 0
 * @sent_close_code: code in the Close that we sent; 1005 if it had none; 0 if none was sent
 * @received_close_code: likewise for the peer's
 * @close_reason_len: bytes of the reason in the peer's Close (WEBSOCKET_CLOSE_REASON), 0 to 123
 * @error: errno of the failed connection, positive; 0: none
 * @flags: of struct websocket_config
 * @rx_messages: messages seen complete, delivered or still unread (control frames not counted, here and below)
 * @rx_frames: data frames whose header was seen
 * @rx_bytes: payload bytes announced by those headers
 * @tx_messages: messages handed to TCP to the end
 * @tx_frames: data frames handed to TCP
 * @tx_bytes: their payload bytes
 * @rx_pings, @rx_pongs, @tx_pings, @tx_pongs: control frames. A burst of pings may be answered by one pong, to the latest
 *	of them (RFC 6455 5.5.3).
 * @rtt_us: microseconds from the last ping of the kernel's keep-alive to its pong; 0: none yet
 * @skipped_messages: empty messages not shown to a caller without a control buffer
 * @unread_bytes: bytes that can be read now, their headers included: complete messages, control frames that are delivered, and
 *	the parts of a message that comes in parts
 * @partial_bytes: payload bytes announced so far of the message that is not complete yet
 *
 * The structure may grow at its end; getsockopt() copies at most what it has and returns the length.
 */
struct websocket_info {
	__u8		state;
	__u8		reserved;
	__u16		sent_close_code;
	__u16		received_close_code;
	__u16		close_reason_len;
	__u32		error;
	__u32		flags;
	__aligned_u64	rx_messages;
	__aligned_u64	rx_frames;
	__aligned_u64	rx_bytes;
	__aligned_u64	tx_messages;
	__aligned_u64	tx_frames;
	__aligned_u64	tx_bytes;
	__u32		rx_pings;
	__u32		rx_pongs;
	__u32		tx_pings;
	__u32		tx_pongs;
	__u32		rtt_us;
	__u32		skipped_messages;
	__aligned_u64	unread_bytes;
	__aligned_u64	partial_bytes;
};

/*
 * The attribute inside INET_DIAG_ULP_INFO that holds struct websocket_info, beside INET_ULP_INFO_NAME ("websocket"; over TLS
 * "tls,websocket", and TLS' own attributes).
 * The number is far above those of include/uapi/linux/inet_diag.h.
 */
#define WEBSOCKET_ULP_INFO	0x57

#endif /* _UAPI_LINUX_WEBSOCKET_H */
