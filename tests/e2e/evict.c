/*
 * Eviction, as a node sees it: who goes and in which order, who never goes, what an open says
 * when nobody may go, whom a full disk concerns, and `assetfs gc`.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

TestSuite(evict, .timeout = 120);

#define SIZE 1000000
#define MANY 5

/* Three of them, and not four: whatever a file system adds to each. */
#define THREE "--cache-size=3500000"

struct assets {
        struct world world;
        char hex[MANY][HEX];
        char catalog[2 * WORLD_PATH]; /* names the sizes */
};

static void make_assets(struct assets *all)
{
        FILE *file;

        snprintf(all->catalog, sizeof(all->catalog), "%s/catalog.json", all->world.dir);
        file = fopen(all->catalog, "w");
        cr_assert(file);
        fputs("{\"assets\": {", file);
        for (int i = 0; i < MANY; i++) {
                world_asset(&all->world, SIZE, all->hex[i]);
                fprintf(file, "%s\"%d\": {\"sha256\": \"%s\", \"size\": %d}", i ? ", " : "", i,
                        all->hex[i], SIZE);
        }
        fputs("}}", file);
        cr_assert_eq(fclose(file), 0);
}

static void begin(struct assets *all)
{
        world_begin(&all->world);
        world_origin(&all->world);
        make_assets(all);
}

static void begin_on_tmpfs(struct assets *all)
{
        begin(all);
        cr_assert_eq(world_shell("mkdir -p '%s' && mount -t tmpfs -o size=8M,mode=700,uid=%d,"
                                 "gid=%d none '%s'",
                                 all->world.cache, WORKER_UID, WORKER_UID, all->world.cache),
                     0);
}

static void end_on_tmpfs(struct assets *all)
{
        world_unmount(&all->world);
        cr_expect_eq(world_shell("umount '%s'", all->world.cache), 0);
        world_end(&all->world);
}

static void mount_with(struct assets *all, const char *one, const char *two)
{
        world_mount(&all->world, "--catalog", all->catalog, "--origin",
                    world_url(&all->world, "ok"), one ? one : "--log-level=info", two);
}

/* A number that status.json or metrics.prom has after `words`; -1 where it has none. */
static int64_t told(const struct assets *all, const char *name, const char *words)
{
        static char text[65536];
        char path[64];
        const char *at;
        ssize_t got;
        int fd;

        snprintf(path, sizeof(path), ".assetfs/%s", name);
        fd = open(world_path(&all->world, path), O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0);
        got = read(fd, text, sizeof(text) - 1);
        close(fd);
        text[got > 0 ? got : 0] = '\0';
        at = strstr(text, words);
        if (!at)
                return -1;
        at += strlen(words);
        at += strspn(at, ": ");
        return *at >= '0' && *at <= '9' ? strtoll(at, NULL, 10) : -1;
}

static bool comes(const struct assets *all, const char *name, const char *words, int64_t value)
{
        for (int64_t until = now_ms() + SURELY_MS; now_ms() < until; sleep_ms(10))
                if (told(all, name, words) == value)
                        return true;
        return false;
}

/* Opened and closed again, of which the daemon hears a moment later. */
static int opened(const struct assets *all, int which)
{
        int r = world_open(world_path(&all->world, all->hex[which]));

        cr_assert(comes(all, "status.json", "\"open\"", 0));
        return r;
}

/* A failure is remembered for a moment. */
static int opened_at_last(const struct assets *all, int which)
{
        int64_t until = now_ms() + SURELY_MS;
        int r = world_open(world_path(&all->world, all->hex[which]));

        for (; r == ENOSPC && now_ms() < until; sleep_ms(100))
                r = world_open(world_path(&all->world, all->hex[which]));
        return r;
}

