/*
 * FAULTS 36, 39 and 46, corruption at rest: a bit that flipped where size and times say nothing
 * of it. Who looks for it finds it, it is kept for a look, and the next open is right again.
 */
#include "tests/e2e/scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(scrub, .timeout = 120);

#define SIZE 300000
#define WAYS 2

static const char *const ways[WAYS] = {"passthrough=auto", "passthrough=off"};

Test(scrub, fault_39_metadata_is_what_an_open_trusts)
{
        struct world world;
        char hex[HEX];

        fill_cache(&world, SIZE, hex);
        flip(&world, hex);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_shell("cmp -s '%s' '%s/%s'", world_path(&world, hex), world.files, hex),
                     1, "that is what the default means");
        cr_expect_eq(world_requests(&world, "GET /ok/"), 1);
        world_unmount(&world);
        cr_assert_eq(unlink(world_blob(&world, hex)), 0);
        world_end(&world);
}

Test(scrub, fault_39_hashed_once_a_boot)
{
        for (int way = 0; way < WAYS; way++) {
                struct world world;
                char hex[HEX];

                fill_cache(&world, SIZE, hex);
                boot(&world, hex);
                world_mount(&world, "--origin", world_url(&world, "ok"), "--verify", "boot", "-o",
                            ways[way], "--log-level", "debug");
                for (int i = 0; i < 3; i++)
                        cr_expect_eq(world_open(world_path(&world, hex)), 0);
                cr_expect_eq(world_logged(&world, "event=revalidated"), 1, "%s", ways[way]);
                cr_expect_eq(world_requests(&world, "GET /ok/"), 1);
                boot(&world, hex);
                flip(&world, hex);
                expect_mended(&world, hex);
                cr_expect_eq(world_logged(&world, "event=refused"), 1, "%s", ways[way]);
                world_end(&world);
        }
}

Test(scrub, fault_39_hashed_by_each_open_that_finds_it_closed)
{
        for (int way = 0; way < WAYS; way++) {
                struct world world;
                char hex[HEX];

                fill_cache(&world, SIZE, hex);
                world_mount(&world, "--origin", world_url(&world, "ok"), "--verify", "always", "-o",
                            ways[way], "--log-level", "debug");
                cr_expect_eq(world_open(world_path(&world, hex)), 0);
                cr_expect_eq(world_logged(&world, "event=revalidated"), 1, "%s", ways[way]);

                int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

                cr_assert_geq(fd, 0);
                for (int i = 0; i < 3; i++)
                        cr_expect_eq(world_open(world_path(&world, hex)), 0);
                cr_expect_eq(world_logged(&world, "event=revalidated"), 2, "while it is open");
                close(fd);
                flip(&world, hex);
                expect_mended(&world, hex);
                cr_expect_eq(world_logged(&world, "event=refused"), 1, "%s", ways[way]);
                world_end(&world);
        }
}

/* Of many openers at once, none has a thread, none fails, and no byte comes from an origin. */
Test(scrub, many_open_what_is_to_be_hashed)
{
        struct opener openers[20];
        struct world world;
        char hex[HEX];

        fill_cache(&world, SIZE, hex);
        boot(&world, hex);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--verify", "boot", "--log-level",
                    "debug");
        for (int i = 0; i < 20; i++)
                opener_start(&openers[i], world_path(&world, hex));
        for (int i = 0; i < 20; i++)
                cr_expect_eq(opener_result(&openers[i], SURELY_MS), 0);
        cr_expect_eq(world_logged(&world, "event=revalidated"), 1, "one hash for all");
        cr_expect_eq(world_requests(&world, "GET /ok/"), 1);
        world_end(&world);
}

/* Where nothing can be noted of a hash, what is right opens all the same. */
Test(scrub, fault_37_hashed_on_a_read_only_disk)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        cr_assert_eq(world_shell("cd '%s' && mkdir -m 700 cache && "
                                 "mount -t tmpfs -o size=8m,mode=700 none cache",
                                 world.dir),
                     0);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--verify", "always");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_unmount(&world);
        cr_assert_eq(world_shell("mount -o remount,ro '%s'", world.cache), 0);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--verify", "always");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_requests(&world, "GET /ok/"), 1);
        world_unmount(&world);
        cr_expect_eq(world_shell("umount '%s'", world.cache), 0);
        world_end(&world);
}

