/*
 * `assetfs pin` and `assetfs unpin`: which assets are meant, and what came of it. They work
 * on the cache itself, beside its daemon or without one; they open no blob for writing and
 * start no download.
 */
#include "fs/cmd.h"

#include "cas/inventory.h"
#include "cas/io.h"
#include "cas/pins.h"
#include "fetch/catalog.h"
#include "fs/log.h"
#include "fs/values.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CATALOGS_MAX 64

static const char pin_usage[] =
    "usage: assetfs pin --cache DIR [--catalog FILE]... [DIGEST]...\n"
    "\n"
    "The cache keeps these assets, whatever room it needs, until unpin. They need not be in\n"
    "it yet: assetfs prefetch brings them. Beside the daemon that has the cache, if any.\n"
    "\n"
    "  --cache DIR     the cache\n"
    "  --catalog FILE  every asset of the catalog; may be repeated\n"
    "\n"
    "Exit status: 0 only if all are pinned, 1 (failed), 2 (usage).\n";

static const char unpin_usage[] =
    "usage: assetfs unpin --cache DIR [--catalog FILE]... [DIGEST]...\n"
    "\n"
    "Ends the pins of assets; that one was not pinned is no error. Takes nothing away.\n"
    "\n"
    "  --cache DIR     the cache\n"
    "  --catalog FILE  every asset of the catalog; may be repeated\n"
    "\n"
    "Exit status: 0 only if none is pinned any more, 1 (failed), 2 (usage).\n";

struct request {
        const char *verb;
        const char *usage;
        const char *cache;
        const char *catalogs[CATALOGS_MAX];
        size_t catalog_count;

        struct cas_digest *digests;
        size_t count;

        /* What came of it. */
        struct cas_inventory inventory;
        size_t changed;
        size_t same;
        size_t absent; /* of those */
        size_t failed;
};

static int usage_error(const struct request *request, const char *words)
{
        fs_fail("%s: %s: see assetfs %s --help", request->verb, words, request->verb);
        return FS_USAGE_ERROR;
}

/* 0, an exit status after a line, or -1 after --help. */
static int read_options(int argc, char **argv, struct request *request)
{
        static const struct option options[] = {
            {"cache", required_argument, NULL, 'c'},
            {"catalog", required_argument, NULL, 'f'},
            {"help", no_argument, NULL, 'h'},
            {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, ":h", options, NULL)) >= 0) {
                if (option == 'f' && fetch_catalog_is_url(optarg))
                        return usage_error(
                            request, "--catalog takes a file; of a catalog by URL, give digests");
                if (option == 'f' && request->catalog_count == CATALOGS_MAX)
                        return usage_error(request, "too many catalogs");
                if (option == 'c')
                        request->cache = optarg;
                else if (option == 'f')
                        request->catalogs[request->catalog_count++] = optarg;
                else if (option == 'h')
                        return fputs(request->usage, stdout) < 0 ? 1 : -1;
                else
                        return usage_error(request, option == ':'
                                                        ? "an option without its value"
                                                        : "an option that it does not know");
        }
        if (!request->cache)
                return usage_error(request, "no --cache");
        if (argc == optind && request->catalog_count == 0)
                return usage_error(request, "no digest and no --catalog");
        return 0;
}

static int make_room(struct request *request, size_t more)
{
        struct cas_digest *digests =
            reallocarray(request->digests, request->count + more + 1, sizeof(*digests));

        if (!digests)
                return fs_fail("%s", strerror(ENOMEM));
        request->digests = digests;
        return 0;
}

/* All of them are looked at before anything is done. */
static int add_words(struct request *request, char **words, size_t count)
{
        if (make_room(request, count) != 0)
                return 1;
        for (; *words; words++) {
                struct cas_digest *next = &request->digests[request->count];

                if (cas_digest_parse(*words, strlen(*words), next) < 0) {
                        fs_fail("%s: '%s' is not 64 lowercase hex digits", request->verb, *words);
                        return FS_USAGE_ERROR;
                }
                request->count++;
        }
        return 0;
}

