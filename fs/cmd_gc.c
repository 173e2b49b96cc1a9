/*
 * `assetfs gc`: a cache back within its bounds, by its daemon, or by ourselves where it has
 * none. As root that is done with the rights of the cache's owner.
 */
#include "fs/cmd.h"

#include "cas/inventory.h"
#include "cas/room.h"
#include "fs/control.h"
#include "fs/log.h"
#include "fs/terminal.h"
#include "fs/values.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: assetfs gc --cache DIR [--cache-size SIZE] [--keep-free SIZE|N%]\n"
    "\n"
    "Removes what the cache can do without: unfinished downloads that nobody is writing, the\n"
    "quarantine, and the least recently opened assets beyond the bounds; never one that is\n"
    "pinned, open or mapped. Beside the daemon that has the cache, if any.\n"
    "\n"
    "  --cache DIR          the cache\n"
    "  --cache-size SIZE    what it may take of its disk (what its daemon has been told;\n"
    "                       0: all that can go does)\n"
    "  --keep-free SIZE|N%  what stays free of that disk (likewise)\n"
    "\n"
    "Exit status: 0, 1 (failed), 2 (usage).\n";

struct request {
        const char *cache;
        const char *size; /* or NULL */
        const char *free; /* or NULL */
        struct cas_bounds bounds;
};

struct outcome {
        uint64_t blobs;
        uint64_t freed;
        uint64_t used;
};

static int usage_error(const char *words)
{
        fs_fail("gc: %s: see assetfs gc --help", words);
        return FS_USAGE_ERROR;
}

/* 0, an exit status after a line, or -1 after --help. */
static int read_arguments(int argc, char **argv, struct request *request)
{
        static const struct option options[] = {
            {"cache", required_argument, NULL, 'c'},
            {"cache-size", required_argument, NULL, 's'},
            {"keep-free", required_argument, NULL, 'f'},
            {"help", no_argument, NULL, 'h'},
            {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, ":h", options, NULL)) >= 0) {
                if (option == 'c')
                        request->cache = optarg;
                else if (option == 's')
                        request->size = optarg;
                else if (option == 'f')
                        request->free = optarg;
                else if (option == 'h')
                        return fputs(usage, stdout) < 0 ? 1 : -1;
                else
                        return usage_error(option == ':' ? "an option without its value"
                                                         : "an option that it does not know");
        }
        if (!request->cache || optind != argc)
                return usage_error("wants --cache, and no other arguments");
        if (request->size && fs_parse_size(request->size, &request->bounds.cache_size) < 0)
                return usage_error("--cache-size: not a size");
        if (request->free && fs_parse_free(request->free, &request->bounds) < 0)
                return usage_error("--keep-free: not a size and not 0% to 99%");
        return 0;
}

/* 0; -1 where there is no daemon; 1 after a line. */
static int ask_daemon(const struct request *request, struct outcome *ret)
{
        char word[FS_CONTROL_LINE];
        char line[512] = "";
        int r;

        snprintf(word, sizeof(word), "gc %s %s", request->size ? request->size : "-",
                 request->free ? request->free : "-");
        r = fs_control_ask(request->cache, word, FS_CONTROL_LONG_MS, line, sizeof(line));
        if (r == -ENOENT || r == -ECONNREFUSED)
                return -1;
        if (r < 0)
                return fs_fail("%s: %s", request->cache, strerror(-r));
        if (sscanf(line, "ok blobs=%" SCNu64 " freed=%" SCNu64 " used=%" SCNu64, &ret->blobs,
                   &ret->freed, &ret->used) != 3)
                return fs_fail("%s: %s", request->cache, line);
        return 0;
}

/* Whose the cache is; it is none where nothing lies in it. 0, or 1 after a line. */
static int find_owner(const char *cache, struct stat *ret)
{
        struct cas_inventory inventory;
        int r = cas_inventory_open(cache, &inventory);

        if (r == 0) {
                cas_inventory_close(&inventory);
                r = stat(cache, ret) < 0 ? -errno : 0;
        }
        return r < 0 ? fs_fail("%s: %s", cache,
                               r == -ENOENT ? "not a cache of assetfs" : strerror(-r))
                     : 0;
}

static int become(const struct stat *owner)
{
        if (geteuid() != 0 || owner->st_uid == 0)
                return 0;
        if (setgroups(0, NULL) < 0 || setresgid(owner->st_gid, owner->st_gid, owner->st_gid) < 0 ||
            setresuid(owner->st_uid, owner->st_uid, owner->st_uid) < 0)
                return fs_fail("cannot act as uid %u: %s", owner->st_uid, strerror(errno));
        return 0;
}

static int collect(const struct request *request, struct outcome *ret)
{
        static const atomic_bool going;
        struct cas_store *store = NULL;
        struct cas_claim claim;
        struct cas_freed freed;
        char why[CAS_WHY] = "";
        int r = cas_claim_make(request->cache, geteuid(), getegid(), &claim, why);

        if (r == 0) {
                r = cas_store_open(&claim, &store, why);
                if (r < 0)
                        cas_claim_release(&claim);
        }
        if (r < 0)
                return fs_fail("%s: %s", request->cache, *why ? why : strerror(-r));
        r = cas_room_collect(store, &request->bounds, &going, &freed);
        *ret = (struct outcome){freed.blobs, freed.bytes, cas_room_used(store)};
        cas_store_free(store);
        return r < 0 ? fs_fail("%s: %s", request->cache, strerror(-r)) : 0;
}

static int say(const struct outcome *outcome)
{
        char freed[FS_HUMAN];
        char used[FS_HUMAN];

        printf("evicted %" PRIu64 " %s, freed %s; the cache takes %s\n", outcome->blobs,
               outcome->blobs == 1 ? "asset" : "assets", fs_human_size(outcome->freed, freed),
               fs_human_size(outcome->used, used));
        return fflush(stdout) != 0 ? fs_fail("stdout: %s", strerror(errno)) : 0;
}

int cmd_gc(int argc, char **argv)
{
        struct request request = {.bounds = {.cache_size = CAS_SIZE_UNLIMITED}};
        struct outcome outcome = {0};
        struct stat owner = {0};
        int status = read_arguments(argc, argv, &request);

        if (status == 0)
                status = find_owner(request.cache, &owner);
        if (status)
                return status < 0 ? 0 : status;
        status = ask_daemon(&request, &outcome);
        if (status < 0) {
                status = become(&owner);
                if (status == 0)
                        status = collect(&request, &outcome);
        }
        return status == 0 ? say(&outcome) : status;
}
