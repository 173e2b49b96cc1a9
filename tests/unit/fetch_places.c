/*
 * Places: one server's flights do not stand in the way of another's, and no place stays
 * empty while somebody waits. By hand for the rules, by chance for what follows of them.
 */
#include "fetch/places.h"

#include "tests/unit/scratch.h"
#include "tests/unit/slot.h"

TestSuite(fetch_places, .timeout = 20);

#define A 1
#define B 2
#define C 3

static void expect_next(struct fetch_places *places, struct fetch_place *expected)
{
        struct fetch_place *found = fetch_places_next(places);

        cr_expect_eq(found, expected);
        cr_expect(!found || found->running);
}

Test(fetch_places, one_server_may_have_all_while_nobody_else_wants_any)
{
        struct fetch_places places;
        struct fetch_place place[5];

        fetch_places_init(&places, 4);
        expect_next(&places, NULL);
        for (int i = 0; i < 5; i++)
                cr_expect_null(fetch_places_join(&places, &place[i], A));
        for (int i = 0; i < 4; i++)
                expect_next(&places, &place[i]);
        expect_next(&places, NULL);
        fetch_places_leave(&places, &place[2]);
        expect_next(&places, &place[4]);
        expect_next(&places, NULL);
        cr_expect_eq(places.running, 4);
}

Test(fetch_places, another_server_passes_those_who_have_their_half)
{
        struct fetch_places places;
        struct fetch_place a[4];
        struct fetch_place b[3];

        fetch_places_init(&places, 4);
        for (int i = 0; i < 4; i++)
                fetch_places_join(&places, &a[i], A);
        for (int i = 0; i < 3; i++)
                cr_expect_null(fetch_places_join(&places, &b[i], B), "places are free");
        expect_next(&places, &a[0]);
        expect_next(&places, &a[1]);
        expect_next(&places, &b[0]);
        expect_next(&places, &b[1]);
        expect_next(&places, NULL);
        fetch_places_leave(&places, &b[0]);
        expect_next(&places, &b[2]);
        fetch_places_leave(&places, &b[1]);
        expect_next(&places, &a[2]);
        fetch_places_leave(&places, &a[3]);
        fetch_places_leave(&places, &b[2]);
        expect_next(&places, NULL);
        cr_expect_eq(places.running, 3);
}

Test(fetch_places, who_has_more_than_half_makes_room_and_is_next)
{
        struct fetch_places places;
        struct fetch_place a[5];
        struct fetch_place b[3];

        fetch_places_init(&places, 4);
        for (int i = 0; i < 5; i++)
                fetch_places_join(&places, &a[i], A);
        for (int i = 0; i < 4; i++)
                expect_next(&places, &a[i]);
        cr_expect_eq(fetch_places_join(&places, &b[0], B), &a[3], "who began last");
        cr_expect_eq(fetch_places_join(&places, &b[1], B), &a[2], "another one for another one");
        cr_expect_null(fetch_places_join(&places, &b[2], B), "half is everybody's right");
        expect_next(&places, NULL);
        fetch_places_yield(&places, &a[3]);
        cr_expect_not(a[3].running);
        expect_next(&places, &b[0]);
        fetch_places_yield(&places, &a[2]);
        expect_next(&places, &b[1]);
        expect_next(&places, NULL);
        fetch_places_leave(&places, &b[0]);
        expect_next(&places, &b[2]);
        fetch_places_leave(&places, &b[1]);
        expect_next(&places, &a[2]);
        fetch_places_leave(&places, &b[2]);
        expect_next(&places, &a[3]);
        fetch_places_leave(&places, &a[0]);
        expect_next(&places, &a[4]);
}

