# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The whole build, in one file: `make help` lists what it can do. Everything it makes is under $(BUILD).
#
# Sources are found by wildcard, so a new src/<module>/<file>.c, tests/unit/test_<module>.c, tests/fuzz/fuzz_<door>.c
# or tests/e2e/test_<thing>.c needs no line here. Objects are compiled in four sets, each in a directory of its own:
#
#	obj	  what is shipped: $(CC), optimised, hardened
#	gcc-san	  gcc with AddressSanitizer and UndefinedBehaviorSanitizer: unit tests, crash replays, C end-to-end tests
#	clang-san clang with the same and with libFuzzer's coverage: unit tests again, fuzzers, clang's warnings
#	musl	  sandbox-init and what it uses, for size
#	addon	  the addon of the TypeScript package
#	addon-san the same with gcc's AddressSanitizer and UndefinedBehaviorSanitizer

VERSION := $(shell sed -n 's/^.define SBX_VERSION "\(.*\)"/\1/p' include/sbx.h)
SOVERSION := 0

BUILD ?= build
JOBS ?= 2
prefix ?= /usr/local
bindir ?= $(prefix)/bin
libdir ?= $(prefix)/lib
includedir ?= $(prefix)/include
pkgconfigdir ?= $(libdir)/pkgconfig
# Where sandbox-host, sandbox-init, vmlinux and default.erofs are installed; compiled into libsbx.
pkglibdir ?= $(libdir)/sandbox
installed_at = $(prefix) $(includedir) $(libdir) $(pkglibdir)

ifeq ($(origin CC),default)
CC := gcc
endif
MUSL_CC ?= musl-gcc
LD ?= ld
OBJCOPY ?= objcopy
STRIP ?= strip

MAKEFLAGS += --no-builtin-rules --no-print-directory
ifndef MAKE_RESTARTS
MAKEFLAGS += -j$(JOBS)
endif
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

# Quiet unless V=1: one line "  CC      file" for each step.
Q := $(if $(V),,@)
say = $(if $(V),,@printf "  %-8s %s\n" "$1" "$(if $2,$2,$@)";)

# ---------------------------------------------------------------------------------------------------------------------
# Flags

WARN := -Wall -Wextra -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wimplicit-fallthrough -Wformat=2 -Werror
# The kernel's own headers end structures in arrays that the caller's structure continues; clang calls that a GNU extension.
WARN_clang := -Wno-gnu-variable-sized-type-not-at-end
CPPFLAGS_ALL := -Isrc -Iinclude -D_GNU_SOURCE
# Of single sources.
CPPFLAGS_src/client/paths = -DSBX_PKGLIBDIR='"$(pkglibdir)"'
LANG_ALL := -std=gnu17 $(WARN) -fvisibility=hidden -g

# Asserts stay in: a broken invariant must stop the host process, not go on in it.
HARDEN := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fcf-protection
CFLAGS_obj := $(LANG_ALL) $(if $(findstring clang,$(CC)),$(WARN_clang)) -O2 -fPIC -ffunction-sections -fdata-sections $(HARDEN)
LDFLAGS_obj := -static-pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# gcc's flow-based warnings see ghosts in instrumented code; the shipped set is compiled with them.
CFLAGS_gcc-san := $(LANG_ALL) -O1 $(SANITIZE) -Wno-format-truncation -Wno-maybe-uninitialized \
	-Wno-stringop-overread -Wno-stringop-overflow -Wno-array-bounds -Wno-restrict
CFLAGS_clang-san := $(LANG_ALL) $(WARN_clang) -O1 $(SANITIZE) -fsanitize=fuzzer-no-link

# The headers of Node-API come from npm; those of libuv, whose interface is stable, from the system.
NODE_INCLUDE := -isystem $(BUILD)/node/node_modules/node-api-headers/include -DNAPI_VERSION=8
CFLAGS_addon := $(CFLAGS_obj) $(NODE_INCLUDE)
CFLAGS_addon-san = $(CFLAGS_gcc-san) -fPIC $(NODE_INCLUDE)

