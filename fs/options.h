/*
 * The command line of `assetfs mount`, together with the configuration file that it names.
 * The README's table and fs_options_usage say what each option means, fs/settings.h which
 * there are, fs/config.h how a file looks.
 *
 * The file counts first, then the command line: it overrides, and what can be repeated
 * comes after the file's.
 */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include "cas/room.h"
#include "fetch/locate.h"
#include "fetch/net.h"
#include "fs/refusals.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FS_ORIGINS_MAX   64
#define FS_CATALOGS_MAX  64
#define FS_DENY_NETS_MAX 64
#define FS_ARGUMENTS_MAX 256
#define FS_TEXTS_MAX     1024

enum fs_passthrough {
        FS_PASSTHROUGH_AUTO, /* where the kernel can */
        FS_PASSTHROUGH_ON,   /* or do not mount */
        FS_PASSTHROUGH_OFF,
};

/* Paths are absolute, so that they mean the same wherever they are used. Strings point
 * into `arguments` and `texts`. */
struct fs_options {
        bool of_worker; /* these are a worker's, which looks at files by itself */
        bool foreground;
        int log_level; /* syslog's: what is less important is not logged */
        const char *cache;
        struct cas_bounds bounds; /* how much of its disk it takes */
        unsigned scrub_interval;  /* seconds; 0: never */
        enum cas_verify verify;   /* what is hashed before it is served */
        const char *user;         /* or NULL */
        const char *ca_file;
        const char *proxy;
        struct fetch_origin origins[FS_ORIGINS_MAX];
        size_t origin_count;
        /* While a file is read: the last origin or catalog; NULL: it was refused. */
        struct fetch_origin *asked;
        const char *catalogs[FS_CATALOGS_MAX];
        struct fetch_origin catalog_origins[FS_CATALOGS_MAX]; /* of each, its url or path */
        size_t catalog_count;
        unsigned catalog_refresh; /* seconds; 0: at the start and at a reload alone */
        uint64_t max_asset_size;  /* bytes */
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

        const char *config; /* -c; or NULL */
        char *config_text;  /* its text as it was read; NULL in a worker. Owned. */

        /* The command line again, one string each: what a worker is started with. Owned. */
        char *arguments[FS_ARGUMENTS_MAX];
        size_t argument_count;
        /* What stands in no command line: the file's values, and defaults. Owned. */
        char *texts[FS_TEXTS_MAX];
        size_t text_count;
};

#define FS_OPTIONS_HELPED (-1)

/*
 * Reads `argv` (from the verb on) and the file that it names. 0; or, after one line on
 * stderr, the exit status: 2 for a usage error, 1 where the machine is to blame;
 * FS_OPTIONS_HELPED after --help was answered. To be freed in every case.
 */
int fs_options_parse(int argc, char **argv, struct fs_options *ret);

/* The same in a worker: `argv` is what fs/launch.c made of the options, and the file's text
 * comes from the descriptor (fs/kept_config.h). Opens nothing. */
int fs_options_parse_worker(int argc, char **argv, int config_fd, struct fs_options *ret);

/*
 * What the command line of `before` would mean by now, its file read anew. Says nothing: what
 * is wrong is in `refusals`, whose status is returned. To be freed in every case.
 */
int fs_options_renew(const struct fs_options *before, struct fs_options *ret,
                     struct fs_refusals *refusals);

/*
 * "assetfs VERB", the kept arguments and the mount point into `argv`, which has room for
 * FS_ARGUMENTS_MAX + 4; a NULL at the end. Their number. They point into `options`.
 */
int fs_options_arguments(const struct fs_options *options, const char *verb, const char **argv);

/*
 * Keeps a string of FOLDER, a slash and `value`, or of `value` alone where it is absolute or
 * `folder` is NULL. NULL without memory, or where there are too many.
 */
const char *fs_options_keep_text(struct fs_options *options, const char *folder, const char *value);

void fs_options_free(struct fs_options *options);

extern const char fs_options_usage[];

#endif
