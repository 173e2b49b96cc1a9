/*
 * Eviction among very many blobs: its time, and that of the mount.
 */
#include "tests/e2e/evict.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

TestSuite(evict_crowd, .timeout = 300);

/* Blobs of one block each, all links to one file: what counts here is their number. */
static void make_crowd(const struct evict *all, unsigned count)
{
        char blobs[2 * WORLD_PATH];
        int dir;

        snprintf(blobs, sizeof(blobs), "%s/blobs/sha256", all->world.cache);
        cr_assert_eq(world_shell("cd '%s' && echo >%064d && chown %d * && touch -d '-1 day' *",
                                 blobs, 0, WORKER_UID),
                     0);
        dir = open(blobs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert(dir >= 0);
        for (unsigned i = 1; i < count; i++) {
                char first[HEX];
                char name[HEX];

                snprintf(first, sizeof(first), "%064d", 0);
                snprintf(name, sizeof(name), "%016" PRIx64 "%048x",
                         (uint64_t)i * 0x9e3779b97f4a7c15u, i); /* spread as digests are */
                cr_assert_eq(linkat(dir, first, dir, name, 0), 0);
        }
        close(dir);
}

/* Milliseconds of a mount's start, and of the best of several opens that each evict one. */
static void measure(unsigned count, int64_t *ret_mount, int64_t *ret_open)
{
        struct evict all;
        char bound[64];

        evict_begin_on_tmpfs(&all);
        evict_mount(&all, NULL, NULL);
        world_unmount(&all.world);
        make_crowd(&all, count);
        snprintf(bound, sizeof(bound), "--cache-size=%u", count * 4096);
        *ret_mount = now_ms();
        evict_mount(&all, bound, NULL);
        *ret_mount = now_ms() - *ret_mount;
        *ret_open = INT64_MAX;
        for (int i = 0; i <= TRIES; i++) {
                char hex[HEX];
                int64_t began;

                world_asset(&all.world, 4000, hex);
                began = now_ms();
                cr_assert_eq(world_open(world_path(&all.world, hex)), 0);
                /* The first one may wait for the scan. */
                if (i > 0 && now_ms() - began < *ret_open)
                        *ret_open = now_ms() - began;
                /* The first claim counts a block for the attributes that tmpfs does not need. */
                cr_expect_eq(world_logged(&all.world, "event=evicted"), i + 2);
        }
        evict_end_on_tmpfs(&all);
}

/* make check-crowd: of 100 000. */
Test(evict_crowd, a_crowd_is_as_fast_as_a_few)
{
        const char *asked = getenv("ASSETFS_CROWD");
        unsigned crowd = asked ? (unsigned)strtoul(asked, NULL, 10) : 2000;
        int64_t mount[2];
        int64_t open[2];

        measure(100, &mount[0], &open[0]);
        measure(crowd, &mount[1], &open[1]);
        if (asked)
                fprintf(stderr,
                        "of 100 and of %u blobs: mounted in %" PRId64 " and %" PRId64
                        " ms, opened with an eviction in %" PRId64 " and %" PRId64 " ms\n",
                        crowd, mount[0], mount[1], open[0], open[1]);
        cr_expect_lt(mount[1], mount[0] + 20 * PROMPT_MS);
        cr_expect_lt(open[1], open[0] + PROMPT_MS);
}
