# The boot integration: the unit, the mount helper, make install.

boot := $(B)/tests/boot_tests

$(boot): $(call objects,tests/boot)
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(criterion)

check check-boot: export BOOT_TESTS := $(abspath tests/boot)

check-boot: $(B)/assetfs $(boot)
	@ASSETFS=$(abspath $(B)/assetfs) tests/run $(boot)

.PHONY: check-boot

scripts += scripts/systemd/mount.assetfs scripts/systemd/ensure-user \
           $(addprefix tests/boot/,lib helper install systemd)
