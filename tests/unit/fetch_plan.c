/*
 * The policy of retries and mirrors, case by case, and then for anything that sources
 * may do: it always ends.
 */
#include "fetch/plan.h"

#include "tests/unit/scratch.h"
#include "tests/unit/slot.h"

#include <errno.h>

TestSuite(fetch_plan, .timeout = 20);

#define RETRIES  3
#define PATIENCE 60000
#define SEEDS    (SLOW_BUILD ? 4000 : 20000)

static struct fetch_plan plan_of(size_t count)
{
        struct fetch_source *sources = calloc(count + 1, sizeof(*sources));
        struct fetch_plan plan = {.retries = RETRIES, .patience_ms = PATIENCE};

        cr_assert_not_null(sources);
        for (size_t i = 0; i < count; i++) {
                char url[64];

                snprintf(url, sizeof(url), "http://source-%zu/", i);
                sources[i].url = strdup(url);
        }
        cr_assert_eq(fetch_plan_init(&plan, sources), 0);
        return plan;
}

/* The number of the next one, or -1; and in *ret_at_ms when. */
static int next_at(const struct fetch_plan *plan, uint64_t position, int64_t now_ms,
                   int64_t *ret_at_ms)
{
        const struct fetch_candidate *next = fetch_plan_next(plan, position, now_ms, ret_at_ms);

        return next ? (int)(next - plan->candidates) : -1;
}

static int next(const struct fetch_plan *plan, uint64_t position, int64_t now_ms)
{
        int64_t at_ms;

        return next_at(plan, position, now_ms, &at_ms);
}

static struct fetch_outcome outcome_of(enum fetch_kind kind)
{
        return (struct fetch_outcome){.cause = {.kind = kind}};
}

static void note(struct fetch_plan *plan, int which, const struct fetch_outcome *outcome,
                 int64_t now_ms)
{
        struct fetch_try try = {.outcome = outcome, .now_ms = now_ms};

        fetch_plan_note(plan, &plan->candidates[which], &try);
}

static void fail(struct fetch_plan *plan, int which, enum fetch_kind kind, int64_t now_ms)
{
        struct fetch_outcome outcome = outcome_of(kind);

        note(plan, which, &outcome, now_ms);
}

/* As above, and brought bytes. */
static void gain(struct fetch_plan *plan, int which, enum fetch_kind kind, bool above_floor)
{
        struct fetch_outcome outcome = outcome_of(kind);
        struct fetch_try try = {.outcome = &outcome, .gained = 1000, .above_floor = above_floor};

        fetch_plan_note(plan, &plan->candidates[which], &try);
}

Test(fetch_plan, no_source_at_all)
{
        struct fetch_plan plan = plan_of(0);
        struct fetch_cause cause = {0};

        cr_expect_eq(next(&plan, 0, 0), -1);
        fetch_plan_verdict(&plan, &cause);
        cr_expect_eq(cause.kind, FETCH_NOT_FOUND);
        fetch_plan_destroy(&plan);
        fetch_plan_destroy(&(struct fetch_plan){0});
}

