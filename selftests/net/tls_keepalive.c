// SPDX-License-Identifier: GPL-2.0
/* keepalive.c over TLS. */
#include "over_tls.h"
#include "keepalive.c"
