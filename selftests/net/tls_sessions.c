// SPDX-License-Identifier: GPL-2.0
/* sessions.c over TLS 1.2 and 1.3 in turn. time limit: 600 s */
#include "over_tls.h"
#include "sessions.c"
