/*
 * The publication record as an extended attribute. Touches only the descriptor
 * it is given; where blobs lie is the store's business.
 */
#include "cas/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

#define RECORD_NAME "user.assetfs.record"
#define SOURCE_NAME "user.assetfs.source"

#define RECORD_MAX 160  /* version, 64 hex digits, three 64-bit numbers */
#define SOURCE_MAX 1024 /* small enough for ext4, which keeps all of them in one block */

static size_t record_format(const struct cas_digest *digest, const struct stat *st,
                            char ret[RECORD_MAX])
{
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(digest, hex);
        return (size_t)snprintf(ret, RECORD_MAX, "1 %s %" PRIu64 " %" PRIu64 " %" PRId64, hex,
                                (uint64_t)st->st_size, (uint64_t)st->st_ino,
                                (int64_t)st->st_mtim.tv_sec);
}

int cas_record_write(int fd, const struct cas_digest *digest, const char *source)
{
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
        char record[RECORD_MAX];
        struct stat st;

        if (clock_gettime(CLOCK_REALTIME, &times[1]) < 0)
                return -errno;
        times[1].tv_nsec = 0;
        /* Only its owner's write bit lets an unprivileged owner set attributes. */
        if (fchmod(fd, 0600) < 0 || futimens(fd, times) < 0 || fstat(fd, &st) < 0)
                return -errno;

        size_t length = record_format(digest, &st, record);

        if (fsetxattr(fd, RECORD_NAME, record, length, 0) < 0)
                return -errno;
        /* For people only: where it does not fit, the blob is none the worse. */
        if (source)
                (void)fsetxattr(fd, SOURCE_NAME, source, strnlen(source, SOURCE_MAX), 0);
        return fchmod(fd, 0444) < 0 ? -errno : 0;
}

bool cas_record_valid(int fd, const struct cas_digest *digest, const struct stat *st)
{
        char expected[RECORD_MAX];
        char found[RECORD_MAX];
        size_t length = record_format(digest, st, expected);
        ssize_t got = fgetxattr(fd, RECORD_NAME, found, sizeof(found));

        return st->st_mtim.tv_nsec == 0 && (st->st_mode & 07777) == 0444 &&
               got == (ssize_t)length && memcmp(found, expected, length) == 0;
}

int cas_record_probe(int fd)
{
        return fsetxattr(fd, RECORD_NAME, "probe", 5, 0) < 0 ? -errno : 0;
}

int cas_record_source(int fd, char *ret, size_t size)
{
        char source[SOURCE_MAX];
        ssize_t got = fgetxattr(fd, SOURCE_NAME, source, sizeof(source));

        if (got < 0)
                return -errno;
        if ((size_t)got >= size)
                got = (ssize_t)size - 1;
        memcpy(ret, source, (size_t)got);
        ret[got] = '\0';
        return 0;
}
