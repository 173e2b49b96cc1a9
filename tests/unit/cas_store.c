/*
 * The store: what makes a cache fit to open, and what is a blob. Everything that is
 * none is found out, never followed and never waited for.
 */
#include "cas/store.h"

#include "tests/unit/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <time.h>

#define TEXT "an asset of the store"

TestSuite(cas_store, .init = scratch_make, .fini = scratch_remove, .timeout = 20);

static const atomic_bool going;
static struct cas_verdict verdict;

static unsigned mode_of(const char *name)
{
        struct stat st;

        cr_assert_eq(lstat(scratch_at(name).text, &st), 0);
        return st.st_mode & 07777;
}

static int open_and_close(struct cas_store *store, const struct cas_digest *digest)
{
        struct cas_blob blob;
        int r = cas_store_open_blob(store, digest, &blob);

        if (r == 0)
                close(blob.fd);
        return r;
}

/* It is no blob, it is settled as wrong, and then nothing is there. */
static void expect_refused(struct cas_store *store, const struct cas_digest *digest)
{
        struct cas_blob blob;

        cr_expect_eq(open_and_close(store, digest), -EUCLEAN);
        cr_expect_neq(cas_store_look(store, digest, &blob), CAS_VERIFIED);
        cr_expect_eq(cas_store_revalidate(store, digest, &going, &verdict), -EBADMSG);
        cr_expect_eq(open_and_close(store, digest), -ENOENT);
}

Test(cas_store, open_makes_a_private_cache_with_all_its_directories)
{
        static const char *const made[] = {"cache",      "cache/blobs",      "cache/blobs/sha256",
                                           "cache/pins", "cache/quarantine", "cache/ingest"};
        struct cas_store *store = open_cache();

        cr_expect_not(cas_store_readable_by_others(store));
        for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
                cr_expect_eq(mode_of(made[i]), 0700, "%s", made[i]);
        cr_expect(scratch_has("cache/lock"));
        cas_store_free(store);
        cas_store_free(NULL);
}

Test(cas_store, open_makes_missing_parents)
{
        char why[CAS_WHY];
        struct cas_store *store;

        cr_assert_eq(claim_and_open(scratch_at("a/b/c//").text, &store, why), 0, "%s", why);
        cr_expect_eq(mode_of("a/b/c"), 0700);
        cas_store_free(store);
}

Test(cas_store, fault_52_second_open_is_told_who_has_the_cache)
{
        char why[CAS_WHY] = "";
        char pid[32];
        struct cas_store *store = open_cache();
        struct cas_store *second = NULL;

        snprintf(pid, sizeof(pid), "pid %d", getpid());
        cr_expect_eq(claim_and_open(scratch_at("cache").text, &second, why), -EBUSY);
        cr_expect_null(second);
        cr_expect_not_null(strstr(why, pid), "%s", why);
        cas_store_free(store);
        cas_store_free(open_cache());
}

Test(cas_store, fault_67_writable_by_others_is_refused)
{
        static const mode_t modes[] = {0720, 0702, 0777};
        char why[CAS_WHY];
        struct cas_store *store = NULL;

        cr_assert_eq(mkdir(scratch_at("cache").text, 0700), 0);
        for (size_t i = 0; i < 3; i++) {
                why[0] = '\0';
                cr_assert_eq(chmod(scratch_at("cache").text, modes[i]), 0);
                cr_expect_eq(claim_and_open(scratch_at("cache").text, &store, why), -EPERM);
                cr_expect_not_null(strstr(why, "writable by others"), "%s", why);
        }
        cr_expect_eq(scratch_count("cache"), 0, "something was made in it");
}

Test(cas_store, fault_67_readable_by_others_opens_and_says_so)
{
        cr_assert_eq(mkdir(scratch_at("cache").text, 0700), 0);
        cr_assert_eq(chmod(scratch_at("cache").text, 0755), 0);

        struct cas_store *store = open_cache();

        cr_expect(cas_store_readable_by_others(store));
        cas_store_free(store);
}