CFLAGS_musl := $(LANG_ALL) -Os -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables \
	-fstack-protector-strong -idirafter $(BUILD)/uapi
LDFLAGS_musl := -static -no-pie -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack -s

CC_obj := $(CC)
CC_gcc-san := gcc
CC_clang-san := clang
CC_musl := $(MUSL_CC)
CC_addon := $(CC)
CC_addon-san := gcc

# What sandbox-host, and programs that test or measure parts of it, are linked with: archives only.
LIBS_host := -l:libcares.a -l:libnghttp2.a -l:libssl.a -l:libcrypto.a

# ---------------------------------------------------------------------------------------------------------------------
# Sources

src_all := $(sort $(wildcard src/*/*.c))
src_client := $(filter src/client/%,$(src_all))
src_shared := $(filter src/base/% src/proto/%,$(src_all)) # used by host, client and guest
src_policy := src/net/addr.c src/net/policy.c src/http/h1.c src/http/fields.c src/http/origin.c # used by host and client
src_host := $(filter-out src/client/%,$(src_all))
src_doors := $(filter-out src/host/%,$(src_host)) src/host/noload.c # for programs that measure parts of it
src_guest := $(sort $(wildcard guest/*.c))
src_cli := $(sort $(wildcard cli/*.c))
src_addon := $(sort $(wildcard node/addon/*.c))
src_testable := $(filter-out src/host/main.c src/host/noload.c guest/main.c,$(src_all) $(src_guest))

test_unit := $(sort $(wildcard tests/unit/test_*.c))
test_kvm := $(sort $(wildcard tests/kvm/test_*.c))
test_e2e := $(sort $(wildcard tests/e2e/test_*.c))
test_fuzz := $(sort $(wildcard tests/fuzz/fuzz_*.c))
# Whatever else is beside the tests is shared by them.
test_support := $(sort $(wildcard tests/support/*.c) \
	$(filter-out $(test_unit),$(wildcard tests/unit/*.c)) \
	$(filter-out $(test_fuzz),$(wildcard tests/fuzz/*.c)))

# $(call objs,SET,SOURCES)
objs = $(patsubst %.c,$(BUILD)/$1/%.o,$2)
# $(call absolute,FILES): for the shell; the project may lie in a directory with a blank in its name.
absolute = $(foreach file,$1,'$(abspath $(file))')

# ---------------------------------------------------------------------------------------------------------------------
# What is built

programs := $(BUILD)/sandbox-host $(BUILD)/sandbox $(BUILD)/sandbox-init
libraries := $(BUILD)/libsbx.a $(BUILD)/libsbx.so $(BUILD)/sbx.pc $(BUILD)/sbx-uninstalled.pc
images := $(BUILD)/vmlinux $(BUILD)/default.erofs

.PHONY: all
all: $(programs) $(libraries) $(images) ## build everything: programs, libraries, guest kernel, default image

# ---------------------------------------------------------------------------------------------------------------------
# Objects

# A change of compiler or flags rebuilds the set.
.PHONY: FORCE
FORCE:
$(BUILD)/%/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC_$*) $(CPPFLAGS_ALL) $(CFLAGS_$*)' | cmp -s - $@ || echo '$(CC_$*) $(CPPFLAGS_ALL) $(CFLAGS_$*)' >$@
# A change of the places of an installation rebuilds what has them inside.
$(BUILD)/places: FORCE
	@mkdir -p $(@D)
	@echo '$(installed_at)' | cmp -s - $@ || echo '$(installed_at)' >$@

define object_set
$$(BUILD)/$1/%.o: %.c $$(BUILD)/$1/flags | $$(ready_$1)
	@mkdir -p $$(@D)
	$$(call say,$2)$$(CC_$1) $$(CPPFLAGS_ALL) $$(CPPFLAGS_$$*) $$(CFLAGS_$1) $$(EXTRA_CFLAGS) -MMD -MP -c -o $$@ $$<
endef
ready_musl := $(BUILD)/uapi/.ready
ready_addon := $(BUILD)/node/.modules
ready_addon-san := $(ready_addon)
$(eval $(call object_set,obj,CC))
$(eval $(call object_set,gcc-san,GCCSAN))
$(eval $(call object_set,clang-san,CLANGSAN))
$(eval $(call object_set,musl,MUSL))
$(eval $(call object_set,addon,ADDON))
$(eval $(call object_set,addon-san,ADDONSAN))
$(foreach set,obj gcc-san clang-san addon-san,$(BUILD)/$(set)/src/client/paths.o): $(BUILD)/places

# musl-gcc hides the system's include directories, and with them the kernel's own headers: show it those, and only those.
$(BUILD)/uapi/.ready:
	@mkdir -p $(@D)
	@for d in linux asm-generic mtd; do ln -sfn /usr/include/$$d $(@D)/$$d; done
	@ln -sfn /usr/include/$$(gcc -print-multiarch)/asm $(@D)/asm
	@touch $@

ARCHIVE = rm -f $@ && ar rcs $@ $^

# ---------------------------------------------------------------------------------------------------------------------
# Programs and libraries

# One static program without any dynamic dependency: it runs in an empty root.
$(BUILD)/sandbox-host: $(call objs,obj,$(src_host))
	$(call say,LINK)$(CC) $(CFLAGS_obj) $(LDFLAGS_obj) -o $@ $^ $(LIBS_host)

$(BUILD)/obj/libshared.a: $(call objs,obj,$(src_shared) $(src_policy))
	$(call say,AR)$(ARCHIVE)

# The static library is one object in which everything but the public functions has become local: our internal names
# can never meet those of the program that links it.
$(BUILD)/obj/sbx.o: $(call objs,obj,$(src_client)) $(BUILD)/obj/libshared.a
	$(call say,LD -r)$(LD) -r -o $@ $^ && $(OBJCOPY) --localize-hidden $@

$(BUILD)/libsbx.a: $(BUILD)/obj/sbx.o
	$(call say,AR)$(ARCHIVE)

$(BUILD)/libsbx.so.$(SOVERSION): $(call objs,obj,$(src_client)) $(BUILD)/obj/libshared.a src/client/libsbx.map
	$(call say,LINK)$(CC) $(CFLAGS_obj) -shared -Wl,-soname,libsbx.so.$(SOVERSION) \
		-Wl,--version-script=src/client/libsbx.map -Wl,-z,defs,-z,relro,-z,now -Wl,--gc-sections \
		-o $@ $(filter %.o %.a,$^)

$(BUILD)/libsbx.so: $(BUILD)/libsbx.so.$(SOVERSION)
	$(call say,LN)ln -sf $(<F) $@

# sbx.pc is what is installed; pkg-config prefers the -uninstalled one when it looks into $(BUILD).
$(BUILD)/sbx.pc: src/client/sbx.pc.in $(BUILD)/places Makefile
	@mkdir -p $(@D)
	$(call say,GEN)sed -e 's|@PREFIX@|$(prefix)|' -e 's|@INCLUDEDIR@|$(includedir)|' -e 's|@LIBDIR@|$(libdir)|' \
		-e 's|@VERSION@|$(VERSION)|' $< >$@

$(BUILD)/sbx-uninstalled.pc: src/client/sbx.pc.in Makefile
	@mkdir -p $(@D)
	$(call say,GEN)sed -e 's|@PREFIX@|$(CURDIR)|' -e 's|@INCLUDEDIR@|$(CURDIR)/include|' \
		-e 's|@LIBDIR@|$(abspath $(BUILD))|' -e 's|@VERSION@|$(VERSION)|' $< >$@

$(BUILD)/sandbox: $(call objs,obj,$(src_cli)) $(BUILD)/libsbx.a
	$(call say,LINK)$(CC) $(CFLAGS_obj) $(LDFLAGS_obj) -o $@ $^

$(BUILD)/musl/libshared.a: $(call objs,musl,$(src_shared))
	$(call say,AR)$(ARCHIVE)

$(BUILD)/sandbox-init: $(call objs,musl,$(src_guest)) $(BUILD)/musl/libshared.a
	$(call say,LINK)$(MUSL_CC) $(CFLAGS_musl) $(LDFLAGS_musl) -o $@ $^

# Both scripts know by a hash of their inputs whether there is anything to do.
$(BUILD)/vmlinux: $(wildcard image/kernel/build image/kernel/*.config image/kernel/patches/*)
	$(call say,KERNEL)mkdir -p $(@D) && image/kernel/build $@

$(BUILD)/default.erofs: $(wildcard image/default/*) $(BUILD)/sandbox
	$(call say,IMAGE)mkdir -p $(@D) && SANDBOX=$(BUILD)/sandbox image/default/build $@

# ---------------------------------------------------------------------------------------------------------------------
# The TypeScript package, in $(BUILD)/node: laid out as npm would install it, with the platform's package beside its dependencies

node_dir := $(BUILD)/node
node_platform := $(node_dir)/node_modules/@torkbot/sandbox-linux-x64-gnu
# With a Node.js that is new enough in front.
NODE_ENV_PATH = PATH="$$(tools/node-dir):$$PATH"

.PHONY: node
node: $(node_dir)/.package ## the TypeScript package and its addon, in build/node

$(node_dir)/.modules: node/package.json node/package-lock.json
	@mkdir -p $(@D) && cp $^ $(@D)/
	$(call say,NPM,$(@D)/node_modules)cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1 || { cat npm.log; exit 1; }
	@touch $@

$(node_dir)/sandbox.node: $(call objs,addon,$(src_addon)) $(BUILD)/libsbx.a
	$(call say,LINK)$(CC) $(CFLAGS_obj) -shared -Wl,--exclude-libs,ALL -Wl,-z,relro,-z,now -Wl,--gc-sections -o $@ $^

# Sources are linked, not copied: messages and source maps name files whose text is the source's.
$(node_dir)/.typescript: $(wildcard node/src/*.ts node/test/*.ts node/tsconfig*.json examples/typescript/*.ts) $(node_dir)/.modules
	@mkdir -p $(@D) && ln -sfn "$(CURDIR)/node/src" $(@D)/src && ln -sfn "$(CURDIR)/node/test" $(@D)/test && ln -sfn "$(CURDIR)/examples/typescript" $(@D)/examples && cp node/tsconfig*.json $(@D)/
	@rm -rf $(@D)/dist $(@D)/test-dist $(@D)/examples-dist
	$(call say,TSC,$(@D)/dist)for p in tsconfig.json tsconfig.test.json tsconfig.examples.json; do $(NODE_ENV_PATH) $(node_dir)/node_modules/.bin/tsc -p $(@D)/$$p; done
	@touch $@

$(node_dir)/.package: $(node_dir)/.typescript $(node_dir)/sandbox.node $(programs) $(images)
	@mkdir -p $(node_platform)
	@echo '{ "name": "@torkbot/sandbox-linux-x64-gnu", "version": "$(VERSION)" }' >$(node_platform)/package.json
	@ln -sf $(call absolute,$(programs) $(images) $(node_dir)/sandbox.node) $(node_platform)/
	@touch $@

# Tests of the package without a VM: a program in the place of sandbox-host, and the addon once more with sanitizers. SANDBOX_LIBDIR takes such a directory.
$(node_dir)/fake-host: $(BUILD)/obj/tests/node/fake_host.o $(BUILD)/obj/libshared.a
	$(call say,LINK)$(CC) $(CFLAGS_obj) $(LDFLAGS_obj) -o $@ $^

$(node_dir)/sandbox-san.node: $(call objs,addon-san,$(src_addon) $(src_client) $(src_shared) $(src_policy))
	$(call say,LINK)gcc $(CFLAGS_addon-san) -shared -o $@ $^

.PHONY: node-tests
node-tests: $(node_dir)/.fakes
$(node_dir)/.fakes: $(node_dir)/.package $(node_dir)/fake-host $(node_dir)/sandbox-san.node
	@for fake in fake fake-san; do mkdir -p $(node_dir)/$$fake; \
		ln -sf $(call absolute,$(programs) $(images)) $(node_dir)/$$fake/; ln -sf ../fake-host $(node_dir)/$$fake/sandbox-host; done
	@ln -sf ../sandbox.node $(node_dir)/fake/sandbox.node; ln -sf ../sandbox-san.node $(node_dir)/fake-san/sandbox.node
	@touch $@

# What npm would publish: the package, and one for this platform with everything that is not JavaScript. Stripped; no scripts run at installation.
npm_dir := $(BUILD)/npm
.PHONY: package
package: $(npm_dir)/.packed ## npm tarballs of the TypeScript package and of this platform's, in build/npm

$(npm_dir)/.packed: $(node_dir)/.package tools/npm-package node/README.md LICENSE-MIT LICENSE-APACHE
	$(call say,NPM PACK,$(@D))$(NODE_ENV_PATH) VERSION=$(VERSION) tools/npm-package $(node_dir) $(BUILD) $(@D)
	@touch $@

# ---------------------------------------------------------------------------------------------------------------------
# Tests

# Calls that FAULT_LOOP can fail; the list is in the file that defines them.
fault_wrap := $(shell sed -n 's/^WRAP.[^,]*,[^,]*,[^,]*, \([a-z0-9_]*\),.*/-Wl,--wrap=\1/p' tests/support/fault.c)
# And the clock, which a test may let run ahead (tests/support/clock.c).
clock_wrap := -Wl,--wrap=clock_mono_ns

# $(call test_rules,SET): the archives of a set and how each kind of test program is linked from them.
define test_rules
$$(BUILD)/$1/libsrc.a: $$(call objs,$1,$$(src_testable))
	$$(call say,AR)$$(ARCHIVE)
$$(BUILD)/$1/libtest.a: $$(call objs,$1,$$(test_support))
	$$(call say,AR)$$(ARCHIVE)
$$(BUILD)/$1/tests/unit/test_%: $$(BUILD)/$1/tests/unit/test_%.o $$(BUILD)/$1/libtest.a $$(BUILD)/$1/libsrc.a
	$$(call say,LINK)$$(CC_$1) $$(CFLAGS_$1) $$(fault_wrap) $$(clock_wrap) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LIBS_host)
$$(BUILD)/$1/tests/kvm/test_%: $$(BUILD)/$1/tests/kvm/test_%.o $$(BUILD)/$1/libtest.a $$(BUILD)/$1/libsrc.a
	$$(call say,LINK)$$(CC_$1) $$(CFLAGS_$1) -o $$@ $$^ $$(LIBS_host)
$$(BUILD)/$1/tests/e2e/test_%: $$(BUILD)/$1/tests/e2e/test_%.o $$(BUILD)/$1/libtest.a $$(BUILD)/$1/libsrc.a
	$$(call say,LINK)$$(CC_$1) $$(CFLAGS_$1) -o $$@ $$^ $$(LIBS_host)
endef
$(eval $(call test_rules,gcc-san))
$(eval $(call test_rules,clang-san))

# The tests of what init does for its jobs once more as it is shipped: a child that runs in init's memory is more than a sanitizer can follow.
$(BUILD)/musl/tests/unit/test_guest_jobs: $(call objs,musl,tests/unit/test_guest_jobs.c tests/support/test.c tests/support/fault.c \
		$(filter-out guest/main.c,$(src_guest))) $(BUILD)/musl/libshared.a
	$(call say,LINK)$(MUSL_CC) $(CFLAGS_musl) $(LDFLAGS_musl) $(fault_wrap) -o $@ $^

# The C end-to-end tests a second time as they would be shipped, against libsbx.a; static, so that they run anywhere.
$(BUILD)/obj/libtest.a: $(call objs,obj,$(addprefix tests/support/,test.c dirfs.c vmmem.c vmrig.c))
	$(call say,AR)$(ARCHIVE)
$(BUILD)/obj/tests/e2e/test_%: $(BUILD)/obj/tests/e2e/test_%.o $(BUILD)/obj/libtest.a $(BUILD)/libsbx.a
	$(call say,LINK)$(CC) $(CFLAGS_obj) $(LDFLAGS_obj) -o $@ $^

# What end-to-end tests copy into the guest: static, from standard input.
guest_tests := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/guest/*.c)))
node-tests: $(guest_tests)
$(guest_tests): $(BUILD)/%: $(BUILD)/musl/%.o
	@mkdir -p $(@D)
	$(call say,LINK)$(MUSL_CC) $(CFLAGS_musl) $(LDFLAGS_musl) -o $@ $^

# What `make bench` runs: tools on the host, and static programs for the guest.
bench_tools := $(addprefix $(BUILD)/bench/,interleave exec kvm_start fs_ops fs_server fs_callbacks fs_host tls http_hooks http_tap http_peer net_ops net_server net_peers forkexec off fsload netload port)
$(BUILD)/bench/interleave: $(BUILD)/obj/bench/interleave.o
$(BUILD)/bench/exec: $(BUILD)/obj/bench/exec.o $(BUILD)/libsbx.a
$(BUILD)/bench/kvm_start: $(BUILD)/obj/bench/kvm_start.o $(call objs,obj,$(src_doors))
$(BUILD)/bench/fs_ops: $(addprefix $(BUILD)/obj/bench/,fs_ops.o front.o vhost.o)
$(BUILD)/bench/fs_server: $(BUILD)/obj/bench/fs_server.o $(BUILD)/obj/bench/serve.o $(call objs,obj,$(src_doors))
$(BUILD)/bench/tls: $(BUILD)/obj/bench/tls.o $(call objs,obj,$(src_doors))
$(BUILD)/bench/http_hooks: $(BUILD)/obj/bench/http_hooks.o $(BUILD)/libsbx.a
$(BUILD)/bench/http_tap: $(BUILD)/obj/bench/http_tap.o $(call objs,obj,$(filter-out src/host/main.c,$(src_host)))
$(BUILD)/bench/http_peer: $(BUILD)/obj/bench/http_peer.o $(BUILD)/obj/src/base/clock.o
$(BUILD)/bench/fs_callbacks: $(addprefix $(BUILD)/obj/bench/,fs_callbacks.o front.o vhost.o) $(BUILD)/libsbx.a
$(BUILD)/bench/fs_host: $(BUILD)/obj/bench/fs_host.o $(call objs,obj,$(filter-out src/host/main.c,$(src_host)))
$(BUILD)/bench/net_ops: $(addprefix $(BUILD)/obj/bench/,net_ops.o peers.o vhost.o) $(call objs,obj,$(src_doors))
$(BUILD)/bench/net_peers: $(addprefix $(BUILD)/obj/bench/,net_peers.o peers.o)
$(BUILD)/bench/net_server: $(addprefix $(BUILD)/obj/bench/,net_server.o serve.o) $(call objs,obj,$(src_doors))
$(addprefix $(BUILD)/bench/,interleave exec kvm_start fs_ops fs_server fs_callbacks fs_host tls http_hooks http_tap http_peer net_ops net_server net_peers):
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CFLAGS_obj) $(LDFLAGS_obj) -o $@ $^ $(LIBS_host)
$(BUILD)/bench/forkexec $(BUILD)/bench/off $(BUILD)/bench/fsload $(BUILD)/bench/netload: $(BUILD)/bench/%: $(BUILD)/musl/bench/guest/%.o
	@mkdir -p $(@D)
	$(call say,LINK)$(MUSL_CC) $(CFLAGS_musl) $(LDFLAGS_musl) -o $@ $^
$(BUILD)/bench/port: bench/guest/port.S
	@mkdir -p $(@D)
	$(call say,AS)gcc -nostdlib -static -no-pie -Wl,-Ttext=0x1000000,--build-id=none,-e,start -o $@ $<

# The freestanding guest of the kvm tests: one ELF program beside them, loaded by the engine as if it were a kernel.
guest_all := $(BUILD)/gcc-san/tests/kvm/guest_all
$(guest_all): $(wildcard tests/kvm/guest/*)
	@mkdir -p $(@D)
	$(call say,GUEST)gcc -std=gnu17 $(WARN) -O1 -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fcf-protection=none -mno-red-zone \
		-mgeneral-regs-only -fno-asynchronous-unwind-tables -static -nostdlib -no-pie -Wl,--build-id=none -Wl,-Ttext-segment=0x200000 \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,-z,max-page-size=4096 -o $@ $(filter %.c,$^)

# The laboratory's test of itself.
lab_check := $(BUILD)/obj/tests/lab/check-kvm
$(lab_check): $(lab_check).o
	$(call say,LINK)$(CC) $(CFLAGS_obj) $(LDFLAGS_obj) -o $@ $^

# Fuzzers by clang; the same function in a plain gcc program that replays files.
$(BUILD)/fuzz/fuzz_%: $(BUILD)/clang-san/tests/fuzz/fuzz_%.o $(BUILD)/clang-san/libtest.a $(BUILD)/clang-san/libsrc.a
	@mkdir -p $(@D)
	$(call say,FUZZER)clang $(CFLAGS_clang-san) -fsanitize=fuzzer -o $@ $^ $(LIBS_host)
$(BUILD)/fuzz/replay_%: $(BUILD)/gcc-san/tests/fuzz/fuzz_%.o $(BUILD)/gcc-san/tests/replay/main.o \
		$(BUILD)/gcc-san/libtest.a $(BUILD)/gcc-san/libsrc.a
	@mkdir -p $(@D)
	$(call say,LINK)gcc $(CFLAGS_gcc-san) -o $@ $^ $(LIBS_host)

unit_gcc := $(patsubst %.c,$(BUILD)/gcc-san/%,$(test_unit))
unit_musl := $(BUILD)/musl/tests/unit/test_guest_jobs
unit_clang := $(patsubst %.c,$(BUILD)/clang-san/%,$(test_unit))
kvm_gcc := $(patsubst %.c,$(BUILD)/gcc-san/%,$(test_kvm)) $(guest_all)
e2e_gcc := $(patsubst %.c,$(BUILD)/gcc-san/%,$(test_e2e))
e2e_static := $(patsubst %.c,$(BUILD)/obj/%,$(test_e2e))
fuzzers := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(test_fuzz))
replays := $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/fuzz/replay_%,$(test_fuzz))

.PHONY: test-unit-programs test-programs
test-unit-programs: $(unit_gcc)
# The clang objects of programs that are not linked are there for clang's warnings.
test-programs: $(guest_tests) $(unit_gcc) $(unit_clang) $(unit_musl) $(kvm_gcc) $(e2e_gcc) $(e2e_static) $(lab_check) $(fuzzers) $(replays) \
	$(call objs,clang-san,$(src_cli) src/host/main.c guest/main.c $(wildcard tests/lab/*.c bench/*.c))

.PHONY: test check lint test-lab test-node
test: ## everything: builds, static checks, unit, fuzz, KVM, end-to-end and laboratory tests; ends in one line
	$(Q)$(envs) tools/test all

check: ## fast: static checks and unit tests (gcc)
	$(Q)$(envs) tools/test check

lint: ## static checks only
	$(Q)$(envs) tools/test lint

test-lab: ## the whole end-to-end suite with --engine kvm in the laboratory
	$(Q)$(envs) tools/test lab

test-node: ## the TypeScript package's suites by Node.js 20, 22 and 24
	$(Q)$(envs) tools/test node

envs = MAKE='$(MAKE)' JOBS=$(JOBS) BUILD='$(BUILD)' SBX_BUILD='$(abspath $(BUILD))' SANDBOX='$(abspath $(BUILD))/sandbox'

# ---------------------------------------------------------------------------------------------------------------------
# Static checks by clang-tidy: one stamp a file, so that only what changed is read again

tidy_sources := $(src_all) $(src_guest) $(src_cli) $(src_addon)
tidy_stamps := $(patsubst %.c,$(BUILD)/tidy/%.ok,$(tidy_sources))
.PHONY: tidy format
tidy: $(tidy_stamps)
$(patsubst %.c,$(BUILD)/tidy/%.ok,$(src_addon)): $(ready_addon)
$(BUILD)/tidy/%.ok: %.c .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$<)out=$$(nice clang-tidy --quiet $< -- $(CPPFLAGS_ALL) $(CPPFLAGS_$*) $(if $(filter node/%,$<),$(NODE_INCLUDE)) -std=gnu17 -MMD -MP -MT $@ -MF $(@:.ok=.d) \
		2>$@.err) && ! grep -F .clang-tidy: $@.err || { printf '%s\n' "$$out"; cat $@.err; exit 1; } # a broken configuration is ignored
	@rm -f $@.err; touch $@

format: ## rewrite the sources in the project's layout
	$(Q)tools/check-format --fix

# ---------------------------------------------------------------------------------------------------------------------
# Running

# The command that `make run` runs in the guest.
RUN ?= uname -a

.PHONY: run lab bench fuzz
run: ## install what is needed, build, boot a microVM and run a command in it; RUN='ls -l /'
	$(Q)tools/deps build run
	$(Q)$(MAKE) all
	$(Q)$(BUILD)/sandbox run -- $(RUN)

lab: ## run a command in the KVM laboratory; CMD='build/sandbox doctor'
	$(Q)$(if $(CMD),,echo "usage: make lab CMD='build/sandbox doctor'"; exit 2)
	$(Q)tools/deps build run lab
	$(Q)$(MAKE) all
	$(Q)$(envs) tests/lab/run -- sh -c '$(subst ','\'',$(CMD))'

bench: ## measure against the peers: a table, and build/bench.jsonl
	$(Q)tools/deps build run test lab bench node
	$(Q)$(MAKE) all node $(bench_tools)
	$(Q)$(envs) bench/run

TIME ?= 60
fuzz: ## fuzz one door for long: FUZZ=virtq TIME=600
	$(Q)$(if $(FUZZ),,echo 'usage: make fuzz FUZZ=DOOR [TIME=SECONDS]; doors: $(patsubst tests/fuzz/fuzz_%.c,%,$(test_fuzz))'; exit 2)
	$(Q)$(MAKE) $(BUILD)/fuzz/fuzz_$(FUZZ)
	$(Q)$(envs) tools/fuzz $(FUZZ) -max_total_time=$(TIME)

# ---------------------------------------------------------------------------------------------------------------------
# Housekeeping

.PHONY: install clean help
install: all ## install under $(DESTDIR)$(prefix)
	$(call say,INSTALL,$(DESTDIR)$(prefix))install -d $(addprefix $(DESTDIR),$(bindir) $(libdir) $(includedir) $(pkgconfigdir) $(pkglibdir))
	$(Q)install -m 755 $(BUILD)/sandbox $(DESTDIR)$(bindir)/
	$(Q)install -m 755 $(BUILD)/sandbox-host $(BUILD)/sandbox-init $(DESTDIR)$(pkglibdir)/
	$(Q)install -m 644 $(BUILD)/vmlinux $(BUILD)/default.erofs $(DESTDIR)$(pkglibdir)/
	$(Q)install -m 644 $(BUILD)/libsbx.a $(DESTDIR)$(libdir)/
	$(Q)install -m 755 $(BUILD)/libsbx.so.$(SOVERSION) $(DESTDIR)$(libdir)/
	$(Q)ln -sf libsbx.so.$(SOVERSION) $(DESTDIR)$(libdir)/libsbx.so
	$(Q)install -m 644 include/sbx.h $(DESTDIR)$(includedir)/
	$(Q)install -m 644 $(BUILD)/sbx.pc $(DESTDIR)$(pkgconfigdir)/

clean: ## remove build/ (the caches outside of the tree stay)
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18
	@echo '  Variables: BUILD=dir CC=gcc|clang JOBS=n V=1 prefix=dir DESTDIR=dir'

-include $(shell [ -d $(BUILD) ] && find $(BUILD) -name '*.d' 2>/dev/null)
