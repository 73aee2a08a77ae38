// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Errors in words, with what to do about them. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "kws.h"

static const struct {
	int err;
	const char *text;
} table[] = {
	{ ENOENT, "the kernel knows no \"websocket\" protocol: load the module "
		  "(\"modprobe websocket\" or \"insmod websocket.ko\", as root; for wss \"modprobe tls\" too); "
		  "in a handover: there is no predecessor" },
	{ EPERM, "not permitted: a security module or a filter of system calls (container, systemd unit) forbids it; "
		 "in a handover: the other side is neither root nor our own user" },
	{ EACCES, "not permitted: a security module or a filter of system calls (container, systemd unit) forbids it" },
	{ ENOPROTOOPT, "not a WebSocket: attach the protocol to the socket first (kws_attach())" },
	{ EEXIST, "the socket already has an upper layer protocol" },
	{ ENOTCONN, "the connection is not open any more" },
	{ EOPNOTSUPP, "not possible on this socket: it is no plain TCP socket (but MPTCP, UDP, Unix...), or "
		       "WebSockets do not support this call" },
	{ EBUSY, "the socket is in use: another thread is inside recv() or send() on it, or it belongs to another user in the kernel "
		 "(KCM, a sockmap)" },
	{ EBADMSG, "the client's request was no acceptable WebSocket upgrade, and was refused; or TLS: a broken record" },
	{ ECONNREFUSED, "nobody listens there, or the server refused the upgrade" },
	{ EHOSTUNREACH, "the host is unknown or cannot be reached" },
	{ EPROTONOSUPPORT, "the protocol is not supported (wss needs TLS: kws_tls_connect(), of libkws-tls)" },
	{ ECONNABORTED, "ended by the administrator (ss -K); or TLS was ended: no version or cipher in common, a certificate that the "
			"peer does not accept, or an alert" },
	{ EKEYREJECTED, "the certificate is not accepted: expired, for another name, or from an authority that is not trusted; or the "
			"key is encrypted, or another certificate's" },
	{ EKEYEXPIRED, "the peer changed its TLS keys, which the kernel cannot: let it not do so (KeyUpdate), or use the library's engine" },
	{ EPROTO, "the peer broke the WebSocket protocol" },
	{ EILSEQ, "text that is not UTF-8" },
	{ EMSGSIZE, "larger than allowed: a message than max_message, a control frame than 125 bytes, or an HTTP head than max_head" },
	{ ETIMEDOUT, "no answer in time" },
	{ ECONNRESET, "the peer reset the connection, or left in the middle" },
	{ EPIPE, "the connection is closed for sending" },
	{ E2BIG, "the loaded module is older than the program, and does not know an option that it sets: "
		 "load the current one (\"modprobe -r websocket; modprobe websocket\", as root)" },
};

/* Older than what the module compiles on: kmod/compat/compat.h. */
static bool kernel_is_too_old(void)
{
	unsigned int major, minor;
	struct utsname u;

	return !uname(&u) && sscanf(u.release, "%u.%u", &major, &minor) == 2 && (major < 6 || (major == 6 && minor < 1));
}

const char *kws_strerror(int err)
{
	const char *text;

	if (err < 0)
		err = -err;
	if (err == ENOENT && kernel_is_too_old())
		return "this kernel is too old for the \"websocket\" module: it needs Linux 6.1 or newer";
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].err == err)
			return table[i].text;
	text = strerrordesc_np(err);
	return text ? text : "unknown error";
}
