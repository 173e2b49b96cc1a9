/*
 * Moving bad blobs aside, and keeping their number within bounds. Looks at no content, and
 * touches nothing but the one name it is given and its own directory.
 */
#include "cas/quarantine.h"

#include "cas/digest.h"
#include "cas/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBERS  1000                  /* tried for a free name */
#define NAME     (CAS_DIGEST_HEX + 16) /* bytes of one, with its NUL */
#define SEEN_MAX 4096 /* files looked at by a sweep; the next one sees the others */

struct kept {
        char name[NAME];
        uint64_t bytes;
        struct timespec since;
};

/* 1; 0: something else stands there, or nothing; -errno: it cannot be told. */
static int is_named(int dir, const char *name, const struct stat *which)
{
        struct stat st;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        return st.st_ino == which->st_ino && st.st_dev == which->st_dev;
}

/* 0 and the name; -errno. */
static int move(int quarantine, int dir, const char *name, char ret[NAME])
{
        for (int i = 0; i < NUMBERS; i++) {
                snprintf(ret, NAME, "%.*s.%d", CAS_DIGEST_HEX, name, i);
                if (renameat2(dir, name, quarantine, ret, RENAME_NOREPLACE) == 0)
                        return 0;
                if (errno != EEXIST && errno != ENOTEMPTY)
                        return -errno;
        }
        return -EEXIST;
}

int cas_quarantine_take(int quarantine, int dir, const char *name, const struct stat *which,
                        bool *ret_kept)
{
        char aside[NAME];

        *ret_kept = false;

        int named = is_named(dir, name, which);

        if (named <= 0)
                return named < 0 ? named : -ENOENT;

        int r = quarantine < 0 ? -EXDEV : move(quarantine, dir, name, aside);

        if (r == -ENOENT)
                return r;
        /* Where it cannot be told, it stays there: back under its name it might be served. */
        if (r == 0 && is_named(quarantine, aside, which) == 0) {
                /* Somebody put another blob there between the look and the move: it goes back,
                 * unless a third one has come meanwhile. */
                if (renameat2(quarantine, aside, dir, name, RENAME_NOREPLACE) < 0)
                        unlinkat(quarantine, aside, 0);
                return -ENOENT;
        }
        if (r < 0 && unlinkat(dir, name, 0) < 0)
                return -errno;
        /* Else a power cut could bring it back under its name, with a record that says well. */
        if (fsync(dir) < 0)
                return -errno;
        if (r < 0)
                return 0;
        cas_quarantine_sweep(quarantine, CAS_QUARANTINE_BYTES, time(NULL));
        *ret_kept = is_named(quarantine, aside, which) == 1;
        return 0;
}

/* Something that a take has put there? */
static bool look(int quarantine, const char *name, struct kept *ret)
{
        struct cas_digest digest;
        struct stat st;

        if (strlen(name) <= CAS_DIGEST_HEX || strlen(name) >= NAME || name[CAS_DIGEST_HEX] != '.' ||
            cas_digest_parse(name, CAS_DIGEST_HEX, &digest) < 0 ||
            fstatat(quarantine, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
            st.st_uid != geteuid())
                return false;
        memcpy(ret->name, name, strlen(name) + 1);
        ret->bytes = (uint64_t)st.st_blocks * 512;
        ret->since = st.st_ctim; /* the move has set it */
        return true;
}

/* To be freed. */
static size_t list(int quarantine, struct kept **ret)
{
        int fd = openat(quarantine, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;
        size_t count = 0;
        size_t room = 0;

        *ret = NULL;
        if (!dir) {
                cas_io_close_at(&fd);
                return 0;
        }
        while (count < SEEN_MAX && (entry = readdir(dir))) {
                if (count == room) {
                        struct kept *more = realloc(*ret, (room + 32) * sizeof(*more));

                        if (!more)
                                break;
                        *ret = more;
                        room += 32;
                }
                count += look(quarantine, entry->d_name, &(*ret)[count]);
        }
        closedir(dir);
        return count;
}

static int newest_first(const void *left, const void *right)
{
        const struct timespec *a = &((const struct kept *)left)->since;
        const struct timespec *b = &((const struct kept *)right)->since;

        if (a->tv_sec != b->tv_sec)
                return a->tv_sec < b->tv_sec ? 1 : -1;
        return (a->tv_nsec < b->tv_nsec) - (a->tv_nsec > b->tv_nsec);
}

void cas_quarantine_sweep(int quarantine, uint64_t keep_bytes, time_t now)
{
        struct kept *all;
        size_t count = list(quarantine, &all);
        uint64_t bytes = 0;
        size_t files = 0;

        if (count > 0)
                qsort(all, count, sizeof(*all), newest_first);
        for (size_t i = 0; i < count; i++) {
                if (files < CAS_QUARANTINE_FILES && all[i].bytes <= keep_bytes - bytes &&
                    keep_bytes > 0 && all[i].since.tv_sec + CAS_QUARANTINE_SECONDS > now) {
                        bytes += all[i].bytes;
                        files++;
                } else {
                        unlinkat(quarantine, all[i].name, 0);
                }
        }
        free(all);
}

uint64_t cas_quarantine_bytes(int quarantine)
{
        struct kept *all;
        size_t count = list(quarantine, &all);
        uint64_t bytes = 0;

        for (size_t i = 0; i < count; i++)
                bytes += all[i].bytes;
        free(all);
        return bytes;
}
