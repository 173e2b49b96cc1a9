/*
 * A pointer that can be swapped, and references to what it pointed to. The lock is held for
 * the counting alone: a catalog of 100 000 assets is freed outside of it.
 */
#include "fetch/catalogs.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct fetch_catalogs {
        pthread_mutex_t lock;
        struct fetch_catalog *now; /* lock */
};

int fetch_catalogs_new(struct fetch_catalog *catalog, struct fetch_catalogs **ret)
{
        struct fetch_catalogs *catalogs = calloc(1, sizeof(*catalogs));

        if (!catalogs)
                return -ENOMEM;
        pthread_mutex_init(&catalogs->lock, NULL);
        catalogs->now = catalog;
        *ret = catalogs;
        return 0;
}

void fetch_catalogs_free(struct fetch_catalogs *catalogs)
{
        if (!catalogs)
                return;
        fetch_catalog_free(catalogs->now);
        pthread_mutex_destroy(&catalogs->lock);
        free(catalogs);
}

struct fetch_catalog *fetch_catalogs_now(struct fetch_catalogs *catalogs)
{
        pthread_mutex_lock(&catalogs->lock);

        struct fetch_catalog *now = fetch_catalog_ref(catalogs->now);

        pthread_mutex_unlock(&catalogs->lock);
        return now;
}

uint64_t fetch_catalogs_size(struct fetch_catalogs *catalogs, const struct cas_digest *digest)
{
        _cleanup_catalog_ struct fetch_catalog *now = fetch_catalogs_now(catalogs);
        const struct fetch_asset *asset = fetch_catalog_find(now, digest);

        return asset ? asset->size : CAS_SIZE_UNKNOWN;
}

void fetch_catalogs_swap(struct fetch_catalogs *catalogs, struct fetch_catalog *fresh)
{
        pthread_mutex_lock(&catalogs->lock);

        struct fetch_catalog *before = catalogs->now;

        catalogs->now = fresh;
        pthread_mutex_unlock(&catalogs->lock);
        fetch_catalog_free(before);
}

void fetch_catalog_free_at(struct fetch_catalog **catalog)
{
        fetch_catalog_free(*catalog);
}
