/*
 * The policy of retries and mirrors. Pure: no clock, no chance, no network; the caller
 * brings all three.
 */
#include "fetch/plan.h"

#include <errno.h>
#include <stdlib.h>

int fetch_plan_init(struct fetch_plan *plan, struct fetch_source *sources)
{
        size_t count = 0;

        while (sources[count].url)
                count++;
        plan->candidates = calloc(count + 1, sizeof(*plan->candidates));
        if (!plan->candidates)
                return -ENOMEM;
        plan->count = count;
        for (size_t i = 0; i < count; i++) {
                plan->candidates[i].source = sources[i];
                plan->candidates[i].version.size = CAS_SIZE_UNKNOWN;
        }
        free(sources);
        return 0;
}

void fetch_plan_destroy(struct fetch_plan *plan)
{
        for (size_t i = 0; i < plan->count; i++)
                free(plan->candidates[i].source.url);
        free(plan->candidates);
        *plan = (struct fetch_plan){0};
}

/* Is `one` to be tried rather than `other`? Both can be. */
static bool is_better(const struct fetch_candidate *one, const struct fetch_candidate *other,
                      uint64_t position, int64_t now_ms)
{
        bool one_waits = one->not_before_ms > now_ms;
        bool other_waits = other->not_before_ms > now_ms;

        if (position > 0 && one->needs_zero != other->needs_zero)
                return other->needs_zero;
        if (one_waits != other_waits)
                return other_waits;
        if (one_waits && one->not_before_ms != other->not_before_ms)
                return one->not_before_ms < other->not_before_ms;
        if (one->turn != other->turn && (one->turn > 0 || other->turn > 0))
                return one->turn < other->turn;
        return !one->shunned && other->shunned;
}

struct fetch_candidate *fetch_plan_next(const struct fetch_plan *plan, uint64_t position,
                                        int64_t now_ms, int64_t *ret_at_ms)
{
        struct fetch_candidate *best = NULL;

        for (size_t i = 0; i < plan->count; i++) {
                struct fetch_candidate *candidate = &plan->candidates[i];

                if (candidate->out || (plan->alone && plan->alone != candidate))
                        continue;
                if (!best || is_better(candidate, best, position, now_ms))
                        best = candidate;
        }
        if (best)
                *ret_at_ms = best->not_before_ms;
        return best;
}

/* The next one that is to be read alone. */
static void choose_alone(struct fetch_plan *plan)
{
        plan->alone = NULL;
        for (size_t i = 0; i < plan->count && plan->one_by_one && !plan->alone; i++)
                if (!plan->candidates[i].out)
                        plan->alone = &plan->candidates[i];
}

static void put_out(struct fetch_plan *plan, struct fetch_candidate *candidate)
{
        candidate->out = true;
        choose_alone(plan);
        if (plan->alone)
                plan->alone->needs_zero = true; /* not with the bytes of the one before */
}

/* Full jitter: anything from nothing to the bound, so that those who failed together do not
 * come back together. */
static int64_t backoff_ms(unsigned failures, uint32_t random)
{
        int64_t most = failures > 0 ? FETCH_BACKOFF_MS : FETCH_BACKOFF_MS / 5;

        for (unsigned i = 1; i < failures && most < FETCH_BACKOFF_MOST_MS; i++)
                most *= 2;
        if (most > FETCH_BACKOFF_MOST_MS)
                most = FETCH_BACKOFF_MOST_MS;
        return random % (most + 1);
}

/* Would it be of use to ask the source again, later? */
static bool may_recover(const struct fetch_plan *plan, struct fetch_candidate *candidate,
                        const struct fetch_outcome *outcome)
{
        const struct fetch_cause *cause = &outcome->cause;
        bool brought = candidate->brought;

        if (outcome->cut)
                return candidate->failures <= plan->retries;
        switch (cause->kind) {
        case FETCH_STALLED:
        case FETCH_UNREACHABLE:
        case FETCH_ORIGIN_FAILED:
                return !cause->final && candidate->failures <= plan->retries &&
                       cause->retry_after_ms <= plan->patience_ms;
        case FETCH_DENIED:
                /* A token or a signed URL that expired on the way is had anew by asking anew. */
                candidate->brought = false;
                return brought && candidate->failures <= plan->retries + 1 &&
                       cause->retry_after_ms <= plan->patience_ms;
        default:
                return false;
        }
}

