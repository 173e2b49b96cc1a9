/*
 * Quarantine: the file that was found bad and no other, within bounds, in nobody's way.
 */
#include "cas/quarantine.h"

#include "tests/unit/blob.h"

#include <errno.h>
#include <time.h>

#define TEXT "a blob that failed"

TestSuite(cas_quarantine, .init = scratch_make, .fini = scratch_remove, .timeout = 20);

struct place {
        struct cas_store *store;
        int quarantine;
        int blobs;
        struct cas_digest digest;
        char hex[CAS_DIGEST_HEX + 1];
};

static struct place make_place(void)
{
        struct place place = {.store = open_cache()};

        place.quarantine = cas_store_quarantine_dir(place.store);
        place.blobs = cas_store_blobs_dir(place.store);
        place.digest = digest_of_text(TEXT);
        cas_digest_format(&place.digest, place.hex);
        return place;
}

static struct stat put_blob(const struct place *place, const char *text)
{
        struct stat st;

        scratch_write(blob_at(&place->digest).text, text, strlen(text));
        cr_assert_eq(fstatat(place->blobs, place->hex, &st, 0), 0);
        return st;
}

/* A file in quarantine, `since` seconds of the clock. */
static void keep(const struct place *place, const char *text)
{
        struct stat st = put_blob(place, text);
        bool kept;

        cr_assert_eq(cas_quarantine_take(place->quarantine, place->blobs, place->hex, &st, &kept),
                     0);
}

Test(cas_quarantine, file_is_moved_under_a_number)
{
        struct place place = make_place();

        keep(&place, "one");
        keep(&place, "two");
        cr_expect(scratch_has(in_cache("quarantine", &place.digest, ".0").text));
        cr_expect(scratch_has(in_cache("quarantine", &place.digest, ".1").text));
        cr_expect_not(scratch_has(blob_at(&place.digest).text));
        cas_store_free(place.store);
}

Test(cas_quarantine, another_file_under_the_name_stays)
{
        struct place place = make_place();
        struct stat old = put_blob(&place, "the one that was hashed");
        bool kept = true;

        scratch_write("new", TEXT, strlen(TEXT));
        cr_assert_eq(rename(scratch_at("new").text, scratch_at(blob_at(&place.digest).text).text),
                     0);
        cr_expect_eq(cas_quarantine_take(place.quarantine, place.blobs, place.hex, &old, &kept),
                     -ENOENT);
        cr_expect_not(kept);
        cr_expect(scratch_has(blob_at(&place.digest).text));
        cr_expect_eq(scratch_count("cache/quarantine"), 0);
        cas_store_free(place.store);
}

Test(cas_quarantine, no_place_for_it_removes_it)
{
        struct place place = make_place();
        struct stat st = put_blob(&place, TEXT);
        bool kept = true;

        cr_expect_eq(cas_quarantine_take(-1, place.blobs, place.hex, &st, &kept), 0);
        cr_expect_not(kept);
        cr_expect_not(scratch_has(blob_at(&place.digest).text));
        cas_store_free(place.store);
}

Test(cas_quarantine, number_of_files_is_bounded)
{
        struct place place = make_place();

        for (int i = 0; i < CAS_QUARANTINE_FILES + 4; i++)
                keep(&place, TEXT);
        cr_expect_eq(scratch_count("cache/quarantine"), CAS_QUARANTINE_FILES);
        cas_store_free(place.store);
}

Test(cas_quarantine, bytes_are_bounded_and_what_alone_is_too_large_is_not_kept)
{
        struct place place = make_place();

        keep(&place, "old");
        keep(&place, "new");

        uint64_t both = cas_quarantine_bytes(place.quarantine);

        cr_assert_gt(both, 0);
        cas_quarantine_sweep(place.quarantine, both - 1, time(NULL));
        cr_expect_eq(scratch_count("cache/quarantine"), 1);
        cr_expect(scratch_has(in_cache("quarantine", &place.digest, ".1").text), "the newest");
        cas_quarantine_sweep(place.quarantine, 0, time(NULL));
        cr_expect_eq(scratch_count("cache/quarantine"), 0);
        cas_store_free(place.store);
}

Test(cas_quarantine, age_is_bounded)
{
        struct place place = make_place();

        keep(&place, TEXT);
        cas_quarantine_sweep(place.quarantine, CAS_QUARANTINE_BYTES,
                             time(NULL) + CAS_QUARANTINE_SECONDS - 60);
        cr_expect_eq(scratch_count("cache/quarantine"), 1);
        cas_quarantine_sweep(place.quarantine, CAS_QUARANTINE_BYTES,
                             time(NULL) + CAS_QUARANTINE_SECONDS + 60);
        cr_expect_eq(scratch_count("cache/quarantine"), 0);
        cas_store_free(place.store);
}

Test(cas_quarantine, what_is_not_ours_stays)
{
        struct place place = make_place();

        scratch_write("cache/quarantine/README", "x", 1);
        cr_assert_eq(mkdir(scratch_at("cache/quarantine/lost+found").text, 0700), 0);
        cr_assert_eq(
            symlink("/", scratch_at(in_cache("quarantine", &place.digest, ".7").text).text), 0);
        cas_quarantine_sweep(place.quarantine, 0, time(NULL));
        cr_expect_eq(scratch_count("cache/quarantine"), 3);
        cas_store_free(place.store);
}
