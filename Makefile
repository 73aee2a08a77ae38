# SPDX-License-Identifier: GPL-2.0
#
#   make                  websocket.ko for the running kernel (or the newest one whose
#                         headers are installed), the library and the tools
#   make load | unload    into and out of the running kernel (root)
#   make demo             a server on the module in a virtual machine, with real clients
#   make demo-restart   a chat server is killed again and again, and a browser does not notice
#   make check            all tests; KERNEL=6.12, 7.3 or debug picks another kernel
#   make check-all        all tests on Debian's kernels 6.1, 6.12 and 7.3, and check-clang; the debug kernel takes hours
#                         and is asked for alone: make check KERNEL=debug
#   make check-clang      the module built by clang, against a tree configured for it
#   make chat-torture   the chat example, 5,000 clients, 50 restarts and kills in each manner
#   make static           what compilers, checkpatch, coccinelle and analyzers say
#   make torture          random sessions for SECONDS=1800, as many over TLS, then peers that want to cost much, then the module removed 2,000 times
#   make soak             mixed load for MINUTES=30
#   make bench            instructions and memory against plain TCP and other libraries
#   make bench-http       the same messages over HTTP and over WebSocket
#   make bench-proxy      what nginx, HAProxy and stunnel cost in front
#   make install          below DESTDIR; PREFIX is /usr/local
#   make deb              Debian packages, in build/deb
#   make check-deb        installs, uses and purges them in a clean Debian in a virtual machine
#   make check-dkms       dkms add, build, install from the tree, there
#
# W=1 and C=1 are kbuild's: more compiler warnings, sparse.  Everything that is made goes
# to build/: build/KERNEL/websocket.ko is the module for selftests/vm/kernel KERNEL, and
# `host' the name of this machine's.

KERNEL ?= 6.1
PREFIX ?= /usr/local
KERNELS := 6.1 6.12 7.3
TOP := $(CURDIR)

all: module lib tools

module: build/host/websocket.ko

# kbuild leaves its objects beside the sources: every kernel gets a tree of links to them.
build/%/websocket.ko: FORCE
	@mkdir -p build/$*
	@cp -rsf $(TOP)/Kbuild $(TOP)/kmod $(TOP)/uapi build/$*/
	@find build/$* -xtype l -delete
	@eval "$$(selftests/vm/kernel $*)" && \
	$(MAKE) --no-print-directory -C "$$headers" M=$(TOP)/build/$* $$make modules

tools: lib
lib tools:
	@$(MAKE) --no-print-directory -C userspace O=$(TOP)/build/user $@

load: module
	@for m in $$(/sbin/modinfo -F depends build/host/websocket.ko | tr , ' '); do /sbin/modprobe $$m; done
	/sbin/insmod build/host/websocket.ko

unload:
	/sbin/rmmod websocket

check demo: packages
check:
	@selftests/run $(RETRY) $(KERNEL)

# sessions by chance for SECONDS, from a new seed: selftests/net/sessions.c
SECONDS ?= 1800
torture: build/$(KERNEL)/websocket.ko
	@$(MAKE) --no-print-directory -s -C selftests/net OUT=$(TOP)/build/net all
	@selftests/vm/run --kernel $(KERNEL) --load --mem 1536 --timeout $$((2 * $(SECONDS) + 600)) -- \
		'seed=$$(date +%s)000000; for p in sessions tls_sessions; do build/net/$$p -s $$seed -n 100000000 -j 2 -t $(SECONDS) || exit; done'
	@selftests/vm/run --kernel $(KERNEL) --load --net --mem 1536 --timeout 7200 -- \
		'TIMES=10 build/net/hostile && TIMES=10 build/net/lifetimes'
	@KWS_KERNEL=$(KERNEL) selftests/interop/unload 2000

# mixed load, every message verified: selftests/net/soak.c
MINUTES ?= 30
soak: build/$(KERNEL)/websocket.ko
	@$(MAKE) --no-print-directory -s -C selftests/net OUT=$(TOP)/build/net all
	@selftests/vm/run --kernel $(KERNEL) --load --mem 1536 --timeout $$(($(MINUTES) * 60 + 900)) -- \
		env SECONDS=$$(($(MINUTES) * 60)) build/net/soak

static:
	@selftests/vm/install-packages build static
	@selftests/static

check-all: packages check-clang
	@selftests/run $(KERNELS)

check-clang:
	@selftests/clang

demo: build/6.1/websocket.ko lib tools
	@selftests/demo
build/6.1/websocket.ko lib tools: | $(if $(filter demo,$(MAKECMDGOALS)),packages)

demo-restart: build/6.1/websocket.ko lib tools
	@selftests/demo-restart

chat-torture: build/6.1/websocket.ko lib tools
	@selftests/interop/chat 5000 50

bench:
	@selftests/vm/install-packages build vm bench
	@selftests/bench

bench-http: build/6.1/websocket.ko
	@selftests/vm/install-packages build vm bench
	@selftests/bench-http

bench-proxy:
	@selftests/vm/install-packages build vm interop
	@selftests/bench-proxy

packages:
	@selftests/vm/install-packages

# Debian's headers have neither the key nor the System.map that kbuild's modules_install looks for
install: module
	@eval "$$(selftests/vm/kernel host)" && \
	install -D -m 644 -t "$(DESTDIR)/lib/modules/$$release/updates" build/host/websocket.ko && \
	{ [ "$(DESTDIR)" ] || /sbin/depmod "$$release"; }
	@$(MAKE) --no-print-directory -C userspace O=$(TOP)/build/user PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) install
	@[ "$(DESTDIR)" ] || /sbin/ldconfig

# Debian's packages, in build/deb: the module for DKMS, the library, and the tool
deb:
	@selftests/vm/install-packages build deb
	@rm -rf build/deb && mkdir -p build/deb/kws
	@cp -r Kbuild COPYING dkms.conf README.md kmod uapi userspace build/deb/kws/
	@mv build/deb/kws/userspace/debian build/deb/kws/
	@cd build/deb/kws && dpkg-buildpackage -us -uc -b >../log 2>&1 || { tail -n 50 ../log; false; }
	@ls build/deb/*.deb

check-deb: deb
	@selftests/deb

check-dkms:
	@selftests/vm/install-packages build vm deb
	@selftests/deb dkms

clean:
	rm -rf build

FORCE:
# see userspace/examples/chat-server
.PHONY: chat-torture demo-restart bench-http bench-proxy
.PHONY: all soak static module lib tools load unload check check-all check-clang torture demo bench packages install deb check-deb check-dkms clean FORCE
