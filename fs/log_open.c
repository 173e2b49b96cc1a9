/*
 * What the log says about openers. Asks nobody; costs nothing where the line is not
 * wanted.
 */
#include "fs/log_open.h"

#include "fs/log.h"
#include "fs/ops.h"

#include <errno.h>
#include <string.h>

void fs_log_open_parked(fuse_req_t req, const struct cas_digest *digest)
{
        char hex[CAS_DIGEST_HEX + 1];

        if (!fs_log_wants(LOG_DEBUG))
                return;
        cas_digest_format(digest, hex);
        fs_log(LOG_DEBUG, "event=open-waits digest=%s pid=%d", hex, (int)fuse_req_ctx(req)->pid);
}

void fs_log_open_refused(fuse_req_t req, const struct cas_digest *digest, int error,
                         const char *cause)
{
        char hex[CAS_DIGEST_HEX + 1];

        if (!fs_log_wants(LOG_DEBUG))
                return;
        cas_digest_format(digest, hex);
        fs_log(LOG_DEBUG, "event=open-refused digest=%s pid=%d errno=%s cause=%s", hex,
               (int)fuse_req_ctx(req)->pid, strerrorname_np(error), fs_log_value(cause).text);
}

void fs_log_cache_failed(fuse_req_t req, const struct cas_digest *digest, int error)
{
        char hex[CAS_DIGEST_HEX + 1];

        if (error == -ESTALE)
                return; /* makes the kernel look the path up again; nobody sees it */
        cas_digest_format(digest, hex);
        fs_log(LOG_ERR, "event=cache-failed digest=%s pid=%d errno=%s cause=%s", hex,
               (int)fuse_req_ctx(req)->pid, strerrorname_np(fs_errno_of_disk(error)),
               fs_log_value(strerror(-error)).text);
}
