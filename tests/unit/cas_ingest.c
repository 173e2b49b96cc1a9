/*
 * The only way a byte gets a name: what is right is published, what is not leaves
 * nothing behind, and every bound holds at its exact byte.
 */
#include "cas/ingest.h"

#include "tests/unit/blob.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#define TEXT   "an asset that is downloaded"
#define LENGTH (sizeof(TEXT) - 1)

TestSuite(cas_ingest, .init = scratch_make, .fini = scratch_remove, .timeout = 30);

static struct cas_ingest *begin(struct cas_store *store, const struct cas_digest *digest,
                                uint64_t bound, uint64_t declared)
{
        struct cas_ingest *ingest = NULL;

        cr_assert_eq(cas_ingest_begin(store, digest, bound, declared, &ingest), 0);
        return ingest;
}

static void expect_nothing_published(const struct cas_store *store, const struct cas_digest *digest)
{
        struct cas_blob blob;

        cr_expect_eq(cas_store_look(store, digest, &blob), CAS_ABSENT);
}

/* No blob, no staging. */
static void expect_nothing(const struct cas_store *store, const struct cas_digest *digest)
{
        expect_nothing_published(store, digest);
        cr_expect_eq(scratch_count("cache/ingest"), 0);
}

static void expect_published(const struct cas_store *store, const struct cas_digest *digest,
                             uint64_t size)
{
        struct cas_blob blob;

        cr_expect_eq(cas_store_look(store, digest, &blob), CAS_VERIFIED);
        cr_expect_eq(blob.size, size);
        cr_expect_eq(scratch_count("cache/ingest"), 0);
}

Test(cas_ingest, commit_publishes_with_its_source)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = begin(store, &digest, 1000, LENGTH);
        struct cas_blob blob;
        char source[64];

        cr_expect_eq(cas_ingest_expect(ingest, LENGTH), 0);
        cr_expect_eq(ingest_bytes(ingest, TEXT, 10), 0);
        cr_expect_eq(cas_ingest_offset(ingest), 10);
        cr_expect_eq(ingest_bytes(ingest, TEXT + 10, LENGTH - 10), 0);
        cr_expect_eq(cas_store_look(store, &digest, &blob), CAS_ABSENT, "before commit");
        cr_expect_eq(cas_ingest_commit(ingest, "https://host/x"), 0);
        cas_ingest_free(ingest);
        expect_published(store, &digest, LENGTH);
        cr_expect_eq(cas_store_source(store, &digest, source, sizeof(source)), 0);
        cr_expect_str_eq(source, "https://host/x");
        cas_store_free(store);
}

Test(cas_ingest, empty_blob_is_a_blob)
{
        struct cas_digest digest = digest_of_text("");
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = begin(store, &digest, 0, 0);

        cr_expect_eq(cas_ingest_expect(ingest, 0), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        expect_published(store, &digest, 0);
        cas_store_free(store);
}

Test(cas_ingest, free_before_commit_discards)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = begin(store, &digest, 1000, LENGTH);

        cr_expect_eq(ingest_bytes(ingest, TEXT, LENGTH), 0);
        cr_expect_eq(scratch_count("cache/ingest"), 1);
        cas_ingest_free(ingest);
        cas_ingest_free(NULL);
        expect_nothing(store, &digest);
        cas_store_free(store);
}

Test(cas_ingest, fault_12_wrong_bytes_are_never_published)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = begin(store, &digest, 1000, CAS_SIZE_UNKNOWN);

        cr_expect_eq(ingest_bytes(ingest, "something else entirely, ok", LENGTH), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), -EBADMSG);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), -EBADMSG);
        cas_ingest_free(ingest);
        expect_nothing(store, &digest);
        cas_store_free(store);
}

Test(cas_ingest, fault_11_bound_holds_at_its_byte)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = begin(store, &digest, LENGTH - 1, CAS_SIZE_UNKNOWN);

        cr_expect_eq(ingest_bytes(ingest, TEXT, LENGTH - 1), 0);
        cr_expect_eq(ingest_bytes(ingest, TEXT, 1), -EFBIG);
        cr_expect_eq(cas_ingest_offset(ingest), LENGTH - 1);
        cr_expect_eq(ingest_bytes(ingest, TEXT, 0), -EFBIG, "the first error is sticky");
        cr_expect_eq(cas_ingest_commit(ingest, NULL), -EFBIG);
        cas_ingest_free(ingest);
        expect_nothing(store, &digest);

        ingest = begin(store, &digest, LENGTH, CAS_SIZE_UNKNOWN);
        cr_expect_eq(ingest_bytes(ingest, TEXT, LENGTH), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        expect_published(store, &digest, LENGTH);
        cas_store_free(store);
}

