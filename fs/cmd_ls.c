/*
 * `assetfs ls`: the assets of a mount or of a cache, for people or as JSON. Starts no
 * download and takes no lock.
 */
#include "fs/cmd.h"

#include "fetch/cause.h"
#include "fs/asset_list.h"
#include "fs/log.h"
#include "fs/mounted.h"
#include "fs/terminal.h"
#include "fs/values.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: assetfs ls MOUNTPOINT [--json]\n"
    "       assetfs ls --cache DIR [--json]\n"
    "\n"
    "The assets that a mount shows, or that a cache holds: digest, state, size, when it was\n"
    "opened last, whether it is pinned, and its name. Asks no origin.\n"
    "\n"
    "  --cache DIR  of a cache, beside the daemon that has it, if any\n"
    "  --json       an array of objects: digest, name, size, state, last_opened (unix\n"
    "               seconds), pinned; null is what is not known\n"
    "\n"
    "States: cached; unverified (hashed at its first open); fetching; failed; absent.\n"
    "When, and whether pinned, is known to who may read the cache.\n"
    "Exit status: 0, 1 (failed), 2 (usage).\n";

struct request {
        const char *mountpoint;
        const char *cache;
        bool json;
};

static int usage_error(const char *words)
{
        fs_fail("ls: %s: see assetfs ls --help", words);
        return FS_USAGE_ERROR;
}

/* 0, an exit status after a line, or -1 after --help. */
static int read_arguments(int argc, char **argv, struct request *request)
{
        static const struct option options[] = {
            {"cache", required_argument, NULL, 'c'},
            {"json", no_argument, NULL, 'j'},
            {"help", no_argument, NULL, 'h'},
            {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, ":h", options, NULL)) >= 0) {
                if (option == 'c')
                        request->cache = optarg;
                else if (option == 'j')
                        request->json = true;
                else if (option == 'h')
                        return fputs(usage, stdout) < 0 ? 1 : -1;
                else
                        return usage_error(option == ':' ? "--cache without a directory"
                                                         : "an option that it does not know");
        }
        request->mountpoint = argv[optind];
        if (argc - optind != (request->cache ? 0 : 1))
                return usage_error("wants one mount point, or --cache and no mount point");
        return 0;
}

static json_t *integer_or_null(int64_t number)
{
        return number < 0 ? json_null() : json_integer(number);
}

/* JSON is UTF-8; a name in a SHA256SUMS may be anything. */
static json_t *name_or_null(const char *name)
{
        json_t *text = name ? json_string(name) : json_null();
        char shown[NAME_MAX + 1];

        if (text)
                return text;
        snprintf(shown, sizeof(shown), "%s", name);
        fetch_make_printable(shown);
        return json_string(shown);
}

static int print_object(const struct fs_asset *asset, bool first)
{
        char hex[CAS_DIGEST_HEX + 1];
        json_t *object;
        int r;

        cas_digest_format(&asset->digest, hex);
        object = json_pack("{s:s, s:o, s:o, s:s, s:o, s:o}", "digest", hex, "name",
                           name_or_null(asset->name), "size", integer_or_null(asset->size), "state",
                           asset->state, "last_opened", integer_or_null(asset->opened), "pinned",
                           asset->pinned < 0 ? json_null() : json_boolean(asset->pinned));
        if (!object)
                return -ENOMEM;
        fputs(first ? "\n" : ",\n", stdout);
        r = json_dumpf(object, stdout, JSON_COMPACT) < 0 ? -EIO : 0;
        json_decref(object);
        return r;
}

static int print_json(const struct fs_asset_list *list)
{
        int r = 0;

        putchar('[');
        for (size_t i = 0; r == 0 && i < list->count; i++)
                r = print_object(&list->assets[i], i == 0);
        puts("\n]");
        return r;
}

static void print_line(const struct fs_asset *asset)
{
        char hex[CAS_DIGEST_HEX + 1];
        char size[FS_HUMAN] = "-";
        char when[FS_HUMAN] = "-";
        char name[NAME_MAX + 1];

        cas_digest_format(&asset->digest, hex);
        if (asset->size >= 0)
                fs_human_size((uint64_t)asset->size, size);
        if (asset->opened >= 0)
                fs_human_time(asset->opened, when);
        snprintf(name, sizeof(name), "%s", asset->name ? asset->name : "-");
        fetch_make_printable(name);
        printf("%s  %-10s  %10s  %-19s  %-6s  %s\n", hex, asset->state, size, when,
               asset->pinned > 0 ? "pinned" : "-", name);
}

static void print_lines(const struct fs_asset_list *list)
{
        if (fs_is_terminal(STDOUT_FILENO))
                printf("%-64s  %-10s  %10s  %-19s  %-6s  %s\n", "DIGEST", "STATE", "SIZE",
                       "LAST OPENED", "PINNED", "NAME");
        for (size_t i = 0; i < list->count; i++)
                print_line(&list->assets[i]);
}

int cmd_ls(int argc, char **argv)
{
        struct fs_asset_list list;
        struct request request = {0};
        char cache[PATH_MAX];
        int status = read_arguments(argc, argv, &request);
        int r;

        if (status != 0)
                return status < 0 ? 0 : status;
        if (!request.cache && fs_mounted_cache(request.mountpoint, cache) != 0)
                return 1;
        r = request.cache ? fs_asset_list_cache(request.cache, &list)
                          : fs_asset_list_mount(request.mountpoint, cache, &list);
        if (r < 0) {
                fs_asset_list_free(&list);
                return fs_fail("%s: %s", request.cache ? request.cache : request.mountpoint,
                               r == -ENOENT && request.cache ? "not a cache" : strerror(-r));
        }
        if (request.json)
                r = print_json(&list);
        else
                print_lines(&list);
        fs_asset_list_free(&list);
        if (r == 0 && (ferror(stdout) || fflush(stdout) != 0))
                r = -EIO;
        return r < 0 ? fs_fail("stdout: %s", strerror(-r)) : 0;
}
