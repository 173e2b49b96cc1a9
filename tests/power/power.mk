# Power cuts (tests/power/power.c): make check-power has 200, or POWER_CUTS=N on each file system;
# POWER_SEED=N is a run's printed seed. make check has five on each.

power := $(B)/tests/power_tests

$(power): $(patsubst %,$(B)/tests/power/%.o,power load replay disk) \
          $(patsubst %,$(B)/tests/e2e/%.o,world servers openers) $(libcas)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(criterion) $(dep_libs)

check-power: export POWER_CUTS ?= 100
check-power: $(B)/assetfs $(origin) $(power)
	@ASSETFS=$(abspath $(B)/assetfs) FAULTY_ORIGIN=$(abspath $(origin)) tests/run $(power)

# Binaries that leave out fsync. Each has to be caught, or the cuts prove nothing.
unsynced := $(patsubst %,$(B)/unsynced/%/assetfs,files directories all)

$(B)/unsynced/files/no_fsync.o:       drops := -DLEAVES_OUT_FILES=1 -DLEAVES_OUT_DIRECTORIES=0
$(B)/unsynced/directories/no_fsync.o: drops := -DLEAVES_OUT_FILES=0 -DLEAVES_OUT_DIRECTORIES=1
$(B)/unsynced/all/no_fsync.o:         drops := -DLEAVES_OUT_FILES=1 -DLEAVES_OUT_DIRECTORIES=1

$(B)/unsynced/%/no_fsync.o: tests/power/no_fsync.c
	@mkdir -p $(@D)
	@$(CC) $(all_cflags) $(drops) -c -o $@ $<
$(B)/unsynced/%/assetfs: $(B)/unsynced/%/no_fsync.o $(B)/fs/main.o $(libfs) $(libfetch) $(libcas)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -Wl,--wrap=fsync,--wrap=ftruncate64 -o $@ $^ $(dep_libs)

check-power-negative: export FAULTY_ORIGIN := $(abspath $(origin))
check-power-negative: $(unsynced) $(origin) $(power)
	@tests/power/negative $(abspath $(power)) $(abspath $(unsynced))

.PHONY: check-power check-power-negative

scripts += tests/power/negative
