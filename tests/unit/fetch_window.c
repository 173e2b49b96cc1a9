/*
 * The window: whatever order the bytes come in and whoever brings them, they are taken
 * in the order of the asset; and whoever waits for it is told.
 */
#include "fetch/window.h"

#include "fetch/clock.h"
#include "tests/unit/scratch.h"
#include "tests/unit/slot.h"

#include <errno.h>
#include <stdatomic.h>

TestSuite(fetch_window, .timeout = 20);

#define SLOT ((uint64_t)CAS_SLOT_BYTES)

struct room {
        struct cas_slots *pool;
        struct fetch_window window;
};

static void open_room(struct room *room, unsigned slots)
{
        cr_assert_eq(cas_slots_new((size_t)slots * CAS_SLOT_BYTES, 1, &room->pool), 0);
        cr_assert_eq(fetch_window_init(&room->window, room->pool), 0);
}

static void close_room(struct room *room)
{
        unsigned used;

        fetch_window_reset(&room->window, 0, NULL);
        cas_slots_room(&room->window.client, &used);
        cr_expect_eq(used, 0, "every slot came back");
        fetch_window_destroy(&room->window);
        cas_slots_free(room->pool);
}

static bool reserve(struct room *room, uint64_t from, uint64_t to)
{
        pthread_mutex_lock(&room->window.lock);

        bool reserved = fetch_window_reserve(&room->window, from, to);

        pthread_mutex_unlock(&room->window.lock);
        return reserved;
}

static uint64_t position(struct room *room)
{
        pthread_mutex_lock(&room->window.lock);

        uint64_t at = fetch_window_position(&room->window);

        pthread_mutex_unlock(&room->window.lock);
        return at;
}

/* The bytes [from, to) of the body, into slots that are reserved. */
static void fill(struct room *room, uint64_t from, uint64_t to)
{
        size_t length = (size_t)(to - from);
        char *bytes = malloc(length);

        cr_assert_not_null(bytes);
        body(from, bytes, length);
        fetch_window_copy(&room->window, from, bytes, length);
        free(bytes);
        pthread_mutex_lock(&room->window.lock);
        fetch_window_count(&room->window, from, length);
        pthread_cond_broadcast(&room->window.changed);
        pthread_mutex_unlock(&room->window.lock);
}

static bool is_body(const struct cas_slot *slot, uint64_t at)
{
        char *right = malloc(CAS_SLOT_BYTES);

        cr_assert_not_null(right);
        body(at, right, slot->filled);

        bool same = memcmp(right, slot->bytes, slot->filled) == 0;

        free(right);
        return same;
}

static unsigned used_slots(struct room *room)
{
        unsigned used;

        cas_slots_room(&room->window.client, &used);
        return used;
}

Test(fetch_window, position_is_the_first_byte_that_is_missing)
{
        struct room room;

        open_room(&room, 8);
        cr_expect_eq(position(&room), 0);
        cr_expect(reserve(&room, 0, 4 * SLOT));
        cr_expect_eq(position(&room), 0, "reserved is not there");
        fill(&room, SLOT, SLOT + 500);
        cr_expect_eq(position(&room), 0);
        fill(&room, 0, 1000);
        cr_expect_eq(position(&room), 1000);
        fill(&room, 1000, SLOT);
        cr_expect_eq(position(&room), SLOT + 500);
        fill(&room, 2 * SLOT, 4 * SLOT);
        cr_expect_eq(position(&room), SLOT + 500);
        fill(&room, SLOT + 500, 2 * SLOT);
        cr_expect_eq(position(&room), 4 * SLOT);
        close_room(&room);
}

Test(fetch_window, position_of_a_ring_that_is_full)
{
        struct room room;

        open_room(&room, FETCH_WINDOW_SLOTS);
        fetch_window_reset(&room.window, 77 * SLOT, NULL);
        cr_assert(reserve(&room, 77 * SLOT, (77 + FETCH_WINDOW_SLOTS) * SLOT));
        for (uint64_t i = 77; i < 77 + FETCH_WINDOW_SLOTS; i++)
                fetch_window_slot(&room.window, i * SLOT)->filled = CAS_SLOT_BYTES;
        cr_expect_eq(position(&room), (77 + FETCH_WINDOW_SLOTS) * SLOT);
        close_room(&room);
}

