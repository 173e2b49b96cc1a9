/*
 * What people can ask an asset: user.assetfs.state, .source, .error and .verified_at; and
 * the root: .cache. Answered from what is known; asks nobody.
 */
#include "fs/ops.h"
#include "fs/view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define STATE       "user.assetfs.state"
#define SOURCE      "user.assetfs.source"
#define ERROR       "user.assetfs.error"
#define VERIFIED_AT "user.assetfs.verified_at"

#define VALUE_MAX (FETCH_TEXT_MAX + FETCH_SOURCE_MAX + 64)

/* All of these: 0 and the value, -ENODATA, or -errno where the cache cannot be looked into. */

/* cached; unverified: in the cache, hashed at its first open; fetching; failed; absent. */
static int state_of(const struct fs_server *server, const struct cas_digest *digest,
                    char value[VALUE_MAX])
{
        struct fetch_cause cause;
        struct cas_blob blob;
        int presence = cas_store_look(server->store, digest, &blob);
        const char *state;

        if (presence < 0)
                return presence;
        if (presence == CAS_VERIFIED)
                state = "cached";
        else if (fetch_in_flight(server->fetch, digest))
                state = "fetching";
        else if (presence == CAS_UNVERIFIED)
                state = "unverified";
        else
                state = fetch_last_failure(server->fetch, digest, &cause) ? "failed" : "absent";
        snprintf(value, VALUE_MAX, "%s", state);
        return 0;
}

static int source_of(const struct fs_server *server, const struct cas_digest *digest,
                     char value[VALUE_MAX])
{
        struct fetch_cause cause;
        int r = cas_store_source(server->store, digest, value, VALUE_MAX);

        if (r != -ENOENT && r != -EUCLEAN && r != -ENODATA)
                return r;
        if (!fetch_last_failure(server->fetch, digest, &cause) || !cause.source[0])
                return -ENODATA;
        snprintf(value, VALUE_MAX, "%s", cause.source);
        return 0;
}

/* The words of the log line. */
static int error_of(const struct fs_server *server, const struct cas_digest *digest,
                    char value[VALUE_MAX])
{
        struct fetch_cause cause;

        if (!fetch_last_failure(server->fetch, digest, &cause))
                return -ENODATA;
        snprintf(value, VALUE_MAX, "%s", cause.text);
        return 0;
}

/* RFC 3339, UTC. Whether it is so is the record's word: a file that was touched since has none
 * that is valid, so its time is never taken for ours. */
static int verified_at(const struct fs_server *server, const struct cas_digest *digest,
                       char value[VALUE_MAX])
{
        int64_t when;
        int r = cas_store_verified_at(server->store, digest, &when);
        time_t seconds;
        struct tm utc;

        if (r < 0)
                return r == -ENOENT ? -ENODATA : r;
        seconds = (time_t)when;
        if (!gmtime_r(&seconds, &utc))
                return -ENODATA;
        return strftime(value, VALUE_MAX, "%FT%TZ", &utc) > 0 ? 0 : -ENODATA;
}

static int value_of(const struct fs_server *server, fuse_ino_t ino, const char *name,
                    char value[VALUE_MAX])
{
        struct cas_digest digest;

        if (!fs_is_asset(ino) || !fs_node_digest(server->nodes, ino, &digest))
                return -ENODATA;
        if (strcmp(name, STATE) == 0)
                return state_of(server, &digest, value);
        if (strcmp(name, SOURCE) == 0)
                return source_of(server, &digest, value);
        if (strcmp(name, VERIFIED_AT) == 0)
                return verified_at(server, &digest, value);
        return strcmp(name, ERROR) == 0 ? error_of(server, &digest, value) : -ENODATA;
}

static int errno_of(int r)
{
        return r == -ENODATA ? ENODATA : fs_errno_of_disk(r);
}

static void reply(fuse_req_t req, const char *bytes, size_t length, size_t size)
{
        if (size == 0)
                fuse_reply_xattr(req, length);
        else if (length > size)
                fuse_reply_err(req, ERANGE);
        else
                fuse_reply_buf(req, bytes, length);
}

void fs_xattr_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
        const struct fs_server *server = fuse_req_userdata(req);
        char value[VALUE_MAX];

        if (ino == FUSE_ROOT_ID && strcmp(name, FS_XATTR_CACHE) == 0) {
                reply(req, server->cache, strlen(server->cache), size);
                return;
        }

        int r = value_of(server, ino, name, value);

        if (r < 0)
                fuse_reply_err(req, errno_of(r));
        else
                reply(req, value, strlen(value), size);
}

void fs_xattr_list(fuse_req_t req, fuse_ino_t ino, size_t size)
{
        static const char *const names[] = {STATE, SOURCE, ERROR, VERIFIED_AT};
        const struct fs_server *server = fuse_req_userdata(req);
        char list[sizeof(STATE) + sizeof(SOURCE) + sizeof(ERROR) + sizeof(VERIFIED_AT)];
        char value[VALUE_MAX];
        size_t length = 0;

        if (ino == FUSE_ROOT_ID) {
                reply(req, FS_XATTR_CACHE, sizeof(FS_XATTR_CACHE), size);
                return;
        }
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                int r = value_of(server, ino, names[i], value);

                if (r == -ENODATA)
                        continue;
                if (r < 0) {
                        fuse_reply_err(req, errno_of(r));
                        return;
                }
                memcpy(list + length, names[i], strlen(names[i]) + 1);
                length += strlen(names[i]) + 1;
        }
        reply(req, list, length, size);
}
