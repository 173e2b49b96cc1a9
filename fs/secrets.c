/*
 * The way to a credential, a directory at a time. Reads none of them.
 */
#include "fs/secrets.h"

#include "cas/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int fs_secrets_name(const char *path, struct cas_digest *ret)
{
        struct cas_hash *hash;
        int r = cas_hash_new(&hash);

        if (r < 0)
                return r;
        cas_hash_update(hash, path, strlen(path));
        r = cas_hash_final(hash, ret);
        cas_hash_free(hash);
        return r;
}

static int add(struct fs_secrets *secrets, const char *path)
{
        struct fs_secret *secret = &secrets->all[secrets->count];
        int r = fs_secrets_name(path, &secret->name);

        if (r == 0 && !(secret->path = strdup(path)))
                r = -ENOMEM;
        secrets->count += r == 0;
        return r;
}

static int add_files(struct fs_secrets *secrets, const struct fetch_auth_files *files)
{
        const char *const paths[] = {files->token_file, files->netrc_file, files->client_cert,
                                     files->client_key};
        int r = 0;

        for (size_t i = 0; r == 0 && i < sizeof(paths) / sizeof(paths[0]); i++)
                if (paths[i])
                        r = add(secrets, paths[i]);
        return r;
}

/* The environment is the worker's too, and was there before it. */
static int add_environment(struct fs_secrets *secrets)
{
        const char *path = getenv("GOOGLE_APPLICATION_CREDENTIALS");

        return path && *path == '/' ? add(secrets, path) : 0;
}

int fs_secrets_read(struct fs_secrets *secrets, const struct fs_options *options, int config_fd)
{
        static struct fs_options now; /* tens of KiB */
        const char *argv[FS_ARGUMENTS_MAX + 4];
        int argc = fs_options_arguments(options, "worker", argv);
        int r = fs_options_parse_worker(argc - 1, (char **)argv + 1, config_fd, &now) ? -EINVAL : 0;

        fs_secrets_free(secrets);
        for (size_t i = 0; r == 0 && i < now.origin_count; i++)
                r = add_files(secrets, &now.origins[i].files);
        for (size_t i = 0; r == 0 && i < now.catalog_count; i++)
                r = add_files(secrets, &now.catalog_origins[i].files);
        if (r == 0)
                r = add_environment(secrets);
        fs_options_free(&now);
        return r;
}

void fs_secrets_free(struct fs_secrets *secrets)
{
        for (size_t i = 0; i < secrets->count; i++)
                free(secrets->all[i].path);
        secrets->count = 0;
}

static bool is_ours(const struct stat *st)
{
        return st->st_uid == 0 || st->st_uid == geteuid();
}

/* Can somebody else put another file in the place of one that is in this directory? Where it is
 * sticky, only what is no directory: a hard link. */
static int check_folder(int fd, bool last)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!is_ours(&st))
                return -EPERM;
        return (st.st_mode & 022) == 0 || (!last && (st.st_mode & S_ISVTX)) ? 0 : -EPERM;
}

/* A link is no directory, or ELOOP. */
static int refusal(void)
{
        return errno == ELOOP || errno == ENOTDIR ? -EPERM : -errno;
}

static int open_file(int folder, const char *name)
{
        _cleanup_close_ int fd =
            openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct stat st;

        if (fd < 0)
                return refusal();
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || !is_ours(&st) || (st.st_mode & 022))
                return -EPERM;
        return cas_io_steal_fd(&fd);
}

/* `path` is absolute; it is cut up. */
static int open_path(char *path)
{
        _cleanup_close_ int folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char *rest;
        char *name = strtok_r(path, "/", &rest);
        char *next;

        if (folder < 0)
                return -errno;
        for (; name; name = next) {
                int r;

                next = strtok_r(NULL, "/", &rest);
                if ((r = check_folder(folder, !next)) < 0)
                        return r;
                if (!next)
                        return open_file(folder, name);

                int below = openat(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

                if (below < 0)
                        return refusal();
                close(folder);
                folder = below;
        }
        return -EPERM;
}

int fs_secrets_open(const struct fs_secrets *secrets, const struct cas_digest *name)
{
        for (size_t i = 0; i < secrets->count; i++) {
                if (!cas_digest_equal(&secrets->all[i].name, name))
                        continue;

                _cleanup_free_ char *path = strdup(secrets->all[i].path);

                return path ? open_path(path) : -ENOMEM;
        }
        return -EPERM;
}
