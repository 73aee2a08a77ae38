// SPDX-License-Identifier: GPL-2.0
/*
 * RFC 6455 5.5 and 7: ping and pong, the closing handshake, and what happens when a connection fails.
 *
 * DESIGN NOTES
 *
 *	state		our Close	peer's Close	sends	receives
 *	OPEN		-		-		yes	yes
 *	CLOSE_SENT	sent		-		no	yes: messages may still come before its Close
 *	CLOSE_RECEIVED	due		received	no	no
 *	CLOSED		sent		received	no	no; the server side has sent FIN (7.1.1)
 *	FAILED		sent or not	perhaps		no	no; FIN was sent (7.1.7)
 *
 * States only rise. "sent" means that TCP has it, or that it is in ws->rest behind what went before. Close is sent also into a
 * full send buffer (there is one for each connection), so it is due for longer than a moment only when memory is short; then
 * the timer tries again. FIN always follows Close: finish() sends it when Close is out.
 *
 * ENDING IN ORDER
 *
 * The peer's Close, or a bad frame, is found as it arrives, which may be ahead of a program that has messages to read, or is about
 * to answer one (RFC 6455 5.5.1: Close may wait for that). Acting on it at once would cut off the answers to messages that were in
 * order. So it becomes ws->ending, nothing behind it is looked at, and it is acted on (ws_control_settle) when the program comes
 * back for more: a receive or a poll for input finds nothing to deliver; or ends sending; or when its time is over: the time limit of
 * Close while something is unread or being sent, else IN_HAND_MS. Each read starts that time again.
 */
#include "compat/compat.h"
#include "core/mask.h"
#include "stats.h"
#include "trace.h"
#include "websocket.h"

/*
 * Pongs that may be on their way at a time. A peer that sends pings and takes no pongs would otherwise fill the send buffer
 * with them; further pings are answered by one pong, to the latest (RFC 6455 5.5.3).
 */
#define PONGS_UNACKED_MAX	16

/* How long a program may take between its last message and its next call. */
#define IN_HAND_MS		250

static const struct {
	int error;
	u16 code;
} failures[WS_FAIL_COUNT] = {
#define X(name, error, code, text) [WS_FAIL_##name] = { error, code },
	WS_FAILURES(X)
#undef X
};

static void set_state(struct sock *sk, struct ws *ws, u8 state)
{
	trace_websocket_state(sk, ws->state, state);
	WRITE_ONCE(ws->state, state);
	/* in this order, for poll: one of the two says that the end has come */
	if (state >= WEBSOCKET_STATE_CLOSE_RECEIVED)
		WRITE_ONCE(ws->ending, 0);
}

/* Keeps a pong until it can be sent; in the place of an earlier one. No memory: the ping goes unanswered, and is counted. */
static void pong_later(struct sock *sk, struct ws *ws, const u8 *data, unsigned int len)
{
	if (ws->pong)
		ws_count(sk, WS_STAT_PINGS_COALESCED);
	else
		ws->pong = kmalloc(sizeof(*ws->pong), GFP_ATOMIC | __GFP_NOWARN);
	if (!ws->pong) {
		ws_count(sk, WS_STAT_PONGS_LOST);
		return;
	}
	ws_count(sk, WS_STAT_PONGS_DELAYED);
	ws->pong->len = len;
	memcpy(ws->pong->data, data, len);
}

static int pong_now(struct sock *sk, struct ws *ws, const u8 *data, unsigned int len)
{
	int err;

	/* everything sent before the last pong is acknowledged: the account starts again. Over TLS it may not even be sent */
	if (ws_tx_acked(sk, ws->pong_seq) && !(ws_over_tls(ws) && ws_tls_pong_waits(ws)))
		ws->pongs_unacked = 0;
	if (ws->pongs_unacked >= PONGS_UNACKED_MAX) {
		if (sk->sk_socket)
			set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		return -EAGAIN;
	}
	err = ws_tx_control(sk, ws, WS_OP_PONG, data, len, false);
	if (!err) {
		ws->pongs_unacked++;
		if (ws_over_tls(ws))
			ws_tls_pong(ws);
		else
			ws->pong_seq = ws->tx_seq;
		ws->tx_pongs++;
		ws_count(sk, WS_STAT_PONGS_SENT);
	}
	return err;
}

/**
 * ws_control_pong() - answer a ping (RFC 6455 5.5.2, 5.5.3)
 * @sk: the socket
 * @ws: its context
 * @data: the ping's payload
 * @len: at most WS_CONTROL_MAX
 */
