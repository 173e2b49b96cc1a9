/*
 * Slots for tests: a pool with one client, and bytes that are known by their place, so
 * that a byte that is missing, doubled or out of order shows.
 */
#ifndef TESTS_UNIT_SLOT_H
#define TESTS_UNIT_SLOT_H

#include "cas/io.h"
#include "cas/slots.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* A few steps of splitmix64; also the tests' own reproducible chance. */
static inline uint64_t mixed(uint64_t number)
{
        number += 0x9e3779b97f4a7c15u;
        number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
        number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
        return number ^ (number >> 31);
}

static inline uint64_t chance(uint64_t *state)
{
        return mixed(++*state);
}

/* The bytes [from, from + length) of the body of all tests. */
static inline void body(uint64_t from, void *ret, size_t length)
{
        unsigned char *next = ret;
        uint64_t word = mixed(from / 8);

        for (uint64_t at = from; at < from + length; at++) {
                if (at % 8 == 0)
                        word = mixed(at / 8);
                *next++ = (unsigned char)(word >> (at % 8 * 8));
        }
}

/* The first byte of the file that is not the body's, or `length` where none is. */
static inline uint64_t body_until(int fd, uint64_t length)
{
        /* Aligned, since the file may be O_DIRECT. */
        static unsigned char found[CAS_SLOT_BYTES] __attribute__((aligned(4096)));
        static unsigned char right[CAS_SLOT_BYTES];
        uint64_t at = 0;

        while (at < length) {
                size_t part = length - at < sizeof(found) ? (size_t)(length - at) : sizeof(found);
                ssize_t got = cas_io_read_at(fd, found, part, at);

                if (got <= 0)
                        break;
                body(at, right, (size_t)got);
                for (size_t i = 0; i < (size_t)got; i++)
                        if (found[i] != right[i])
                                return at + i;
                at += (size_t)got;
        }
        return at;
}

/* A pool of `slots`, all of them the client's if nobody else joins. */
static inline struct cas_slots *pool_of(unsigned slots, struct cas_slots_client *client)
{
        struct cas_slots *pool = NULL;

        cr_assert_eq(cas_slots_new((size_t)slots * CAS_SLOT_BYTES, 1, &pool), 0);
        client->most = slots;
        cas_slots_join(pool, client);
        return pool;
}

static inline unsigned used_by(struct cas_slots_client *client)
{
        unsigned used;

        cas_slots_room(client, &used);
        return used;
}

static inline void drain_pool(struct cas_slots *pool, struct cas_slots_client *client)
{
        cr_expect_eq(used_by(client), 0, "every slot came back");
        cas_slots_leave(client);
        cas_slots_free(pool);
}

/* Waits until the client may have a slot; others give theirs back meanwhile. */
static inline struct cas_slot *take_slot(struct cas_slots_client *client)
{
        struct cas_slot *slot;

        while (!(slot = cas_slot_take(client)))
                usleep(50);
        return slot;
}

/* A slot with the bytes [from, from + length) of the body. */
static inline struct cas_slot *slot_of(struct cas_slots_client *client, uint64_t from,
                                       size_t length)
{
        struct cas_slot *slot = take_slot(client);

        body(from, slot->bytes, length);
        slot->filled = length;
        return slot;
}

#endif
