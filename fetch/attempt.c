/*
 * Design section 4, steps 5 to 8, in order: what is already there, then as many tries of
 * as many sources as the plan has into one ingest, commit, and the verdict when no source
 * was right.
 */
#include "fetch/attempt.h"

#include "cas/room.h"
#include "fetch/clock.h"
#include "fetch/url.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static void set_cancelled(struct fetch_attempt *attempt)
{
        fetch_cause_set(&attempt->cause, FETCH_CANCELLED, "%s",
                        atomic_load(&attempt->dropped) ? FETCH_DROPPED : "stopping");
}

/* -EUCLEAN also of a blob that is only to be hashed before it is served. */
static int open_cached(const struct fetch_attempt *attempt, struct cas_blob *ret)
{
        const struct fetch_config *config = attempt->config;
        int r = cas_store_open_blob(config->store, &attempt->digest, ret);

        if (r == 0 && cas_store_wants_hash(config->store, config->verify, ret)) {
                close(ret->fd);
                return -EUCLEAN;
        }
        return r;
}

/*
 * What stands under the digest's name already: true when that settles the flight.
 * What has no record, or is to be hashed anew, is hashed; what is wrong is taken away here,
 * and then the digest is fetched as if nothing had been there.
 */
static bool settle_cached(struct fetch_attempt *attempt)
{
        const struct fetch_config *config = attempt->config;
        struct cas_blob blob;
        int r = open_cached(attempt, &blob);
        bool revalidated = false;

        if (r == -EUCLEAN) {
                r = cas_store_revalidate(config->store, &attempt->digest, &attempt->cancelled,
                                         &attempt->verdict);
                revalidated = r == 0;
                if (r == 0)
                        r = cas_store_open_blob(config->store, &attempt->digest, &blob);
        }
        if (r == -EBADMSG) {
                struct fetch_cause refused = {0};

                fetch_cause_set_verdict(&refused, &attempt->verdict);
                fetch_attempt_tell(attempt, FETCH_EVENT_REFUSED, &refused);
                return false;
        }
        if (r == -ENOENT)
                return false;
        if (r == -ECANCELED) {
                set_cancelled(attempt);
        } else if (r < 0) {
                fetch_cause_set_disk(&attempt->cause, -r, "the cached blob");
        } else {
                attempt->size = blob.size;
                close(blob.fd);
                if (revalidated)
                        fetch_attempt_tell(attempt, FETCH_EVENT_REVALIDATED, &attempt->cause);
        }
        return true;
}

/* Where the bytes of the candidate's server are counted. */
static _Atomic uint64_t *counter_of(struct fetch_attempt *attempt,
                                    const struct fetch_candidate *candidate)
{
        const struct fetch_config *config = attempt->config;
        char server[FETCH_SERVER_MAX];

        if (!candidate || !config->counter)
                return &attempt->uncounted;
        fetch_url_server(candidate->source.url, server, sizeof(server));
        return config->counter(config->counter_arg, server);
}

static struct fetch_job job_for(struct fetch_attempt *attempt, struct fetch_candidate *candidate)
{
        return (struct fetch_job){
            .ingest = attempt->ingest,
            .window = &attempt->window,
            .loop = attempt->loop,
            .source = candidate ? &candidate->source : NULL,
            .version = candidate ? &candidate->version : NULL,
            .bound = attempt->config->bound,
            .declared = attempt->declared,
            .size_told = &attempt->size_told,
            .brought = counter_of(attempt, candidate),
            .connections = attempt->plan.alone ? 1 : attempt->config->connections,
            .may_begin_anew = candidate && fetch_plan_may_begin_anew(&attempt->plan, candidate),
        };
}

/* Everything from zero; false: the disk failed, and that is the result. */
static bool begin_anew(struct fetch_attempt *attempt)
{
        int r = cas_ingest_restart(attempt->ingest);

        fetch_window_reset(&attempt->window, 0, NULL);
        attempt->contributor = NULL;
        attempt->joined = false;
        if (r < 0)
                fetch_cause_set_disk(&attempt->cause, -r, "the cache's disk");
        return r == 0;
}

/* Takes up what a former flight has left. */
static int recover(struct fetch_attempt *attempt)
{
        struct cas_slot *slot = cas_slot_take(&attempt->window.client);

        if (!slot)
                return -ENOMEM;

        int r = cas_ingest_recover(attempt->ingest, slot, &attempt->cancelled);
        uint64_t offset = cas_ingest_offset(attempt->ingest);

        attempt->taken_up = r == 0 ? offset + slot->filled : 0;
        attempt->joined = attempt->taken_up > 0;
        attempt->furthest = attempt->taken_up;
        fetch_window_reset(&attempt->window, offset, slot);
        return r;
}