void ws_control_pong(struct sock *sk, struct ws *ws, const u8 *data, unsigned int len)
{
	int err;

	/* RFC 6455 5.5.2: "unless it already received a Close frame"; behind our own, only data is forbidden (5.5.1) */
	if (ws->state > WEBSOCKET_STATE_CLOSE_SENT)
		return;
	if (ws->pong) {
		pong_later(sk, ws, data, len);
		ws_control_retry(sk, ws);
		return;
	}
	err = pong_now(sk, ws, data, len);
	if (err == -EAGAIN || err == -ENOMEM)
		pong_later(sk, ws, data, len);
	if (err == -ENOMEM)
		ws_timer_retry_memory(sk, ws);
}

/* Our side of TCP ends: FIN, behind everything. As inet_shutdown() does it, but in any context. */
static void send_fin(struct sock *sk, struct ws *ws)
{
	if (sk->sk_shutdown & SEND_SHUTDOWN || !((1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)))
		return;
	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | SEND_SHUTDOWN);
	ws->base->prot->shutdown(sk, SEND_SHUTDOWN);
	ws->base->state_change(sk);
}

/* FIN, when nothing is left that goes before it: ws_control_retry() does it then. */
static void end_sending(struct sock *sk, struct ws *ws)
{
	ws->fin_due = ws_over_tls(ws) ? ws_tls_fin_waits(sk, ws) : !!ws->rest.page;
	if (!ws->fin_due)
		send_fin(sk, ws);
}

/* What follows when our Close is out. */
static void finish(struct sock *sk, struct ws *ws)
{
	if (ws->state == WEBSOCKET_STATE_CLOSE_RECEIVED)
		set_state(sk, ws, WEBSOCKET_STATE_CLOSED);
	/* RFC 6455 7.1.1: the server closes first, the client waits for it; 7.1.7: after a failure both close */
	if (ws->state == WEBSOCKET_STATE_FAILED || (ws->state == WEBSOCKET_STATE_CLOSED && !ws_client(ws)))
		end_sending(sk, ws);
}

/* Sends the Close that is due with ws->sent_code; @data: its payload. */
static void send_close(struct sock *sk, struct ws *ws, const u8 *data, unsigned int len)
{
	int err = ws_tx_control(sk, ws, WS_OP_CLOSE, data, len, true);

	ws->close_due = err == -EAGAIN || err == -ENOMEM;
	if (ws->close_due) {
		ws_count(sk, WS_STAT_CLOSE_RETRIES);
		ws_timer_retry_memory(sk, ws);
		return;
	}
	if (!err) {
		ws_count(sk, WS_STAT_CLOSES_SENT);
		ws->close_waits = true;
		ws->close_sent = tcp_jiffies32;
		ws_timer_arm(sk, ws);
	}
	finish(sk, ws);
}

/* A Close with a code and no reason; WS_CLOSE_NO_STATUS: without either (RFC 6455 7.4.1). */
static void send_close_code(struct sock *sk, struct ws *ws, u16 code)
{
	u8 data[2] = { code >> 8, code };

	ws->sent_code = code;
	send_close(sk, ws, data, code == WS_CLOSE_NO_STATUS ? 0 : 2);
}

/**
 * ws_control_send_close() - the application sends Close
 * @sk: the socket
 * @ws: its context
 * @len: bytes
 * @data: payload that ws_close_check() has passed
 *
 * If memory is so short that it cannot be sent now, the code alone is sent later.
 */
void ws_control_send_close(struct sock *sk, struct ws *ws, const u8 *data, unsigned int len)
{
	ws_assert_locked(sk);
	ws_close_check(data, len, &ws->sent_code);
	set_state(sk, ws, WEBSOCKET_STATE_CLOSE_SENT);
	send_close(sk, ws, data, len);
	ws_control_settle(sk, ws);
	/* senders that sleep */
	ws->base->state_change(sk);
}

/**
 * ws_control_shutdown() - the application ends sending: Close, if none was sent
 * @sk: the socket
 * @ws: its context
 * @code: of the Close
 */
void ws_control_shutdown(struct sock *sk, struct ws *ws, u16 code)
{
	ws_assert_locked(sk);
	ws_control_settle(sk, ws);
	if (ws->state != WEBSOCKET_STATE_OPEN)
		return;
	set_state(sk, ws, WEBSOCKET_STATE_CLOSE_SENT);
	send_close_code(sk, ws, code);
}

/**
 * ws_control_received_close() - look at the peer's Close (RFC 6455 5.5.1)
 * @sk: the socket
 * @ws: its context
 * @len: bytes
 * @data: its payload, a copy
 *
 * Return: WS_FAIL_NONE: ws_control_reply_close() is to be called; or what is wrong with it.
 */
