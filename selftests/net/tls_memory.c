// SPDX-License-Identifier: GPL-2.0
/*
 * memory.c over TLS. Not at the limit of a cgroup: TLS works in process context, where TCP calls the OOM killer for what stands in the
 * socket's backlog. Nor the end of those who send: without memory there is no close_notify.
 */
#define NOT_OVER_TLS "row42_limit_of_a_cgroup row42_sending_at_the_limit_of_tcp"
#include "over_tls.h"
#include "memory.c"
