/*
 * assetfs: the verbs of the command line.
 */
#include "fs/cmd.h"
#include "fs/log.h"
#include "fs/options.h"
#include "fs/version.h"
#include "fs/worker.h"

#include <stdio.h>
#include <string.h>

static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
} verbs[] = {
    {"mount", cmd_mount},
    {"reload", cmd_reload},
    {"check-config", cmd_check_config},
    {"worker", fs_worker}, /* not for people: the supervisor starts it */
};

int main(int argc, char **argv)
{
        const char *verb = argc > 1 ? argv[1] : "";

        if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0)
                return fputs(fs_options_usage, stdout) < 0;
        if (strcmp(verb, "--version") == 0)
                return puts("assetfs " ASSETFS_VERSION) < 0;
        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                if (strcmp(verb, verbs[i].name) == 0)
                        return verbs[i].run(argc - 1, argv + 1);
        if (*verb)
                fs_fail("no verb '%s': see assetfs --help", verb);
        else
                fs_fail("no verb: see assetfs --help");
        return 2;
}
