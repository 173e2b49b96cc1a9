/*
 * Answers that are given later than they were asked for: fs/parked.c calls these
 * with what fetch said. Each replies to `req`, once.
 */
#ifndef FS_OPS_H
#define FS_OPS_H

#include "fs/hit.h"

void fs_answer_open(fuse_req_t req, const struct fs_hit *hit, const struct fetch_cause *cause);
void fs_answer_getattr(fuse_req_t req, fuse_ino_t ino, const struct cas_digest *digest,
                       const struct fetch_cause *cause, uint64_t size);

#define FS_XATTR_CACHE "user.assetfs.cache" /* of the root: the path of the cache */

/* fs/xattr.c */
void fs_xattr_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void fs_xattr_list(fuse_req_t req, fuse_ino_t ino, size_t size);

#endif
