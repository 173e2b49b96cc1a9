/*
 * The table of flights and the threads that run them. What one flight does is in
 * fetch/attempt.c; this file knows who waits, who runs and what is remembered.
 */
#include "fetch/flight.h"

#include "fetch/attempt.h"
#include "fetch/clock.h"
#include "fetch/memory.h"
#include "fetch/places.h"
#include "fetch/thread.h"
#include "fetch/url.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
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
        struct fetch_place place;
        struct fetch_attempt *attempt; /* once it has been in the air */
        int64_t asked_ms;
        /* For the rate: what was seen last. */
        int64_t seen_ms;
        uint64_t seen_bytes;
        uint64_t rate;
        struct flight *airborne_next;
        struct flight *airborne_prev;
};

struct fetch_flights {
        struct fetch_config config;
        struct http_loop *loop;
        struct cas_slots *slots;
        struct fetch_health health;

        pthread_mutex_t lock;
        pthread_cond_t thread_ended;
        struct cas_map map;           /* lock; of struct flight */
        struct fetch_places places;   /* lock; who may run, and who waits */
        struct flight *airborne;      /* lock; those with an attempt */
        unsigned threads;             /* lock */
        bool stopping;                /* lock */
        struct fetch_memory failures; /* lock */
};

static struct flight *flight_at(struct fetch_place *place)
{
        return place ? (struct flight *)((char *)place - offsetof(struct flight, place)) : NULL;
}

int fetch_flights_new(const struct fetch_config *config, struct http_loop *loop,
                      struct fetch_flights **ret)
{
        struct fetch_flights *flights = calloc(1, sizeof(*flights));

        if (!flights)
                return -ENOMEM;
        flights->config = *config;
        flights->loop = loop;
        fetch_places_init(&flights->places, config->max_downloads);
        fetch_health_init(&flights->health);
        pthread_mutex_init(&flights->lock, NULL);
        pthread_cond_init(&flights->thread_ended, NULL);

        int r = cas_slots_new(config->memory, config->max_downloads, &flights->slots);

