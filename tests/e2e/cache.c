/*
 * FAULTS, the cache: strange things in it, and what a hit needs.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

TestSuite(cache, .timeout = 180);

#define SIZE 300000

/* Mounts, fetches `hex`, and unmounts: it is in the cache. */
static void fill_cache(struct world *world, char hex[HEX])
{
        world_begin(world);
        world_asset(world, SIZE, hex);
        world_origin(world);
        world_mount(world, "--origin", world_url(world, "ok"));
        cr_assert_eq(world_open(world_path(world, hex)), 0);
        world_unmount(world);
}

static void remount(struct world *world)
{
        world_mount(world, "--origin", world_url(world, "ok"));
}

/* `damage` is a shell command about $B, the blob. The open refuses it and fetches again. */
static void expect_fetched_again(const char *damage)
{
        struct world world;
        struct stat st;
        char hex[HEX];

        fill_cache(&world, hex);
        cr_assert_eq(
            world_shell("set -e; cd '%s'; B='%s'; %s", world.dir, world_blob(&world, hex), damage),
            0);
        if (!strstr(damage, "chown"))
                world_give_cache(&world);
        remount(&world);
        cr_expect_eq(world_shell("timeout 30 ls -l '%s' >/dev/null", world.mnt), 0, "%s", damage);
        cr_expect_eq(world_open(world_path(&world, hex)), 0, "%s", damage);
        cr_expect_eq(world_requests(&world, "GET"), 2, "%s", damage);
        cr_expect_eq(world_logged(&world, "event=refused"), 1, "%s", damage);
        cr_expect_eq(lstat(world_blob(&world, hex), &st), 0);
        cr_expect(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0444, "%s", damage);
        world_end(&world);
}

Test(cache, fault_40_symlink)
{
        expect_fetched_again("rm -f $B; ln -s /etc/passwd $B");
}

/* A link to the very content is not followed either. */
Test(cache, fault_40_symlink_to_the_content)
{
        expect_fetched_again("mv $B elsewhere; ln -s $PWD/elsewhere $B");
}

Test(cache, fault_40_fifo)
{
        expect_fetched_again("rm -f $B; mkfifo $B");
}

Test(cache, fault_40_directory)
{
        expect_fetched_again("rm -f $B; mkdir $B");
}

Test(cache, fault_40_directory_with_content)
{
        expect_fetched_again("rm -f $B; mkdir $B; touch $B/file");
}

Test(cache, fault_40_hardlink_to_a_foreign_file)
{
        expect_fetched_again("rm -f $B; head -c 300000 /dev/urandom >foreign; ln foreign $B");
}

Test(cache, fault_40_other_owner)
{
        expect_fetched_again("chown 0 $B");
}

/* The record of a blob travels with a hard link to another blob's name. */
Test(cache, fault_40_hardlink_to_another_blob)
{
        struct world world;
        char one[HEX];
        char two[HEX];

        fill_cache(&world, one);
        world_asset(&world, SIZE, two);
        cr_assert_eq(link(world_blob(&world, one), world_blob(&world, two)), 0);
        world_give_cache(&world);
        remount(&world);
        cr_expect_eq(world_open(world_path(&world, two)), 0);
        cr_expect_eq(world_open(world_path(&world, one)), 0);
        world_end(&world);
}

Test(cache, damaged_blobs_are_fetched_again)
{
        expect_fetched_again("chmod u+w $B; truncate -s 1000 $B");
        expect_fetched_again("chmod u+w $B; echo more >>$B");
        expect_fetched_again("chmod u+w $B; printf x | dd of=$B bs=1 seek=777 conv=notrunc "
                             "status=none");
        expect_fetched_again("head -c 300000 /dev/zero >z; cp z $B.new; mv $B.new $B");
}

Test(cache, blob_without_a_record_is_hashed_and_not_fetched)
{
        struct world world;
        char hex[HEX];

        fill_cache(&world, hex);
        cr_assert_eq(world_shell("cd '%s'; cp %s/%s restored && mv -f restored '%s'", world.dir,
                                 world.files, hex, world_blob(&world, hex)),
                     0);
        world_give_cache(&world);
        world_mount(&world, "--origin", "http://127.0.0.1:1/{sha256}");
        cr_expect_str_eq(world_xattr(world_path(&world, hex), "user.assetfs.state"), "unverified");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_logged(&world, "event=revalidated"), 1);
        cr_expect_str_eq(world_xattr(world_path(&world, hex), "user.assetfs.state"), "cached");
        world_end(&world);
}

/* `damage` is a shell command about $B, the blob, while it is open. Who opens it then gets the
 * right bytes; who has it open keeps the file that it opened. */
