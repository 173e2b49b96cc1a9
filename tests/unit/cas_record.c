/*
 * The publication record: valid for the file it was written for, and for nothing
 * that was done to that file, or to another one, afterwards.
 */
#include "cas/record.h"

#include "tests/unit/blob.h"

#include <errno.h>
#include <sys/xattr.h>
#include <time.h>

#define TEXT "the bytes of a blob"

TestSuite(cas_record, .init = scratch_make, .fini = scratch_remove, .timeout = 20);

static int recorded(const struct cas_digest *digest, const char *source)
{
        scratch_write("blob", TEXT, strlen(TEXT));

        int fd = open(scratch_at("blob").text, O_RDWR | O_CLOEXEC);

        cr_assert_geq(fd, 0);
        cr_assert_eq(cas_record_write(fd, digest, source), 0);
        return fd;
}

static bool valid(int fd, const struct cas_digest *digest)
{
        struct stat st;

        cr_assert_eq(fstat(fd, &st), 0);
        return cas_record_valid(fd, digest, &st);
}

Test(cas_record, written_record_is_valid_and_the_file_looks_published)
{
        struct cas_digest digest = digest_of_text(TEXT);
        int fd = recorded(&digest, NULL);
        struct stat st;

        cr_assert_eq(fstat(fd, &st), 0);
        cr_expect(cas_record_valid(fd, &digest, &st));
        cr_expect_eq(st.st_mode & 07777, 0444);
        cr_expect_eq(st.st_mtim.tv_nsec, 0);
        close(fd);
}

/* Which is what a listing says of when it was verified. */
Test(cas_record, the_time_of_the_file_is_when_the_record_was_written)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000}};
        time_t before = time(NULL);
        struct stat st;

        scratch_write("blob", TEXT, strlen(TEXT));

        int fd = open(scratch_at("blob").text, O_RDWR | O_CLOEXEC);

        cr_assert_eq(futimens(fd, times), 0, "downloaded long ago");
        cr_assert_eq(cas_record_write(fd, &digest, NULL), 0);
        cr_assert_eq(fstat(fd, &st), 0);
        cr_expect(st.st_mtim.tv_sec >= before && st.st_mtim.tv_sec <= time(NULL));
        close(fd);
}

Test(cas_record, file_without_a_record_is_not_valid)
{
        struct cas_digest digest = digest_of_text(TEXT);

        scratch_write("blob", TEXT, strlen(TEXT));

        int fd = open(scratch_at("blob").text, O_RDWR | O_CLOEXEC);
        struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

        cr_assert(futimens(fd, times) == 0 && fchmod(fd, 0444) == 0);
        cr_expect_not(valid(fd, &digest));
        close(fd);
}

Test(cas_record, record_is_of_one_digest)
{
        struct cas_digest digest = digest_of_text(TEXT);
        struct cas_digest other = digest;
        int fd = recorded(&digest, NULL);

        other.bytes[31] ^= 1;
        cr_expect_not(valid(fd, &other), "a hard link under another name would pass");
        close(fd);
}

Test(cas_record, fault_39_another_size_is_not_valid)
{
        struct cas_digest digest = digest_of_text(TEXT);
        int fd = recorded(&digest, NULL);
        struct stat st;

        cr_assert_eq(fstat(fd, &st), 0);

        struct timespec times[2] = {st.st_atim, st.st_mtim};

        cr_assert(ftruncate(fd, st.st_size + 1) == 0 && futimens(fd, times) == 0);
        cr_expect_not(valid(fd, &digest), "grown");
        cr_assert(ftruncate(fd, st.st_size - 1) == 0 && futimens(fd, times) == 0);
        cr_expect_not(valid(fd, &digest), "truncated");
        cr_assert(ftruncate(fd, st.st_size) == 0 && futimens(fd, times) == 0);
        cr_expect(valid(fd, &digest), "what was put back as it was");
        close(fd);
}

Test(cas_record, fault_39_a_write_in_the_same_second_is_not_valid)
{
        struct cas_digest digest = digest_of_text(TEXT);
        int fd = recorded(&digest, NULL);

        cr_assert_eq(pwrite(fd, "T", 1, 0), 1);
        cr_expect_not(valid(fd, &digest));
        close(fd);
}

