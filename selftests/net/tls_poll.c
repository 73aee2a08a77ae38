// SPDX-License-Identifier: GPL-2.0
/*
 * poll.c over TLS. Frames that come before the keys are no records (tls.c:row13_records_before), and behind a FIN no socket takes up TLS.
 */
#define NOT_OVER_TLS "row13_message_queued row13_half_queued row13_fin_queued"
#include "over_tls.h"
#include "poll.c"
