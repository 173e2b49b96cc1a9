/*
 * The map: everything put in is found, nothing else is, and nothing is lost when
 * it grows.
 */
#include "cas/map.h"

#include <criterion/criterion.h>
#include <string.h>

#define MANY 5000

TestSuite(cas_map, .timeout = 20);

static struct cas_digest numbered(uint32_t number)
{
        struct cas_digest digest = {{0}};

        memcpy(digest.bytes + 28, &number, sizeof(number));
        return digest;
}

static struct cas_map_entry *fill(struct cas_map *map)
{
        struct cas_map_entry *entries = calloc(MANY, sizeof(*entries));

        cr_assert(entries && cas_map_init(map) == 0);
        for (uint32_t i = 0; i < MANY; i++) {
                entries[i].digest = numbered(i);
                cas_map_insert(map, &entries[i]);
        }
        return entries;
}

Test(cas_map, empty_map_finds_and_pops_nothing)
{
        struct cas_digest digest = numbered(1);
        struct cas_map map;

        cr_assert_eq(cas_map_init(&map), 0);
        cr_expect_null(cas_map_find(&map, &digest));
        cr_expect_null(cas_map_pop(&map));
        cas_map_destroy(&map);
}

Test(cas_map, all_are_found_after_growth_and_no_other)
{
        struct cas_digest other = numbered(MANY);
        struct cas_map map;
        struct cas_map_entry *entries = fill(&map);

        cr_expect_eq(map.count, MANY);
        cr_expect_geq(map.bucket_count, MANY, "it did not grow");
        for (uint32_t i = 0; i < MANY; i++) {
                struct cas_digest digest = numbered(i);

                cr_expect_eq(cas_map_find(&map, &digest), &entries[i]);
        }
        cr_expect_null(cas_map_find(&map, &other));
        cas_map_destroy(&map);
        free(entries);
}

Test(cas_map, digests_that_differ_little_do_not_share_few_buckets)
{
        struct cas_map map;
        struct cas_map_entry *entries = fill(&map);
        size_t longest = 0;

        for (size_t i = 0; i < map.bucket_count; i++) {
                size_t length = 0;

                for (const struct cas_map_entry *e = map.buckets[i]; e; e = e->next)
                        length++;
                if (length > longest)
                        longest = length;
        }
        cr_expect_leq(longest, 20);
        cas_map_destroy(&map);
        free(entries);
}

Test(cas_map, removed_entries_are_gone_and_the_others_stay)
{
        struct cas_map map;
        struct cas_map_entry *entries = fill(&map);

        for (uint32_t i = 0; i < MANY; i += 2)
                cas_map_remove(&map, &entries[i]);
        cr_expect_eq(map.count, MANY / 2);
        for (uint32_t i = 0; i < MANY; i++)
                cr_expect_eq(cas_map_find(&map, &entries[i].digest), i % 2 ? &entries[i] : NULL);
        cas_map_destroy(&map);
        free(entries);
}

Test(cas_map, removing_what_is_not_there_changes_nothing)
{
        struct cas_map_entry stranger = {.digest = numbered(MANY + 1)};
        struct cas_map map;
        struct cas_map_entry *entries = fill(&map);

        cas_map_remove(&map, &stranger);
        cr_expect_eq(map.count, MANY);
        cas_map_destroy(&map);
        free(entries);
}

Test(cas_map, pop_takes_out_each_once)
{
        struct cas_map map;
        struct cas_map_entry *entries = fill(&map);
        bool *seen = calloc(MANY, sizeof(*seen));
        size_t popped = 0;

        for (const struct cas_map_entry *entry; (entry = cas_map_pop(&map)); popped++) {
                cr_expect_not(seen[entry - entries]);
                seen[entry - entries] = true;
        }
        cr_expect_eq(popped, MANY);
        cr_expect_eq(map.count, 0);
        cas_map_destroy(&map);
        free(seen);
        free(entries);
}
