/*
 * `assetfs check-config FILE`: would a mount, and a reload, take this file? Says all that is
 * wrong in it, and of the first catalog that is broken what and where.
 */
#include "fs/cmd.h"

#include "cas/io.h"
#include "fetch/catalog.h"
#include "fs/account.h"
#include "fs/config.h"
#include "fs/log.h"
#include "fs/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: assetfs check-config FILE\n"
    "\n"
    "Reads a configuration file as `assetfs mount -c FILE` does, and its catalogs. Says\n"
    "\"FILE: ok: …\", or a line for each mistake, with file and line.\n"
    "Exit status: 0, 1 (it would be refused), 2 (usage).\n";

static int check_catalogs(const struct fs_options *options)
{
        struct fetch_catalog_text texts[FS_CATALOGS_MAX];
        struct fetch_catalog *catalog = NULL;
        char why[FETCH_CATALOG_WHY];
        int r = fetch_catalog_read(options->catalogs, options->catalog_count, texts, why);

        if (r < 0)
                return fs_fail("%s", why);
        r = fetch_catalog_parse(texts, options->catalog_count, &catalog, why);
        fetch_catalog_texts_free(texts, options->catalog_count);
        fetch_catalog_free(catalog);
        return r < 0 ? fs_fail("%s", why) : 0;
}

/* Whom the mount would refuse, as far as can be seen by who asks. */
static int check_user(const struct fs_options *options, const char *name)
{
        struct fs_account account;
        char why[256];

        if (!options->user || geteuid() != 0 ||
            fs_account_find(options->user, options->cache ? options->cache : "/", &account, why,
                            sizeof(why)) == 0)
                return 0;
        return fs_fail("%s: user: %s", name, why);
}

/* Relative paths in it are relative to it, wherever we are. */
static int check(const char *name, struct fs_options *options)
{
        struct fs_refusals refusals = {.say_all = true};
        _cleanup_free_ char *here = *name == '/' ? NULL : getcwd(NULL, 0);
        const char *path = fs_options_keep_text(options, here, name);
        size_t origins;
        size_t catalogs;

        if (!path)
                return fs_fail("%s: %s", name, strerror(ENOMEM));
        fs_settings_defaults(options);
        if (fs_config_read(path, &options->config_text, &refusals))
                return 1;
        fs_config_apply(path, options->config_text, FS_CONFIG_ALL, options, &refusals);
        if (refusals.count || check_user(options, name) || check_catalogs(options))
                return 1;
        origins = options->origin_count;
        catalogs = options->catalog_count;
        return printf("%s: ok: %zu origin%s, %zu catalog%s\n", name, origins,
                      origins == 1 ? "" : "s", catalogs, catalogs == 1 ? "" : "s") < 0;
}

int cmd_check_config(int argc, char **argv)
{
        static struct fs_options options; /* tens of KiB */
        int status;

        if (argc == 2 && strcmp(argv[1], "--help") == 0)
                return fputs(usage, stdout) < 0;
        if (argc != 2 || argv[1][0] == '-') {
                fs_fail("usage: assetfs check-config FILE");
                return 2;
        }
        status = check(argv[1], &options);
        fs_options_free(&options);
        return status;
}