/* Which of them lie in the cache: their numbers, in a string. */
static const char *cached(const struct assets *all)
{
        static char which[MANY + 1];
        int count = 0;

        for (int i = 0; i < MANY; i++)
                if (access(world_blob(&all->world, all->hex[i]), F_OK) == 0)
                        which[count++] = (char)('0' + i);
        which[count] = '\0';
        return which;
}

/* As an earlier day would have left them. */
static void set_age(const struct assets *all, int which, int minutes)
{
        cr_assert_eq(world_shell("touch -a -d '-%d minutes' '%s'", minutes,
                                 world_blob(&all->world, all->hex[which])),
                     0);
}

static int logged_of(const struct assets *all, const char *event, int which)
{
        char words[64 + HEX];

        snprintf(words, sizeof(words), "event=%s digest=%s", event, all->hex[which]);
        return world_logged(&all->world, words);
}

Test(evict, least_recently_opened_goes_and_everybody_can_see_it)
{
        struct assets all;

        begin(&all);
        mount_with(&all, THREE, NULL);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(opened(&all, i), 0);
        cr_expect_eq(opened(&all, 0), 0);
        cr_expect_eq(opened(&all, 3), 0);
        cr_expect_str_eq(cached(&all), "023");
        cr_expect_eq(logged_of(&all, "evicted", 1), 1);
        cr_expect_eq(told(&all, "status.json", "\"limit\""), 3500000);
        cr_expect(comes(&all, "metrics.prom", "\nassetfs_evictions_total ", 1));
        cr_expect_geq(told(&all, "metrics.prom", "\nassetfs_evicted_bytes_total "), SIZE);
        cr_expect_eq(opened(&all, 1), 0, "and comes again");
        cr_expect_str_eq(cached(&all), "013");
        cr_expect_eq(logged_of(&all, "evicted", 2), 1);
        cr_expect_eq(world_logged(&all.world, "event=evicted"), 2);
        cr_expect_eq(world_requests(&all.world, "GET"), 5);
        world_end(&all.world);
}

/* The order is in the blobs' own times: of another mount, and of another worker. */
Test(evict, the_order_outlives_mounts_and_workers)
{
        struct assets all;
        pid_t worker;

        begin(&all);
        mount_with(&all, THREE, NULL);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(opened(&all, i), 0);
        world_unmount(&all.world);
        set_age(&all, 0, 90);
        set_age(&all, 1, 60);
        set_age(&all, 2, 120);
        mount_with(&all, THREE, NULL);
        cr_expect_eq(opened(&all, 2), 0);
        world_unmount(&all.world);
        mount_with(&all, THREE, NULL);
        cr_expect_eq(opened(&all, 3), 0);
        cr_expect_str_eq(cached(&all), "123", "0 is the oldest, since 2 was opened");
        worker = world_worker(&all.world);
        kill(worker, SIGKILL);
        world_next_worker(&all.world, worker);
        cr_expect_eq(opened(&all, 4), 0);
        cr_expect_str_eq(cached(&all), "234");
        cr_expect(comes(&all, "metrics.prom", "\nassetfs_evictions_total ", 2), "of both workers");
        world_end(&all.world);
}

