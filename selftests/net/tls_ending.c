// SPDX-License-Identifier: GPL-2.0
/* ending.c over TLS. */
#include "over_tls.h"
#include "ending.c"
