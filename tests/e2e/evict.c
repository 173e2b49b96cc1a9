/*
 * Eviction, as a node sees it: who goes and in which order, who never goes, and what an open
 * says when nobody may go.
 */
#include "tests/e2e/evict.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

TestSuite(evict, .timeout = 120);

Test(evict, least_recently_opened_goes_and_everybody_can_see_it)
{
        struct evict all;

        evict_begin(&all);
        evict_mount(&all, EVICT_THREE, NULL);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        cr_expect_eq(evict_opened(&all, 0), 0);
        cr_expect_eq(evict_opened(&all, 3), 0);
        cr_expect_str_eq(evict_cached(&all), "023");
        cr_expect_eq(evict_logged(&all, "evicted", 1), 1);
        cr_expect_eq(evict_told(&all, "status.json", "\"limit\""), 3500000);
        cr_expect(evict_comes(&all, "metrics.prom", "\nassetfs_evictions_total ", 1));
        cr_expect_geq(evict_told(&all, "metrics.prom", "\nassetfs_evicted_bytes_total "),
                      EVICT_SIZE);
        cr_expect_eq(evict_opened(&all, 1), 0, "and comes again");
        cr_expect_str_eq(evict_cached(&all), "013");
        cr_expect_eq(evict_logged(&all, "evicted", 2), 1);
        cr_expect_eq(world_logged(&all.world, "event=evicted"), 2);
        cr_expect_eq(world_requests(&all.world, "GET"), 5);
        world_end(&all.world);
}

/* The order is in the blobs' own times: of another mount, and of another worker. */
Test(evict, the_order_outlives_mounts_and_workers)
{
        struct evict all;
        pid_t worker;
        int fd;

        evict_begin(&all);
        evict_mount(&all, EVICT_THREE, NULL);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        world_unmount(&all.world);
        evict_set_age(&all, 0, 90);
        evict_set_age(&all, 1, 60);
        evict_set_age(&all, 2, 120);
        evict_mount(&all, EVICT_THREE, NULL);
        /* Who reads it has the kernel note that, relatime or not; who opens it has us. */
        fd = open(world_path(&all.world, all.hex[2]), O_RDONLY | O_CLOEXEC);
        cr_expect(fd >= 0);
        close(fd);
        world_unmount(&all.world);
        evict_mount(&all, EVICT_THREE, NULL);
        cr_expect_eq(evict_opened(&all, 3), 0);
        cr_expect_str_eq(evict_cached(&all), "123", "0 is the oldest, since 2 was opened");
        worker = world_worker(&all.world);
        kill(worker, SIGKILL);
        world_next_worker(&all.world, worker);
        cr_expect_eq(evict_opened(&all, 4), 0);
        cr_expect_str_eq(evict_cached(&all), "234");
        cr_expect(evict_comes(&all, "metrics.prom", "\nassetfs_evictions_total ", 2),
                  "of both workers");
        world_end(&all.world);
}

