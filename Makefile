# Makefile - builds redis-kv, its tests and its tools; `make help` lists what it can do.
# SPDX-License-Identifier: BSD-3-Clause
#
# Every flavour of build (release, plain, sanitized, fuzz) keeps its objects in a folder of its own below $(BUILD),
# so that they never mix, and builds anew when its flags change. Sources are found by wildcard: a new file needs no
# line here. A new layer is one line in src/layers.mk.

# ---- Knobs ---------------------------------------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS ?=#                    further compiler flags, after ours
LDFLAGS ?=#                   further linker flags, after ours
SAN ?=#                       sanitizers, as in SAN=address,undefined; the binary is then build/san-.../redis-kv
LTO ?= 1#                     link-time optimisation of the release build; LTO=0 is the flavour that tests link
MALLOC ?= jemalloc#           jemalloc or libc; sanitized builds always take libc
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
BUILD ?= build
SEED ?=#                      make sim SEED=n replays one run
FUZZ_SECONDS ?= 60#           make fuzz: time for each fuzzer
FUZZ_CC ?= clang-14
CLANG_FORMAT ?= clang-format-14
V ?=#                         V=1 prints every command

CFLAGS := $(strip $(CFLAGS))
LDFLAGS := $(strip $(LDFLAGS))
SAN := $(strip $(SAN))
LTO := $(strip $(LTO))
MALLOC := $(strip $(MALLOC))
SEED := $(strip $(SEED))
FUZZ_SECONDS := $(strip $(FUZZ_SECONDS))
V := $(strip $(V))

# ---- Flavour: where objects live and how they are compiled ------------------------------------------------------

comma := ,
empty :=
space := $(empty) $(empty)

MACHINE := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))

ifneq ($(SAN),)
FLAVOUR := san-$(subst $(comma),-,$(SAN))
MALLOC := libc
LTO := 0
else ifeq ($(LTO),1)
FLAVOUR := release
else
FLAVOUR := plain
endif
ifneq ($(IS_CLANG),)
FLAVOUR := $(FLAVOUR)-clang
LTO := 0
endif
OUT := $(BUILD)/$(FLAVOUR)

LANGUAGE := -std=gnu11 -D_GNU_SOURCE -Isrc
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wwrite-strings \
            -Werror
ifneq ($(IS_CLANG),)
STACK_WARNING := -Wframe-larger-than=16384
else
STACK_WARNING := -Wstack-usage=16384
endif

# Code that runs on every x86-64 of the last fifteen years (SSE4.2); other machines take their compiler's default.
ifeq ($(MACHINE),x86_64)
TARGET := -march=x86-64-v2
HARDENING := -fcf-protection=full
else ifeq ($(MACHINE),aarch64)
HARDENING := -mbranch-protection=standard
endif

ifneq ($(SAN),)
# Line numbers are all that their reports need of the debugger: a fifth of the compile time is saved.
OPTIMISATION := -O1 -g1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
STACK_WARNING :=
HARDENING :=
LINK_HARDENING :=
else
OPTIMISATION := -O3 -g -fno-plt -fno-semantic-interposition
HARDENING += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection
LINK_HARDENING := -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code
endif
ifeq ($(LTO),1)
OPTIMISATION += -flto=auto
endif

LIBRARIES := -llz4 -llzf -lhiredis -lnettle -lm -lpthread
ifeq ($(MALLOC),jemalloc)
LANGUAGE += -DREDIS_KV_JEMALLOC
LIBRARIES := $(shell $(CC) -print-file-name=libjemalloc_pic.a 2>/dev/null) $(LIBRARIES)
endif

