# make bench: the budgets of DESIGN section 9 that a warm cache has to keep. Two to
# three minutes, as root. MOUNT_OPTIONS goes to assetfs mount as it is; SIZE_MIB is the
# asset's size.

bench_bare      := $(B)/tests/bench/bare
bench_open_cost := $(B)/tests/bench/open-cost

$(bench_bare): $(B)/tests/bench/bare.o
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(shell pkg-config --libs fuse3)
$(bench_open_cost): $(B)/tests/bench/open_cost.o
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^

bench: $(B)/assetfs $(bench_bare) $(bench_open_cost) $(origin)
	@command -v fio >/dev/null || \
	        { echo "make bench: fio is missing: run scripts/install-deps build bench" >&2; exit 1; }
	@ASSETFS=$(abspath $(B)/assetfs) BARE=$(abspath $(bench_bare)) \
	        OPEN_COST=$(abspath $(bench_open_cost)) FAULTY_ORIGIN=$(abspath $(origin)) \
	        tests/bench/warm

.PHONY: bench
