// SPDX-License-Identifier: GPL-2.0
/* send.c over TLS. */
#include "over_tls.h"
#include "send.c"
