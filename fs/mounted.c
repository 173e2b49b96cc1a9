/*
 * A mount, seen as anybody sees it: by its attributes and its links. Needs no privilege
 * and speaks to no process.
 */
#include "fs/mounted.h"

#include "fs/log.h"
#include "fs/ops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

int fs_mounted_cache(const char *mountpoint, char ret[PATH_MAX])
{
        ssize_t length = getxattr(mountpoint, FS_XATTR_CACHE, ret, PATH_MAX - 1);

        if (length < 0)
                return errno == ENODATA || errno == ENOTSUP
                           ? fs_fail("%s: not the mount point of an assetfs", mountpoint)
                           : fs_fail("%s: %s", mountpoint, strerror(errno));
        ret[length] = '\0';
        return 0;
}

int fs_mounted_digest(const char *mountpoint, const char *word, struct cas_digest *ret)
{
        char path[PATH_MAX];
        char target[CAS_DIGEST_HEX + 16];
        ssize_t length;

        if (cas_digest_parse(word, strlen(word), ret) == 0)
                return 0;
        if (!*word || strchr(word, '/') ||
            snprintf(path, sizeof(path), "%s/by-name/%s", mountpoint, word) >= (int)sizeof(path))
                return -ENOENT;
        length = readlink(path, target, sizeof(target));
        if (length < 0)
                return errno == EINVAL || errno == ENAMETOOLONG ? -ENOENT : -errno;
        if (length <= 3 || memcmp(target, "../", 3) != 0)
                return -ENOENT;
        return cas_digest_parse(target + 3, (size_t)length - 3, ret) < 0 ? -ENOENT : 0;
}

const char *fs_mounted_words(int error)
{
        return error == -ENOENT ? "neither a digest nor a name of the mount's catalogs"
                                : strerror(-error);
}