Test(fetch_plan, sources_in_their_order_and_each_at_once)
{
        struct fetch_plan plan = plan_of(3);
        int64_t at_ms = -1;

        for (int i = 0; i < 3; i++) {
                cr_expect_eq(next_at(&plan, 100, 5000, &at_ms), i);
                cr_expect_leq(at_ms, 5000, "who was not tried yet does not wait");
                fail(&plan, i, FETCH_STALLED, 5000);
        }
        cr_expect_eq(next(&plan, 100, 90000), 0, "around again");
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, who_was_bad_lately_comes_after_the_others)
{
        struct fetch_plan plan = plan_of(3);

        plan.candidates[0].shunned = true;
        cr_expect_eq(next(&plan, 0, 0), 1);
        fail(&plan, 1, FETCH_STALLED, 0);
        cr_expect_eq(next(&plan, 0, 0), 2);
        fail(&plan, 2, FETCH_STALLED, 0);
        cr_expect_eq(next(&plan, 0, 90000), 0, "but before anybody is asked twice");
        fetch_plan_destroy(&plan);

        plan = plan_of(1);
        plan.candidates[0].shunned = true;
        cr_expect_eq(next(&plan, 0, 0), 0, "it is no ban");
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, who_waits_lets_the_others_pass)
{
        struct fetch_plan plan = plan_of(2);
        struct fetch_outcome outcome = outcome_of(FETCH_ORIGIN_FAILED);
        int64_t at_ms;

        outcome.cause.retry_after_ms = 20000;
        note(&plan, 0, &outcome, 1000);
        outcome.cause.retry_after_ms = 5000;
        note(&plan, 1, &outcome, 1000);
        cr_expect_eq(next_at(&plan, 0, 2000, &at_ms), 1, "whose time comes first");
        cr_expect_eq(at_ms, 6000);
        fail(&plan, 1, FETCH_ORIGIN_FAILED, 50000);
        cr_expect_eq(next_at(&plan, 0, 50000, &at_ms), 0, "whose turn is longer ago");
        cr_expect_leq(at_ms, 50000);
        fetch_plan_destroy(&plan);
}

/* How long the source waits after its nth failure in a row. */
static int64_t wait_after(unsigned failures, uint32_t random)
{
        struct fetch_plan plan = plan_of(1);
        struct fetch_outcome outcome = outcome_of(FETCH_STALLED);
        struct fetch_try try = {.outcome = &outcome, .now_ms = 7000, .random = random};
        int64_t at_ms = -1;

        plan.retries = 100;
        for (unsigned i = 0; i < failures; i++)
                fetch_plan_note(&plan, &plan.candidates[0], &try);
        cr_expect_eq(next_at(&plan, 1, 7000, &at_ms), 0);
        fetch_plan_destroy(&plan);
        return at_ms - 7000;
}

Test(fetch_plan, backoff_doubles_up_to_its_bound_with_full_jitter)
{
        int64_t bound = FETCH_BACKOFF_MS;

        for (unsigned failures = 1; failures < 70; failures++) {
                uint32_t random = UINT32_MAX;
                int64_t longest = 0;

                cr_expect_eq(wait_after(failures, 0), 0);
                cr_expect_eq(wait_after(failures, (uint32_t)bound), bound, "%u", failures);
                cr_expect_eq(wait_after(failures, (uint32_t)bound + 1), 0, "%u", failures);
                for (int i = 0; i < 50; i++) {
                        int64_t wait = wait_after(failures, random);

                        cr_expect(wait >= 0 && wait <= bound, "%u", failures);
                        longest = wait > longest ? wait : longest;
                        random = (uint32_t)mixed(random);
                }
                cr_expect_gt(longest, bound / 2, "%u", failures);
                bound = 2 * bound < FETCH_BACKOFF_MOST_MS ? 2 * bound : FETCH_BACKOFF_MOST_MS;
        }
}

Test(fetch_plan, retries_are_counted_for_each_source)
{
        struct fetch_plan plan = plan_of(2);
        int tries[2] = {0, 0};
        int which;

        while ((which = next(&plan, 0, 0)) >= 0 && tries[which] < 100) {
                tries[which]++;
                fail(&plan, which, which ? FETCH_UNREACHABLE : FETCH_STALLED, 0);
        }
        cr_expect_eq(tries[0], RETRIES + 1);
        cr_expect_eq(tries[1], RETRIES + 1);
        fetch_plan_destroy(&plan);

        plan = plan_of(1);
        plan.retries = 0;
        fail(&plan, 0, FETCH_STALLED, 0);
        cr_expect_eq(next(&plan, 0, 0), -1);
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, tries_above_the_floor_do_not_count)
{
        struct fetch_plan plan = plan_of(1);

        for (int i = 0; i < 1000; i++) {
                for (int j = 0; j < RETRIES; j++)
                        fail(&plan, 0, FETCH_STALLED, 0);
                cr_assert_eq(next(&plan, 0, 0), 0);
                gain(&plan, 0, FETCH_STALLED, true);
        }
        for (int i = 0; i <= RETRIES; i++) {
                cr_expect_eq(next(&plan, 0, 0), 0);
                gain(&plan, 0, FETCH_STALLED, false);
        }
        cr_expect_eq(next(&plan, 0, 0), -1, "bytes below the floor count");
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, verdicts_are_not_asked_twice)
{
        static const enum fetch_kind verdicts[] = {FETCH_WRONG_BYTES, FETCH_TOO_BIG, FETCH_DENIED,
                                                   FETCH_NOT_FOUND};

        for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
                struct fetch_plan plan = plan_of(2);

                fail(&plan, 0, verdicts[i], 0);
                cr_expect_eq(next(&plan, 0, 0), 1, "%zu", i);
                fail(&plan, 1, FETCH_STALLED, 0);
                cr_expect_eq(next(&plan, 0, 90000), 1, "%zu", i);
                fetch_plan_destroy(&plan);
        }
}

