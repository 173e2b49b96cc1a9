/*
 * The waiters of one flight or one size question. Guarded by the lock of the
 * table that the flight or question is in; see fetch/fetch.h for the waiter.
 */
#ifndef FETCH_CROWD_H
#define FETCH_CROWD_H

#include "fetch/fetch.h"

struct fetch_crowd {
        struct fetch_waiter *first;
};

void fetch_crowd_join(struct fetch_crowd *crowd, struct fetch_waiter *waiter);
void fetch_crowd_leave(struct fetch_crowd *crowd, struct fetch_waiter *waiter);

/* Takes all waiters out: from now on none of them can leave. Returns the first. */
struct fetch_waiter *fetch_crowd_dissolve(struct fetch_crowd *crowd);

/* Calls every waiter of a dissolved crowd. Without any lock held. */
void fetch_crowd_tell(struct fetch_waiter *first, const struct fetch_cause *cause, uint64_t size);

#endif
