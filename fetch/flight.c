/*
 * The table of flights and the threads that run them. What one flight does is in
 * fetch/attempt.c; this file knows who waits, who runs and what is remembered.
 */
#include "fetch/flight.h"

#include "fetch/attempt.h"
#include "fetch/clock.h"
#include "fetch/memory.h"
#include "fetch/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define REMEMBERED_FAILURES 4096

/*
 * How long a failure answers the next open by itself, so that a crash-looping
 * launcher does not hammer the origin: long enough to thin out retries, short
 * enough that nobody has to wait for it once the cause is gone.
 */
#define REMEMBER_VERDICT_MS 2000 /* the bytes or the answer were wrong */
#define REMEMBER_TROUBLE_MS 500  /* the origin was down or slow */

struct flight {
        struct cas_map_entry entry;
        struct fetch_crowd crowd;
        struct flight *queue_next;
};

struct fetch_flights {
        struct fetch_config config;
        struct http_loop *loop;
        atomic_bool cancelled;

        pthread_mutex_t lock;
        pthread_cond_t thread_ended;
        struct cas_map map;           /* lock; of struct flight */
        struct flight *queue_first;   /* lock; not running yet */
        struct flight *queue_last;    /* lock */
        unsigned threads;             /* lock */
        struct fetch_memory failures; /* lock */
};

int fetch_flights_new(const struct fetch_config *config, struct http_loop *loop,
                      struct fetch_flights **ret)
{
        struct fetch_flights *flights = calloc(1, sizeof(*flights));

        if (!flights)
                return -ENOMEM;
        flights->config = *config;
        flights->loop = loop;
        pthread_mutex_init(&flights->lock, NULL);
        pthread_cond_init(&flights->thread_ended, NULL);
        if (cas_map_init(&flights->map) < 0 ||
            fetch_memory_init(&flights->failures, REMEMBERED_FAILURES) < 0) {
                fetch_flights_free(flights);
                return -ENOMEM;
        }
        *ret = flights;
        return 0;
}

void fetch_flights_free(struct fetch_flights *flights)
{
        if (!flights)
                return;
        cas_map_destroy(&flights->map);
        if (flights->failures.map.buckets)
                fetch_memory_destroy(&flights->failures);
        pthread_cond_destroy(&flights->thread_ended);
        pthread_mutex_destroy(&flights->lock);
        free(flights);
}

static int64_t remember_ms(const struct fetch_cause *cause)
{
        switch (cause->kind) {
        case FETCH_WRONG_BYTES:
        case FETCH_TOO_BIG:
        case FETCH_DENIED:
        case FETCH_NOT_FOUND:
                return REMEMBER_VERDICT_MS;
        case FETCH_STALLED:
        case FETCH_UNREACHABLE:
        case FETCH_ORIGIN_FAILED:
                return REMEMBER_TROUBLE_MS;
        default:
                return 0; /* our own disk: the next open finds out whether it is better */
        }
}

/* Ends the flight in the table, then tells those who waited. */
static void land(struct fetch_flights *flights, struct flight *flight,
                 const struct fetch_cause *cause, uint64_t size)
{
        const struct cas_digest *digest = &flight->entry.digest;

        pthread_mutex_lock(&flights->lock);
        if (cause->kind == FETCH_OK)
                fetch_memory_forget(&flights->failures, digest);
        else if (cause->kind != FETCH_CANCELLED)
                fetch_memory_note(&flights->failures, digest, 0, cause,
                                  fetch_now_ms() + remember_ms(cause));

        struct fetch_waiter *waiters = fetch_crowd_dissolve(&flight->crowd);

        cas_map_remove(&flights->map, &flight->entry);
        pthread_mutex_unlock(&flights->lock);

        fetch_crowd_tell(waiters, cause, size);
        free(flight);
}

static void fly(struct fetch_flights *flights, struct flight *flight)
{
        struct fetch_attempt attempt = {
            .config = &flights->config,
            .loop = flights->loop,
            .cancelled = &flights->cancelled,
            .digest = flight->entry.digest,
            .started_ms = fetch_now_ms(),
        };

        fetch_attempt_run(&attempt);
        land(flights, flight, &attempt.cause, attempt.size);
}

static struct flight *first_in_queue(struct fetch_flights *flights)
{
        struct flight *flight = flights->queue_first;

        if (flight) {
                flights->queue_first = flight->queue_next;
                if (!flights->queue_first)
                        flights->queue_last = NULL;
        }
        return flight;
}