static int make_plan(struct fetch_attempt *attempt)
{
        const struct fetch_config *config = attempt->config;
        struct fetch_plan *plan = &attempt->plan;
        struct fetch_source *sources = fetch_sources(&config->origins, &attempt->digest);

        plan->retries = config->retries;
        plan->patience_ms = config->patience_ms;
        if (!sources || fetch_plan_init(plan, sources) < 0) {
                fetch_sources_free(sources);
                return -ENOMEM;
        }
        for (size_t i = 0; i < plan->count; i++) {
                char server[FETCH_SERVER_MAX];

                fetch_url_server(plan->candidates[i].source.url, server, sizeof(server));
                plan->candidates[i].shunned =
                    fetch_health_is_bad(attempt->health, server, attempt->started_ms);
        }
        return 0;
}

/* false: that is the result. */
static bool begin(struct fetch_attempt *attempt)
{
        const struct fetch_config *config = attempt->config;
        struct fetch_job job;
        int r = make_plan(attempt);

        attempt->begun = true;
        attempt->declared = fetch_catalogs_size(config->origins.catalogs, &attempt->digest);
        atomic_store(&attempt->size_told, attempt->declared);
        if (r == 0 && attempt->plan.count == 0) {
                /* What a flight with sources has left here stays for one that has some again. */
                fetch_plan_verdict(&attempt->plan, &attempt->cause);
                return false;
        }
        if (r == 0)
                r = cas_ingest_begin(config->store, &attempt->digest, config->bound,
                                     attempt->declared, &attempt->ingest);
        if (r == 0)
                r = recover(attempt);
        if (r == 0)
                return true;
        job = job_for(attempt, NULL);
        if (r == -ECANCELED)
                set_cancelled(attempt);
        else
                fetch_source_refused(&job, r, &attempt->cause);
        attempt->cause.claimed = false;
        return false;
}

/* All bytes are there: verify and publish them. */
static void commit(struct fetch_attempt *attempt, struct fetch_cause *ret)
{
        const struct http_config *http = &attempt->config->http;
        uint64_t size = cas_ingest_offset(attempt->ingest);
        int64_t began_us = fetch_now_us();
        int r = cas_ingest_commit(attempt->ingest, ret->source);

        if (r == 0 && http->phase)
                http->phase(http->phase_arg, FETCH_PHASE_PUBLISH, fetch_now_us() - began_us);

        attempt->size = size;
        if (r == -EBADMSG && attempt->declared != CAS_SIZE_UNKNOWN && size != attempt->declared)
                fetch_cause_set(ret, FETCH_WRONG_BYTES,
                                "%" PRIu64 " bytes, but the catalog says %" PRIu64, size,
                                attempt->declared);
        else if (r == -EBADMSG)
                fetch_cause_set(ret, FETCH_WRONG_BYTES,
                                "the %" PRIu64 " bytes have another SHA-256", size);
        else if (r < 0)
                fetch_cause_set_disk(ret, -r, "publishing");
}

static void read_source(struct fetch_attempt *attempt, struct fetch_candidate *candidate,
                        struct fetch_outcome *ret)
{
        struct fetch_job job = job_for(attempt, candidate);

        *ret = (struct fetch_outcome){0};
        if (candidate->source.why) {
                fetch_cause_set(&ret->cause, FETCH_ORIGIN_FAILED, "%s", candidate->source.why);
                ret->cause.final = true;
        } else if (fetch_url_scheme(candidate->source.url) == FETCH_SCHEME_FILE) {
                fetch_file_source(&job, ret);
        } else {
                fetch_http_source_as(&job, &attempt->cancelled, ret);
        }
        fetch_url_redact(candidate->source.url, ret->cause.source, sizeof(ret->cause.source));
}

static uint64_t position_of(struct fetch_attempt *attempt)
{
        struct fetch_job job = job_for(attempt, NULL);

        return fetch_source_position(&job);
}

/* Is it the server's doing that little or nothing came? */
static bool is_servers(const struct fetch_outcome *outcome)
{
        return !outcome->from_zero &&
               (outcome->cause.kind == FETCH_STALLED || outcome->cause.kind == FETCH_UNREACHABLE ||
                outcome->cause.kind == FETCH_ORIGIN_FAILED);
}

static void end_try(struct fetch_try *try)
{
        try->now_ms = fetch_now_ms();
        if (getrandom(&try->random, sizeof(try->random), GRND_NONBLOCK) < 0)
                try->random = (uint32_t)try->now_ms;
}

/* One try of one source. */
static void try_source(struct fetch_attempt *attempt, struct fetch_candidate *candidate,
                       struct fetch_outcome *ret)
{
        uint64_t before = position_of(attempt);
        int64_t began_ms = fetch_now_ms();
        struct fetch_try try = {.outcome = ret};

