/*
 * A scenario: something the store does, with what may be expected of it when a system call
 * fails in the middle.
 */
#ifndef TESTS_TORTURE_TORTURE_H
#define TESTS_TORTURE_TORTURE_H

#include "cas/store.h"

#include "cas/slots.h"

#include <stdbool.h>

#define TORTURE_SIZE   (CAS_SLOT_BYTES + 1000) /* bytes of the asset of most scenarios */
#define TORTURE_BLOCKS (2u * 4096)             /* bytes: what it may take of the disk beside */
#define TORTURE_BLOBS  6                       /* others, in scenarios of eviction */
#define TORTURE_KILLED 65536u                  /* bytes of each */

/* Where it is played: a new cache for each fault. */
struct stage {
        struct cas_store *store; /* NULL: closed again */
        struct cas_slots *pool;
        struct cas_slots_client client;
        struct cas_digest asset;                /* of torture_bytes */
        struct cas_digest blobs[TORTURE_BLOBS]; /* of scenarios of eviction */
        int open;                               /* a blob that somebody has open, or -1 */
};

struct scenario {
        const char *name;
        void (*prepare)(struct stage *stage); /* or NULL */
        int (*act)(struct stage *stage);      /* 0 or -errno; under a fault */
        int (*again)(struct stage *stage);    /* without; NULL: act */
        bool (*right)(struct stage *stage);   /* holds after a 0, and after again */
        bool (*always)(struct stage *stage);  /* holds whatever failed; or NULL */
        int also[3];                          /* errors beside the fault's own */
        bool keeps;                           /* staging may stay */
        bool plants;                          /* wrong bytes lie under a name, without a record */
        bool tries;                           /* best effort: 0 says only that it is over */
        bool no_rename;
};

/* Where the scenarios have their cache: scratch.h keeps that for each file by itself. */
void torture_use(const char *directory);

#define TORTURE_SCENARIOS(X)                                                                       \
        X(download)                                                                                \
        X(of_unknown_size)                                                                         \
        X(by_link)                                                                                 \
        X(over_a_blob)                                                                             \
        X(over_wrong_bytes)                                                                        \
        X(over_a_directory)                                                                        \
        X(over_a_link)                                                                             \
        X(in_removed_directories)                                                                  \
        X(keep)                                                                                    \
        X(resume)                                                                                  \
        X(resume_sealed)                                                                           \
        X(hit)                                                                                     \
        X(hash_again)                                                                              \
        X(settle_right)                                                                            \
        X(settle_wrong)                                                                            \
        X(evict)                                                                                   \
        X(collect)                                                                                 \
        X(pin)                                                                                     \
        X(unpin)                                                                                   \
        X(count)                                                                                   \
        X(first_start)                                                                             \
        X(start)

#define TORTURE_DECLARE(name) extern const struct scenario torture_##name;
TORTURE_SCENARIOS(TORTURE_DECLARE)
#undef TORTURE_DECLARE

extern unsigned char torture_bytes[TORTURE_SIZE];

#endif
