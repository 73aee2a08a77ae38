// SPDX-License-Identifier: GPL-2.0
/* utf8.c over TLS, without what opens a connection for each of many values: where a record ends is where a segment ends there. */
#define NOT_OVER_TLS "valid_cut_everywhere invalid_cut_everywhere invalid_at_every_offset"
#include "over_tls.h"
#include "utf8.c"
