/*
 * Whose backing ids are made: a worker that was taken over names what it likes, in a
 * cache that it can write to. What is refused never reaches the kernel; what is not
 * reaches it, which says here that this is no FUSE session.
 */
#include "fs/backing.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static struct fs_backings *backings;
static int root = -1;
static int no_session = -1;

static void make(void)
{
        scratch_make();
        cr_assert_eq(mkdir(scratch_at("cache").text, 0700), 0);
        cr_assert_eq(mkdir(scratch_at("cache/blobs").text, 0700), 0);
        cr_assert_eq(mkdir(scratch_at("cache/blobs/sha256").text, 0700), 0);
        root = open(scratch_at("cache").text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        no_session = open("/dev/null", O_RDWR | O_CLOEXEC);
        cr_assert(root >= 0 && no_session >= 0);
        cr_assert_eq(fs_backings_new(no_session, root, geteuid(), &backings), 0);
}

static void clear(void)
{
        fs_backings_free(backings);
        close(root);
        close(no_session);
        scratch_remove();
}

TestSuite(fs_backing, .init = make, .fini = clear, .timeout = 20);

static const struct cas_digest digest = {{0xab, 0xcd}};

#define BLOB_NAME "cache/blobs/sha256/abcd" ZEROS_20 ZEROS_20 ZEROS_20
#define ZEROS_20  "00000000000000000000"

/* Where the digest's blob lies. */
static const char *blob(void)
{
        static struct scratch_path path;

        path = scratch_at(BLOB_NAME);
        return path.text;
}

static int get(struct fs_backings *from)
{
        uint64_t inode = 42;
        int32_t id = 42;
        int r = fs_backings_get(from, &digest, &id, &inode);

        cr_expect(r < 0 && id == 42 && inode == 42, "a refusal changed the result");
        return r;
}

Test(fs_backing, blob_of_the_user_reaches_the_kernel)
{
        struct fs_backings *closed = NULL;

        scratch_write(BLOB_NAME, "blob", 4);
        cr_expect_eq(get(backings), -ENOTTY);
        cr_assert_eq(fs_backings_new(-1, root, geteuid(), &closed), 0);
        cr_expect_eq(get(closed), -EBADF);
        fs_backings_free(closed);
        fs_backings_free(NULL);
}

Test(fs_backing, blob_that_nobody_may_read_reaches_the_kernel)
{
        scratch_write(BLOB_NAME, "blob", 4);
        cr_assert_eq(chmod(blob(), 0), 0);
        cr_expect_eq(get(backings), -ENOTTY);
}

Test(fs_backing, probe_tells_what_the_kernel_says)
{
        cr_expect_eq(fs_backings_probe(backings, root), -ENOTTY);
}

Test(fs_backing, missing_blob)
{
        cr_expect_eq(get(backings), -ENOENT);
        cr_assert_eq(rmdir(scratch_at("cache/blobs/sha256").text), 0);
        cr_expect_eq(get(backings), -ENOENT);
}

Test(fs_backing, fault_74_symlink)
{
        scratch_write("secret", "secret", 6);
        cr_assert_eq(symlink(scratch_at("secret").text, blob()), 0);
        cr_expect_eq(get(backings), -EPERM);
        cr_assert_eq(unlink(blob()), 0);
        scratch_write("cache/blobs/sha256/other", "other", 5);
        cr_assert_eq(symlink("other", blob()), 0);
        cr_expect_eq(get(backings), -EPERM, "also to a blob of the cache");
        cr_assert_eq(unlink(blob()), 0);
        cr_assert_eq(symlink("/none", blob()), 0);
        cr_expect_eq(get(backings), -EPERM, "nor does it tell what is there");
}

/* The directories are the worker's too. */
Test(fs_backing, fault_74_symlink_on_the_way)
{
        cr_assert_eq(rename(scratch_at("cache/blobs/sha256").text, scratch_at("away").text), 0);
        cr_assert_eq(symlink(scratch_at("away").text, scratch_at("cache/blobs/sha256").text), 0);
        scratch_write(BLOB_NAME, "blob", 4);
        cr_expect_eq(get(backings), -EPERM);
        cr_assert_eq(unlink(scratch_at("cache/blobs/sha256").text), 0);
        cr_assert_eq(symlink("../../away", scratch_at("cache/blobs/sha256").text), 0);
        cr_expect_eq(get(backings), -EPERM);
        cr_assert_eq(unlink(scratch_at("cache/blobs/sha256").text), 0);
        cr_assert_eq(rename(scratch_at("away").text, scratch_at("cache/elsewhere").text), 0);
        cr_assert_eq(symlink("../elsewhere", scratch_at("cache/blobs/sha256").text), 0);
        cr_expect_eq(get(backings), -EPERM, "also where it leads into the cache");
}

/* Waiting for a writer would stop the supervisor for all. */
Test(fs_backing, fault_74_fifo)
{
        cr_assert_eq(mkfifo(blob(), 0600), 0);
        cr_expect_eq(get(backings), -EPERM);
}

Test(fs_backing, fault_74_directory)
{
        cr_assert_eq(mkdir(blob(), 0700), 0);
        cr_expect_eq(get(backings), -EPERM);
}

Test(fs_backing, fault_74_socket)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        cr_assert_eq(chdir(scratch_at("cache/blobs/sha256").text), 0);
        strcpy(address.sun_path, strrchr(blob(), '/') + 1);
        cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        cr_assert_eq(chdir("/"), 0);
        cr_expect_eq(get(backings), -EPERM);
        close(fd);
}

