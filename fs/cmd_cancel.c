/*
 * `assetfs cancel MOUNTPOINT DIGEST|NAME`: asks the daemon, over the control socket in its
 * cache, to end a download.
 */
#include "fs/cmd.h"

#include "fs/control.h"
#include "fs/log.h"
#include "fs/mounted.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: assetfs cancel MOUNTPOINT DIGEST|NAME\n"
    "\n"
    "Ends the download of an asset, without a trace. Who waits for it gets ECANCELED; the\n"
    "next open begins it anew. For root and the worker's user.\n"
    "\n"
    "Exit status: 0, 1 (failed, or no such download), 2 (usage).\n";

int cmd_cancel(int argc, char **argv)
{
        char word[sizeof("cancel ") + CAS_DIGEST_HEX] = "cancel ";
        struct cas_digest digest;
        char cache[PATH_MAX];
        char line[512] = "";
        int r;

        if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
                return fputs(usage, stdout) < 0;
        if (argc != 3 || argv[1][0] == '-' || argv[2][0] == '-') {
                fs_fail("usage: assetfs cancel MOUNTPOINT DIGEST|NAME");
                return 2;
        }
        if (fs_mounted_cache(argv[1], cache) != 0)
                return 1;
        r = fs_mounted_digest(argv[1], argv[2], &digest);
        if (r < 0)
                return fs_fail("%s: %s", argv[2], fs_mounted_words(r));
        cas_digest_format(&digest, word + strlen("cancel "));
        r = fs_control_ask(cache, word, FS_CONTROL_SOON_MS, line, sizeof(line));
        if (r < 0)
                return fs_fail("%s: %s", cache, strerror(-r));
        return strcmp(line, "ok") == 0 ? 0 : fs_fail("%s", line);
}
