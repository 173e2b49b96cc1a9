/*
 * FAULTS 39 where something else goes wrong as well: the worker that hashes is killed, the disk
 * is full, the file was damaged before it had a name; and what a reload makes of the options.
 */
#include "tests/e2e/scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(scrub_faults, .timeout = 120);

#define SIZE  300000
#define LARGE (SLOW_BUILD ? 8000000 : 40000000) /* some milliseconds to hash */

static uint64_t scrubbed_bytes(const struct world *world)
{
        static const char name[] = "\nassetfs_scrub_bytes_total ";
        static char text[1 << 16];
        int fd = open(world_path(world, ".assetfs/metrics.prom"), O_RDONLY | O_CLOEXEC);
        ssize_t got = read(fd, text, sizeof(text) - 1);

        close(fd);
        text[got > 0 ? got : 0] = '\0';

        const char *line = strstr(text, name);

        cr_assert_not_null(line);
        return strtoull(line + strlen(name), NULL, 10);
}

/* The background has begun to hash something, and mostly is not done with it. */
static void wait_for_scrub(const struct world *world)
{
        uint64_t before = scrubbed_bytes(world);
        int64_t deadline = now_ms() + SURELY_MS;

        while (scrubbed_bytes(world) == before) {
                cr_assert(now_ms() < deadline, "nothing is hashed");
                sleep_ms(1);
        }
}

static void replace_worker(struct world *world)
{
        pid_t worker = world_worker(world);

        kill(worker, SIGKILL);
        world_next_worker(world, worker);
}

Test(scrub_faults, the_worker_is_killed_in_the_middle_of_a_pass)
{
        struct world world;
        char hex[HEX];

        fill_cache(&world, LARGE, hex);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--scrub-interval", "1s",
                    "--connections", "1");
        for (int i = 0; i < 3; i++) {
                wait_for_scrub(&world);
                replace_worker(&world);
        }
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_requests(&world, "GET /ok/"), 1);
        cr_expect_eq(quarantined(&world, hex), 0);
        flip(&world, hex);
        wait_for_scrub(&world);
        replace_worker(&world);
        cr_expect(logged_in_time(&world, "by=scrub cause=\"its bytes have the SHA-256 "));
        expect_mended(&world, hex);
        cr_expect_eq(world_shell("ls -A '%s/ingest' | grep .", world.cache), 1, "nothing is left");
        world_end(&world);
}

Test(scrub_faults, the_worker_is_killed_while_openers_wait_for_a_hash)
{
        struct world world;
        struct opener opener;
        char hex[HEX];

        fill_cache(&world, LARGE, hex);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--verify", "always",
                    "--connections", "1");
        for (int i = 0; i < 6; i++) {
                if (i == 5)
                        flip(&world, hex);
                opener_start(&opener, world_path(&world, hex));
                sleep_ms(4 * i);
                replace_worker(&world);
                cr_expect_eq(opener_result(&opener, SURELY_MS), 0, "%d", i);
                opener_gone(&opener, SURELY_MS);
                cr_expect_eq(world_requests(&world, "GET /ok/") > 1, i == 5, "%d", i);
        }
        expect_mended(&world, hex);
        world_end(&world);
}

/* On a disk that has no byte left it is moved, which takes none; and it makes room for its
 * successor. */
Test(scrub_faults, quarantined_on_a_full_disk)
{
        struct world world;
        char output[4096];
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        cr_assert_eq(world_shell("cd '%s' && truncate -s 8M disk && mkfs.ext4 -q -I 256 -m 0 disk "
                                 "&& mkdir -m 700 cache && mount -o loop disk cache && "
                                 "chmod 700 cache",
                                 world.dir),
                     0);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_assert_eq(world_open(world_path(&world, hex)), 0);
        world_unmount(&world);
        flip(&world, hex);
        cr_assert_eq(world_shell("cd '%s'; cat /dev/zero >full 2>/dev/null; sync; "
                                 "test $(stat -f -c %%a .) -lt 100",
                                 world.cache),
                     0);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(VERIFY(&world, output, hex), 1);
        cr_expect(strstr(output, "quarantined"), "%s", output);
        cr_expect_eq(quarantined(&world, hex), 1);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_requests(&world, "GET /ok/"), 2);
        cr_expect_eq(quarantined(&world, hex), 0);
        world_unmount(&world);
        cr_expect_eq(world_shell("umount '%s'", world.cache), 0);
        world_end(&world);
}

/* The bytes were hashed as they came, so it is published, with a hole; whoever hashes the file
 * finds that out. */
Test(scrub_faults, truncated_while_it_was_written)
{
        struct world world;
        struct opener opener;
        struct stat st;
        char output[4096];
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, 8000000, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "half-gate"));
        opener_start(&opener, world_path(&world, hex));
        for (int64_t until = now_ms() + SURELY_MS;
             stat(world_staging(&world, hex), &st) < 0 || st.st_size < 1000000; sleep_ms(5))
                cr_assert(now_ms() < until, "nothing comes");
        cr_assert_eq(truncate(world_staging(&world, hex), 0), 0);
        world_open_gate(&world);
        cr_expect_eq(opener_result(&opener, SURELY_MS), 0);
        opener_gone(&opener, SURELY_MS);
        cr_expect_eq(world_shell("cmp -s '%s' '%s/%s'", world_blob(&world, hex), world.files, hex),
                     1);
        cr_expect_eq(VERIFY(&world, output, hex), 1);
        cr_expect(strstr(output, "quarantined"), "%s", output);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(quarantined(&world, hex), 1);
        world_end(&world);
}

static void reload(struct world *world, const char *lines)
{
        char config[2 * WORLD_PATH];
        char output[1024];

        snprintf(config, sizeof(config), "%s/conf", world->dir);
        world_text(config, "[origin \"a\"]\nurl = %s\n[cache]\n%s", world_url(world, "ok"), lines);
        if (!world->daemon) {
                world_mount(world, "-c", config);
                return;
        }
        cr_assert_eq(world_run(output, sizeof(output), "reload", world->mnt), 0, "%s", output);
        cr_expect_str_eq(output, "");
}

Test(scrub_faults, reload_applies_verify_and_scrub_interval)
{
        struct world world;
        char hex[HEX];

        fill_cache(&world, SIZE, hex);
        reload(&world, "");
        flip(&world, hex);

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_expect_geq(fd, 0);
        close(fd);
        cr_expect_eq(world_logged(&world, "event=refused"), 0, "its record is right");
        reload(&world, "verify = always\n");
        expect_mended(&world, hex);
        cr_expect_eq(world_logged(&world, "event=refused"), 1);
        cr_expect_eq(world_logged(&world, "event=scrubbed"), 0);
        reload(&world, "scrub-interval = 1s\n");
        cr_expect(logged_in_time(&world, "event=scrubbed blobs=1 bytes=300000 bad=0"));
        flip(&world, hex);
        cr_expect(logged_in_time(&world, "by=scrub"));
        reload(&world, ""); /* as many threads as in the beginning */
        world_end(&world);
}
