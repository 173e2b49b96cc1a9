# The manual, the completion, the package, the manifests.

docs := $(B)/tests/docs_tests

$(docs): $(call objects,tests/docs) $(B)/tests/boot/script.o
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(criterion)

check check-docs: export DOCS_TESTS := $(abspath tests/docs)

check-docs: $(B)/assetfs $(docs)
	@ASSETFS=$(abspath $(B)/assetfs) tests/run $(docs)

.PHONY: check-docs

scripts += scripts/completion/assetfs.bash $(addprefix tests/docs/,man help completion kubernetes)
