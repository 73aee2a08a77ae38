# SPDX-License-Identifier: GPL-2.0 OR MIT
# The tests of libkws: with the library's sources, and llhttp's as their package ships them.
.DEFAULT_GOAL := run

LLHTTP		:= /usr/share/llhttp
HANDSHAKE_FLAGS	:= -D_GNU_SOURCE -DLLHTTP_STRICT_MODE=1 -I../../uapi -I../../userspace/lib -I/usr/share/include/llhttp
HANDSHAKE_TESTS	:= $(basename $(wildcard test_handshake*.c))

$(foreach t,$(HANDSHAKE_TESTS),\
	$(eval SRCS_$t := $(wildcard ../../userspace/lib/*.c)) \
	$(eval CFLAGS_$t := $(HANDSHAKE_FLAGS) -DLINGER_MOST_MS=2500) \
	$(eval LIBS_$t := $(OUT)/llhttp.o -lnettle))

# a name with two addresses
LIBS_test_handshake_client += -Wl,--wrap=getaddrinfo,--wrap=freeaddrinfo

$(addprefix $(OUT)/,$(HANDSHAKE_TESTS)): $(OUT)/llhttp.o ../../uapi/linux/websocket.h

$(OUT)/llhttp.o: $(wildcard $(LLHTTP)/*.c)
	@mkdir -p $(@D)/llhttp.d
	cd $(@D)/llhttp.d && $(CC) $(CFLAGS) $(SANITIZE) $(HANDSHAKE_FLAGS) -c $^
	$(LD) -r -o $@ $(patsubst $(LLHTTP)/%.c,$(@D)/llhttp.d/%.o,$^)
