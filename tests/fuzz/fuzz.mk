# The fuzzers. In make check each replays its corpus, tests/fuzz/corpus/NAME, built like
# everything else. make fuzz builds them with clang and searches for new inputs, each for
# FUZZ_SECONDS; what it finds is kept in .build/fuzz/found, out of the tree.

FUZZ_SECONDS ?= 30

fuzzers := catalog challenge config content_range gs retry_after sums template url

fuzz_programs := $(addprefix $(B)/tests/fuzz/replay/,$(fuzzers))
fuzz_search   := $(addprefix $(B)/tests/fuzz/search/,$(fuzzers))
fuzz          := $(B)/tests/fuzz_tests

$(fuzz_programs): $(B)/tests/fuzz/replay/%: $(B)/tests/fuzz/%.o $(B)/tests/fuzz/replay.o \
                  $(libfs) $(libfetch) $(libcas)
	@mkdir -p $(@D)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(dep_libs)
$(fuzz): $(call objects,tests/fuzz/check) $(arena) $(fuzz_programs)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $(filter %.o,$^) $(criterion)

check check-code check-fuzz: export FUZZ_PROGRAMS := $(abspath $(B)/tests/fuzz/replay)
check check-code check-fuzz: export FUZZ_CORPUS := $(abspath tests/fuzz/corpus)

check-fuzz: $(fuzz)
	@tests/run $(fuzz)

$(fuzz_search): $(B)/tests/fuzz/search/%: $(B)/tests/fuzz/%.o $(libfs) $(libfetch) $(libcas)
	@mkdir -p $(@D)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -fsanitize=fuzzer -o $@ $^ $(dep_libs)

fuzz-search: $(fuzz_search)
	@tests/fuzz/search $(FUZZ_SECONDS) tests/fuzz/corpus $(B) $^

fuzz_probe := .build/fuzz/probe

# libFuzzer is no part of Debian's package clang, which only recommends it.
fuzz:
	@mkdir -p $(dir $(fuzz_probe))
	@echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' | \
	        clang -fsanitize=fuzzer,address,undefined -x c -o $(fuzz_probe) - 2>/dev/null || \
	        { echo "make fuzz: no clang with libFuzzer: run scripts/install-deps build fuzz" >&2; \
	          exit 1; }
	@$(MAKE) --no-print-directory B=.build/fuzz CC=clang \
	        SANITIZE=fuzzer-no-link,address,undefined \
	        CFLAGS="-O1 -g -fno-sanitize-recover=undefined" fuzz-search

.PHONY: check-fuzz fuzz fuzz-search

scripts += tests/fuzz/search
