# SPDX-License-Identifier: GPL-2.0
# Tests of single files of the tools and the library.
SRCS_test_histogram	:= ../../userspace/tools/histogram.c
CFLAGS_test_histogram	:= -I../../userspace/tools
LIBS_test_histogram	:= -lm
SRCS_test_proxy		:= ../../userspace/lib/proxy.c
CFLAGS_test_proxy	:= -I../../userspace/lib -D_GNU_SOURCE
