/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KEYS_H
#define KEYS_H

#include <stdbool.h>

bool tls_wanted(void);
bool tls_start(int fd, bool is_server);

#endif