Test(fetch_plan, final_trouble_is_not_asked_twice)
{
        struct fetch_plan plan = plan_of(1);
        struct fetch_outcome outcome = outcome_of(FETCH_ORIGIN_FAILED);

        outcome.cause.final = true;
        note(&plan, 0, &outcome, 0);
        cr_expect_eq(next(&plan, 0, 0), -1);
        fetch_plan_destroy(&plan);
}

/* Only a source claimed that size; another one may know better. */
Test(fetch_plan, no_room_for_a_claimed_size_leaves_the_source)
{
        struct fetch_plan plan = plan_of(2);
        struct fetch_outcome outcome = outcome_of(FETCH_DISK);

        outcome.cause.claimed = true;
        note(&plan, 0, &outcome, 0);
        cr_expect_eq(next(&plan, 0, 0), 1);
        fail(&plan, 1, FETCH_NOT_FOUND, 0);
        cr_expect_eq(next(&plan, 0, 0), -1);
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, fault_21_retry_after_is_honoured_up_to_the_patience)
{
        struct fetch_plan plan = plan_of(2);
        struct fetch_outcome outcome = outcome_of(FETCH_ORIGIN_FAILED);
        int64_t at_ms;

        outcome.cause.retry_after_ms = PATIENCE;
        note(&plan, 0, &outcome, 1000);
        cr_expect_eq(next(&plan, 0, 1000), 1);
        outcome.cause.retry_after_ms = PATIENCE + 1;
        note(&plan, 1, &outcome, 1000);
        cr_expect_eq(next_at(&plan, 0, 1000, &at_ms), 0);
        cr_expect_eq(at_ms, 1000 + PATIENCE);
        cr_expect_eq(next(&plan, 0, INT64_MAX), 0);
        fail(&plan, 0, FETCH_NOT_FOUND, 90000);
        cr_expect_eq(next(&plan, 0, INT64_MAX), -1, "the other one is out");
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, short_retry_after_does_not_shorten_the_backoff)
{
        struct fetch_plan plan = plan_of(1);
        struct fetch_outcome outcome = outcome_of(FETCH_ORIGIN_FAILED);
        struct fetch_try try = {.outcome = &outcome, .random = FETCH_BACKOFF_MS};
        int64_t at_ms;

        outcome.cause.retry_after_ms = 1;
        fetch_plan_note(&plan, &plan.candidates[0], &try);
        cr_expect_eq(next_at(&plan, 0, 0, &at_ms), 0);
        cr_expect_eq(at_ms, FETCH_BACKOFF_MS);
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, fault_20_denied_on_the_way_is_asked_once_more)
{
        struct fetch_plan plan = plan_of(1);

        gain(&plan, 0, FETCH_STALLED, true);
        fail(&plan, 0, FETCH_DENIED, 0);
        cr_expect_eq(next(&plan, 0, 0), 0, "a URL that has expired is had anew");
        fail(&plan, 0, FETCH_DENIED, 0);
        cr_expect_eq(next(&plan, 0, 0), -1);
        fetch_plan_destroy(&plan);

        plan = plan_of(1);
        gain(&plan, 0, FETCH_DENIED, true);
        cr_expect_eq(next(&plan, 0, 0), 0);
        gain(&plan, 0, FETCH_STALLED, true);
        fail(&plan, 0, FETCH_DENIED, 0);
        cr_expect_eq(next(&plan, 0, 0), 0, "it brought bytes in between");
        fetch_plan_destroy(&plan);
}

