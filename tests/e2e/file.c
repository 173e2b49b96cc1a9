/*
 * FAULTS, the paths as files: everything one does with a local read-only file.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

TestSuite(file, .timeout = 180);

#define SIZE 1000003

static const char nothing[] = "0000000000000000000000000000000000000000000000000000000000000000";

/* A world with one asset at a mode of the faulty origin, mounted. `content` gets its bytes. */
static void with_asset(struct world *world, const char *mode, char hex[HEX], char *content)
{
        char path[2 * WORLD_PATH];

        world_begin(world);
        world_asset(world, SIZE, hex);
        world_origin(world);
        world_mount(world, "--origin", world_url(world, mode));
        if (!content)
                return;
        snprintf(path, sizeof(path), "%s/%s", world->files, hex);

        int fd = open(path, O_RDONLY | O_CLOEXEC);

        cr_assert_eq(read(fd, content, SIZE), SIZE);
        close(fd);
}

Test(file, fault_60_mmap_and_pread)
{
        static char content[SIZE];
        struct world world;
        struct stat st;
        char hex[HEX];
        char tail[8];

        with_asset(&world, "ok", hex, content);

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0);
        cr_expect_eq(fstat(fd, &st), 0);
        cr_expect_eq(st.st_size, SIZE);

        char *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);

        cr_assert_neq(map, MAP_FAILED);
        cr_expect_eq(memcmp(map, content, SIZE), 0);
        munmap(map, SIZE);
        cr_expect_eq(pread(fd, tail, 8, SIZE - 3), 3);
        cr_expect_eq(pread(fd, tail, 8, SIZE), 0);
        cr_expect_eq(pread(fd, tail, 8, (off_t)1 << 40), 0);
        cr_expect_eq(lseek(fd, 0, SEEK_END), SIZE);
        close(fd);
        world_end(&world);
}

Test(file, fault_60_direct_io)
{
        static char content[SIZE];
        struct world world;
        char hex[HEX];
        char *buffer = aligned_alloc(4096, 1 << 20);

        with_asset(&world, "ok", hex, content);

        int fd = open(world_path(&world, hex), O_RDONLY | O_DIRECT | O_CLOEXEC);

        cr_assert(fd >= 0);
        cr_expect_eq(pread(fd, buffer, 65536, 131072), 65536);
        cr_expect_eq(memcmp(buffer, content + 131072, 65536), 0);
        cr_expect_eq(pread(fd, buffer, 1 << 20, 0), SIZE);
        cr_expect_eq(memcmp(buffer, content, SIZE), 0);
        close(fd);
        free(buffer);
        world_end(&world);
}

Test(file, fault_60_sendfile_splice_and_copy_file_range)
{
        static char content[SIZE];
        static char copy[SIZE];
        struct world world;
        char hex[HEX];
        char path[2 * WORLD_PATH];
        off_t offset = 0;
        int pipes[2];

        with_asset(&world, "ok", hex, content);
        snprintf(path, sizeof(path), "%s/copy", world.dir);

        int from = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);
        int to = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        cr_assert(from >= 0 && to >= 0);
        while (offset < SIZE)
                cr_assert_gt(sendfile(to, from, &offset, (size_t)(SIZE - offset)), 0);
        cr_expect_eq(pread(to, copy, SIZE, 0), SIZE);
        cr_expect_eq(memcmp(copy, content, SIZE), 0);

        cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
        offset = 4096;
        cr_expect_eq(splice(from, &offset, pipes[1], NULL, 4096, 0), 4096);
        cr_expect_eq(read(pipes[0], copy, 4096), 4096);
        cr_expect_eq(memcmp(copy, content + 4096, 4096), 0);
        close(pipes[0]);
        close(pipes[1]);

        cr_assert_eq(ftruncate(to, 0), 0);
        for (loff_t in = 0, out = 0; in < SIZE;) {
                ssize_t copied = copy_file_range(from, &in, to, &out, (size_t)(SIZE - in), 0);

                /* Between file systems the kernel may refuse, as it does for local ones. */
                if (copied < 0 && errno == EXDEV)
                        break;
                cr_assert_gt(copied, 0);
        }
        if (pread(to, copy, SIZE, 0) > 0)
                cr_expect_eq(memcmp(copy, content, SIZE), 0);
        close(from);
        close(to);
        world_end(&world);
}