/* A new directory, and an empty one of root's, is given to the user it is claimed for. */
Test(cas_store, claim_gives_an_empty_directory_of_roots_away)
{
        char why[CAS_WHY] = "";
        struct cas_claim claim;
        struct stat st;

        if (geteuid() != 0)
                cr_skip("only root can give a directory away");
        cr_assert_eq(mkdir(scratch_at("made").text, 0755), 0);
        for (int i = 0; i < 2; i++) {
                const char *name = i ? "made" : "cache";

                cr_assert_eq(cas_claim_make(scratch_at(name).text, 12345, 23456, &claim, why), 0,
                             "%s", why);
                cr_assert_eq(fstat(claim.root, &st), 0);
                cr_expect(st.st_uid == 12345 && st.st_gid == 23456);
                cr_expect_eq(st.st_mode & 07777, 0700);
                cr_assert_eq(fstat(claim.lock, &st), 0);
                cr_expect_eq(st.st_uid, 12345, "the lock is made with the user's own rights");
                cas_claim_release(&claim);
        }
        scratch_write("full", "", 0);
        cr_assert_eq(unlink(scratch_at("full").text), 0);
        cr_assert_eq(mkdir(scratch_at("full").text, 0755), 0);
        scratch_write("full/file", "", 0);
        cr_expect_eq(cas_claim_make(scratch_at("full").text, 12345, 23456, &claim, why), -EPERM);
        cr_expect_not_null(strstr(why, "belongs to uid 0"), "%s", why);
}

/* Whoever owns a directory on the way could have root give away any other empty one. */
Test(cas_store, claim_gives_away_nothing_that_a_link_leads_to)
{
        char why[CAS_WHY] = "";
        struct cas_claim claim;
        struct stat st;

        if (geteuid() != 0)
                cr_skip("only root can give a directory away");
        cr_assert_eq(mkdir(scratch_at("victim").text, 0755), 0);
        cr_assert_eq(mkdir(scratch_at("theirs").text, 0755), 0);
        cr_assert_eq(chown(scratch_at("theirs").text, 12345, 12345), 0);
        cr_assert_eq(symlink("../victim", scratch_at("theirs/cache").text), 0);
        cr_expect_eq(cas_claim_make(scratch_at("theirs/cache").text, 12345, 12345, &claim, why),
                     -EPERM);
        cr_assert_eq(stat(scratch_at("victim").text, &st), 0);
        cr_expect(st.st_uid == 0 && (st.st_mode & 07777) == 0755);
}

/* Root must not write where the user could not: the lock may be a link to anything. */
Test(cas_store, claim_does_not_lend_roots_rights)
{
        char why[CAS_WHY] = "";
        struct cas_claim claim;
        struct stat st;

        if (geteuid() != 0)
                cr_skip("only root has rights to lend");
        cr_assert_eq(chmod(scratch_dir, 0755), 0);
        cr_assert_eq(mkdir(scratch_at("cache").text, 0700), 0);
        scratch_write("precious", "precious", 8);
        cr_assert_eq(chmod(scratch_at("precious").text, 0600), 0);
        cr_assert_eq(link(scratch_at("precious").text, scratch_at("cache/lock").text), 0);
        cr_assert_eq(chown(scratch_at("cache").text, 12345, 12345), 0);
        cr_expect_lt(cas_claim_make(scratch_at("cache").text, 12345, 12345, &claim, why), 0);
        cr_assert_eq(stat(scratch_at("precious").text, &st), 0);
        cr_expect_eq(st.st_size, 8);
        cr_expect_eq(st.st_uid, 0);
}

Test(cas_store, another_users_directory_is_refused)
{
        char why[CAS_WHY] = "";
        struct cas_store *store = NULL;

        if (geteuid() != 0)
                cr_skip("only root can give a directory away");
        cr_assert_eq(mkdir(scratch_at("cache").text, 0700), 0);
        cr_assert_eq(chown(scratch_at("cache").text, 12345, 12345), 0);
        cr_expect_eq(claim_and_open(scratch_at("cache").text, &store, why), -EPERM);
        cr_expect_not_null(strstr(why, "12345"), "%s", why);
}

