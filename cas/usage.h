/*
 * What the cache takes of its disk: blobs by the index, the rest by looking at its files:
 * time that grows with the number of pins, so not before anybody who waits. Knows nothing of
 * who asks.
 */
#ifndef CAS_USAGE_H
#define CAS_USAGE_H

#include "cas/store.h"

struct cas_usage {
        uint64_t blobs;
        uint64_t bytes; /* on the disk: blobs, staging and quarantine */
        uint64_t pins;
};

/* 0 or -errno; -ECANCELED soon after *cancelled becomes true. */
int cas_usage_count(struct cas_store *store, const atomic_bool *cancelled, struct cas_usage *ret);

#endif
