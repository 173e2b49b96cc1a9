/*
 * Blobs for tests of the store: their digests, their paths, and publishing them.
 */
#ifndef TESTS_UNIT_BLOB_H
#define TESTS_UNIT_BLOB_H

#include "cas/ingest.h"
#include "tests/unit/scratch.h"

#include <sys/resource.h>

static inline struct cas_digest digest_of(const void *bytes, size_t length)
{
        struct cas_digest digest;
        struct cas_hash *hash;

        cr_assert_eq(cas_hash_new(&hash), 0);
        cas_hash_update(hash, bytes, length);
        cr_assert_eq(cas_hash_final(hash, &digest), 0);
        cas_hash_free(hash);
        return digest;
}

static inline struct cas_digest digest_of_text(const char *text)
{
        return digest_of(text, strlen(text));
}

/* "cache/<folder>/<hex><suffix>", for the scratch_* functions. */
static inline struct scratch_path in_cache(const char *folder, const struct cas_digest *digest,
                                           const char *suffix)
{
        char hex[CAS_DIGEST_HEX + 1];
        struct scratch_path path;

        cas_digest_format(digest, hex);
        snprintf(path.text, sizeof(path.text), "cache/%s/%s%s", folder, hex, suffix);
        return path;
}

static inline struct scratch_path blob_at(const struct cas_digest *digest)
{
        return in_cache("blobs/sha256", digest, "");
}

/* Claims the cache at `path` for ourselves and opens it. */
static inline int claim_and_open(const char *path, struct cas_store **ret, char why[CAS_WHY])
{
        struct cas_claim claim;
        int r = cas_claim_make(path, geteuid(), getegid(), &claim, why);

        if (r < 0)
                return r;
        r = cas_store_open(&claim, ret, why);
        if (r < 0)
                cas_claim_release(&claim);
        return r;
}

static inline struct cas_store *open_cache(void)
{
        char why[CAS_WHY] = "";
        struct cas_store *store = NULL;

        cr_assert_eq(claim_and_open(scratch_at("cache").text, &store, why), 0, "%s", why);
        return store;
}

/* Through a slot of its own; less than a slot is in the file when this returns. */
static inline int ingest_bytes(struct cas_ingest *ingest, const void *bytes, size_t length)
{
        struct cas_slots_client client = {.most = 1};
        struct cas_slots *pool;

        cr_assert_eq(cas_slots_new(CAS_SLOTS_RESERVED * CAS_SLOT_BYTES, 1, &pool), 0);
        cas_slots_join(pool, &client);

        struct cas_slot *slot = cas_slot_take(&client);

        cr_assert(slot && length < CAS_SLOT_BYTES);
        memcpy(slot->bytes, bytes, length);
        slot->filled = length;

        int r = cas_ingest_write(ingest, slot);

        cas_slots_leave(&client);
        cas_slots_free(pool);
        return r;
}

/* Of a size that nobody has told. 0 or what the ingest says. */
static inline int publish_bytes(struct cas_store *store, const void *bytes, size_t length)
{
        struct cas_digest digest = digest_of(bytes, length);
        struct cas_ingest *ingest;
        int r = cas_ingest_begin(store, &digest, 1 << 20, CAS_SIZE_UNKNOWN, &ingest);

        if (r == 0) {
                r = ingest_bytes(ingest, bytes, length);
                if (r == 0)
                        r = cas_ingest_commit(ingest, NULL);
                cas_ingest_free(ingest);
        }
        return r;
}

static inline struct cas_digest publish_text(struct cas_store *store, const char *text)
{
        cr_assert_eq(publish_bytes(store, text, strlen(text)), 0);
        return digest_of_text(text);
}

/* From now on no descriptor is left; the limit to set again. */
static inline struct rlimit spend_descriptors(void)
{
        struct rlimit before;
        int next = dup(0);

        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        close(next);

        struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};

        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        return before;
}

#endif
