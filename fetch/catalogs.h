/*
 * The catalog in force. Whoever looks something up takes a reference to the one that is there
 * now, and drops it: a refresh swaps in another as a whole, and disturbs nobody.
 *
 *   _cleanup_catalog_ struct fetch_catalog *catalog = fetch_catalogs_now(catalogs);
 *
 * Threads: everything but new and free may be called from any.
 */
#ifndef FETCH_CATALOGS_H
#define FETCH_CATALOGS_H

#include "fetch/catalog.h"

#define _cleanup_catalog_ __attribute__((cleanup(fetch_catalog_free_at)))

struct fetch_catalogs;

/* Takes the caller's reference over, but not on failure. 0 or -ENOMEM. */
int fetch_catalogs_new(struct fetch_catalog *catalog, struct fetch_catalogs **ret);
void fetch_catalogs_free(struct fetch_catalogs *catalogs); /* accepts NULL */

/* A reference of the caller's. Never NULL. */
struct fetch_catalog *fetch_catalogs_now(struct fetch_catalogs *catalogs);

/* What the catalog in force says: bytes, or CAS_SIZE_UNKNOWN. */
uint64_t fetch_catalogs_size(struct fetch_catalogs *catalogs, const struct cas_digest *digest);

/* `fresh` is in force when it returns; the caller's reference is taken over. */
void fetch_catalogs_swap(struct fetch_catalogs *catalogs, struct fetch_catalog *fresh);

/* Drops *catalog. */
void fetch_catalog_free_at(struct fetch_catalog **catalog);

#endif
