/*
 * What the cache takes of its disk: real blocks, of regular files alone.
 */
#include "cas/usage.h"

#include "tests/unit/blob.h"

#include <errno.h>
#include <fcntl.h>

#define BLOB "cache/blobs/sha256/abababababababababababababababababababababababababababababababab"
#define LINK "cache/blobs/sha256/cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"

TestSuite(cas_usage, .init = scratch_make, .fini = scratch_remove, .timeout = 20);

static void make(const char *name, size_t length)
{
        int fd = open(scratch_at(name).text, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        char block[4096] = {1};

        cr_assert(fd >= 0);
        for (size_t done = 0; done < length; done += sizeof(block))
                cr_assert_eq(write(fd, block, sizeof(block)), (ssize_t)sizeof(block));
        close(fd);
}

Test(cas_usage, counts_blobs_staging_and_pins)
{
        struct cas_store *store = open_cache();
        atomic_bool going = false;
        struct cas_usage usage;

        cr_assert_eq(cas_usage_count(store, &going, &usage), 0);
        cr_expect_eq(usage.blobs, 0);
        cr_expect_eq(usage.bytes, 0);
        make(BLOB, 8192);
        make("cache/ingest/part", 4096);
        make("cache/pins/one", 0);
        make("cache/pins/two", 0);
        cr_assert_eq(mkdir(scratch_at("cache/blobs/sha256/folder").text, 0700), 0);
        cr_assert_eq(symlink("one", scratch_at(LINK).text), 0);
        cr_assert_eq(truncate(scratch_at(BLOB).text, 1 << 30), 0, "a hole is free");
        cr_assert_eq(cas_store_scan(store, &going), 0);
        cr_assert_eq(cas_usage_count(store, &going, &usage), 0);
        cr_expect_eq(usage.blobs, 1);
        cr_expect_eq(usage.pins, 2);
        cr_expect_geq(usage.bytes, 12288);
        cr_expect_leq(usage.bytes, 2 * 12288, "what a file system may add");
        cas_store_free(store);
}

Test(cas_usage, can_be_told_to_end)
{
        struct cas_store *store = open_cache();
        atomic_bool ended = true;
        struct cas_usage usage;

        make("cache/ingest/part", 4096);
        cr_expect_eq(cas_usage_count(store, &ended, &usage), -ECANCELED);
        cas_store_free(store);
}
