/*
 * assetfs gc: beside a daemon, without one, and where there is no cache.
 */
#include "tests/e2e/evict.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

TestSuite(gc, .timeout = 120);

static int gc(const struct evict *all, const char *size, char output[4096])
{
        return world_run(output, 4096, "gc", "--cache", all->world.cache, "--cache-size", size);
}

Test(gc, beside_a_daemon_removes_what_may_go)
{
        struct evict all;
        char output[4096];
        int fd;

        evict_begin(&all);
        evict_mount(&all, NULL, NULL);
        for (int i = 0; i < 4; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        cr_assert_eq(
            world_run(output, sizeof(output), "pin", "--cache", all.world.cache, all.hex[0]), 0);
        fd = open(world_path(&all.world, all.hex[1]), O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0);
        cr_expect_eq(world_run(output, sizeof(output), "gc", "--cache", all.world.cache), 0);
        cr_expect(strncmp(output, "evicted 0 assets, freed 0 ", 26) == 0, "within: %s", output);
        cr_expect_eq(gc(&all, "0", output), 0, "%s", output);
        cr_expect(strncmp(output, "evicted 2 assets, freed ", 24) == 0, "%s", output);
        cr_expect_str_eq(evict_cached(&all), "01");
        cr_expect_eq(world_logged(&all.world, "event=evicted"), 2);
        close(fd);
        cr_expect_eq(evict_opened(&all, 2), 0, "which has bounds of its own");
        cr_expect_str_eq(evict_cached(&all), "012");
        world_end(&all.world);
}

/* By root, who does it as the cache's owner, and leaves nothing of root's in it. */
Test(gc, without_a_daemon_does_it_by_itself)
{
        struct evict all;
        char output[4096];

        evict_begin(&all);
        evict_mount(&all, NULL, NULL);
        for (int i = 0; i < 4; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        world_unmount(&all.world);
        for (int i = 0; i < 4; i++)
                evict_set_age(&all, i, 10 + 10 * (i ^ 1));
        cr_expect_eq(gc(&all, "2500000", output), 0, "%s", output);
        cr_expect(strncmp(output, "evicted 2 assets, freed ", 24) == 0, "%s", output);
        cr_expect_str_eq(evict_cached(&all), "01", "2 and 3 are the oldest");
        cr_expect_eq(gc(&all, "1500000", output), 0, "%s", output);
        cr_expect_str_eq(evict_cached(&all), "1");
        cr_expect_eq(gc(&all, "0", output), 0, "%s", output);
        cr_expect_str_eq(evict_cached(&all), "");
        cr_expect_eq(
            world_shell("[ -z \"$(find '%s' ! -user " WORKER_USER ")\" ]", all.world.cache), 0,
            "root's is nothing");
        evict_mount(&all, NULL, NULL);
        cr_expect_eq(evict_opened(&all, 0), 0);
        world_end(&all.world);
}

Test(gc, of_what_is_no_cache_says_so)
{
        struct evict all;
        char output[4096];

        evict_begin(&all);
        evict_mount(&all, NULL, NULL);
        cr_assert_eq(evict_opened(&all, 0), 0);
        world_unmount(&all.world);
        cr_expect_eq(world_run(output, sizeof(output), "gc", "--cache", "/nowhere/at/all"), 1);
        cr_expect_str_eq(output, "assetfs: /nowhere/at/all: not a cache of assetfs\n");
        cr_expect_eq(world_run(output, sizeof(output), "gc", "--cache", all.world.files), 1);
        cr_expect(strstr(output, ": not a cache of assetfs\n"), "%s", output);
        cr_expect_eq(world_run(output, sizeof(output), "gc"), 2);
        cr_expect_eq(gc(&all, "much", output), 2);
        cr_expect(strstr(output, "--cache-size: not a size"), "%s", output);
        cr_expect_eq(world_shell("setpriv --reuid 12345 --regid 12345 --clear-groups \"$ASSETFS\" "
                                 "gc --cache '%s' --cache-size 0 >'%s/said' 2>&1",
                                 all.world.cache, all.world.dir),
                     1, "another user");
        cr_expect_str_eq(evict_cached(&all), "0");
        world_end(&all.world);
}
