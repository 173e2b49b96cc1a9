/*
 * The configuration file as it counts, in a sealed memfd of the supervisor's: a worker that is
 * started after a crash reads that, and not a file which somebody is editing, and which its
 * user perhaps may not read. The file itself is read at the start and at a reload only.
 *
 *   make -> { renew -> accept | revert }* -> end
 *
 * Threads: the supervisor's only one. Does not log.
 */
#ifndef FS_KEPT_CONFIG_H
#define FS_KEPT_CONFIG_H

#include "fs/options.h"

struct fs_kept_config {
        const struct fs_options *options; /* as they were when it was mounted */
        int fd;                           /* what the next worker gets */
        int before; /* while a new one is tried: what the workers had; else -1 */
        int log_level;
        char remount[128]; /* what of the last one needs a remount: "cache, user"; or "" */
};

/* `options` have to live as long. 0 or -errno. Without a file there is an empty one. */
int fs_kept_config_make(const struct fs_options *options, struct fs_kept_config *ret);
void fs_kept_config_end(struct fs_kept_config *kept);

/* Reads the file anew. Nothing has changed where that is refused: 1, and the first refusal in
 * `why`. */
int fs_kept_config_renew(struct fs_kept_config *kept, char *why, size_t size);

/* The worker of the new one serves; or it does not, and the one before counts. */
void fs_kept_config_accept(struct fs_kept_config *kept);
void fs_kept_config_revert(struct fs_kept_config *kept);

/* In a worker: sets what the descriptor holds: what a reload cannot change as it was at the
 * mount, the rest as it is now. 0, or the status of a refusal. */
int fs_kept_config_apply(int fd, struct fs_options *options, struct fs_refusals *refusals);

#endif