enum ws_failure ws_control_received_close(struct sock *sk, struct ws *ws, const u8 *data, unsigned int len)
{
	enum ws_failure failure = ws_close_check(data, len, &ws->peer_code);

	ws_count(sk, WS_STAT_CLOSES_RECEIVED);
	if (failure) {
		ws->peer_code = 0;
		return failure;
	}
	if (len > 2) {
		/* for WEBSOCKET_CLOSE_REASON; without memory there is none */
		struct ws_reason *r = kmalloc(sizeof(*r), GFP_ATOMIC | __GFP_NOWARN);

		if (r) {
			r->len = len - 2;
			memcpy(r->text, data + 2, len - 2);
			/* pairs with the address dependency of readers without the lock */
			smp_store_release(&ws->reason, r);
		}
	}
	return WS_FAIL_NONE;
}

/**
 * ws_control_reply_close() - the peer's Close was received: answer it (RFC 6455 5.5.1), or it is the answer
 * @sk: the socket
 * @ws: its context
 */
void ws_control_reply_close(struct sock *sk, struct ws *ws)
{
	ws_assert_locked(sk);
	if (ws->state == WEBSOCKET_STATE_CLOSE_SENT) {
		set_state(sk, ws, WEBSOCKET_STATE_CLOSE_RECEIVED);
		if (!ws->close_due)
			finish(sk, ws);
	} else {
		set_state(sk, ws, WEBSOCKET_STATE_CLOSE_RECEIVED);
		send_close_code(sk, ws, ws->peer_code);
	}
	/* senders that sleep */
	ws->base->state_change(sk);
}

/**
 * ws_control_received_pong() - the peer's pong: the answer to the last keep-alive ping?
 * @ws: its context
 * @data: payload
 * @len: bytes
 */
void ws_control_received_pong(struct ws *ws, const u8 *data, unsigned int len)
{
	if (!ws->ping_timed || len != sizeof(ws->ping_id) || memcmp(data, &ws->ping_id, len))
		return;
	ws->ping_timed = false;
	WRITE_ONCE(ws->rtt_us, max((u32)tcp_clock_us() - ws->ping_us, 1U));
}

/**
 * ws_control_retry() - there may be room or memory now: the ping, the pong or the Close that waits
 * @sk: the socket
 * @ws: its context
 */
void ws_control_retry(struct sock *sk, struct ws *ws)
{
	ws_assert_locked(sk);
	if (ws->close_due) {
		send_close_code(sk, ws, ws->sent_code);
		return;
	}
	if (ws->fin_due)
		end_sending(sk, ws);
	if (unlikely(ws->end_due))
		ws_send_end(sk, ws);
	if (ws->ping_due)
		ws_timer_ping(sk, ws);
	if (!ws->pong)
		return;
	if (ws->state <= WEBSOCKET_STATE_CLOSE_SENT) {
		int err = pong_now(sk, ws, ws->pong->data, ws->pong->len);

		if (err == -ENOMEM)
			ws_timer_retry_memory(sk, ws);
		if (err == -ENOMEM || err == -EAGAIN)
			return;
	}
	kfree(ws->pong);
	ws->pong = NULL;
}

/* The errno that every call gets from now on, behind the messages that are complete. */
static void set_error(struct sock *sk, struct ws *ws, enum ws_failure failure, int error)
{
	if (ws->error)
		return;
	trace_websocket_error(sk, failure, error);
	WRITE_ONCE(ws->error, error);
	ws->failure = failure;
}

/**
 * ws_fail() - fail the connection (RFC 6455 7.1.7)
 * @sk: the socket
 * @ws: its context
 * @failure: why
 *
 * Once: later failures change nothing. Sends Close with the failure's code, if it has one and none was sent, and FIN; ends
 * reading behind the last complete message. sk_err is left alone, since it would stop the Close; a timeout, for which there
 * is none, sets it, so that poll says EPOLLERR at once.
 */