Test(cas_store, a_file_is_no_cache)
{
        char why[CAS_WHY] = "";
        struct cas_store *store = NULL;

        scratch_write("cache", "", 0);
        cr_expect_eq(claim_and_open(scratch_at("cache").text, &store, why), -ENOTDIR);
        cr_expect_neq(why[0], '\0');
}

Test(cas_store, no_directory_of_the_cache_may_be_a_link)
{
        char why[CAS_WHY] = "";
        struct cas_store *store = NULL;

        cr_assert_eq(mkdir(scratch_at("cache").text, 0700), 0);
        cr_assert_eq(mkdir(scratch_at("elsewhere").text, 0700), 0);
        cr_assert_eq(symlink(scratch_at("elsewhere").text, scratch_at("cache/ingest").text), 0);
        cr_expect_lt(claim_and_open(scratch_at("cache").text, &store, why), 0);
        cr_expect_not_null(strstr(why, "ingest"), "%s", why);
}

Test(cas_store, fault_41_stale_staging_is_swept_and_strangers_stay)
{
        struct cas_digest fresh = digest_of_text(TEXT);
        struct cas_digest empty = digest_of_text("empty");
        struct cas_digest stale = digest_of_text("stale");
        struct timespec old[] = {{.tv_sec = time(NULL) - 8 * 86400},
                                 {.tv_sec = time(NULL) - 8 * 86400}};

        cas_store_free(open_cache());
        scratch_write(in_cache("ingest", &fresh, ".part").text, "half", 4);
        scratch_write(in_cache("ingest", &fresh, ".other").text, "half", 4);
        scratch_write(in_cache("ingest", &empty, ".part").text, "", 0);
        scratch_write(in_cache("ingest", &stale, ".part").text, "half", 4);
        cr_assert_eq(
            utimensat(AT_FDCWD, scratch_at(in_cache("ingest", &stale, ".part").text).text, old, 0),
            0);
        scratch_write("cache/ingest/README", "", 0);
        scratch_write("cache/stranger", "", 0);
        cr_assert_eq(mkdir(scratch_at("cache/lost+found").text, 0700), 0);
        cas_store_free(open_cache());
        cr_expect(scratch_has(in_cache("ingest", &fresh, ".part").text), "kept for a resume");
        cr_expect_not(scratch_has(in_cache("ingest", &fresh, ".other").text));
        cr_expect_not(scratch_has(in_cache("ingest", &empty, ".part").text));
        cr_expect_not(scratch_has(in_cache("ingest", &stale, ".part").text));
        cr_expect(scratch_has("cache/ingest/README"));
        cr_expect(scratch_has("cache/stranger"));
        cr_expect(scratch_has("cache/lost+found"));
}

Test(cas_store, absent_blob_is_absent_everywhere)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_blob blob;
        char source[16];

        cr_expect_eq(open_and_close(store, &digest), -ENOENT);
        cr_expect_eq(cas_store_look(store, &digest, &blob), CAS_ABSENT);
        cr_expect_eq(cas_store_revalidate(store, &digest, &going, &verdict), -ENOENT);
        cr_expect_eq(cas_store_refuse(store, &digest), 0);
        cr_expect_eq(cas_store_source(store, &digest, source, sizeof(source)), -ENOENT);
        cas_store_free(store);
}

Test(cas_store, published_blob_opens_with_its_size_and_bytes)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct cas_blob blob;
        char bytes[64];

        cr_assert_eq(cas_store_open_blob(store, &digest, &blob), 0);
        cr_expect_eq(blob.size, strlen(TEXT));
        cr_expect(cas_blob_intact(&blob));
        cr_expect_eq(read(blob.fd, bytes, sizeof(bytes)), (ssize_t)strlen(TEXT));
        cr_expect_eq(memcmp(bytes, TEXT, strlen(TEXT)), 0);
        cr_expect_neq(fcntl(blob.fd, F_GETFD) & FD_CLOEXEC, 0);
        close(blob.fd);
        cr_expect_eq(cas_store_look(store, &digest, &blob), CAS_VERIFIED);
        cr_expect_eq(blob.size, strlen(TEXT));
        cas_store_free(store);
}

