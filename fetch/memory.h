/*
 * What was learnt lately about digests: a size, or why it could not be had.
 * Bounded: the oldest note makes room for a new one. Expired notes count no more,
 * but their words can still be read until they are forgotten. Not locked: the
 * owner's lock guards it.
 */
#ifndef FETCH_MEMORY_H
#define FETCH_MEMORY_H

#include "cas/map.h"
#include "fetch/cause.h"

struct fetch_note {
        struct cas_map_entry entry;
        struct fetch_note *older;
        struct fetch_note *newer;
        int64_t expires_ms;        /* monotonic */
        uint64_t size;             /* where cause is NULL */
        struct fetch_cause *cause; /* or NULL */
};

struct fetch_memory {
        struct cas_map map;
        struct fetch_note *oldest;
        struct fetch_note *newest;
        size_t most;
};

/* At most `most` notes. 0 or -ENOMEM. */
int fetch_memory_init(struct fetch_memory *memory, size_t most);
void fetch_memory_destroy(struct fetch_memory *memory);

/* The note that has not expired, or NULL. Valid until the next change. */
const struct fetch_note *fetch_memory_recall(const struct fetch_memory *memory,
                                             const struct cas_digest *digest, int64_t now_ms);

/* The last note, expired or not, or NULL. */
const struct fetch_note *fetch_memory_last(const struct fetch_memory *memory,
                                           const struct cas_digest *digest);

/* Notes a size, or a cause if not NULL (copied); replaces what was noted. Without memory it
 * notes nothing: then the origin is asked again, no more. */
void fetch_memory_note(struct fetch_memory *memory, const struct cas_digest *digest, uint64_t size,
                       const struct fetch_cause *cause, int64_t expires_ms);

void fetch_memory_forget(struct fetch_memory *memory, const struct cas_digest *digest);

#endif
