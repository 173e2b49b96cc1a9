/*
 * Two texts in a memfd, each with a NUL behind it: the file at the mount, and by now.
 */
#include "fs/kept_config.h"

#include "cas/io.h"
#include "fs/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* The descriptor, or -errno. */
static int seal(const char *first, const char *now)
{
        int fd = memfd_create("assetfs-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        size_t length = strlen(first) + 1;
        int r;

        if (fd < 0)
                return -errno;
        r = cas_io_write_at(fd, first, length, 0);
        if (r == 0)
                r = cas_io_write_at(fd, now, strlen(now) + 1, length);
        if (r == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                r = -errno;
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

static const char *text_of(const struct fs_options *options)
{
        return options->config_text ? options->config_text : "";
}

int fs_kept_config_make(const struct fs_options *options, struct fs_kept_config *ret)
{
        *ret = (struct fs_kept_config){options, -1, -1, options->log_level, ""};
        ret->fd = seal(text_of(options), text_of(options));
        return ret->fd < 0 ? ret->fd : 0;
}

void fs_kept_config_end(struct fs_kept_config *kept)
{
        fs_kept_config_accept(kept);
        cas_io_close_at(&kept->fd);
        kept->fd = -1;
}

static bool differ(const char *one, const char *other)
{
        return strcmp(one ? one : "", other ? other : "") != 0;
}

/* The names of what the file says now and a mount cannot change any more. */
static void name_remount(struct fs_kept_config *kept, const struct fs_options *now)
{
        const struct fs_options *was = kept->options;
        const struct {
                const char *name;
                bool changed;
        } all[] = {
            {"cache", differ(was->cache, now->cache)},
            {"user", differ(was->user, now->user)},
            {"uid", was->uid != now->uid},
            {"gid", was->gid != now->gid},
            {"umask", was->umask != now->umask},
            {"passthrough", was->passthrough != now->passthrough},
            {"options", was->restricted != now->restricted ||
                            was->allow_other != now->allow_other ||
                            differ(was->fuse_options, now->fuse_options)},
        };
        size_t used = 0;

        kept->remount[0] = '\0';
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
                if (all[i].changed)
                        used += (size_t)snprintf(kept->remount + used, sizeof(kept->remount) - used,
                                                 "%s%s", used ? ", " : "", all[i].name);
}

int fs_kept_config_renew(struct fs_kept_config *kept, char *why, size_t size)
{
        static struct fs_options now; /* tens of KiB */
        struct fs_refusals refusals = {0};
        int fd = -1;

        if (fs_options_renew(kept->options, &now, &refusals) == 0) {
                fd = seal(text_of(kept->options), text_of(&now));
                if (fd < 0)
                        fs_refuse(&refusals, 1, "%s: %s", now.config, strerror(-fd));
        }
        if (fd >= 0) {
                kept->before = kept->fd;
                kept->fd = fd;
                kept->log_level = now.log_level;
                name_remount(kept, &now);
        }
        fs_options_free(&now);
        snprintf(why, size, "%s", refusals.first);
        return refusals.count ? 1 : 0;
}

void fs_kept_config_accept(struct fs_kept_config *kept)
{
        cas_io_close_at(&kept->before);
        kept->before = -1;
}

void fs_kept_config_revert(struct fs_kept_config *kept)
{
        if (kept->before < 0)
                return;
        close(kept->fd);
        kept->fd = kept->before;
        kept->before = -1;
}

int fs_kept_config_apply(int fd, struct fs_options *options, struct fs_refusals *refusals)
{
        size_t most = 2 * (FS_CONFIG_BYTES + 1);
        _cleanup_free_ char *texts = calloc(1, most + 2); /* NULs behind what there is */
        ssize_t got = texts ? cas_io_read_at(fd, texts, most, 0) : -ENOMEM;
        const char *now;

        if (got < 0)
                return fs_refuse(refusals, 1, "%s: %s", options->config, strerror((int)-got));
        now = texts + strlen(texts) + 1;
        if (strcmp(texts, now) == 0) {
                fs_config_apply(options->config, texts, FS_CONFIG_ALL, options, refusals);
        } else {
                fs_config_apply(options->config, texts, FS_CONFIG_FIXED, options, refusals);
                fs_config_apply(options->config, now, FS_CONFIG_FREE, options, refusals);
        }
        return refusals->status;
}
