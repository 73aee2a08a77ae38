// SPDX-License-Identifier: GPL-2.0
/* Turns a connected socket into one of messages; it has its keys, if there are any. */
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <linux/websocket.h>

#include "keys.h"
#include "server.h"

void module_start(int fd, unsigned int flags)
{
	struct websocket_config config = { .flags = flags, .max_message = BUFFER };

	if (tls_wanted()) {
		if (setsockopt(fd, SOL_IP, WEBSOCKET_ATTACH, &config, sizeof(config)))
			err(1, "no websocket over TLS");
		return;
	}
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "websocket", 9) ||
	    setsockopt(fd, SOL_WEBSOCKET, WEBSOCKET_CONFIG, &config, sizeof(config)))
		err(1, "no websocket");
}
