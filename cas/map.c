/*
 * Digest -> thing, by chained buckets.
 */
#include "cas/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_BUCKETS 64

int cas_map_init(struct cas_map *map)
{
        *map = (struct cas_map){.bucket_count = FIRST_BUCKETS};
        map->buckets = calloc(FIRST_BUCKETS, sizeof(struct cas_map_entry *));
        if (!map->buckets)
                return -ENOMEM;
        if (getrandom(&map->seed, sizeof(map->seed), GRND_NONBLOCK) < 0)
                map->seed = (uint64_t)(uintptr_t)map->buckets;
        map->seed |= 1;
        return 0;
}

void cas_map_destroy(struct cas_map *map)
{
        free(map->buckets);
        *map = (struct cas_map){0};
}

static struct cas_map_entry **bucket(const struct cas_map *map, const struct cas_digest *digest)
{
        uint64_t words[CAS_DIGEST_SIZE / sizeof(uint64_t)];
        uint64_t hash = map->seed;

        memcpy(words, digest->bytes, sizeof(words));
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                hash = (hash ^ words[i]) * map->seed;
                hash ^= hash >> 29;
        }
        return &map->buckets[(hash ^ hash >> 32) & (map->bucket_count - 1)];
}

struct cas_map_entry *cas_map_find(const struct cas_map *map, const struct cas_digest *digest)
{
        struct cas_map_entry *entry = *bucket(map, digest);

        while (entry && !cas_digest_equal(&entry->digest, digest))
                entry = entry->next;
        return entry;
}

static void grow(struct cas_map *map)
{
        struct cas_map bigger = *map;

        bigger.bucket_count *= 2;
        bigger.buckets = calloc(bigger.bucket_count, sizeof(struct cas_map_entry *));
        if (!bigger.buckets)
                return;
        for (size_t i = 0; i < map->bucket_count; i++) {
                struct cas_map_entry *next;

                for (struct cas_map_entry *entry = map->buckets[i]; entry; entry = next) {
                        struct cas_map_entry **to = bucket(&bigger, &entry->digest);

                        next = entry->next;
                        entry->next = *to;
                        *to = entry;
                }
        }
        free(map->buckets);
        *map = bigger;
}

void cas_map_insert(struct cas_map *map, struct cas_map_entry *entry)
{
        if (map->count >= map->bucket_count)
                grow(map);

        struct cas_map_entry **to = bucket(map, &entry->digest);

        entry->next = *to;
        *to = entry;
        map->count++;
}

void cas_map_remove(struct cas_map *map, struct cas_map_entry *entry)
{
        struct cas_map_entry **link = bucket(map, &entry->digest);

        while (*link && *link != entry)
                link = &(*link)->next;
        if (!*link)
                return;
        *link = entry->next;
        map->count--;
}

struct cas_map_entry *cas_map_pop(struct cas_map *map)
{
        for (size_t i = 0; map->count > 0 && i < map->bucket_count; i++) {
                struct cas_map_entry *entry = map->buckets[i];

                if (entry) {
                        cas_map_remove(map, entry);
                        return entry;
                }
        }
        return NULL;
}
