/*
 * The publication record as an extended attribute. Touches only the descriptor
 * it is given; where blobs lie is the store's business.
 */
#include "cas/record.h"

#include "cas/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

#define RECORD_NAME   "user.assetfs.record"
#define VERIFIED_NAME "user.assetfs.verified"
#define SOURCE_NAME   "user.assetfs.source"

#define RECORD_MAX   160  /* version, 64 hex digits, three 64-bit numbers */
#define VERIFIED_MAX 64   /* a 64-bit number, the boot's id */
#define SOURCE_MAX   1024 /* small enough for ext4, which keeps all of them in one block */

#define PUBLISHED 0444
/* Only its owner's write bit lets an unprivileged owner set attributes. */
#define BEING_NOTED 0600

static size_t record_format(const struct cas_digest *digest, const struct stat *st,
                            char ret[RECORD_MAX])
{
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(digest, hex);
        return (size_t)snprintf(ret, RECORD_MAX, "1 %s %" PRIu64 " %" PRIu64 " %" PRId64, hex,
                                (uint64_t)st->st_size, (uint64_t)st->st_ino,
                                (int64_t)st->st_mtim.tv_sec);
}

void cas_record_boot(char ret[CAS_BOOT_ID])
{
        _cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : cas_io_read_at(fd, ret, CAS_BOOT_ID - 1, 0);

        ret[got > 0 ? got : 0] = '\0';
        ret[strcspn(ret, " \n")] = '\0';
}

/* For those who hash again: where it cannot be kept, the blob is none the worse. */
static int write_verified(int fd, int64_t now)
{
        char boot[CAS_BOOT_ID];
        char text[VERIFIED_MAX];

        cas_record_boot(boot);

        int length = snprintf(text, sizeof(text), "%" PRId64 " %s", now, boot);

        return fsetxattr(fd, VERIFIED_NAME, text, (size_t)length, 0) < 0 ? -errno : 0;
}

int cas_record_note(int fd)
{
        if (fchmod(fd, BEING_NOTED) < 0)
                return -errno;

        int r = write_verified(fd, (int64_t)time(NULL));

        return fchmod(fd, PUBLISHED) < 0 ? -errno : r;
}

/* false: there is no note, or not one of ours. */
static bool read_verified(int fd, int64_t *ret_when, char ret_boot[CAS_BOOT_ID])
{
        char text[VERIFIED_MAX];
        ssize_t got = fgetxattr(fd, VERIFIED_NAME, text, sizeof(text) - 1);

        if (got <= 0)
                return false;
        text[got] = '\0';
        ret_boot[0] = '\0';
        return sscanf(text, "%" SCNd64 " %39s", ret_when, ret_boot) >= 1;
}

int64_t cas_record_verified_at(int fd, const struct stat *st)
{
        char boot[CAS_BOOT_ID];
        int64_t when;

        return read_verified(fd, &when, boot) ? when : (int64_t)st->st_mtim.tv_sec;
}

bool cas_record_is_of_boot(int fd, const char boot[CAS_BOOT_ID])
{
        char found[CAS_BOOT_ID];
        int64_t when;

        return boot[0] && read_verified(fd, &when, found) && strcmp(found, boot) == 0;
}

int cas_record_write(int fd, const struct cas_digest *digest, const char *source)
{
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
        char record[RECORD_MAX];
        struct stat st;

        if (clock_gettime(CLOCK_REALTIME, &times[1]) < 0)
                return -errno;
        times[1].tv_nsec = 0;
        if (fchmod(fd, BEING_NOTED) < 0 || futimens(fd, times) < 0 || fstat(fd, &st) < 0)
                return -errno;

        size_t length = record_format(digest, &st, record);

        if (fsetxattr(fd, RECORD_NAME, record, length, 0) < 0)
                return -errno;
        (void)write_verified(fd, (int64_t)st.st_mtim.tv_sec);
        /* For people only: where it does not fit, the blob is none the worse. */
        if (source)
                (void)fsetxattr(fd, SOURCE_NAME, source, strnlen(source, SOURCE_MAX), 0);
        return fchmod(fd, PUBLISHED) < 0 ? -errno : 0;
}

bool cas_record_valid(int fd, const struct cas_digest *digest, const struct stat *st)
{
        char expected[RECORD_MAX];
        char found[RECORD_MAX];
        size_t length = record_format(digest, st, expected);
        ssize_t got = fgetxattr(fd, RECORD_NAME, found, sizeof(found));
        mode_t mode = st->st_mode & 07777;

        /* Being noted: somebody is at it, or was killed there. */
        return st->st_mtim.tv_nsec == 0 && (mode == PUBLISHED || mode == BEING_NOTED) &&
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
