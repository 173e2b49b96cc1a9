/*
 * One flight from the inside: everything between "not in the cache" and "published,
 * or this is why not". Runs on a thread of the flights and waits as it likes; may be
 * interrupted to make room for another one, and go on later on any thread.
 */
#ifndef FETCH_ATTEMPT_H
#define FETCH_ATTEMPT_H

#include "fetch/fetch.h"
#include "fetch/health.h"
#include "fetch/plan.h"

#define FETCH_DROPPED "cancelled by an operator"

struct fetch_attempt {
        const struct fetch_config *config;
        struct http_loop *loop;
        struct cas_slots *slots;
        struct fetch_health *health;
        struct cas_digest digest;
        int64_t started_ms;

        /* The result. */
        struct fetch_cause cause;
        uint64_t size; /* of the blob, where cause.kind is FETCH_OK */

        /* Kept on the way. */
        struct fetch_window window; /* where wishes are told (fetch_window_wish) */
        struct fetch_plan plan;
        struct cas_ingest *ingest;
        uint64_t declared;                         /* bytes, by a catalog, or CAS_SIZE_UNKNOWN */
        const struct fetch_candidate *contributor; /* whose bytes are there; NULL: nobody's */
        bool joined;                               /* … and not only his, of one body */
        struct cas_verdict verdict; /* on what was in the cache, where it was hashed */
        bool begun;
        bool gave_way;     /* for a full disk, which is done once */
        uint64_t furthest; /* byte that was ever reached: only beyond it there is progress */
        uint64_t received; /* bytes, from all sources */
        uint64_t taken_up; /* bytes that a former flight had left */
        /* Read from any thread. */
        atomic_bool cancelled; /* beside FETCH_STOP, for what does not look at the window */
        atomic_bool dropped;   /* … and by an operator: nothing of it is to be kept */
        atomic_uint sources;   /* tried */
        atomic_uint tries;
        _Atomic uint64_t uncounted;                  /* bytes that nobody wants counted */
        _Atomic uint64_t size_told;                  /* bytes, or CAS_SIZE_UNKNOWN */
        const struct fetch_candidate *_Atomic reads; /* the source of the last try, or NULL */
};

/* The caller has filled in what is above "The result". */
void fetch_attempt_init(struct fetch_attempt *attempt);

/* false: it was asked to yield, and is to be run again. */
bool fetch_attempt_run(struct fetch_attempt *attempt);

void fetch_attempt_destroy(struct fetch_attempt *attempt);

/* Ends it soon; with `dropped`, by an operator and without a trace. From any thread. */
void fetch_attempt_cancel(struct fetch_attempt *attempt, bool dropped);

/* Fills in what there is to see of it. From any thread. */
void fetch_attempt_view(struct fetch_attempt *attempt, struct fetch_view *ret);

/* attempt_tell.c, for attempt.c. */
void fetch_attempt_tell(const struct fetch_attempt *attempt, enum fetch_event event,
                        const struct fetch_cause *cause);
void fetch_attempt_note_health(struct fetch_attempt *attempt,
                               const struct fetch_candidate *candidate,
                               const struct fetch_cause *cause);

#endif
