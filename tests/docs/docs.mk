# The manual, the completion, the package, the manifests.

docs := $(B)/tests/docs_tests

$(docs): $(call objects,tests/docs) $(B)/tests/boot/script.o
	@echo "  link $@"
	@$(CC) $(all_ldflags) -o $@ $^ $(criterion)

check check-docs: export DOCS_TESTS := $(abspath tests/docs)

check-docs: $(B)/assetfs $(docs)
	@ASSETFS=$(abspath $(B)/assetfs) tests/run $(docs)

# The package on each release it is for, in a root of its own: minutes, and the network.
check-deb:
	@tests/docs/releases $(RELEASES)

.PHONY: check-docs check-deb

scripts += scripts/completion/assetfs.bash $(addprefix tests/docs/,man help completion kubernetes deb releases) \
           scripts/package-deb $(addprefix scripts/deb/,postinst prerm postrm)