Test(cas_ingest, fault_11_one_byte_over_the_declared_size)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = begin(store, &digest, 1000, LENGTH - 1);

        cr_expect_eq(ingest_bytes(ingest, TEXT, LENGTH), -EBADMSG);
        cr_expect_eq(cas_ingest_offset(ingest), 0, "not even the bytes that fit");
        cr_expect_eq(cas_ingest_commit(ingest, NULL), -EBADMSG);
        cas_ingest_free(ingest);
        expect_nothing(store, &digest);
        cas_store_free(store);
}

Test(cas_ingest, fault_4_fewer_bytes_than_declared)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = begin(store, &digest, 1000, LENGTH + 1);

        cr_expect_eq(ingest_bytes(ingest, TEXT, LENGTH), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), -EBADMSG, "though the digest is right");
        cas_ingest_free(ingest);
        expect_nothing(store, &digest);
        cas_store_free(store);
}

Test(cas_ingest, declared_size_over_the_bound_does_not_begin)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = NULL;

        cr_expect_eq(cas_ingest_begin(store, &digest, 100, 101, &ingest), -EFBIG);
        cr_expect_null(ingest);
        expect_nothing(store, &digest);
        cas_store_free(store);
}

Test(cas_ingest, announced_size_is_refused_before_its_first_byte)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = begin(store, &digest, 100, CAS_SIZE_UNKNOWN);

        cr_expect_eq(cas_ingest_expect(ingest, 101), -EFBIG);
        cas_ingest_free(ingest);

        ingest = begin(store, &digest, 100, LENGTH);
        cr_expect_eq(cas_ingest_expect(ingest, LENGTH - 1), -EBADMSG);
        expect_nothing_published(store, &digest);
        /* Another source may say better. */
        cr_expect_eq(cas_ingest_expect(ingest, LENGTH), 0);
        cr_expect_eq(ingest_bytes(ingest, TEXT, LENGTH), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        expect_published(store, &digest, LENGTH);
        cas_store_free(store);
}

Test(cas_ingest, room_that_was_not_needed_is_given_back)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = begin(store, &digest, 1 << 20, CAS_SIZE_UNKNOWN);
        struct cas_blob blob;

        cr_expect_eq(cas_ingest_expect(ingest, 1 << 20), 0);
        cr_expect_eq(ingest_bytes(ingest, TEXT, LENGTH), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        cr_assert_eq(cas_store_look(store, &digest, &blob), CAS_VERIFIED);
        cr_expect_leq(blob.blocks * 512, 65536);
        cas_store_free(store);
}

Test(cas_ingest, fault_10_a_new_ingest_begins_from_nothing)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();

        scratch_write(in_cache("ingest", &digest, ".part").text, "old bytes of another time, long",
                      31);

        struct cas_ingest *ingest = begin(store, &digest, 1000, CAS_SIZE_UNKNOWN);

        cr_expect_eq(cas_ingest_offset(ingest), 0);
        cr_expect_eq(ingest_bytes(ingest, TEXT, LENGTH), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        expect_published(store, &digest, LENGTH);
        cas_store_free(store);
}

Test(cas_ingest, link_in_the_staging_place_is_not_followed)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct stat st;

        scratch_write("outside", "precious", 8);
        cr_assert_eq(symlink(scratch_at("outside").text,
                             scratch_at(in_cache("ingest", &digest, ".part").text).text),
                     0);

        struct cas_ingest *ingest = begin(store, &digest, 1000, CAS_SIZE_UNKNOWN);

        cr_expect_eq(ingest_bytes(ingest, TEXT, LENGTH), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        expect_published(store, &digest, LENGTH);
        cr_assert_eq(stat(scratch_at("outside").text, &st), 0);
        cr_expect_eq(st.st_size, 8);
        cas_store_free(store);
}

Test(cas_ingest, second_ingest_of_the_same_blob_is_a_success)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct cas_blob first;
        struct cas_blob second;

        cr_assert_eq(cas_store_look(store, &digest, &first), CAS_VERIFIED);
        publish_text(store, TEXT);
        cr_assert_eq(cas_store_look(store, &digest, &second), CAS_VERIFIED);
        cr_expect_eq(first.inode, second.inode, "the blob that was there stays");
        expect_published(store, &digest, LENGTH);
        cas_store_free(store);
}

