/*
 * The part of an asset that is on its way: slots in the order of the asset, filled by one
 * transfer or by several side by side, and taken from the front by the flight, which
 * hashes and writes them. Lives as long as the flight, so that what is in a slot that is
 * not full yet survives the change to another source.
 *
 *      taken | full | full | part | .... | part | full |        (a slot each)
 *            ^ head               ^ position: the first byte that is missing
 *
 * Also where the flight is told to stop or to make room, whatever it waits for.
 *
 * Threads: many fill (each its own bytes), one takes. Lock: `lock`, public because those
 * who fill and take guard their own state with it too. Functions that say "locked" want
 * it held. Lock order: window, then the transfer loop's or the pool's.
 */
#ifndef FETCH_WINDOW_H
#define FETCH_WINDOW_H

#include "cas/slots.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define FETCH_WINDOW_SLOTS 128 /* at most: with 256 KiB each, 32 MiB */

enum fetch_wish {
        FETCH_GO_ON,
        FETCH_YIELD, /* another origin's flight wants the place: come back later */
        FETCH_STOP,
};

struct fetch_window {
        pthread_mutex_t lock;
        pthread_cond_t changed; /* monotonic */
        struct cas_slots_client client;
        struct cas_slot *ring[FETCH_WINDOW_SLOTS]; /* lock; by number of slot in the asset */
        uint64_t head;                             /* lock; bytes; of the first slot not taken */
        enum fetch_wish wish;                      /* lock */

        /* lock. Called locked when a slot came back to the pool; or NULL. */
        void (*freed)(void *arg);
        void *arg;
};

int fetch_window_init(struct fetch_window *window, struct cas_slots *pool);
void fetch_window_destroy(struct fetch_window *window); /* all slots taken have come back */

/* What to do; wakes whoever waits. Any thread. */
void fetch_window_wish(struct fetch_window *window, enum fetch_wish wish);

/* Locked: waits for a change, until `until_ms` at most (monotonic; INT64_MAX: for ever). */
void fetch_window_wait(struct fetch_window *window, int64_t until_ms);

/* Waits until `until_ms`, or for a wish, which it returns. Not locked. */
enum fetch_wish fetch_window_sleep(struct fetch_window *window, int64_t until_ms);

/* Locked: the first byte that is missing. */
uint64_t fetch_window_position(const struct fetch_window *window);

/* Locked: makes sure of slots for the bytes [from, to). false: not now. */
bool fetch_window_reserve(struct fetch_window *window, uint64_t from, uint64_t to);

/* Locked: the slot of a byte, or NULL. */
struct cas_slot *fetch_window_slot(const struct fetch_window *window, uint64_t at);

/* Into slots that are reserved, after the bytes that are in there. Not locked: nobody else
 * fills these. Then, locked, count(). */
void fetch_window_copy(struct fetch_window *window, uint64_t at, const void *bytes, size_t length);
void fetch_window_count(struct fetch_window *window, uint64_t at, size_t length);

/* Locked: takes the first slot if it is full, else NULL. */
struct cas_slot *fetch_window_take(struct fetch_window *window);

/* Locked: takes the first slot, full or not, or NULL where there is none. */
struct cas_slot *fetch_window_take_part(struct fetch_window *window);

/* Gives the slots back that do not join on to what is there. Nobody is filling. Not locked. */
void fetch_window_drop_loose(struct fetch_window *window);

/* All of them, and begins anew at `head`, with `part` (or NULL) as its first slot. Nobody is
 * filling. Not locked. */
void fetch_window_reset(struct fetch_window *window, uint64_t head, struct cas_slot *part);

#endif