Test(fetch_window, takes_in_order_and_only_what_is_full)
{
        struct room room;
        struct cas_slot *slot;

        open_room(&room, 8);
        cr_expect(reserve(&room, 0, 3 * SLOT));
        fill(&room, SLOT, 2 * SLOT);
        fill(&room, 0, SLOT - 1);
        pthread_mutex_lock(&room.window.lock);
        cr_expect_null(fetch_window_take(&room.window), "a byte is missing");
        pthread_mutex_unlock(&room.window.lock);
        fill(&room, SLOT - 1, SLOT);
        fill(&room, 2 * SLOT, 2 * SLOT + 5);
        pthread_mutex_lock(&room.window.lock);
        for (uint64_t i = 0; i < 2; i++) {
                slot = fetch_window_take(&room.window);
                cr_assert_not_null(slot);
                cr_expect(is_body(slot, i * SLOT));
                pthread_mutex_unlock(&room.window.lock);
                cas_slot_give(slot);
                pthread_mutex_lock(&room.window.lock);
        }
        cr_expect_null(fetch_window_take(&room.window));
        cr_expect_eq(fetch_window_position(&room.window), 2 * SLOT + 5);
        slot = fetch_window_take_part(&room.window);
        cr_assert_not_null(slot);
        cr_expect_eq(slot->filled, 5);
        cr_expect(is_body(slot, 2 * SLOT));
        cr_expect_eq(room.window.head, 2 * SLOT + 5);
        cr_expect_null(fetch_window_take(&room.window));
        cr_expect_null(fetch_window_take_part(&room.window));
        pthread_mutex_unlock(&room.window.lock);
        cas_slot_give(slot);
        close_room(&room);
}

Test(fetch_window, reserve_is_bounded_by_the_ring)
{
        const uint64_t all = FETCH_WINDOW_SLOTS * SLOT;
        struct room room;

        open_room(&room, FETCH_WINDOW_SLOTS + 8);
        cr_expect_not(reserve(&room, 0, all + 1));
        cr_expect_eq(used_slots(&room), 0, "nothing was taken for it");
        cr_expect(reserve(&room, all - 1, all), "the last one, though nothing is before it");
        cr_expect_eq(used_slots(&room), 1);
        cr_expect_not(reserve(&room, all, all + 1));
        cr_expect(reserve(&room, 0, all));
        cr_expect(reserve(&room, 0, all), "once more costs nothing");
        cr_expect_eq(used_slots(&room), FETCH_WINDOW_SLOTS);
        fill(&room, 0, SLOT);
        pthread_mutex_lock(&room.window.lock);

        struct cas_slot *slot = fetch_window_take(&room.window);

        pthread_mutex_unlock(&room.window.lock);
        cr_assert_not_null(slot);
        cr_expect_not(reserve(&room, all, all + 1), "it is in somebody's hands");
        cas_slot_give(slot);
        cr_expect(reserve(&room, all, all + SLOT));
        cr_expect_not(reserve(&room, all + SLOT, all + SLOT + 1));
        close_room(&room);
}

Test(fetch_window, reserve_is_bounded_by_the_pool)
{
        struct room room;

        open_room(&room, 4);
        cr_expect_not(reserve(&room, 0, 4 * SLOT + 1));
        cr_expect_eq(used_slots(&room), 0);
        cr_expect(reserve(&room, 10, SLOT + 10), "over a border: two");
        cr_expect_eq(used_slots(&room), 2);
        cr_expect_not(reserve(&room, SLOT, 5 * SLOT));
        cr_expect(reserve(&room, SLOT, 4 * SLOT));
        cr_expect_eq(used_slots(&room), 4);
        close_room(&room);
}

Test(fetch_window, drop_loose_keeps_what_joins_on)
{
        struct room room;

        open_room(&room, 12);
        cr_expect(reserve(&room, 0, 9 * SLOT));
        fill(&room, 0, 3 * SLOT + 100);
        fill(&room, 5 * SLOT, 7 * SLOT);
        fill(&room, 8 * SLOT, 8 * SLOT + 1);
        fetch_window_drop_loose(&room.window);
        cr_expect_eq(position(&room), 3 * SLOT + 100);
        cr_expect_eq(used_slots(&room), 4);
        cr_expect_null(fetch_window_slot(&room.window, 5 * SLOT));

        /* What comes now is not mixed up with what was there. */
        cr_expect(reserve(&room, 3 * SLOT + 100, 9 * SLOT));
        fill(&room, 3 * SLOT + 100, 6 * SLOT);
        cr_expect_eq(position(&room), 6 * SLOT);
        close_room(&room);
}