Test(fs_backing, fault_74_device)
{
        if (geteuid() != 0)
                cr_skip("only root can make a device");
        cr_assert_eq(mknod(blob(), S_IFCHR | 0600, makedev(1, 3)), 0);
        cr_expect_eq(get(backings), -EPERM);
}

/* A hard link to a file of root's, say, on the same file system. */
Test(fs_backing, fault_74_file_of_another_user)
{
        struct fs_backings *others = NULL;

        scratch_write("shadow", "secret", 6);
        cr_assert_eq(link(scratch_at("shadow").text, blob()), 0);
        cr_assert_eq(fs_backings_new(no_session, root, geteuid() + 1, &others), 0);
        cr_expect_eq(get(others), -EPERM);
        fs_backings_free(others);
}

/* Mounts of our own, which a cache that was opened before does not see. */
static void have_own_mounts(void)
{
        if (geteuid() != 0)
                cr_skip("only root can mount");
        cr_assert_eq(unshare(CLONE_NEWNS), 0);
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        clear();
        make();
}

Test(fs_backing, fault_74_file_on_another_mount)
{
        have_own_mounts();
        scratch_write("other", "other", 5);
        scratch_write(BLOB_NAME, "blob", 4);
        cr_assert_eq(mount(scratch_at("other").text, blob(), NULL, MS_BIND, NULL), 0);
        cr_expect_eq(get(backings), -EPERM);
        cr_assert_eq(umount(blob()), 0);
        cr_expect_eq(get(backings), -ENOTTY);
}

Test(fs_backing, fault_74_directory_on_another_mount)
{
        have_own_mounts();

        const struct scratch_path blobs = scratch_at("cache/blobs/sha256");

        scratch_write(BLOB_NAME, "blob", 4);
        cr_assert_eq(mount(blobs.text, blobs.text, NULL, MS_BIND, NULL), 0);
        cr_expect_eq(get(backings), -EPERM);
        cr_assert_eq(umount(blobs.text), 0);
}

Test(fs_backing, fault_74_ids_that_are_none_can_be_dropped)
{
        static const int32_t ids[] = {INT32_MIN, -1, 0, 1, INT32_MAX};

        for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
                fs_backings_drop(backings, ids[i]);
        scratch_write(BLOB_NAME, "blob", 4);
        cr_expect_eq(get(backings), -ENOTTY);
}

Test(fs_backing, fault_74_refusals_leave_nothing_open)
{
        int before = dup(root);

        close(before);
        scratch_write(BLOB_NAME, "blob", 4);
        for (int i = 0; i < 100; i++)
                get(backings);
        cr_assert_eq(unlink(blob()), 0);
        cr_assert_eq(mkdir(blob(), 0700), 0);
        for (int i = 0; i < 100; i++)
                get(backings);

        int after = dup(root);

        cr_expect_eq(after, before, "descriptors were left open");
        close(after);
}
