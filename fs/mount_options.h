/*
 * The list behind -o: what is ours, and what is the kernel's or fusermount3's.
 */
#ifndef FS_MOUNT_OPTIONS_H
#define FS_MOUNT_OPTIONS_H

#include "fs/options.h"

/* 0, or after one line on stderr the exit status. */
int fs_mount_options_parse(struct fs_options *options, const char *list);

#endif
