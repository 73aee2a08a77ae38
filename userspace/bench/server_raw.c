// SPDX-License-Identifier: GPL-2.0
/* server_raw PORT: plain TCP echo; what comes in one recv goes back in one send. */
#include <sys/socket.h>

#include "busy.h"
#include "server.h"

static bool ready(int fd, void *context)
{
	ssize_t n = recv(fd, buffer, 65536, MSG_DONTWAIT);

	(void)context;
	busy();
	return n > 0 && write_all(fd, buffer, n);
}

int main(int argc, char **argv)
{
	serve(argv[argc - 1], &(struct handler){ .ready = ready });
}
