// SPDX-License-Identifier: GPL-2.0
/* fragments.c over TLS. */
#include "over_tls.h"
#include "fragments.c"
