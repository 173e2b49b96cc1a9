/*
 * What one ingest leaves and the next one takes up: whole slots, the odd bytes after
 * them, and nothing that could be anybody else's or of no use.
 */
#include "cas/ingest.h"

#include "tests/unit/staging.h"

#include <errno.h>
#include <signal.h>

#define SIZE  (5 * CAS_SLOT_BYTES + 777) /* of the asset */
#define BOUND (64u << 20)

TestSuite(cas_resume, .init = scratch_make, .fini = scratch_remove, .timeout = 30);

static const atomic_bool going;

/* Downloads [0, to) and is interrupted there. */
static void leave(struct bench *bench, const struct cas_digest *digest, uint64_t to,
                  uint64_t declared)
{
        struct cas_ingest *ingest = begin_ingest(bench, digest, BOUND, declared);
        size_t odd = (size_t)(to % CAS_SLOT_BYTES);

        cr_expect_eq(ingest_body(bench, ingest, NULL, to - odd), 0);
        cas_ingest_keep(ingest, odd ? slot_of(&bench->client, to - odd, odd) : NULL);
        cas_ingest_free(ingest);
}

/* Begins again, finds `left` bytes and brings the others. */
static void take_up(struct bench *bench, const struct cas_digest *digest, uint64_t bound,
                    uint64_t declared, uint64_t left)
{
        struct cas_ingest *ingest = begin_ingest(bench, digest, bound, declared);
        struct cas_slot *slot = take_slot(&bench->client);
        size_t odd = (size_t)(left % CAS_SLOT_BYTES);
        static char expected[CAS_SLOT_BYTES];

        cr_expect_eq(cas_ingest_recover(ingest, slot, &going), 0);
        cr_expect_eq(cas_ingest_offset(ingest), left - odd);
        cr_expect_eq(slot->filled, odd);
        body(left - odd, expected, odd);
        cr_expect_eq(memcmp(slot->bytes, expected, slot->filled), 0);
        cr_expect_eq(ingest_body(bench, ingest, slot, SIZE), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        expect_blob(bench, digest, SIZE);
}

Test(cas_resume, fault_4_what_was_left_is_taken_up)
{
        static const uint64_t lengths[] = {1,
                                           CAS_SLOT_BYTES - 1,
                                           CAS_SLOT_BYTES,
                                           CAS_SLOT_BYTES + 1,
                                           3 * CAS_SLOT_BYTES,
                                           3 * CAS_SLOT_BYTES + 54321,
                                           SIZE - 1,
                                           SIZE};
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;

        open_bench(&bench);
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
                uint64_t declared = i % 2 ? SIZE : CAS_SIZE_UNKNOWN;

                leave(&bench, &digest, lengths[i], declared);
                cr_expect_eq(stat_part(&digest).st_size, lengths[i]);
                take_up(&bench, &digest, BOUND, declared, lengths[i]);
                cr_expect_eq(cas_store_refuse(bench.store, &digest), 0);
        }
        close_bench(&bench);
}

Test(cas_resume, left_and_taken_up_several_times)
{
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;

        open_bench(&bench);
        leave(&bench, &digest, 100, SIZE);
        for (uint64_t at = 100; at + 200000 < SIZE; at += 200000) {
                struct cas_ingest *ingest = begin_ingest(&bench, &digest, BOUND, SIZE);
                struct cas_slot *slot = take_slot(&bench.client);
                uint64_t to = at + 200000;
                size_t odd = (size_t)(to % CAS_SLOT_BYTES);

                cr_expect_eq(cas_ingest_recover(ingest, slot, &going), 0);
                cr_expect_eq(cas_ingest_offset(ingest) + slot->filled, at);
                if (cas_ingest_offset(ingest) < to - odd) {
                        cr_expect_eq(ingest_body(&bench, ingest, slot, to - odd), 0);
                        slot = slot_of(&bench.client, to - odd, odd);
                } else {
                        body(to - odd, slot->bytes, odd);
                        slot->filled = odd;
                }
                cas_ingest_keep(ingest, slot);
                cas_ingest_free(ingest);
        }
        take_up(&bench, &digest, BOUND, SIZE, 100 + (SIZE - 101) / 200000 * 200000);
        close_bench(&bench);
}

