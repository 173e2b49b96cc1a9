# The tests: unit (a file per module, cas tests linked with libcas.a alone), e2e
# (the real binary on real mounts against real servers).

# The tests themselves: they are compiled more often than anything waits for them.
$(B)/tests/unit/%.o $(B)/tests/e2e/%.o $(B)/tests/torture/%.o: all_cflags += -Og -g1

$(B)/tests/unit/fs_config.o: all_cflags += -DCONFIG_EXAMPLE='"$(abspath scripts/node.conf.example)"'

cas_tests   := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/cas_*.c))
fetch_tests := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/fetch_*.c))
fs_tests    := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/fs_*.c))

criterion := $(shell pkg-config --libs criterion 2>/dev/null || echo -lcriterion)

unit_cas   := $(B)/tests/unit_cas
unit_fetch := $(B)/tests/unit_fetch
unit_fs    := $(B)/tests/unit_fs
e2e        := $(B)/tests/e2e_tests
origin     := $(B)/tests/faulty-origin

arena        := $(B)/tests/tsan_arena.o
unit_objects = $(patsubst %,$(B)/tests/unit/%.o,$(1)) $(arena)

$(unit_cas): $(call unit_objects,$(cas_tests)) $(libcas)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(criterion) -lcrypto
$(unit_fetch): $(call unit_objects,$(fetch_tests)) $(libfetch) $(libcas)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(criterion) $(dep_libs)
$(unit_fs): $(call unit_objects,$(fs_tests)) $(libfs) $(libfetch) $(libcas)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(criterion) $(dep_libs)
$(e2e): $(call objects,tests/e2e) $(arena) $(libcas)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(criterion) -lcrypto -luring -lseccomp
$(origin): $(call objects,tests/origin) $(libcas)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ -lcrypto

# The binary with points at which a test kills it, and one of another session memory. Both
# differ in a few files of fs: what else they need comes out of the libraries.
killable := $(B)/kill/assetfs
next     := $(B)/next/assetfs
hostile  := $(B)/tests/hostile-worker

