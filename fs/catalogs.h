/*
 * The catalogs as a worker starts with them: read, put in force as one, kept for the worker
 * after it; and the log's lines of those that come by URL.
 */
#ifndef FS_CATALOGS_H
#define FS_CATALOGS_H

#include "fetch/catalogs.h"
#include "fetch/refresh.h"
#include "fs/options.h"

struct fs_catalogs {
        struct fetch_catalogs *now;
        /* Only where one comes by URL: what is brought goes into them. */
        struct fetch_catalog_text texts[FS_CATALOGS_MAX];
        size_t count;
        bool stale; /* what is in force is the last good one: the one now there was refused */
};

/*
 * Reads the options' catalogs; where they are broken, the last good ones of the same files, which
 * are in the memfd `snapshot` (fs/snapshot.h). 0; or the exit status, after it was said. To be
 * freed in every case. The options outlive it.
 */
int fs_catalogs_load(struct fs_catalogs *catalogs, const struct fs_options *options, int snapshot);
void fs_catalogs_free(struct fs_catalogs *catalogs);

/* A struct fetch_refresh_config's report, which logs. */
void fs_catalogs_log(void *arg, const struct fetch_refresh_report *report);

#endif
