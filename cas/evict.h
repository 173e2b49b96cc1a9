/*
 * Who goes when there is not enough room (cas/room.h says when): what lies idle in staging and
 * in quarantine, then blobs, the least recently opened first; never one that is pinned, or that
 * anybody has open or mapped.
 *
 * Errors: -ENOSPC, or what kept it from going (-EBUSY: the lock of the pins; -ENOMEM). Threads:
 * one at a time, who holds the room's `evicting`.
 */
#ifndef CAS_EVICT_H
#define CAS_EVICT_H

#include "cas/index.h"
#include "cas/room.h"

/* How much `want` is beyond `have`. */
static inline uint64_t cas_evict_excess(uint64_t want, uint64_t have)
{
        return want > have ? want - have : 0;
}

/* Of the disk: what lies there without being a blob, or being written. */
uint64_t cas_evict_idle_bytes(const struct cas_store *store);

/* Removes of that as much as makes `bytes`. */
void cas_evict_idle(const struct cas_store *store, uint64_t bytes, struct cas_freed *freed);

/* So many bytes, or, where that cannot be, nothing. */
int cas_evict_bytes(struct cas_store *store, uint64_t bytes, struct cas_freed *freed);

/* Where a look at the index has got to. */
struct cas_evict_walk {
        struct cas_index_blob last;
        bool begun;
};

/* One helping of `bytes`, going on where the last one ended. 1: there may be more to go, 0: there
 * is not, or -errno. */
int cas_evict_some(struct cas_store *store, uint64_t bytes, struct cas_evict_walk *walk,
                   struct cas_freed *freed);

#endif
