/*
 * FAULTS, the disk: caches on small file systems of their own, which run full, fail and are
 * remounted for real.
 */
#include "tests/e2e/world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

TestSuite(disk, .timeout = 180);

#define SMALL 200000
#define BIG   9000000

#define EXT4                                                                                       \
        "truncate -s 8M disk && mkfs.ext4 -q -I 256 -m 0 disk && mkdir cache && "                  \
        "mount -o loop disk cache"
#define XFS                                                                                        \
        "truncate -s 320M disk && mkfs.xfs -q disk && mkdir cache && "                             \
        "mount -o loop disk cache && fallocate -l 230M cache/filler"
#define TMPFS "mkdir cache && mount -t tmpfs -o size=8M none cache"

static int shell_in(const struct world *world, const char *command)
{
        return world_shell("set -e; cd '%s'; %s", world->dir, command);
}

/* The cache is a file system that `make` mounts in the world's directory. */
static void begin_on(struct world *world, const char *make)
{
        world_begin(world);
        cr_assert_eq(shell_in(world, make), 0, "%s", make);
        cr_assert_eq(world_shell("chown " WORKER_USER ": '%s' && chmod 700 '%s'", world->cache,
                                 world->cache),
                     0);
        world_origin(world);
}

static void mount_ok(struct world *world)
{
        world_mount(world, "--origin", world_url(world, "ok"));
}

/* No staging is left, nothing was published, and the status still answers. */
static void expect_clean(struct world *world, const char *hex)
{
        char output[4096];

        cr_expect_eq(access(world_blob(world, hex), F_OK), -1);
        cr_expect_eq(access(world_staging(world, hex), F_OK), -1);
        cr_expect_eq(world_run(output, sizeof(output), "status", world->mnt), 0, "%s", output);
}

/* The daemon's checks come first, while the cache is still there. */
static void end_on(struct world *world)
{
        world_unmount(world);
        world_umount(world, "cache");
        world_end(world);
}

static void full(const char *make)
{
        struct world world;
        char catalog[2 * WORLD_PATH];
        char small[HEX];
        char big[HEX];

        begin_on(&world, make);
        world_asset(&world, SMALL, small);
        world_asset(&world, strstr(make, "xfs") ? 12 * BIG : BIG, big);
        snprintf(catalog, sizeof(catalog), "%s/catalog.json", world.dir);
        world_text(catalog, "{\"assets\": {\"big\": {\"sha256\": \"%s\", \"size\": %d}}}", big,
                   strstr(make, "xfs") ? 12 * BIG : BIG);
        world_mount(&world, "--catalog", catalog, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, big)), ENOSPC);
        cr_expect_eq(world_requests(&world, "GET"), 0, "reserved before any GET");
        cr_expect_eq(world_logged(&world, "event=failed"), 1);
        cr_expect_eq(world_logged(&world, "errno=ENOSPC"), 1);
        expect_clean(&world, big);
        cr_expect_eq(world_open(world_path(&world, small)), 0);
        end_on(&world);
}

Test(disk, fault_31_no_room_at_the_start_ext4)
{
        full(EXT4);
}

Test(disk, fault_31_no_room_at_the_start_xfs)
{
        full(XFS);
}

Test(disk, fault_31_no_room_at_the_start_tmpfs)
{
        full(TMPFS);
}

/* Nobody says the size, so nothing can be reserved; then room is made, and it opens. */
static void full_midway(const char *make)
{
        struct world world;
        char hex[HEX];

        begin_on(&world, make);
        cr_assert_eq(shell_in(&world, "fallocate -l 4M cache/filler"), 0);
        world_asset(&world, 5000000, hex);
        world_mount(&world, "--origin", world_url(&world, "nosize"));
        cr_expect_eq(world_open(world_path(&world, hex)), ENOSPC);
        cr_expect_eq(world_requests(&world, "GET"), 1, "not asked again");
        cr_expect_eq(world_logged(&world, "event=failed"), 1);
        expect_clean(&world, hex);
        cr_assert_eq(shell_in(&world, "rm cache/filler"), 0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0, "heals itself");
        end_on(&world);
}

Test(disk, fault_32_no_room_midway_ext4)
{
        full_midway(EXT4);
}

Test(disk, fault_32_no_room_midway_tmpfs)
{
        full_midway(TMPFS);
}

/* A disk that promises more than it has: the reservation succeeds, and the data have no room
 * when they are flushed. */
