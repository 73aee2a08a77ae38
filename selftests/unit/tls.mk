# SPDX-License-Identifier: GPL-2.0 OR MIT
# libkws-tls, with libkws.
SRCS_tls	:= $(wildcard ../../userspace/tls/*.c)
SRCS_test_tls_keys	:= $(SRCS_tls) $(wildcard ../../userspace/lib/*.c)
SRCS_test_tls		:= $(SRCS_test_tls_keys)
CFLAGS_test_tls_keys	:= -D_GNU_SOURCE -DLLHTTP_STRICT_MODE=1 -I../../uapi -I../../userspace/lib -I../../userspace/tls -I/usr/share/include/llhttp
CFLAGS_test_tls		:= $(CFLAGS_test_tls_keys)
LIBS_test_tls_keys	:= $(OUT)/llhttp.o -lnettle -lssl -lcrypto -pthread
LIBS_test_tls		:= $(LIBS_test_tls_keys)
$(OUT)/test_tls_keys $(OUT)/test_tls: $(OUT)/llhttp.o ../../uapi/linux/websocket.h
.DEFAULT_GOAL		:= run