/* One is open, one is mapped, one is pinned, and that is all there is: row 45. */
static void none_may_go(const char *option)
{
        struct evict all;
        char output[4096];
        const char *bytes;
        int fd;

        evict_begin(&all);
        evict_mount(&all, EVICT_THREE, option);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        fd = open(world_path(&all.world, all.hex[1]), O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0);
        bytes = mmap(NULL, EVICT_SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
        cr_assert(bytes != MAP_FAILED);
        close(fd);
        fd = open(world_path(&all.world, all.hex[0]), O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0);
        cr_assert_eq(
            world_run(output, sizeof(output), "pin", "--cache", all.world.cache, all.hex[2]), 0);
        cr_expect_eq(world_open(world_path(&all.world, all.hex[3])), ENOSPC);
        cr_expect_str_eq(evict_cached(&all), "012");
        cr_expect_eq(world_requests(&all.world, "GET"), 3, "the size is known: nothing is asked");
        cr_expect_eq(world_logged(&all.world, "event=failed"), 1);
        cr_expect_eq(world_logged(&all.world, "no room: of the 3500000 bytes that the cache may "
                                              "be, what is pinned, open or being downloaded "
                                              "leaves too few"),
                     1);
        close(fd);
        cr_expect_eq(evict_opened_at_last(&all, 3), 0, "without a restart");
        cr_expect_str_eq(evict_cached(&all), "123");
        cr_expect_eq(evict_opened_at_last(&all, 0), 0);
        cr_expect_str_eq(evict_cached(&all), "012",
                         "what was opened last before, though mapped and "
                         "pinned are older");
        cr_assert_eq(munmap((void *)bytes, EVICT_SIZE), 0);
        cr_assert_eq(
            world_run(output, sizeof(output), "unpin", "--cache", all.world.cache, all.hex[2]), 0);
        cr_assert(evict_comes(&all, "status.json", "\"open\"", 0));
        cr_expect_eq(evict_opened(&all, 3), 0);
        cr_expect_str_eq(evict_cached(&all), "013", "2 was opened before 1 was mapped");
        world_end(&all.world);
}

Test(evict, fault_45_open_mapped_and_pinned_stay)
{
        none_may_go(NULL);
}

Test(evict, fault_45_open_mapped_and_pinned_stay_without_passthrough)
{
        none_may_go("-opassthrough=off");
}

Test(evict, an_asset_larger_than_the_cache_evicts_nothing)
{
        struct evict all;
        char large[HEX];

        evict_begin(&all);
        world_asset(&all.world, 4 * EVICT_SIZE, large);
        evict_mount(&all, EVICT_THREE, NULL);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        cr_expect_eq(world_open(world_path(&all.world, large)), ENOSPC);
        cr_expect_str_eq(evict_cached(&all), "012");
        cr_expect_eq(world_logged(&all.world, "event=failed"), 1);
        cr_expect_eq(world_logged(&all.world, "no room: the asset is larger than the cache may be "
                                              "(3500000 bytes)"),
                     1);
        cr_expect_eq(world_logged(&all.world, "event=evicted"), 0);
        world_end(&all.world);
}

/* A new size is one of the next worker's, which begins by keeping it. */
Test(evict, a_smaller_size_is_kept_after_a_reload)
{
        struct evict all;
        char conf[2 * WORLD_PATH];
        char output[1024];
        int64_t until;

        evict_begin(&all);
        snprintf(conf, sizeof(conf), "%s/node.conf", all.world.dir);
        world_text(conf, "[cache]\ncache-size = 9000000\n[origin \"a\"]\nurl = %s\n",
                   world_url(&all.world, "ok"));
        world_mount(&all.world, "-c", conf);
        for (int i = 0; i < 4; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        world_text(conf, "[cache]\ncache-size = 2500000\n[origin \"a\"]\nurl = %s\n",
                   world_url(&all.world, "ok"));
        cr_expect_eq(world_run(output, sizeof(output), "reload", all.world.mnt), 0, "%s", output);
        until = now_ms() + SURELY_MS;
        while (world_logged(&all.world, "event=evicted") < 2 && now_ms() < until)
                sleep_ms(10);
        cr_expect_str_eq(evict_cached(&all), "23");
        cr_expect(evict_comes(&all, "status.json", "\"limit\"", 2500000));
        world_end(&all.world);
}

/* The kernel tells who reads a directory. */
Test(evict, no_directory_of_blobs_is_read_for_it)
{
        _Alignas(struct inotify_event) char events[4096];
        struct evict all;
        char blobs[2 * WORLD_PATH];
        int heard = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        evict_begin(&all);
        evict_mount(&all, EVICT_THREE, NULL);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(evict_opened(&all, i), 0);
        snprintf(blobs, sizeof(blobs), "%s/blobs/sha256", all.world.cache);
        cr_assert(inotify_add_watch(heard, blobs, IN_ACCESS | IN_DELETE | IN_ONLYDIR) >= 0);
        cr_expect_eq(evict_opened(&all, 3), 0);
        cr_expect_eq(evict_opened(&all, 4), 0);
        cr_expect_str_eq(evict_cached(&all), "234");

        ssize_t got = read(heard, events, sizeof(events));
        int deletions = 0;

        for (char *at = events; at < events + got;) {
                const struct inotify_event *event = (const struct inotify_event *)at;

                cr_expect(!(event->mask & IN_ISDIR), "it was read");
                deletions += (event->mask & IN_DELETE) != 0;
                at += sizeof(*event) + event->len;
        }
        cr_expect_eq(deletions, 2, "of which we heard");
        close(heard);
        world_end(&all.world);
}
