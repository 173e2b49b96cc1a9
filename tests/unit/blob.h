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

static inline struct cas_digest publish_text(struct cas_store *store, const char *text)
{
        struct cas_digest digest = digest_of_text(text);
        struct cas_ingest *ingest;

        cr_assert_eq(cas_ingest_begin(store, &digest, 1 << 20, CAS_SIZE_UNKNOWN, &ingest), 0);
        cr_assert_eq(cas_ingest_write(ingest, text, strlen(text)), 0);
        cr_assert_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        return digest;
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
