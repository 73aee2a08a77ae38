# SPDX-License-Identifier: GPL-2.0 OR MIT
SRCS_test_handover	:= ../../userspace/lib/handover.c
CFLAGS_test_handover	:= -D_GNU_SOURCE -DSTALL_MS=2000 -I../../uapi -I../../userspace/lib
.DEFAULT_GOAL		:= run
