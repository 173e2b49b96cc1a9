/*
 * A property: whatever the sources of an asset do, the open ends with the right bytes if
 * any of them is good at last, and else with the errno that DESIGN's order says. 300
 * assets, each made of a seed, with one to three sources; in one mount, 16 at a time.
 *
 * A failure shows its seed: ASSETFS_SEED=N makes that asset alone.
 */
#include "tests/e2e/downloads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ASSETS  300
#define OPENERS 16
#define LARGEST 1500000

/* Among several sources only those whose end does not hang on what the others have
 * brought: one that is cut and then refuses a range may start again but once; a part of
 * one that is wrong in the first half may be right. */
struct mode {
        const char *name;
        int error;
        bool alone;
        unsigned weight;
};

static const struct mode modes[] = {
    {"ok", 0, false, 6},
    {"x.reset.first", 0, false, 3},
    {"x.reset.mid", 0, false, 3},
    {"x.reset.last", 0, false, 3},
    {"x.reset.first.2", 0, false, 2},
    {"x.reset.mid.2", 0, false, 2},
    {"x.reset.last.2", 0, false, 2},
    {"x.close.first", 0, false, 2},
    {"x.close.mid.2", 0, false, 3},
    {"x.close.last", 0, false, 2},
    {"x.chunk.first", 0, false, 2},
    {"x.chunk.mid.2", 0, false, 3},
    {"x.chunk.last.2", 0, false, 2},
    {"x.stall.mid", 0, false, 1},
    {"x.loris.first", 0, false, 1},
    {"x.gzip.reset", 0, false, 2},
    {"x.close.noetag", 0, false, 3},
    {"x.rate4096", 0, false, 2},
    {"x.rate4096.reset", 0, false, 2},
    {"x.wait503", 0, false, 1},
    {"x.wait429.reset", 0, false, 1},
    {"signed.1", 0, false, 2},
    {"signed.2", 0, false, 2},
    {"redirects-3", 0, false, 2},
    {"x.other", 0, false, 2},
    {"x.r416", 0, false, 2},
    {"x.norange", 0, false, 2},
    {"x.etags", 0, false, 2},
    {"x.etaglie", 0, false, 2},
    {"x.reset.other", 0, true, 3},
    {"x.close.last.other1", 0, true, 3},
    {"x.reset.r416", 0, true, 3},
    {"x.chunk.mid.r4161", 0, true, 3},
    {"x.reset.norange", 0, true, 3},
    {"x.close.mid.2.norange", 0, true, 3},
    {"x.reset.mid.2.etags", 0, true, 3},
    {"x.close.etaglie", 0, true, 3},
    {"x.reset.last.total", 0, true, 3},
    {"x.reset.denied1", 0, true, 3},
    {"x.reset.denied", EACCES, true, 3},
    {"x.wrong", EBADMSG, true, 3},
    {"x.wrong.reset", EBADMSG, true, 3},
    {"x.wronglast", EBADMSG, false, 4},
    {"html", EBADMSG, false, 2},
    {"status-403", EACCES, false, 4},
    {"status-401", EACCES, false, 2},
    {"x.stall.first.0", ETIMEDOUT, false, 1},
    {DOWNLOAD_DEAD, EHOSTUNREACH, false, 3},
    {"status-500", EREMOTEIO, false, 4},
    {"x.reset.last.0", EREMOTEIO, false, 3},
    {"x.close.last.0", EREMOTEIO, false, 2},
    {"x.chunk.first.0", EREMOTEIO, false, 2},
    {"x.close.mid.0", EREMOTEIO, false, 1},
    {"x.reset.last.0.norange", EREMOTEIO, true, 2},
    {"x.wrong.close.last.0", EREMOTEIO, false, 3}, /* spoils what others complete */
    {"headers-1024", EREMOTEIO, false, 1},
    {"loop", EREMOTEIO, false, 2},
    {"status-404", ENOENT, false, 8},
    {"status-410", ENOENT, false, 3},
};

