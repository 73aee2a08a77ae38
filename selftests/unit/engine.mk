# SPDX-License-Identifier: GPL-2.0 OR MIT
# The library's user-space engine, over a transport of the test's own. What is not initialised is zero: a header that was not
# read is one of no bytes, and a loop over headers goes on for ever.
ENGINE_TESTS	:= $(basename $(wildcard test_engine*.c))
$(foreach t,$(ENGINE_TESTS),\
	$(eval SRCS_$t := $(wildcard ../../userspace/lib/*.c)) \
	$(eval CFLAGS_$t := -ftrivial-auto-var-init=zero -D_GNU_SOURCE -DLLHTTP_STRICT_MODE=1 -I../../uapi -I../../userspace/lib \
		-I/usr/share/include/llhttp) \
	$(eval LIBS_$t := $(OUT)/llhttp.o -lnettle -pthread -Wl,--wrap=malloc))
$(addprefix $(OUT)/,$(ENGINE_TESTS)): $(OUT)/llhttp.o ../../uapi/linux/websocket.h
.DEFAULT_GOAL	:= run
