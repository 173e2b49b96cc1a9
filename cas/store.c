/*
 * The blobs of a cache: open, look, settle, list. Opening the cache itself is in
 * cas/layout.c; writing a blob in cas/ingest.c. No network, no FUSE.
 */
#include "cas/store.h"

#include "cas/index.h"
#include "cas/io.h"
#include "cas/layout.h"
#include "cas/record.h"
#include "cas/room.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TOUCH_AGAIN_SECONDS 60 /* a disk that refused to keep a time is not asked for so long */

struct cas_store {
        struct cas_layout layout;
        struct cas_index *index;
        struct cas_room room;
        atomic_bool has_keeper;
        atomic_llong touch_again; /* unix seconds; before, the disk refuses to keep times */
        char boot[CAS_BOOT_ID];
};

int cas_store_open(const struct cas_claim *claim, struct cas_store **ret, char why[CAS_WHY])
{
        struct cas_store *store = calloc(1, sizeof(*store));

        if (!store)
                return -ENOMEM;

        int r = cas_index_new(&store->index);

        if (r == 0)
                r = cas_layout_open(claim, &store->layout, why);
        if (r < 0) {
                cas_index_free(store->index);
                free(store);
                return r;
        }
        cas_room_init(&store->room);
        cas_record_boot(store->boot);
        *ret = store;
        return 0;
}

void cas_store_free(struct cas_store *store)
{
        if (!store)
                return;
        cas_layout_close(&store->layout);
        cas_room_destroy(&store->room);
        cas_index_free(store->index);
        free(store);
}

bool cas_store_readable_by_others(const struct cas_store *store)
{
        struct stat st;

        return fstat(store->layout.claim.root, &st) == 0 && (st.st_mode & 077);
}

int cas_store_statvfs(const struct cas_store *store, struct statvfs *ret)
{
        return fstatvfs(store->layout.claim.root, ret) < 0 ? -errno : 0;
}

int cas_store_mend(const struct cas_store *store)
{
        return cas_layout_mend(&store->layout);
}

int cas_store_blobs_dir(const struct cas_store *store)
{
        return store->layout.blobs;
}

int cas_store_ingest_dir(const struct cas_store *store)
{
        return store->layout.ingest;
}

int cas_store_pins_dir(const struct cas_store *store)
{
        return store->layout.pins;
}

int cas_store_quarantine_dir(const struct cas_store *store)
{
        return store->layout.quarantine;
}

struct cas_index *cas_store_index(const struct cas_store *store)
{
        return store->index;
}

struct cas_room *cas_store_room(struct cas_store *store)
{
        return &store->room;
}

const struct cas_room *cas_store_room_of(const struct cas_store *store)
{
        return &store->room;
}

int cas_store_scan(struct cas_store *store, const atomic_bool *cancelled)
{
        return cas_index_scan(store->index, store->layout.blobs, cancelled);
}

void cas_store_set_keeper(struct cas_store *store, bool has_one)
{
        atomic_store(&store->has_keeper, has_one);
}

bool cas_store_has_keeper(const struct cas_store *store)
{
        return atomic_load(&store->has_keeper);
}

static bool is_our_file(const struct stat *st)
{
        return S_ISREG(st->st_mode) && st->st_uid == geteuid();
}

