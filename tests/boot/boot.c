/*
 * The boot integration, each script beside this file a test: they are scripts because what
 * they try is spoken by systemctl, mount(8) and make. A binary of its own, so that a
 * machine that boots does not run beside tests that measure milliseconds.
 */
#include "tests/boot/script.h"

#include <criterion/criterion.h>

TestSuite(boot, .timeout = 120);

Test(boot, mount_helper)
{
        script_run("BOOT_TESTS", "helper");
}

Test(boot, make_install)
{
        script_run("BOOT_TESTS", "install");
}

Test(boot, under_systemd)
{
        script_run("BOOT_TESTS", "systemd");
}