Test(file, fault_60_io_uring)
{
        static char content[SIZE];
        static char copy[SIZE];
        struct world world;
        struct io_uring ring;
        struct io_uring_cqe *done;
        char hex[HEX];

        with_asset(&world, "ok", hex, content);
        cr_assert_eq(io_uring_queue_init(8, &ring, 0), 0);

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        for (off_t offset = 0; offset < SIZE;) {
                io_uring_prep_read(io_uring_get_sqe(&ring), fd, copy + offset,
                                   (unsigned)(SIZE - offset), (uint64_t)offset);
                cr_assert_eq(io_uring_submit_and_wait(&ring, 1), 1);
                cr_assert_eq(io_uring_wait_cqe(&ring, &done), 0);
                cr_assert_gt(done->res, 0);
                offset += done->res;
                io_uring_cqe_seen(&ring, done);
        }
        cr_expect_eq(memcmp(copy, content, SIZE), 0);
        close(fd);
        io_uring_queue_exit(&ring);
        world_end(&world);
}

Test(file, fault_60_locks_and_leases)
{
        struct world world;
        struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
        char hex[HEX];

        with_asset(&world, "ok", hex, NULL);

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);
        int other = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_expect_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
        cr_expect_eq(fcntl(other, F_OFD_SETLK, &lock), 0);
        lock.l_type = F_WRLCK;
        cr_expect_eq(fcntl(fd, F_OFD_SETLK, &lock), -1);
        cr_expect_eq(errno, EBADF, "a write lock needs a writable descriptor");
        cr_expect_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
        cr_expect_eq(flock(other, LOCK_SH | LOCK_NB), -1);
        cr_expect_eq(flock(fd, LOCK_UN), 0);
        close(other);
        cr_expect_eq(fcntl(fd, F_SETLEASE, F_RDLCK), 0, "%s", strerror(errno));
        close(fd);
        world_end(&world);
}

Test(file, fault_60_exec)
{
        struct world world;
        char path[2 * WORLD_PATH];
        char hex[HEX];

        world_begin(&world);
        cr_assert_eq(world_shell("cd '%s' && cp \"$(command -v busybox)\" x && "
                                 "mv x \"$(sha256sum <x | cut -c1-64)\" && ls >../name",
                                 world.files),
                     0);
        snprintf(path, sizeof(path), "%s/name", world.dir);

        FILE *file = fopen(path, "re");

        cr_assert_eq(fscanf(file, "%64s", hex), 1);
        fclose(file);
        snprintf(path, sizeof(path), "file://%s/{sha256}", world.files);
        world_mount(&world, "--origin", path);
        /* busybox looks at argv[0]. The first execve downloads. */
        cr_expect_eq(world_shell("bash -c 'exec -a true %s'", world_path(&world, hex)), 0);
        cr_expect_eq(world_shell("bash -c 'exec -a false %s'", world_path(&world, hex)), 1);
        world_end(&world);
}

