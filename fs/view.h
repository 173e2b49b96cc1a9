/*
 * What the mount looks like: the root with its digests, /by-name with its links,
 * /.assetfs with its reports, and the attributes everything has in common. Fixed nodeids:
 *
 *   1                the root
 *   2                /by-name
 *   3                /.assetfs
 *   4, 5             /.assetfs/status.json and /.assetfs/metrics.prom (fs/report.h)
 *   FS_LINK | epoch << 32 | index
 *                    /by-name/<name>, by the index of the name in the catalog of that epoch:
 *                    another catalog's link is stale, and looked up again
 *
 * All other nodeids are assets (fs/node.h), and have something in their upper half.
 */
#ifndef FS_VIEW_H
#define FS_VIEW_H

#include "fs/server.h"

#define FS_BY_NAME UINT64_C(2)
#define FS_ABOUT   UINT64_C(3)
#define FS_STATUS  UINT64_C(4)
#define FS_METRICS UINT64_C(5)
#define FS_LINK    (UINT64_C(1) << 63)

#define FS_FOREVER 3600.0 /* seconds the kernel may keep what does not change */

static inline bool fs_is_asset(fuse_ino_t ino)
{
        return ino >> 32 && !(ino & FS_LINK);
}

static inline bool fs_is_report(fuse_ino_t ino)
{
        return ino == FS_STATUS || ino == FS_METRICS;
}

/* What the root's listings share. */
struct fs_view;

/* 0 or -ENOMEM */
int fs_view_new(struct fs_view **ret);
void fs_view_free(struct fs_view *view);

/* The attributes of what is no asset. false: no such thing. */
bool fs_view_stat(const struct fs_server *server, fuse_ino_t ino, struct stat *ret);

/* The attributes of an asset; `blocks` of 512 bytes. */
void fs_view_stat_asset(const struct fs_server *server, const struct cas_digest *digest,
                        uint64_t size, uint64_t blocks, struct stat *ret);

/* The nodeid of `name` in a directory, other than an asset's, or 0. */
fuse_ino_t fs_view_find(const struct fs_server *server, fuse_ino_t parent, const char *name);

void fs_view_readlink(fuse_req_t req, fuse_ino_t ino);
void fs_view_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_view_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *fi);
void fs_view_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

#endif
