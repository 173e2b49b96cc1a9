/*
 * Starting a worker: fork, the descriptors in their places, exec. Of a binary that is
 * held open, so that what runs does not depend on what lies under its path by now.
 */
#ifndef FS_LAUNCH_H
#define FS_LAUNCH_H

#include "fs/channel.h"
#include "fs/options.h"

/* Opens the binary: the one at `path`, or for NULL the running one. -errno. */
int fs_launch_open(const char *path);

/*
 * Starts it as a worker with the descriptors `fds`, in the order of fs/channel.h from
 * FS_FD_FUSE on. The pid, or -errno.
 */
pid_t fs_launch(int binary, const struct fs_options *options,
                const int fds[FS_FD_END - FS_FD_FUSE]);

#endif