        atomic_store(&attempt->reads, candidate);
        atomic_fetch_add(&attempt->tries, 1);
        if (candidate->turn == 0)
                atomic_fetch_add(&attempt->sources, 1);
        read_source(attempt, candidate, ret);

        end_try(&try);
        if (ret->anew) {
                candidate->zeros++;
                attempt->contributor = NULL;
                attempt->joined = false;
                before = 0;
        }

        uint64_t position = position_of(attempt);

        attempt->received += position - before;
        try.gained = position > attempt->furthest ? position - attempt->furthest : 0;
        attempt->furthest += try.gained;
        if (position > before) {
                attempt->joined |=
                    ret->joined || (attempt->contributor && attempt->contributor != candidate);
                attempt->contributor = candidate;
        }
        if (ret->cause.kind == FETCH_OK || !fetch_cause_is_sources(&ret->cause))
                return;

        uint64_t passed_ms = (uint64_t)(try.now_ms - began_ms);

        try.above_floor = try.gained * 1000 >= (uint64_t)attempt->config->http.min_rate *
                                                   (passed_ms > 1000 ? passed_ms : 1000);
        if (is_servers(ret) && !try.above_floor)
                fetch_attempt_note_health(attempt, candidate, &ret->cause);
        fetch_plan_note(&attempt->plan, candidate, &try);
}

/* Was it the disk that was full, and is there room now? Once in a flight. */
static bool gave_way(struct fetch_attempt *attempt, const struct fetch_cause *cause)
{
        bool is_full =
            cause->kind == FETCH_DISK && (cause->error == ENOSPC || cause->error == EDQUOT);

        if (!is_full || attempt->gave_way)
                return false;
        attempt->gave_way = true;
        return cas_ingest_give_way(attempt->ingest, -cause->error) == 0;
}

enum step {
        STEP_ON,
        STEP_DONE, /* attempt->cause is the result */
        STEP_YIELD,
};

/* After a try that brought the end of the body. */
static enum step settle(struct fetch_attempt *attempt, struct fetch_candidate *candidate,
                        struct fetch_outcome *outcome)
{
        struct fetch_try try = {.outcome = outcome};

        commit(attempt, &outcome->cause);
        if (outcome->cause.kind == FETCH_OK && candidate)
                fetch_attempt_note_health(attempt, candidate, &outcome->cause);
        if (gave_way(attempt, &outcome->cause))
                return begin_anew(attempt) ? STEP_ON : STEP_DONE;
        if (outcome->cause.kind != FETCH_WRONG_BYTES) {
                attempt->cause = outcome->cause;
                return STEP_DONE;
        }
        end_try(&try);
        if (candidate && !fetch_plan_note_wrong(&attempt->plan, candidate, attempt->joined, &try)) {
                fetch_plan_verdict(&attempt->plan, &attempt->cause);
                return STEP_DONE;
        }
        attempt->furthest = 0; /* how far wrong bytes went is no measure */
        return begin_anew(attempt) ? STEP_ON : STEP_DONE;
}

/* After a try that did not. */
static enum step go_on(struct fetch_attempt *attempt, const struct fetch_outcome *end)
{
        const struct fetch_cause *outcome = &end->cause;
        bool is_verdict =
            !end->cut && (outcome->kind == FETCH_WRONG_BYTES || outcome->kind == FETCH_TOO_BIG);

        if (outcome->kind == FETCH_CANCELLED) {
                if (fetch_window_sleep(&attempt->window, 0) == FETCH_YIELD)
                        return STEP_YIELD;
                attempt->cause = *outcome;
                set_cancelled(attempt);
                return STEP_DONE;
        }
        if (!fetch_cause_is_sources(outcome)) {
                if (gave_way(attempt, outcome))
                        return begin_anew(attempt) ? STEP_ON : STEP_DONE;
                attempt->cause = *outcome;
                return STEP_DONE;
        }
        /* What came from a source that is known to be wrong is of no use to the next one. */
        if ((is_verdict || outcome->claimed) && position_of(attempt) > 0 && !begin_anew(attempt))
                return STEP_DONE;
        return STEP_ON;
}

/* Waits for the candidate's turn. */
static enum step wait_for(struct fetch_attempt *attempt, int64_t at_ms)
{
        switch (fetch_window_sleep(&attempt->window, at_ms)) {
        case FETCH_GO_ON:
                return STEP_ON;
        case FETCH_YIELD:
                return STEP_YIELD;
        case FETCH_STOP:
                break;
        }
        set_cancelled(attempt);
        return STEP_DONE;
}