Test(fetch_places, who_was_asked_may_end_instead)
{
        struct fetch_places places;
        struct fetch_place a[4];
        struct fetch_place b[2];

        fetch_places_init(&places, 4);
        for (int i = 0; i < 4; i++) {
                fetch_places_join(&places, &a[i], A);
                fetch_places_next(&places);
        }
        cr_expect_eq(fetch_places_join(&places, &b[0], B), &a[3]);
        fetch_places_leave(&places, &a[3]);
        cr_expect_not(a[3].yielding);
        expect_next(&places, &b[0]);
        cr_expect_eq(fetch_places_join(&places, &b[1], B), &a[2]);
        cr_expect_eq(places.running, 4);
}

Test(fetch_places, place_that_becomes_free_anyway_is_not_asked_for_twice)
{
        struct fetch_places places;
        struct fetch_place a[5];
        struct fetch_place b[2];

        fetch_places_init(&places, 4);
        for (int i = 0; i < 5; i++) {
                fetch_places_join(&places, &a[i], A);
                fetch_places_next(&places);
        }
        cr_expect_eq(fetch_places_join(&places, &b[0], B), &a[3]);
        fetch_places_leave(&places, &b[0]); /* nobody waits for it any more */
        cr_expect_null(fetch_places_join(&places, &b[1], B));
        fetch_places_yield(&places, &a[3]);
        expect_next(&places, &b[1]);
}

Test(fetch_places, a_single_place_is_shared_in_turn)
{
        struct fetch_places places;
        struct fetch_place a[2];
        struct fetch_place b;

        fetch_places_init(&places, 1);
        fetch_places_join(&places, &a[0], A);
        expect_next(&places, &a[0]);
        fetch_places_join(&places, &a[1], A);
        cr_expect_null(fetch_places_join(&places, &b, B), "one place has no half");
        expect_next(&places, NULL);
        fetch_places_leave(&places, &a[0]);
        expect_next(&places, &a[1]);
        fetch_places_leave(&places, &a[1]);
        expect_next(&places, &b);
}

Test(fetch_places, three_servers)
{
        struct fetch_places places;
        struct fetch_place a[6];
        struct fetch_place b[3];
        struct fetch_place c;

        fetch_places_init(&places, 6);
        for (int i = 0; i < 6; i++) {
                fetch_places_join(&places, &a[i], A);
                fetch_places_next(&places);
        }
        for (int i = 0; i < 3; i++)
                cr_expect_eq(fetch_places_join(&places, &b[i], B), &a[5 - i]);
        for (int i = 0; i < 3; i++) {
                fetch_places_yield(&places, &a[5 - i]);
                expect_next(&places, &b[i]);
        }
        cr_expect_null(fetch_places_join(&places, &c, C), "nobody has more than half");
        for (int i = 0; i < 3; i++) {
                fetch_places_leave(&places, &a[i]);
                expect_next(&places, &a[i + 3]);
        }
        fetch_places_leave(&places, &a[3]);
        expect_next(&places, &c);
}

#define FLIGHTS 40
#define SERVERS 4

/* A crowd of flights whose owner does what he is told, sooner or later. */
struct crowd {
        struct fetch_places places;
        struct fetch_place place[FLIGHTS];
        bool in[FLIGHTS];
        bool flew[FLIGHTS];
        uint64_t joined[FLIGHTS]; /* when */
        uint64_t state;
        uint64_t seed;
};

static unsigned share(const struct crowd *crowd)
{
        return crowd->places.most > 1 ? crowd->places.most / 2 : 1;
}

static unsigned running_of(const struct crowd *crowd, uint64_t server)
{
        unsigned count = 0;

        for (int i = 0; i < FLIGHTS; i++)
                count +=
                    crowd->in[i] && crowd->place[i].running && crowd->place[i].server == server;
        return count;
}

