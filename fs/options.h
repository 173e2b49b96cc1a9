/*
 * The command line of `assetfs mount`. The README's table and fs_options_usage()
 * say what each option means.
 */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include "fetch/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FS_ORIGINS_MAX   64
#define FS_CATALOGS_MAX  64
#define FS_DENY_NETS_MAX 64
#define FS_ARGUMENTS_MAX 256

enum fs_passthrough {
        FS_PASSTHROUGH_AUTO, /* where the kernel can */
        FS_PASSTHROUGH_ON,   /* or do not mount */
        FS_PASSTHROUGH_OFF,
};

/* Paths are absolute, so that they mean the same wherever they are used. Strings point
 * into `arguments`. */
struct fs_options {
        bool foreground;
        const char *cache;
        const char *user; /* or NULL */
        const char *ca_file;
        const char *proxy;
        const char *origins[FS_ORIGINS_MAX];
        size_t origin_count;
        const char *catalogs[FS_CATALOGS_MAX];
        size_t catalog_count;
        uint64_t max_asset_size; /* bytes */
        unsigned max_downloads;
        unsigned connections; /* of one download */
        unsigned retries;     /* of a source */
        struct fetch_net deny_nets[FS_DENY_NETS_MAX];
        size_t deny_net_count;
        unsigned stall_timeout; /* seconds */
        unsigned open_timeout;  /* seconds */
        unsigned min_rate;      /* bytes a second */
        char mountpoint[4096];

        /* -o */
        bool allow_other; /* as root, always */
        bool restricted;  /* uid, gid, umask or default_permissions was given */
        uid_t uid;
        gid_t gid;
        mode_t umask;
        enum fs_passthrough passthrough;
        char fuse_options[512]; /* for libfuse, each after a comma */

        /* The options again, one string each: what a worker is started with. Owned. */
        char *arguments[FS_ARGUMENTS_MAX];
        size_t argument_count;
};

#define FS_OPTIONS_HELPED (-1)

/*
 * Reads `argv` (from the verb on). 0; or, after one line on stderr, the exit status:
 * 2 for a usage error, 1 where the machine is to blame; FS_OPTIONS_HELPED after
 * --help was answered. To be freed in every case.
 */
int fs_options_parse(int argc, char **argv, struct fs_options *ret);
void fs_options_free(struct fs_options *options);

extern const char fs_options_usage[];

#endif