Test(cas_ingest, fault_40_what_stands_in_the_way_is_moved_aside)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        char inner[600];

        cr_assert_eq(mkdir(scratch_at(blob_at(&digest).text).text, 0700), 0);
        snprintf(inner, sizeof(inner), "%s/file", blob_at(&digest).text);
        scratch_write(inner, "", 0);
        publish_text(store, TEXT);
        expect_published(store, &digest, LENGTH);
        cr_expect_eq(scratch_count("cache/quarantine"), 1);
        cas_store_free(store);
}

Test(cas_ingest, fault_43_out_of_descriptors)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = NULL;
        struct rlimit before = spend_descriptors();
        int r = cas_ingest_begin(store, &digest, 100, LENGTH, &ingest);

        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        cr_expect_eq(r, -EMFILE);
        expect_nothing(store, &digest);
        publish_text(store, TEXT);
        expect_published(store, &digest, LENGTH);
        cas_store_free(store);
}

/* Publishing finds a blob that it cannot open now; that says nothing against the blob. */
Test(cas_ingest, fault_43_publishing_out_of_descriptors_removes_no_blob)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct cas_ingest *ingest = begin(store, &digest, 1000, LENGTH);
        struct cas_blob first;
        struct cas_blob second;

        cr_assert_eq(cas_store_look(store, &digest, &first), CAS_VERIFIED);
        cr_assert_eq(ingest_bytes(ingest, TEXT, LENGTH), 0);

        struct rlimit before = spend_descriptors();
        int r = cas_ingest_commit(ingest, NULL);

        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        cas_ingest_free(ingest);
        cr_expect_eq(r, -EMFILE);
        cr_assert_eq(cas_store_look(store, &digest, &second), CAS_VERIFIED);
        cr_expect_eq(first.inode, second.inode);
        cas_store_free(store);
}

Test(cas_ingest, fault_40_directory_in_the_staging_place_is_moved_aside)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct scratch_path part = in_cache("ingest", &digest, ".part");
        char inner[600];

        cr_assert_eq(mkdir(scratch_at(part.text).text, 0700), 0);
        publish_text(store, TEXT);
        expect_published(store, &digest, LENGTH);
        cr_assert_eq(mkdir(scratch_at(part.text).text, 0700), 0);
        snprintf(inner, sizeof(inner), "%s/file", part.text);
        scratch_write(inner, "", 0);
        publish_text(store, TEXT);
        expect_published(store, &digest, LENGTH);
        cr_expect_eq(scratch_count("cache/quarantine"), 1, "the one with content");
        cas_store_free(store);
}

/* Verdicts are the ingest's; the disk's own EFBIG is a failure of the disk. */
Test(cas_ingest, errors_of_the_disk_are_not_verdicts)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_ingest *ingest = begin(store, &digest, 1000, LENGTH);
        struct rlimit before;

        cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);

        struct rlimit small = {.rlim_cur = LENGTH / 2, .rlim_max = before.rlim_max};

        signal(SIGXFSZ, SIG_IGN);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);

        int r = ingest_bytes(ingest, TEXT, LENGTH);

        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        cas_ingest_free(ingest);
        cr_expect_eq(r, -EIO);
        cas_store_free(store);
}

static void *publish_many(void *arg)
{
        struct cas_store *store = arg;

        for (int i = 0; i < 20; i++) {
                char text[64];

                snprintf(text, sizeof(text), "blob %d of %ld", i, (long)gettid());
                publish_text(store, text);
        }
        return NULL;
}

static int count_verified(void *arg, const struct cas_digest *digest)
{
        struct cas_blob blob;
        void **args = arg;

        cr_expect_eq(cas_store_look(args[0], digest, &blob), CAS_VERIFIED);
        ++*(int *)args[1];
        return 0;
}

Test(cas_ingest, many_at_once)
{
        struct cas_store *store = open_cache();
        pthread_t threads[4];
        int count = 0;
        void *args[] = {store, &count};

        for (int i = 0; i < 4; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, publish_many, store), 0);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        cr_expect_eq(cas_store_list(store, count_verified, args), 0);
        cr_expect_eq(count, 80);
        cr_expect_eq(scratch_count("cache/ingest"), 0);
        cas_store_free(store);
}
