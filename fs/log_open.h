/*
 * Lines about one opener: who waits, and who was refused and why. Nobody but an operator
 * who looks for a fault wants them, so they are LOG_DEBUG; a cache that cannot be looked
 * into is an error, since no download says it.
 */
#ifndef FS_LOG_OPEN_H
#define FS_LOG_OPEN_H

#include "fs/server.h"

/* The opener is going to wait for a download. Before it may be answered. */
void fs_log_open_parked(fuse_req_t req, const struct cas_digest *digest);

/* It gets `error` (positive). Before the answer. */
void fs_log_open_refused(fuse_req_t req, const struct cas_digest *digest, int error,
                         const char *cause);

/* Who opens or stats it gets what fs_errno_of_disk() makes of the negative `error`. Before the
 * answer. */
void fs_log_cache_failed(fuse_req_t req, const struct cas_digest *digest, int error);

#endif