/* The blob was opened last at that time, as far as its file says. */
static void set_opened(const struct cas_digest *digest, time_t when)
{
        const struct timespec times[2] = {{.tv_sec = when}, {.tv_nsec = UTIME_OMIT}};

        cr_assert_eq(utimensat(AT_FDCWD, scratch_at(blob_at(digest).text).text, times, 0), 0);
}

static time_t opened_at(const struct cas_digest *digest)
{
        struct stat st;

        cr_assert_eq(stat(scratch_at(blob_at(digest).text).text, &st), 0);
        return st.st_atim.tv_sec;
}

/* As the next worker does. */
static struct cas_store *reopen(struct cas_store *store)
{
        cas_store_free(store);
        return open_cache();
}

Test(cas_store, open_notes_when_at_most_once_a_minute)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        time_t now = time(NULL);
        struct cas_blob before;
        struct cas_blob after;

        cr_assert_eq(cas_store_look(store, &digest, &before), CAS_VERIFIED);
        set_opened(&digest, now - 30);
        store = reopen(store);
        cr_assert_eq(open_and_close(store, &digest), 0);
        cr_expect_eq(opened_at(&digest), now - 30);
        for (int days = -1; days <= 1; days += 2) { /* the clock may have been set */
                set_opened(&digest, now + days * 86400);
                store = reopen(store);
                cr_expect_eq(cas_store_look(store, &digest, &after), CAS_VERIFIED);
                cr_expect_eq(opened_at(&digest), now + days * 86400, "a look is no open");
                cr_assert_eq(open_and_close(store, &digest), 0);
                cr_expect_geq(opened_at(&digest), now - 1);
                cr_expect_leq(opened_at(&digest), time(NULL));
        }
        cr_expect_eq(cas_store_look(store, &digest, &after), CAS_VERIFIED, "the record holds");
        cr_expect(after.mtime == before.mtime && after.inode == before.inode);
        cas_store_free(store);
}

/* What an opener keeps is of after the note, and a note is due again after a minute. */
Test(cas_store, unchanged_is_said_of_a_blob_whose_open_was_noted)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct cas_blob blob;

        set_opened(&digest, 1000);
        store = reopen(store);
        usleep(20000); /* a tick of coarse file times */
        cr_assert_eq(cas_store_open_blob(store, &digest, &blob), 0);
        close(blob.fd);
        cr_expect(cas_store_unchanged(store, &digest, &blob));
        set_opened(&digest, time(NULL) - 120);
        store = reopen(store);
        cr_assert_eq(cas_store_look(store, &digest, &blob), CAS_VERIFIED);
        cr_expect_not(cas_store_unchanged(store, &digest, &blob), "only an open notes it");
        cas_store_free(store);
}

/* A disk that keeps no times is not asked at every open, and costs none its short way. */
Test(cas_store, open_goes_without_a_note_where_the_disk_takes_none)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct cas_blob blob;
        char command[700];

        set_opened(&digest, 1000);
        snprintf(command, sizeof(command), "chattr +i '%s' 2>/dev/null",
                 scratch_at(blob_at(&digest).text).text);
        if (system(command) != 0)
                cr_skip_test("this file system has no immutable files");
        cr_expect_eq(cas_store_open_blob(store, &digest, &blob), 0);
        cr_expect(cas_store_unchanged(store, &digest, &blob));
        cr_expect_eq(opened_at(&digest), 1000);
        close(blob.fd);
        snprintf(command, sizeof(command), "chattr -i '%s'",
                 scratch_at(blob_at(&digest).text).text);
        cr_assert_eq(system(command), 0);
        cas_store_free(store);
}

Test(cas_store, fault_39_unchanged_is_said_only_of_the_very_same_file)
{
        static const char *const changes[] = {"chmod 0644",
                                              "touch -d @1000",
                                              "truncate -s 3",
                                              "setfattr -n user.x -v y",
                                              "cp -p --remove-destination /etc/passwd",
                                              "chown 12345"};
        struct cas_store *store = open_cache();
        struct cas_blob blob;

        for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
                struct cas_digest digest = publish_text(store, TEXT);
                char command[1200];

                cr_assert_eq(cas_store_open_blob(store, &digest, &blob), 0);
                close(blob.fd);
                cr_expect(cas_store_unchanged(store, &digest, &blob));
                usleep(20000); /* a tick of coarse file times */
                snprintf(command, sizeof(command), "%s '%s' 2>/dev/null", changes[i],
                         scratch_at(blob_at(&digest).text).text);
                if (system(command) == 0)
                        cr_expect_not(cas_store_unchanged(store, &digest, &blob), "%s", changes[i]);
                cr_assert_eq(cas_store_refuse(store, &digest), 0);
                cr_expect_not(cas_store_unchanged(store, &digest, &blob), "gone");
        }
        cas_store_free(store);
}

