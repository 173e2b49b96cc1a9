/*
 * Which directories a worker has to read, by the command line: those of the catalogs, of
 * the certificates, and of file:// origins. By directory, because the files in them are
 * replaced by rename.
 */
#ifndef FS_READABLE_H
#define FS_READABLE_H

#include "fs/options.h"

struct fs_readable {
        char **paths; /* NULL at the end; absolute */
};

int fs_readable_find(const struct fs_options *options, struct fs_readable *ret); /* 0, -ENOMEM */
void fs_readable_free(struct fs_readable *readable);

#endif