void fetch_plan_note(struct fetch_plan *plan, struct fetch_candidate *candidate,
                     const struct fetch_try *try)
{
        const struct fetch_outcome *outcome = try->outcome;

        candidate->turn = ++plan->turns;
        /* That it cannot go on is only told where it does not hide why it had to. */
        if (!outcome->from_zero || candidate->cause.kind == FETCH_OK)
                candidate->cause = outcome->cause;
        if (outcome->from_zero) {
                candidate->needs_zero = true;
                candidate->not_before_ms = try->now_ms;
                if (candidate->zeros > 0)
                        put_out(plan, candidate);
                return;
        }
        candidate->failures = try->above_floor ? 0 : candidate->failures + 1;
        candidate->brought |= try->gained > 0;
        if (!may_recover(plan, candidate, outcome)) {
                put_out(plan, candidate);
                return;
        }
        candidate->not_before_ms = try->now_ms + backoff_ms(candidate->failures, try->random);
        if (try->now_ms + outcome->cause.retry_after_ms > candidate->not_before_ms)
                candidate->not_before_ms = try->now_ms + outcome->cause.retry_after_ms;
}

void fetch_plan_begin_anew(struct fetch_candidate *candidate)
{
        candidate->zeros++;
        candidate->needs_zero = false;
        candidate->version.size = CAS_SIZE_UNKNOWN;
        candidate->version.etag[0] = '\0';
}

bool fetch_plan_may_begin_anew(const struct fetch_plan *plan,
                               const struct fetch_candidate *candidate)
{
        for (size_t i = 0; i < plan->count && !plan->alone; i++) {
                const struct fetch_candidate *other = &plan->candidates[i];

                if (other != candidate && !other->out && !other->needs_zero)
                        return false;
        }
        return candidate->zeros <= plan->retries;
}

/* A body without a length that was wrong may have been cut: it is worth another try. */
static bool may_have_been_cut(const struct fetch_plan *plan, struct fetch_candidate *last,
                              const struct fetch_try *try)
{
        if (!try->outcome->no_length || last->zeros > 0 || last->failures >= plan->retries)
                return false;
        last->zeros++;
        last->failures++;
        last->not_before_ms = try->now_ms + backoff_ms(last->failures, try->random);
        return true;
}

bool fetch_plan_note_wrong(struct fetch_plan *plan, struct fetch_candidate *last, bool joined,
                           const struct fetch_try *try)
{
        int64_t at_ms;

        last->turn = ++plan->turns;
        for (size_t i = 0; i < plan->count; i++) {
                plan->candidates[i].version.size = CAS_SIZE_UNKNOWN;
                plan->candidates[i].version.etag[0] = '\0';
        }
        if (joined && !plan->one_by_one) {
                plan->one_by_one = true;
                choose_alone(plan);
        } else {
                last->cause = try->outcome->cause;
                if (!may_have_been_cut(plan, last, try))
                        put_out(plan, last);
        }
        if (!plan->alone && plan->one_by_one)
                return false;
        return fetch_plan_next(plan, 0, INT64_MAX, &at_ms);
}

void fetch_plan_verdict(const struct fetch_plan *plan, struct fetch_cause *ret)
{
        if (plan->count == 0)
                fetch_cause_set(ret, FETCH_NOT_FOUND, "no source for it");
        for (size_t i = 0; i < plan->count; i++)
                if (plan->candidates[i].cause.kind != FETCH_OK)
                        fetch_cause_merge(ret, &plan->candidates[i].cause);
}