/* Else it would be asked for over the network. */
Test(cas_store, fault_43_out_of_descriptors_is_not_absence)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct rlimit before = spend_descriptors();
        struct cas_blob blob;
        int found = cas_store_look(store, &digest, &blob);
        int absent = cas_store_look(store, &(struct cas_digest){{1}}, &blob);

        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        cr_expect_eq(found, -EMFILE);
        cr_expect_eq(absent, CAS_ABSENT);
        cr_expect_eq(cas_store_look(store, &digest, &blob), CAS_VERIFIED);
        cas_store_free(store);
}

Test(cas_store, blob_outlives_the_store)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);

        cas_store_free(store);
        store = open_cache();
        cr_expect_eq(open_and_close(store, &digest), 0);
        cas_store_free(store);
}

Test(cas_store, right_bytes_without_a_record_are_taken_in)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();
        struct cas_blob blob;

        scratch_write(blob_at(&digest).text, TEXT, strlen(TEXT));
        cr_expect_eq(open_and_close(store, &digest), -EUCLEAN);
        cr_expect_eq(cas_store_look(store, &digest, &blob), CAS_UNVERIFIED);
        cr_expect_eq(blob.size, strlen(TEXT));
        cr_expect_eq(cas_store_revalidate(store, &digest, &going, &verdict), 0);
        cr_expect_eq(open_and_close(store, &digest), 0);
        cr_expect_eq(cas_store_revalidate(store, &digest, &going, &verdict), 0);
        cas_store_free(store);
}

Test(cas_store, revalidation_stops_when_cancelled_and_takes_nothing_away)
{
        static const atomic_bool cancelled = true;
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();

        scratch_write(blob_at(&digest).text, TEXT, strlen(TEXT));
        cr_expect_eq(cas_store_revalidate(store, &digest, &cancelled, &verdict), -ECANCELED);
        cr_expect_eq(open_and_close(store, &digest), -EUCLEAN);
        cas_store_free(store);
}

Test(cas_store, fault_39_flipped_bit_is_found_by_revalidation)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        char path[512];

        strcpy(path, scratch_at(blob_at(&digest).text).text);
        cr_assert_eq(chmod(path, 0644), 0);
        scratch_write(blob_at(&digest).text, "AN asset of the store", strlen(TEXT));
        cr_assert_eq(chmod(path, 0444), 0);
        expect_refused(store, &digest);
        cas_store_free(store);
}

Test(cas_store, fault_39_truncated_and_grown_are_refused)
{
        struct cas_store *store = open_cache();

        for (long change = -1; change <= 1; change += 2) {
                struct cas_digest digest = publish_text(store, TEXT);

                cr_assert_eq(
                    truncate(scratch_at(blob_at(&digest).text).text, (off_t)strlen(TEXT) + change),
                    0);
                expect_refused(store, &digest);
        }
        cas_store_free(store);
}

Test(cas_store, fault_39_open_blob_knows_that_it_was_touched)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct cas_blob blob;

        cr_assert_eq(cas_store_open_blob(store, &digest, &blob), 0);
        cr_assert_eq(truncate(scratch_at(blob_at(&digest).text).text, 3), 0);
        cr_expect_not(cas_blob_intact(&blob));
        close(blob.fd);
        cas_store_free(store);
}

Test(cas_store, fault_40_symlink_is_not_followed)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();

        scratch_write("outside", TEXT, strlen(TEXT));
        cr_assert_eq(symlink(scratch_at("outside").text, scratch_at(blob_at(&digest).text).text),
                     0);
        expect_refused(store, &digest);
        cr_expect(scratch_has("outside"));
        cas_store_free(store);
}

