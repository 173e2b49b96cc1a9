/*
 * The store: a cache directory of blobs, each named by its own digest.
 *
 *   CACHE/              0700
 *     blobs/sha256/     verified blobs, 0444
 *     ingest/           being written (cas/ingest.h)
 *     pins/             digests that are never evicted
 *     quarantine/       what failed a re-hash (cas/quarantine.h), and what stood where a blob
 *                       belongs and could not be removed
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
#include "cas/scrub.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

struct cas_index;
struct cas_room;
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
 * becomes now once a minute at most, as far as the disk lets it (cas/index.h).
 */
int cas_store_open_blob(struct cas_store *store, const struct cas_digest *digest,
                        struct cas_blob *ret);

/*
 * Is what stands under the name still the file that was opened before, with nothing of it
 * changed since? By one look; false whenever a real open would have to say, or has to note
 * the time.
 */
bool cas_store_unchanged(struct cas_store *store, const struct cas_digest *digest,
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

/* What an open trusts of a blob with a valid record. */
enum cas_verify {
        CAS_VERIFY_METADATA, /* the record */
        CAS_VERIFY_BOOT,     /* … and that its bytes were hashed since the machine booted */
        CAS_VERIFY_ALWAYS,   /* nothing: they are to be hashed now */
};

/* Is the open blob to be hashed before it is served? */
bool cas_store_wants_hash(const struct cas_store *store, enum cas_verify verify,
                          const struct cas_blob *blob);

/* When the blob's bytes were hashed last, unix seconds; -ENOENT where it has no valid record. */
int cas_store_verified_at(const struct cas_store *store, const struct cas_digest *digest,
                          int64_t *ret);

/*
 * Settles what open_blob called -EUCLEAN, or what is to be hashed: notes that the file is
 * right (0), else takes it away (-EBADMSG) so that the digest can be fetched again; into
 * quarantine where it is a file of ours. What is none is taken away unread. Reads the whole
 * file; -ECANCELED soon after *cancelled becomes true. -ENOENT: nothing there.
 * *ret says what was found.
 */
int cas_store_revalidate(const struct cas_store *store, const struct cas_digest *digest,
                         const atomic_bool *cancelled, struct cas_verdict *ret);

/* Where the store's blobs can be hashed. */
struct cas_scrub cas_store_scrub(const struct cas_store *store);

/* cas_scrub_blob() of a store that is in use: what it takes away is no more counted. */
int cas_store_scrub_blob(const struct cas_store *store, const struct cas_scrub *scrub,
                         const struct cas_digest *digest, struct cas_verdict *ret);

/*
 * Takes away whatever stands under the digest's name: removed, or where that
 * cannot be (a directory with content) moved into quarantine/.
 */
int cas_store_refuse(const struct cas_store *store, const struct cas_digest *digest);

/* Before something is written: directories of the cache that somebody has removed since are made
 * anew (cas/layout.h). */
int cas_store_mend(const struct cas_store *store);

/* Calls `each` for every name in blobs/sha256 that is a digest and a regular file,
 * in no order, verified or not; stops at the first that returns non-zero and returns it. */
int cas_store_list(const struct cas_store *store, int (*each)(void *arg, const struct cas_digest *),
                   void *arg);

/* For cas/scrub.c: opens what stands under the name if it is a regular file of our user, else
 * -EUCLEAN. Never blocks, follows nothing. */
int cas_store_open_file(int blobs, const char *hex, struct stat *ret_st);

/* The same of an open directory: for cas/inventory.c and cas/scrub.c. */
int cas_store_list_dir(int blobs, int (*each)(void *arg, const struct cas_digest *), void *arg);

/* Where the blob's bytes came from, for people (cas_record_source). */
int cas_store_source(const struct cas_store *store, const struct cas_digest *digest, char *ret,
                     size_t size);

/* For cas/ingest.c and cas/usage.c: the directories, owned by the store. */
int cas_store_blobs_dir(const struct cas_store *store);
int cas_store_ingest_dir(const struct cas_store *store);
int cas_store_pins_dir(const struct cas_store *store);
int cas_store_quarantine_dir(const struct cas_store *store);

/* For cas/: which blobs there are, and how much room there is for more. */
struct cas_index *cas_store_index(const struct cas_store *store);
struct cas_room *cas_store_room(struct cas_store *store);
const struct cas_room *cas_store_room_of(const struct cas_store *store);

/*
 * Fills the index (cas/index.h), or brings it up to date. Somebody has to, in a thread of his
 * own: he says so before (keeper), and until the first scan has ended who needs room waits for
 * it. 0 or -errno.
 */
int cas_store_scan(struct cas_store *store, const atomic_bool *cancelled);
void cas_store_set_keeper(struct cas_store *store, bool has_one);
bool cas_store_has_keeper(const struct cas_store *store);
/* As cas_store_refuse(), for a name in the staging directory. */
int cas_store_clear_staging(const struct cas_store *store, const char *name);

#endif
