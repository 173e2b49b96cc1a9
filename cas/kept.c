/*
 * Kept files: written under another name, flushed, renamed. Follows no link and touches
 * nothing outside of the directory it is given.
 */
#include "cas/kept.h"

#include "cas/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ETAG     "user.assetfs.etag"
#define MODIFIED "user.assetfs.modified"
#define FRESH    "new" /* what is being written; one at a time */

int cas_kept_open(int root)
{
        int fd = -1;

        if (mkdirat(root, "catalogs", 0700) == 0 || errno == EEXIST || errno == EROFS)
                fd = openat(root, "catalogs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* Printable, as it goes into a request's header; else as if there were none. */
static void read_word(int fd, const char *name, char ret[CAS_KEPT_WORD])
{
        ssize_t length = fgetxattr(fd, name, ret, CAS_KEPT_WORD - 1);

        ret[length < 0 ? 0 : length] = '\0';
        for (const char *c = ret; *c; c++)
                if (*c < ' ' || *c > '~')
                        ret[0] = '\0';
}

static int read_bytes(int fd, size_t room, struct cas_kept *ret)
{
        _cleanup_free_ char *bytes = malloc(room + 1);
        size_t length = 0;
        ssize_t got = 1;

        if (!bytes)
                return -ENOMEM;
        while (length < room && got > 0) {
                got = cas_io_read_at(fd, bytes + length, room - length, length);
                if (got < 0)
                        return (int)got;
                length += (size_t)got;
        }
        bytes[length] = '\0';
        ret->length = length;
        ret->bytes = bytes;
        bytes = NULL;
        return 0;
}

int cas_kept_read(int dir, const struct cas_digest *name, size_t most, struct cas_kept *ret)
{
        char hex[CAS_DIGEST_HEX + 1];
        struct stat st;

        cas_digest_format(name, hex);

        _cleanup_close_ int fd =
            openat(dir, hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if ((uint64_t)st.st_size > most)
                return -EFBIG;
        read_word(fd, ETAG, ret->etag);
        read_word(fd, MODIFIED, ret->modified);
        return read_bytes(fd, (size_t)st.st_size, ret);
}

static int write_word(int fd, const char *name, const char *word)
{
        return *word && fsetxattr(fd, name, word, strlen(word), 0) < 0 ? -errno : 0;
}

static int write_file(int dir, const struct cas_kept *kept)
{
        _cleanup_close_ int fd =
            openat(dir, FRESH, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        int r = fd < 0 ? -errno : cas_io_write_at(fd, kept->bytes, kept->length, 0);

        if (r == 0)
                r = write_word(fd, ETAG, kept->etag);
        if (r == 0)
                r = write_word(fd, MODIFIED, kept->modified);
        return r == 0 && fsync(fd) < 0 ? -errno : r;
}

int cas_kept_write(int dir, const struct cas_digest *name, const struct cas_kept *kept)
{
        char hex[CAS_DIGEST_HEX + 1];
        int r;

        cas_digest_format(name, hex);
        unlinkat(dir, FRESH, 0); /* a crash's */
        r = write_file(dir, kept);
        if (r == 0 && renameat(dir, FRESH, dir, hex) < 0)
                r = -errno;
        if (r < 0)
                unlinkat(dir, FRESH, 0);
        return r == 0 && fsync(dir) < 0 ? -errno : r;
}

static bool is_wanted(const char *entry, const struct cas_digest *names, size_t count)
{
        struct cas_digest digest;

        if (cas_digest_parse(entry, strlen(entry), &digest) < 0)
                return false;
        for (size_t i = 0; i < count; i++)
                if (cas_digest_equal(&names[i], &digest))
                        return true;
        return false;
}

void cas_kept_prune(int dir, const struct cas_digest *names, size_t count)
{
        int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *entries = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!entries) {
                cas_io_close_at(&fd);
                return;
        }
        while ((entry = readdir(entries)))
                if (!is_wanted(entry->d_name, names, count))
                        unlinkat(dir, entry->d_name, 0);
        closedir(entries);
}
