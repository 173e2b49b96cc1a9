/*
 * Re-hashing: every kind of damage is found, nothing that is right is disturbed, and what is
 * noted of it says when and in which boot.
 */
#include "cas/scrub.h"

#include "cas/record.h"
#include "tests/unit/blob.h"

#include <errno.h>
#include <sys/xattr.h>
#include <time.h>

#define TEXT "an asset that is hashed again"

TestSuite(cas_scrub, .init = scratch_make, .fini = scratch_remove, .timeout = 20);

static struct cas_scrub scrub_of(const struct cas_store *store, bool direct)
{
        struct cas_scrub scrub = cas_store_scrub(store);

        scrub.direct = direct;
        return scrub;
}

static struct stat stat_of(const struct cas_digest *digest)
{
        struct stat st;

        cr_assert_eq(lstat(scratch_at(blob_at(digest).text).text, &st), 0);
        return st;
}

/* Other bytes, the same size, times and mode: only a hash can tell. */
static void flip(const struct cas_digest *digest)
{
        struct stat before = stat_of(digest);
        struct timespec times[2] = {before.st_atim, before.st_mtim};
        char path[512];
        int fd;

        strcpy(path, scratch_at(blob_at(digest).text).text);
        cr_assert_eq(chmod(path, 0600), 0);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        cr_assert_geq(fd, 0);
        cr_assert_eq(pwrite(fd, "\1", 1, 3), 1);
        cr_assert(futimens(fd, times) == 0 && fchmod(fd, 0444) == 0);
        close(fd);
}

static void set_verified(const struct cas_digest *digest, const char *text)
{
        char path[512];

        strcpy(path, scratch_at(blob_at(digest).text).text);
        cr_assert_eq(chmod(path, 0600), 0);
        cr_assert_eq(setxattr(path, "user.assetfs.verified", text, strlen(text), 0), 0);
        cr_assert_eq(chmod(path, 0444), 0);
}

Test(cas_scrub, what_is_right_keeps_its_file_and_times)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct stat before = stat_of(&digest);
        struct cas_scrub scrub = scrub_of(store, true);
        struct cas_verdict verdict;
        struct cas_blob open;
        int64_t when = 0;

        cr_assert_eq(cas_store_open_blob(store, &digest, &open), 0);
        set_verified(&digest, "1000 another-boot");
        cr_expect_eq(cas_store_verified_at(store, &digest, &when), 0);
        cr_expect_eq(when, 1000);
        cr_expect_eq(cas_scrub_blob(&scrub, &digest, &verdict), 0);
        cr_expect(verdict.recorded);
        cr_expect_eq(verdict.hashed, strlen(TEXT));
        cr_expect_eq(cas_store_verified_at(store, &digest, &when), 0);
        cr_expect_geq(when, (int64_t)time(NULL) - 60);

        struct stat after = stat_of(&digest);

        cr_expect(after.st_ino == before.st_ino && after.st_mode == before.st_mode);
        cr_expect_eq(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
        cr_expect(cas_blob_intact(&open), "who has it open is not disturbed");
        close(open.fd);
        cas_store_free(store);
}

Test(cas_scrub, fault_39_a_flipped_bit_that_no_record_tells_is_quarantined)
{
        struct cas_store *store = open_cache();

        for (int direct = 0; direct <= 1; direct++) {
                struct cas_digest digest = publish_text(store, TEXT);
                struct cas_scrub scrub = scrub_of(store, direct);
                struct cas_verdict verdict;
                struct cas_blob blob;

                flip(&digest);
                cr_expect_eq(cas_store_open_blob(store, &digest, &blob), 0, "metadata is right");
                cr_expect_eq(cas_scrub_blob(&scrub, &digest, &verdict), -EBADMSG);
                cr_expect(verdict.recorded && verdict.kept && verdict.error == 0);
                cr_expect_not(cas_digest_equal(&verdict.found, &digest));
                cr_expect_not(scratch_has(blob_at(&digest).text));
                cr_expect_eq(scratch_count("cache/quarantine"), (unsigned)direct + 1);
                close(blob.fd);
        }
        cas_store_free(store);
}

Test(cas_scrub, right_bytes_without_a_record_get_one)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_scrub scrub = scrub_of(store, true);
        struct cas_verdict verdict;
        struct cas_blob blob;

        scratch_write(blob_at(&digest).text, TEXT, strlen(TEXT));
        cr_expect_eq(cas_scrub_blob(&scrub, &digest, &verdict), 0);
        cr_expect_not(verdict.recorded);
        cr_expect_eq(cas_store_open_blob(store, &digest, &blob), 0);
        close(blob.fd);
        cas_store_free(store);
}

Test(cas_scrub, fault_40_what_is_no_file_of_ours_is_left_alone)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_scrub scrub = scrub_of(store, true);
        struct cas_verdict verdict;

        cr_assert_eq(symlink("/etc/passwd", scratch_at(blob_at(&digest).text).text), 0);
        cr_expect_eq(cas_scrub_blob(&scrub, &digest, &verdict), -EUCLEAN);
        cr_assert_eq(unlink(scratch_at(blob_at(&digest).text).text), 0);
        cr_assert_eq(mkfifo(scratch_at(blob_at(&digest).text).text, 0600), 0);
        cr_expect_eq(cas_scrub_blob(&scrub, &digest, &verdict), -EUCLEAN);
        cr_expect(scratch_has(blob_at(&digest).text));
        cr_assert_eq(unlink(scratch_at(blob_at(&digest).text).text), 0);
        cr_expect_eq(cas_scrub_blob(&scrub, &digest, &verdict), -ENOENT);
        cas_store_free(store);
}

