/*
 * Which source a flight reads next, and when: the policy of retries and mirrors, without
 * any I/O of its own.
 *
 * All sources are equal, since the digest says what is right. A source that fails is left
 * for the next one at once, which goes on at the byte where it broke; one that was tried
 * before waits first, by exponential back-off with full jitter, or as long as it asked
 * for. A try that brought bytes above the rate floor does not count. Who cannot go on in
 * the middle is asked last, and then from zero, once.
 *
 * When all bytes are there and wrong, and not all of one source's own body, nobody is to
 * blame yet: then one source after the other is read alone, from zero.
 *
 * Threads: one owner.
 */
#ifndef FETCH_PLAN_H
#define FETCH_PLAN_H

#include "fetch/source.h"

#define FETCH_BACKOFF_MS      500 /* the most before the first retry; twice that before the next */
#define FETCH_BACKOFF_MOST_MS 30000 /* at most, however often */

struct fetch_candidate {
        struct fetch_source source;
        struct fetch_version version;
        struct fetch_cause cause; /* of its last try that failed */
        unsigned failures;        /* in a row that count */
        unsigned zeros;           /* times it was begun from zero because it could not go on */
        uint64_t turn;            /* when it was tried last; 0: never */
        int64_t not_before_ms;    /* monotonic */
        bool brought;             /* bytes, since it was last let off a refusal */
        bool shunned;             /* its server was bad lately: the others first */
        bool needs_zero;
        bool out;
};

struct fetch_plan {
        struct fetch_candidate *candidates;
        size_t count;
        unsigned retries;    /* a source's, beyond the first try */
        int64_t patience_ms; /* a source that wants to be left alone for longer is out */
        uint64_t turns;
        struct fetch_candidate *alone; /* the only one that may be read now, or NULL */
        bool one_by_one;               /* each alone, from zero */
};

/* What one try came to. */
struct fetch_try {
        const struct fetch_outcome *outcome;
        uint64_t gained;  /* bytes that had never been there before */
        bool above_floor; /* gained at a rate above the floor */
        int64_t now_ms;
        uint32_t random; /* for the jitter */
};

/* `sources` as of fetch_sources(); taken over. 0 or -ENOMEM. */
int fetch_plan_init(struct fetch_plan *plan, struct fetch_source *sources);
void fetch_plan_destroy(struct fetch_plan *plan); /* accepts zeroes */

/*
 * The candidate for the byte at `position`, and in *ret_at_ms when; NULL where none is left.
 * Of one that needs_zero the flight has to begin anew.
 */
struct fetch_candidate *fetch_plan_next(const struct fetch_plan *plan, uint64_t position,
                                        int64_t now_ms, int64_t *ret_at_ms);

/* The candidate was tried and failed. */
void fetch_plan_note(struct fetch_plan *plan, struct fetch_candidate *candidate,
                     const struct fetch_try *try);

/* The flight begins anew for the candidate, which could not go on in the middle; may it, or
 * is there somebody else who may be able to go on? */
void fetch_plan_begin_anew(struct fetch_candidate *candidate);
bool fetch_plan_may_begin_anew(const struct fetch_plan *plan,
                               const struct fetch_candidate *candidate);

/*
 * All bytes are there, and wrong, as the outcome's cause says. `joined`: they were not one
 * source's own. true: somebody is left, to be read from zero.
 */
bool fetch_plan_note_wrong(struct fetch_plan *plan, struct fetch_candidate *last, bool joined,
                           const struct fetch_try *try);

/* What is to be reported over all sources, with the source that it is about. */
void fetch_plan_verdict(const struct fetch_plan *plan, struct fetch_cause *ret);

#endif
