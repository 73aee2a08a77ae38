// SPDX-License-Identifier: GPL-2.0
/* ping.c over TLS. */
#include "over_tls.h"
#include "ping.c"