        if (r == 0)
                r = cas_map_init(&flights->map);
        if (r == 0)
                r = fetch_memory_init(&flights->failures, REMEMBERED_FAILURES);
        if (r < 0) {
                fetch_flights_free(flights);
                return r;
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
        cas_slots_free(flights->slots);
        fetch_health_destroy(&flights->health);
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

/* Under the lock, which it leaves. Ends the flight in the table, then tells those who waited. */
static void land(struct fetch_flights *flights, struct flight *flight,
                 const struct fetch_cause *cause, uint64_t size)
{
        const struct cas_digest *digest = &flight->entry.digest;

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
        pthread_mutex_lock(&flights->lock);
}

/* Under the lock. It is going to run. false without memory. */
static bool board(struct fetch_flights *flights, struct flight *flight)
{
        struct fetch_attempt *attempt = calloc(1, sizeof(*attempt));

        if (!attempt)
                return false;
        *attempt = (struct fetch_attempt){
            .config = &flights->config,
            .loop = flights->loop,
            .slots = flights->slots,
            .health = &flights->health,
            .digest = flight->entry.digest,
            .started_ms = fetch_now_ms(),
        };
        fetch_attempt_init(attempt);
        if (flights->stopping)
                fetch_attempt_cancel(attempt, false);
        flight->attempt = attempt;
        flight->airborne_next = flights->airborne;
        if (flights->airborne)
                flights->airborne->airborne_prev = flight;
        flights->airborne = flight;
        return true;
}

/* Under the lock. Its attempt is the caller's to free. */
static struct fetch_attempt *disembark(struct fetch_flights *flights, struct flight *flight)
{
        struct fetch_attempt *attempt = flight->attempt;

        if (flight->airborne_prev)
                flight->airborne_prev->airborne_next = flight->airborne_next;
        else
                flights->airborne = flight->airborne_next;
        if (flight->airborne_next)
                flight->airborne_next->airborne_prev = flight->airborne_prev;
        flight->attempt = NULL;
        return attempt;
}

/* Under the lock. Those that everybody has left before they began are dropped: whom the queue
 * made wait too long must not lengthen it for the others. */
static struct flight *next_to_fly(struct fetch_flights *flights)
{
        struct flight *flight;

        while ((flight = flight_at(fetch_places_next(&flights->places))) && !flight->attempt &&
               !flight->crowd.first) {
                fetch_places_leave(&flights->places, &flight->place);
                cas_map_remove(&flights->map, &flight->entry);
                free(flight);
        }
        return flight;
}

/* Under the lock. An operator cancelled it, and since then somebody has asked for it. */
static bool is_wanted_again(const struct fetch_flights *flights, const struct flight *flight,
                            const struct fetch_attempt *attempt)
{
        return atomic_load(&attempt->dropped) && attempt->cause.kind == FETCH_CANCELLED &&
               flight->crowd.first && !flights->stopping;
}

/* Under the lock, which it leaves to fly. */
static void fly(struct fetch_flights *flights, struct flight *flight)
{
        static const struct fetch_cause no_memory = {
            .kind = FETCH_DISK, .error = ENOMEM, .text = "flight: out of memory"};
        bool boarded = flight->attempt || board(flights, flight);

        if (boarded && !atomic_load(&flight->attempt->cancelled))
                fetch_window_wish(&flight->attempt->window, FETCH_GO_ON);
        pthread_mutex_unlock(&flights->lock);

        bool done = !boarded || fetch_attempt_run(flight->attempt);

        pthread_mutex_lock(&flights->lock);
        if (!done) {
                fetch_places_yield(&flights->places, &flight->place);
                return;
        }

        struct fetch_attempt *attempt = boarded ? disembark(flights, flight) : NULL;

        pthread_mutex_unlock(&flights->lock);
        if (attempt)
                fetch_attempt_destroy(attempt); /* first: whoever is told finds nothing left over */
        pthread_mutex_lock(&flights->lock);
        if (attempt && is_wanted_again(flights, flight, attempt)) {
                fetch_places_yield(&flights->places, &flight->place);
        } else {
                fetch_places_leave(&flights->places, &flight->place);
                land(flights, flight, attempt ? &attempt->cause : &no_memory,
                     attempt ? attempt->size : 0);
        }
        free(attempt);
}

static void *run(void *arg)
{
        struct fetch_flights *flights = arg;
        struct flight *flight;

        pthread_setname_np(pthread_self(), "flight");
        pthread_mutex_lock(&flights->lock);
        while ((flight = next_to_fly(flights)))
                fly(flights, flight);
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

/* With which server the flight begins, as a number; 0: with none. */
static uint64_t server_of(const struct fetch_flights *flights, const struct cas_digest *digest)
{
        struct fetch_source *sources = fetch_sources(&flights->config.origins, digest);
        uint64_t hash = 14695981039346656037u; /* FNV-1a, 64 bits */
        char server[FETCH_SERVER_MAX] = "";

        if (sources && sources[0].url)
                fetch_url_server(sources[0].url, server, sizeof(server));
        fetch_sources_free(sources);
        for (const char *byte = server; *byte; byte++)
                hash = (hash ^ (unsigned char)*byte) * 1099511628211u;
        return server[0] ? hash : 0;
}

/* Under the lock. `place` runs, and is asked to make room for another server's flight. */
static void make_room(struct fetch_place *place)
{
        const struct flight *flight = flight_at(place);

        if (flight && flight->attempt)
                fetch_window_wish(&flight->attempt->window, FETCH_YIELD);
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
        flight->asked_ms = flight->seen_ms = fetch_now_ms();
        cas_map_insert(&flights->map, &flight->entry);
        make_room(fetch_places_join(&flights->places, &flight->place, server_of(flights, digest)));
        return flight;
}

/* Under the lock. Joins a flight (true), or says in *ret why not. */
static bool join(struct fetch_flights *flights, const struct cas_digest *digest,
                 struct fetch_waiter *waiter, struct fetch_cause *ret)
{
        const struct fetch_note *note;
        struct flight *flight = (struct flight *)cas_map_find(&flights->map, digest);

        if (flights->stopping) {
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

#define RATE_MS 1000 /* a rate is over so long at least, or since the flight began */

/* Under the lock. */
static void note_rate(struct flight *flight, const struct fetch_view *view, int64_t now_ms)
{
        int64_t passed_ms = now_ms - flight->seen_ms;
        uint64_t gained = view->bytes > flight->seen_bytes ? view->bytes - flight->seen_bytes : 0;

        if (passed_ms < RATE_MS && flight->seen_bytes > 0)
                return;
        if (passed_ms > 0)
                flight->rate = gained * 1000 / (uint64_t)passed_ms;
        if (passed_ms >= RATE_MS) {
                flight->seen_ms = now_ms;
                flight->seen_bytes = view->bytes;
        }
}

/* Under the lock. */
static bool look_at(struct flight *flight, int64_t now_ms,
                    bool (*each)(void *arg, const struct fetch_view *view), void *arg)
{
        struct fetch_view view = {.digest = flight->entry.digest,
                                  .running = flight->place.running,
                                  .size = CAS_SIZE_UNKNOWN,
                                  .since_ms = flight->asked_ms};

        for (const struct fetch_waiter *w = flight->crowd.first; w; w = w->next)
                view.waiters++;
        if (flight->attempt) {
                fetch_attempt_view(flight->attempt, &view);
                note_rate(flight, &view, now_ms);
                view.rate = view.running ? flight->rate : 0;
        }
        return each(arg, &view);
}

void fetch_flights_look(struct fetch_flights *flights,
                        bool (*each)(void *arg, const struct fetch_view *view), void *arg)
{
        struct fetch_places *places = &flights->places;
        int64_t now_ms = fetch_now_ms();
        bool more = true;

        pthread_mutex_lock(&flights->lock);
        for (struct fetch_place *at = places->runners.first; more && at; at = at->next)
                more = look_at(flight_at(at), now_ms, each, arg);
        for (struct fetch_place *at = places->waiting.first; more && at; at = at->next)
                more = look_at(flight_at(at), now_ms, each, arg);
        pthread_mutex_unlock(&flights->lock);
}

bool fetch_flights_cancel(struct fetch_flights *flights, const struct cas_digest *digest)
{
        struct fetch_cause cause = {0};
        struct fetch_waiter *waiters = NULL;

        fetch_cause_set(&cause, FETCH_CANCELLED, FETCH_DROPPED);
        pthread_mutex_lock(&flights->lock);

        struct flight *flight = (struct flight *)cas_map_find(&flights->map, digest);

        if (flight) {
                waiters = fetch_crowd_dissolve(&flight->crowd);
                /* One that has not been in the air is dropped when its turn comes and nobody waits
                 * for it; who asks for it before that has asked anew. */
                if (flight->attempt)
                        fetch_attempt_cancel(flight->attempt, true);
        }
        pthread_mutex_unlock(&flights->lock);
        fetch_crowd_tell(waiters, &cause, 0);
        return flight;
}

void fetch_flights_stop(struct fetch_flights *flights)
{
        /* Flights that only queue are still flown: each ends at its first step. */
        pthread_mutex_lock(&flights->lock);
        flights->stopping = true;
        for (struct flight *flight = flights->airborne; flight; flight = flight->airborne_next)
                fetch_attempt_cancel(flight->attempt, false);
        while (flights->threads > 0)
                pthread_cond_wait(&flights->thread_ended, &flights->lock);
        pthread_mutex_unlock(&flights->lock);
}