static void ask_for_zero(struct fetch_plan *plan, int which)
{
        struct fetch_outcome outcome = {.cause = {.kind = FETCH_ORIGIN_FAILED}, .from_zero = true};

        note(plan, which, &outcome, 0);
}

Test(fetch_plan, who_cannot_go_on_is_asked_last_and_once_from_zero)
{
        struct fetch_plan plan = plan_of(2);

        plan.candidates[0].version.size = 77;
        strcpy(plan.candidates[0].version.etag, "\"x\"");
        ask_for_zero(&plan, 0);
        cr_expect(plan.candidates[0].needs_zero);
        for (int i = 0; i <= RETRIES; i++) {
                cr_expect_eq(next(&plan, 1000, 0), 1, "the bytes that are there are worth more");
                fail(&plan, 1, FETCH_STALLED, 0);
        }
        cr_expect_eq(next(&plan, 1000, 0), 0);
        fetch_plan_begin_anew(&plan.candidates[0]);
        cr_expect_not(plan.candidates[0].needs_zero);
        cr_expect_eq(plan.candidates[0].version.size, CAS_SIZE_UNKNOWN);
        cr_expect_str_empty(plan.candidates[0].version.etag);
        fail(&plan, 0, FETCH_STALLED, 0);
        cr_expect_eq(next(&plan, 500, 0), 0, "it may try to go on with what is its own");
        ask_for_zero(&plan, 0);
        cr_expect_eq(next(&plan, 500, 0), -1, "but begins anew only once");
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, where_nothing_is_there_from_zero_is_as_good)
{
        struct fetch_plan plan = plan_of(2);

        plan.candidates[0].needs_zero = true;
        cr_expect_eq(next(&plan, 0, 0), 0);
        cr_expect_eq(next(&plan, 1, 0), 1);
        fetch_plan_destroy(&plan);
}

static const struct fetch_outcome wrong_body = {
    .cause = {.kind = FETCH_WRONG_BYTES, .text = "wrong"}};
static const struct fetch_try wrong = {.outcome = &wrong_body};

Test(fetch_plan, own_wrong_body_ends_a_source)
{
        struct fetch_plan plan = plan_of(2);
        struct fetch_cause cause = {0};

        cr_expect(fetch_plan_note_wrong(&plan, &plan.candidates[0], false, &wrong));
        cr_expect_eq(next(&plan, 0, 0), 1);
        cr_expect_not(fetch_plan_note_wrong(&plan, &plan.candidates[1], false, &wrong));
        cr_expect_eq(next(&plan, 0, 0), -1);
        fetch_plan_verdict(&plan, &cause);
        cr_expect_eq(cause.kind, FETCH_WRONG_BYTES);
        cr_expect_str_eq(cause.text, "wrong");
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, joined_wrong_bytes_blame_nobody_but_then_one_by_one)
{
        struct fetch_plan plan = plan_of(3);

        fail(&plan, 1, FETCH_NOT_FOUND, 0);
        plan.candidates[0].version.size = 5;
        strcpy(plan.candidates[2].version.etag, "\"x\"");
        cr_expect(fetch_plan_note_wrong(&plan, &plan.candidates[2], true, &wrong));
        cr_expect_eq(plan.candidates[0].version.size, CAS_SIZE_UNKNOWN);
        cr_expect_str_empty(plan.candidates[2].version.etag);

        /* The first one alone, as often as it may be tried, and then the last. */
        for (int i = 0; i <= RETRIES; i++) {
                cr_expect_eq(next(&plan, 0, 0), 0);
                fail(&plan, 0, FETCH_STALLED, 0);
        }
        cr_expect_eq(next(&plan, 0, 0), 2);
        cr_expect_not(fetch_plan_note_wrong(&plan, &plan.candidates[2], false, &wrong));
        cr_expect_eq(next(&plan, 0, 0), -1);
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, one_by_one_each_source_is_blamed_for_its_own)
{
        struct fetch_plan plan = plan_of(2);

        cr_expect(fetch_plan_note_wrong(&plan, &plan.candidates[1], true, &wrong));
        cr_expect_eq(next(&plan, 0, 0), 0);
        cr_expect(fetch_plan_note_wrong(&plan, &plan.candidates[0], false, &wrong));
        cr_expect_eq(next(&plan, 0, 0), 1);
        cr_expect_not(fetch_plan_note_wrong(&plan, &plan.candidates[1], false, &wrong));
        fetch_plan_destroy(&plan);

        /* Of one alone, bytes that do not belong together are its own doing. */
        plan = plan_of(2);
        cr_expect(fetch_plan_note_wrong(&plan, &plan.candidates[1], true, &wrong));
        cr_expect(fetch_plan_note_wrong(&plan, &plan.candidates[0], true, &wrong));
        cr_expect_eq(next(&plan, 0, 0), 1);
        cr_expect_not(fetch_plan_note_wrong(&plan, &plan.candidates[1], true, &wrong));
        fetch_plan_destroy(&plan);
}

