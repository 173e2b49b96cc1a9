/*
 * Backing ids: the one privileged thing that is done for a worker. It names a digest;
 * the blob is opened here, below the cache, never through a link and never onto another
 * file system, and has to be a regular file of the worker's user.
 *
 * An id is made once for a file and counted: it lives while somebody uses it.
 * Threads: the supervisor's only one.
 */
#ifndef FS_BACKING_H
#define FS_BACKING_H

#include "cas/digest.h"

#include <stdbool.h>
#include <sys/types.h>

#define FS_BACKING_MAX 4096 /* ids at once; beyond, blobs are read through the worker */

struct fs_backings;

/* `fuse`: the session's descriptor; `root`: the cache; `user`: whose blobs they are. */
int fs_backings_new(int fuse, int root, uid_t user, struct fs_backings **ret);
void fs_backings_free(struct fs_backings *backings); /* accepts NULL */

/* Does the kernel make ids of the cache's files? Asked with the open file `fd`. 0 or -errno. */
int fs_backings_probe(const struct fs_backings *backings, int fd);

/* One more user of the blob's id. -ENOENT, -EPERM (no regular file of the user's, or behind a
 * link), -ENFILE, or what the kernel says. */
int fs_backings_get(struct fs_backings *backings, const struct cas_digest *digest, int32_t *ret_id,
                    uint64_t *ret_inode);

/* One user less. An id that is none is nothing. */
void fs_backings_drop(struct fs_backings *backings, int32_t id);

#endif
