/*
 * Slots: the fixed buffers in which bytes wait between the network and the disk. One
 * pool with one budget for all flights, so that memory depends on neither the number
 * of downloads nor the size of an asset.
 *
 * Each client (a flight) has CAS_SLOTS_RESERVED slots that nobody else can take, so that
 * it always moves; the rest is shared out evenly among the clients that there are.
 * Memory is had from the kernel when a slot is first taken, and given back when the
 * last client leaves.
 *
 * Threads: all functions from any thread. Lock: the pool's, the innermost of all.
 */
#ifndef CAS_SLOTS_H
#define CAS_SLOTS_H

#include <stddef.h>

/* The file is written in whole slots, aligned as O_DIRECT wants it on every disk. */
#define CAS_SLOT_BYTES     (256u * 1024)
#define CAS_SLOTS_RESERVED 2

struct cas_slots;

/* A flight. The pool's lock guards `used`. */
struct cas_slots_client {
        struct cas_slots *pool;
        unsigned used;
        unsigned most; /* slots it may have at once; its own wish, changed by its owner only */
        void (*freed)(void *arg); /* a slot of this client came back; without any lock */
        void *arg;
};

struct cas_slot {
        struct cas_slots_client *client;
        struct cas_slot *next;                       /* its holder's */
        size_t filled;                               /* bytes, from the start */
        unsigned users;                              /* of an ingest, by its lock */
        char bytes[] __attribute__((aligned(4096))); /* CAS_SLOT_BYTES */
};

/* `clients`: the most that have slots at once; more may have joined. -EINVAL where the budget
 * cannot serve so many. */
int cas_slots_new(size_t budget_bytes, unsigned clients, struct cas_slots **ret);
void cas_slots_free(struct cas_slots *pool); /* accepts NULL; nobody is in */

void cas_slots_join(struct cas_slots *pool, struct cas_slots_client *client);
void cas_slots_leave(struct cas_slots_client *client); /* has given all back */

/* An empty slot, or NULL: the client has what it may have now, or there is no memory. */
struct cas_slot *cas_slot_take(struct cas_slots_client *client);
void cas_slot_give(struct cas_slot *slot); /* accepts NULL; calls freed() */

/* How many slots the client could take now, and in *ret_used how many it has. */
unsigned cas_slots_room(struct cas_slots_client *client, unsigned *ret_used);

#endif
