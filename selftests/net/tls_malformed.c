// SPDX-License-Identifier: GPL-2.0
/* malformed.c over TLS. */
#include "over_tls.h"
#include "malformed.c"