static int damage_while_open(struct world *world, char hex[HEX], const char *passthrough,
                             const char *damage)
{
        fill_cache(world, hex);
        world_mount(world, "--origin", world_url(world, "ok"), "-o", passthrough);

        int fd = open(world_path(world, hex), O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0);
        cr_assert_eq(
            world_shell("set -e; cd '%s'; B='%s'; %s", world->dir, world_blob(world, hex), damage),
            0);
        world_give_cache(world);
        return fd;
}

#define FLIP "printf x | dd of=$B bs=1 seek=250000 conv=notrunc status=none"

Test(cache, fault_39_damaged_while_open)
{
        struct world world;
        char hex[HEX];
        char byte;
        int fd = damage_while_open(&world, hex, "passthrough=off", FLIP);

        cr_expect_eq(pread(fd, &byte, 1, 250000), -1);
        cr_expect_eq(errno, EIO);
        cr_expect_geq(world_logged(&world, "event=changed"), 1);
        for (int i = 0; i < 3; i++)
                cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_requests(&world, "GET /ok/"), 2, "fetched again once");
        cr_expect_eq(pread(fd, &byte, 1, 250000), -1, "the old open keeps the old file");
        close(fd);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

Test(cache, fault_39_damaged_while_open_by_passthrough)
{
        static const char *const damages[] = {FLIP, "truncate -s 1000 $B", "echo more >>$B"};

        for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
                struct world world;
                struct stat st;
                char hex[HEX];
                char byte;
                int fd = damage_while_open(&world, hex, "passthrough=auto", damages[i]);

                for (int j = 0; j < 3; j++)
                        cr_expect_eq(world_open(world_path(&world, hex)), 0, "%s", damages[i]);
                cr_expect_eq(world_requests(&world, "GET /ok/"), 2, "%s", damages[i]);
                cr_expect_eq(pread(fd, &byte, 1, 500), 1);
                cr_expect_eq(fstat(fd, &st), 0);
                close(fd);
                cr_expect_eq(world_open(world_path(&world, hex)), 0);
                world_end(&world);
        }
}

Test(cache, fault_41_unknown_files_and_stale_staging)
{
        struct world world;
        char hex[HEX];

        fill_cache(&world, hex);
        cr_assert_eq(world_shell("cd '%s' && mkdir lost+found quarantine/x && echo x >stray && "
                                 "ln -s / link && mkfifo fifo blobs/sha256/fifo && "
                                 "echo x >blobs/sha256/README && mkdir blobs/sha256/lost+found && "
                                 "echo half >ingest/%s.part && : >ingest/%s.old && "
                                 "touch -d '8 days ago' ingest/%s.part && mkdir ingest/lost+found",
                                 world.cache, hex, hex, hex),
                     0);
        world_give_cache(&world);
        remount(&world);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_requests(&world, "GET"), 1, "still cached");
        cr_expect_eq(world_shell("ls '%s' | grep -vE '^([0-9a-f]{64}|by-name)$'", world.mnt), 1,
                     "only assets are shown");
        cr_expect_eq(world_shell("ls '%s/ingest' | grep -v lost+found", world.cache), 1, "swept");
        cr_expect_eq(world_shell("test -e '%s/stray' && rmdir '%s/ingest/lost+found'", world.cache,
                                 world.cache),
                     0, "what is not ours stays");
        world_end(&world);
}

Test(cache, fault_67_writable_by_others)
{
        struct world world;
        char output[1024];

        world_begin(&world);
        mkdir(world.cache, 0700);
        world_give_cache(&world);
        chmod(world.cache, 0777);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--user", WORKER_USER, "--cache",
                               world.cache, "--origin", "file:///{sha256}", world.mnt),
                     1);
        cr_expect(strstr(output, "writable by others"), "%s", output);
        chmod(world.cache, 0755);
        world_mount(&world, "--origin", "file:///{sha256}");
        cr_expect_eq(world_logged(&world, "event=cache-readable"), 1);
        world_end(&world);
}

Test(cache, fault_67_made_private)
{
        struct world world;
        struct stat st;

        world_begin(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        cr_expect_eq(stat(world.cache, &st), 0);
        cr_expect_eq(st.st_mode & 07777, 0700);
        cr_expect_eq(world_logged(&world, "event=cache-readable"), 0);
        world_end(&world);
}

static void mount_small_cache(const struct world *world)
{
        cr_assert_eq(
            world_shell("cd '%s' && truncate -s 8M disk && mkfs.ext4 -q -I 256 disk && "
                        "mkdir -m 700 cache && mount -o loop disk cache && chmod 700 cache",
                        world->dir),
            0);
}

Test(cache, full_disk)
{
        struct world world;
        char small[HEX];
        char big[HEX];

        world_begin(&world);
        world_asset(&world, 200000, small);
        world_asset(&world, 8000000, big);
        world_origin(&world);
        mount_small_cache(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, big)), ENOSPC);
        cr_expect_eq(world_logged(&world, "errno=ENOSPC"), 1);
        cr_expect_eq(world_open(world_path(&world, small)), 0);
        world_unmount(&world);
        cr_expect_eq(world_shell("umount '%s'", world.cache), 0);
        world_end(&world);
}

