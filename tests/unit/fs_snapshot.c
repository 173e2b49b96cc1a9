/*
 * The snapshot: what was written comes back, byte for byte; of anything else, which a
 * worker that was taken over may have left, nothing does.
 */
#include "fs/snapshot.h"

#include "tests/unit/scratch.h"
#include "tests/unit/steps.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/mman.h>
#include <time.h>

static int fd = -1;

static void make(void)
{
        fd = memfd_create("snapshot", MFD_CLOEXEC);
        cr_assert_geq(fd, 0);
}

static void clear(void)
{
        close(fd);
}

TestSuite(fs_snapshot, .init = make, .fini = clear, .timeout = 60);

static char path_a[] = "/etc/assets/a.json";
static char folder_a[] = "/etc/assets";
static char bytes_a[] = "{\"assets\": {}}\0with a NUL and \xff in it";
static char path_b[] = "SHA256SUMS";
static char folder_b[] = "/";
static char empty[] = "";

static const struct fetch_catalog_text three[] = {
    {path_a, folder_a, bytes_a, sizeof(bytes_a), NULL},
    {path_b, folder_b, NULL, 0, NULL},
    {empty, empty, empty, 0, NULL},
};

static void expect_texts(const struct fetch_catalog_text *expected, size_t count)
{
        struct fetch_catalog_text found[3];

        cr_assert_eq(fs_snapshot_read(fd, count, found), 0);
        for (size_t i = 0; i < count; i++) {
                cr_expect_str_eq(found[i].path, expected[i].path);
                cr_expect_str_eq(found[i].folder, expected[i].folder);
                cr_expect_eq(found[i].length, expected[i].length);
                cr_expect(expected[i].length == 0 ||
                          memcmp(found[i].bytes, expected[i].bytes, expected[i].length) == 0);
                cr_expect_eq(found[i].bytes[found[i].length], '\0');
        }
        fetch_catalog_texts_free(found, count);
}

/* Nothing is left allocated either, which the address sanitizer sees. */
static void expect_none(size_t count)
{
        struct fetch_catalog_text found[4];

        cr_expect_eq(fs_snapshot_read(fd, count, found), -ENODATA);
}

static off_t length_of_file(void)
{
        return lseek(fd, 0, SEEK_END);
}

/* Puts a number where one is in the file. */
static void put(off_t offset, uint64_t number)
{
        cr_assert_eq(pwrite(fd, &number, sizeof(number), offset), (ssize_t)sizeof(number));
}

Test(fs_snapshot, texts_come_back)
{
        cr_assert_eq(fs_snapshot_write(fd, three, 3), 0);
        expect_texts(three, 3);
        expect_texts(three, 3);
}

Test(fs_snapshot, no_catalogs_are_a_snapshot_too)
{
        expect_none(0);
        cr_assert_eq(fs_snapshot_write(fd, NULL, 0), 0);
        expect_texts(NULL, 0);
        expect_none(1);
}

Test(fs_snapshot, nothing_was_ever_written)
{
        expect_none(3);
        cr_assert_eq(ftruncate(fd, 10000), 0);
        expect_none(3);
}

Test(fs_snapshot, the_last_one_counts)
{
        cr_assert_eq(fs_snapshot_write(fd, three, 3), 0);

        off_t length = length_of_file();

        cr_assert_eq(fs_snapshot_write(fd, &three[1], 2), 0);
        cr_expect_lt(length_of_file(), length, "the rest of a longer one was left");
        expect_texts(&three[1], 2);
        cr_assert_eq(fs_snapshot_write(fd, three, 3), 0);
        expect_texts(three, 3);
}

/* The command line is the same for all workers, but who knows. */
Test(fs_snapshot, another_number_of_catalogs_is_none)
{
        cr_assert_eq(fs_snapshot_write(fd, three, 2), 0);
        expect_none(1);
        expect_none(3);
        expect_none(0);
        expect_texts(three, 2);
}

Test(fs_snapshot, fault_47_half_a_snapshot_is_none)
{
        cr_assert_eq(fs_snapshot_write(fd, three, 3), 0);
        put(0, 0); /* as it is from the first write to the last */
        expect_none(3);
}

/* Two that differ in nothing but what a mixture of them would show. */
static char bytes_old[] = "old";
static char bytes_new[] = "new";
static const struct fetch_catalog_text old[] = {{path_a, folder_a, bytes_old, 3, NULL},
                                                {path_b, folder_b, bytes_old, 3, NULL}};
