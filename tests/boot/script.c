/*
 * Tests that are scripts, because what they try is spoken by other programs.
 */
#include "tests/boot/script.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

void script_run(const char *variable, const char *name)
{
        const char *directory = getenv(variable);
        char command[4096];

        cr_assert(directory, "%s names the directory of the scripts", variable);
        snprintf(command, sizeof(command), "exec '%s/%s'", directory, name);

        int status = system(command);

        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s ended with status %#x",
                  command, (unsigned)status);
}
