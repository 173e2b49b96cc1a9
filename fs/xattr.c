/*
 * What people can ask an asset: user.assetfs.state, .source and .error; and the root:
 * .cache. Answered from what is known; asks nobody.
 */
#include "fs/ops.h"
#include "fs/view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STATE  "user.assetfs.state"
#define SOURCE "user.assetfs.source"
#define ERROR  "user.assetfs.error"

#define VALUE_MAX (FETCH_TEXT_MAX + FETCH_SOURCE_MAX + 64)

/* cached; unverified: in the cache, hashed at its first open; fetching; failed; absent. */
static const char *state_of(const struct fs_server *server, const struct cas_digest *digest)
{
        struct fetch_cause cause;
        struct cas_blob blob;
        enum cas_presence presence = cas_store_look(server->store, digest, &blob);

        if (presence == CAS_VERIFIED)
                return "cached";
        if (fetch_in_flight(server->fetch, digest))
                return "fetching";
        if (presence == CAS_UNVERIFIED)
                return "unverified";
        return fetch_last_failure(server->fetch, digest, &cause) ? "failed" : "absent";
}

static bool source_of(const struct fs_server *server, const struct cas_digest *digest,
                      char value[VALUE_MAX])
{
        struct fetch_cause cause;

        if (cas_store_source(server->store, digest, value, VALUE_MAX) == 0)
                return true;
        if (!fetch_last_failure(server->fetch, digest, &cause) || !cause.source[0])
                return false;
        snprintf(value, VALUE_MAX, "%s", cause.source);
        return true;
}

/* The words of the log line. */
static bool error_of(const struct fs_server *server, const struct cas_digest *digest,
                     char value[VALUE_MAX])
{
        struct fetch_cause cause;

        if (!fetch_last_failure(server->fetch, digest, &cause))
                return false;
        snprintf(value, VALUE_MAX, "%s", cause.text);
        return true;
}

static bool value_of(const struct fs_server *server, const struct cas_digest *digest,
                     const char *name, char value[VALUE_MAX])
{
        if (strcmp(name, STATE) == 0) {
                snprintf(value, VALUE_MAX, "%s", state_of(server, digest));
                return true;
        }
        if (strcmp(name, SOURCE) == 0)
                return source_of(server, digest, value);
        return strcmp(name, ERROR) == 0 && error_of(server, digest, value);
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
        struct cas_digest digest;
        char value[VALUE_MAX];

        if (ino == FUSE_ROOT_ID && strcmp(name, FS_XATTR_CACHE) == 0)
                reply(req, server->cache, strlen(server->cache), size);
        else if (fs_is_asset(ino) && fs_node_digest(server->nodes, ino, &digest) &&
                 value_of(server, &digest, name, value))
                reply(req, value, strlen(value), size);
        else
                fuse_reply_err(req, ENODATA);
}

void fs_xattr_list(fuse_req_t req, fuse_ino_t ino, size_t size)
{
        static const char *const names[] = {STATE, SOURCE, ERROR};
        const struct fs_server *server = fuse_req_userdata(req);
        char list[sizeof(STATE) + sizeof(SOURCE) + sizeof(ERROR)];
        char value[VALUE_MAX];
        struct cas_digest digest;
        size_t length = 0;

        if (ino == FUSE_ROOT_ID) {
                length = sizeof(FS_XATTR_CACHE);
                memcpy(list, FS_XATTR_CACHE, length);
        } else if (fs_is_asset(ino) && fs_node_digest(server->nodes, ino, &digest)) {
                for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                        if (!value_of(server, &digest, names[i], value))
                                continue;
                        memcpy(list + length, names[i], strlen(names[i]) + 1);
                        length += strlen(names[i]) + 1;
                }
        }
        reply(req, list, length, size);
}
