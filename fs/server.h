/*
 * What every operation works with: one struct, made by the worker before the first
 * request and unchanged until after the last. Also the names the operations'
 * files have for each other.
 */
#ifndef FS_SERVER_H
#define FS_SERVER_H

#include "cas/store.h"
#include "fetch/fetch.h"
#include "fs/channel.h"
#include "fs/journal.h"
#include "fs/node.h"

#include <fuse_lowlevel.h>

struct fs_commands;
struct fs_parked_set;
struct fs_reports;
struct fs_keeper;
struct fs_scrub;
struct fs_view;

struct fs_server {
        struct cas_store *store;
        struct fetch *fetch;
        struct fetch_catalogs *catalogs;
        const char *cache; /* its path, for people */
        const char *mountpoint;
        bool stale; /* the catalog is the last good one: the one now there was refused */
        enum cas_verify verify; /* what is hashed before it is served */
        unsigned max_downloads;
        int64_t started_ms; /* the worker, of the wall clock */
        struct fs_memory *memory;
        struct fs_journal *journal;
        struct fs_nodes *nodes;
        struct fs_channel *channel;
        struct fs_parked_set *parked;
        struct fs_view *view;
        struct fs_reports *reports;
        struct fs_keeper *keeper;
        struct fs_scrub *scrub;
        unsigned scrub_interval; /* seconds; 0: never */
        struct fs_commands *commands;
        struct fuse_session *session;
        bool passthrough; /* the kernel is asked to take backing ids, and then: it does */
        bool restricted;  /* the kernel checks permissions */
        uid_t uid;        /* shown as the owner of everything */
        gid_t gid;
        mode_t umask;
        unsigned open_timeout_ms;
        unsigned size_timeout_ms;
};

/* fs/ops.c: the table of operations; its userdata is the struct fs_server. */
extern const struct fuse_lowlevel_ops fs_ops;

/*
 * The one place where a cause becomes an errno of the mount (positive). The README's
 * table is this function in words.
 */
int fs_errno(const struct fetch_cause *cause);

/* -errno of the store as the errno of the mount (positive). */
int fs_errno_of_disk(int error);

#endif