/* One is open, one is mapped, one is pinned, and that is all there is: row 45. */
static void none_may_go(const char *option)
{
        struct assets all;
        char output[4096];
        const char *bytes;
        int fd;

        begin(&all);
        mount_with(&all, THREE, option);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(opened(&all, i), 0);
        fd = open(world_path(&all.world, all.hex[1]), O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0);
        bytes = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
        cr_assert(bytes != MAP_FAILED);
        close(fd);
        fd = open(world_path(&all.world, all.hex[0]), O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0);
        cr_assert_eq(
            world_run(output, sizeof(output), "pin", "--cache", all.world.cache, all.hex[2]), 0);
        cr_expect_eq(world_open(world_path(&all.world, all.hex[3])), ENOSPC);
        cr_expect_str_eq(cached(&all), "012");
        cr_expect_eq(world_requests(&all.world, "GET"), 3, "the size is known: nothing is asked");
        cr_expect_eq(world_logged(&all.world, "event=failed"), 1);
        cr_expect_eq(world_logged(&all.world, "no room: of the 3500000 bytes that the cache may "
                                              "be, what is pinned, open or being downloaded "
                                              "leaves too few"),
                     1);
        close(fd);
        cr_expect_eq(opened_at_last(&all, 3), 0, "without a restart");
        cr_expect_str_eq(cached(&all), "123");
        cr_expect_eq(opened_at_last(&all, 0), 0);
        cr_expect_str_eq(cached(&all), "012",
                         "what was opened last before, though mapped and "
                         "pinned are older");
        cr_assert_eq(munmap((void *)bytes, SIZE), 0);
        cr_assert_eq(
            world_run(output, sizeof(output), "unpin", "--cache", all.world.cache, all.hex[2]), 0);
        cr_assert(comes(&all, "status.json", "\"open\"", 0));
        cr_expect_eq(opened(&all, 3), 0);
        cr_expect_str_eq(cached(&all), "013", "2 was opened before 1 was mapped");
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
        struct assets all;
        char large[HEX];

        begin(&all);
        world_asset(&all.world, 4 * SIZE, large);
        mount_with(&all, THREE, NULL);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(opened(&all, i), 0);
        cr_expect_eq(world_open(world_path(&all.world, large)), ENOSPC);
        cr_expect_str_eq(cached(&all), "012");
        cr_expect_eq(world_logged(&all.world, "event=failed"), 1);
        cr_expect_eq(world_logged(&all.world, "no room: the asset is larger than the cache may be "
                                              "(3500000 bytes)"),
                     1);
        cr_expect_eq(world_logged(&all.world, "event=evicted"), 0);
        world_end(&all.world);
}

static uint64_t free_of(const struct assets *all)
{
        struct statvfs disk;

        cr_assert_eq(statvfs(all->world.cache, &disk), 0);
        return disk.f_bavail * disk.f_frsize;
}

/* A file of others, so that `bytes` of the disk are free. */
static void leave_free(const struct assets *all, uint64_t bytes)
{
        cr_assert_eq(world_shell("rm -f '%s/filler'", all->world.cache), 0);

        uint64_t filler = free_of(all) - bytes;

        cr_assert_eq(world_shell("fallocate -l %" PRIu64 " '%s/filler'", filler, all->world.cache),
                     0);
}

/* Neither is bounded: a full disk makes the cache give way to its own downloads. */
Test(evict, fault_31_a_cache_without_bounds_gives_way)
{
        struct assets all;

        begin_on_tmpfs(&all);
        mount_with(&all, NULL, NULL);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(opened(&all, i), 0);
        leave_free(&all, 300000);
        cr_expect_eq(opened(&all, 3), 0);
        cr_expect_str_eq(cached(&all), "123");
        cr_expect_eq(logged_of(&all, "evicted", 0), 1);
        /* Kept descriptors and backing ids would keep the space. */
        cr_expect_geq(free_of(&all), 200000);
        world_unmount(&all.world);
        /* The same where nobody tells a size. */
        world_mount(&all.world, "--origin", world_url(&all.world, "nosize"));
        leave_free(&all, 300000);
        cr_expect_eq(opened(&all, 4), 0);
        cr_expect_eq(access(world_blob(&all.world, all.hex[4]), F_OK), 0);
        cr_expect_eq(access(world_blob(&all.world, all.hex[3]), F_OK), 0, "the youngest");
        cr_expect_eq(world_logged(&all.world, "event=failed"), 0);
        end_on_tmpfs(&all);
}

