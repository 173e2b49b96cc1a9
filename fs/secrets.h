/*
 * Credential files that are root's alone, as systemd's LoadCredential= makes them: the supervisor
 * opens them for a worker, which names none but sends the SHA-256 of a path. What neither the
 * configuration nor $GOOGLE_APPLICATION_CREDENTIALS names as a credential is not opened.
 *
 * Who can change what a path leads to could so have any file of root's. Hence on the way there all
 * is root's or ours, nobody else writes to it, and no link is followed.
 *
 *   read (for each worker that is started) -> open* -> free
 *
 * Threads: the supervisor's only one. Does not log.
 */
#ifndef FS_SECRETS_H
#define FS_SECRETS_H

#include "cas/digest.h"
#include "fs/options.h"

#define FS_SECRETS_MAX (4 * (FS_ORIGINS_MAX + FS_CATALOGS_MAX) + 1)

struct fs_secret {
        struct cas_digest name; /* of the path */
        char *path;
};

struct fs_secrets {
        size_t count;
        struct fs_secret all[FS_SECRETS_MAX];
};

/* What of `options` and the configuration that a worker gets (fs/kept_config.h) are credentials,
 * in the place of what was there. 0 or -errno. */
int fs_secrets_read(struct fs_secrets *secrets, const struct fs_options *options, int config_fd);
void fs_secrets_free(struct fs_secrets *secrets);

/* How a path is asked for. 0 or -ENOMEM. */
int fs_secrets_name(const char *path, struct cas_digest *ret);

/* A descriptor to read from; -ENOENT where it is not there; -EPERM: the configuration does not
 * name it, or somebody else could have put it there; or another -errno. */
int fs_secrets_open(const struct fs_secrets *secrets, const struct cas_digest *name);

#endif
