/*
 * Room for downloads: the order in which blobs go, those that never do, and that nothing goes
 * where it would not suffice. Against a real directory.
 */
#include "cas/room.h"

#include "cas/index.h"
#include "cas/io.h"
#include "cas/pins.h"
#include "tests/unit/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

TestSuite(cas_room, .init = scratch_make, .fini = scratch_remove, .timeout = 20);

#define BLOBS      6
#define BLOB_BYTES 65536u

static const atomic_bool going;
static struct cas_digest digests[BLOBS];
static char evicted[BLOBS + 1]; /* in their order, 'a' is the first blob */

static void note_evicted(void *arg, const struct cas_digest *digest, uint64_t bytes, int64_t opened)
{
        (void)arg;
        cr_expect_geq(bytes, BLOB_BYTES);
        cr_expect_gt(opened, 0);
        for (unsigned i = 0; i < BLOBS; i++)
                if (cas_digest_equal(&digests[i], digest))
                        evicted[strlen(evicted)] = (char)('a' + i);
}

static const struct cas_room_hooks hooks = {.evicted = note_evicted};

/* Blob i was opened i minutes after the first. */
static struct cas_store *fill(void)
{
        static char bytes[BLOB_BYTES];
        struct cas_store *store = open_cache();

        for (unsigned i = 0; i < BLOBS; i++) {
                const struct timespec times[2] = {{.tv_sec = 1000000 + i * 60},
                                                  {.tv_nsec = UTIME_OMIT}};

                memset(bytes, 'a' + (int)i, sizeof(bytes));
                digests[i] = digest_of(bytes, sizeof(bytes));
                cr_assert_eq(publish_bytes(store, bytes, sizeof(bytes)), 0);
                cr_assert_eq(
                    utimensat(AT_FDCWD, scratch_at(blob_at(&digests[i]).text).text, times, 0), 0);
        }
        return store;
}

/* A store that finds them, as the next daemon does, and may take so many of them. */
static struct cas_store *find(struct cas_store *store, uint64_t blobs)
{
        struct cas_bounds bounds = {.cache_size = CAS_SIZE_UNLIMITED};

        cas_store_free(store);
        store = open_cache();
        cr_assert_eq(cas_store_scan(store, &going), 0);
        if (blobs)
                bounds.cache_size = cas_index_total(cas_store_index(store)).bytes / BLOBS * blobs;
        cas_room_set(store, &bounds, &hooks);
        return store;
}

static bool is_there(unsigned i)
{
        return scratch_has(blob_at(&digests[i]).text);
}

static int claim(struct cas_store *store, uint64_t *ret, uint64_t bytes)
{
        uint64_t before = *ret;
        int r = cas_room_claim(store, ret, bytes);

        if (r == 0)
                cas_room_settled(store, *ret - before);
        return r;
}

Test(cas_room, least_recently_opened_go_first_in_the_order_of_the_disk)
{
        struct cas_store *store = find(fill(), BLOBS);
        struct cas_blob blob;
        uint64_t room = 0;

        cr_assert_eq(cas_store_open_blob(store, &digests[0], &blob), 0);
        close(blob.fd);
        cr_assert_eq(claim(store, &room, 2 * BLOB_BYTES), 0);
        cr_expect_str_eq(evicted, "bc");
        cr_expect(is_there(0) && !is_there(1) && !is_there(2) && is_there(3));
        cr_expect_leq(cas_room_used(store), cas_room_cache_size(store));
        cas_room_shrink(store, &room, 0);
        cas_store_free(store);
}

Test(cas_room, what_is_claimed_counts_until_it_is_given_back)
{
        struct cas_store *store = find(fill(), BLOBS + 1);
        uint64_t one = 0;
        uint64_t two = 0;

        cr_assert_eq(claim(store, &one, BLOB_BYTES), 0);
        cr_expect_str_eq(evicted, "", "there was room for one");
        cr_assert_eq(claim(store, &one, BLOB_BYTES), 0, "claimed already");
        cr_expect_str_eq(evicted, "");
        cr_assert_eq(claim(store, &two, BLOB_BYTES), 0);
        cr_expect_str_eq(evicted, "a");
        cas_room_shrink(store, &one, 0);
        one = 0;
        cr_assert_eq(claim(store, &one, BLOB_BYTES), 0);
        cr_expect_str_eq(evicted, "a", "given back");
        cas_room_shrink(store, &one, 0);
        cas_room_shrink(store, &two, 0);
        cas_store_free(store);
}