Test(file, fault_61_names)
{
        static const char *const names[] = {
            "000000000000000000000000000000000000000000000000000000000000000",
            "00000000000000000000000000000000000000000000000000000000000000000",
            "ABCDEF0000000000000000000000000000000000000000000000000000000000",
            "000000000000000000000000000000000000000000000000000000000000000\n",
            "00000000000000000000000000000000000000000000000000000000000000\xc3\xa4",
            "g000000000000000000000000000000000000000000000000000000000000000",
            "by-name/nothing",
            ".assetfs/nothing",
            " ",
        };
        struct world world;
        struct stat st;
        char hex[HEX];
        char name[301];

        with_asset(&world, "ok", hex, NULL);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                cr_expect_eq(open(world_path(&world, names[i]), O_RDONLY | O_CLOEXEC), -1);
                cr_expect_eq(errno, ENOENT, "%s", names[i]);
                cr_expect_eq(stat(world_path(&world, names[i]), &st), -1);
                cr_expect_eq(errno, ENOENT, "%s", names[i]);
        }
        memset(name, 'a', 300);
        name[300] = '\0';
        cr_expect_eq(open(world_path(&world, name), O_RDONLY | O_CLOEXEC), -1);
        cr_expect_eq(errno, ENAMETOOLONG);
        cr_expect_eq(stat(world_path(&world, ".."), &st), 0);
        cr_expect_eq(world_requests(&world, ""), 0, "no request");
        cr_expect_eq(world_logged(&world, "event=failed"), 0, "no log");
        world_end(&world);
}

