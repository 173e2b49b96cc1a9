/*
 * The mount itself: made by libfuse's own functions, so that root and fusermount3 are
 * one path, and held by the supervisor.
 */
#ifndef FS_MOUNT_H
#define FS_MOUNT_H

#include "fs/options.h"

struct fuse_session;

struct fs_mount {
        struct fuse_session *session; /* for mounting only; it serves nothing */
        int fd;                       /* /dev/fuse; the session's */
};

/* 0, or -errno and a sentence in `why`. */
int fs_mount_make(const struct fs_options *options, struct fs_mount *ret, char *why,
                  size_t why_size);

/* Unmounts, lazily where files are open, and closes the descriptor, at which whoever still
 * waits for an answer gets ENOTCONN. */
void fs_mount_end(struct fs_mount *mount);

/* A session of libfuse's with the mount's options; the caller's. NULL, and why in `why`. */
struct fuse_lowlevel_ops;
struct fuse_session *fs_mount_session(const struct fs_options *options,
                                      const struct fuse_lowlevel_ops *ops, size_t ops_size,
                                      void *userdata, char *why, size_t why_size);

#endif
