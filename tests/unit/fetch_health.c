/*
 * Which servers were bad lately: for how long, how it grows and ends, and that the
 * table is bounded.
 */
#include "fetch/health.h"

#include "tests/unit/scratch.h"

TestSuite(fetch_health, .timeout = 20);

static bool is_bad(struct fetch_health *health, const char *server, int64_t now_ms)
{
        return fetch_health_is_bad(health, server, now_ms);
}

/* For how long it counts as bad from now on, or -1 where it did so before. */
static int64_t note_bad(struct fetch_health *health, const char *server, int64_t now_ms)
{
        int64_t ms = -2;

        if (fetch_health_note_bad(health, server, now_ms, &ms))
                return ms;
        cr_expect_eq(ms, -2, "left alone");
        return -1;
}

Test(fetch_health, nothing_is_held_against_strangers)
{
        struct fetch_health health;

        fetch_health_init(&health);
        cr_expect_not(is_bad(&health, "http://a:80", 0));
        cr_expect_not(fetch_health_note_good(&health, "http://a:80"));
        cr_expect_not(is_bad(&health, "http://a:80", 0));
        fetch_health_destroy(&health);
}

Test(fetch_health, bad_for_a_while_and_nobody_else)
{
        struct fetch_health health;

        fetch_health_init(&health);
        cr_expect_eq(note_bad(&health, "http://a:80", 1000), FETCH_HEALTH_MS);
        cr_expect(is_bad(&health, "http://a:80", 1000));
        cr_expect(is_bad(&health, "http://a:80", 1000 + FETCH_HEALTH_MS - 1));
        cr_expect_not(is_bad(&health, "http://a:80", 1000 + FETCH_HEALTH_MS));
        cr_expect_not(is_bad(&health, "https://a:80", 1000));
        cr_expect_not(is_bad(&health, "http://a:8", 1000));
        fetch_health_destroy(&health);
}

Test(fetch_health, failing_while_bad_is_no_news)
{
        struct fetch_health health;

        fetch_health_init(&health);
        cr_expect_eq(note_bad(&health, "a", 0), FETCH_HEALTH_MS);
        for (int64_t now_ms = 0; now_ms < FETCH_HEALTH_MS; now_ms += 500)
                cr_expect_eq(note_bad(&health, "a", now_ms), -1);
        cr_expect_not(is_bad(&health, "a", FETCH_HEALTH_MS), "and makes it no longer");
        cr_expect_eq(note_bad(&health, "a", FETCH_HEALTH_MS), 2 * FETCH_HEALTH_MS);
        fetch_health_destroy(&health);
}

Test(fetch_health, again_and_again_is_longer_up_to_the_bound)
{
        struct fetch_health health;
        int64_t expected = FETCH_HEALTH_MS;
        int64_t now_ms = 0;

        fetch_health_init(&health);
        for (int i = 0; i < 200; i++) {
                cr_expect_eq(note_bad(&health, "a", now_ms), expected, "%d", i);
                cr_expect(is_bad(&health, "a", now_ms + expected - 1));
                now_ms += expected;
                cr_expect_not(is_bad(&health, "a", now_ms));
                expected =
                    expected * 2 < FETCH_HEALTH_MOST_MS ? expected * 2 : FETCH_HEALTH_MOST_MS;
        }
        fetch_health_destroy(&health);
}

Test(fetch_health, one_good_download_clears_the_name)
{
        struct fetch_health health;

        fetch_health_init(&health);
        note_bad(&health, "a", 0);
        note_bad(&health, "b", 0);
        note_bad(&health, "a", FETCH_HEALTH_MS);
        cr_expect(fetch_health_note_good(&health, "a"));
        cr_expect_not(is_bad(&health, "a", FETCH_HEALTH_MS));
        cr_expect(is_bad(&health, "b", FETCH_HEALTH_MS - 1));
        cr_expect_not(fetch_health_note_good(&health, "a"), "once");
        cr_expect_eq(note_bad(&health, "a", FETCH_HEALTH_MS), FETCH_HEALTH_MS, "as if never");
        fetch_health_destroy(&health);
}

static const char *named(unsigned number, char name[32])
{
        snprintf(name, 32, "http://host-%u:80", number);
        return name;
}

Test(fetch_health, fault_76_who_was_bad_longest_ago_makes_room)
{
        struct fetch_health health;
        char name[32];

        fetch_health_init(&health);
        for (unsigned i = 0; i < FETCH_HEALTH_SERVERS; i++)
                note_bad(&health, named(i, name), i == 20 ? 1 : 100 + i);
        for (unsigned i = 0; i < FETCH_HEALTH_SERVERS; i++)
                cr_expect(is_bad(&health, named(i, name), 200), "%u", i);
        note_bad(&health, "http://one-more:80", 200);
        cr_expect(is_bad(&health, "http://one-more:80", 200));
        for (unsigned i = 0; i < FETCH_HEALTH_SERVERS; i++)
                cr_expect_eq(is_bad(&health, named(i, name), 200), i != 20, "%u", i);

        /* Room that somebody good has left is used before anybody has to go. */
        cr_expect(fetch_health_note_good(&health, named(30, name)));
        note_bad(&health, "http://two-more:80", 200);
        cr_expect(is_bad(&health, "http://two-more:80", 200));
        for (unsigned i = 0; i < FETCH_HEALTH_SERVERS; i++)
                cr_expect_eq(is_bad(&health, named(i, name), 200), i != 20 && i != 30, "%u", i);
        fetch_health_destroy(&health);
}

static void *note_all(void *arg)
{
        struct fetch_health *health = arg;
        int64_t ms;
        char name[32];

        for (int64_t i = 0; i < 20000; i++) {
                unsigned number = (unsigned)(i * 7919 % 100);

                if (i % 3 == 0)
                        fetch_health_note_good(health, named(number, name));
                else if (fetch_health_note_bad(health, named(number, name), i, &ms))
                        cr_expect(ms >= FETCH_HEALTH_MS && ms <= FETCH_HEALTH_MOST_MS);
                fetch_health_is_bad(health, named(number + 1, name), i);
        }
        return NULL;
}

Test(fetch_health, many_at_once)
{
        struct fetch_health health;
        pthread_t threads[3];

        fetch_health_init(&health);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, note_all, &health), 0);
        for (int i = 0; i < 3; i++)
                pthread_join(threads[i], NULL);
        for (unsigned i = 0; i < FETCH_HEALTH_SERVERS; i++)
                for (unsigned j = 0; j < i; j++)
                        cr_expect(!health.sick[i].server[0] ||
                                      strcmp(health.sick[i].server, health.sick[j].server) != 0,
                                  "nobody is there twice");
        fetch_health_destroy(&health);
}
