// SPDX-License-Identifier: GPL-2.0
/*
 * receive.c over TLS 1.2.
 * time limit: 300 s
 */
#define LINKS_OVER TLS_1_2_VERSION
#include "over_tls.h"
#include "receive.c"