static enum step step(struct fetch_attempt *attempt)
{
        uint64_t position = position_of(attempt);
        struct fetch_outcome outcome = {0};
        struct fetch_job job = job_for(attempt, NULL);
        int64_t at_ms = 0;

        /* A former flight had left all of it. */
        if (position > 0 && position == attempt->declared) {
                int r = fetch_source_feed(&job, true);

                if (r == 0)
                        return settle(attempt, NULL, &outcome);
                fetch_cause_set_disk(&attempt->cause, -r, "the cache's disk");
                return STEP_DONE;
        }

        struct fetch_candidate *candidate =
            fetch_plan_next(&attempt->plan, position, fetch_now_ms(), &at_ms);

        if (!candidate) {
                fetch_plan_verdict(&attempt->plan, &attempt->cause);
                return STEP_DONE;
        }

        enum step wait = wait_for(attempt, at_ms);

        if (wait != STEP_ON)
                return wait;
        if (attempt->plan.alone && attempt->contributor != candidate)
                attempt->furthest = 0;
        if (candidate->needs_zero && position > 0 && !begin_anew(attempt))
                return STEP_DONE;
        if (candidate->needs_zero)
                fetch_plan_begin_anew(candidate);
        try_source(attempt, candidate, &outcome);
        return outcome.cause.kind == FETCH_OK ? settle(attempt, candidate, &outcome)
                                              : go_on(attempt, &outcome);
}

/* Is what is there worth keeping for the next flight of this digest? */
static bool is_to_be_kept(const struct fetch_cause *cause)
{
        return cause->kind == FETCH_DENIED || cause->kind == FETCH_STALLED ||
               cause->kind == FETCH_UNREACHABLE || cause->kind == FETCH_ORIGIN_FAILED ||
               cause->kind == FETCH_CANCELLED;
}

static void keep(struct fetch_attempt *attempt)
{
        struct fetch_window *window = &attempt->window;
        struct cas_slot *part;

        pthread_mutex_lock(&window->lock);
        part = fetch_window_take_part(window);
        pthread_mutex_unlock(&window->lock);
        cas_ingest_keep(attempt->ingest, part);
}

void fetch_attempt_init(struct fetch_attempt *attempt)
{
        atomic_init(&attempt->size_told, CAS_SIZE_UNKNOWN);
        fetch_window_init(&attempt->window, attempt->slots);
}

void fetch_attempt_cancel(struct fetch_attempt *attempt, bool dropped)
{
        if (dropped)
                atomic_store(&attempt->dropped, true);
        atomic_store(&attempt->cancelled, true);
        fetch_window_wish(&attempt->window, FETCH_STOP);
}

void fetch_attempt_destroy(struct fetch_attempt *attempt)
{
        cas_ingest_free(attempt->ingest);
        fetch_window_destroy(&attempt->window);
        fetch_plan_destroy(&attempt->plan);
}

/* That there is no room says little to who sees free bytes on the disk. */
static void explain_full_disk(struct fetch_attempt *attempt)
{
        struct fetch_cause *cause = &attempt->cause;
        uint64_t told = atomic_load(&attempt->size_told);
        char why[CAS_WHY];

        if (cause->kind != FETCH_DISK || cause->error != ENOSPC)
                return;
        cas_room_words(attempt->config->store, told != CAS_SIZE_UNKNOWN ? told : 1, why);
        if (*why)
                fetch_cause_set(cause, FETCH_DISK, "no room: %s", why);
        cause->error = ENOSPC;
}

bool fetch_attempt_run(struct fetch_attempt *attempt)
{
        enum step next = STEP_ON;

        if (!attempt->begun && wait_for(attempt, 0) == STEP_DONE)
                return true; /* ended before anything was done */
        if (!attempt->begun && settle_cached(attempt)) {
                if (attempt->cause.kind != FETCH_OK)
                        fetch_attempt_tell(attempt, FETCH_EVENT_FAILED, &attempt->cause);
                return true;
        }
        if (!attempt->begun && !begin(attempt))
                next = STEP_DONE;
        while (next == STEP_ON)
                next = step(attempt);
        if (next == STEP_YIELD) {
                /* Who does not run holds no slots: less than one of bytes comes again. */
                fetch_window_reset(&attempt->window, cas_ingest_offset(attempt->ingest), NULL);
                return false;
        }
        if (attempt->ingest && is_to_be_kept(&attempt->cause) && !atomic_load(&attempt->dropped))
                keep(attempt);
        explain_full_disk(attempt);
        fetch_attempt_tell(
            attempt, attempt->cause.kind == FETCH_OK ? FETCH_EVENT_FETCHED : FETCH_EVENT_FAILED,
            &attempt->cause);
        return true;
}
