/*
 * One blob being written into the store: the only way a byte gets a name. Bytes
 * are counted against the bound and the declared size before they are used, and
 * hashed as they are written; nothing is in blobs/ until commit returns 0.
 *
 *   begin -> expect? -> write* -> commit -> free     (free before commit discards)
 *
 * The staging file is ingest/<64 hex>.part, so a digest has at most one ingest at
 * a time, and a new one begins from nothing: file and hash are reset together.
 *
 * Errors: -errno; the first one is sticky.
 *   -EFBIG    more bytes than the bound allows
 *   -EBADMSG  more or fewer bytes than declared, or another digest
 *   else      the cache's disk: -ENOSPC, -EDQUOT, -EROFS, -EIO, -EMFILE, …; never the
 *             two above, which a disk may have too (they become -EIO)
 * Threads: one owner at a time. Does not log.
 */
#ifndef CAS_INGEST_H
#define CAS_INGEST_H

#include "cas/store.h"

#define CAS_SIZE_UNKNOWN UINT64_MAX

struct cas_ingest;

/*
 * `bound`: the most bytes accepted. `declared`: the size a catalog promises, or
 * CAS_SIZE_UNKNOWN; -EFBIG at once where it is over the bound.
 */
int cas_ingest_begin(struct cas_store *store, const struct cas_digest *digest, uint64_t bound,
                     uint64_t declared, struct cas_ingest **ret);

/*
 * The origin says it will send `size` bytes: refused at once where that cannot be
 * right (-EFBIG, -EBADMSG), else room for them is reserved (-ENOSPC, -EDQUOT).
 */
int cas_ingest_expect(struct cas_ingest *ingest, uint64_t size);

int cas_ingest_write(struct cas_ingest *ingest, const void *bytes, size_t length);

/* Bytes accepted so far. */
uint64_t cas_ingest_offset(const struct cas_ingest *ingest);

/*
 * Verifies, makes durable and publishes. `source` is kept beside the blob for
 * people (no secrets; may be NULL). 0 also where the same blob is already there.
 */
int cas_ingest_commit(struct cas_ingest *ingest, const char *source);

/* Accepts NULL. Removes the staging file unless it was published. */
void cas_ingest_free(struct cas_ingest *ingest);

#endif
