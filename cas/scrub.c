/*
 * Hashing what is there, and the verdict. The only writes are notes on what was found right;
 * what was found wrong is moved by cas/quarantine.c.
 */
#include "cas/scrub.h"

#include "cas/io.h"
#include "cas/quarantine.h"
#include "cas/record.h"
#include "cas/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 20) /* bytes read at a time */
#define ALIGN 4096              /* what any disk wants of O_DIRECT */

struct reading {
        const struct cas_scrub *scrub;
        int fd;
        bool direct;
        char *chunk;
};

/* Does the error mean that the disk has lost the bytes? All others may be over in a moment. */
static bool is_loss(int error)
{
        return error == -EIO || error == -EUCLEAN || error == -EBADMSG || error == -ENODATA ||
               error == -EILSEQ;
}

/* File systems refuse O_DIRECT at the open, at a read, or only at a file's odd end. */
static ssize_t read_chunk(struct reading *reading, uint64_t offset)
{
        ssize_t got = cas_io_read_at(reading->fd, reading->chunk, CHUNK, offset);

        if (got == -EINVAL && reading->direct) {
                reading->direct = false;
                if (fcntl(reading->fd, F_SETFL, O_RDONLY) < 0)
                        return -errno;
                got = cas_io_read_at(reading->fd, reading->chunk, CHUNK, offset);
        }
        /* What others have mapped stays all the same. */
        if (got > 0 && reading->scrub->direct && !reading->direct)
                posix_fadvise(reading->fd, (off_t)offset, got, POSIX_FADV_DONTNEED);
        return got;
}

static int hash_chunks(struct reading *reading, struct cas_hash *hash, struct cas_verdict *ret)
{
        const struct cas_scrub *scrub = reading->scrub;
        ssize_t got;

        while ((got = read_chunk(reading, ret->hashed)) > 0) {
                if (scrub->cancelled && atomic_load(scrub->cancelled))
                        return -ECANCELED;
                cas_hash_update(hash, reading->chunk, (size_t)got);
                ret->hashed += (uint64_t)got;
                if (scrub->progress)
                        scrub->progress(scrub->arg, (uint64_t)got);
        }
        return got < 0 ? (int)got : cas_hash_final(hash, &ret->found);
}

static int hash_file(const struct cas_scrub *scrub, int fd, struct cas_verdict *ret)
{
        struct reading reading = {.scrub = scrub, .fd = fd};
        struct cas_hash *hash;
        void *chunk = NULL;

        if (posix_memalign(&chunk, ALIGN, CHUNK) != 0)
                return -ENOMEM;
        reading.chunk = chunk;
        reading.direct = scrub->direct && fcntl(fd, F_SETFL, O_DIRECT) == 0;

        int r = cas_hash_new(&hash);

        if (r == 0) {
                r = hash_chunks(&reading, hash, ret);
                cas_hash_free(hash);
        }
        free(chunk);
        return r;
}

/* 0: the file is the digest's content, and did not change while it was hashed. */
static int check_content(const struct cas_scrub *scrub, int fd, const struct cas_digest *digest,
                         const struct stat *before, struct cas_verdict *ret)
{
        struct stat after;
        int r = hash_file(scrub, fd, ret);

        if (is_loss(r)) {
                ret->error = r;
                return -EBADMSG;
        }
        if (r < 0)
                return r;
        if (fstat(fd, &after) < 0)
                return -errno;
        if (!cas_digest_equal(&ret->found, digest) || after.st_size != before->st_size ||
            after.st_mtim.tv_sec != before->st_mtim.tv_sec ||
            after.st_mtim.tv_nsec != before->st_mtim.tv_nsec)
                return -EBADMSG;
        return 0;
}

/* A blob that had a valid record is as good where nothing can be noted of it: on a disk that is
 * read-only or full. */
static int note(int fd, const struct cas_digest *digest, struct cas_verdict *ret)
{
        struct stat st;
        int r;

        if (ret->recorded) {
                ret->noted = cas_record_note(fd) == 0;
                return 0;
        }
        ret->noted = true;
        r = cas_record_write(fd, digest, NULL);
        if (r == 0)
                return fsync(fd) < 0 ? -errno : 0;
        /* Another process may have been at the same, and taken the write bit away in between. */
        return fstat(fd, &st) == 0 && cas_record_valid(fd, digest, &st) ? 0 : r;
}

int cas_scrub_blob(const struct cas_scrub *scrub, const struct cas_digest *digest,
                   struct cas_verdict *ret)
{
        char hex[CAS_DIGEST_HEX + 1];
        struct stat st;

        *ret = (struct cas_verdict){0};
        cas_digest_format(digest, hex);

        _cleanup_close_ int fd = cas_store_open_file(scrub->blobs, hex, &st);

        if (fd < 0)
                return fd;
        ret->size = (uint64_t)st.st_size;
        ret->recorded = cas_record_valid(fd, digest, &st);

        int r = check_content(scrub, fd, digest, &st, ret);

        if (r == 0)
                return note(fd, digest, ret);
        if (r != -EBADMSG)
                return r;
        r = cas_quarantine_take(scrub->quarantine, scrub->blobs, hex, &st, &ret->kept);
        return r < 0 ? r : -EBADMSG;
}

int cas_scrub_look(const struct cas_scrub *scrub, const struct cas_digest *digest,
                   struct cas_scrub_item *ret)
{
        char hex[CAS_DIGEST_HEX + 1];
        struct stat st;

        cas_digest_format(digest, hex);

        _cleanup_close_ int fd = cas_store_open_file(scrub->blobs, hex, &st);

        if (fd < 0)
                return fd;

        int64_t verified = cas_record_valid(fd, digest, &st) ? cas_record_verified_at(fd, &st) : 0;

        /* From the future: the clock was set, and who believed it would not look for years. */
        if (verified > (int64_t)time(NULL))
                verified = 0;
        *ret = (struct cas_scrub_item){*digest, verified, (uint64_t)st.st_size};
        return 0;
}

struct listing {
        const struct cas_scrub *scrub;
        struct cas_scrub_item *items;
        size_t count;
        size_t room;
};

static int add(void *arg, const struct cas_digest *digest)
{
        struct listing *listing = arg;

        if (listing->scrub->cancelled && atomic_load(listing->scrub->cancelled))
                return -ECANCELED;
        if (listing->count == listing->room) {
                size_t room = listing->room ? 2 * listing->room : 256;
                struct cas_scrub_item *more =
                    reallocarray(listing->items, room, sizeof(*listing->items));

                if (!more)
                        return -ENOMEM;
                listing->items = more;
                listing->room = room;
        }
        /* What is no file of ours, or cannot be looked at now, is left out. */
        if (cas_scrub_look(listing->scrub, digest, &listing->items[listing->count]) == 0)
                listing->count++;
        return 0;
}

static int longest_ago_first(const void *left, const void *right)
{
        const struct cas_scrub_item *a = left;
        const struct cas_scrub_item *b = right;

        if (a->verified != b->verified)
                return a->verified < b->verified ? -1 : 1;
        return cas_digest_compare(&a->digest, &b->digest);
}

int cas_scrub_list(const struct cas_scrub *scrub, struct cas_scrub_item **ret, size_t *ret_count)
{
        struct listing listing = {.scrub = scrub};
        int r = cas_store_list_dir(scrub->blobs, add, &listing);

        if (r < 0) {
                free(listing.items);
                return r;
        }
        if (listing.count > 0)
                qsort(listing.items, listing.count, sizeof(*listing.items), longest_ago_first);
        *ret = listing.items;
        *ret_count = listing.count;
        return 0;
}
