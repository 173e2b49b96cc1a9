# assetfs: the room's libraries, the binary, the tests.
#
#   make            the binary, .build/assetfs
#   make demo       the main job, to look at
#   make check      every test; make check-asan and make check-tsan under sanitizers
#   make lint       clang-tidy, cppcheck, shellcheck, clang-format
#   make install    PREFIX=/usr/local, DESTDIR; make uninstall takes the same files away
#
# Builds live in .build, one folder for each kind, so that they never mix.

PREFIX ?= /usr/local
CC     ?= gcc
B      ?= .build

.DEFAULT_GOAL := all

deps     := fuse3 libcurl libcrypto jansson libseccomp inih
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
	@echo "  ar $@"
	@rm -f $@
	@$(AR) rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  cc $<"
	@$(CC) $(all_cflags) -MMD -MP -c -o $@ $<

# systemd reads units below /usr and /usr/local alone, and mount(8) looks for helpers in
# /sbin alone, whatever PREFIX says.
systemd_dir  := $(if $(filter /usr /usr/local,$(PREFIX)),$(PREFIX)/lib,/etc)
unit_dir     ?= $(systemd_dir)/systemd/system
sysusers_dir ?= $(systemd_dir)/sysusers.d
helper_dir   ?= /sbin
doc_dir      ?= $(PREFIX)/share/doc/assetfs
man_dir      ?= $(PREFIX)/share/man/man8
bash_dir     ?= $(PREFIX)/share/bash-completion/completions
doc_files    := README.md scripts/node.conf.example scripts/systemd/assetfs.default \
                scripts/kubernetes/daemonset.yaml scripts/kubernetes/consumer.yaml \
                scripts/fleet/nginx.conf scripts/fleet/registry.yml scripts/fleet/squid.conf

at_prefix = sed 's|/usr/local/|$(PREFIX)/|g' $(1) | install -D -m $(3) /dev/stdin $(2)

# With DESTDIR nothing outside of it is touched. Nothing is enabled or started.
install: $(B)/assetfs
	install -D -m 755 $(B)/assetfs $(DESTDIR)$(PREFIX)/bin/assetfs
	$(call at_prefix,scripts/systemd/assetfs.service,$(DESTDIR)$(unit_dir)/assetfs.service,644)
	$(call at_prefix,scripts/systemd/mount.assetfs,$(DESTDIR)$(helper_dir)/mount.assetfs,755)
	install -D -m 644 scripts/systemd/assetfs.sysusers $(DESTDIR)$(sysusers_dir)/assetfs.conf
	$(call at_prefix,scripts/man/assetfs.8,$(DESTDIR)$(man_dir)/assetfs.8,644)
	ln -sf assetfs.8 $(DESTDIR)$(man_dir)/mount.assetfs.8
	install -D -m 644 scripts/completion/assetfs.bash $(DESTDIR)$(bash_dir)/assetfs
	install -D -m 644 -t $(DESTDIR)$(doc_dir) $(doc_files)
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" -ne 0 ] || scripts/systemd/ensure-user

# The user stays, since the cache is its; so does the cache.
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/assetfs
	rm -f $(DESTDIR)$(unit_dir)/assetfs.service
	rm -f $(DESTDIR)$(helper_dir)/mount.assetfs
	rm -f $(DESTDIR)$(sysusers_dir)/assetfs.conf
	rm -f $(addprefix $(DESTDIR)$(man_dir)/,assetfs.8 mount.assetfs.8)
	rm -f $(DESTDIR)$(bash_dir)/assetfs
	rm -f $(addprefix $(DESTDIR)$(doc_dir)/,$(notdir $(doc_files)))
	@[ ! -d $(DESTDIR)$(doc_dir) ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(doc_dir)

clean:
	rm -rf .build

-include tests/tests.mk

.PHONY: all install uninstall clean
# Not those of the builds in folders of their own, which may be at work, nor ours for them.
others := $(addprefix $(B)/,asan tsan fuzz)
ifneq ($(filter-out %-asan %-tsan %-tsan-unit,$(or $(MAKECMDGOALS),all)),)
-include $(shell find $(or $(filter-out $(others),$(wildcard $(B)/*)),/dev/null) -name '*.d')
endif
