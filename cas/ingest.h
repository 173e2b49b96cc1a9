/*
 * One blob being written into the store: the only way a byte gets a name. Bytes come in
 * slots (cas/slots.h), are counted against the bound and the declared size before they
 * are used, and hashed while they are written; nothing is in blobs/ until commit returns 0.
 *
 *   begin -> recover -> (expect? write*)* -> commit -> free
 *                       restart: from nothing again    (free before commit discards,
 *                                                       keep leaves it for the next begin)
 *
 * The staging file is ingest/<64 hex>.part, so a digest has at most one ingest at a time.
 * What a former one left there is taken up again after it was hashed anew; file and hash
 * are only ever reset together.
 *
 * Errors: -errno; the first one is sticky until restart.
 *   -EFBIG    more bytes than the bound allows
 *   -EBADMSG  more or fewer bytes than declared, or another digest
 *   else      the cache's disk: -ENOSPC, -EDQUOT, -EROFS, -EIO, -EMFILE, …; never the
 *             two above, which a disk may have too (they become -EIO)
 * Threads: one owner at a time, and the writer's of its own. Does not log.
 */
#ifndef CAS_INGEST_H
#define CAS_INGEST_H

#include "cas/slots.h"
#include "cas/store.h"

#define CAS_SIZE_UNKNOWN UINT64_MAX

struct cas_ingest;

/*
 * `bound`: the most bytes accepted. `declared`: the size a catalog promises, or
 * CAS_SIZE_UNKNOWN; -EFBIG at once where it is over the bound, and room for it is
 * reserved (-ENOSPC, -EDQUOT), other blobs being evicted for it (cas/room.h).
 */
int cas_ingest_begin(struct cas_store *store, const struct cas_digest *digest, uint64_t bound,
                     uint64_t declared, struct cas_ingest **ret);

/*
 * Hashes what a former ingest left. Whole slots then count as written; the bytes after
 * them end up in `slot`, which the caller goes on filling: slot->filled says how many.
 * Nothing left, or of no use: both are 0. -ECANCELED soon after *cancelled becomes true;
 * then only free may follow, and the file stays as it was.
 */
int cas_ingest_recover(struct cas_ingest *ingest, struct cas_slot *slot,
                       const atomic_bool *cancelled);

/*
 * The origin says that there are `size` bytes: refused at once where that cannot be
 * right (-EFBIG, -EBADMSG), else room for them is reserved (-ENOSPC, -EDQUOT). What is
 * refused here is not sticky: another origin may say better.
 */
int cas_ingest_expect(struct cas_ingest *ingest, uint64_t size);

/* The next slot, which the ingest takes over in every case. All but the last one are full. */
int cas_ingest_write(struct cas_ingest *ingest, struct cas_slot *slot);

/* Bytes accepted so far. */
uint64_t cas_ingest_offset(const struct cas_ingest *ingest);

/* From nothing: file, hash and error. Waits for the writer. 0 or the disk's -errno. */
int cas_ingest_restart(struct cas_ingest *ingest);

/*
 * The disk was full in the middle (`error`): makes room, for a restart. 0, or `error` where
 * there is none to be made.
 */
int cas_ingest_give_way(struct cas_ingest *ingest, int error);

/*
 * Verifies, makes durable and publishes. `source` is kept beside the blob for
 * people (no secrets; may be NULL). 0 also where the same blob is already there.
 */
int cas_ingest_commit(struct cas_ingest *ingest, const char *source);

/*
 * Leaves the staging file, with what is in `slot` (or NULL) at its end, for a later begin.
 * Best effort: a file that holds nothing, or cannot be written, goes. Takes the slot over.
 */
void cas_ingest_keep(struct cas_ingest *ingest, struct cas_slot *slot);

/* Accepts NULL. Removes the staging file unless it was published or kept. */
void cas_ingest_free(struct cas_ingest *ingest);

#endif
