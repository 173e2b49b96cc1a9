/*
 * The ordered sources of a digest. Pure: asks nobody.
 */
#include "fetch/origin.h"

#include "fetch/template.h"

#include <stdlib.h>
#include <string.h>

/* Takes `url` over; false without memory. */
static bool append(struct fetch_source *sources, size_t *count, char *url, struct fetch_auth *auth,
                   bool is_origins)
{
        if (!url)
                return false;
        for (size_t i = 0; i < *count; i++) {
                if (strcmp(sources[i].url, url) == 0) {
                        sources[i].is_origins |= is_origins;
                        if (!sources[i].auth)
                                sources[i].auth = auth;
                        free(url);
                        return true;
                }
        }
        sources[(*count)++] = (struct fetch_source){url, auth, is_origins};
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

        struct fetch_source *sources =
            calloc(listed + origins->template_count + 1, sizeof(*sources));
        bool ok = sources;

        for (size_t i = 0; ok && i < listed; i++)
                ok = append(sources, &count, strdup(asset->urls[i]), NULL, false);
        for (size_t i = 0; ok && i < origins->template_count; i++)
                ok = append(sources, &count, fetch_template_expand(origins->templates[i], digest),
                            origins->auths ? origins->auths[i] : NULL, true);
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