Test(fetch_window, drop_loose_of_slots_that_are_only_reserved)
{
        struct room room;

        open_room(&room, 8);
        cr_expect(reserve(&room, 0, 6 * SLOT));
        fill(&room, 0, 2 * SLOT);
        fetch_window_drop_loose(&room.window);
        cr_expect_eq(used_slots(&room), 2);
        cr_expect_eq(position(&room), 2 * SLOT);
        fetch_window_drop_loose(&room.window);
        cr_expect_eq(used_slots(&room), 2);
        close_room(&room);
}

Test(fetch_window, reset_begins_anew_with_a_part)
{
        struct room room;

        open_room(&room, 8);
        cr_expect(reserve(&room, 0, 4 * SLOT));
        fill(&room, 0, 4 * SLOT);

        struct cas_slot *part = cas_slot_take(&room.window.client);

        cr_assert_not_null(part);
        body(200 * SLOT, part->bytes, 99);
        part->filled = 99;
        fetch_window_reset(&room.window, 200 * SLOT, part);
        cr_expect_eq(used_slots(&room), 1);
        cr_expect_eq(position(&room), 200 * SLOT + 99);
        cr_expect(reserve(&room, 200 * SLOT + 99, 202 * SLOT));
        cr_expect_eq(used_slots(&room), 2);
        fill(&room, 200 * SLOT + 99, 201 * SLOT);
        pthread_mutex_lock(&room.window.lock);

        struct cas_slot *slot = fetch_window_take(&room.window);

        pthread_mutex_unlock(&room.window.lock);
        cr_assert_eq(slot, part);
        cr_expect(is_body(slot, 200 * SLOT));
        cas_slot_give(slot);
        fetch_window_reset(&room.window, 0, NULL);
        cr_expect_eq(used_slots(&room), 0);
        cr_expect_eq(position(&room), 0);
        close_room(&room);
}

/* An asset that several bring. */
struct relay {
        struct room room;
        uint64_t size;
        uint64_t claimed; /* by the window's lock */
        atomic_uint threads;
};

/* The next few slots; false where all are taken. */
static bool claim(struct relay *relay, uint64_t most, uint64_t *ret_from, uint64_t *ret_to)
{
        struct fetch_window *window = &relay->room.window;
        uint64_t to = 0;

        pthread_mutex_lock(&window->lock);
        while (relay->claimed < relay->size) {
                to = relay->claimed + most * SLOT;
                if (to > relay->size)
                        to = relay->size;
                if (fetch_window_reserve(window, relay->claimed, to))
                        break;
                fetch_window_wait(window, fetch_now_ms() + 5000);
        }
        *ret_from = relay->claimed;
        *ret_to = to;

        bool found = relay->claimed < relay->size;

        if (found)
                relay->claimed = to;
        pthread_mutex_unlock(&window->lock);
        return found;
}

/* Fills the claimed slots from the last to the first, each in pieces of any size. */
static void *bring(void *arg)
{
        struct relay *relay = arg;
        uint64_t state = atomic_fetch_add(&relay->threads, 1);
        uint64_t from;
        uint64_t to;

        while (claim(relay, 1 + chance(&state) % 3, &from, &to)) {
                while (to > from) {
                        uint64_t at = (to - 1) / SLOT * SLOT;
                        uint64_t begin = at;

                        while (at < to) {
                                uint64_t piece = 1 + chance(&state) % (SLOT / 3);

                                if (piece > to - at)
                                        piece = to - at;
                                fill(&relay->room, at, at + piece);
                                at += piece;
                        }
                        to = begin;
                }
        }
        return NULL;
}

/* The next one in order, however long it takes; the last one may be a part. */
static struct cas_slot *take_next(struct relay *relay, uint64_t at)
{
        struct fetch_window *window = &relay->room.window;
        struct cas_slot *slot;

        pthread_mutex_lock(&window->lock);
        while (!(slot = fetch_window_take(window)) && fetch_window_position(window) < relay->size)
                fetch_window_wait(window, fetch_now_ms() + 5000);
        if (!slot)
                slot = fetch_window_take_part(window);
        cr_expect_geq(fetch_window_position(window), at);
        pthread_mutex_unlock(&window->lock);
        return slot;
}