Test(cas_scrub, cancelled_changes_nothing)
{
        static const atomic_bool cancelled = true;
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct cas_scrub scrub = scrub_of(store, true);
        struct cas_verdict verdict;

        flip(&digest);
        scrub.cancelled = &cancelled;
        cr_expect_eq(cas_scrub_blob(&scrub, &digest, &verdict), -ECANCELED);
        cr_expect(scratch_has(blob_at(&digest).text));
        cas_store_free(store);
}

static struct cas_digest replaced;
static const char *replacement;

static void replace(void *arg, uint64_t bytes)
{
        (void)arg;
        (void)bytes;
        cr_assert_eq(rename(replacement, scratch_at(blob_at(&replaced).text).text), 0);
}

/* As when an open has found it bad as well, and fetched it again. */
Test(cas_scrub, another_file_that_came_meanwhile_stays)
{
        struct cas_store *store = open_cache();
        struct cas_scrub scrub = scrub_of(store, false);
        struct cas_verdict verdict;
        static char path[512];

        replaced = publish_text(store, TEXT);
        flip(&replaced);
        scratch_write("new", TEXT, strlen(TEXT));
        strcpy(path, scratch_at("new").text);
        replacement = path;
        scrub.progress = replace;
        cr_expect_eq(cas_scrub_blob(&scrub, &replaced, &verdict), -ENOENT);
        cr_expect(scratch_has(blob_at(&replaced).text));
        cr_expect_eq(scratch_count("cache/quarantine"), 0);
        cas_store_free(store);
}

Test(cas_scrub, fault_46_order_is_by_time_and_the_future_is_not_believed)
{
        static const char *const texts[] = {"three", "one", "future", "two"};
        static const char *const notes[] = {"3000 x", "1000 x", "99999999999 x", "2000 x"};
        static const char *const order[] = {"future", "one", "two", "three"};
        struct cas_store *store = open_cache();
        struct cas_scrub scrub = scrub_of(store, true);
        struct cas_scrub_item *items = NULL;
        size_t count = 0;

        for (int i = 0; i < 4; i++) {
                struct cas_digest digest = publish_text(store, texts[i]);

                set_verified(&digest, notes[i]);
        }
        cr_assert_eq(cas_scrub_list(&scrub, &items, &count), 0);
        cr_assert_eq(count, 4);
        for (int i = 0; i < 4; i++) {
                struct cas_digest digest = digest_of_text(order[i]);

                cr_expect(cas_digest_equal(&items[i].digest, &digest), "%s", order[i]);
        }
        free(items);
        cas_store_free(store);
}

Test(cas_scrub, a_boot_is_known_by_its_id)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct cas_verdict verdict;
        struct cas_blob blob;
        static const atomic_bool going;
        char later[64];

        cr_assert_eq(cas_store_open_blob(store, &digest, &blob), 0);
        cr_expect_not(cas_store_wants_hash(store, CAS_VERIFY_METADATA, &blob));
        cr_expect_not(cas_store_wants_hash(store, CAS_VERIFY_BOOT, &blob), "fetched in this boot");
        cr_expect(cas_store_wants_hash(store, CAS_VERIFY_ALWAYS, &blob));
        snprintf(later, sizeof(later), "%lld another-boot", (long long)time(NULL) + 1000);
        set_verified(&digest, later);
        cr_expect(cas_store_wants_hash(store, CAS_VERIFY_BOOT, &blob), "whatever the clock says");
        cr_expect_eq(cas_store_revalidate(store, &digest, &going, &verdict), 0);
        cr_expect_not(cas_store_wants_hash(store, CAS_VERIFY_BOOT, &blob));
        cr_assert_eq(chmod(scratch_at(blob_at(&digest).text).text, 0600), 0);
        cr_assert_eq(removexattr(scratch_at(blob_at(&digest).text).text, "user.assetfs.verified"),
                     0);
        cr_expect(cas_store_wants_hash(store, CAS_VERIFY_BOOT, &blob), "of an older assetfs");
        close(blob.fd);
        cas_store_free(store);
}

/* Who looks while another notes something, or after he was killed at it, sees a blob. */
Test(cas_scrub, a_note_that_was_cut_short_leaves_a_blob)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct cas_scrub scrub = scrub_of(store, true);
        struct cas_verdict verdict;
        struct cas_blob blob;

        cr_assert_eq(chmod(scratch_at(blob_at(&digest).text).text, 0600), 0);
        cr_expect_eq(cas_store_open_blob(store, &digest, &blob), 0);
        cr_expect_eq(cas_scrub_blob(&scrub, &digest, &verdict), 0);
        cr_expect_eq(stat_of(&digest).st_mode & 07777, 0444);
        close(blob.fd);
        cas_store_free(store);
}