#define MODES (sizeof(modes) / sizeof(modes[0]))

/* 0: any of them is good; else what comes first in this order. */
static int worse_of(int one, int other)
{
        static const int order[] = {0,         EBADMSG,      EFBIG,     EACCES,
                                    ETIMEDOUT, EHOSTUNREACH, EREMOTEIO, ENOENT};

        for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
                if (one == order[i] || other == order[i])
                        return order[i];
        return ENOENT;
}

static const struct mode *choose(unsigned *seed, bool alone)
{
        unsigned sum = 0;
        unsigned ticket;
        size_t i;

        for (i = 0; i < MODES; i++)
                sum += alone || !modes[i].alone ? modes[i].weight : 0;
        ticket = (unsigned)rand_r(seed) % sum;
        for (i = 0; i + 1 < MODES; i++) {
                unsigned weight = alone || !modes[i].alone ? modes[i].weight : 0;

                if (ticket < weight)
                        break;
                ticket -= weight;
        }
        return &modes[i];
}

/* An empty body cannot be cut, nor be wrong; other answers are what they are. */
static int outcome(const struct mode *mode, size_t size)
{
        return size == 0 && strncmp(mode->name, "x.", 2) == 0 ? 0 : mode->error;
}

static bool is_among(const char *name, const struct download *download)
{
        for (int i = 0; i < DOWNLOAD_SOURCES; i++)
                if (download->sources[i] && strcmp(download->sources[i], name) == 0)
                        return true;
        return false;
}

static void make(struct download *download, unsigned seed)
{
        bool seed_is_empty = seed % ASSETS == 0;
        unsigned dice = (unsigned)rand_r(&seed) % 10;
        int count = dice < 5 ? 1 : dice < 8 ? 2 : 3;
        unsigned kind = (unsigned)rand_r(&seed) % 20;

        download->size = (unsigned)rand_r(&seed) % LARGEST;
        if (kind < 4)
                download->size %= 10000;
        /* Enough to be cut in two; or nothing, which but one digest can be. */
        download->size = seed_is_empty ? 0 : 4 + download->size;
        download->unsized = (unsigned)rand_r(&seed) % 2;
        download->error = ENOENT;
        for (int i = 0; i < count; i++) {
                const struct mode *mode;

                do
                        mode = choose(&seed, count == 1);
                while (is_among(mode->name, download)); /* a catalog drops doubles */
                download->sources[i] = mode->name;
                download->error = worse_of(download->error, outcome(mode, download->size));
        }
}

TestSuite(random, .timeout = 300);

Test(random, schedules_end_as_they_have_to)
{
        static struct download downloads[ASSETS];
        const char *chosen = getenv("ASSETFS_SEED");
        unsigned first =
            chosen ? (unsigned)strtoul(chosen, NULL, 10) : (unsigned)time(NULL) % 1000000 * ASSETS;
        size_t count = chosen ? 1 : SLOW_BUILD ? ASSETS / 3 : ASSETS;
        struct world world;
        int failures = 0;

        world_begin(&world);
        world.staging_may_stay = true;
        for (size_t i = 0; i < count; i++) {
                downloads[i].seed = first + (unsigned)i;
                make(&downloads[i], downloads[i].seed);
                failures += downloads[i].error != 0;
        }
        world_origin(&world);
        world_mount(&world, "--catalog", downloads_make(&world, downloads, count), "--retries", "2",
                    "--stall-timeout", "1", "--max-asset-size", "2M");
        downloads_open(&world, downloads, count, OPENERS);
        /* Each once; the log has a limit, the counters have none. */
        cr_expect_eq(world_shell("awk '/^assetfs_downloads_total/ && !/\"ok\"/ { n += $2 } "
                                 "END { exit n != %d }' '%s/.assetfs/metrics.prom'",
                                 failures, world.mnt),
                     0);
        cr_expect_geq(world_logged(&world, "event=failed"), failures < 60 ? failures : 60);
        world_end(&world);
}
