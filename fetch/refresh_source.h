/*
 * A catalog that comes by URL, as refresh.c (when it is asked for) and refresh_take.c (what
 * becomes of what came) share it. Nobody else includes this.
 */
#ifndef FETCH_REFRESH_SOURCE_H
#define FETCH_REFRESH_SOURCE_H

#include "cas/kept.h"
#include "fetch/refresh.h"
#include "fetch/refresh_get.h"

#include <pthread.h>

/* The thread's, but for what is under the lock. */
struct refresh_source {
        struct fetch_refresh *refresh;
        struct fetch_catalog_text *text; /* with the bytes in force */
        struct cas_digest name;          /* of its copy */
        const struct fetch_origin *origin;
        struct fetch_location location; /* while it is asked for */
        bool renewed;                   /* the credential was refused, and another one is tried */
        struct cas_kept known;          /* etag and date of the bytes in force; no bytes */
        struct refresh_get get;
        struct cas_kept came;        /* another version, with bytes, that is not in force (yet) */
        bool is_news;                /* … and was not looked at */
        bool is_copy;                /* … and is what was kept */
        char why[FETCH_CATALOG_WHY]; /* … and was refused for this */
        int64_t due_ms;
        unsigned failures;

        bool running;                    /* lock */
        bool ended;                      /* lock; get is ours again */
        bool here;                       /* lock */
        int64_t checked_ms;              /* lock */
        char failure[FETCH_CATALOG_WHY]; /* lock; or "" */
};

struct fetch_refresh {
        struct fetch_refresh_config config;
        struct http_loop *loop;
        struct fetch_locator *locator;
        int dir;
        struct refresh_source *sources;
        size_t count;
        bool started;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool stopping; /* lock */
};

/* A request has ended, whose pass is not wanted any more: `get` is judged, and its body is news, or
 * gone. Says when the next one is due. */
void refresh_take(struct refresh_source *source);

/* Nothing could be asked for, or came. */
void refresh_fail_to_reach(struct refresh_source *source, const struct fetch_cause *cause);

/* Puts in force what is news and right, and keeps a copy; says so. */
void refresh_take_news(struct fetch_refresh *refresh);

void refresh_drop_came(struct refresh_source *source);

#endif
