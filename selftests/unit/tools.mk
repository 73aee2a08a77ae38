# SPDX-License-Identifier: GPL-2.0
# The tests of the tools' own parts.
SRCS_test_histogram	:= ../../userspace/tools/histogram.c
CFLAGS_test_histogram	:= -I../../userspace/tools
LIBS_test_histogram	:= -lm