static void nobody_is_told(void *arg, const struct cas_digest *digest, int result)
{
        (void)arg;
        (void)digest;
        cr_expect_eq(result, 1);
}

Test(cas_room, fault_45_pinned_open_and_mapped_blobs_stay_and_then_nothing_goes)
{
        struct cas_store *store = find(fill(), BLOBS);
        _cleanup_close_ int pins = cas_pins_open(scratch_at("cache").text, (char[CAS_WHY]){""});
        const struct cas_pins_work work = {&digests[0], 1, nobody_is_told, NULL};
        struct cas_blob open;
        struct cas_blob mapped;
        uint64_t room = 0;

        cr_assert(pins >= 0);
        cr_assert_eq(cas_pins_add(pins, &work), 0);
        cr_assert_eq(cas_store_open_blob(store, &digests[1], &open), 0);
        cr_assert_eq(cas_store_open_blob(store, &digests[2], &mapped), 0);

        char *map = mmap(NULL, BLOB_BYTES, PROT_READ, MAP_SHARED, mapped.fd, 0);

        cr_assert_neq(map, MAP_FAILED);
        close(mapped.fd);
        cr_expect_eq(claim(store, &room, 4 * BLOB_BYTES), -ENOSPC);
        cr_expect_str_eq(evicted, "", "nothing goes where it would not suffice");
        cr_expect_eq(room, 0);
        cr_expect_eq(claim(store, &room, 3 * BLOB_BYTES), 0);
        cr_expect_str_eq(evicted, "def");
        cas_room_shrink(store, &room, 0);
        munmap(map, BLOB_BYTES);
        close(open.fd);
        cr_expect_eq(claim(store, &room, 5 * BLOB_BYTES), 0, "closed, they may go");
        cr_expect_str_eq(evicted, "defbc");
        cr_expect(is_there(0));
        cas_room_shrink(store, &room, 0);
        cas_store_free(store);
}

Test(cas_room, an_asset_larger_than_the_cache_evicts_nothing)
{
        struct cas_store *store = find(fill(), BLOBS);
        char why[CAS_WHY];
        uint64_t room = 0;

        cr_expect_eq(claim(store, &room, 100 * BLOB_BYTES), -ENOSPC);
        cr_expect_str_eq(evicted, "");
        cas_room_words(store, 100 * BLOB_BYTES, why);
        cr_expect(strstr(why, "larger than the cache may be"), "%s", why);
        cas_store_free(store);
}

Test(cas_room, a_full_disk_takes_nothing_of_what_was_granted)
{
        struct cas_store *store = find(fill(), BLOBS);
        struct cas_bounds bounds = {.cache_size = CAS_SIZE_UNLIMITED};

        cr_expect_eq(cas_room_give_way(store, 1, -ENOSPC), -ENOSPC);
        cr_expect_str_eq(evicted, "");
        cas_room_set(store, &bounds, NULL);
        cr_expect_eq(cas_room_give_way(store, 1, -ENOSPC), 0, "nothing was granted");
        cr_expect_str_eq(evicted, "a");
        cr_expect_eq(cas_room_give_way(store, UINT64_MAX / 2, -EDQUOT), -EDQUOT);
        cr_expect_str_eq(evicted, "a");
        bounds.keep_free = 1;
        bounds.cache_size = 1u << 30;
        cas_room_set(store, &bounds, NULL);
        cr_expect_eq(cas_room_give_way(store, 1, -ENOSPC), 0, "the operator wants free space");
        cr_expect_str_eq(evicted, "ab");
        cas_store_free(store);
}

Test(cas_room, free_space_is_kept)
{
        struct cas_store *store = find(fill(), 0);
        struct cas_bounds bounds = {.cache_size = CAS_SIZE_UNLIMITED, .keep_free = UINT64_MAX / 4};
        struct cas_freed freed;
        uint64_t room = 0;

        cas_room_set(store, &bounds, NULL);
        cr_expect_eq(claim(store, &room, 1), -ENOSPC);
        cr_expect_str_eq(evicted, "");
        cr_expect_eq(cas_room_trim(store, NULL, &going, &freed), 0);
        cr_expect_str_eq(evicted, "abcdef", "as far as can be");
        cr_expect_eq(freed.blobs, BLOBS);
        cas_store_free(store);
}