void ws_fail(struct sock *sk, struct ws *ws, enum ws_failure failure)
{
	u16 code = failures[failure].code;
	bool close_sent = ws->state != WEBSOCKET_STATE_OPEN;

	ws_assert_locked(sk);
	if (ws->state == WEBSOCKET_STATE_FAILED)
		return;
	ws_count(sk, WS_STAT_FAILURES + failure);
	set_error(sk, ws, failure, failures[failure].error);
	set_state(sk, ws, WEBSOCKET_STATE_FAILED);
	if (failure == WS_FAIL_STOLEN)
		WRITE_ONCE(ws->ready, ws->head);
	if (code && !close_sent)
		send_close_code(sk, ws, code);
	else if (!ws->close_due)
		finish(sk, ws);
	if (failures[failure].error == ETIMEDOUT) {
		/* over TLS there are records to go before FIN, which TCP would refuse then: send_fin() sets the other half */
		if (ws_over_tls(ws) && (ws->fin_due || ws->close_due))
			WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | RCV_SHUTDOWN);
		else
			WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
		WRITE_ONCE(sk->sk_err, ETIMEDOUT);
		sk_error_report(sk);
	}
	ws_rx_drop(sk, ws);
	ws->base->data_ready(sk);
	/* senders that sleep */
	ws->base->state_change(sk);
}

/**
 * ws_control_defer() - does what ends the messages have to wait for the program? See ENDING IN ORDER
 * @sk: the socket
 * @ws: its context
 * @ending: enum ws_failure or WS_ENDING_CLOSE
 * @unread: messages stand before it
 *
 * Return: true: it is noted. False: act on it now.
 */
bool ws_control_defer(struct sock *sk, struct ws *ws, u8 ending, bool unread)
{
	ws_assert_locked(sk);
	if ((!unread && !ws->in_hand) || ending == WS_FAIL_STOLEN || ws->state != WEBSOCKET_STATE_OPEN || !ws_tx_allowed(sk))
		return false;
	WRITE_ONCE(ws->ending, ending);
	ws->ending_since = tcp_jiffies32;
	ws_timer_arm(sk, ws);
	return true;
}

/**
 * ws_control_patience() - how long ws->ending waits for the program
 * @ws: its context
 * Return: milliseconds
 */
u32 ws_control_patience(const struct ws *ws)
{
	return ws_readable(ws) || ws->tx_opcode || ws_tx_blocked(ws) ? ws->close_timeout_ms : IN_HAND_MS;
}

/**
 * ws_control_settle() - act on ws->ending, if there is one
 * @sk: the socket
 * @ws: its context
 */
void ws_control_settle(struct sock *sk, struct ws *ws)
{
	ws_assert_locked(sk);
	if (likely(!ws->ending))
		return;
	if (ws->ending != WS_ENDING_CLOSE) {
		ws_fail(sk, ws, ws->ending);
		return;
	}
	ws_control_reply_close(sk, ws);
	ws_rx_drop(sk, ws);
}

/**
 * ws_control_close_timeout() - the peer did not close in time
 * @sk: the socket
 * @ws: its context
 *
 * Without its Close the connection fails; with it, only its FIN is missing, and the client goes ahead (RFC 6455 7.1.1), behind
 * what is still to go.
 */
void ws_control_close_timeout(struct sock *sk, struct ws *ws)
{
	if (ws->state == WEBSOCKET_STATE_CLOSE_SENT && !ws->error && !ws_source_ended(sk, ws))
		ws_fail(sk, ws, WS_FAIL_CLOSE_TIMEOUT);
	else
		end_sending(sk, ws);
}

/* recvmmsg() leaves there what its last message met, which ended nothing. */
static bool ends_connection(int err)
{
	return err != EFAULT && err != EINTR && err != ERESTARTSYS;
}

/**
 * ws_mirror_error() - keep TCP's final error
 * @sk: the socket
 * @ws: its context
 *
 * sk_err is one word that many take away (SO_ERROR, recvmmsg); what ended the connection has to be the same for every call.
 * Errors that do not end it (IP_RECVERR) stay TCP's. A reset behind the peer's FIN is EPIPE there, which means something else here.
 * What the peer said before comes first: bytes that came while the socket was owned, or are too many for one go, are looked at before,
 * and then ws_rx_run() is here again.
 */
void ws_mirror_error(struct sock *sk, struct ws *ws)
{
	if (likely(!sk->sk_err) || sk->sk_state != TCP_CLOSE || ws->deferred & WS_DEFER_RX || ws->scan_again)
		return;
	if (!ws_rx_ended(ws) && !ws->ending && !ws->eof && ends_connection(sk->sk_err))
		set_error(sk, ws, WS_FAIL_NONE, sk->sk_err == EPIPE ? ECONNRESET : sk->sk_err);
}

/**
 * ws_state_change() - sk->sk_state_change: FIN, reset, or TCP gave up
 * @sk: the socket
 * Context: any in which the socket lock is held
 */
void ws_state_change(struct sock *sk)
{
	struct ws *ws = ws_get(sk);

	if (unlikely(!ws))
		return;
	ws_mirror_error(sk, ws);
	ws->base->state_change(sk);
	if (ws_over_tls(ws))
		ws_tls_come(ws);
}