variant  = $(patsubst %.c,$(B)/$(1)/%.o,$(shell grep -lE '$(2)' fs/*.c))
kill_variant := $(call variant,kill,ASSETFS_KILL_POINTS|fs_kill_point)
next_variant := $(call variant,next,FS_MEMORY_VERSION)

$(kill_variant): all_cflags += -DASSETFS_KILL_POINTS
$(next_variant): all_cflags += -DFS_MEMORY_VERSION=99

define compile_variant
	@mkdir -p $(@D)
	@echo "  cc $< ($@)"
	@$(CC) $(all_cflags) -MMD -MP -c -o $@ $<
endef
$(kill_variant): $(B)/kill/%.o: %.c
	$(compile_variant)
$(next_variant): $(B)/next/%.o: %.c
	$(compile_variant)

# Before the library that has the same names.
$(killable): $(B)/fs/main.o $(kill_variant) $(libfs) $(libfetch) $(libcas)
$(next): $(B)/fs/main.o $(next_variant) $(libfs) $(libfetch) $(libcas)
$(killable) $(next):
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(dep_libs)
$(hostile): $(call objects,tests/hostile) $(libcas)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ -lcrypto

unit_binaries := $(unit_cas) $(unit_fetch) $(unit_fs)

include tests/boot/boot.mk
include tests/docs/docs.mk
include tests/power/power.mk
include tests/torture/torture.mk
include tests/vm/vm.mk
-include tests/fuzz/fuzz.mk

check-unit: $(unit_binaries)
	@tests/run $(unit_binaries)

needed := $(B)/assetfs $(killable) $(next) $(hostile) $(unit_binaries) $(torture) $(e2e) $(origin) \
          $(fuzz)

run_env = ASSETFS=$(abspath $(B)/assetfs) FAULTY_ORIGIN=$(abspath $(origin)) \
          ASSETFS_KILLABLE=$(abspath $(killable)) ASSETFS_NEXT=$(abspath $(next)) \
          HOSTILE_WORKER=$(abspath $(hostile))
run = $(run_env) tests/run $(unit_binaries) $(torture) $(fuzz) $(e2e)

check: $(needed) $(boot) $(docs) $(power)
	@$(run) $(boot) $(docs) $(power)

# Without what scripts, unit files and packages do: a sanitizer sees nothing new there.
check-code: $(needed)
	@$(run)

# Line tables are all that a report shows.
asan = $(MAKE) --no-print-directory B=.build/asan SANITIZE=address,undefined \
               CFLAGS="-O1 -g1 -fno-sanitize-recover=undefined"
tsan = $(MAKE) --no-print-directory B=.build/tsan SANITIZE=thread CFLAGS="-O1 -g1"

build-code: $(needed)
build-unit: $(unit_binaries)

build-asan:
	@$(asan) build-code

check-asan:
	@$(asan) check-code

build-tsan-unit:
	@$(tsan) build-unit

# Without address space randomization: gcc 12's ThreadSanitizer does not know how far the
# kernels since 6.6 go with it.
check-tsan:
	@setarch -R $(tsan) check-code

# The suites in which no thread is started, neither by a test nor by what it tests. check-tsan
# has them as well.
unthreaded := cas_@(digest|inventory|kept|map|pins|quarantine|record)|fetch_@(catalog|cause|header|memory|net|origin|places|plan|proxy|template|url)|fs_@(account|backing|config|memory|metrics|node|node_restart|opener|options|readable|snapshot|status|terminal|watchdog)

check-tsan-unit: export TESTS ?= !($(unthreaded))/*
check-tsan-unit:
	@setarch -R $(tsan) check-unit

# The model test at length: MODEL_RUNS seeds from MODEL_SEED on, each with MODEL_OPS operations.
MODEL_RUNS ?= 50
MODEL_OPS  ?= 2000
MODEL_SEED ?= $(shell date +%s)

check-model: $(needed)
	@for run in $$(seq 0 $$(($(MODEL_RUNS) - 1))); do \
	        ASSETFS_SEED=$$(($(MODEL_SEED) + run)) ASSETFS_MODEL_OPS=$(MODEL_OPS) \
	        TESTS='model/*' $(run_env) tests/run $(e2e) || exit 1; \
	done

# How long a mount and an eviction take among so many blobs, beside 100.
ASSETFS_CROWD ?= 100000

check-crowd: $(needed)
	@ASSETFS_CROWD=$(ASSETFS_CROWD) TESTS='evict/a_crowd*' $(run_env) tests/run $(e2e)

demo: $(B)/assetfs
	@ASSETFS=$(abspath $(B)/assetfs) scripts/lib/demo

-include tests/bench/bench.mk

.PHONY: check check-code check-unit check-asan check-tsan check-tsan-unit check-model check-crowd demo \
        build-code build-unit build-asan build-tsan-unit

sources := $(wildcard cas/*.c fetch/*.c fs/*.c tests/*.c tests/unit/*.c tests/e2e/*.c \
                      tests/origin/*.c tests/hostile/*.c tests/boot/*.c tests/docs/*.c tests/power/*.c tests/vm/*.c \
                      tests/torture/*.c \
                      tests/bench/*.c tests/fuzz/*.c tests/fuzz/check/*.c)
headers := $(wildcard cas/*.h fetch/*.h fs/*.h tests/unit/*.h tests/e2e/*.h tests/origin/*.h \
                      tests/fuzz/*.h tests/bench/*.h tests/boot/*.h tests/power/*.h tests/vm/*.h \
                      tests/torture/*.h)
scripts += scripts/install-deps scripts/demo scripts/check scripts/lib/demo tests/run \
           tests/bench/lib tests/bench/sides tests/bench/warm tests/bench/cold \
           tests/bench/threshold .ci/run

lint: lint-format lint-shell lint-yaml lint-cppcheck lint-tidy

lint-format:
	clang-format --dry-run -Werror $(sources) $(headers)

lint-shell:
	shellcheck -x $(scripts)

lint-yaml:
	yamllint -s -d '{extends: relaxed, rules: {line-length: {max: 110}}}' scripts/kubernetes scripts/fleet

lint-cppcheck:
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
	         --error-exitcode=1 -I. -D_GNU_SOURCE -j2 $(filter-out tests/%,$(sources))

lint-tidy:
	printf '%s\n' $(filter-out tests/%,$(sources)) | \
	        xargs -P2 -n4 sh -c 'clang-tidy --quiet "$$@" -- -std=gnu11 -D_GNU_SOURCE \
	        -DFUSE_USE_VERSION=312 -I. $(dep_inc) 2>/dev/null' sh

.PHONY: lint lint-format lint-shell lint-yaml lint-cppcheck lint-tidy
