/*
 * Writing, verifying and publishing a blob. The order at the end is the promise:
 * record, fsync of the file, rename, fsync of the directory; a kill between any
 * two of them leaves the blob absent or whole.
 */
#include "cas/ingest.h"

#include "cas/io.h"
#include "cas/record.h"
#include "cas/room.h"
#include "cas/staging.h"
#include "cas/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK     4096
#define GROW_MOST (64u << 20) /* bytes, how far room is made ahead of what has come */

struct cas_ingest {
        struct cas_store *store;
        struct cas_digest digest;
        char name[CAS_STAGING_NAME]; /* in ingest/; empty once published or kept */
        int fd;
        struct cas_hash *hash;
        struct cas_writer writer;
        bool has_writer;
        uint64_t bound;
        uint64_t declared;
        uint64_t reserved; /* bytes that the disk has set aside, or cannot */
        uint64_t claim;    /* bytes that the cache's bounds allow for it */
        uint64_t offset;
        int error; /* the first one, or 0 */
};

static int stick(struct cas_ingest *ingest, int error)
{
        if (ingest->error == 0)
                ingest->error = error;
        return ingest->error;
}

/* An error of the disk, which must not pass for a verdict on the bytes. */
static int of_disk(int error)
{
        return error == -EFBIG || error == -EBADMSG ? -EIO : error;
}

