# make bench: the budgets of DESIGN section 9, of a warm cache (bench-warm, two to three
# minutes) and of cold opens (bench-cold, some six), as root. MOUNT_OPTIONS goes to assetfs
# mount as it is, SIZE_MIB is the large asset's size, ROUNDS how often a cold open is
# measured. BENCH_ARGS goes to the scripts: --markdown, and groups of rows.
#
# make bench-threshold compares O_DIRECT with buffered writing, by size.

bench_dir       := $(B)/tests/bench
bench_bare      := $(bench_dir)/bare
bench_open_cost := $(bench_dir)/open-cost
bench_cold_open := $(bench_dir)/cold-open
bench_serial    := $(bench_dir)/serial
bench_openers   := $(bench_dir)/openers
bench_peak_rss  := $(bench_dir)/peak-rss
bench_warm      := $(bench_bare) $(bench_open_cost)
bench_cold      := $(bench_cold_open) $(bench_serial) $(bench_openers) $(bench_peak_rss)

$(bench_bare): $(bench_dir)/bare.o
$(bench_open_cost): $(bench_dir)/open_cost.o
$(bench_cold_open): $(bench_dir)/cold_open.o $(bench_dir)/reading.o
$(bench_serial): $(bench_dir)/serial.o $(bench_dir)/reading.o
$(bench_openers): $(bench_dir)/openers.o
$(bench_peak_rss): $(bench_dir)/peak_rss.o

$(bench_bare):   bench_libs = $(shell pkg-config --libs fuse3)
$(bench_serial): bench_libs = $(shell pkg-config --libs libcurl libcrypto)

$(bench_warm) $(bench_cold):
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(bench_libs)

# Binaries that write everything past the page cache, and nothing. (No size is below 0,
# of which gcc would warn.)
bench_direct   := $(B)/bench-direct/assetfs
bench_buffered := $(B)/bench-buffered/assetfs

$(bench_direct): FORCE
	@$(MAKE) --no-print-directory B=$(B)/bench-direct \
	        CFLAGS="$(CFLAGS) -DCAS_DIRECT_BYTES=0ull -Wno-type-limits" $@
$(bench_buffered): FORCE
	@$(MAKE) --no-print-directory B=$(B)/bench-buffered \
	        CFLAGS="$(CFLAGS) -DCAS_DIRECT_BYTES=UINT64_MAX" $@

bench_wants = @for tool in $(1); do PATH="$$PATH:/usr/sbin" command -v "$$tool" >/dev/null || \
	        { echo "make bench: $$tool is missing: run scripts/install-deps build bench" >&2; \
	          exit 1; }; done

bench_sides = COLD_OPEN=$(abspath $(bench_cold_open)) SERIAL=$(abspath $(bench_serial))

bench-warm: $(B)/assetfs $(bench_warm) $(origin)
	$(call bench_wants,fio openssl)
	@ASSETFS=$(abspath $(B)/assetfs) BARE=$(abspath $(bench_bare)) \
	        OPEN_COST=$(abspath $(bench_open_cost)) FAULTY_ORIGIN=$(abspath $(origin)) \
	        tests/bench/warm $(filter --markdown,$(BENCH_ARGS))

bench-cold: $(B)/assetfs $(bench_cold) $(origin)
	$(call bench_wants,curl nginx openssl)
	@ASSETFS=$(abspath $(B)/assetfs) $(bench_sides) OPENERS=$(abspath $(bench_openers)) \
	        PEAK_RSS=$(abspath $(bench_peak_rss)) FAULTY_ORIGIN=$(abspath $(origin)) \
	        tests/bench/cold $(BENCH_ARGS)

bench-threshold: $(bench_direct) $(bench_buffered) $(bench_cold)
	$(call bench_wants,curl nginx openssl)
	@DIRECT=$(abspath $(bench_direct)) BUFFERED=$(abspath $(bench_buffered)) $(bench_sides) \
	        tests/bench/threshold $(BENCH_ARGS)

# One after the other, also with -j: they want the machine for themselves.
bench: bench-warm
	@$(MAKE) --no-print-directory bench-cold

.PHONY: bench bench-warm bench-cold bench-threshold