Test(cas_resume, more_than_there_can_be_is_of_no_use)
{
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;

        open_bench(&bench);
        leave_staging(&digest, SIZE + 1, 60);
        take_up(&bench, &digest, BOUND, SIZE, 0);
        cr_expect_eq(cas_store_refuse(bench.store, &digest), 0);
        leave_staging(&digest, SIZE + 1, 60);
        take_up(&bench, &digest, SIZE, CAS_SIZE_UNKNOWN, 0);
        cr_expect_eq(cas_store_refuse(bench.store, &digest), 0);
        leave_staging(&digest, SIZE, 60);
        take_up(&bench, &digest, SIZE, SIZE, SIZE);
        close_bench(&bench);
}

Test(cas_resume, fault_10_restart_forgets_what_was_taken_up)
{
        struct cas_digest digest = digest_of_body(CAS_SLOT_BYTES + 5);
        struct bench bench;

        open_bench(&bench);
        leave_staging(&digest, 3 * CAS_SLOT_BYTES + 9, 60);

        struct cas_ingest *ingest = begin_ingest(&bench, &digest, BOUND, CAS_SIZE_UNKNOWN);
        struct cas_slot *slot = take_slot(&bench.client);

        cr_expect_eq(cas_ingest_recover(ingest, slot, &going), 0);
        cr_expect_eq(cas_ingest_offset(ingest), 3 * CAS_SLOT_BYTES);
        cas_slot_give(slot);
        cr_expect_eq(cas_ingest_restart(ingest), 0);
        cr_expect_eq(cas_ingest_offset(ingest), 0);
        cr_expect_eq(stat_part(&digest).st_size, 0);
        cr_expect_eq(ingest_body(&bench, ingest, NULL, CAS_SLOT_BYTES + 5), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        expect_blob(&bench, &digest, CAS_SLOT_BYTES + 5);
        close_bench(&bench);
}

Test(cas_resume, fault_12_what_was_left_is_wrong)
{
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;
        char wrong = 0;

        open_bench(&bench);
        body(1000, &wrong, 1);
        wrong ^= 1;
        leave_staging(&digest, CAS_SLOT_BYTES + 4000, 60);

        int fd = open(scratch_at(part_of(&digest).text).text, O_WRONLY | O_CLOEXEC);

        cr_assert_eq(pwrite(fd, &wrong, 1, 1000), 1);
        close(fd);

        struct cas_ingest *ingest = begin_ingest(&bench, &digest, BOUND, SIZE);
        struct cas_slot *slot = take_slot(&bench.client);

        cr_expect_eq(cas_ingest_recover(ingest, slot, &going), 0);
        cr_expect_eq(ingest_body(&bench, ingest, slot, SIZE), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), -EBADMSG);
        cr_expect_eq(cas_ingest_restart(ingest), 0);
        cr_expect_eq(ingest_body(&bench, ingest, NULL, SIZE), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        expect_blob(&bench, &digest, SIZE);
        close_bench(&bench);
}

Test(cas_resume, cancelled_in_the_middle_the_file_stays_as_it_was)
{
        static const atomic_bool cancelled = true;
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;

        open_bench(&bench);
        leave_staging(&digest, 2 * CAS_SLOT_BYTES + 11, 60);

        struct stat before = stat_part(&digest);
        struct cas_ingest *ingest = begin_ingest(&bench, &digest, BOUND, SIZE);
        struct cas_slot *slot = take_slot(&bench.client);

        cr_expect_eq(cas_ingest_recover(ingest, slot, &cancelled), -ECANCELED);
        cas_slot_give(slot);
        cas_ingest_free(ingest);

        struct stat after = stat_part(&digest);

        cr_expect_eq(after.st_ino, before.st_ino);
        cr_expect_eq(after.st_size, before.st_size);
        take_up(&bench, &digest, BOUND, SIZE, 2 * CAS_SLOT_BYTES + 11);
        close_bench(&bench);
}

/* A kill between the mode 0444 and the name in blobs/ leaves it so. */
Test(cas_resume, read_only_staging_is_taken_up)
{
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;

        open_bench(&bench);
        leave_staging(&digest, CAS_SLOT_BYTES + 9, 60);
        cr_assert_eq(chmod(scratch_at(part_of(&digest).text).text, 0444), 0);
        take_up(&bench, &digest, BOUND, SIZE, CAS_SLOT_BYTES + 9);
        close_bench(&bench);
}

Test(cas_resume, keep_of_nothing_leaves_nothing)
{
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;

        open_bench(&bench);
        for (int with_slot = 0; with_slot < 2; with_slot++) {
                struct cas_ingest *ingest = begin_ingest(&bench, &digest, BOUND, SIZE);

                cas_ingest_keep(ingest, with_slot ? slot_of(&bench.client, 0, 0) : NULL);
                cas_ingest_free(ingest);
                cr_expect_eq(scratch_count("cache/ingest"), 0);
        }
        close_bench(&bench);
}

Test(cas_resume, keep_gives_back_the_room_for_the_rest)
{
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;

        open_bench(&bench);
        leave(&bench, &digest, CAS_SLOT_BYTES + 1, BOUND);
        cr_expect_lt(stat_part(&digest).st_blocks * 512, 2 * CAS_SLOT_BYTES);
        cr_expect_eq(stat_part(&digest).st_size, CAS_SLOT_BYTES + 1);
        close_bench(&bench);
}

/* Bytes that were refused for good, and bytes that the disk did not take. */
Test(cas_resume, keep_after_an_error_leaves_nothing)
{
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;
        struct rlimit before;

        open_bench(&bench);

        struct cas_ingest *ingest =
            begin_ingest(&bench, &digest, 2 * CAS_SLOT_BYTES, CAS_SIZE_UNKNOWN);

        cr_expect_eq(ingest_body(&bench, ingest, NULL, 3 * CAS_SLOT_BYTES), -EFBIG);
        cas_ingest_keep(ingest, slot_of(&bench.client, 0, 100));
        cas_ingest_free(ingest);
        cr_expect_eq(scratch_count("cache/ingest"), 0);

        signal(SIGXFSZ, SIG_IGN);
        cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
        ingest = begin_ingest(&bench, &digest, BOUND, CAS_SIZE_UNKNOWN);
        cr_expect_eq(ingest_body(&bench, ingest, NULL, CAS_SLOT_BYTES), 0);

        struct rlimit small = {.rlim_cur = CAS_SLOT_BYTES + 50, .rlim_max = before.rlim_max};

        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        cas_ingest_keep(ingest, slot_of(&bench.client, CAS_SLOT_BYTES, 100));
        cas_ingest_free(ingest);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        cr_expect_eq(scratch_count("cache/ingest"), 0);
        close_bench(&bench);
}

/* With two names it may be a published blob: it is never written. */
Test(cas_resume, fault_40_file_with_two_names_is_left_alone)
{
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;
        char now[5];

        open_bench(&bench);
        scratch_write("precious", "bytes", 5);
        cr_assert_eq(link(scratch_at("precious").text, scratch_at(part_of(&digest).text).text), 0);
        take_up(&bench, &digest, BOUND, SIZE, 0);

        int fd = open(scratch_at("precious").text, O_RDONLY | O_CLOEXEC);

        cr_expect_eq(read(fd, now, sizeof(now)), 5);
        cr_expect_eq(memcmp(now, "bytes", 5), 0);
        close(fd);
        close_bench(&bench);
}

Test(cas_resume, fault_40_links_and_strangers_files_are_not_taken_up)
{
        struct cas_digest digest = digest_of_body(SIZE);
        struct bench bench;

        open_bench(&bench);
        leave_staging(&digest, 1000, 60);
        cr_assert_eq(rename(scratch_at(part_of(&digest).text).text, scratch_at("outside").text), 0);
        cr_assert_eq(symlink(scratch_at("outside").text, scratch_at(part_of(&digest).text).text),
                     0);
        take_up(&bench, &digest, BOUND, SIZE, 0);
        cr_expect(scratch_has("outside"));
        cr_expect_eq(cas_store_refuse(bench.store, &digest), 0);
        cr_assert_eq(mkfifo(scratch_at(part_of(&digest).text).text, 0600), 0);
        take_up(&bench, &digest, BOUND, SIZE, 0);
        if (geteuid() == 0) {
                cr_expect_eq(cas_store_refuse(bench.store, &digest), 0);
                leave_staging(&digest, 1000, 60);
                cr_assert_eq(chown(scratch_at(part_of(&digest).text).text, 65534, 65534), 0);
                take_up(&bench, &digest, BOUND, SIZE, 0);
        }
        close_bench(&bench);
}
