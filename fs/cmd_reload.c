/*
 * `assetfs reload MOUNTPOINT`: asks the supervisor, over the control socket in its cache,
 * for a new worker of the binary now installed, by the configuration and the catalogs as
 * they are now.
 */
#include "fs/cmd.h"

#include "fs/control.h"
#include "fs/log.h"
#include "fs/ops.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

static const char usage[] =
    "usage: assetfs reload MOUNTPOINT\n"
    "\n"
    "Starts the worker anew, of the binary now installed, and reads the configuration file\n"
    "(-c) and the catalogs anew. Open files and waiting opens go on. A broken file changes\n"
    "nothing. If the new worker does not serve within 5 s, the old one goes on as it was; a\n"
    "broken catalog is refused, and the last good one stays. What needs a remount (cache,\n"
    "user, -o) is named, and stays as it was.\n";

int cmd_reload(int argc, char **argv)
{
        char cache[PATH_MAX];
        char line[512];
        ssize_t length;

        if (argc == 2 && strcmp(argv[1], "--help") == 0)
                return fputs(usage, stdout) < 0;
        if (argc != 2 || argv[1][0] == '-') {
                fs_fail("usage: assetfs reload MOUNTPOINT");
                return 2;
        }
        length = getxattr(argv[1], FS_XATTR_CACHE, cache, sizeof(cache) - 1);
        if (length < 0)
                return errno == ENODATA || errno == ENOTSUP
                           ? fs_fail("%s: not the mount point of an assetfs", argv[1])
                           : fs_fail("%s: %s", argv[1], strerror(errno));
        cache[length] = '\0';

        int r = fs_control_ask(cache, "reload", FS_CONTROL_SOON_MS, line, sizeof(line));

        if (r < 0)
                return fs_fail("%s: %s", cache, strerror(-r));
        if (strncmp(line, FS_CONTROL_APPLIED, strlen(FS_CONTROL_APPLIED)) == 0)
                return printf("%s\n", line) < 0;
        return strcmp(line, "ok") == 0 ? 0 : fs_fail("%s", line);
}