static int add_catalogs(struct request *request)
{
        struct fetch_catalog_text texts[CATALOGS_MAX];
        struct fetch_catalog *catalog = NULL;
        char why[FETCH_CATALOG_WHY] = "";
        int r = fetch_catalog_read(request->catalogs, request->catalog_count, texts, why);

        if (r < 0)
                return fs_fail("%s", *why ? why : strerror(-r));
        r = fetch_catalog_parse(texts, request->catalog_count, &catalog, why);
        fetch_catalog_texts_free(texts, request->catalog_count);
        if (r < 0)
                return fs_fail("%s", *why ? why : strerror(-r));

        size_t count = fetch_catalog_asset_count(catalog);

        r = make_room(request, count);
        for (size_t i = 0; r == 0 && i < count; i++)
                request->digests[request->count++] = fetch_catalog_asset(catalog, i)->digest;
        fetch_catalog_free(catalog);
        return r;
}

static int compare(const void *a, const void *b)
{
        return cas_digest_compare(a, b);
}

static void drop_doubles(struct request *request)
{
        size_t kept = 0;

        if (!request->digests)
                return;
        qsort(request->digests, request->count, sizeof(*request->digests), compare);
        for (size_t i = 0; i < request->count; i++)
                if (kept == 0 ||
                    !cas_digest_equal(&request->digests[i], &request->digests[kept - 1]))
                        request->digests[kept++] = request->digests[i];
        request->count = kept;
}

static void tell(void *arg, const struct cas_digest *digest, int result)
{
        struct request *request = arg;
        struct cas_inventory_blob blob;
        char hex[CAS_DIGEST_HEX + 1];

        if (result < 0) {
                cas_digest_format(digest, hex);
                fs_fail("%s: cannot %s: %s", hex, request->verb, strerror(-result));
                request->failed++;
                return;
        }
        request->changed += result == 1;
        request->same += result == 0;
        request->absent += cas_inventory_look(&request->inventory, digest, &blob) == 0 &&
                           blob.presence == CAS_ABSENT;
}

static const char *assets(size_t count)
{
        return count == 1 ? "asset" : "assets";
}

static void say_pinned(const struct request *request)
{
        size_t pinned = request->changed + request->same;

        printf("pinned %zu %s", pinned, assets(pinned));
        if (request->absent > 0)
                printf(", %zu of them %s not here yet: assetfs prefetch brings them",
                       request->absent, request->absent == 1 ? "is" : "are");
        putchar('\n');
}

static void say_unpinned(const struct request *request)
{
        printf("unpinned %zu %s", request->changed, assets(request->changed));
        if (request->same > 0)
                printf(", %zu %s not pinned", request->same, request->same == 1 ? "was" : "were");
        putchar('\n');
}

static int carry_out(struct request *request,
                     int (*change)(int pins_dir, const struct cas_pins_work *work))
{
        struct cas_pins_work work = {request->digests, request->count, tell, request};
        char why[CAS_WHY] = "";
        _cleanup_close_ int pins = cas_pins_open(request->cache, why);
        int r;

        if (pins < 0)
                return fs_fail("%s: %s", request->cache, why);
        r = cas_inventory_open(request->cache, &request->inventory);
        if (r == 0) {
                r = change(pins, &work);
                cas_inventory_close(&request->inventory);
        }
        if (r == -EBUSY)
                return fs_fail("%s: pins: somebody else holds their lock", request->cache);
        if (r < 0)
                return fs_fail("%s: pins: %s", request->cache, strerror(-r));
        return 0;
}

static int run(struct request *request, int argc, char **argv,
               int (*change)(int pins_dir, const struct cas_pins_work *work),
               void (*say)(const struct request *request))
{
        int status = read_options(argc, argv, request);

        if (status == 0)
                status = add_words(request, argv + optind, (size_t)(argc - optind));
        if (status == 0 && request->catalog_count > 0)
                status = add_catalogs(request);
        if (status == 0) {
                drop_doubles(request);
                status = carry_out(request, change);
        }
        if (status == 0)
                say(request);
        free(request->digests);
        if (status == 0 && fflush(stdout) != 0)
                return fs_fail("stdout: %s", strerror(errno));
        return status < 0 ? 0 : status ? status : request->failed > 0;
}

int cmd_pin(int argc, char **argv)
{
        struct request request = {.verb = "pin", .usage = pin_usage};

        return run(&request, argc, argv, cas_pins_add, say_pinned);
}

int cmd_unpin(int argc, char **argv)
{
        struct request request = {.verb = "unpin", .usage = unpin_usage};

        return run(&request, argc, argv, cas_pins_remove, say_unpinned);
}