Test(cas_record, another_mode_is_not_valid)
{
        struct cas_digest digest = digest_of_text(TEXT);
        int fd = recorded(&digest, NULL);

        cr_assert_eq(fchmod(fd, 0644), 0);
        cr_expect_not(valid(fd, &digest));
        cr_assert_eq(fchmod(fd, 04444), 0);
        cr_expect_not(valid(fd, &digest));
        close(fd);
}

Test(cas_record, copy_with_its_attributes_is_not_valid)
{
        struct cas_digest digest = digest_of_text(TEXT);
        int fd = recorded(&digest, NULL);
        char record[256];
        ssize_t length = fgetxattr(fd, "user.assetfs.record", record, sizeof(record));
        struct stat st;

        cr_assert(length > 0 && fstat(fd, &st) == 0);
        scratch_write("copy", TEXT, strlen(TEXT));

        int copy = open(scratch_at("copy").text, O_RDWR | O_CLOEXEC);
        struct timespec times[2] = {st.st_atim, st.st_mtim};

        cr_assert_eq(fsetxattr(copy, "user.assetfs.record", record, (size_t)length, 0), 0);
        cr_assert(futimens(copy, times) == 0 && fchmod(copy, 0444) == 0);
        cr_expect_not(valid(copy, &digest));
        close(copy);
        close(fd);
}

Test(cas_record, garbage_for_a_record_is_not_valid)
{
        struct cas_digest digest = digest_of_text(TEXT);
        int fd = recorded(&digest, NULL);
        char longer[200];
        ssize_t length = fgetxattr(fd, "user.assetfs.record", longer, sizeof(longer) - 1);

        cr_assert_gt(length, 0);
        longer[length] = '0';
        cr_assert_eq(fchmod(fd, 0600), 0);
        cr_assert_eq(fsetxattr(fd, "user.assetfs.record", longer, (size_t)length + 1, 0), 0);
        cr_assert_eq(fchmod(fd, 0444), 0);
        cr_expect_not(valid(fd, &digest), "one digit more");
        cr_assert_eq(fchmod(fd, 0600), 0);
        cr_assert_eq(fsetxattr(fd, "user.assetfs.record", longer, (size_t)length - 1, 0), 0);
        cr_assert_eq(fchmod(fd, 0444), 0);
        cr_expect_not(valid(fd, &digest), "one digit less");
        close(fd);
}

Test(cas_record, source_is_kept_and_cut_to_the_room)
{
        struct cas_digest digest = digest_of_text(TEXT);
        int fd = recorded(&digest, "https://host/x");
        char source[64] = "";
        char small[6] = "";

        cr_expect_eq(cas_record_source(fd, source, sizeof(source)), 0);
        cr_expect_str_eq(source, "https://host/x");
        cr_expect_eq(cas_record_source(fd, small, sizeof(small)), 0);
        cr_expect_str_eq(small, "https");
        close(fd);
}

Test(cas_record, no_source_is_no_data)
{
        struct cas_digest digest = digest_of_text(TEXT);
        int fd = recorded(&digest, NULL);
        char source[64];

        cr_expect_eq(cas_record_source(fd, source, sizeof(source)), -ENODATA);
        close(fd);
}

Test(cas_record, endless_source_harms_nobody)
{
        struct cas_digest digest = digest_of_text(TEXT);
        char *endless = malloc(100001);
        char source[2048];

        cr_assert_not_null(endless);
        memset(endless, 'x', 100000);
        endless[100000] = '\0';

        int fd = recorded(&digest, endless);

        cr_expect(valid(fd, &digest));
        cr_expect_eq(cas_record_source(fd, source, sizeof(source)), 0);
        cr_expect_leq(strlen(source), 1024);
        close(fd);
        free(endless);
}

Test(cas_record, probe_tells_where_attributes_are_kept)
{
        int ends[2];

        scratch_write("lock", "", 0);

        int fd = open(scratch_at("lock").text, O_RDWR | O_CLOEXEC);

        cr_assert_eq(pipe(ends), 0);
        cr_expect_eq(cas_record_probe(fd), 0);
        cr_expect_lt(cas_record_probe(ends[0]), 0, "a pipe keeps none");
        close(fd);
        close(ends[0]);
        close(ends[1]);
}
