/*
 * assetfs: the verbs of the command line, and which of them there are.
 */
#include "fs/cmd.h"
#include "fs/log.h"
#include "fs/version.h"
#include "fs/worker.h"

#include <stdio.h>
#include <string.h>

struct verb {
        const char *name;
        int (*run)(int argc, char **argv);
        const char *summary; /* NULL: not for people */
};

static const struct verb verbs[] = {
    {"mount", cmd_mount, "show assets at a mount point"},
    {"prefetch", cmd_prefetch, "download assets before they are needed"},
    {"status", cmd_status, "what a mount does: downloads, cache, failures"},
    {"cancel", cmd_cancel, "end a download"},
    {"reload", cmd_reload, "start the worker anew, of the binary now installed"},
    {"ls", cmd_ls, "the assets of a mount or of a cache"},
    {"pin", cmd_pin, "assets that the cache keeps"},
    {"unpin", cmd_unpin, "assets that it need not keep any more"},
    {"gc", cmd_gc, "bring a cache back within its bounds"},
    {"verify", cmd_verify, "hash a cache's assets again"},
    {"check-config", cmd_check_config, "is a configuration file a good one?"},
    {"worker", fs_worker, NULL}, /* the supervisor starts it */
};

static const struct verb *find_verb(const char *name)
{
        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                if (strcmp(name, verbs[i].name) == 0)
                        return &verbs[i];
        return NULL;
}

static int help(void)
{
        int written = printf("usage: assetfs VERB ARGUMENT...\n"
                             "       assetfs VERB --help\n"
                             "       assetfs --help | --version\n"
                             "\n"
                             "Shows assets as MOUNTPOINT/<sha256>. The first open downloads and "
                             "verifies one;\n"
                             "from then on it is a local file.\n"
                             "\n");

        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                if (verbs[i].summary)
                        printf("  %-12s  %s\n", verbs[i].name, verbs[i].summary);
        printf("\nExit status: 0, 1 (failed), 2 (usage).\n");
        return written < 0 || fflush(stdout) != 0;
}

static int no_verb(const char *name)
{
        if (*name)
                fs_fail("no verb '%s': see assetfs --help", name);
        else
                fs_fail("no verb: see assetfs --help");
        return 2;
}

static int help_of(const char *name)
{
        char asked[] = "--help";
        char *argv[] = {(char *)name, asked, NULL};
        const struct verb *verb = find_verb(name);

        return verb && verb->summary ? verb->run(2, argv) : no_verb(name);
}

int main(int argc, char **argv)
{
        const char *word = argc > 1 ? argv[1] : "";
        const struct verb *verb = find_verb(word);

        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
                return help();
        if (strcmp(word, "help") == 0)
                return argc > 2 ? help_of(argv[2]) : help();
        if (strcmp(word, "--version") == 0)
                return puts("assetfs " ASSETFS_VERSION) < 0;
        return verb ? verb->run(argc - 1, argv + 1) : no_verb(word);
}