/* Somebody begins: of his server, nobody that has not flown yet has waited for longer. */
static void take_off(struct crowd *crowd, const struct fetch_place *place)
{
        size_t which = (size_t)(place - crowd->place);

        cr_assert(crowd->in[which] && place->running, "seed %lu", (unsigned long)crowd->seed);
        for (size_t i = 0; i < FLIGHTS && !crowd->flew[which]; i++)
                cr_assert(!crowd->in[i] || crowd->flew[i] || crowd->place[i].running ||
                              crowd->place[i].server != place->server ||
                              crowd->joined[i] > crowd->joined[which],
                          "seed %lu: order", (unsigned long)crowd->seed);
        crowd->flew[which] = true;
}

static void fill_places(struct crowd *crowd)
{
        struct fetch_place *place;

        while ((place = fetch_places_next(&crowd->places)))
                take_off(crowd, place);
}

/* The yields that were asked for happen, all of them or some. */
static void yield_some(struct crowd *crowd, bool all)
{
        for (int i = 0; i < FLIGHTS; i++)
                if (crowd->in[i] && crowd->place[i].yielding &&
                    (all || chance(&crowd->state) % 2)) {
                        fetch_places_yield(&crowd->places, &crowd->place[i]);
                        fill_places(crowd);
                }
}

static void expect_order(struct crowd *crowd, bool settled)
{
        unsigned running = 0;
        unsigned waiting = 0;

        for (int i = 0; i < FLIGHTS; i++) {
                running += crowd->in[i] && crowd->place[i].running;
                waiting += crowd->in[i] && !crowd->place[i].running;
        }
        cr_assert_eq(running, crowd->places.running);
        cr_assert_leq(running, crowd->places.most);
        cr_assert(waiting == 0 || running == crowd->places.most,
                  "seed %lu: a place is free and somebody waits", (unsigned long)crowd->seed);
        for (int i = 0; i < FLIGHTS && settled; i++) {
                uint64_t server = crowd->place[i].server;

                if (!crowd->in[i] || crowd->place[i].running ||
                    running_of(crowd, server) >= share(crowd))
                        continue;
                /* It waits without its share: then nobody has more than his. */
                for (uint64_t other = 0; other < SERVERS; other++)
                        cr_assert(running_of(crowd, other) <= share(crowd),
                                  "seed %lu: server %lu has %u of %u", (unsigned long)crowd->seed,
                                  (unsigned long)other, running_of(crowd, other),
                                  crowd->places.most);
        }
}

static void live(struct crowd *crowd, unsigned steps)
{
        for (unsigned step = 0; step < steps; step++) {
                size_t which = chance(&crowd->state) % FLIGHTS;
                bool settle = chance(&crowd->state) % 4 == 0;

                if (crowd->in[which]) {
                        fetch_places_leave(&crowd->places, &crowd->place[which]);
                        crowd->in[which] = false;
                } else {
                        /* One server is asked for more than the others. */
                        uint64_t server =
                            chance(&crowd->state) % 2 * (chance(&crowd->state) % SERVERS);
                        const struct fetch_place *asked =
                            fetch_places_join(&crowd->places, &crowd->place[which], server);

                        cr_assert(!asked ||
                                  (asked->running && asked->yielding && asked->server != server));
                        crowd->in[which] = true;
                        crowd->flew[which] = false;
                        crowd->joined[which] = step;
                }
                fill_places(crowd);
                yield_some(crowd, settle);
                expect_order(crowd, settle);
        }
}

Test(fetch_places, whatever_happens_the_rules_hold)
{
        for (uint64_t seed = 0; seed < 300; seed++) {
                struct crowd crowd = {.state = seed << 32, .seed = seed};

                fetch_places_init(&crowd.places, 1 + (unsigned)(seed % 17));
                live(&crowd, 300);
                for (int i = 0; i < FLIGHTS; i++)
                        if (crowd.in[i])
                                fetch_places_leave(&crowd.places, &crowd.place[i]);
                cr_expect_eq(crowd.places.running, 0);
                cr_expect_null(crowd.places.waiting.first);
                cr_expect_null(crowd.places.runners.first);
        }
}
