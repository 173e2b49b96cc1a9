/*
 * A map from digests to things, intrusive: the thing embeds a cas_map_entry.
 * The buckets are seeded at random, because the digests come from whoever names
 * a path. Not locked: the owner's lock guards it.
 */
#ifndef CAS_MAP_H
#define CAS_MAP_H

#include "cas/digest.h"

struct cas_map_entry {
        struct cas_digest digest;
        struct cas_map_entry *next;
};

struct cas_map {
        struct cas_map_entry **buckets;
        size_t bucket_count; /* a power of two */
        size_t count;
        uint64_t seed;
};

int cas_map_init(struct cas_map *map);     /* 0 or -ENOMEM */
void cas_map_destroy(struct cas_map *map); /* the entries stay their owner's */

struct cas_map_entry *cas_map_find(const struct cas_map *map, const struct cas_digest *digest);

/* The digest must not be in the map yet. Cannot fail: without memory to grow, chains get longer. */
void cas_map_insert(struct cas_map *map, struct cas_map_entry *entry);

void cas_map_remove(struct cas_map *map, struct cas_map_entry *entry);

/* Takes any entry out; NULL when empty. For teardown. */
struct cas_map_entry *cas_map_pop(struct cas_map *map);

#endif