/* Design, section 7: of several sources the first of this order is reported. */
Test(fetch_plan, verdict_is_the_first_cause_of_the_order)
{
        static const enum fetch_kind order[] = {
            FETCH_WRONG_BYTES, FETCH_TOO_BIG,       FETCH_DENIED,   FETCH_STALLED,
            FETCH_UNREACHABLE, FETCH_ORIGIN_FAILED, FETCH_NOT_FOUND};
        const size_t count = sizeof(order) / sizeof(order[0]);

        for (size_t i = 0; i < count; i++) {
                for (size_t j = 0; j < count; j++) {
                        struct fetch_plan plan = plan_of(3); /* of which one is never asked */
                        struct fetch_cause cause = {0};

                        fail(&plan, 0, order[i], 0);
                        fail(&plan, 2, order[j], 0);
                        fetch_plan_verdict(&plan, &cause);
                        cr_expect_eq(cause.kind, order[i < j ? i : j], "%zu %zu", i, j);
                        fetch_plan_destroy(&plan);
                }
        }
}

/* A flight's life by chance, as fetch/attempt.c leads it. */
struct life {
        struct fetch_plan plan;
        uint64_t state;
        int64_t now_ms;
        uint64_t position;
        const struct fetch_candidate *contributor;
        bool joined;
        unsigned tries;
        unsigned gains; /* tries that brought bytes above the floor */
};

static void restart(struct life *life)
{
        life->position = 0;
        life->contributor = NULL;
        life->joined = false;
}

/* `fast`: what brings bytes does so above the floor. */
static void live_one_try(struct life *life, struct fetch_candidate *candidate, bool fast)
{
        static const enum fetch_kind kinds[] = {
            FETCH_STALLED, FETCH_UNREACHABLE, FETCH_ORIGIN_FAILED, FETCH_STALLED, FETCH_DENIED,
            FETCH_DENIED,  FETCH_NOT_FOUND,   FETCH_WRONG_BYTES,   FETCH_TOO_BIG, FETCH_STALLED};
        uint64_t dice = chance(&life->state);
        /* Verdicts that end a source are rare, else nothing is ever seen of the rest. */
        struct fetch_outcome outcome = outcome_of(kinds[dice % (dice / 32 % 16 ? 6 : 10)]);
        struct fetch_try try = {.outcome = &outcome, .now_ms = life->now_ms};

        outcome.from_zero = dice / 1024 % 8 == 0;
        outcome.cause.final = dice / 8192 % 64 == 0;
        outcome.cause.retry_after_ms = dice / (1 << 20) % 8 ? 0 : (int64_t)(dice >> 47);
        try.random = (uint32_t)(dice >> 32);
        try.gained = !outcome.from_zero && dice / (1 << 23) % 4 == 0 ? 1 + (dice >> 60) : 0;
        try.above_floor = fast && try.gained > 0;
        life->gains += try.above_floor;
        life->position += try.gained;
        if (try.gained > 0) {
                life->joined |= life->contributor && life->contributor != candidate;
                life->contributor = candidate;
        }
        fetch_plan_note(&life->plan, candidate, &try);
        if (outcome.cause.kind == FETCH_WRONG_BYTES || outcome.cause.kind == FETCH_TOO_BIG)
                restart(life);
}

