/*
 * What every operation works with: one struct, made by cmd_mount before the first
 * request and unchanged until after the last. Also the names the operations'
 * files have for each other.
 */
#ifndef FS_SERVER_H
#define FS_SERVER_H

#include "cas/store.h"
#include "fetch/fetch.h"
#include "fs/node.h"

#include <fuse_lowlevel.h>

struct fs_parked_set;

struct fs_server {
        struct cas_store *store;
        struct fetch *fetch;
        const struct fetch_catalog *catalog;
        struct fs_nodes *nodes;
        struct fs_parked_set *parked;
        struct fuse_session *session;
        uid_t uid; /* shown as the owner of everything */
        gid_t gid;
        mode_t umask;
        unsigned open_timeout_ms;
        unsigned size_timeout_ms;
        void (*on_init)(void *arg); /* the mount answers from now on */
        void *on_init_arg;
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
