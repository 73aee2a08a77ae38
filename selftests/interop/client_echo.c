// SPDX-License-Identifier: GPL-2.0
/* Connects to a URL again and again, so many times, and sends every message back: the client's role of the conformance tests. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/socket.h>

#include "kws.h"

static void talk(int fd)
{
	static char buf[1 << 16];
	struct kws_message msg;
	ssize_t n;

	while ((n = kws_recv(fd, buf, sizeof(buf), 0, &msg)) >= 0 && !kws_is_end(&msg)) {
		size_t done = 0;

		do {
			ssize_t sent = kws_send(fd, msg.begin && !done ? msg.opcode : 0, buf + done, n - done, msg.end ? 0 : MSG_MORE);

			if (sent < 0)
				return;
			done += sent;
		} while (done < (size_t)n);
	}
}

int main(int argc, char **argv)
{
	struct websocket_config config = { .max_message = 16 << 20 };
	char why[200] = "";
	struct kws_options options = { .config = &config, .timeout_ms = 60000, .why = why, .why_size = sizeof(why) };

	if (argc != 3)
		return 2;
	for (int i = atoi(argv[2]); i > 0; i--) {
		int fd = kws_connect(argv[1], &options);

		if (fd < 0) {
			fprintf(stderr, "%s: %s\n", argv[1], why);
			return 1;
		}
		talk(fd);
		close(fd);
	}
	return 0;
}
