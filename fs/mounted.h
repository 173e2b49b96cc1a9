/*
 * What the verbs ask a running mount from outside. Each says what is wrong in one line on
 * stderr.
 */
#ifndef FS_MOUNTED_H
#define FS_MOUNTED_H

#include "cas/digest.h"

#include <limits.h>

/* The path of the cache behind the mount point; 0, or 1 after one line: it is none of ours,
 * or dead. */
int fs_mounted_cache(const char *mountpoint, char ret[PATH_MAX]);

/* The digest that `word` means: one itself, or a name of the mount's catalogs. 0, -ENOENT, or
 * what the mount says. */
int fs_mounted_digest(const char *mountpoint, const char *word, struct cas_digest *ret);

/* "not a mount", "no such name": in words, for a line. */
const char *fs_mounted_words(int error);

#endif
