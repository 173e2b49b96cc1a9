/*
 * How a hit is opened and read: by the kernel from the cache file itself where it can
 * (passthrough), else through this process. Operations call these and do not know
 * which.
 */
#ifndef FS_HIT_H
#define FS_HIT_H

#include "fs/server.h"

/* The OPEN that is being answered. */
struct fs_hit {
        fuse_ino_t ino;
        struct cas_digest digest;
        struct fuse_file_info fi;
        uint64_t unique;
        bool replay;     /* it may have been answered before, by a worker that died */
        bool ended_miss; /* the opener waited for the blob */
        bool rehashed;   /* … which was there, for its hash: the kernel knows its size */
};

/*
 * Opens the blob and replies. Returns 0 when it replied, or -errno without a reply:
 * -ENOENT and -EUCLEAN mean that it is not a hit (cas_store_open_blob), -EKEYEXPIRED that its
 * bytes are to be hashed before (--verify), which an opener that ended a wait has seen done.
 */
int fs_hit_open(fuse_req_t req, const struct fs_hit *hit);

/*
 * Replies with an errno (positive) instead. A worker that died may have taken a handle for
 * this OPEN without getting to say so: then nobody will release it, and it is given back.
 */
void fs_hit_refuse(fuse_req_t req, const struct fs_hit *hit, int error);

void fs_hit_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset);

#endif