static void describe(const struct stat *st, struct cas_blob *ret)
{
        ret->size = (uint64_t)st->st_size;
        ret->blocks = (uint64_t)st->st_blocks;
        ret->inode = (uint64_t)st->st_ino;
        ret->mtime = (int64_t)st->st_mtim.tv_sec;
        ret->ctime = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

/* The stat comes first because merely opening a device can do something. */
int cas_store_open_file(int blobs, const char *hex, struct stat *ret_st)
{
        if (fstatat(blobs, hex, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!is_our_file(ret_st))
                return -EUCLEAN;

        _cleanup_close_ int fd = openat(blobs, hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0)
                return errno == ELOOP ? -EUCLEAN : -errno;
        if (fstat(fd, ret_st) < 0)
                return -errno;
        if (!is_our_file(ret_st))
                return -EUCLEAN;
        return cas_io_steal_fd(&fd);
}

/* Notes in the index that the blob is opened. true: it should be written to the disk, too. */
static bool note_open(struct cas_store *store, const struct cas_digest *digest,
                      const struct stat *st, int64_t *ret_stamp_ns)
{
        return cas_index_opened(store->index, digest, st, ret_stamp_ns) &&
               atomic_load(&store->touch_again) <= (long long)time(NULL);
}

/*
 * Notes that the blob is opened. The times change with it, ctime too; so this comes before
 * the record is compared, and *st is what is compared: whatever changes the file later has
 * a later ctime than the one that the opener keeps.
 */
static int touch(struct cas_store *store, const struct cas_digest *digest, int fd, struct stat *st)
{
        int64_t stamp_ns;

        if (!note_open(store, digest, st, &stamp_ns))
                return 0;

        const struct timespec times[2] = {
            {.tv_sec = stamp_ns / 1000000000, .tv_nsec = stamp_ns % 1000000000},
            {.tv_nsec = UTIME_OMIT}};

        /* A read-only cache, or a full one that copies on write: not asked at every open. */
        if (futimens(fd, times) < 0)
                atomic_store(&store->touch_again, (long long)time(NULL) + TOUCH_AGAIN_SECONDS);
        else
                cas_index_wrote(store->index, digest);
        return fstat(fd, st) < 0 ? -errno : 0;
}

int cas_store_open_blob(struct cas_store *store, const struct cas_digest *digest,
                        struct cas_blob *ret)
{
        char hex[CAS_DIGEST_HEX + 1];
        struct stat st;

        cas_digest_format(digest, hex);

        _cleanup_close_ int fd = cas_store_open_file(store->layout.blobs, hex, &st);
        int r = fd < 0 ? fd : touch(store, digest, fd, &st);

        if (r == -ENOENT)
                cas_index_gone(store->index, digest); /* somebody removed it by hand */
        if (r < 0)
                return r;
        if (!cas_record_valid(fd, digest, &st))
                return -EUCLEAN;
        describe(&st, ret);
        ret->fd = cas_io_steal_fd(&fd);
        return 0;
}

bool cas_store_unchanged(struct cas_store *store, const struct cas_digest *digest,
                         const struct cas_blob *before)
{
        char hex[CAS_DIGEST_HEX + 1];
        struct cas_blob now;
        struct stat st;
        int64_t stamp_ns;

        cas_digest_format(digest, hex);
        if (fstatat(store->layout.blobs, hex, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_our_file(&st) ||
            note_open(store, digest, &st, &stamp_ns))
                return false;
        describe(&st, &now);
        return now.inode == before->inode && now.size == before->size &&
               now.mtime == before->mtime && now.ctime == before->ctime;
}

bool cas_blob_intact(const struct cas_blob *blob)
{
        struct stat st;

        return fstat(blob->fd, &st) == 0 && (uint64_t)st.st_size == blob->size &&
               st.st_mtim.tv_sec == blob->mtime && st.st_mtim.tv_nsec == 0;
}

int cas_store_look(const struct cas_store *store, const struct cas_digest *digest,
                   struct cas_blob *ret)
{
        char hex[CAS_DIGEST_HEX + 1];
        struct stat st;

        cas_digest_format(digest, hex);

        _cleanup_close_ int fd = cas_store_open_file(store->layout.blobs, hex, &st);

        if (fd < 0)
                return fd == -ENOENT || fd == -EUCLEAN ? CAS_ABSENT : fd;
        describe(&st, ret);
        ret->fd = -1;
        return cas_record_valid(fd, digest, &st) ? CAS_VERIFIED : CAS_UNVERIFIED;
}

bool cas_store_wants_hash(const struct cas_store *store, enum cas_verify verify,
                          const struct cas_blob *blob)
{
        switch (verify) {
        case CAS_VERIFY_METADATA:
                return false;
        case CAS_VERIFY_BOOT:
                return !cas_record_is_of_boot(blob->fd, store->boot);
        case CAS_VERIFY_ALWAYS:
                break;
        }
        return true;
}

int cas_store_verified_at(const struct cas_store *store, const struct cas_digest *digest,
                          int64_t *ret)
{
        char hex[CAS_DIGEST_HEX + 1];
        struct stat st;

        cas_digest_format(digest, hex);

        _cleanup_close_ int fd = cas_store_open_file(store->layout.blobs, hex, &st);

        if (fd < 0)
                return fd == -EUCLEAN ? -ENOENT : fd;
        if (!cas_record_valid(fd, digest, &st))
                return -ENOENT;
        *ret = cas_record_verified_at(fd, &st);
        return 0;
}

struct cas_scrub cas_store_scrub(const struct cas_store *store)
{
        return (struct cas_scrub){.blobs = store->layout.blobs,
                                  .quarantine = store->layout.quarantine};
}

int cas_store_scrub_blob(const struct cas_store *store, const struct cas_scrub *scrub,
                         const struct cas_digest *digest, struct cas_verdict *ret)
{
        int r = cas_scrub_blob(scrub, digest, ret);

        if (r == -EBADMSG)
                cas_index_gone(store->index, digest);
        return r;
}

int cas_store_revalidate(const struct cas_store *store, const struct cas_digest *digest,
                         const atomic_bool *cancelled, struct cas_verdict *ret)
{
        struct cas_scrub scrub = cas_store_scrub(store);

        scrub.cancelled = cancelled;

        int r = cas_store_scrub_blob(store, &scrub, digest, ret);

        if (r != -EUCLEAN)
                return r;
        r = cas_store_refuse(store, digest);
        return r < 0 ? r : -EBADMSG;
}

/* A directory that is not empty: aside it goes, under a name nothing else has. */
static int set_aside(const struct cas_store *store, int dir, const char *name)
{
        for (int i = 0; i < 1000; i++) {
                char aside[CAS_DIGEST_HEX + 32];

                snprintf(aside, sizeof(aside), "%s.%d", name, i);
                if (renameat2(dir, name, store->layout.quarantine, aside, RENAME_NOREPLACE) == 0)
                        return 0;
                if (errno != EEXIST && errno != ENOTEMPTY)
                        return -errno;
        }
        return -EEXIST;
}

static int take_away(const struct cas_store *store, int dir, const char *name)
{
        if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;
        if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
                return 0;
        if (errno != ENOTEMPTY && errno != EEXIST)
                return -errno;
        return set_aside(store, dir, name);
}

int cas_store_refuse(const struct cas_store *store, const struct cas_digest *digest)
{
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(digest, hex);
        cas_index_gone(store->index, digest);
        return take_away(store, store->layout.blobs, hex);
}

int cas_store_clear_staging(const struct cas_store *store, const char *name)
{
        return take_away(store, store->layout.ingest, name);
}

int cas_store_list(const struct cas_store *store, int (*each)(void *arg, const struct cas_digest *),
                   void *arg)
{
        return cas_store_list_dir(store->layout.blobs, each, arg);
}

int cas_store_list_dir(int blobs, int (*each)(void *arg, const struct cas_digest *), void *arg)
{
        int fd = openat(blobs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        int r = 0;

        if (!dir) {
                r = -errno;
                if (fd >= 0)
                        close(fd);
                return r;
        }
        for (;;) {
                struct cas_digest digest;

                errno = 0;

                const struct dirent *entry = readdir(dir);

                if (!entry) {
                        r = -errno;
                        break;
                }
                if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
                        continue;
                if (cas_digest_parse(entry->d_name, _D_EXACT_NAMLEN(entry), &digest) < 0)
                        continue;
                r = each(arg, &digest);
                if (r)
                        break;
        }
        closedir(dir);
        return r;
}

int cas_store_source(const struct cas_store *store, const struct cas_digest *digest, char *ret,
                     size_t size)
{
        char hex[CAS_DIGEST_HEX + 1];
        struct stat st;

        cas_digest_format(digest, hex);

        _cleanup_close_ int fd = cas_store_open_file(store->layout.blobs, hex, &st);

        return fd < 0 ? fd : cas_record_source(fd, ret, size);
}