Test(file, fault_62_every_change_is_refused)
{
        struct world world;
        char hex[HEX];
        struct timespec times[2] = {{0, 0}, {0, 0}};

        with_asset(&world, "ok", hex, NULL);
        cr_assert_eq(world_open(world_path(&world, hex)), 0);

        char path[2 * WORLD_PATH];
        char fresh[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s", world_path(&world, hex));
        snprintf(fresh, sizeof(fresh), "%s", world_path(&world, "new"));
#define REFUSED(call)                                                                              \
        do {                                                                                       \
                errno = 0;                                                                         \
                cr_expect_lt((call), 0, #call);                                                    \
                cr_expect_eq(errno, EROFS, #call ": %s", strerror(errno));                         \
        } while (0)
        for (int again = 0; again < 2; again++) {
                REFUSED(open(fresh, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
                REFUSED(open(path, O_WRONLY | O_CLOEXEC));
                REFUSED(open(path, O_RDWR | O_CLOEXEC));
                REFUSED(open(path, O_RDONLY | O_TRUNC | O_CLOEXEC));
                REFUSED(truncate(path, 0));
                REFUSED(unlink(path));
                REFUSED(rename(path, fresh));
                REFUSED(link(path, fresh));
                REFUSED(symlink("x", fresh));
                REFUSED(mkdir(fresh, 0700));
                REFUSED(rmdir(world_path(&world, "by-name")));
                REFUSED(mknod(fresh, S_IFIFO | 0600, 0));
                REFUSED(chmod(path, 0777));
                REFUSED(chown(path, 1, 1));
                REFUSED(utimensat(AT_FDCWD, path, times, 0));
                REFUSED(setxattr(path, "user.x", "y", 1, 0));
                REFUSED(removexattr(path, "user.assetfs.state"));
                /* Also where somebody made the mount itself writable. */
                if (again == 0)
                        cr_assert_eq(
                            mount(NULL, world.mnt, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, NULL),
                            0);
        }
#undef REFUSED
        cr_expect_eq(world_open(path), 0);
        world_end(&world);
}

Test(file, fault_63_bad_catalog_is_refused_with_file_and_line)
{
        struct world world;
        char output[2048];
        char path[2 * WORLD_PATH];

        world_begin(&world);
        snprintf(path, sizeof(path), "%s/catalog.json", world.dir);
        world_text(path,
                   "{\"assets\": {\n\"good\": {\"sha256\": \"%s\"},\n\"bad\": {\"sha256\": "
                   "\"123\"}}}\n",
                   nothing);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--user", WORKER_USER, "--cache",
                               world.cache, "--catalog", path, world.mnt),
                     1);
        cr_expect(strstr(output, "catalog.json:3: bad"), "%s", output);
        cr_expect_eq(strchr(output, '\n') - output + 1, (long)strlen(output), "one line");
        world_end(&world);
}

Test(file, fault_68_modes_and_mount_options)
{
        struct world world;
        struct statvfs vfs;
        struct stat st;
        char hex[HEX];

        with_asset(&world, "ok", hex, NULL);
        cr_assert_eq(world_open(world_path(&world, hex)), 0);
        cr_assert_eq(world_shell("chmod 06444 '%s'", world_blob(&world, hex)), 0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(stat(world_path(&world, hex), &st), 0);
        cr_expect_eq(st.st_mode, S_IFREG | 0555);
        cr_expect_eq(st.st_uid, 0);
        cr_expect_eq(st.st_nlink, 1);
        cr_expect_eq(st.st_mtim.tv_sec, 0);
        cr_expect_eq(stat(world.mnt, &st), 0);
        cr_expect_eq(st.st_mode, S_IFDIR | 0555);
        cr_expect_eq(statvfs(world.mnt, &vfs), 0);
        cr_expect_eq(vfs.f_flag & (ST_NOSUID | ST_NODEV | ST_RDONLY),
                     (unsigned long)(ST_NOSUID | ST_NODEV | ST_RDONLY));
        cr_expect_eq(vfs.f_flag & ST_NOEXEC, 0);
        cr_expect_eq(world_shell("grep -q ' %s .* fuse.assetfs ' /proc/self/mountinfo", world.mnt),
                     0);
        world_end(&world);
}

Test(file, statfs_tells_the_caches_disk)
{
        struct world world;
        struct statvfs mounted;
        struct statvfs disk;

        world_begin(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        cr_expect_eq(statvfs(world.mnt, &mounted), 0);
        cr_expect_eq(statvfs(world.cache, &disk), 0);
        cr_expect_eq(mounted.f_blocks * mounted.f_frsize, disk.f_blocks * disk.f_frsize);
        cr_expect_eq(mounted.f_files, disk.f_files);
        world_end(&world);
}

Test(file, stat_is_the_same_before_and_after)
{
        struct world world;
        struct stat before;
        struct stat after;
        char hex[HEX];

        with_asset(&world, "ok", hex, NULL);
        cr_expect_eq(stat(world_path(&world, hex), &before), 0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(stat(world_path(&world, hex), &after), 0);
        cr_expect_eq(before.st_ino, after.st_ino);
        cr_expect_eq(before.st_size, after.st_size);
        cr_expect_eq(before.st_mode, after.st_mode);
        cr_expect_eq(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
        cr_expect_eq(before.st_blocks, 1);
        cr_expect_geq(after.st_blocks, SIZE / 512);
        world_end(&world);
}

static int status_as_nobody(const struct world *world, const char *hex)
{
        return world_shell("setpriv --reuid=65534 --regid=65534 --clear-groups cat '%s/%s' "
                           ">/dev/null 2>'%s/error'",
                           world->mnt, hex, world->dir);
}

Test(file, fault_70_who_may_open)
{
        struct world world;
        char hex[HEX];
        const char *url;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        url = world_url(&world, "ok");
        world_mount(&world, "--origin", url, "-o", "gid=7,umask=027");
        cr_expect_eq(status_as_nobody(&world, hex), 1);
        cr_expect_eq(world_shell("grep -q 'Permission denied' '%s/error'", world.dir), 0);
        cr_expect_eq(world_requests(&world, "GET"), 0, "and triggers nothing");
        cr_expect_eq(world_shell("setpriv --reuid=65534 --regid=7 --clear-groups cat '%s/%s' "
                                 ">/dev/null",
                                 world.mnt, hex),
                     0);
        world_unmount(&world);
        world_mount(&world, "--origin", url);
        cr_expect_eq(status_as_nobody(&world, hex), 0);
        world_end(&world);
}

/* `reader` is a shell command that copies $M/$H to out, in a fresh world. */
static void expect_whole_content(const char *reader, const char *mode, bool listed)
{
        struct world world;
        char hex[HEX];
        char catalog[2 * WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        snprintf(catalog, sizeof(catalog), "%s/catalog.json", world.dir);
        world_text(catalog, "{\"assets\": {\"a\": {\"sha256\": \"%s\"}}}", listed ? hex : nothing);
        world_mount(&world, "--origin", world_url(&world, mode), "--catalog", catalog);
        world_shell("ls -l '%s' >/dev/null", world.mnt);
        cr_expect_eq(world_shell("cd '%s' && M='%s' H=%s && %s && test $(sha256sum <out | cut "
                                 "-c1-64) = %s",
                                 world.dir, world.mnt, hex, reader, hex),
                     0, "%s, %s%s", reader, mode, listed ? ", listed" : "");
        world_end(&world);
}

/* The size was unknown, so the kernel held 0: the whole content must come all the same. */
Test(file, fault_73_first_open_of_unknown_size)
{
        static const char *const readers[] = {
            "cat $M/$H >out",
            "cat <$M/$H >out",
            "cp $M/$H out",
            "busybox cp $M/$H out",
            "dd if=$M/$H of=out bs=64K status=none",
        };

        for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
                expect_whole_content(readers[i], "nosize", false);
                expect_whole_content(readers[i], "nosize", true);
                expect_whole_content(readers[i], "ok", true);
        }
}

/* tar opens with O_NONBLOCK, so it starts no download: it fails, and never with an empty copy.
 * Of an asset that has just come it takes the whole, holes or not. */
Test(file, fault_73_tar)
{
        static const char command[] = "tar -C '%s' -cSf '%s/tar' %s 2>/dev/null";
        struct world world;
        char hex[HEX];

        with_asset(&world, "ok", hex, NULL);
        cr_expect_eq(world_shell(command, world.mnt, world.dir, hex), 2);
        cr_expect_eq(world_shell("head -c 1 '%s' >/dev/null", world_path(&world, hex)), 0);
        cr_expect_eq(world_shell(command, world.mnt, world.dir, hex), 0);
        cr_expect_eq(
            world_shell("test $(tar -xOf '%s/tar' | sha256sum | cut -c1-64) = %s", world.dir, hex),
            0);
        world_end(&world);
}

/* The path that needs no lookup, and the calls that look at no size. */
Test(file, fault_73_sendfile_without_a_stat)
{
        struct world world;
        char hex[HEX];
        char out[2 * WORLD_PATH];
        char by_descriptor[64];

        for (int reopened = 0; reopened < 2; reopened++) {
                with_asset(&world, "ok", hex, NULL);
                snprintf(out, sizeof(out), "%s/out", world.dir);

                int path = open(world_path(&world, hex), O_PATH | O_CLOEXEC);

                snprintf(by_descriptor, sizeof(by_descriptor), "/proc/self/fd/%d", path);

                int from =
                    open(reopened ? by_descriptor : world_path(&world, hex), O_RDONLY | O_CLOEXEC);
                int to = open(out, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                struct stat st;

                cr_assert(from >= 0, "%s", strerror(errno));
                if (reopened)
                        cr_expect_eq(fstat(from, &st), 0);
                cr_expect_gt(sendfile(to, from, NULL, SIZE), 0);
                close(path);
                close(from);
                close(to);
                world_end(&world);
        }
}

Test(file, fault_73_lseek_and_mmap_after_the_first_open)
{
        static char content[SIZE];
        struct world world;
        struct stat st;
        char hex[HEX];

        with_asset(&world, "nosize", hex, content);
        cr_expect_eq(stat(world_path(&world, hex), &st), 0);
        cr_expect_eq(st.st_size, 0);

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0);
        cr_expect_eq(lseek(fd, 0, SEEK_END), SIZE);
        cr_expect_eq(fstat(fd, &st), 0);
        cr_expect_eq(st.st_size, SIZE);

        char *map = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);

        cr_assert_neq(map, MAP_FAILED);
        cr_expect_eq(memcmp(map, content, SIZE), 0);
        munmap(map, SIZE);
        close(fd);
        world_end(&world);
}

Test(file, nonblock_starts_nothing)
{
        struct world world;
        char hex[HEX];

        with_asset(&world, "ok", hex, NULL);
        cr_expect_eq(open(world_path(&world, hex), O_RDONLY | O_NONBLOCK | O_CLOEXEC), -1);
        cr_expect_eq(errno, EAGAIN);
        cr_expect_eq(world_requests(&world, "GET"), 0);
        cr_expect_str_eq(world_xattr(world_path(&world, hex), "user.assetfs.state"), "absent");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);

        int fd = open(world_path(&world, hex), O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        cr_expect_geq(fd, 0);
        close(fd);
        cr_expect_str_eq(world_xattr(world_path(&world, hex), "user.assetfs.state"), "cached");
        cr_expect(strstr(world_xattr(world_path(&world, hex), "user.assetfs.source"), "/ok/"));
        world_end(&world);
}

/* When it was verified is said in UTC, of what is cached and of nothing else. */
Test(file, verified_at)
{
        struct world world;
        char hex[HEX];
        struct tm utc = {0};
        const char *end;
        char list[1024];
        char value[64];
        time_t before = time(NULL);

        setenv("TZ", "EST5", 1);
        with_asset(&world, "ok", hex, NULL);

        const char *path = world_path(&world, hex);

        errno = 0;
        cr_expect_eq(getxattr(path, "user.assetfs.verified_at", value, sizeof(value)), -1);
        cr_expect_eq(errno, ENODATA);
        cr_expect_eq(world_open(path), 0);
        cr_expect_eq(getxattr(path, "user.assetfs.verified_at", value, sizeof(value)), 20);
        end = strptime(world_xattr(path, "user.assetfs.verified_at"), "%Y-%m-%dT%H:%M:%SZ", &utc);
        cr_assert(end && *end == '\0');
        cr_expect(timegm(&utc) >= before && timegm(&utc) <= time(NULL));

        ssize_t length = listxattr(path, list, sizeof(list));

        cr_expect(length > 0 && memmem(list, (size_t)length, "user.assetfs.verified_at",
                                       sizeof("user.assetfs.verified_at")));
        /* Touched, it is no longer what was verified. */
        cr_assert_eq(world_shell("touch -d 2001-01-01 '%s'", world_blob(&world, hex)), 0);
        cr_expect_str_eq(world_xattr(path, "user.assetfs.verified_at"), "");
        world_end(&world);
}

/* ls of the mount shows what is cached and what is catalogued, each once. */
Test(file, listing)
{
        struct world world;
        char hex[HEX];
        char other[HEX];
        char catalog[2 * WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_asset(&world, SIZE, other);
        world_origin(&world);
        snprintf(catalog, sizeof(catalog), "%s/catalog.json", world.dir);
        world_text(catalog,
                   "{\"sandboxClass\": \"microvm\", \"assets\": {\"kernel\": {\"sha256\": \"%s\", "
                   "\"size\": %d, \"url\": \"gs://bucket/kernel\", \"extra\": [1]}}}",
                   hex, SIZE);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--catalog", catalog);
        cr_expect_eq(world_open(world_path(&world, other)), 0);
        cr_expect_eq(
            world_shell("test \"$(ls '%s')\" = \"$(printf '%%s\\n' %s %s by-name | sort)\"",
                        world.mnt, hex, other),
            0);
        cr_expect_eq(world_shell("test $(stat -Lc %%s '%s/by-name/kernel') = %d", world.mnt, SIZE),
                     0);
        cr_expect_eq(
            world_shell("test $(sha256sum <'%s/by-name/kernel' | cut -c1-64) = %s", world.mnt, hex),
            0);
        world_end(&world);
}
