/*
 * One flight from the inside: everything between "not in the cache" and "published,
 * or this is why not". Runs on a flight's thread and waits as it likes.
 */
#ifndef FETCH_ATTEMPT_H
#define FETCH_ATTEMPT_H

#include "fetch/fetch.h"

struct fetch_attempt {
        const struct fetch_config *config;
        struct http_loop *loop;
        const atomic_bool *cancelled;
        struct cas_digest digest;
        int64_t started_ms;

        /* The result. */
        struct fetch_cause cause;
        uint64_t size; /* of the blob, where cause.kind is FETCH_OK */

        /* Kept on the way. */
        uint64_t received; /* bytes, from all sources */
        unsigned sources;  /* tried */
};

void fetch_attempt_run(struct fetch_attempt *attempt);

#endif
