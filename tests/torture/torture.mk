# Torture (tests/torture/torture.c): each system call of the store fails in turn. make check has
# each call fail once, make check-torture with every error. TORTURE='download fsync 1 EIO' is one case.

comma   := ,
torture := $(B)/tests/torture_tests

# The list that the wrappers are made from, so that none is left out.
torture_calls := $(shell sed -n 's/^ *X(\([a-z0-9]*\)).*/\1/p' tests/torture/faults.h) __pread64_chk

$(torture): $(call objects,tests/torture) $(libcas)
	@echo "  link $@"
	@$(CC) $(all_ldflags) $(addprefix -Wl$(comma)--wrap=,$(torture_calls)) -o $@ $^ $(criterion) -lcrypto

check-torture: export TORTURE ?= all
check-torture: $(torture)
	@tests/run $(torture)

.PHONY: check-torture
