/*
 * The boot integration, each script beside this file a test: they are scripts because what
 * they try is spoken by systemctl, mount(8) and make. A binary of its own, so that a
 * machine that boots does not run beside tests that measure milliseconds.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

TestSuite(boot, .timeout = 120);

/* The script tells on stderr which of its steps failed. */
static void run(const char *script)
{
        const char *directory = getenv("BOOT_TESTS");
        char command[4096];

        cr_assert(directory, "BOOT_TESTS names the directory of the scripts");
        snprintf(command, sizeof(command), "exec '%s/%s'", directory, script);

        int status = system(command);

        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s ended with status %#x",
                  command, (unsigned)status);
}

Test(boot, mount_helper)
{
        run("helper");
}

Test(boot, make_install)
{
        run("install");
}

Test(boot, under_systemd)
{
        run("systemd");
}
