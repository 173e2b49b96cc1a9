/*
 * Catalogs by URL: brought at the start and then again and again, by conditional requests, and
 * swapped in when they are good (fetch/catalogs.h). Nobody waits for them.
 *
 * What a server sends is parsed in full together with all other catalogs before it counts; what
 * is broken, unreachable or too large leaves the last good one in force. That one is kept in the
 * cache (cas/kept.h), so that a start without a network has its names at once.
 *
 * A refresh that fails is tried again after 1, 2, 4, … s, at most the interval; a good one, after
 * the interval. All times are spread by chance, so that a fleet does not ask at once.
 */
#ifndef FETCH_REFRESH_H
#define FETCH_REFRESH_H

#include "fetch/catalogs.h"
#include "fetch/http.h"
#include "fetch/locate.h"

struct fetch_refresh;

enum fetch_refresh_event {
        FETCH_CATALOG_FRESH,       /* another version is in force */
        FETCH_CATALOG_REFUSED,     /* what came is no catalog, or contradicts the others */
        FETCH_CATALOG_UNREACHABLE, /* nothing came */
        FETCH_CATALOG_GOOD,        /* what failed before is well, and nothing has changed */
        FETCH_CATALOG_NOT_KEPT,    /* it is in force, but the cache's disk did not take it */
};

struct fetch_refresh_report {
        enum fetch_refresh_event event;
        const char *url; /* without secrets */
        const char *why; /* of the failures, quotable; else "" */
        size_t assets;   /* of all catalogs together */
        bool here;       /* some version of it is in force */
};

/* One of them, as it is seen from outside. */
struct fetch_refresh_view {
        const char *url;     /* without secrets */
        bool here;           /* some version of it is in force */
        int64_t checked_ms;  /* wall clock: when its server last said that ours is the latest; 0 */
        const char *failure; /* of the last try, or NULL */
};

struct fetch_refresh_config {
        struct fetch_catalogs *catalogs;
        /* All catalogs in their order, those that are files too; what is brought goes into them.
         * They live as long as the refresh, which alone uses them. */
        struct fetch_catalog_text *texts;
        const struct fetch_origin *origins; /* what belongs to each, its credentials */
        size_t count;
        int root;            /* the cache's; or -1: nothing is kept */
        bool may_prune;      /* copies of other catalogs are removed */
        unsigned interval_s; /* 0: until it went well once */
        /* From a thread of its own, and from fetch_refresh_new(). Not for the same failure twice
         * in a row. */
        void (*report)(void *arg, const struct fetch_refresh_report *report);
        void *arg;
};

/* The kept copies are in force when it returns. 0 or -errno. `config` is copied. */
int fetch_refresh_new(const struct fetch_refresh_config *config, struct http_loop *loop,
                      struct fetch_locator *locator, struct fetch_refresh **ret);

/* To be called once the loop cancels all transfers. No report after it. Accepts NULL. */
void fetch_refresh_stop(struct fetch_refresh *refresh);
void fetch_refresh_free(struct fetch_refresh *refresh); /* after stop; accepts NULL */

/* Calls `each` for every catalog that comes by URL; under a lock. Accepts NULL. */
void fetch_refresh_look(struct fetch_refresh *refresh,
                        void (*each)(void *arg, const struct fetch_refresh_view *view), void *arg);

#endif
