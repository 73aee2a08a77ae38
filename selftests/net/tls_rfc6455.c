// SPDX-License-Identifier: GPL-2.0
/* rfc6455.c over TLS. */
#include "over_tls.h"
#include "rfc6455.c"