/* What was granted is no less because others fill the disk. */
Test(evict, a_granted_size_is_kept_on_a_disk_that_others_fill)
{
        struct assets all;

        begin_on_tmpfs(&all);
        mount_with(&all, "--cache-size=6000000", NULL);
        for (int i = 0; i < 2; i++)
                cr_assert_eq(opened(&all, i), 0);
        leave_free(&all, 300000);
        cr_expect_eq(world_open(world_path(&all.world, all.hex[2])), ENOSPC);
        cr_expect_str_eq(cached(&all), "01");
        cr_expect_eq(world_logged(&all.world, "no room: others fill the disk: the cache keeps what "
                                              "its size allows, for lack of --keep-free"),
                     1);
        cr_expect_eq(world_requests(&all.world, "GET"), 2);
        leave_free(&all, 2000000);
        cr_expect_eq(opened_at_last(&all, 2), 0);
        cr_expect_str_eq(cached(&all), "012");
        end_on_tmpfs(&all);
}

Test(evict, keep_free_gives_way_to_others)
{
        struct assets all;
        char output[4096];

        begin_on_tmpfs(&all);
        mount_with(&all, "--cache-size=6000000", "--keep-free=2000000");
        for (int i = 0; i < 3; i++)
                cr_assert_eq(opened(&all, i), 0);
        cr_expect_eq(told(&all, "status.json", "\"keep_free\""), 2000000);
        leave_free(&all, 2500000);
        cr_expect_eq(opened(&all, 3), 0);
        cr_expect_str_eq(cached(&all), "123");
        cr_expect_geq(free_of(&all), 2000000);
        leave_free(&all, 1200000);
        cr_expect_eq(world_run(output, sizeof(output), "gc", "--cache", all.world.cache), 0);
        cr_expect(strncmp(output, "evicted 1 asset, freed ", 23) == 0, "%s", output);
        cr_expect_str_eq(cached(&all), "23");
        cr_expect_geq(free_of(&all), 2000000);
        cr_expect_eq(world_logged(&all.world, "event=evicted"), 2);
        end_on_tmpfs(&all);
}

/* A new size is one of the next worker's, which begins by keeping it. */
Test(evict, a_smaller_size_is_kept_after_a_reload)
{
        struct assets all;
        char conf[2 * WORLD_PATH];
        char output[1024];
        int64_t until;

        begin(&all);
        snprintf(conf, sizeof(conf), "%s/node.conf", all.world.dir);
        world_text(conf, "[cache]\ncache-size = 9000000\n[origin \"a\"]\nurl = %s\n",
                   world_url(&all.world, "ok"));
        world_mount(&all.world, "-c", conf);
        for (int i = 0; i < 4; i++)
                cr_assert_eq(opened(&all, i), 0);
        world_text(conf, "[cache]\ncache-size = 2500000\n[origin \"a\"]\nurl = %s\n",
                   world_url(&all.world, "ok"));
        cr_expect_eq(world_run(output, sizeof(output), "reload", all.world.mnt), 0, "%s", output);
        until = now_ms() + SURELY_MS;
        while (world_logged(&all.world, "event=evicted") < 2 && now_ms() < until)
                sleep_ms(10);
        cr_expect_str_eq(cached(&all), "23");
        cr_expect(comes(&all, "status.json", "\"limit\"", 2500000));
        world_end(&all.world);
}

static int gc(const struct assets *all, const char *size, char output[4096])
{
        return world_run(output, 4096, "gc", "--cache", all->world.cache, "--cache-size", size);
}

