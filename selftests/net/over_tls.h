/* SPDX-License-Identifier: GPL-2.0 */
/* Included before the source of another program, with LINKS_OVER defined: its links are over this version of TLS. */
#include <linux/tls.h>
#include "keys.h"

static void __attribute__((constructor)) over_tls(void)
{
	link_tls = LINKS_OVER;
}
