/*
 * The list behind -o: what is ours, and what is the kernel's or fusermount3's.
 */
#ifndef FS_MOUNT_OPTIONS_H
#define FS_MOUNT_OPTIONS_H

#include "fs/options.h"
#include "fs/values.h"

/* 0, or the exit status, with what is wrong in `why`. */
int fs_mount_options_parse(struct fs_options *options, const char *list, struct fs_why *why);

#endif