Test(fetch_window, many_fill_and_one_takes_in_order)
{
        struct relay relay = {.size = (SLOW_BUILD ? 30 : 200) * SLOT + 4711};
        pthread_t threads[4];
        uint64_t at = 0;

        open_room(&relay.room, 16);
        for (int i = 0; i < 4; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, bring, &relay), 0);
        while (at < relay.size) {
                struct cas_slot *slot = take_next(&relay, at);

                cr_assert_not_null(slot);
                cr_assert(is_body(slot, at), "at %lu", (unsigned long)at);
                at += slot->filled;
                cas_slot_give(slot);
        }
        cr_expect_eq(at, relay.size);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        close_room(&relay.room);
}

Test(fetch_window, sleep_lasts_until_its_time)
{
        struct room room;
        int64_t before = fetch_now_ms();

        open_room(&room, 2);
        cr_expect_eq(fetch_window_sleep(&room.window, 0), FETCH_GO_ON, "a look costs no time");
        cr_expect_eq(fetch_window_sleep(&room.window, before + 30), FETCH_GO_ON);
        cr_expect_geq(fetch_now_ms(), before + 30);
        close_room(&room);
}

Test(fetch_window, wish_ends_every_sleep_until_it_is_taken_back)
{
        struct room room;

        open_room(&room, 2);
        fetch_window_wish(&room.window, FETCH_YIELD);
        cr_expect_eq(fetch_window_sleep(&room.window, INT64_MAX), FETCH_YIELD);
        cr_expect_eq(fetch_window_sleep(&room.window, INT64_MAX), FETCH_YIELD);
        fetch_window_wish(&room.window, FETCH_GO_ON);
        cr_expect_eq(fetch_window_sleep(&room.window, 0), FETCH_GO_ON);
        fetch_window_wish(&room.window, FETCH_STOP);
        fetch_window_wish(&room.window, FETCH_YIELD);
        fetch_window_wish(&room.window, FETCH_GO_ON);
        cr_expect_eq(fetch_window_sleep(&room.window, INT64_MAX), FETCH_STOP, "for good");
        close_room(&room);
}

static void *wish_later(void *arg)
{
        usleep(20000);
        fetch_window_wish(arg, FETCH_STOP);
        return NULL;
}

Test(fetch_window, wish_wakes_a_sleeper)
{
        struct room room;
        pthread_t thread;

        open_room(&room, 2);
        cr_assert_eq(pthread_create(&thread, NULL, wish_later, &room.window), 0);
        cr_expect_eq(fetch_window_sleep(&room.window, INT64_MAX), FETCH_STOP);
        pthread_join(thread, NULL);
        close_room(&room);
}

struct told {
        struct fetch_window *window;
        unsigned times;
        bool locked;
};

static void on_freed(void *arg)
{
        struct told *told = arg;

        told->times++;
        told->locked = pthread_mutex_trylock(&told->window->lock) == EBUSY;
}

static void *give_later(void *arg)
{
        usleep(20000);
        cas_slot_give(arg);
        return NULL;
}

Test(fetch_window, slot_that_comes_back_wakes_those_who_wait)
{
        struct told told = {0};
        struct room room;
        struct cas_slot *slots[2];
        pthread_t thread;

        open_room(&room, 2);
        told.window = &room.window;
        for (int i = 0; i < 2; i++)
                slots[i] = cas_slot_take(&room.window.client);
        pthread_mutex_lock(&room.window.lock);
        room.window.freed = on_freed;
        room.window.arg = &told;
        cr_expect_not(fetch_window_reserve(&room.window, 0, 1));
        cr_assert_eq(pthread_create(&thread, NULL, give_later, slots[0]), 0);
        while (!fetch_window_reserve(&room.window, 0, 1))
                fetch_window_wait(&room.window, INT64_MAX);
        cr_expect_eq(told.times, 1);
        cr_expect(told.locked);
        room.window.freed = NULL;
        pthread_mutex_unlock(&room.window.lock);
        pthread_join(thread, NULL);
        cas_slot_give(slots[1]);
        cr_expect_eq(told.times, 1);
        close_room(&room);
}
