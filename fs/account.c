/*
 * The worker's user, from the command line, the cache, or /etc/passwd.
 */
#include "fs/account.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_USER "assetfs"

static void take(const struct passwd *entry, struct fs_account *ret)
{
        *ret = (struct fs_account){entry->pw_uid, entry->pw_gid};
}

/* A uid need not have a name. */
void fs_account_of(uid_t uid, gid_t gid, struct fs_account *ret)
{
        const struct passwd *entry = getpwuid(uid);

        *ret = (struct fs_account){uid, entry ? entry->pw_gid : gid};
}

static int named(const char *user, struct fs_account *ret)
{
        const struct passwd *entry = getpwnam(user);
        char *end;

        if (entry) {
                take(entry, ret);
                return 0;
        }
        errno = 0;

        unsigned long uid = strtoul(user, &end, 10);

        if (errno || *user < '0' || *user > '9' || *end || uid >= UINT_MAX)
                return -ENOENT;
        fs_account_of((uid_t)uid, (gid_t)uid, ret);
        return 0;
}

static int find_as_root(const char *user, const char *cache, struct fs_account *ret, char *why,
                        size_t why_size)
{
        const struct passwd *entry;
        struct stat st;

        if (user) {
                if (named(user, ret) == 0)
                        return 0;
                snprintf(why, why_size, "--user %s: no such user", user);
                return -ENOENT;
        }
        if (stat(cache, &st) == 0 && st.st_uid != 0) {
                fs_account_of(st.st_uid, st.st_gid, ret);
                return 0;
        }
        entry = getpwnam(SYSTEM_USER);
        if (!entry) {
                snprintf(why, why_size,
                         "there is no user '" SYSTEM_USER "' to download as: make install creates "
                         "it, or name another one with --user");
                return -ENOENT;
        }
        take(entry, ret);
        return 0;
}

int fs_account_find(const char *user, const char *cache, struct fs_account *ret, char *why,
                    size_t why_size)
{
        struct fs_account found;

        if (geteuid() != 0) {
                *ret = (struct fs_account){geteuid(), getegid()};
                if (!user || (named(user, &found) == 0 && found.uid == ret->uid))
                        return 0;
                snprintf(why, why_size, "--user %s: only root can choose another user", user);
                return -EPERM;
        }

        int r = find_as_root(user, cache, ret, why, why_size);

        if (r == 0 && ret->uid == 0) {
                snprintf(why, why_size,
                         "downloads are not made as root: name another user with --user");
                return -EPERM;
        }
        return r;
}
