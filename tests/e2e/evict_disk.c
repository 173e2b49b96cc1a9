/*
 * Whom a full disk concerns: a cache without bounds, one that was granted a size, and one that
 * keeps some of the disk free.
 */
#include "tests/e2e/evict.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

TestSuite(evict_disk, .timeout = 120);

static uint64_t free_of(const struct evict *all)
{
        struct statvfs disk;

        cr_assert_eq(statvfs(all->world.cache, &disk), 0);
        return disk.f_bavail * disk.f_frsize;
}

/* A file of others, so that `bytes` of the disk are free. */
static void leave_free(const struct evict *all, uint64_t bytes)
{
        cr_assert_eq(world_shell("rm -f '%s/filler'", all->world.cache), 0);

        uint64_t filler = free_of(all) - bytes;

        cr_assert_eq(world_shell("fallocate -l %" PRIu64 " '%s/filler'", filler, all->world.cache),
                     0);
}

/* Neither is bounded: a full disk makes the cache give way to its own downloads. */
Test(evict_disk, fault_31_a_cache_without_bounds_gives_way)
{
        struct evict all;

        evict_begin_on_tmpfs(&all);
        evict_mount(&all, NULL, NULL);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        leave_free(&all, 300000);
        cr_expect_eq(evict_opened(&all, 3), 0);
        cr_expect_str_eq(evict_cached(&all), "123");
        cr_expect_eq(evict_logged(&all, "evicted", 0), 1);
        /* Kept descriptors and backing ids would keep the space. */
        cr_expect_geq(free_of(&all), 200000);
        world_unmount(&all.world);
        /* The same where nobody tells a size. */
        world_mount(&all.world, "--origin", world_url(&all.world, "nosize"));
        leave_free(&all, 300000);
        cr_expect_eq(evict_opened(&all, 4), 0);
        cr_expect_eq(access(world_blob(&all.world, all.hex[4]), F_OK), 0);
        cr_expect_eq(access(world_blob(&all.world, all.hex[3]), F_OK), 0, "the youngest");
        cr_expect_eq(world_logged(&all.world, "event=failed"), 0);
        evict_end_on_tmpfs(&all);
}

/* What was granted is no less because others fill the disk. */
Test(evict_disk, a_granted_size_is_kept_on_a_disk_that_others_fill)
{
        struct evict all;

        evict_begin_on_tmpfs(&all);
        evict_mount(&all, "--cache-size=6000000", NULL);
        for (int i = 0; i < 2; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        leave_free(&all, 300000);
        cr_expect_eq(world_open(world_path(&all.world, all.hex[2])), ENOSPC);
        cr_expect_str_eq(evict_cached(&all), "01");
        cr_expect_eq(world_logged(&all.world, "no room: others fill the disk: the cache keeps what "
                                              "its size allows, for lack of --keep-free"),
                     1);
        cr_expect_eq(world_requests(&all.world, "GET"), 2);
        leave_free(&all, 2000000);
        cr_expect_eq(evict_opened_at_last(&all, 2), 0);
        cr_expect_str_eq(evict_cached(&all), "012");
        evict_end_on_tmpfs(&all);
}

Test(evict_disk, keep_free_gives_way_to_others)
{
        struct evict all;
        char output[4096];

        evict_begin_on_tmpfs(&all);
        evict_mount(&all, "--cache-size=6000000", "--keep-free=2000000");
        for (int i = 0; i < 3; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        cr_expect_eq(evict_told(&all, "status.json", "\"keep_free\""), 2000000);
        leave_free(&all, 2500000);
        cr_expect_eq(evict_opened(&all, 3), 0);
        cr_expect_str_eq(evict_cached(&all), "123");
        cr_expect_geq(free_of(&all), 2000000);
        leave_free(&all, 1200000);
        cr_expect_eq(world_run(output, sizeof(output), "gc", "--cache", all.world.cache), 0);
        cr_expect(strncmp(output, "evicted 1 asset, freed ", 23) == 0, "%s", output);
        cr_expect_str_eq(evict_cached(&all), "23");
        cr_expect_geq(free_of(&all), 2000000);
        cr_expect_eq(world_logged(&all.world, "event=evicted"), 2);
        evict_end_on_tmpfs(&all);
}
