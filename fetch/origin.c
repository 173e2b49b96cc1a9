/*
 * The ordered sources of a digest. Asks nobody.
 */
#include "fetch/origin.h"

#include "fetch/template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What leads nowhere stays as it is, and *ret_why (else NULL) is told of it. */
static int locate(const struct fetch_origins *origins, const struct fetch_origin *origin,
                  const char *url, const struct cas_digest *digest, struct fetch_location *ret,
                  const char **ret_why)
{
        int r = fetch_locate(origins->locator, origin, url, digest, ret, ret_why);

        if (r != -EINVAL) {
                *ret_why = NULL;
                return r;
        }
        *ret = (struct fetch_location){.url = strdup(url)};
        return ret->url ? 0 : -ENOMEM;
}

static bool is_same_proxy(const char *one, const char *other)
{
        return one && other ? strcmp(one, other) == 0 : one == other;
}

/* What a catalog names and an origin as well is one source, with what the operator said of it; by
 * another proxy it is another one. false without memory. */
static bool append(const struct fetch_origins *origins, const struct fetch_origin *origin,
                   const char *url, const struct cas_digest *digest, struct fetch_source *sources,
                   size_t *count)
{
        struct fetch_location location;
        const char *why;

        if (!url || locate(origins, origin, url, digest, &location, &why) < 0)
                return false;
        for (size_t i = 0; i < *count; i++) {
                if (strcmp(sources[i].url, location.url) == 0 &&
                    (!sources[i].is_origins || is_same_proxy(sources[i].proxy, location.proxy))) {
                        sources[i].is_origins |= origin != NULL;
                        if (!sources[i].auth)
                                sources[i].auth = location.auth;
                        if (!sources[i].proxy)
                                sources[i].proxy = location.proxy;
                        free(location.url);
                        return true;
                }
        }
        sources[(*count)++] =
            (struct fetch_source){location.url, location.auth, location.proxy, origin != NULL, why};
        return true;
}

struct fetch_source *fetch_sources(const struct fetch_origins *origins,
                                   const struct cas_digest *digest)
{
        _cleanup_catalog_ struct fetch_catalog *catalog = fetch_catalogs_now(origins->catalogs);
        const struct fetch_asset *asset = fetch_catalog_find(catalog, digest);
        size_t listed = 0;
        size_t count = 0;

        while (asset && asset->urls && asset->urls[listed])
                listed++;

        struct fetch_source *sources = calloc(listed + origins->count + 1, sizeof(*sources));
        bool ok = sources;

        for (size_t i = 0; ok && i < listed; i++)
                ok = append(origins, NULL, asset->urls[i], digest, sources, &count);
        for (size_t i = 0; ok && i < origins->count; i++) {
                char *url = fetch_template_expand(origins->list[i].url, digest);

                ok = append(origins, &origins->list[i], url, digest, sources, &count);
                free(url);
        }
        if (ok)
                return sources;
        fetch_sources_free(sources);
        return NULL;
}

void fetch_sources_free(struct fetch_source *sources)
{
        for (struct fetch_source *source = sources; source && source->url; source++)
                free(source->url);
        free(sources);
}
