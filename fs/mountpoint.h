/*
 * Is the mount point fit to be mounted on? Looks at the path and at
 * /proc/self/mountinfo; replaces only a mount that is ours and dead.
 */
#ifndef FS_MOUNTPOINT_H
#define FS_MOUNTPOINT_H

#include <stddef.h>

/*
 * Makes `path` absolute in place (at most `size` bytes) and prepares it. 0, or
 * -errno and a sentence in `why`: missing, not a directory, something is mounted
 * there, inside the cache.
 */
int fs_mountpoint_prepare(char *path, size_t size, const char *cache, char *why, size_t why_size);

#endif
