/*
 * Where a URL of any scheme leads: to an HTTP URL and the credential that it needs, or to a
 * file. gs://, s3:// and oci:// name objects and repositories of the services; which server
 * has them is settled here, by fetch/gs.h, fetch/s3.h and fetch/oci.h.
 *
 * Credentials are kept for each origin that names files, and for each bucket and repository, be
 * it an origin's or a catalog's: what was found out about one (that it is public, a token) holds
 * for all of its assets. They live as long as the locator. All functions from any thread.
 */
#ifndef FETCH_LOCATE_H
#define FETCH_LOCATE_H

#include "cas/digest.h"
#include "fetch/auth.h"

struct fetch_locator;
struct http_loop;

/* An origin, or a catalog's own URL, with what belongs to it. The strings live as long as the
 * fetch. */
struct fetch_origin {
        const char *url; /* a template; oci:// without a mark; as the operator wrote it */
        struct fetch_auth_files files;
        const char *endpoint; /* gs, s3: the server, "https://host[:port]"; NULL: the provider's */
        const char *region;   /* s3; NULL: the environment's, the profile's, or us-east-1 */
        bool path_style;      /* s3: the bucket is in the path, not in the host's name */
        bool host_style;      /* … or the reverse. Neither: in the path of an endpoint alone */
        bool plain_http;      /* oci: not https, though it is not this machine */
        const char *proxy;    /* for its servers: a URL, "" for none; NULL: as everybody's */
};

/* What a locator knows settings of. The lists live as long as it. */
struct fetch_settings {
        const struct fetch_origin *origins;
        size_t origin_count;
        const struct fetch_origin *catalogs; /* of catalogs by URL; others are passed over */
        size_t catalog_count;
        const struct fetch_auth_opener *opener; /* of files that the environment names; or NULL */
};

/* Asks nobody and opens nothing. -ENOMEM. */
int fetch_locator_new(const struct fetch_settings *settings, struct http_loop *loop,
                      struct fetch_locator **ret);
void fetch_locator_free(struct fetch_locator *locator); /* accepts NULL */

/* What one asset, or a catalog, is asked for with. */
struct fetch_location {
        char *url;               /* http, https or file; owned by who asked */
        struct fetch_auth *auth; /* or NULL; the locator's */
        const char *proxy;       /* as of fetch_origin */
};

/*
 * `origin`: whose URL it is; NULL: a catalog's asset's, which is asked by the settings of the first
 * origin, else catalog, of the same bucket or repository, or else by the environment's alone.
 * `digest`: of the asset, which oci:// does not name; NULL for a catalog's own URL. 0; -ENOMEM;
 * -EINVAL and in *ret_why (a fixed string): it leads nowhere.
 */
int fetch_locate(struct fetch_locator *locator, const struct fetch_origin *origin, const char *url,
                 const struct cas_digest *digest, struct fetch_location *ret, const char **ret_why);

#endif
