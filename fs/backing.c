/*
 * A table of ids, found by digest and inode. Small enough to be searched from end to
 * end: a kept id is asked for once, not at each open.
 */
#include "fs/backing.h"

#include "cas/io.h"
#include "fs/fuse_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct backing {
        int32_t id;
        uint32_t users;
        uint64_t inode;
        struct cas_digest digest;
};

struct fs_backings {
        int fuse;
        int root;
        uid_t user;
        size_t count;
        struct backing table[FS_BACKING_MAX];
};

int fs_backings_new(int fuse, int root, uid_t user, struct fs_backings **ret)
{
        struct fs_backings *backings = calloc(1, sizeof(*backings));

        if (!backings)
                return -ENOMEM;
        backings->fuse = fuse;
        backings->root = root;
        backings->user = user;
        *ret = backings;
        return 0;
}

void fs_backings_free(struct fs_backings *backings)
{
        free(backings); /* the ids end with the session */
}

/* A path only: the kernel needs no more, and no fifo is ever waited for. */
static int open_blob(const struct fs_backings *backings, const struct cas_digest *digest,
                     uint64_t *ret_inode)
{
        char path[sizeof("blobs/sha256/") + CAS_DIGEST_HEX] = "blobs/sha256/";
        struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                               .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
        struct stat st;

        cas_digest_format(digest, path + sizeof("blobs/sha256/") - 1);

        _cleanup_close_ int fd = (int)syscall(SYS_openat2, backings->root, path, &how, sizeof(how));

        if (fd < 0)
                return errno == ELOOP || errno == EXDEV ? -EPERM : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_uid != backings->user)
                return -EPERM;
        *ret_inode = (uint64_t)st.st_ino;
        return cas_io_steal_fd(&fd);
}

static int make_id(const struct fs_backings *backings, int fd)
{
        struct fs_abi_backing_map map = {.fd = fd};
        int id = ioctl(backings->fuse, FS_ABI_BACKING_OPEN, &map);

        if (id < 0)
                return -errno;
        return id > 0 ? id : -EIO;
}

static void close_id(const struct fs_backings *backings, int32_t id)
{
        uint32_t number = (uint32_t)id;

        ioctl(backings->fuse, FS_ABI_BACKING_CLOSE, &number);
}

int fs_backings_probe(const struct fs_backings *backings, int fd)
{
        int id = make_id(backings, fd);

        if (id < 0)
                return id;
        close_id(backings, id);
        return 0;
}

static struct backing *find_file(struct fs_backings *backings, const struct cas_digest *digest,
                                 uint64_t inode)
{
        for (size_t i = 0; i < backings->count; i++)
                if (backings->table[i].inode == inode &&
                    cas_digest_equal(&backings->table[i].digest, digest))
                        return &backings->table[i];
        return NULL;
}

int fs_backings_get(struct fs_backings *backings, const struct cas_digest *digest, int32_t *ret_id,
                    uint64_t *ret_inode)
{
        uint64_t inode = 0;
        _cleanup_close_ int fd = open_blob(backings, digest, &inode);

        if (fd < 0)
                return fd;

        struct backing *backing = find_file(backings, digest, inode);

        if (!backing && backings->count == FS_BACKING_MAX)
                return -ENFILE;
        if (!backing) {
                int id = make_id(backings, fd);

                if (id < 0)
                        return id;
                backing = &backings->table[backings->count++];
                *backing = (struct backing){.id = id, .inode = inode, .digest = *digest};
        }
        if (backing->users < UINT32_MAX)
                backing->users++;
        *ret_id = backing->id;
        *ret_inode = inode;
        return 0;
}

void fs_backings_drop(struct fs_backings *backings, int32_t id)
{
        for (size_t i = 0; i < backings->count; i++) {
                struct backing *backing = &backings->table[i];

                if (backing->id != id)
                        continue;
                if (--backing->users == 0) {
                        close_id(backings, id);
                        *backing = backings->table[--backings->count];
                }
                return;
        }
}