Test(scrub, fault_39_verify_finds_it_beside_the_daemon)
{
        for (int way = 0; way < WAYS; way++) {
                struct world world;
                char output[4096];
                char good[HEX];
                char hex[HEX];
                char byte;

                fill_cache(&world, SIZE, hex);
                world_asset(&world, SIZE, good);
                world_mount(&world, "--origin", world_url(&world, "ok"), "-o", ways[way]);
                cr_assert_eq(world_open(world_path(&world, good)), 0);

                int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

                cr_assert_geq(fd, 0);
                cr_expect_eq(VERIFY(&world, output, "-q"), 0);
                cr_expect_str_eq(output, "");
                cr_expect_eq(world_open(world_path(&world, hex)), 0, "a verified one is the same");
                flip(&world, hex);
                cr_expect_eq(VERIFY(&world, output, good), 0, "%s", output);
                cr_expect(strstr(output, "good ") && strstr(output, good), "%s", output);
                cr_expect_eq(VERIFY(&world, output, hex, good), 1);
                cr_expect(strstr(output, "bad ") && strstr(output, "quarantined"), "%s", output);
                cr_expect_eq(pread(fd, &byte, 1, 0), 1, "who has it open keeps it");
                cr_expect_eq(world_open(world_path(&world, hex)), 0);
                cr_expect_eq(world_requests(&world, "GET /ok/"), 3, "%s", ways[way]);
                cr_expect_eq(quarantined(&world, hex), 1);
                close(fd);
                cr_expect_eq(VERIFY(&world, output, "-q"), 0, "%s", output);
                world_end(&world);
        }
}

Test(scrub, fault_40_verify_follows_nothing)
{
        struct world world;
        char output[4096];
        char hex[HEX];

        fill_cache(&world, SIZE, hex);
        cr_assert_eq(world_shell("set -e; cd '%s'; B='%s'; echo secret >precious; "
                                 "chmod 600 precious; rm -f $B; ln -s $PWD/precious $B; "
                                 "rm -rf cache/quarantine; ln -s /etc cache/quarantine",
                                 world.dir, world_blob(&world, hex)),
                     0);
        cr_expect_eq(VERIFY(&world, output, hex), 1);
        cr_expect(strstr(output, "no regular file"), "%s", output);
        cr_expect_eq(world_shell("test -L '%s'", world_blob(&world, hex)), 0);
        cr_assert_eq(world_shell("cd '%s'; rm blobs/sha256/* quarantine", world.cache), 0);
        world_end(&world);
}

/* Real EIO: the disk under the file system ends where the blob's bytes should be. */
Test(scrub, fault_36_what_the_disk_cannot_read)
{
        struct world world;
        char output[4096];
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, 4000000, hex);
        world_origin(&world);
        cr_assert_eq(world_shell("cd '%s' && truncate -s 24M disk && mkfs.ext4 -q -I 256 disk && "
                                 "mkdir -m 700 cache && mount -o loop disk cache && "
                                 "chmod 700 cache",
                                 world.dir),
                     0);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_assert_eq(world_open(world_path(&world, hex)), 0);
        world_unmount(&world);

        /* What lies behind the middle of the blob is lost; the image is whole again after. */
        cr_assert_eq(world_shell("set -e; cd '%s'; sync; "
                                 "first=$(filefrag -b1024 -v '%s' | awk '$1 == \"0:\" "
                                 "{ sub(/[.].*/, \"\", $4); print $4; exit }'); "
                                 "cp disk whole; truncate -s $((first * 1024 + 2000000)) disk",
                                 world.dir, world_blob(&world, hex)),
                     0);
        cr_expect_eq(VERIFY(&world, output, hex), 1);
        cr_expect(strstr(output, "the disk cannot read it"), "%s", output);
        cr_assert_eq(
            world_shell("cd '%s'; tail -c +$(($(stat -c %%s disk) + 1)) whole >>disk", world.dir),
            0);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_requests(&world, "GET /ok/"), 2);
        world_unmount(&world);
        cr_expect_eq(world_shell("umount '%s'", world.cache), 0);
        world_end(&world);
}

Test(scrub, fault_39_found_in_the_background)
{
        struct world world;
        char hex[HEX];
        char byte;

        fill_cache(&world, SIZE, hex);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--scrub-interval", "1s", "-o",
                    "passthrough=off");

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_assert_geq(fd, 0);
        cr_expect(logged_in_time(&world, "event=scrubbed blobs=1 bytes=300000 bad=0"));
        cr_expect_eq(pread(fd, &byte, 1, 0), 1, "who has it open is not disturbed");
        flip(&world, hex);
        cr_expect(logged_in_time(&world, "by=scrub cause=\"its bytes have the SHA-256 "));
        cr_expect(logged_in_time(&world, " bad=1 "));
        cr_expect_eq(pread(fd, &byte, 1, 0), 1);
        expect_mended(&world, hex);
        cr_expect_eq(world_shell("grep -q '^assetfs_scrub_bad_total 1$' '%s/.assetfs/metrics.prom'",
                                 world.mnt),
                     0);
        close(fd);
        world_end(&world);
}

/* What went into quarantine does not stand in the order of who is to be evicted. */
Test(scrub, what_the_background_took_away_is_not_evicted)
{
        struct world world;
        char others[2][HEX];
        char hex[HEX];

        fill_cache(&world, SIZE, hex);
        flip(&world, hex);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--scrub-interval", "1s",
                    "--cache-size", "800000");
        cr_expect(logged_in_time(&world, " bad=1 "));
        cr_assert_eq(world_shell("rm '%s'/quarantine/*", world.cache), 0);
        for (int i = 0; i < 2; i++) {
                world_asset(&world, SIZE, others[i]);
                cr_expect_eq(world_open(world_path(&world, others[i])), 0);
        }
        cr_expect_eq(world_logged(&world, "event=evicted"), 0);
        world_end(&world);
}
