/*
 * The name of a blob: a SHA-256 digest (FIPS 180-4), raw in memory, 64 lowercase
 * hex digits wherever people or the disk see it; and the streaming hash that
 * computes it.
 */
#ifndef CAS_DIGEST_H
#define CAS_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAS_DIGEST_SIZE 32 /* bytes */
#define CAS_DIGEST_HEX  64 /* hex digits, without the terminating NUL */

struct cas_digest {
        uint8_t bytes[CAS_DIGEST_SIZE];
};

/*
 * Reads exactly 64 lowercase hex digits; anything else, uppercase included, is
 * -EINVAL and leaves *ret alone: a blob has one name, not 2^64.
 */
int cas_digest_parse(const char *text, size_t length, struct cas_digest *ret);

/* Writes 64 hex digits and a NUL. */
void cas_digest_format(const struct cas_digest *digest, char ret[CAS_DIGEST_HEX + 1]);

bool cas_digest_equal(const struct cas_digest *a, const struct cas_digest *b);

/* < 0, 0 or > 0, in the order of the hex names. */
int cas_digest_compare(const struct cas_digest *a, const struct cas_digest *b);

/*
 * A running SHA-256. One owner at a time.
 *
 *   new -> (update* -> final)* -> free       (restart may come at any moment)
 *
 * Errors: -ENOMEM, or -EIO where libcrypto fails; the first one is sticky until
 * restart, so only final's return value has to be looked at.
 */
struct cas_hash;

int cas_hash_new(struct cas_hash **ret);
void cas_hash_restart(struct cas_hash *hash);
void cas_hash_update(struct cas_hash *hash, const void *bytes, size_t length);
int cas_hash_final(struct cas_hash *hash, struct cas_digest *ret);
void cas_hash_free(struct cas_hash *hash); /* accepts NULL */

#endif
