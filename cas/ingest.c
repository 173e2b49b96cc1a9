/*
 * Writing, verifying and publishing a blob. The order at the end is the promise:
 * record, fsync of the file, rename, fsync of the directory; a kill between any
 * two of them leaves the blob absent or whole.
 */
#include "cas/ingest.h"

#include "cas/io.h"
#include "cas/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_NAME (CAS_DIGEST_HEX + sizeof(".part"))

struct cas_ingest {
        struct cas_store *store;
        struct cas_digest digest;
        char name[PART_NAME]; /* in ingest/; empty once published */
        int fd;
        struct cas_hash *hash;
        uint64_t bound;
        uint64_t declared;
        uint64_t reserved;
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

static int open_part(struct cas_ingest *ingest)
{
        int dir = cas_store_ingest_dir(ingest->store);
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(&ingest->digest, hex);
        snprintf(ingest->name, sizeof(ingest->name), "%s.part", hex);

        int r = cas_store_clear_staging(ingest->store, ingest->name);

        if (r < 0)
                return r;
        ingest->fd =
            openat(dir, ingest->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        return ingest->fd < 0 ? -errno : 0;
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
                r = of_disk(open_part(ingest));
        if (r < 0) {
                cas_ingest_free(ingest);
                return r;
        }
        *ret = ingest;
        return 0;
}

/* Room for `size` bytes, where the file system can reserve it. */
static int reserve(struct cas_ingest *ingest, uint64_t size)
{
        if (size == 0)
                return 0;
        while (fallocate(ingest->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0) {
                if (errno == EINTR)
                        continue;
                if (errno == EOPNOTSUPP || errno == ENOSYS)
                        return 0;
                return -errno;
        }
        ingest->reserved = size;
        return 0;
}

int cas_ingest_expect(struct cas_ingest *ingest, uint64_t size)
{
        if (ingest->error)
                return ingest->error;
        if (size > ingest->bound)
                return stick(ingest, -EFBIG);
        if (ingest->declared != CAS_SIZE_UNKNOWN && size != ingest->declared)
                return stick(ingest, -EBADMSG);

        int r = reserve(ingest, size);

        return r < 0 ? stick(ingest, of_disk(r)) : 0;
}

int cas_ingest_write(struct cas_ingest *ingest, const void *bytes, size_t length)
{
        if (ingest->error)
                return ingest->error;
        if (ingest->declared != CAS_SIZE_UNKNOWN && length > ingest->declared - ingest->offset)
                return stick(ingest, -EBADMSG);
        if (length > ingest->bound - ingest->offset)
                return stick(ingest, -EFBIG);

        int r = cas_io_write_at(ingest->fd, bytes, length, ingest->offset);

        if (r < 0)
                return stick(ingest, of_disk(r));
        cas_hash_update(ingest->hash, bytes, length);
        ingest->offset += length;
        return 0;
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
        /* Fewer bytes than the origin had announced: give the rest of the room back. */
        if (ingest->reserved > ingest->offset && ftruncate(ingest->fd, (off_t)ingest->offset) < 0)
                return -errno;

        int r = cas_record_write(ingest->fd, &ingest->digest, source);

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

        if (renameat2(from, ingest->name, to, hex, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -errno;
        if (linkat(from, ingest->name, to, hex, 0) < 0)
                return -errno;
        return unlinkat(from, ingest->name, 0) < 0 ? -errno : 0;
}

static int publish(struct cas_ingest *ingest)
{
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(&ingest->digest, hex);
        for (int tries = 0; tries < 3; tries++) {
                struct cas_blob there;
                int r = give_name(ingest, hex);

                if (r == 0) {
                        ingest->name[0] = '\0';
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

void cas_ingest_free(struct cas_ingest *ingest)
{
        if (!ingest)
                return;
        if (ingest->fd >= 0 && ingest->name[0])
                unlinkat(cas_store_ingest_dir(ingest->store), ingest->name, 0);
        cas_io_close_at(&ingest->fd);
        cas_hash_free(ingest->hash);
        free(ingest);
}
