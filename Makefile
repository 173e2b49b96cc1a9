# assetfs: the room's libraries, the binary, the tests.
#
#   make            the binary, .build/assetfs
#   make demo       the main job, to look at
#   make check      every test; make check-asan and make check-tsan under sanitizers
#   make lint       clang-tidy, cppcheck, shellcheck, clang-format
#   make install    PREFIX=/usr/local, DESTDIR
#
# Builds live in .build, one folder for each kind, so that they never mix.

PREFIX ?= /usr/local
CC     ?= gcc
B      ?= .build

.DEFAULT_GOAL := all

deps     := fuse3 libcurl libcrypto jansson libseccomp
dep_inc  := $(shell pkg-config --cflags $(deps))
dep_libs := $(shell pkg-config --libs $(deps))

warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion \
            -Wno-sign-conversion -Wvla -Wformat=2 -Wundef
harden   := -fstack-protector-strong -fPIE
ifeq ($(SANITIZE),)
harden   += -D_FORTIFY_SOURCE=2
else
sanitize := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer
endif
ifneq ($(CI),)
warnings += -Werror
endif

CFLAGS ?= -O2 -g
all_cflags  := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=312 -I. \
               $(warnings) $(harden) $(CFLAGS) $(sanitize) $(dep_inc) -pthread
all_ldflags := -pie -Wl,-z,relro,-z,now -pthread $(LDFLAGS) $(sanitize)

objects = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)/*.c))
cas_objects   := $(call objects,cas)
fetch_objects := $(call objects,fetch)
fs_objects    := $(filter-out $(B)/fs/main.o,$(call objects,fs))

# The arrow is fs -> fetch -> cas. The order of the libraries is the order of the
# arrow, and the cas tests link libcas.a alone: an upward call does not link.
libcas   := $(B)/libcas.a
libfetch := $(B)/libfetch.a
libfs    := $(B)/libfs.a

all: $(B)/assetfs

$(B)/assetfs: $(B)/fs/main.o $(libfs) $(libfetch) $(libcas)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(dep_libs)

$(libcas): $(cas_objects)
$(libfetch): $(fetch_objects)
$(libfs): $(fs_objects)
$(libcas) $(libfetch) $(libfs):
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  cc $<"
	@$(CC) $(all_cflags) -MMD -MP -c -o $@ $<

install: $(B)/assetfs
	install -D -m 755 $(B)/assetfs $(DESTDIR)$(PREFIX)/bin/assetfs

clean:
	rm -rf .build

-include tests/tests.mk

.PHONY: all install clean
-include $(shell find $(B) -name '*.d' 2>/dev/null)