static void live(struct life *life, bool fast, unsigned most_gains)
{
        struct fetch_candidate *candidate;
        int64_t at_ms = 0;

        while (life->tries < 100000 &&
               (candidate = fetch_plan_next(&life->plan, life->position, life->now_ms, &at_ms))) {
                cr_assert_not(candidate->out);
                cr_assert(!life->plan.alone || life->plan.alone == candidate);
                life->now_ms = at_ms > life->now_ms ? at_ms : life->now_ms;
                if (candidate->needs_zero) {
                        fetch_plan_begin_anew(candidate);
                        restart(life);
                }
                life->tries++;
                if (chance(&life->state) % 16 == 0) { /* all bytes came, and are wrong */
                        if (!fetch_plan_note_wrong(&life->plan, candidate, life->joined, &wrong))
                                break;
                        restart(life);
                        continue;
                }
                live_one_try(life, candidate, fast && life->gains < most_gains);
        }
}

/*
 * The bound: a source is tried RETRIES + 1 times for its failures in a row, once more for
 * having been denied after bytes, twice for beginning from zero, and twice for bytes that
 * were wrong; and a try above the floor lets it begin to count again.
 */
static unsigned tries_bound(size_t sources, unsigned gains)
{
        return (unsigned)sources * (RETRIES + 6) + gains * (RETRIES + 3);
}

Test(fetch_plan, whatever_happens_it_ends)
{
        unsigned longest = 0;

        for (uint64_t seed = 0; seed < SEEDS; seed++) {
                size_t sources = 1 + seed % 5;
                struct life life = {.plan = plan_of(sources), .state = seed << 32};
                struct fetch_cause cause = {0};

                live(&life, true, 20);
                cr_assert_leq(life.tries, tries_bound(sources, life.gains), "seed %lu",
                              (unsigned long)seed);
                fetch_plan_verdict(&life.plan, &cause);
                cr_assert_neq(cause.kind, FETCH_OK, "seed %lu", (unsigned long)seed);
                longest = life.tries > longest ? life.tries : longest;
                fetch_plan_destroy(&life.plan);
        }
        cr_expect_gt(longest, 30, "the test tested something: %u", longest);
}

Test(fetch_plan, trickles_end_too)
{
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
                size_t sources = 1 + seed % 5;
                struct life life = {.plan = plan_of(sources), .state = seed << 32};

                live(&life, false, 0);
                cr_assert_leq(life.tries, tries_bound(sources, 0), "seed %lu", (unsigned long)seed);
                fetch_plan_destroy(&life.plan);
        }
}

/* A body that did not say how long it is may have been cut: once more, from zero. */
Test(fetch_plan, fault_5_wrong_body_without_a_length_is_asked_for_once_more)
{
        struct fetch_outcome cut = wrong_body;
        struct fetch_try try = {.outcome = &cut, .now_ms = 1000, .random = UINT32_MAX};
        struct fetch_plan plan = plan_of(1);
        int64_t at_ms;

        cut.no_length = true;
        cr_expect(fetch_plan_note_wrong(&plan, &plan.candidates[0], false, &try));
        cr_expect_eq(fetch_plan_next(&plan, 0, 1000, &at_ms), &plan.candidates[0]);
        cr_expect(at_ms >= 1000 && at_ms <= 1000 + FETCH_BACKOFF_MS, "%jd", (intmax_t)at_ms);
        cr_expect_not(fetch_plan_note_wrong(&plan, &plan.candidates[0], false, &try));
        fetch_plan_destroy(&plan);

        plan = plan_of(1);
        plan.retries = 0;
        cr_expect_not(fetch_plan_note_wrong(&plan, &plan.candidates[0], false, &try));
        fetch_plan_destroy(&plan);
}

