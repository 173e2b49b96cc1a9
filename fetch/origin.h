/*
 * From a digest to where its bytes may be: the catalogs' URLs first, then every
 * origin's template, in the order of the command line, no URL twice by the same proxy.
 */
#ifndef FETCH_ORIGIN_H
#define FETCH_ORIGIN_H

#include "fetch/catalogs.h"
#include "fetch/locate.h"

struct fetch_origins {
        struct fetch_catalogs *catalogs;
        const struct fetch_origin *list; /* in the operator's order */
        size_t count;
        struct fetch_locator *locator; /* of the same list; fetch_new() makes it */
};

struct fetch_source {
        char *url;               /* http, https or file; any other one leads nowhere */
        struct fetch_auth *auth; /* that the asking needs, or NULL */
        const char *proxy;       /* as of struct fetch_origin */
        bool is_origins;         /* named by the operator, and not by a catalog alone */
        const char *why;         /* it leads nowhere (a fixed string), or NULL */
};

/* A list, perhaps empty, that ends with a NULL url; free it with fetch_sources_free(). NULL
 * without memory. */
struct fetch_source *fetch_sources(const struct fetch_origins *origins,
                                   const struct cas_digest *digest);
void fetch_sources_free(struct fetch_source *sources); /* accepts NULL */

#endif
