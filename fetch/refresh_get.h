/*
 * One request for a catalog: conditional, bounded, into memory. Between fetch/refresh.c and
 * fetch/refresh_get.c only.
 */
#ifndef FETCH_REFRESH_GET_H
#define FETCH_REFRESH_GET_H

#include "cas/kept.h"
#include "fetch/http.h"

struct refresh_get {
        struct cas_kept
            body; /* what came; only if cause.kind is FETCH_OK and it is not unchanged */
        struct fetch_auth_pass *pass; /* a credential, or NULL; its owner's */
        const char *proxy;            /* as of struct fetch_origin; its owner's */
        size_t room;
        bool unchanged;
        bool too_big;
        bool no_memory;
        struct fetch_cause cause;
        void (*done)(struct refresh_get *get); /* on the loop's thread; the last thing */
};

/* Asks for what is not `known` (may be empty). `get` is cleared but for what is its owner's. false
 * without memory: done() will not be called. The one place where a catalog's request begins. */
bool refresh_get_start(struct refresh_get *get, struct http_loop *loop, const char *url,
                       const struct cas_kept *known);

#endif
