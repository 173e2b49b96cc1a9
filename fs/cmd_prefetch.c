/*
 * `assetfs prefetch`: which assets are meant. Opening them is fs/prefetch.c's.
 */
#include "fs/cmd.h"

#include "fetch/catalog.h"
#include "fs/log.h"
#include "fs/mounted.h"
#include "fs/prefetch.h"
#include "fs/values.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define CATALOGS_MAX 64
#define JOBS         8

static const char usage[] =
    "usage: assetfs prefetch MOUNTPOINT [OPTION]... (DIGEST|NAME)...\n"
    "\n"
    "Opens assets, so that they are downloaded now, and waits for all of them.\n"
    "\n"
    "  --catalog FILE  every asset of the catalog; may be repeated\n"
    "  --jobs N        opened at once (8)\n"
    "  -q              tells only what failed\n"
    "\n"
    "On a terminal it shows progress; elsewhere a line for each asset, on stdout:\n"
    "  cached DIGEST NAME BYTES SECONDS\n"
    "and on stderr, always:\n"
    "  failed DIGEST NAME ERRNO: the cause in words\n"
    "\n"
    "Ctrl-C leaves at once; downloads under way go on in the mount.\n"
    "Exit status: 0 only if all are cached, 1 (failed), 2 (usage).\n";

struct catalogs {
        const char *paths[CATALOGS_MAX];
        size_t count;
};

static int usage_error(const char *words)
{
        fs_fail("prefetch: %s: see assetfs prefetch --help", words);
        return FS_USAGE_ERROR;
}

/* 0, an exit status after a line, or -1 after --help. */
static int read_options(int argc, char **argv, struct fs_prefetch *prefetch,
                        struct catalogs *catalogs)
{
        static const struct option options[] = {
            {"catalog", required_argument, NULL, 'c'},
            {"jobs", required_argument, NULL, 'j'},
            {"quiet", no_argument, NULL, 'q'},
            {"help", no_argument, NULL, 'h'},
            {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, ":hq", options, NULL)) >= 0) {
                if (option == 'c' && fetch_catalog_is_url(optarg))
                        return usage_error(
                            "--catalog takes a file; of a catalog by URL, give names");
                if (option == 'c' && catalogs->count == CATALOGS_MAX)
                        return usage_error("too many catalogs");
                if (option == 'c')
                        catalogs->paths[catalogs->count++] = optarg;
                else if (option == 'j' &&
                         fs_parse_option_number("--jobs", optarg, 1, FS_PREFETCH_JOBS_MAX,
                                                &prefetch->jobs) != 0)
                        return FS_USAGE_ERROR;
                else if (option == 'q')
                        prefetch->quiet = true;
                else if (option == 'h')
                        return fputs(usage, stdout) < 0 ? 1 : -1;
                else if (option == ':')
                        return usage_error("an option without its value");
                else if (option == '?')
                        return usage_error("an option that it does not know");
        }
        if (argc == optind)
                return usage_error("no mount point");
        if (argc == optind + 1 && catalogs->count == 0)
                return usage_error("no digest, no name and no --catalog");
        prefetch->mountpoint = argv[optind];
        return 0;
}

static int add_catalogs(struct fs_prefetch *prefetch, const struct catalogs *catalogs,
                        char why[FETCH_CATALOG_WHY])
{
        struct fetch_catalog_text texts[CATALOGS_MAX];
        struct fetch_catalog *catalog = NULL;
        int r = fetch_catalog_read(catalogs->paths, catalogs->count, texts, why);

        if (r < 0)
                return r;
        r = fetch_catalog_parse(texts, catalogs->count, &catalog, why);
        fetch_catalog_texts_free(texts, catalogs->count);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < fetch_catalog_name_count(catalog); i++) {
                const struct fetch_name *name = fetch_catalog_name(catalog, i);

                r = fs_prefetch_add(prefetch, &name->asset->digest, name->name);
        }
        fetch_catalog_free(catalog);
        return r;
}

static int add_words(struct fs_prefetch *prefetch, char **words)
{
        int r = 0;

        for (; r == 0 && *words; words++) {
                struct cas_digest digest;
                bool is_digest = cas_digest_parse(*words, strlen(*words), &digest) == 0;
                int found = fs_mounted_digest(prefetch->mountpoint, *words, &digest);

                if (found < 0 && found != -ENOENT)
                        return found;
                r = fs_prefetch_add(prefetch, found < 0 ? NULL : &digest,
                                    is_digest ? NULL : *words);
        }
        return r;
}

int cmd_prefetch(int argc, char **argv)
{
        struct fs_prefetch prefetch = {.jobs = JOBS};
        struct catalogs catalogs = {.count = 0};
        char why[FETCH_CATALOG_WHY] = "";
        char cache[PATH_MAX];
        int status = read_options(argc, argv, &prefetch, &catalogs);
        int r;

        if (status != 0)
                return status < 0 ? 0 : status;
        if (fs_mounted_cache(prefetch.mountpoint, cache) != 0)
                return 1;
        r = add_words(&prefetch, argv + optind + 1);
        if (r == 0 && catalogs.count > 0)
                r = add_catalogs(&prefetch, &catalogs, why);
        if (r < 0)
                status = fs_fail("%s", *why ? why : strerror(-r));
        else
                status = fs_prefetch_run(&prefetch);
        fs_prefetch_free(&prefetch);
        return status;
}
