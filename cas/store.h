/*
 * The store: a cache directory of blobs, each named by its own digest.
 *
 *   CACHE/              0700
 *     blobs/sha256/     verified blobs, 0444
 *     ingest/           being written (cas/ingest.h)
 *     pins/             digests that are never evicted
 *     quarantine/       what stood where a blob belongs and could not be removed
 *     lock              one process per cache (cas/claim.h)
 *
 * Everything is reached through descriptors taken at the start; nothing found in
 * the cache is trusted or followed: a blob is a regular file of our user with a
 * valid publication record (cas/record.h), or it is not a blob.
 *
 * Errors: 0 or -errno. Threads: all functions may run at once on one store,
 * except open and free. Does not log.
 */
#ifndef CAS_STORE_H
#define CAS_STORE_H

#include "cas/claim.h"
#include "cas/digest.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>

struct cas_store;

/*
 * Opens the cache that was claimed, making the directories that are missing, and
 * removes stale staging. Takes no time that grows with the number of blobs. Takes the
 * claim over, but not on failure. -EOPNOTSUPP (no extended attributes), -ENOTDIR, …
 */
int cas_store_open(const struct cas_claim *claim, struct cas_store **ret, char why[CAS_WHY]);
void cas_store_free(struct cas_store *store); /* accepts NULL; releases the lock */

/* May users other than the owner read the cache directory? */
bool cas_store_readable_by_others(const struct cas_store *store);

/* The disk the cache lies on. */
int cas_store_statvfs(const struct cas_store *store, struct statvfs *ret);

/* A verified blob, open for reading. The caller owns fd. */
struct cas_blob {
        int fd;
        uint64_t size;   /* bytes */
        uint64_t blocks; /* of 512 bytes, as stat(2) counts them */
        uint64_t inode;  /* with mtime, which file this is: another one is other bytes */
        int64_t mtime;   /* seconds; of a verified one, when that was (cas/record.h) */
        int64_t ctime;   /* ns; nothing of the file changes without it */
};

/*
 * Opens the blob: a regular file of our user with a valid record. -ENOENT where
 * there is nothing, -EUCLEAN where there is something else, which
 * cas_store_revalidate() settles. Never blocks on a fifo or a device. The file's atime
 * becomes now where it is older than a minute, as far as the disk lets it.
 */
int cas_store_open_blob(struct cas_store *store, const struct cas_digest *digest,
                        struct cas_blob *ret);

/*
 * Is what stands under the name still the file that was opened before, with nothing of it
 * changed since? By one look; false whenever a real open would have to say, or has to note
 * the time.
 */
bool cas_store_unchanged(const struct cas_store *store, const struct cas_digest *digest,
                         const struct cas_blob *before);

/* Is the open blob still what was published? false once it was truncated or written to. */
bool cas_blob_intact(const struct cas_blob *blob);

enum cas_presence {
        CAS_ABSENT,
        CAS_UNVERIFIED, /* a file of ours without a valid record; size and blocks are its own */
        CAS_VERIFIED,
};

/* What is there, for listings: as open_blob, without keeping it open. A cas_presence, where
 * something that is no file of ours counts as absent; or -errno: it cannot be told now. */
int cas_store_look(const struct cas_store *store, const struct cas_digest *digest,
                   struct cas_blob *ret);

/*
 * Settles what open_blob called -EUCLEAN: hashes the file and writes its record
 * if it is right (0), else takes it away (-EBADMSG) so that the digest can be
 * fetched again. What is no regular file of ours is taken away unread. Reads the
 * whole file; -ECANCELED soon after *cancelled becomes true. -ENOENT: nothing there.
 */
int cas_store_revalidate(const struct cas_store *store, const struct cas_digest *digest,
                         const atomic_bool *cancelled);

/*
 * Takes away whatever stands under the digest's name: removed, or where that
 * cannot be (a directory with content) moved into quarantine/.
 */
int cas_store_refuse(const struct cas_store *store, const struct cas_digest *digest);

/* Calls `each` for every name in blobs/sha256 that is a digest and a regular file,
 * in no order, verified or not; stops at the first that returns non-zero and returns it. */
int cas_store_list(const struct cas_store *store, int (*each)(void *arg, const struct cas_digest *),
                   void *arg);

/* The same of an open directory: for cas/inventory.c. */
int cas_store_list_dir(int blobs, int (*each)(void *arg, const struct cas_digest *), void *arg);

/* Where the blob's bytes came from, for people (cas_record_source). */
int cas_store_source(const struct cas_store *store, const struct cas_digest *digest, char *ret,
                     size_t size);

/* For cas/ingest.c and cas/usage.c: the directories, owned by the store. */
int cas_store_blobs_dir(const struct cas_store *store);
int cas_store_ingest_dir(const struct cas_store *store);
int cas_store_pins_dir(const struct cas_store *store);
/* As cas_store_refuse(), for a name in the staging directory. */
int cas_store_clear_staging(const struct cas_store *store, const char *name);

#endif
