// SPDX-License-Identifier: GPL-2.0
/* receive.c over TLS. */
#include "over_tls.h"
#include "receive.c"
