/*
 * The pool: its budget is a bound, its reserve is a promise, and what is left is shared
 * out evenly, whoever comes and goes.
 */
#include "cas/slots.h"

#include "tests/unit/scratch.h"
#include "tests/unit/slot.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

TestSuite(cas_slots, .timeout = 20);

#define MANY 64

static struct cas_slots *new_pool(unsigned slots, unsigned clients)
{
        struct cas_slots *pool = NULL;

        cr_assert_eq(cas_slots_new((size_t)slots * CAS_SLOT_BYTES, clients, &pool), 0);
        return pool;
}

/* Takes all that the client may have; how many. */
static unsigned take_all(struct cas_slots_client *client, struct cas_slot **ret)
{
        unsigned count = 0;

        while (count < MANY && (ret[count] = cas_slot_take(client)))
                count++;
        return count;
}

static void give_all(struct cas_slot **slots, unsigned count)
{
        while (count > 0)
                cas_slot_give(slots[--count]);
}

Test(cas_slots, budget_that_serves_too_few_is_refused)
{
        struct cas_slots *pool = NULL;

        cr_expect_eq(cas_slots_new((size_t)8 * CAS_SLOT_BYTES - 1, 4, &pool), -EINVAL);
        cr_expect_eq(cas_slots_new(0, 1, &pool), -EINVAL);
        cr_expect_null(pool);
        pool = new_pool(8, 4);
        cas_slots_free(pool);
        cas_slots_free(NULL);
}

Test(cas_slots, slot_is_empty_and_aligned_for_the_disk)
{
        struct cas_slots_client client = {0};
        struct cas_slots *pool = pool_of(2, &client);
        struct cas_slot *slot = cas_slot_take(&client);

        cr_assert_not_null(slot);
        for (int again = 0; again < 2; again++) {
                cr_expect_eq(slot->filled, 0);
                cr_expect_eq(slot->users, 0);
                cr_expect_null(slot->next);
                cr_expect_eq(slot->client, &client);
                cr_expect_eq((uintptr_t)slot->bytes % 4096, 0);
                memset(slot->bytes, 0xff, CAS_SLOT_BYTES);
                slot->filled = CAS_SLOT_BYTES;
                slot->users = 7;
                slot->next = slot;
                cas_slot_give(slot);
                slot = cas_slot_take(&client);
                cr_assert_not_null(slot);
        }
        cas_slot_give(slot);
        cas_slot_give(NULL);
        drain_pool(pool, &client);
}

Test(cas_slots, alone_a_client_has_all_but_what_others_may_claim)
{
        struct cas_slots_client client = {.most = MANY};
        struct cas_slots *pool = new_pool(20, 4);
        struct cas_slot *slots[MANY];
        unsigned used = 99;

        cas_slots_join(pool, &client);
        cr_expect_eq(cas_slots_room(&client, &used), 14, "20, less two for each of three others");
        cr_expect_eq(used, 0);
        cr_expect_eq(take_all(&client, slots), 14);
        cr_expect_eq(cas_slots_room(&client, &used), 0);
        cr_expect_eq(used, 14);
        give_all(slots, 14);
        drain_pool(pool, &client);
}

Test(cas_slots, reserve_is_there_whatever_the_others_have)
{
        struct cas_slots_client clients[4] = {
            {.most = MANY}, {.most = MANY}, {.most = MANY}, {.most = MANY}};
        struct cas_slots *pool = new_pool(20, 4);
        struct cas_slot *slots[4][MANY];
        unsigned counts[4];

        /* Each comes when the ones before it have all they can get. */
        for (int i = 0; i < 4; i++) {
                cas_slots_join(pool, &clients[i]);
                counts[i] = take_all(&clients[i], slots[i]);
                cr_expect_geq(counts[i], CAS_SLOTS_RESERVED, "client %d", i);
        }
        cr_expect_leq(counts[0] + counts[1] + counts[2] + counts[3], 20);
        for (int i = 0; i < 4; i++)
                give_all(slots[i], counts[i]);
        for (int i = 0; i < 4; i++) {
                cr_expect_eq(used_by(&clients[i]), 0);
                cas_slots_leave(&clients[i]);
        }
        cas_slots_free(pool);
}

Test(cas_slots, share_is_even_among_those_who_are_there)
{
        struct cas_slots_client one = {.most = MANY};
        struct cas_slots_client other = {.most = MANY};
        struct cas_slots *pool = new_pool(20, 4);
        struct cas_slot *first[MANY];
        struct cas_slot *second[MANY];
        unsigned count;

        cas_slots_join(pool, &one);
        count = take_all(&one, first);
        cr_expect_eq(count, 14);
        cas_slots_join(pool, &other);
        cr_expect_eq(take_all(&other, second), 2, "the rest is lent out");

        /* What the one gives back above its share is the other's. */
        while (count > 8) {
                cas_slot_give(first[--count]);
                cr_expect_null(cas_slot_take(&one), "above its share");
        }
        cr_expect_eq(take_all(&other, second + 2), 6);
        cr_expect_null(cas_slot_take(&other));
        cr_expect_null(cas_slot_take(&one));

        give_all(second, 8);
        cas_slots_leave(&other);
        cr_expect_eq(take_all(&one, first + count), 6, "alone again");
        give_all(first, 14);
        drain_pool(pool, &one);
}