Test(evict, gc_beside_a_daemon_removes_what_may_go)
{
        struct assets all;
        char output[4096];
        int fd;

        begin(&all);
        mount_with(&all, NULL, NULL);
        for (int i = 0; i < 4; i++)
                cr_assert_eq(opened(&all, i), 0);
        cr_assert_eq(
            world_run(output, sizeof(output), "pin", "--cache", all.world.cache, all.hex[0]), 0);
        fd = open(world_path(&all.world, all.hex[1]), O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0);
        cr_expect_eq(world_run(output, sizeof(output), "gc", "--cache", all.world.cache), 0);
        cr_expect(strncmp(output, "evicted 0 assets, freed 0 ", 26) == 0, "within: %s", output);
        cr_expect_eq(gc(&all, "0", output), 0, "%s", output);
        cr_expect(strncmp(output, "evicted 2 assets, freed ", 24) == 0, "%s", output);
        cr_expect_str_eq(cached(&all), "01");
        cr_expect_eq(world_logged(&all.world, "event=evicted"), 2);
        close(fd);
        cr_expect_eq(opened(&all, 2), 0, "which has bounds of its own");
        cr_expect_str_eq(cached(&all), "012");
        world_end(&all.world);
}

/* By root, who does it as the cache's owner, and leaves nothing of root's in it. */
Test(evict, gc_without_a_daemon_does_it_by_itself)
{
        struct assets all;
        char output[4096];

        begin(&all);
        mount_with(&all, NULL, NULL);
        for (int i = 0; i < 4; i++)
                cr_assert_eq(opened(&all, i), 0);
        world_unmount(&all.world);
        for (int i = 0; i < 4; i++)
                set_age(&all, i, 10 + 10 * (i ^ 1));
        cr_expect_eq(gc(&all, "2500000", output), 0, "%s", output);
        cr_expect(strncmp(output, "evicted 2 assets, freed ", 24) == 0, "%s", output);
        cr_expect_str_eq(cached(&all), "01", "2 and 3 are the oldest");
        cr_expect_eq(gc(&all, "1500000", output), 0, "%s", output);
        cr_expect_str_eq(cached(&all), "1");
        cr_expect_eq(gc(&all, "0", output), 0, "%s", output);
        cr_expect_str_eq(cached(&all), "");
        cr_expect_eq(
            world_shell("[ -z \"$(find '%s' ! -user " WORKER_USER ")\" ]", all.world.cache), 0,
            "root's is nothing");
        mount_with(&all, NULL, NULL);
        cr_expect_eq(opened(&all, 0), 0);
        world_end(&all.world);
}

Test(evict, gc_of_what_is_no_cache_says_so)
{
        struct assets all;
        char output[4096];

        begin(&all);
        mount_with(&all, NULL, NULL);
        cr_assert_eq(opened(&all, 0), 0);
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
        cr_expect_str_eq(cached(&all), "0");
        world_end(&all.world);
}

/* Blobs of one block each, all links to one file: what counts here is their number. */
static void make_crowd(const struct assets *all, unsigned count)
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
        struct assets all;
        char bound[64];

        begin_on_tmpfs(&all);
        mount_with(&all, NULL, NULL);
        world_unmount(&all.world);
        make_crowd(&all, count);
        snprintf(bound, sizeof(bound), "--cache-size=%u", count * 4096);
        *ret_mount = now_ms();
        mount_with(&all, bound, NULL);
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
                cr_expect_eq(world_logged(&all.world, "event=evicted"), i + 1);
        }
        end_on_tmpfs(&all);
}

/* make check-crowd: of 100 000. */
Test(evict, a_crowd_is_as_fast_as_a_few)
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

/* The kernel tells who reads a directory. */
Test(evict, no_directory_of_blobs_is_read_for_it)
{
        _Alignas(struct inotify_event) char events[4096];
        struct assets all;
        char blobs[2 * WORLD_PATH];
        int heard = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        begin(&all);
        mount_with(&all, THREE, NULL);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(opened(&all, i), 0);
        snprintf(blobs, sizeof(blobs), "%s/blobs/sha256", all.world.cache);
        cr_assert(inotify_add_watch(heard, blobs, IN_ACCESS | IN_DELETE | IN_ONLYDIR) >= 0);
        cr_expect_eq(opened(&all, 3), 0);
        cr_expect_eq(opened(&all, 4), 0);
        cr_expect_str_eq(cached(&all), "234");

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