static struct cas_store *opened_in;

/* Opens and closes the first one, as another thread may once it has been chosen. */
static void open_first(void *arg, const struct cas_digest *digest)
{
        struct cas_blob blob;

        (void)arg;
        if (!cas_digest_equal(digest, &digests[0]) || evicted[0])
                return;
        cr_assert_eq(cas_store_open_blob(opened_in, digest, &blob), 0);
        close(blob.fd);
}

Test(cas_room, who_was_opened_after_it_was_chosen_stays)
{
        const struct cas_room_hooks busy = {.let_go = open_first, .evicted = note_evicted};
        struct cas_store *store = find(fill(), BLOBS);
        const struct cas_bounds bounds = cas_store_room(store)->bounds;
        uint64_t room = 0;

        opened_in = store;
        cas_room_set(store, &bounds, &busy);
        cr_assert_eq(claim(store, &room, 2 * BLOB_BYTES), 0);
        cr_expect_str_eq(evicted, "bc");
        cr_expect(is_there(0));
        cas_room_shrink(store, &room, 0);
        cas_store_free(store);
}

Test(cas_room, unfinished_downloads_go_before_blobs)
{
        struct cas_store *store = fill();
        struct cas_digest other = digest_of_text("never finished");
        char staging[BLOB_BYTES] = {1};
        uint64_t room = 0;
        int fd = open(scratch_at(in_cache("ingest", &other, ".part").text).text,
                      O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        cr_assert_eq(write(fd, staging, sizeof(staging)), (ssize_t)sizeof(staging));
        close(fd);
        store = find(store, BLOBS + 1);
        cr_assert_eq(claim(store, &room, BLOB_BYTES), 0);
        cr_expect_str_eq(evicted, "");
        cr_expect_not(scratch_has(in_cache("ingest", &other, ".part").text));
        cas_room_shrink(store, &room, 0);
        cas_store_free(store);
}

Test(cas_room, collect_finds_what_came_and_went_by_hand)
{
        struct cas_store *store = find(fill(), BLOBS);
        const struct cas_bounds none = {.cache_size = 0};
        struct cas_freed freed;

        cr_assert_eq(unlink(scratch_at(blob_at(&digests[3]).text).text), 0);
        cr_expect_eq(cas_room_collect(store, NULL, &going, &freed), 0);
        cr_expect_eq(freed.blobs, 0);
        cr_expect_eq(cas_index_total(cas_store_index(store)).blobs, BLOBS - 1);
        cr_expect_eq(cas_room_collect(store, &none, &going, &freed), 0);
        cr_expect_eq(freed.blobs, BLOBS - 1);
        cr_expect_str_eq(evicted, "abcef");
        cr_expect_eq(cas_room_used(store), 0);
        cas_store_free(store);
}

Test(cas_room, fault_46_order_survives_a_clock_that_was_wrong)
{
        struct cas_store *store = fill();
        struct cas_blob blob;
        uint64_t room = 0;

        /* The last three were opened while it was years ahead. */
        for (unsigned i = 3; i < BLOBS; i++) {
                const struct timespec times[2] = {{.tv_sec = time(NULL) + 100000000 + i},
                                                  {.tv_nsec = UTIME_OMIT}};

                utimensat(AT_FDCWD, scratch_at(blob_at(&digests[i]).text).text, times, 0);
        }
        store = find(store, BLOBS);
        cr_assert_eq(cas_store_open_blob(store, &digests[0], &blob), 0);
        close(blob.fd);
        cr_assert_eq(claim(store, &room, 5 * BLOB_BYTES), 0);
        cr_expect_str_eq(evicted, "bcdef", "what was opened since is the last");
        cas_room_shrink(store, &room, 0);
        cas_store_free(store);
}

Test(cas_room, ingests_of_unknown_size_are_bounded_as_they_come)
{
        struct cas_store *store = find(fill(), BLOBS);
        char bytes[2 * BLOB_BYTES] = {9};

        cr_expect_eq(publish_bytes(store, bytes, sizeof(bytes)), 0);
        cr_expect_str_eq(evicted, "ab");
        cr_expect_leq(cas_room_used(store), cas_room_cache_size(store));
        cas_store_free(store);
}
