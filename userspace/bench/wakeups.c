// SPDX-License-Identifier: GPL-2.0
/*
 * How often the server process is woken for a message that does not arrive at once. The driver has made the
 * loopback device slow (netem), so that segments arrive one by one.
 */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define PIECE	256

/* Without segmentation offload a segment is what goes over the device. */
static void no_offload(void)
{
	static const u32 commands[] = { ETHTOOL_STSO, ETHTOOL_SGSO };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (unsigned int i = 0; i < 2; i++) {
		struct ethtool_value value = { .cmd = commands[i] };
		struct ifreq ifr = { .ifr_name = "lo", .ifr_data = (char *)&value };

		if (ioctl(fd, SIOCETHTOOL, &ifr))
			die("segmentation offload cannot be turned off");
	}
	close(fd);
}

static void measure(const char *name, size_t piece)
{
	no_offload();
	for (unsigned int s = 0; s < opt.nsizes; s++) {
		unsigned int i, n = opt.count;
		struct burst message;
		struct meter m;

		burst_make_fragments(&message, opt.sizes[s], piece ? piece : opt.sizes[s]);
		server_start();
		conns_open(1);
		for (i = 0; i < 4; i++)
			exchange(conns, &message);
		meter_start(&m);
		for (i = 0; i < n; i++)
			exchange(conns, &message);
		meter_stop(&m);
		result(name, opt.sizes[s], n, &m);
		conns_close();
		server_stop();
		burst_free(&message);
	}
}

void case_segments(void)
{
	measure("segments", 0);
}

void case_pieces(void)
{
	measure("pieces", PIECE);
}
