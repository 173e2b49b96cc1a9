/*
 * Is the mount point fit to be mounted on? Looks at the path and at
 * /proc/self/mountinfo; replaces only a mount that is ours and dead.
 */
#ifndef FS_MOUNTPOINT_H
#define FS_MOUNTPOINT_H

#include <stdbool.h>
#include <stddef.h>

#define FS_DEVICE_MAX 32 /* bytes of "major:minor" */

/*
 * Makes `path` absolute in place (at most `size` bytes) and prepares it. 0, or
 * -errno and a sentence in `why`: missing, not a directory, something is mounted
 * there, inside the cache.
 */
int fs_mountpoint_prepare(char *path, size_t size, const char *cache, char *why, size_t why_size);

/* The device of what is mounted at exactly `path`; "" where nothing is. */
void fs_mountpoint_device(const char *path, char ret[FS_DEVICE_MAX]);
bool fs_mountpoint_has(const char *path, const char *device);

/* Unmounts lazily: a mount of ours that is dead. */
void fs_mountpoint_take_away(const char *path);

#endif