Test(cas_store, fault_40_fifo_does_not_block)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();

        cr_assert_eq(mkfifo(scratch_at(blob_at(&digest).text).text, 0600), 0);
        expect_refused(store, &digest);
        cas_store_free(store);
}

Test(cas_store, fault_40_directory_is_taken_away)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();

        cr_assert_eq(mkdir(scratch_at(blob_at(&digest).text).text, 0700), 0);
        expect_refused(store, &digest);
        cr_expect_eq(scratch_count("cache/quarantine"), 0);
        cas_store_free(store);
}

Test(cas_store, fault_40_directory_with_content_is_set_aside_every_time)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_store *store = open_cache();

        for (unsigned times = 1; times <= 3; times++) {
                char inner[600];

                cr_assert_eq(mkdir(scratch_at(blob_at(&digest).text).text, 0700), 0);
                snprintf(inner, sizeof(inner), "%s/file", blob_at(&digest).text);
                scratch_write(inner, "", 0);
                expect_refused(store, &digest);
                cr_expect_eq(scratch_count("cache/quarantine"), times);
        }
        cas_store_free(store);
}

Test(cas_store, fault_40_hard_link_of_another_blob_is_refused)
{
        struct cas_store *store = open_cache();
        struct cas_digest other = publish_text(store, "another asset");
        struct cas_digest digest = digest_of_text(TEXT);

        cr_assert_eq(
            link(scratch_at(blob_at(&other).text).text, scratch_at(blob_at(&digest).text).text), 0);
        expect_refused(store, &digest);
        cr_expect_eq(open_and_close(store, &other), 0, "the other blob is none the worse");
        cas_store_free(store);
}

Test(cas_store, fault_40_another_users_file_is_refused_even_with_the_right_bytes)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);

        if (geteuid() != 0)
                cr_skip("only root can give a file away");
        cr_assert_eq(chown(scratch_at(blob_at(&digest).text).text, 12345, 12345), 0);
        expect_refused(store, &digest);
        cas_store_free(store);
}

Test(cas_store, refused_blob_stays_readable_for_those_who_have_it_open)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, TEXT);
        struct cas_blob blob;
        char bytes[64];

        cr_assert_eq(cas_store_open_blob(store, &digest, &blob), 0);
        cr_expect_eq(cas_store_refuse(store, &digest), 0);
        cr_expect_eq(open_and_close(store, &digest), -ENOENT);
        cr_expect_eq(read(blob.fd, bytes, sizeof(bytes)), (ssize_t)strlen(TEXT));
        close(blob.fd);
        cas_store_free(store);
}

static int count_all(void *arg, const struct cas_digest *digest)
{
        (void)digest;
        ++*(int *)arg;
        return 0;
}

static int stop_at_once(void *arg, const struct cas_digest *digest)
{
        (void)digest;
        ++*(int *)arg;
        return 42;
}

Test(cas_store, list_names_digests_of_files_and_nothing_else)
{
        struct cas_store *store = open_cache();
        struct cas_digest directory = digest_of_text("a directory");
        int count = 0;

        publish_text(store, "one");
        publish_text(store, "two");
        scratch_write("cache/blobs/sha256/README", "", 0);
        cr_assert_eq(mkdir(scratch_at(blob_at(&directory).text).text, 0700), 0);
        cr_expect_eq(cas_store_list(store, count_all, &count), 0);
        cr_expect_eq(count, 2);
        count = 0;
        cr_expect_eq(cas_store_list(store, stop_at_once, &count), 42);
        cr_expect_eq(count, 1);
        cas_store_free(store);
}

Test(cas_store, list_of_an_empty_cache_is_empty)
{
        struct cas_store *store = open_cache();
        int count = 0;

        cr_expect_eq(cas_store_list(store, count_all, &count), 0);
        cr_expect_eq(count, 0);
        cas_store_free(store);
}

Test(cas_store, statvfs_tells_of_the_disk)
{
        struct cas_store *store = open_cache();
        struct statvfs found;

        cr_expect_eq(cas_store_statvfs(store, &found), 0);
        cr_expect_gt(found.f_bsize, 0);
        cas_store_free(store);
}
