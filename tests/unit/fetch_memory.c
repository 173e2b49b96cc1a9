/*
 * Notes: bounded in number, believed only until they expire.
 */
#include "fetch/memory.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(fetch_memory, .timeout = 20);

static struct cas_digest numbered(unsigned number)
{
        struct cas_digest digest = {{0}};

        memcpy(digest.bytes, &number, sizeof(number));
        return digest;
}

static void note(struct fetch_memory *memory, unsigned number, int64_t expires_ms)
{
        struct cas_digest digest = numbered(number);

        fetch_memory_note(memory, &digest, number, NULL, expires_ms);
}

static const struct fetch_note *recall(struct fetch_memory *memory, unsigned number, int64_t now_ms)
{
        struct cas_digest digest = numbered(number);

        return fetch_memory_recall(memory, &digest, now_ms);
}

Test(fetch_memory, size_is_recalled_until_it_expires)
{
        struct cas_digest digest = numbered(7);
        struct fetch_memory memory;

        cr_assert_eq(fetch_memory_init(&memory, 4), 0);
        cr_expect_null(recall(&memory, 7, 0));
        note(&memory, 7, 1000);
        cr_assert_not_null(recall(&memory, 7, 999));
        cr_expect_eq(recall(&memory, 7, 999)->size, 7);
        cr_expect_null(recall(&memory, 7, 999)->cause);
        cr_expect_null(recall(&memory, 7, 1000), "expired");
        cr_expect_not_null(fetch_memory_last(&memory, &digest), "but its words can be read");
        cr_expect_null(recall(&memory, 8, 0));
        fetch_memory_destroy(&memory);
}

Test(fetch_memory, cause_is_copied)
{
        struct cas_digest digest = numbered(1);
        struct fetch_cause cause = {0};
        struct fetch_memory memory;

        cr_assert_eq(fetch_memory_init(&memory, 4), 0);
        fetch_cause_set(&cause, FETCH_NOT_FOUND, "HTTP 404");
        fetch_memory_note(&memory, &digest, 0, &cause, 1000);
        memset(&cause, 0, sizeof(cause));
        cr_assert_not_null(recall(&memory, 1, 0));
        cr_assert_not_null(recall(&memory, 1, 0)->cause);
        cr_expect_eq(recall(&memory, 1, 0)->cause->kind, FETCH_NOT_FOUND);
        cr_expect_str_eq(recall(&memory, 1, 0)->cause->text, "HTTP 404");
        fetch_memory_destroy(&memory);
}

Test(fetch_memory, later_note_replaces_the_earlier)
{
        struct cas_digest digest = numbered(1);
        struct fetch_cause cause = {.kind = FETCH_STALLED};
        struct fetch_memory memory;

        cr_assert_eq(fetch_memory_init(&memory, 4), 0);
        fetch_memory_note(&memory, &digest, 0, &cause, 1000);
        fetch_memory_note(&memory, &digest, 55, NULL, 2000);
        cr_expect_eq(memory.map.count, 1);
        cr_assert_not_null(recall(&memory, 1, 1500));
        cr_expect_eq(recall(&memory, 1, 1500)->size, 55);
        cr_expect_null(recall(&memory, 1, 1500)->cause);
        fetch_memory_destroy(&memory);
}

Test(fetch_memory, fault_76_the_oldest_makes_room)
{
        struct fetch_memory memory;

        cr_assert_eq(fetch_memory_init(&memory, 3), 0);
        for (unsigned i = 0; i < 3; i++)
                note(&memory, i, 1000);
        note(&memory, 0, 1000); /* now 1 is the oldest */
        note(&memory, 3, 1000);
        cr_expect_eq(memory.map.count, 3);
        cr_expect_not_null(recall(&memory, 0, 0));
        cr_expect_null(recall(&memory, 1, 0));
        cr_expect_not_null(recall(&memory, 2, 0));
        cr_expect_not_null(recall(&memory, 3, 0));
        fetch_memory_destroy(&memory);
}

Test(fetch_memory, fault_76_never_more_than_the_bound)
{
        struct fetch_memory memory;

        cr_assert_eq(fetch_memory_init(&memory, 100), 0);
        for (unsigned i = 0; i < 100000; i++) {
                note(&memory, i, 1000);
                if (memory.map.count > 100)
                        break;
        }
        cr_expect_eq(memory.map.count, 100);
        for (unsigned i = 99900; i < 100000; i++)
                cr_expect_not_null(recall(&memory, i, 0));
        fetch_memory_destroy(&memory);
}

Test(fetch_memory, forget_takes_one_out_wherever_it_stands)
{
        static const unsigned orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}};

        for (size_t o = 0; o < 3; o++) {
                struct fetch_memory memory;

                cr_assert_eq(fetch_memory_init(&memory, 3), 0);
                for (unsigned i = 0; i < 3; i++)
                        note(&memory, i, 1000);
                for (size_t i = 0; i < 3; i++) {
                        struct cas_digest digest = numbered(orders[o][i]);

                        fetch_memory_forget(&memory, &digest);
                        fetch_memory_forget(&memory, &digest);
                        cr_expect_null(fetch_memory_last(&memory, &digest));
                        cr_expect_eq(memory.map.count, 2 - i);
                }
                cr_expect_null(memory.oldest);
                cr_expect_null(memory.newest);
                fetch_memory_destroy(&memory);
        }
}