Test(disk, fault_32_no_room_at_fsync_of_a_thin_disk)
{
        struct world world;
        char hex[HEX];
        char small[HEX];

        begin_on(&world, "mkdir cache thin && mount -t tmpfs -o size=3M none thin && "
                         "truncate -s 32M thin/disk && "
                         "mkfs.ext4 -q -I 256 -m 0 -O ^has_journal thin/disk && "
                         "mount -o loop thin/disk cache");
        world_asset(&world, 4000000, hex);
        world_asset(&world, SMALL, small);
        mount_ok(&world);
        cr_expect_eq(world_open(world_path(&world, hex)), ENOSPC);
        cr_expect_eq(world_requests(&world, "GET"), 1);
        cr_expect_eq(world_logged(&world, "errno=ENOSPC"), 1);
        expect_clean(&world, hex);
        cr_assert_eq(shell_in(&world, "mount -o remount,size=32M thin"), 0);
        cr_expect_eq(world_open(world_path(&world, small)), 0);
        world_unmount(&world);
        mount_ok(&world);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_unmount(&world);
        world_umount(&world, "cache");
        world_umount(&world, "thin");
        world_end(&world);
}

static void no_inodes(const char *make)
{
        struct world world;
        char hex[HEX];

        begin_on(&world, make);
        world_asset(&world, SMALL, hex);
        mount_ok(&world);
        cr_assert_eq(shell_in(&world, "i=0; while touch cache/pins/$i 2>/dev/null; do "
                                      "i=$((i+1)); done; [ $i -gt 0 ]"),
                     0);
        cr_expect_eq(world_open(world_path(&world, hex)), ENOSPC);
        cr_expect_eq(world_requests(&world, "GET"), 0);
        cr_expect_eq(world_logged(&world, "errno=ENOSPC"), 1);
        expect_clean(&world, hex);
        cr_assert_eq(shell_in(&world, "find cache/pins -type f -delete"), 0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        end_on(&world);
}

Test(disk, fault_34_inodes_used_up_tmpfs)
{
        no_inodes("mkdir cache && mount -t tmpfs -o size=8M,nr_inodes=40 none cache");
}

Test(disk, fault_34_inodes_used_up_ext4)
{
        no_inodes("truncate -s 8M disk && mkfs.ext4 -q -I 256 -N 48 disk && mkdir cache && "
                  "mount -o loop disk cache");
}

/* btrfs says that it has 0 inodes in all: it does not count them. */
Test(disk, fault_34_inodes_that_are_not_counted)
{
        struct world world;
        struct statvfs disk;
        char output[4096];
        char hex[HEX];

        begin_on(&world,
                 "truncate -s 120M disk && mkfs.btrfs -q -M disk >/dev/null 2>&1 && mkdir cache && "
                 "mount -o loop disk cache");
        cr_assert_eq(statvfs(world.cache, &disk), 0);
        cr_assert_eq(disk.f_files, 0);
        world_asset(&world, SMALL, hex);
        mount_ok(&world);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_run(output, sizeof(output), "status", world.mnt), 0, "%s", output);
        cr_expect_eq(world_logged(&world, "inodes"), 0);
        end_on(&world);
}

/* The file system has shut itself down, as after an error of its journal's disk. */
static void shut_down(const char *make)
{
        struct world world;
        struct opener opener;
        char hex[HEX];

        begin_on(&world, make);
        world_asset(&world, 3000000, hex);
        world_mount(&world, "--origin", world_url(&world, "half-gate"));
        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);
        for (int i = 0; i < 3000 && !world_requests(&world, "GET"); i++)
                sleep_ms(10);
        cr_assert_eq(shell_in(&world, "xfs_io -x -c 'shutdown -f' cache"), 0);
        world_open_gate(&world);
        cr_expect_eq(opener_result(&opener, SURELY_MS), EIO);
        cr_expect_eq(world_requests(&world, "GET"), 1, "not tried again");
        cr_expect_eq(world_logged(&world, "errno=EIO"), 1);
        world_unmount(&world);
        /* The repaired disk has nothing of it under a name. */
        cr_assert_eq(shell_in(&world, "umount cache && mount -o loop disk cache"), 0);
        cr_expect_eq(access(world_blob(&world, hex), F_OK), -1);
        mount_ok(&world);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        end_on(&world);
}

Test(disk, fault_35_the_disk_fails_ext4)
{
        shut_down(EXT4);
}

Test(disk, fault_35_the_disk_fails_xfs)
{
        shut_down("truncate -s 320M disk && mkfs.xfs -q disk && mkdir cache && "
                  "mount -o loop disk cache");
}