/* Fewer bytes than the catalog says are a verdict in the end, but no reason to give up. */
Test(fetch_plan, fault_5_body_that_was_cut_is_continued)
{
        struct fetch_outcome cut = wrong_body;
        struct fetch_try try = {.outcome = &cut, .gained = 1};
        struct fetch_plan plan = plan_of(1);
        struct fetch_cause cause = {0};

        cut.cut = true;
        for (int i = 0; i <= RETRIES; i++) {
                cr_expect_eq(next(&plan, 10, 0), 0);
                fetch_plan_note(&plan, &plan.candidates[0], &try);
        }
        cr_expect_eq(next(&plan, 10, 0), -1);
        fetch_plan_verdict(&plan, &cause);
        cr_expect_eq(cause.kind, FETCH_WRONG_BYTES);
        fetch_plan_destroy(&plan);
}

Test(fetch_plan, fault_7_begins_anew_only_where_nobody_else_can_go_on)
{
        struct fetch_plan plan = plan_of(2);

        cr_expect_not(fetch_plan_may_begin_anew(&plan, &plan.candidates[0]));
        ask_for_zero(&plan, 1);
        cr_expect(fetch_plan_may_begin_anew(&plan, &plan.candidates[0]));
        plan.candidates[0].zeros = RETRIES + 1;
        cr_expect_not(fetch_plan_may_begin_anew(&plan, &plan.candidates[0]), "not for ever");
        fetch_plan_destroy(&plan);
        plan = plan_of(2);
        fail(&plan, 1, FETCH_NOT_FOUND, 0);
        cr_expect(fetch_plan_may_begin_anew(&plan, &plan.candidates[0]));
        fetch_plan_destroy(&plan);
}

/* A trickle is no reason to go on for ever, whatever the source says at the end of it. */
Test(fetch_plan, denied_after_a_trickle_counts)
{
        struct fetch_plan plan = plan_of(1);
        int tries = 0;

        while (tries < 1000 && next(&plan, 0, 0) == 0) {
                gain(&plan, 0, FETCH_DENIED, false);
                tries++;
        }
        cr_expect_leq(tries, RETRIES + 2, "the last one for a new token");
        fetch_plan_destroy(&plan);
}

/* Who says 403 may ask for more time as well: a day is more than anybody waits. */
Test(fetch_plan, fault_21_denied_is_not_waited_for_beyond_the_patience)
{
        struct fetch_plan plan = plan_of(1);
        struct fetch_outcome outcome = outcome_of(FETCH_DENIED);

        gain(&plan, 0, FETCH_STALLED, true);
        outcome.cause.retry_after_ms = PATIENCE + 1;
        note(&plan, 0, &outcome, 0);
        cr_expect_eq(next(&plan, 0, 0), -1);
        fetch_plan_destroy(&plan);
}

/* One by one, each from zero: what the one before has left is not the next one's. */
Test(fetch_plan, one_by_one_the_next_one_does_not_go_on_with_the_bytes_of_the_last)
{
        struct fetch_plan plan = plan_of(2);

        cr_expect(fetch_plan_note_wrong(&plan, &plan.candidates[1], true, &wrong));
        for (int i = 0; i <= RETRIES; i++) {
                cr_expect_eq(next(&plan, 1000, 0), 0);
                cr_expect_not(plan.candidates[0].needs_zero, "its own bytes it may keep");
                gain(&plan, 0, FETCH_STALLED, false);
        }
        cr_expect_eq(next(&plan, 1000, 0), 1);
        cr_expect(plan.candidates[1].needs_zero);
        fetch_plan_destroy(&plan);
}
