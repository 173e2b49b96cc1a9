/*
 * libfuse's mounting, and what it says when it fails.
 */
#include "fs/mount.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What libfuse said last: its reasons become our one line. */
static char last_words[256];

static void keep_words(enum fuse_log_level level, const char *format, va_list args)
{
        if (level > FUSE_LOG_ERR)
                return;
        vsnprintf(last_words, sizeof(last_words), format, args);
        last_words[strcspn(last_words, "\n")] = '\0';
}

struct fuse_session *fs_mount_session(const struct fs_options *options,
                                      const struct fuse_lowlevel_ops *ops, size_t ops_size,
                                      void *userdata, char *why, size_t why_size)
{
        char list[1024];
        char *argv[] = {"assetfs", "-o", list, NULL};
        struct fuse_args args = FUSE_ARGS_INIT(3, argv);

        /*
         * default_permissions only where there is something to check: with it the kernel
         * sends a GETATTR before every OPEN of what is not cached (its attributes are not
         * to be believed), so that a first open would cost a HEAD and end with its answer.
         */
        snprintf(list, sizeof(list), "ro,nosuid,nodev,subtype=assetfs%s%s%s%s",
                 options->restricted ? ",default_permissions" : "",
                 strstr(options->fuse_options, ",fsname=") ? "" : ",fsname=assetfs",
                 options->allow_other ? ",allow_other" : "", options->fuse_options);
        fuse_set_log_func(keep_words);

        struct fuse_session *session = fuse_session_new(&args, ops, ops_size, userdata);

        fuse_opt_free_args(&args);
        if (!session)
                snprintf(why, why_size, "%s", last_words[0] ? last_words : "libfuse refused");
        return session;
}

int fs_mount_make(const struct fs_options *options, struct fs_mount *ret, char *why,
                  size_t why_size)
{
        static const struct fuse_lowlevel_ops none;
        struct fuse_session *session =
            fs_mount_session(options, &none, sizeof(none), NULL, why, why_size);

        if (!session)
                return -EINVAL;
        if (fuse_session_mount(session, options->mountpoint) != 0) {
                snprintf(why, why_size, "%s", last_words[0] ? last_words : "libfuse cannot mount");
                fuse_session_destroy(session);
                return -EIO;
        }
        *ret = (struct fs_mount){session, fuse_session_fd(session)};
        return 0;
}

void fs_mount_end(struct fs_mount *mount)
{
        if (!mount->session)
                return;
        fuse_session_unmount(mount->session);
        fuse_session_destroy(mount->session);
        *mount = (struct fs_mount){NULL, -1};
}
