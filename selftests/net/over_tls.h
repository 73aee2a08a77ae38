/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included before the source of another program: its links are over TLS, 1.2 and 1.3 in turn in the fixtures of shapes.h, which have fewer
 * shapes then, and 1.3 in others. NOT_OVER_TLS: names of tests that make no sense there.
 */
#include <linux/tls.h>
#include <stdlib.h>
#include "keys.h"

#define OVER_TLS

static void __attribute__((constructor)) over_tls(void)
{
	link_tls = TLS_1_3_VERSION;
#ifdef NOT_OVER_TLS
	setenv("WITHOUT", NOT_OVER_TLS, 0);
#endif
}