Test(cas_slots, most_is_a_bound_of_the_clients_own)
{
        struct cas_slots_client client = {0};
        struct cas_slots *pool = pool_of(20, &client);
        struct cas_slot *slots[MANY];
        unsigned used;

        client.most = 3;
        cr_expect_eq(take_all(&client, slots), 3);
        client.most = 5;
        cr_expect_eq(cas_slots_room(&client, &used), 2);
        cr_expect_eq(take_all(&client, slots + 3), 2);
        client.most = 1;
        cr_expect_eq(cas_slots_room(&client, &used), 0, "it has more than it wishes: no underflow");
        give_all(slots, 5);
        cr_expect_eq(take_all(&client, slots), 1);
        give_all(slots, 1);
        drain_pool(pool, &client);
}

struct freed {
        struct cas_slots_client client;
        unsigned times;
        unsigned room; /* when it was called */
        unsigned used;
};

/* Would hang if the pool's lock were held. */
static void on_freed(void *arg)
{
        struct freed *freed = arg;

        freed->times++;
        freed->room = cas_slots_room(&freed->client, &freed->used);
}

Test(cas_slots, freed_is_called_without_the_lock_when_the_slot_is_back)
{
        struct freed freed = {.client = {.freed = on_freed, .arg = &freed}};
        struct cas_slots *pool = pool_of(4, &freed.client);
        struct cas_slot *slots[MANY];

        cr_expect_eq(take_all(&freed.client, slots), 4);
        cr_expect_eq(freed.times, 0);
        cas_slot_give(slots[3]);
        cr_expect_eq(freed.times, 1);
        cr_expect_eq(freed.used, 3);
        cr_expect_eq(freed.room, 1);
        give_all(slots, 3);
        cr_expect_eq(freed.times, 4);
        drain_pool(pool, &freed.client);
}

#define CROWD       6
#define CROWD_SLOTS 24

struct crowd {
        struct cas_slots *pool;
        atomic_uint out;
        atomic_uint most_out;
        atomic_uint refused_reserve;
        atomic_uint shared; /* a slot that somebody else wrote to */
};

static void note_taken(struct crowd *crowd)
{
        unsigned out = atomic_fetch_add(&crowd->out, 1) + 1;
        unsigned most = atomic_load(&crowd->most_out);

        while (out > most && !atomic_compare_exchange_weak(&crowd->most_out, &most, out))
                ;
}

/* Takes and gives at random; each slot bears its holder's mark from end to end. */
static void *live(void *arg)
{
        struct crowd *crowd = arg;
        struct cas_slots_client client = {.most = MANY};
        struct cas_slot *slots[MANY];
        uint64_t state = (uint64_t)(uintptr_t)&client;
        unsigned count = 0;

        cas_slots_join(crowd->pool, &client);
        for (int i = 0; i < (SLOW_BUILD ? 2000 : 100000); i++) {
                if (chance(&state) % 2) {
                        struct cas_slot *slot = cas_slot_take(&client);

                        if (slot) {
                                note_taken(crowd);
                                *(void **)slot->bytes = &client;
                                *(void **)(slot->bytes + CAS_SLOT_BYTES - 4096) = &client;
                                slots[count++] = slot;
                        } else if (count < CAS_SLOTS_RESERVED) {
                                atomic_fetch_add(&crowd->refused_reserve, 1);
                        }
                } else if (count > 0) {
                        struct cas_slot *slot = slots[--count];

                        if (*(void **)slot->bytes != &client ||
                            *(void **)(slot->bytes + CAS_SLOT_BYTES - 4096) != &client)
                                atomic_fetch_add(&crowd->shared, 1);
                        atomic_fetch_sub(&crowd->out, 1);
                        cas_slot_give(slot);
                }
        }
        atomic_fetch_sub(&crowd->out, count);
        give_all(slots, count);
        cas_slots_leave(&client);
        return NULL;
}

Test(cas_slots, budget_and_reserve_hold_among_threads)
{
        struct crowd crowd = {.pool = new_pool(CROWD_SLOTS, CROWD)};
        pthread_t threads[CROWD];

        for (int i = 0; i < CROWD; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, live, &crowd), 0);
        for (int i = 0; i < CROWD; i++)
                pthread_join(threads[i], NULL);
        cr_expect_leq(atomic_load(&crowd.most_out), CROWD_SLOTS);
        cr_expect_gt(atomic_load(&crowd.most_out), CROWD_SLOTS / 3, "the test tested something");
        cr_expect_eq(atomic_load(&crowd.refused_reserve), 0);
        cr_expect_eq(atomic_load(&crowd.shared), 0);
        cr_expect_eq(atomic_load(&crowd.out), 0);

        /* Nothing has leaked: somebody new finds all of it. */
        struct cas_slots_client last = {.most = MANY};
        struct cas_slot *slots[MANY];

        cas_slots_join(crowd.pool, &last);
        cr_expect_eq(take_all(&last, slots), CROWD_SLOTS - (CROWD - 1) * CAS_SLOTS_RESERVED);
        give_all(slots, CROWD_SLOTS - (CROWD - 1) * CAS_SLOTS_RESERVED);
        drain_pool(crowd.pool, &last);
}

static bool is_mapped(const void *page)
{
        unsigned char resident;

        return mincore((void *)page, 4096, &resident) == 0 || errno != ENOMEM;
}

Test(cas_slots, memory_is_given_back_when_the_last_client_leaves)
{
        struct cas_slots_client one = {.most = MANY};
        struct cas_slots_client other = {.most = MANY};
        struct cas_slots *pool = new_pool(8, 2);
        struct cas_slot *slot;

        cas_slots_join(pool, &one);
        cas_slots_join(pool, &other);
        slot = cas_slot_take(&one);
        cr_assert_not_null(slot);

        const void *at = slot->bytes;

        cas_slot_give(slot);
        cas_slots_leave(&one);
        cr_expect(is_mapped(at), "for the next one who takes");
        cas_slots_leave(&other);
        cr_expect_not(is_mapped(at));
        cas_slots_free(pool);
}
