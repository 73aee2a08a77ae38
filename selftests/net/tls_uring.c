// SPDX-License-Identifier: GPL-2.0
/* uring.c over TLS. */
#include "over_tls.h"
#include "uring.c"
