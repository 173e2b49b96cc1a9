/*
 * Staging files: finding, locking, sweeping. What is in them is cas/ingest.c's.
 */
#include "cas/staging.h"

#include "cas/io.h"
#include "cas/slots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A sweep holds a lock for a moment; a stranger may for ever. */
#define LOCK_TRIES   200
#define LOCK_WAIT_US 10000
#define OPEN_TRIES   100 /* a sweep may take a file that was just made, again and again */

/* One link: with two it may be a blob whose publication was cut short, never to be written. */
static bool is_staging(const struct stat *st)
{
        return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1;
}

/*
 * Takes the lock, and makes sure that what is locked still stands under its name: whoever had
 * the lock before may have removed it, or made a blob of it. -EAGAIN: open it anew.
 */
static int lock(int dir, const char *name, int fd, unsigned tries)
{
        struct stat held;
        struct stat named;

        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EINTR && (errno != EWOULDBLOCK || tries-- == 0))
                        return errno == EWOULDBLOCK ? -EBUSY : -errno;
                usleep(LOCK_WAIT_US);
        }
        if (fstat(fd, &held) < 0 || fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
                return -EAGAIN;
        return held.st_ino == named.st_ino && held.st_dev == named.st_dev && is_staging(&held)
                   ? 0
                   : -EAGAIN;
}

/* -ENOENT: there is none. */
static int open_left(struct cas_store *store, const char *name)
{
        int dir = cas_store_ingest_dir(store);
        struct stat st;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!is_staging(&st)) {
                int r = cas_store_clear_staging(store, name);

                return r < 0 ? r : -ENOENT;
        }
        /* It was made read-only, but its publication did not come any further. */
        if ((st.st_mode & 0600) != 0600 && fchmodat(dir, name, 0600, 0) < 0)
                return -errno;

        int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int create(const struct cas_store *store, const char *name)
{
        int fd = openat(cas_store_ingest_dir(store), name,
                        O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        return fd < 0 ? -errno : fd;
}

int cas_staging_open(struct cas_store *store, const struct cas_digest *digest,
                     char name[CAS_STAGING_NAME], int *ret_fd)
{
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(digest, hex);
        snprintf(name, CAS_STAGING_NAME, "%s.part", hex);
        for (int tries = 0; tries < OPEN_TRIES; tries++) {
                _cleanup_close_ int fd = open_left(store, name);
                bool is_new = fd == -ENOENT;

                if (is_new)
                        fd = create(store, name);
                if (fd == -EEXIST)
                        continue;
                if (fd < 0)
                        return fd;

                int r = lock(cas_store_ingest_dir(store), name, fd, LOCK_TRIES);

                if (r == 0)
                        *ret_fd = cas_io_steal_fd(&fd);
                if (r < 0 && r != -EAGAIN && r != -EBUSY && is_new)
                        unlinkat(cas_store_ingest_dir(store), name, 0); /* nobody else has it */
                if (r != -EAGAIN)
                        return r;
        }
        return -EBUSY;
}

struct idle {
        char name[CAS_STAGING_NAME];
        struct timespec modified;
        uint64_t bytes; /* of disk */
};

static int newest_first(const void *a, const void *b)
{
        const struct idle *one = a;
        const struct idle *other = b;

        if (one->modified.tv_sec != other->modified.tv_sec)
                return one->modified.tv_sec > other->modified.tv_sec ? -1 : 1;
        return one->modified.tv_nsec > other->modified.tv_nsec
                   ? -1
                   : one->modified.tv_nsec < other->modified.tv_nsec;
}

/* Opens a name of ingest/ that nobody is writing, locked; or negative. */
static int open_idle(int dir, const char *name)
{
        const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        struct stat st;

        /* Not even opened unless it is a plain file: a device might do something. */
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!is_staging(&st))
                return -EUCLEAN;

        _cleanup_close_ int fd = openat(dir, name, O_RDWR | flags);

        if (fd < 0)
                fd = openat(dir, name, O_RDONLY | flags); /* made read-only by a commit */
        if (fd < 0 || lock(dir, name, fd, 0) < 0)
                return -EBUSY;
        return cas_io_steal_fd(&fd);
}

static void remove_idle(int dir, const char *name)
{
        _cleanup_close_ int fd = open_idle(dir, name);

        if (fd >= 0)
                unlinkat(dir, name, 0);
}

/* Gives back what a process that is gone had reserved beyond the file's end. */
static void trim(int fd, struct stat *st)
{
        const struct timespec times[] = {st->st_atim, st->st_mtim};

        if ((uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size + CAS_SLOT_BYTES)
                return;
        if (ftruncate(fd, st->st_size) == 0 && futimens(fd, times) == 0)
                fstat(fd, st);
}

/* true: idle and worth keeping. What is idle and is not goes. */
static bool look(int dir, const char *name, struct idle *ret)
{
        _cleanup_close_ int fd = open_idle(dir, name);
        struct stat st;

        if (fd == -EUCLEAN)
                unlinkat(dir, name, 0); /* no staging; a directory stays */
        if (fd < 0 || fstat(fd, &st) < 0)
                return false;
        if (strcmp(name + CAS_DIGEST_HEX, ".part") != 0 || st.st_size == 0 ||
            st.st_mtim.tv_sec < time(NULL) - CAS_STAGING_KEEP_DAYS * 86400) {
                unlinkat(dir, name, 0);
                return false;
        }
        trim(fd, &st);
        memcpy(ret->name, name, sizeof(ret->name));
        ret->modified = st.st_mtim;
        ret->bytes = (uint64_t)st.st_blocks * 512;
        return true;
}

static size_t find_idle(DIR *dir, struct idle **ret)
{
        const struct dirent *entry;
        struct idle *all = NULL;
        size_t count = 0;
        size_t room = 0;

        while ((entry = readdir(dir))) {
                const char *name = entry->d_name;
                struct cas_digest digest;

                if (strlen(name) <= CAS_DIGEST_HEX || name[CAS_DIGEST_HEX] != '.' ||
                    cas_digest_parse(name, CAS_DIGEST_HEX, &digest) < 0)
                        continue; /* nothing of ours */
                if (count == room) {
                        struct idle *more = realloc(all, (room + 64) * sizeof(*all));

                        if (!more)
                                break;
                        all = more;
                        room += 64;
                }
                if (look(dirfd(dir), name, &all[count]))
                        count++;
        }
        *ret = all;
        return count;
}

/* All that is idle and worth keeping; to be freed. */
static size_t list_idle(int ingest_dir, struct idle **ret)
{
        int fd = openat(ingest_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        *ret = NULL;
        if (!dir) {
                cas_io_close_at(&fd);
                return 0;
        }

        size_t count = find_idle(dir, ret);

        closedir(dir);
        return count;
}

uint64_t cas_staging_idle_bytes(int ingest_dir)
{
        struct idle *idle;
        size_t count = list_idle(ingest_dir, &idle);
        uint64_t bytes = 0;

        for (size_t i = 0; i < count; i++)
                bytes += idle[i].bytes;
        free(idle);
        return bytes;
}

void cas_staging_sweep(int ingest_dir, uint64_t keep_bytes)
{
        struct idle *idle;
        size_t count = list_idle(ingest_dir, &idle);
        uint64_t bytes = 0;

        if (count > 0)
                qsort(idle, count, sizeof(*idle), newest_first);
        for (size_t i = 0; i < count; i++) {
                bytes += idle[i].bytes;
                if (bytes > keep_bytes || i >= CAS_STAGING_KEEP_FILES)
                        remove_idle(ingest_dir, idle[i].name);
        }
        free(idle);
}