COMMON := $(LANGUAGE) $(WARNINGS) $(TARGET) $(OPTIMISATION) $(HARDENING) -fPIE
COMPILE := $(CC) $(COMMON) $(STACK_WARNING) $(CFLAGS)
COMPILE_TEST := $(CC) $(COMMON) -Itests/unit -Itests -Wno-missing-prototypes $(CFLAGS)
# Unit tests are many lines that run once: most of their time is the compiler's.
COMPILE_UNIT := $(CC) $(COMMON) -O0 -U_FORTIFY_SOURCE -Itests/unit -Itests -Wno-missing-prototypes $(CFLAGS)
LINK := $(CC) $(COMMON) $(STACK_WARNING) $(CFLAGS) -pie -Wl,--as-needed $(LINK_HARDENING) $(LDFLAGS)
LINK_TEST := $(CC) $(COMMON) $(CFLAGS) -pie -Wl,--as-needed $(LINK_HARDENING) $(LDFLAGS)
ARCHIVE := $(if $(IS_CLANG),ar,gcc-ar)

# Quiet unless V=1: one short line for each step.
ifeq ($(V),1)
say :=
Q :=
else
say = @printf '  %-6s %s\n' '$(1)' '$(2)';
Q := @
endif

# As many jobs as there are processors unless the caller says otherwise.
ifeq ($(filter -j% --jobserver%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif
MAKEFLAGS += --no-print-directory

# ---- Sources ----------------------------------------------------------------------------------------------------

include src/layers.mk

objects = $(patsubst %.c,$(OUT)/%.o,$(1))
sources = $(sort $(wildcard src/$(1)/*.c))
# A layer's objects as a library, and all libraries a layer may be linked with: the layer first, its lowest ground last.
library = $(OUT)/lib/$(1).a
reverse = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
libraries = $(foreach layer,$(1) $(call reverse,$(USES_$(1))),$(if $(call sources,$(layer)),$(call library,$(layer))))

SERVER_OBJECTS := $(foreach layer,$(LAYERS),$(call objects,$(call sources,$(layer)))) $(OUT)/src/main.o
UNIT_LAYERS := $(foreach layer,$(LAYERS),$(if $(wildcard tests/unit/$(layer)/*.c),$(layer)))
UNIT_PROGRAMS := $(UNIT_LAYERS:%=$(OUT)/unit-%)
SIM_SOURCES := $(sort $(wildcard tests/sim/*.c tests/sim/*/*.c))
SERVER_TEST_SOURCES := $(sort $(wildcard tests/server/*.c))
FUZZERS := $(patsubst tests/fuzz/%_fuzz.c,%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))
FORMATTED := $(sort $(shell find src tests utils -name '*.[ch]' 2>/dev/null))

ifeq ($(FLAVOUR),release)
SERVER := $(BUILD)/redis-kv
else
SERVER := $(OUT)/redis-kv
endif

# ---- What people call ---------------------------------------------------------------------------------------------

.PHONY: all run test sim bench fuzz nightly tools install format check-format check-layers clean help \
        unit-programs sim-program server-test-program tool-programs pure-objects fuzz-programs FORCE
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

all: $(SERVER) ## build/redis-kv

run: ## installs what the build needs, builds, serves on port 6379 with redis-kv.conf
	$(Q)deps/install build
	$(Q)$(MAKE) all
	$(Q)exec $(SERVER) redis-kv.conf

test: ## all tests that a change must pass; the last line counts them
	$(Q)+tests/run

sim: ## the simulator; SEED=n replays one run
	$(Q)$(MAKE) $(if $(SAN),,LTO=0) sim-program
	$(Q)$(if $(SAN),$(OUT),$(BUILD)/plain)/sim $(if $(SEED),--seed $(SEED))

bench: ## measures this server beside others
	$(Q)deps/install build bench
	$(Q)$(MAKE) SAN= LTO=1 all
	$(Q)utils/bench

fuzz: ## every fuzzer for FUZZ_SECONDS
	$(Q)+tests/run fuzz

nightly: ## all that does not fit into make test: fuzzers, many simulator seeds
	$(Q)+tests/run nightly

tools: ## the programs of utils/: build/utils/import_rdb, ...
	$(Q)deps/install build tools
	$(Q)$(MAKE) tool-programs

install: all ## into DESTDIR/PREFIX
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(SYSCONFDIR)/redis-kv' '$(DESTDIR)$(PREFIX)/share/doc/redis-kv'
	install -m 755 $(SERVER) '$(DESTDIR)$(PREFIX)/bin/redis-kv'
	install -m 644 $(wildcard README.md) LICENSE '$(DESTDIR)$(PREFIX)/share/doc/redis-kv/'
	test -e '$(DESTDIR)$(SYSCONFDIR)/redis-kv/redis-kv.conf' || \
	    install -m 640 redis-kv.conf '$(DESTDIR)$(SYSCONFDIR)/redis-kv/redis-kv.conf'

format: ## brings all C files into the house's form
	$(Q)$(CLANG_FORMAT) -i $(FORMATTED)

check-format: ## says which C files are not in that form
	$(Q)$(CLANG_FORMAT) --dry-run --Werror $(FORMATTED)

check-layers: ## includes and purity of the layers
	$(Q)$(MAKE) SAN= LTO=0 pure-objects
	$(Q)utils/check-layers $(BUILD)/plain

clean: ## removes the build folder
	rm -rf $(BUILD)

help: ## this list
	@echo 'make TARGET [KNOB=value ...]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile
	@echo 'Knobs: CC CFLAGS LDFLAGS SAN LTO MALLOC PREFIX SYSCONFDIR DESTDIR BUILD SEED FUZZ_SECONDS V'

# ---- How things are made --------------------------------------------------------------------------------------------

# Rewritten only when its text changes: whatever depends on it is made anew then.
define stamp
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' >$@
endef

$(OUT)/flags: FORCE
	$(call stamp,$(COMPILE) $(COMPILE_TEST) $(COMPILE_UNIT) $(LINK) $(LIBRARIES))

$(OUT)/src/%.o: src/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -MMD -MP -c $< -o $@

$(OUT)/tests/unit/%.o: tests/unit/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE_UNIT) -MMD -MP -c $< -o $@

$(OUT)/tests/%.o: tests/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE_TEST) -MMD -MP -c $< -o $@

$(SERVER): $(SERVER_OBJECTS) $(OUT)/lists/redis-kv
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) $(SERVER_OBJECTS) $(LIBRARIES) -o $@

# A list of a program's or library's objects: it changes when a file comes or goes.
$(OUT)/lists/redis-kv: FORCE
	$(call stamp,$(SERVER_OBJECTS))

define layer_library
$(OUT)/lists/lib-$(1): FORCE
	$$(call stamp,$(call sources,$(1)))
$(call library,$(1)): $(call objects,$(call sources,$(1))) $(OUT)/lists/lib-$(1)
	@mkdir -p $$(@D)
	$$(call say,AR,$$@)
	$(Q)rm -f $$@ && $(ARCHIVE) rcs $$@ $(call objects,$(call sources,$(1)))
endef
$(foreach layer,$(LAYERS),$(eval $(call layer_library,$(layer))))

# Unit tests: one program a layer, linked with that layer and those below it only, so that the link proves the rule.
unit_objects = $(call objects,$(sort $(wildcard tests/unit/$(1)/*.c tests/unit/*.c)) $(UNIT_ALSO_$(1)))
# Their files are kept on the simulator's disk, and their worlds answer as its own do.
UNIT_ALSO_node := tests/sim/disk.c tests/sim/poor_host.c
LINK_UNIT := $(LINK_TEST) -Wl,--export-dynamic-symbol=mbedtls_x509_crt_parse_path \
             -Wl,--export-dynamic-symbol=mbedtls_x509_crt_parse_file
define unit_program
$(OUT)/lists/unit-$(1): FORCE
	$$(call stamp,$(call unit_objects,$(1)))
$(OUT)/unit-$(1): $(call unit_objects,$(1)) $(call libraries,$(1)) $(OUT)/lists/unit-$(1)
	$$(call say,LINK,$$@)
	$(Q)$(LINK_UNIT) $(call unit_objects,$(1)) $(call libraries,$(1)) -lcriterion $(LIBRARIES) -o $$@
endef
$(foreach layer,$(UNIT_LAYERS),$(eval $(call unit_program,$(layer))))
unit-programs: $(UNIT_PROGRAMS)

# The simulator runs the whole machine without os, server and main.
SIM_OBJECTS := $(call objects,$(SIM_SOURCES))
$(OUT)/lists/sim: FORCE
	$(call stamp,$(SIM_OBJECTS))
$(OUT)/sim: $(SIM_OBJECTS) $(call libraries,node) $(OUT)/lists/sim
	$(call say,LINK,$@)
	$(Q)$(LINK_TEST) $(SIM_OBJECTS) $(call libraries,node) $(LIBRARIES) -o $@
sim-program: $(if $(SIM_SOURCES),$(OUT)/sim)

# Tests of the running server over sockets: they link no code of the server.
SERVER_TEST_OBJECTS := $(call objects,$(SERVER_TEST_SOURCES))
$(OUT)/lists/server-tests: FORCE
	$(call stamp,$(SERVER_TEST_OBJECTS))
$(OUT)/server-tests: $(SERVER_TEST_OBJECTS) $(OUT)/lists/server-tests
	$(call say,LINK,$@)
	$(Q)$(LINK_TEST) $(SERVER_TEST_OBJECTS) -lhiredis -lcriterion -lm -lpthread -o $@
server-test-program: $(if $(SERVER_TEST_SOURCES),$(OUT)/server-tests)

# Tools: each utils/VERB_THING.c is a program, linked with what it calls of the layers below the node, and with what is
# named here for it; the script utils/VERB-THING calls it. (utils/load.c is a part of utils/bench, which builds it.)
TOOL_LIBRARIES_import_rdb := -lhiredis
TOOL_FOLDER := $(if $(filter release,$(FLAVOUR)),$(BUILD),$(OUT))/utils
TOOL_LAYERS := $(call library,os) $(call libraries,store)
TOOL_SOURCES := $(sort $(wildcard utils/*_*.c))
TOOLS := $(patsubst utils/%.c,$(TOOL_FOLDER)/%,$(TOOL_SOURCES))
$(OUT)/utils/%.o: utils/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -MMD -MP -c $< -o $@
$(TOOLS): $(TOOL_FOLDER)/%: $(OUT)/utils/%.o $(TOOL_LAYERS)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) $(filter %.o,$^) $(TOOL_LAYERS) $(TOOL_LIBRARIES_$*) $(LIBRARIES) -o $@
# What it found is told by a file of its own.
$(TOOL_FOLDER)/inspect_checkpoint: $(OUT)/utils/inspect/report.o
tool-programs: $(TOOLS)
.SECONDARY: $(call objects,$(TOOL_SOURCES))

pure-objects: $(foreach layer,$(PURE_LAYERS),$(call objects,$(call sources,$(layer))))

# Fuzzers: with libFuzzer where SAN names fuzzer-no-link (make fuzz), else as programs that replay kept inputs.
FUZZ_MAIN := $(if $(findstring fuzzer,$(SAN)),,$(OUT)/tests/fuzz/replay.o)
$(OUT)/%_fuzz: $(OUT)/tests/fuzz/%_fuzz.o $(FUZZ_MAIN) $(call libraries,node)
	$(call say,LINK,$@)
	$(Q)$(subst fuzzer-no-link,fuzzer,$(LINK_TEST)) $(filter %.o,$^) $(call libraries,node) $(LIBRARIES) -o $@
# The simulator's model judges what a node answers.
$(OUT)/command_stream_fuzz: $(call objects,$(sort $(wildcard tests/sim/model*.c)) tests/sim/reply_reader.c)
fuzz-programs: $(FUZZERS:%=$(OUT)/%_fuzz)
.SECONDARY: $(FUZZERS:%=$(OUT)/tests/fuzz/%_fuzz.o)

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
