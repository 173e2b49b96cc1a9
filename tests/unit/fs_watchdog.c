/*
 * The watchdog: 20 s with one request, or without a turn of the loop, is a wedge. The
 * time in which we were stopped ourselves does not count.
 */
#include "fs/watchdog.h"

#include <criterion/criterion.h>

#define START_MS  INT64_C(1000000)
#define SECOND_MS INT64_C(1000)

static struct fs_memory memory; /* nobody maps it */
static struct fs_watchdog watchdog;

static void start(void)
{
        fs_watchdog_start(&watchdog, START_MS);
        atomic_store(&memory.loop_beat_ms, START_MS);
}

TestSuite(fs_watchdog, .init = start, .timeout = 20);

/* Looks every second up to the `until`-th ms since the start; what was said there. */
static const char *watch(int64_t until)
{
        for (int64_t ms = watchdog.looked_ms - START_MS + SECOND_MS; ms < until; ms += SECOND_MS)
                cr_assert_null(fs_watchdog_look(&watchdog, &memory, START_MS + ms), "after %d ms",
                               (int)ms);
        return fs_watchdog_look(&watchdog, &memory, START_MS + until);
}

static void beat(int64_t ms)
{
        atomic_store(&memory.loop_beat_ms, START_MS + ms);
}

Test(fs_watchdog, nothing_is_stuck)
{
        for (int64_t ms = 0; ms < 100 * SECOND_MS; ms += SECOND_MS) {
                beat(ms - 500);
                atomic_store(&memory.busy_since_ms[ms % FS_THREADS], START_MS + ms - 100);
                cr_expect_null(fs_watchdog_look(&watchdog, &memory, START_MS + ms));
                atomic_store(&memory.busy_since_ms[ms % FS_THREADS], 0);
        }
}

Test(fs_watchdog, thread_with_one_request_for_too_long)
{
        for (unsigned thread = 0; thread < FS_THREADS; thread++) {
                start();
                beat(100 * SECOND_MS);
                atomic_store(&memory.busy_since_ms[thread], START_MS + 2 * SECOND_MS);
                cr_expect_null(watch(2 * SECOND_MS + FS_WATCHDOG_MS), "exactly at the bound");
                cr_expect_str_eq(watch(2 * SECOND_MS + FS_WATCHDOG_MS + 1),
                                 "a request was neither answered nor parked");
                atomic_store(&memory.busy_since_ms[thread], 0);
        }
}

Test(fs_watchdog, thread_that_goes_from_request_to_request_is_not_stuck)
{
        beat(100 * SECOND_MS);
        for (int64_t ms = 0; ms < 100 * SECOND_MS; ms += SECOND_MS) {
                atomic_store(&memory.busy_since_ms[1], START_MS + ms - FS_WATCHDOG_MS);
                cr_expect_null(fs_watchdog_look(&watchdog, &memory, START_MS + ms));
        }
}

Test(fs_watchdog, loop_that_does_not_turn)
{
        beat(3 * SECOND_MS);
        cr_expect_null(watch(3 * SECOND_MS + FS_WATCHDOG_MS), "exactly at the bound");
        cr_expect_str_eq(watch(3 * SECOND_MS + FS_WATCHDOG_MS + 1),
                         "the transfer loop does not turn");
        beat(3 * SECOND_MS + FS_WATCHDOG_MS);
        cr_expect_null(
            fs_watchdog_look(&watchdog, &memory, START_MS + 3 * SECOND_MS + FS_WATCHDOG_MS + 2));
}

/* What the last worker left in the memory is not this one's fault. */
Test(fs_watchdog, worker_has_its_time_from_when_it_starts_to_serve)
{
        beat(-1000 * SECOND_MS);
        atomic_store(&memory.busy_since_ms[0], 1);
        cr_expect_null(fs_watchdog_look(&watchdog, &memory, START_MS));
        cr_expect_null(watch(FS_WATCHDOG_MS));
        cr_expect_not_null(watch(FS_WATCHDOG_MS + 1));
}

/* A suspended machine, or a supervisor that was stopped: nobody ran meanwhile. */
Test(fs_watchdog, after_a_pause_of_our_own_the_worker_gets_its_time_again)
{
        const int64_t woken = 15 * SECOND_MS + 5001;

        atomic_store(&memory.busy_since_ms[0], START_MS + 1);
        cr_expect_null(watch(15 * SECOND_MS));
        cr_expect_null(fs_watchdog_look(&watchdog, &memory, START_MS + woken));
        cr_expect_null(watch(woken + FS_WATCHDOG_MS));
        cr_expect_not_null(watch(woken + FS_WATCHDOG_MS + 1));
}

Test(fs_watchdog, look_that_comes_a_little_late_is_no_pause)
{
        atomic_store(&memory.busy_since_ms[0], START_MS);
        cr_expect_null(watch(FS_WATCHDOG_MS - 4000));
        cr_expect_not_null(fs_watchdog_look(&watchdog, &memory, START_MS + FS_WATCHDOG_MS + 1000),
                           "5000 ms after the last look");
}

/* They are the worker's, which may have been taken over. */
Test(fs_watchdog, fault_65_absurd_beats_are_harmless)
{
        static const int64_t absurd[] = {INT64_MIN, -1, 1, INT64_MAX};

        for (unsigned i = 0; i < 4; i++) {
                atomic_store(&memory.loop_beat_ms, absurd[i]);
                atomic_store(&memory.busy_since_ms[i], absurd[i]);
                cr_expect_null(fs_watchdog_look(&watchdog, &memory, START_MS + i));
        }
}
