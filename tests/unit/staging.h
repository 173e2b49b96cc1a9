/*
 * Staging for tests: ingests of the body that all tests know, and files in ingest/ as
 * somebody who is gone has left them.
 */
#ifndef TESTS_UNIT_STAGING_H
#define TESTS_UNIT_STAGING_H

#include "cas/staging.h"

#include "tests/unit/blob.h"
#include "tests/unit/slot.h"

#include <time.h>

/* The store, and slots for one ingest at a time. */
struct bench {
        struct cas_store *store;
        struct cas_slots *pool;
        struct cas_slots_client client;
};

static inline void open_bench(struct bench *bench)
{
        *bench = (struct bench){.store = open_cache()};
        bench->pool = pool_of(6, &bench->client);
}

static inline void close_bench(struct bench *bench)
{
        drain_pool(bench->pool, &bench->client);
        cas_store_free(bench->store);
}

/* The digest of the body's first `size` bytes. */
static inline struct cas_digest digest_of_body(uint64_t size)
{
        _cleanup_free_ char *chunk = malloc(CAS_SLOT_BYTES);
        struct cas_digest digest;
        struct cas_hash *hash;

        cr_assert_not_null(chunk);
        cr_assert_eq(cas_hash_new(&hash), 0);
        for (uint64_t at = 0; at < size; at += CAS_SLOT_BYTES) {
                size_t part = size - at < CAS_SLOT_BYTES ? (size_t)(size - at) : CAS_SLOT_BYTES;

                body(at, chunk, part);
                cas_hash_update(hash, chunk, part);
        }
        cr_assert_eq(cas_hash_final(hash, &digest), 0);
        cas_hash_free(hash);
        return digest;
}

/* "cache/ingest/<hex>.part", for the scratch_* functions. */
static inline struct scratch_path part_of(const struct cas_digest *digest)
{
        return in_cache("ingest", digest, ".part");
}

/* Leaves the body's first `size` bytes as staging of the digest, so many seconds old. */
static inline void leave_staging(const struct cas_digest *digest, size_t size, time_t age)
{
        char *bytes = malloc(size + 1);
        struct timespec times[2] = {{.tv_sec = time(NULL) - age, .tv_nsec = 123456789},
                                    {.tv_sec = time(NULL) - age, .tv_nsec = 987654321}};

        cr_assert_not_null(bytes);
        body(0, bytes, size);
        scratch_write(part_of(digest).text, bytes, size);
        free(bytes);
        cr_assert_eq(utimensat(AT_FDCWD, scratch_at(part_of(digest).text).text, times, 0), 0);
}

static inline struct stat stat_part(const struct cas_digest *digest)
{
        struct stat st = {0};

        cr_expect_eq(lstat(scratch_at(part_of(digest).text).text, &st), 0);
        return st;
}

static inline struct cas_ingest *begin_ingest(struct bench *bench, const struct cas_digest *digest,
                                              uint64_t bound, uint64_t declared)
{
        struct cas_ingest *ingest = NULL;

        cr_assert_eq(cas_ingest_begin(bench->store, digest, bound, declared, &ingest), 0);
        return ingest;
}

/* Slots of the body up to `to`, beginning with `slot` (or NULL), which may have bytes. */
static inline int ingest_body(struct bench *bench, struct cas_ingest *ingest, struct cas_slot *slot,
                              uint64_t to)
{
        int r = 0;

        for (uint64_t at = cas_ingest_offset(ingest); at < to && r == 0; at += CAS_SLOT_BYTES) {
                size_t length = to - at < CAS_SLOT_BYTES ? (size_t)(to - at) : CAS_SLOT_BYTES;

                if (!slot)
                        slot = slot_of(&bench->client, at, 0);
                body(at + slot->filled, slot->bytes + slot->filled, length - slot->filled);
                slot->filled = length;
                r = cas_ingest_write(ingest, slot);
                slot = NULL;
        }
        cas_slot_give(slot);
        return r;
}

/* The digest's blob is there, and is the body's first `size` bytes; no staging is left. */
static inline void expect_blob(struct bench *bench, const struct cas_digest *digest, uint64_t size)
{
        struct cas_blob blob;

        cr_assert_eq(cas_store_open_blob(bench->store, digest, &blob), 0);
        cr_expect_eq(blob.size, size);
        cr_expect_eq(body_until(blob.fd, size), size);
        close(blob.fd);
        cr_expect_not(scratch_has(part_of(digest).text));
}

#endif
