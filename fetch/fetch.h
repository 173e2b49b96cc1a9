/*
 * The facade fs uses: bring a blob into the store, or tell its size, without
 * making the asker wait. An answer comes through a waiter, from another thread.
 *
 * One flight per digest, however many wait for it: once begun it goes on when they
 * leave. At most `max_downloads` flights run at once, the others queue, and are dropped
 * where nobody waits for them any more when their turn comes. While flights of several
 * servers want to run, none of the servers has more than half of the places.
 *
 * Threads: all functions at any time from any thread, but new, stop and free.
 * Locks: fetch has three, of the flights, of the sizes and of the sizes' helper; none is
 * held while a waiter or the report is called. Does not log: it reports.
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "cas/store.h"
#include "fetch/cause.h"
#include "fetch/http.h"
#include "fetch/origin.h"
#include "fetch/refresh.h"

struct fetch;

enum fetch_event {
        FETCH_EVENT_FETCHED,     /* downloaded and published */
        FETCH_EVENT_REVALIDATED, /* a blob was hashed before it was served, and is right */
        FETCH_EVENT_REFUSED,     /* what stood in the cache was wrong and is gone; goes on */
        FETCH_EVENT_FAILED,
        FETCH_EVENT_SERVER_BAD,  /* a server is asked last for duration_ms, for this cause */
        FETCH_EVENT_SERVER_GOOD, /* … and is as good as the others again */
};

struct fetch_report {
        enum fetch_event event;
        struct cas_digest digest;
        const char *server;                /* "scheme://host:port", of the last two; else NULL */
        const struct fetch_cause *cause;   /* its source also where nothing failed */
        const struct cas_verdict *verdict; /* of REVALIDATED and REFUSED */
        uint64_t bytes;                    /* received, from all sources */
        uint64_t taken_up;                 /* beside them: what a former flight had left */
        int64_t duration_ms;
        unsigned sources; /* tried */
        unsigned tries;   /* of all sources together */
};

struct fetch_config {
        struct cas_store *store;
        struct fetch_origins origins;
        struct http_config http;
        enum cas_verify verify; /* what is hashed before it is served */
        struct fetch_refresh_config refresh;
        /* As of fetch_settings. */
        const struct fetch_auth_opener *opener;
        uint64_t bound;         /* bytes an asset may have */
        size_t memory;          /* bytes, of all flights' buffers together */
        unsigned max_downloads; /* at once */
        unsigned connections;   /* of one flight, at most */
        unsigned retries;       /* of a source, beyond the first try (fetch/plan.h) */
        int64_t patience_ms;    /* the longest that a source may ask to be left alone */
        unsigned size_timeout_ms;
        /* The counter of a server's ("scheme://host:port") bytes, which lives as long as the fetch
         * and is added to as they come; or NULL: they are not counted. From flights' threads. */
        _Atomic uint64_t *(*counter)(void *arg, const char *server);
        void *counter_arg;
        /* Called from a flight's thread, once for each event. */
        void (*report)(void *arg, const struct fetch_report *report);
        void *report_arg;
};

/* Embedded in what waits. The asker sets `done`; the rest is fetch's. */
struct fetch_waiter {
        /* Once, perhaps before the asking function returned, unless fetch_leave_*() said true.
         * `size` is the blob's or asset's size in bytes where cause->kind is FETCH_OK. */
        void (*done)(struct fetch_waiter *waiter, const struct fetch_cause *cause, uint64_t size);

        struct fetch_crowd *crowd;
        struct fetch_waiter *next;
        struct fetch_waiter *prev;
};

/* `config` is copied; what it points to has to live as long as the fetch. 0 or -errno. */
int fetch_new(const struct fetch_config *config, struct fetch **ret);

/* Ends every flight and size question with FETCH_CANCELLED; new ones end so at once. Joins all
 * threads: no waiter is called after it returned. */
void fetch_stop(struct fetch *fetch);
void fetch_free(struct fetch *fetch); /* after stop; accepts NULL */

/* Waits until the blob is in the store (FETCH_OK), or it failed. */
void fetch_blob(struct fetch *fetch, const struct cas_digest *digest, struct fetch_waiter *waiter);

/*
 * Waits for the asset's size, asked of the sources. FETCH_OK with CAS_SIZE_UNKNOWN:
 * there is one, but nobody says its size. `waiter` may be NULL: asks ahead, unless much
 * is being asked for already.
 */
void fetch_size(struct fetch *fetch, const struct cas_digest *digest, struct fetch_waiter *waiter);

/* The size if it is known without asking: from a catalog or remembered; else CAS_SIZE_UNKNOWN. */
uint64_t fetch_known_size(struct fetch *fetch, const struct cas_digest *digest);

/*
 * true: the waiter left and will not be called. false: it is being called, or was.
 * Of the two, the one that matches the question that was asked.
 */
bool fetch_leave_blob(struct fetch *fetch, struct fetch_waiter *waiter);
bool fetch_leave_size(struct fetch *fetch, struct fetch_waiter *waiter);

/* A flight as it is seen from outside. */
struct fetch_view {
        struct cas_digest digest;
        bool running;     /* else it waits for a place */
        uint64_t bytes;   /* there, from the first one on */
        uint64_t size;    /* of the asset, or CAS_SIZE_UNKNOWN */
        uint64_t rate;    /* bytes a second, over the last second or more */
        int64_t since_ms; /* when it began, or was asked for; monotonic */
        unsigned sources; /* tried */
        unsigned tries;
        unsigned waiters;
        char source[FETCH_SOURCE_MAX]; /* of the last try, without secrets; or "" */
};

/* Calls `each` for every flight, those that run first, then the queue in its order, while it
 * returns true. Under a lock: `each` calls nothing of fetch. */
void fetch_look(struct fetch *fetch, bool (*each)(void *arg, const struct fetch_view *view),
                void *arg);

/* Calls `each` for every catalog that comes by URL (fetch/refresh.h). Under a lock: `each` calls
 * nothing of fetch. */
void fetch_look_catalogs(struct fetch *fetch,
                         void (*each)(void *arg, const struct fetch_refresh_view *view), void *arg);

/* Ends the digest's flight without a trace; its waiters get FETCH_CANCELLED. false: there is
 * none. */
bool fetch_cancel(struct fetch *fetch, const struct cas_digest *digest);

/* Is a flight for the digest under way or queued? */
bool fetch_in_flight(struct fetch *fetch, const struct cas_digest *digest);

/* The last failed flight of the digest; false where there was none, or a later one went well. */
bool fetch_last_failure(struct fetch *fetch, const struct cas_digest *digest,
                        struct fetch_cause *ret);

#endif
