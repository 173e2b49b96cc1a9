/*
 * Small files that are kept in the cache beside the blobs: the last good copies of catalogs
 * that came by URL.
 *
 *   CACHE/catalogs/<64 hex>      0600; the digest is of what the file is a copy of, not of its
 *                                bytes
 *     user.assetfs.etag, user.assetfs.modified    what its server calls this version
 *
 * Replaced as a whole, durably. What is read is as trustworthy as the cache: bounded, and to be
 * checked by who asked. Errors: 0 or -errno. One thread at a time. Does not log.
 */
#ifndef CAS_KEPT_H
#define CAS_KEPT_H

#include "cas/digest.h"

#include <stdbool.h>
#include <stddef.h>

#define CAS_KEPT_WORD 256 /* bytes of an etag or a date, with the NUL */

struct cas_kept {
        char *bytes; /* owned by who reads it; a NUL is behind them */
        size_t length;
        char etag[CAS_KEPT_WORD]; /* or "" */
        char modified[CAS_KEPT_WORD];
};

/* The directory below the cache's root, made if it is missing; the caller's, or -errno. */
int cas_kept_open(int root);

/* -ENOENT, -EFBIG (more than `most` bytes), -EINVAL (no regular file), … */
int cas_kept_read(int dir, const struct cas_digest *name, size_t most, struct cas_kept *ret);

int cas_kept_write(int dir, const struct cas_digest *name, const struct cas_kept *kept);

/* Removes what is not one of `names`. */
void cas_kept_prune(int dir, const struct cas_digest *names, size_t count);

#endif
