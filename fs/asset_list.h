/*
 * The assets of a mount or of a cache, with what can be told of each without asking an
 * origin: a list starts nothing.
 *
 * Errors: 0 or -errno. Does not log.
 */
#ifndef FS_ASSET_LIST_H
#define FS_ASSET_LIST_H

#include "cas/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_ASSET_UNKNOWN (-1)

struct fs_asset {
        struct cas_digest digest;
        char *name;     /* the first of the names in /by-name, or NULL */
        int64_t size;   /* bytes, or FS_ASSET_UNKNOWN */
        int64_t opened; /* unix seconds, of what is in the cache; or FS_ASSET_UNKNOWN */
        int pinned;     /* 0, 1 or FS_ASSET_UNKNOWN */
        char state[16]; /* user.assetfs.state; "unknown": the mount does not tell */
};

struct fs_asset_list {
        struct fs_asset *assets; /* by digest */
        size_t count;
        size_t room;
};

/* Of a cache, beside its daemon: cached and unverified ones. */
int fs_asset_list_cache(const char *cache, struct fs_asset_list *ret);

/* Of a mount. Where its cache cannot be read, times and pins are unknown. */
int fs_asset_list_mount(const char *mountpoint, const char *cache, struct fs_asset_list *ret);

void fs_asset_list_free(struct fs_asset_list *list); /* also after an error */

#endif
