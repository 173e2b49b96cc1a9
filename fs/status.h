/*
 * MOUNTPOINT/.assetfs/status.json, read into structs. What the file does not say is
 * FS_STATUS_UNKNOWN or NULL; keys that are not known are passed over, so that a newer
 * daemon can say more.
 *
 * The strings are the file's: they may hold anything but NUL, and are not for a terminal as
 * they are. They live as long as the status.
 */
#ifndef FS_STATUS_H
#define FS_STATUS_H

#include "cas/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_STATUS_FILE    ".assetfs/status.json"
#define FS_STATUS_VERSION 1
#define FS_STATUS_TEXT    (64u * 1024 * 1024) /* bytes; a larger file is refused */
#define FS_STATUS_UNKNOWN (-1)
#define FS_STATUS_WHY     256

struct fs_status_waiter {
        int64_t pid;
        double seconds;
};

struct fs_status_flight {
        char digest[CAS_DIGEST_HEX + 1];
        const char *name;
        const char *source;
        bool running; /* else it is queued */
        int64_t bytes;
        int64_t size;
        int64_t rate; /* bytes a second */
        int64_t eta;  /* seconds */
        int64_t retries;
        double seconds; /* in the air */
        int64_t waiters;
        struct fs_status_waiter *waiting; /* the first of these */
        size_t waiting_count;
};

struct fs_status_failure {
        char digest[CAS_DIGEST_HEX + 1];
        const char *name;
        const char *error; /* the errno's name */
        const char *cause;
        const char *source;
        double time; /* unix seconds */
};

/* One that comes by URL, and is not the newest. */
struct fs_status_catalog {
        const char *url;
        const char *failure;
        bool here; /* an older one of it */
};

struct fs_status {
        double time; /* unix seconds, when it was made */
        const char *mountpoint;
        const char *version;
        double started;
        int64_t worker_pid;
        double worker_started;
        int64_t worker_restarts;
        bool passthrough;
        const char *passthrough_cause;
        bool catalog_stale;

        const char *cache;
        int64_t used; /* bytes */
        int64_t limit;
        int64_t free;
        int64_t blobs;
        int64_t pinned;
        int64_t open;

        int64_t running; /* downloads */
        int64_t queued;
        int64_t most;

        struct fs_status_flight *flights;
        size_t flight_count;
        struct fs_status_failure *failures;
        size_t failure_count;

        struct fs_status_catalog *catalogs;
        size_t catalog_count;

        void *document; /* the strings' owner */
};

/* Reads a whole file, as long as it may be; *ret is owned, *ret_length long, and has a NUL
 * behind it. 0, -EFBIG, or what open(2) and read(2) say. */
int fs_status_read(const char *path, char **ret, size_t *ret_length);

/* 0; or -EINVAL, with what is wrong with the text in `why`; or -ENOMEM. */
int fs_status_parse(const char *text, size_t length, struct fs_status *ret,
                    char why[FS_STATUS_WHY]);

/* Read and parsed; why is "" where -errno says all. */
int fs_status_load(const char *path, struct fs_status *ret, char why[FS_STATUS_WHY]);

void fs_status_free(struct fs_status *status); /* accepts one that is all zero */

#endif