static const struct fetch_catalog_text new[] = {{path_a, folder_a, bytes_new, 3, NULL},
                                                {path_b, folder_b, bytes_new, 3, NULL}};

static unsigned seen_none;

static void write_new(void)
{
        fs_snapshot_write(fd, new, 2);
}

static void expect_no_mixture(void)
{
        struct fetch_catalog_text found[2];
        int r = fs_snapshot_read(fd, 2, found);

        cr_assert(r == 0 || r == -ENODATA);
        seen_none += r < 0;
        if (r == 0) {
                cr_assert_str_eq(found[0].bytes, found[1].bytes, "half of one, half of another");
                cr_assert_str_eq(found[0].bytes, seen_none ? bytes_new : bytes_old);
                fetch_catalog_texts_free(found, 2);
        }
}

Test(fs_snapshot, fault_47_killed_at_each_write)
{
        cr_assert_eq(fs_snapshot_write(fd, old, 2), 0);
        at_each_step(PTRACE_SYSCALL, write_new, expect_no_mixture);
        cr_expect_gt(seen_none, 0);
        expect_texts(new, 2);
}

/* A snapshot that cannot be written replaces the last one all the same: it is older than
 * the files that were just found to be good. */
Test(fs_snapshot, fault_47_failed_write_leaves_none)
{
        struct fetch_catalog_text large = {path_a, folder_a, bytes_a, sizeof(bytes_a), NULL};

        close(fd);
        fd = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        cr_assert_eq(fs_snapshot_write(fd, &three[1], 1), 0);
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
        cr_expect_eq(fs_snapshot_write(fd, &large, 1), -EPERM);
        expect_none(1);
}

Test(fs_snapshot, fault_65_shortened_snapshots_are_none)
{
        cr_assert_eq(fs_snapshot_write(fd, three, 3), 0);
        for (off_t length = length_of_file() - 1; length >= 0; length--) {
                cr_assert_eq(ftruncate(fd, length), 0);
                expect_none(3);
        }
}

Test(fs_snapshot, fault_65_absurd_lengths_are_refused)
{
        const off_t path = 16;
        const off_t folder = path + 8 + (off_t)strlen(path_a);
        const off_t bytes = folder + 8 + (off_t)strlen(folder_a);
        const struct {
                off_t at;
                uint64_t length;
        } absurd[] = {
            {path, PATH_MAX + 1},        {path, UINT64_MAX},
            {path, UINT64_MAX - 7},      {folder, PATH_MAX + 1},
            {folder, UINT64_C(1) << 63}, {bytes, FETCH_CATALOG_TEXT + UINT64_C(1)},
            {bytes, UINT64_MAX},         {bytes, FETCH_CATALOG_TEXT},
            {bytes, UINT64_C(1) << 32},
        };

        for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
                cr_assert_eq(fs_snapshot_write(fd, three, 3), 0);
                put(absurd[i].at, absurd[i].length);
                expect_none(3);
        }
        /* There, but longer than a path or a catalog can be. */
        cr_assert_eq(fs_snapshot_write(fd, three, 1), 0);
        put(path, PATH_MAX + 1);
        cr_assert_eq(ftruncate(fd, 3 * (off_t)FETCH_CATALOG_TEXT), 0);
        expect_none(1);
        cr_assert_eq(fs_snapshot_write(fd, three, 1), 0);
        put(bytes, FETCH_CATALOG_TEXT + UINT64_C(1));
        cr_assert_eq(ftruncate(fd, 3 * (off_t)FETCH_CATALOG_TEXT), 0);
        expect_none(1);
}

/* ASSETFS_SEED repeats a run. */
Test(fs_snapshot, fault_65_noise)
{
        const char *given = getenv("ASSETFS_SEED");
        unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
        struct fetch_catalog_text found[3];

        fprintf(stderr, "fs_snapshot: noise: ASSETFS_SEED=%u\n", seed);
        srand(seed);
        for (int round = 0; round < 2000; round++) {
                cr_assert_eq(fs_snapshot_write(fd, three, 3), 0);

                off_t length = length_of_file();

                for (int i = rand() % 8; i >= 0; i--) {
                        char byte = (char)rand();

                        cr_assert_eq(pwrite(fd, &byte, 1, 16 + rand() % (length - 16)), 1);
                }

                int r = fs_snapshot_read(fd, 3, found);

                cr_expect(r == 0 || r == -ENODATA, "seed %u, round %d: %d", seed, round, r);
                if (r == 0)
                        fetch_catalog_texts_free(found, 3);
        }
}
