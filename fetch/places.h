/*
 * Who may download now: so many places, and a queue. While flights of several servers want
 * to run, no server has more than half of the places: one that is slow or dead does not
 * stop the others. Whoever has more, because nobody else wanted any, makes room.
 *
 * Pure bookkeeping. Not locked: the owner's lock guards it.
 */
#ifndef FETCH_PLACES_H
#define FETCH_PLACES_H

#include <stdbool.h>
#include <stdint.h>

/* Embedded in what wants to run. */
struct fetch_place {
        uint64_t server; /* whichever number the joiner gives it */
        struct fetch_place *next;
        struct fetch_place *prev;
        bool running;
        bool yielding; /* runs, and was asked to make room */
};

struct fetch_places_list {
        struct fetch_place *first;
        struct fetch_place *last;
};

struct fetch_places {
        unsigned most;
        unsigned running;
        struct fetch_places_list waiting; /* in order */
        struct fetch_places_list runners; /* the one that began last is last */
};

void fetch_places_init(struct fetch_places *places, unsigned most);

/* Joins the queue. Returns who is to be asked to make room for it (he runs), or NULL. */
struct fetch_place *fetch_places_join(struct fetch_places *places, struct fetch_place *place,
                                      uint64_t server);

/* The next one of the queue, which runs from now on; NULL where none waits or may run. */
struct fetch_place *fetch_places_next(struct fetch_places *places);

/* It made room: it is the first in the queue now. */
void fetch_places_yield(struct fetch_places *places, struct fetch_place *place);

/* It ends, wherever it is. */
void fetch_places_leave(struct fetch_places *places, struct fetch_place *place);

#endif
