// SPDX-License-Identifier: GPL-2.0
/* closing.c over TLS. */
#include "over_tls.h"
#include "closing.c"
