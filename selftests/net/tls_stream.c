// SPDX-License-Identifier: GPL-2.0
/* stream.c over TLS. */
#include "over_tls.h"
#include "stream.c"
