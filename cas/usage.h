/*
 * What the cache takes of its disk, by looking at every file of it: time that grows with
 * the number of blobs, so not before anybody who waits. Knows nothing of who asks.
 */
#ifndef CAS_USAGE_H
#define CAS_USAGE_H

#include "cas/store.h"

struct cas_usage {
        uint64_t blobs;
        uint64_t bytes; /* on the disk: blobs and staging */
        uint64_t pins;
};

/* 0 or -errno; -ECANCELED soon after *cancelled becomes true. */
int cas_usage_count(const struct cas_store *store, const atomic_bool *cancelled,
                    struct cas_usage *ret);

#endif
