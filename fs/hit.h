/*
 * How a hit is opened and read. Operations call these and do not know whether the
 * bytes go through this process or, one day, past it.
 */
#ifndef FS_HIT_H
#define FS_HIT_H

#include "fs/server.h"

/*
 * Opens the blob and replies. Returns 0 when it replied, or -errno without a reply:
 * -ENOENT and -EUCLEAN mean that it is not a hit (cas_store_open_blob). `ended_miss`:
 * the opener waited for the blob.
 */
int fs_hit_open(fuse_req_t req, fuse_ino_t ino, const struct cas_digest *digest,
                struct fuse_file_info *fi, bool ended_miss);

void fs_hit_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset);

#endif
