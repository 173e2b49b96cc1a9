/*
 * From a digest to where its bytes may be: the catalogs' URLs first, then every
 * origin's template, in the order of the command line, no URL twice.
 */
#ifndef FETCH_ORIGIN_H
#define FETCH_ORIGIN_H

#include "fetch/auth.h"
#include "fetch/catalogs.h"

struct fetch_origins {
        struct fetch_catalogs *catalogs;
        const char *const *templates;
        struct fetch_auth *const *auths; /* a credential or NULL for each template; or NULL */
        size_t template_count;
};

struct fetch_source {
        char *url;
        struct fetch_auth *auth; /* that the asking needs, or NULL */
        bool is_origins;         /* named by the operator, and not by a catalog alone */
};

/* A list, perhaps empty, that ends with a NULL url; free it with fetch_sources_free(). NULL
 * without memory. */
struct fetch_source *fetch_sources(const struct fetch_origins *origins,
                                   const struct cas_digest *digest);
void fetch_sources_free(struct fetch_source *sources); /* accepts NULL */

#endif