/* Under the lock. Those that everybody has left are dropped: whom the queue made wait too
 * long must not lengthen it for the others. */
static struct flight *next_in_queue(struct fetch_flights *flights)
{
        struct flight *flight;

        while ((flight = first_in_queue(flights)) && !flight->crowd.first) {
                cas_map_remove(&flights->map, &flight->entry);
                free(flight);
        }
        return flight;
}

static void *run(void *arg)
{
        struct fetch_flights *flights = arg;
        struct flight *flight;

        pthread_setname_np(pthread_self(), "flight");
        pthread_mutex_lock(&flights->lock);
        while ((flight = next_in_queue(flights))) {
                pthread_mutex_unlock(&flights->lock);
                fly(flights, flight);
                pthread_mutex_lock(&flights->lock);
        }
        flights->threads--;
        pthread_cond_broadcast(&flights->thread_ended);
        pthread_mutex_unlock(&flights->lock);
        return NULL;
}

/* Under the lock. Another thread if there may be one; false when nobody would fly. */
static bool ensure_thread(struct fetch_flights *flights)
{
        if (flights->threads >= flights->config.max_downloads)
                return true;
        if (fetch_thread_start(NULL, run, flights) == 0)
                flights->threads++;
        return flights->threads > 0;
}

/* Under the lock. NULL when there is no memory or no thread for it. */
static struct flight *take_off(struct fetch_flights *flights, const struct cas_digest *digest)
{
        struct flight *flight = calloc(1, sizeof(*flight));

        if (!flight || !ensure_thread(flights)) {
                free(flight);
                return NULL;
        }
        flight->entry.digest = *digest;
        cas_map_insert(&flights->map, &flight->entry);
        if (flights->queue_last)
                flights->queue_last->queue_next = flight;
        else
                flights->queue_first = flight;
        flights->queue_last = flight;
        return flight;
}

/* Under the lock. Joins a flight (true), or says in *ret why not. */
static bool join(struct fetch_flights *flights, const struct cas_digest *digest,
                 struct fetch_waiter *waiter, struct fetch_cause *ret)
{
        const struct fetch_note *note;
        struct flight *flight = (struct flight *)cas_map_find(&flights->map, digest);

        if (atomic_load(&flights->cancelled)) {
                fetch_cause_set(ret, FETCH_CANCELLED, "stopping");
                return false;
        }
        if (!flight && (note = fetch_memory_recall(&flights->failures, digest, fetch_now_ms()))) {
                *ret = *note->cause;
                return false;
        }
        if (!flight)
                flight = take_off(flights, digest);
        if (!flight) {
                fetch_cause_set_disk(ret, ENOMEM, "flight");
                return false;
        }
        fetch_crowd_join(&flight->crowd, waiter);
        return true;
}

void fetch_flights_join(struct fetch_flights *flights, const struct cas_digest *digest,
                        struct fetch_waiter *waiter)
{
        struct fetch_cause cause = {0};

        pthread_mutex_lock(&flights->lock);

        bool joined = join(flights, digest, waiter, &cause);

        pthread_mutex_unlock(&flights->lock);
        if (!joined)
                waiter->done(waiter, &cause, 0);
}

bool fetch_flights_leave(struct fetch_flights *flights, struct fetch_waiter *waiter)
{
        pthread_mutex_lock(&flights->lock);

        bool waits = waiter->crowd;

        if (waits)
                fetch_crowd_leave(waiter->crowd, waiter);
        pthread_mutex_unlock(&flights->lock);
        return waits;
}

bool fetch_flights_has(struct fetch_flights *flights, const struct cas_digest *digest)
{
        pthread_mutex_lock(&flights->lock);

        bool has = cas_map_find(&flights->map, digest);

        pthread_mutex_unlock(&flights->lock);
        return has;
}

bool fetch_flights_last_failure(struct fetch_flights *flights, const struct cas_digest *digest,
                                struct fetch_cause *ret)
{
        pthread_mutex_lock(&flights->lock);

        const struct fetch_note *note = fetch_memory_last(&flights->failures, digest);

        if (note)
                *ret = *note->cause;
        pthread_mutex_unlock(&flights->lock);
        return note;
}

void fetch_flights_stop(struct fetch_flights *flights)
{
        /* Flights that only queue are still flown: each ends at its first step. */
        pthread_mutex_lock(&flights->lock);
        atomic_store(&flights->cancelled, true);
        while (flights->threads > 0)
                pthread_cond_wait(&flights->thread_ended, &flights->lock);
        pthread_mutex_unlock(&flights->lock);
}
