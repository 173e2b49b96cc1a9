/*
 * The configuration file of a mount:
 *
 *   # a comment, or behind a value: " # …", " ; …"
 *   [mount]            user, ca, proxy, deny-net (repeatable), log-level, options (-o's list)
 *   [cache]            cache
 *   [limits]           max-asset-size, max-downloads, connections, retries, open-timeout, …
 *   [origin "NAME"]    url        origins and catalogs count in the order of the file
 *   [catalog "NAME"]   file
 *
 * Keys are named like the long options (fs/settings.h). Relative paths are relative to the
 * file. Everything that is not understood is refused with "FILE:LINE: ", never skipped; and
 * no refusal shows a URL's secrets.
 */
#ifndef FS_CONFIG_H
#define FS_CONFIG_H

#include "fs/options.h"

#define FS_CONFIG_BYTES (1u << 20) /* a file has at most */

/*
 * The text of a file, which has to be a regular one, without a NUL in it; and as root one that
 * only its owner can write. 0, or the status after one refusal. The caller frees it.
 */
int fs_config_read(const char *path, char **ret, struct fs_refusals *refusals);

enum fs_config_part {
        FS_CONFIG_FIXED = 1, /* what a reload cannot change */
        FS_CONFIG_FREE = 2,  /* the rest */
        FS_CONFIG_ALL = 3,
};

/* Sets what `text` says of `part`. All that is wrong in it is refused, whatever part it is of;
 * then `options` holds a part of the rest. `path` is absolute or for messages alone. */
void fs_config_apply(const char *path, const char *text, enum fs_config_part part,
                     struct fs_options *options, struct fs_refusals *refusals);

#endif
