/*
 * Flights: one per digest, run by a bounded number of threads that exist only
 * while there is something to do. A flight looks into the store first (another
 * flight may have just ended; a blob may only need its hash checked), then reads
 * one source after the other into an ingest until one is right.
 */
#ifndef FETCH_FLIGHT_H
#define FETCH_FLIGHT_H

#include "fetch/crowd.h"

struct fetch_flights;

int fetch_flights_new(const struct fetch_config *config, struct http_loop *loop,
                      struct fetch_flights **ret);
/* As fetch_stop(); the caller has told the loop to cancel all transfers. */
void fetch_flights_stop(struct fetch_flights *flights);
void fetch_flights_free(struct fetch_flights *flights); /* accepts NULL */

void fetch_flights_join(struct fetch_flights *flights, const struct cas_digest *digest,
                        struct fetch_waiter *waiter);
bool fetch_flights_leave(struct fetch_flights *flights, struct fetch_waiter *waiter);
void fetch_flights_look(struct fetch_flights *flights,
                        bool (*each)(void *arg, const struct fetch_view *view), void *arg);
bool fetch_flights_cancel(struct fetch_flights *flights, const struct cas_digest *digest);
bool fetch_flights_has(struct fetch_flights *flights, const struct cas_digest *digest);
bool fetch_flights_last_failure(struct fetch_flights *flights, const struct cas_digest *digest,
                                struct fetch_cause *ret);

#endif