Test(disk, fault_37_remounted_read_only)
{
        struct world world;
        char cached[HEX];
        char missing[HEX];

        begin_on(&world, EXT4);
        world_asset(&world, SMALL, cached);
        world_asset(&world, SMALL, missing);
        mount_ok(&world);
        cr_expect_eq(world_open(world_path(&world, cached)), 0);
        /* The lock is open for writing, which a plain remount respects: abort does what
         * errors=remount-ro does after an error of the disk. */
        cr_assert_eq(shell_in(&world, "sync -f cache; mount -o remount,abort cache || :; "
                                      "! touch cache/probe 2>/dev/null"),
                     0);
        cr_expect_eq(world_open(world_path(&world, cached)), 0, "a hit needs nothing");
        cr_expect_eq(world_open(world_path(&world, missing)), EROFS);
        cr_expect_eq(world_logged(&world, "errno=EROFS"), 1);
        cr_expect_eq(world_requests(&world, "GET"), 1);
        expect_clean(&world, missing);
        world_unmount(&world);
        /* An aborted ext4 is writable again when it was repaired. */
        world_umount(&world, "cache");
        cr_assert_eq(shell_in(&world, "e2fsck -fy disk >/dev/null 2>&1 || [ $? -eq 1 ]; "
                                      "mount -o loop disk cache"),
                     0);
        mount_ok(&world);
        cr_expect_eq(world_open(world_path(&world, missing)), 0);
        cr_expect_eq(world_open(world_path(&world, cached)), 0);
        end_on(&world);
}

/* `removal` is a shell command about the cache, while a file is open. */
static void removed(const char *removal)
{
        struct world world;
        char byte;
        char one[HEX];
        char two[HEX];

        world_begin(&world);
        world_origin(&world);
        world_asset(&world, SMALL, one);
        world_asset(&world, SMALL, two);
        mount_ok(&world);

        int fd = open(world_path(&world, one), O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0);
        cr_assert_eq(shell_in(&world, removal), 0);
        cr_expect_eq(world_open(world_path(&world, two)), 0, "%s", removal);
        cr_expect_eq(world_open(world_path(&world, one)), 0, "%s", removal);
        cr_expect_eq(access(world_blob(&world, two), F_OK), 0, "under its name: %s", removal);
        cr_expect_eq(pread(fd, &byte, 1, SMALL - 1), 1, "%s", removal);
        close(fd);
        world_end(&world);
}

Test(disk, fault_38_directories_removed)
{
        removed("rm -rf cache/ingest");
        removed("rm -rf cache/blobs");
        removed("rm -rf cache/*");
        removed("mv cache/blobs aside");
}

/* The worker may write nowhere else: the supervisor makes the directory anew, within a second
 * or so, and another worker. */
Test(disk, fault_38_cache_itself_removed)
{
        struct world world;
        char byte;
        char one[HEX];
        char two[HEX];

        world_begin(&world);
        world_origin(&world);
        world_asset(&world, SMALL, one);
        world_asset(&world, SMALL, two);
        mount_ok(&world);

        int fd = open(world_path(&world, one), O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0);
        cr_assert_eq(shell_in(&world, "rm -rf cache"), 0);
        for (int i = 0; i < 200 && !world_logged(&world, "event=cache-renewed"); i++)
                usleep(100000);
        cr_expect_eq(world_logged(&world, "event=cache-renewed"), 1);
        cr_expect_eq(world_open(world_path(&world, two)), 0);
        cr_expect_eq(world_open(world_path(&world, one)), 0, "it is downloaded anew");
        cr_expect_eq(pread(fd, &byte, 1, SMALL - 1), 1);
        close(fd);
        cr_expect_eq(shell_in(&world, "test -e cache/control && test $(stat -c %a cache) = 700"),
                     0);
        world_end(&world);
}

/* tmpfs has no O_DIRECT before Linux 6.6, overlayfs no passthrough. */
Test(disk, fault_44_overlayfs)
{
        struct world world;
        char hex[HEX];

        begin_on(&world, "mkdir under cache && mount -t tmpfs none under && "
                         "mkdir under/lower under/upper under/work && mount -t overlay "
                         "-o lowerdir=under/lower,upperdir=under/upper,workdir=under/work "
                         "none cache");
        world_asset(&world, 3000000, hex);
        mount_ok(&world);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0, "and from the cache");
        cr_expect_eq(world_requests(&world, "GET"), 1);
        world_unmount(&world);
        cr_expect_eq(shell_in(&world, "umount cache && umount under"), 0);
        world_end(&world);
}

/* ext3's files cannot be reserved: nothing is, and what is known to be too large is asked for. */
Test(disk, fault_44_no_fallocate)
{
        struct world world;
        char hex[HEX];
        char big[HEX];

        begin_on(&world, "truncate -s 8M disk && mkfs.ext4 -q -I 256 -m 0 -O ^extent,^64bit disk "
                         "&& mkdir cache && mount -o loop disk cache && "
                         "! fallocate -l 4096 cache/probe 2>/dev/null && rm -f cache/probe");
        world_asset(&world, 3000000, hex);
        world_asset(&world, BIG, big);
        mount_ok(&world);
        cr_expect_eq(world_open(world_path(&world, big)), ENOSPC);
        expect_clean(&world, big);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_open(world_blob(&world, hex)), 0);
        end_on(&world);
}
