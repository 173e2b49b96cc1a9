/*
 * A list of waiters. Pure.
 */
#include "fetch/crowd.h"

void fetch_crowd_join(struct fetch_crowd *crowd, struct fetch_waiter *waiter)
{
        waiter->crowd = crowd;
        waiter->prev = NULL;
        waiter->next = crowd->first;
        if (crowd->first)
                crowd->first->prev = waiter;
        crowd->first = waiter;
}

void fetch_crowd_leave(struct fetch_crowd *crowd, struct fetch_waiter *waiter)
{
        if (waiter->prev)
                waiter->prev->next = waiter->next;
        else
                crowd->first = waiter->next;
        if (waiter->next)
                waiter->next->prev = waiter->prev;
        waiter->crowd = NULL;
}

struct fetch_waiter *fetch_crowd_dissolve(struct fetch_crowd *crowd)
{
        struct fetch_waiter *first = crowd->first;

        for (struct fetch_waiter *waiter = first; waiter; waiter = waiter->next)
                waiter->crowd = NULL;
        crowd->first = NULL;
        return first;
}

void fetch_crowd_tell(struct fetch_waiter *first, const struct fetch_cause *cause, uint64_t size)
{
        while (first) {
                struct fetch_waiter *waiter = first;

                first = waiter->next; /* done() may free the waiter */
                waiter->done(waiter, cause, size);
        }
}
