// SPDX-License-Identifier: GPL-2.0
/* batch.c over TLS. */
#include "over_tls.h"
#include "batch.c"