/* A length that only the origin claims fills no disk. */
Test(cache, full_disk_by_a_length_that_is_a_lie)
{
        struct world world;
        char hex[HEX];
        char other[HEX];
        char liar[WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_asset(&world, SIZE, other);
        world_origin(&world);
        mount_small_cache(&world);
        snprintf(liar, sizeof(liar), "%s", world_url(&world, "length-4000000000"));
        world_mount(&world, "--origin", liar, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_logged(&world, "event=failed"), 0);
        world_unmount(&world);
        world_mount(&world, "--origin", liar, "--origin", world_url(&world, "status-404"));
        cr_expect_eq(world_open(world_path(&world, other)), ENOSPC);
        cr_expect_eq(world_logged(&world, "sources=2"), 1);
        world_unmount(&world);
        cr_expect_eq(world_shell("umount '%s'", world.cache), 0);
        world_end(&world);
}

/* The worker gets no further descriptor. Its own user may say so, also where root lacks
 * CAP_SYS_RESOURCE. */
static void limit_descriptors(pid_t worker, const char *most)
{
        cr_assert_eq(world_shell("setpriv --reuid=%d --regid=%d --clear-groups "
                                 "prlimit --pid %d --nofile=%s:",
                                 WORKER_UID, WORKER_UID, worker, most),
                     0);
}

static void spend_descriptors(pid_t worker)
{
        char path[64];
        char most[16];
        int next = 0;

        do
                snprintf(path, sizeof(path), "/proc/%d/fd/%d", worker, next);
        while (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && ++next);
        snprintf(most, sizeof(most), "%d", next);
        limit_descriptors(worker, most);
}

Test(cache, fault_43_out_of_descriptors_is_not_absence)
{
        struct world world;
        struct stat st;
        char value[32];
        char hex[HEX];

        fill_cache(&world, hex);
        remount(&world);

        pid_t worker = world_worker(&world);
        int asked = world_requests(&world, "");

        spend_descriptors(worker);
        for (int i = 0; i < 3; i++) {
                errno = 0;
                cr_expect_eq(stat(world_path(&world, hex), &st), -1);
                cr_expect_eq(errno, ENFILE);
                errno = 0;
                cr_expect_lt(
                    getxattr(world_path(&world, hex), "user.assetfs.state", value, sizeof(value)),
                    0);
                cr_expect_eq(errno, ENFILE);
                cr_expect_eq(world_open(world_path(&world, hex)), ENFILE);
        }
        limit_descriptors(worker, "1024");
        cr_expect_eq(world_requests(&world, ""), asked);
        /* No download failed that could have said why. */
        cr_expect_geq(world_logged(&world, "event=cache-failed"), 6);
        cr_expect_geq(world_logged(&world, " errno=ENFILE cause=\"Too many open files\""), 6);
        cr_expect_eq(stat(world_path(&world, hex), &st), 0);
        cr_expect_eq(st.st_size, SIZE);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

Test(cache, a_file_system_without_attributes_is_refused)
{
        struct world world;
        char output[1024];

        world_begin(&world);
        cr_assert_eq(world_shell("cd '%s' && mkdir cache && mount -t ramfs none cache && "
                                 "chmod 700 cache",
                                 world.dir),
                     0);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--user", WORKER_USER, "--cache",
                               world.cache, "--origin", "file:///{sha256}", world.mnt),
                     1);
        cr_expect(strstr(output, "extended attributes"), "%s", output);
        cr_expect_eq(world_shell("umount '%s'", world.cache), 0);
        world_end(&world);
}

/* Killed in the middle of a download: nothing published, staging swept, the next open works. */
Test(cache, killed_daemon_leaves_nothing_wrong)
{
        struct world world;
        struct opener opener;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, 3000000, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "half-gate"));
        opener_start(&opener, world_path(&world, hex));
        for (int i = 0; i < 500 && !world_requests(&world, "GET"); i++)
                sleep_ms(10);
        sleep_ms(100);
        cr_assert_eq(world_shell("kill -KILL %d", world.daemon), 0);
        cr_expect_neq(opener_result(&opener, SURELY_MS), 0);
        world.daemon = 0;
        /* The dead mount is replaced, the staging is swept. */
        remount(&world);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}
