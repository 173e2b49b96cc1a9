# The daemon in a virtual machine: power cuts, disks that fail, other kernels. Takes minutes,
# so it is a target of its own; tests/vm/run says what it proves.

vm      := $(B)/vm
vm_root := $(vm)/root
vm_programs := $(B)/assetfs $(origin) $(vm)/disk

$(vm)/disk: tests/vm/disk.c
	@mkdir -p $(@D)
	@echo "  cc $<"
	@$(CC) $(all_cflags) -o $@ $<

# The digests and sizes of what the guest's origin makes: 48 from 20 KB to 1 MB, and 6 large ones,
# together more than twice the cache that a guest of the power cuts has.
$(vm)/assets: $(origin)
	@mkdir -p $(@D)
	@for size in $$(seq 20011 20011 960528) $$(seq 1500000 1500005); do \
	        echo "$$($(origin) --digest $$size) $$size"; done >$@

$(vm_root): $(vm_programs) $(vm)/assets $(wildcard tests/vm/guest/*) FORCE
	@rm -rf $@ && mkdir -p $@/bin $@/etc $@/scenarios
	@for program in $(vm_programs); do strip -o $@/bin/$$(basename $$program) $$program; done
	@cp tests/vm/guest/init $@/init && chmod 755 $@/init
	@cp tests/vm/guest/modules $(vm)/assets $@/etc/
	@cp $(addprefix tests/vm/guest/,lib cut faults kernel) $@/scenarios/
	@printf '%s\n' 'root:x:0:0::/root:/bin/sh' 'assetfs:x:900:900::/:/bin/false' >$@/etc/passwd
	@printf '%s\n' 'root:x:0:' 'assetfs:x:900:' >$@/etc/group

check-vm: $(vm_root)
	@VM=$(abspath $(vm)) tests/vm/run $(VM_TESTS)

# The tests of power cuts are known to be able to fail: with a binary that flushes nothing
# (tests/power/power.mk) they do.
check-vm-negative: $(vm_root) $(B)/unsynced/all/assetfs
	@rm -rf $(vm)/unsynced && cp -r $(vm_root) $(vm)/unsynced
	@strip -o $(vm)/unsynced/bin/assetfs $(B)/unsynced/all/assetfs
	@VM=$(abspath $(vm)) VM_ROOT=$(abspath $(vm))/unsynced tests/vm/negative

.PHONY: check-vm check-vm-negative

scripts += $(addprefix tests/vm/,run kernel initramfs negative)
