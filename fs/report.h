/*
 * The files of /.assetfs: made when they are opened, as a whole, and read from that. Neither
 * of them waits for a download or an origin.
 *
 *   status.json    what is under way, what is here, what failed; described in assetfs(8)
 *   metrics.prom   counters, in Prometheus' text format
 *
 * Who began to read one before the worker was replaced, or before 64 others were opened, gets
 * ESTALE; who had not begun gets it as it is then.
 */
#ifndef FS_REPORT_H
#define FS_REPORT_H

#include "fs/server.h"

int fs_reports_new(struct fs_reports **ret);      /* 0 or -ENOMEM */
void fs_reports_free(struct fs_reports *reports); /* accepts NULL */

void fs_report_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_report_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    const struct fuse_file_info *fi);
void fs_report_release(fuse_req_t req, const struct fuse_file_info *fi);

/* What they say: a text to be freed, or NULL without memory. */
char *fs_report_json(const struct fs_server *server, size_t *ret_length);
char *fs_report_prom(const struct fs_server *server, size_t *ret_length);

/* Assets that are open. */
uint64_t fs_report_open_assets(const struct fs_server *server);

/* Does a catalog serve that is not known to be the latest? */
bool fs_report_catalogs_stale(const struct fs_server *server);

#endif
