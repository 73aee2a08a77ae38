// SPDX-License-Identifier: GPL-2.0
/*
 * send.c over TLS 1.3.
 * time limit: 300 s
 */
#define LINKS_OVER TLS_1_3_VERSION
#include "over_tls.h"
#include "send.c"