static int try_reserve(const struct cas_ingest *ingest, uint64_t size)
{
        while (fallocate(ingest->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0) {
                if (errno == EOPNOTSUPP || errno == ENOSYS)
                        return 0;
                if (errno != EINTR)
                        return -errno;
        }
        return 0;
}

static bool is_no_room(int error)
{
        return error == -ENOSPC || error == -EDQUOT;
}

/* What `size` bytes would take of the disk beside what the file has already. */
static uint64_t not_yet_taken(const struct cas_ingest *ingest, uint64_t size)
{
        struct stat st;
        uint64_t taken = fstat(ingest->fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;

        return size > taken ? size - taken : 0;
}

/* What a blob of `size` bytes takes: whole blocks, and one for its attributes. */
static uint64_t on_disk(uint64_t size)
{
        return (size + BLOCK - 1) / BLOCK * BLOCK + BLOCK;
}

/* Room for `size` bytes: within the cache's bounds, and on the disk, where it can reserve it.
 * Other blobs go for it, once. */
static int reserve(struct cas_ingest *ingest, uint64_t size)
{
        uint64_t before = ingest->claim;
        int r;

        if (size <= ingest->reserved)
                return 0;
        r = cas_room_claim(ingest->store, &ingest->claim, on_disk(size));
        if (r < 0)
                return r;
        r = try_reserve(ingest, size);
        if (is_no_room(r) && cas_room_give_way(ingest->store, not_yet_taken(ingest, size), r) == 0)
                r = try_reserve(ingest, size);
        cas_room_settled(ingest->store, ingest->claim - before);
        if (r == 0)
                ingest->reserved = size;
        else
                cas_room_shrink(ingest->store, &ingest->claim, before);
        return r;
}

/* Of an asset whose size nobody has told, as it comes: with something to spare, so that not
 * each slot asks. */
static int grow(struct cas_ingest *ingest, uint64_t size, bool spare)
{
        uint64_t step = size < GROW_MOST ? size : GROW_MOST;

        if (size <= ingest->reserved)
                return 0;
        if (spare && step <= ingest->bound - size && reserve(ingest, size + step) == 0)
                return 0;
        return reserve(ingest, size);
}

static int open_staging(struct cas_ingest *ingest)
{
        int r = cas_staging_open(ingest->store, &ingest->digest, ingest->name, &ingest->fd);

        if (is_no_room(r) && cas_room_give_way(ingest->store, 0, r) == 0)
                r = cas_staging_open(ingest->store, &ingest->digest, ingest->name, &ingest->fd);
        return r;
}

int cas_ingest_begin(struct cas_store *store, const struct cas_digest *digest, uint64_t bound,
                     uint64_t declared, struct cas_ingest **ret)
{
        if (declared != CAS_SIZE_UNKNOWN && declared > bound)
                return -EFBIG;

        struct cas_ingest *ingest = calloc(1, sizeof(*ingest));

        if (!ingest)
                return -ENOMEM;
        ingest->store = store;
        ingest->digest = *digest;
        ingest->bound = bound;
        ingest->declared = declared;
        ingest->fd = -1;

        int r = cas_hash_new(&ingest->hash);

        if (r == 0)
                r = of_disk(cas_store_mend(store));
        if (r == 0)
                r = of_disk(open_staging(ingest));
        if (r == 0) {
                cas_writer_init(&ingest->writer, ingest->fd);
                ingest->has_writer = true;
        }
        if (r == 0 && declared != CAS_SIZE_UNKNOWN) {
                cas_writer_expect(&ingest->writer, declared);
                r = of_disk(reserve(ingest, declared));
        }
        if (r < 0) {
                cas_ingest_free(ingest);
                return r;
        }
        *ret = ingest;
        return 0;
}

static int hash_staging(struct cas_ingest *ingest, uint64_t size, struct cas_slot *slot,
                        const atomic_bool *cancelled)
{
        uint64_t offset = 0;

        while (offset < size) {
                ssize_t got = cas_io_read_at(ingest->fd, slot->bytes, CAS_SLOT_BYTES, offset);

                if (atomic_load(cancelled))
                        return -ECANCELED;
                if (got <= 0)
                        return got < 0 ? (int)got : -EIO;
                if ((size_t)got < CAS_SLOT_BYTES) {
                        slot->filled = (size_t)got;
                        break;
                }
                cas_hash_update(ingest->hash, slot->bytes, CAS_SLOT_BYTES);
                offset += CAS_SLOT_BYTES;
        }
        ingest->offset = offset;
        cas_writer_seek(&ingest->writer, offset);
        return 0;
}

int cas_ingest_recover(struct cas_ingest *ingest, struct cas_slot *slot,
                       const atomic_bool *cancelled)
{
        uint64_t most = ingest->declared != CAS_SIZE_UNKNOWN ? ingest->declared : ingest->bound;
        struct stat st;

        slot->filled = 0;
        if (fstat(ingest->fd, &st) < 0)
                return stick(ingest, of_disk(-errno));

        uint64_t size = (uint64_t)st.st_size;
        int r = size > most ? -EFBIG : grow(ingest, size, false);

        if (r == 0)
                r = hash_staging(ingest, size, slot, cancelled);
        if (r == -ECANCELED)
                ingest->name[0] = '\0'; /* it stays as it is, for the next time */
        if (r == 0 || r == -ECANCELED)
                return r;
        /* It cannot be read, or is of no use: the network knows the bytes as well. */
        slot->filled = 0;
        return cas_ingest_restart(ingest);
}

int cas_ingest_restart(struct cas_ingest *ingest)
{
        cas_writer_drain(&ingest->writer);
        cas_hash_restart(ingest->hash);
        cas_writer_seek(&ingest->writer, 0);
        ingest->offset = 0;
        ingest->reserved = 0; /* the truncation gives it back */
        ingest->error = 0;
        if (ftruncate(ingest->fd, 0) < 0)
                return stick(ingest, of_disk(-errno));
        if (ingest->declared == CAS_SIZE_UNKNOWN)
                return 0;

        int r = reserve(ingest, ingest->declared);

        return r < 0 ? stick(ingest, of_disk(r)) : 0;
}

int cas_ingest_expect(struct cas_ingest *ingest, uint64_t size)
{
        if (ingest->error)
                return ingest->error;
        if (size > ingest->bound)
                return -EFBIG;
        if (ingest->declared != CAS_SIZE_UNKNOWN && size != ingest->declared)
                return -EBADMSG;
        cas_writer_expect(&ingest->writer, size);
        return of_disk(reserve(ingest, size));
}

static int count(struct cas_ingest *ingest, size_t length)
{
        if (ingest->error)
                return ingest->error;
        if (ingest->declared != CAS_SIZE_UNKNOWN && length > ingest->declared - ingest->offset)
                return stick(ingest, -EBADMSG);
        if (length > ingest->bound - ingest->offset)
                return stick(ingest, -EFBIG);
        return 0;
}

int cas_ingest_write(struct cas_ingest *ingest, struct cas_slot *slot)
{
        size_t length = slot->filled;
        int r = count(ingest, length);

        if (r < 0) {
                cas_slot_give(slot);
                return r;
        }
        r = grow(ingest, ingest->offset + length, length == CAS_SLOT_BYTES);
        if (r < 0) {
                cas_slot_give(slot);
                return stick(ingest, of_disk(r));
        }
        r = cas_writer_put(&ingest->writer, slot);
        if (r == 0) {
                cas_hash_update(ingest->hash, slot->bytes, length);
                ingest->offset += length;
        }
        cas_writer_done(&ingest->writer, slot);
        return r < 0 ? stick(ingest, of_disk(r)) : 0;
}

uint64_t cas_ingest_offset(const struct cas_ingest *ingest)
{
        return ingest->offset;
}

static int verify(struct cas_ingest *ingest)
{
        struct cas_digest found;

        if (ingest->declared != CAS_SIZE_UNKNOWN && ingest->offset != ingest->declared)
                return -EBADMSG;

        int r = cas_hash_final(ingest->hash, &found);

        if (r < 0)
                return r;
        return cas_digest_equal(&found, &ingest->digest) ? 0 : -EBADMSG;
}

/* Everything about the file itself, durable. */
static int seal(struct cas_ingest *ingest, const char *source)
{
        int r = cas_writer_drain(&ingest->writer);

        if (r < 0)
                return r;
        /* Of what was staged or reserved, what was not needed. */
        if (ftruncate(ingest->fd, (off_t)ingest->offset) < 0)
                return -errno;
        r = cas_record_write(ingest->fd, &ingest->digest, source);
        if (is_no_room(r) && cas_room_give_way(ingest->store, 0, r) == 0)
                r = cas_record_write(ingest->fd, &ingest->digest, source);
        if (r < 0)
                return r;
        return fsync(ingest->fd) < 0 ? -errno : 0;
}

/*
 * A rename and not a link, so that no moment has two names for one file: a crash
 * between link and unlink would leave staging that is the published blob, for the
 * next writer to append to. File systems without RENAME_NOREPLACE get the link.
 */
static int give_name(struct cas_ingest *ingest, const char *hex)
{
        int from = cas_store_ingest_dir(ingest->store);
        int to = cas_store_blobs_dir(ingest->store);
        struct stat ours;
        struct stat named;

        /* Whatever else somebody put there is not what was hashed. */
        if (fstat(ingest->fd, &ours) < 0 ||
            fstatat(from, ingest->name, &named, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (ours.st_ino != named.st_ino || ours.st_dev != named.st_dev)
                return -EIO;
        if (renameat2(from, ingest->name, to, hex, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -errno;
        if (linkat(from, ingest->name, to, hex, 0) < 0)
                return -errno;
        return unlinkat(from, ingest->name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static void note_published(struct cas_ingest *ingest)
{
        struct stat st;

        if (fstat(ingest->fd, &st) == 0)
                cas_room_publish(ingest->store, &ingest->claim, &ingest->digest, &st);
}

static int publish(struct cas_ingest *ingest)
{
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(&ingest->digest, hex);
        for (int tries = 0; tries < 3; tries++) {
                struct cas_blob there;
                int r = give_name(ingest, hex);

                if (is_no_room(r) && tries == 0 && cas_room_give_way(ingest->store, 0, r) == 0)
                        continue; /* the directory had to grow */
                if (r == 0) {
                        ingest->name[0] = '\0';
                        note_published(ingest);
                        return 0;
                }
                if (r != -EEXIST)
                        return r;
                r = cas_store_open_blob(ingest->store, &ingest->digest, &there);
                if (r == 0) {
                        close(there.fd);
                        return 0; /* the same bytes, verified; ours are not needed */
                }
                /* Only this says that it is none; out of descriptors it may well be one. */
                if (r == -EUCLEAN)
                        r = cas_store_refuse(ingest->store, &ingest->digest);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return -EEXIST;
}

int cas_ingest_commit(struct cas_ingest *ingest, const char *source)
{
        int r = ingest->error;

        if (r == 0)
                r = verify(ingest);
        if (r == 0)
                r = of_disk(seal(ingest, source));
        if (r == 0)
                r = of_disk(publish(ingest));
        if (r == 0 && fsync(cas_store_blobs_dir(ingest->store)) < 0)
                r = of_disk(-errno);
        return r < 0 ? stick(ingest, r) : 0;
}

int cas_ingest_give_way(struct cas_ingest *ingest, int error)
{
        uint64_t size = ingest->declared != CAS_SIZE_UNKNOWN ? ingest->declared
                        : ingest->reserved > ingest->offset  ? ingest->reserved
                                                             : ingest->offset * 2;

        return cas_room_give_way(ingest->store, not_yet_taken(ingest, size), error);
}

/* The end of what is kept, which fills no slot. */
static int write_end(struct cas_ingest *ingest, struct cas_slot *slot)
{
        if (!slot || slot->filled == 0 || ingest->error) {
                cas_slot_give(slot);
                return 0;
        }
        ingest->offset += slot->filled;

        int r = cas_writer_put(&ingest->writer, slot);

        cas_writer_done(&ingest->writer, slot);
        return r;
}

void cas_ingest_keep(struct cas_ingest *ingest, struct cas_slot *slot)
{
        int r = write_end(ingest, slot);
        int drained = cas_writer_drain(&ingest->writer);

        /* The truncation gives back what was reserved for the rest. */
        if (r < 0 || drained < 0 || ingest->error || ingest->offset == 0 ||
            ftruncate(ingest->fd, (off_t)ingest->offset) < 0)
                return;
        ingest->name[0] = '\0';
        cas_io_close_at(&ingest->fd); /* and so the lock: it is idle staging now */
        ingest->fd = -1;
        cas_room_shrink(ingest->store, &ingest->claim, 0);
        cas_staging_sweep(cas_store_ingest_dir(ingest->store), CAS_STAGING_KEEP_BYTES);
}

void cas_ingest_free(struct cas_ingest *ingest)
{
        if (!ingest)
                return;
        if (ingest->has_writer)
                cas_writer_destroy(&ingest->writer);
        if (ingest->fd >= 0 && ingest->name[0])
                unlinkat(cas_store_ingest_dir(ingest->store), ingest->name, 0);
        cas_room_shrink(ingest->store, &ingest->claim, 0);
        cas_io_close_at(&ingest->fd);
        cas_hash_free(ingest->hash);
        free(ingest);
}
