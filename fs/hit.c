/*
 * Hits. By passthrough the kernel gets a backing id, which the supervisor makes, and
 * asks us for no byte. Through us, reads are spliced from the cache file's descriptor,
 * and the page cache is kept from one open to the next as long as it is of the same
 * file. The kernel allows one way at a time for a node; its first open decides.
 */
#include "fs/hit.h"

#include "cas/io.h"
#include "fs/fuse_abi.h"
#include "fs/log.h"

#include <errno.h>
#include <unistd.h>

void fs_hit_refuse(fuse_req_t req, const struct fs_hit *hit, int error)
{
        const struct fs_server *server = fuse_req_userdata(req);

        /* -ENOENT: the answer of that worker has arrived, and the file is open. */
        if (fuse_reply_err(req, error) == 0 && hit->replay)
                fs_node_abandon(server->nodes, hit->ino, hit->unique);
}

/*
 * The kernel may hold size 0 from before the download, and an OPEN's reply cannot
 * correct it: a reader that trusts it (sendfile, copy_file_range) copies nothing and
 * calls that success. ESTALE makes the kernel look the path up once more and open
 * again, by itself; that lookup brings the size. It also brings another nodeid where
 * the node is open and reads a blob that has since been replaced.
 */
static bool sent_round(fuse_req_t req, const struct fs_hit *hit, const struct cas_blob *blob)
{
        struct fs_server *server = fuse_req_userdata(req);

        if (!fs_node_supersede(server->nodes, hit->ino, blob) &&
            !fs_node_send_round(server->nodes, hit->ino, fuse_req_ctx(req)->pid,
                                hit->ended_miss && !hit->rehashed, hit->replay))
                return false;
        /* For those who open without a lookup: fstat at least asks again. Not in a replay: the
         * kernel may have been told, and would throw away what the lookup under way brings. */
        if (!hit->replay)
                fuse_lowlevel_notify_inval_inode(server->session, hit->ino, -1, 0);
        fs_hit_refuse(req, hit, ESTALE);
        return true;
}

/* A backing id of the very file that was checked, or 0: then it is read through us. */
static int32_t fetch_id(struct fs_server *server, const struct fs_hit *hit,
                        const struct cas_blob *blob)
{
        uint64_t inode = 0;
        int32_t id = 0;

        if (!server->passthrough || !fs_node_wants_id(server->nodes, hit->ino, blob) ||
            fs_channel_backing(server->channel, &hit->digest, &id, &inode) < 0)
                return 0;
        if (inode == blob->inode)
                return id;
        fs_channel_drop(server->channel, id);
        return 0;
}

/* libfuse before 3.17 has no reply with a backing id. */
static int reply_passthrough(fuse_req_t req, const struct fs_node_opened *opened)
{
        struct fs_abi_open_out out = {.fh = opened->fh,
                                      .open_flags = FS_ABI_FOPEN_PASSTHROUGH | FOPEN_NOFLUSH,
                                      .backing_id = opened->backing_id};

        return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

static int reply_open(fuse_req_t req, const struct fs_hit *hit, const struct fs_node_opened *opened)
{
        struct fuse_file_info fi = hit->fi;

        if (opened->backing_id)
                return reply_passthrough(req, opened);
        fi.fh = opened->fh;
        /* Another file under the name may mean other bytes in the page cache: drop them. */
        fi.keep_cache = opened->same;
        fi.noflush = 1;
        return fuse_reply_open(req, &fi);
}

/* Is somebody reading this very file? Then it was hashed when he opened it. */
static bool is_open(struct fs_server *server, const struct fs_hit *hit, const struct cas_blob *blob)
{
        struct cas_blob reads;

        return fs_node_reads(server->nodes, hit->ino, &reads) && reads.inode == blob->inode &&
               reads.mtime == blob->mtime;
}

/* The checked blob. It need not be opened where its backing id is kept and nothing of it has
 * changed since it was: then its fd is -1. */
static int check_blob(struct fs_server *server, const struct fs_hit *hit, struct cas_blob *ret)
{
        if (server->verify == CAS_VERIFY_METADATA && fs_node_kept(server->nodes, hit->ino, ret) &&
            cas_store_unchanged(server->store, &hit->digest, ret))
                return 0;

        int r = cas_store_open_blob(server->store, &hit->digest, ret);

        if (r < 0 || hit->ended_miss || !cas_store_wants_hash(server->store, server->verify, ret) ||
            is_open(server, hit, ret))
                return r;
        cas_io_close_at(&ret->fd);
        return -EKEYEXPIRED;
}

int fs_hit_open(fuse_req_t req, const struct fs_hit *hit)
{
        struct fs_server *server = fuse_req_userdata(req);
        struct fs_node_opened opened;
        struct cas_blob blob;
        int r;

        /* A worker before us has opened it, and perhaps said so. */
        if (hit->replay && fs_node_reopen(server->nodes, hit->ino, hit->unique, &opened)) {
                reply_open(req, hit, &opened);
                return 0;
        }
        r = check_blob(server, hit, &blob);
        if (r < 0)
                return r;
        if (sent_round(req, hit, &blob)) {
                cas_io_close_at(&blob.fd);
                return 0;
        }
        r = fs_node_open(server->nodes, hit->ino, &blob, fetch_id(server, hit, &blob), hit->unique,
                         hit->replay, &opened);
        if (r < 0 || opened.backing_id)
                cas_io_close_at(&blob.fd);
        else if (blob.fd >= 0) /* else the first read opens it */
                fs_node_give_backing(server->nodes, hit->ino, &blob);
        if (r < 0)
                return r;
        /* -ENOENT: the opener is gone; or an answer to it, before this one, has arrived. */
        if (reply_open(req, hit, &opened) == -ENOENT && opened.fresh)
                fs_node_release(server->nodes, opened.fh);
        return 0;
}

/* Bytes to read so that no reply is short: the kernel would fill the rest with zeros. */
static size_t clip(const struct cas_blob *blob, size_t size, off_t offset)
{
        if ((uint64_t)offset >= blob->size)
                return 0;
        return size < blob->size - (uint64_t)offset ? size
                                                    : (size_t)(blob->size - (uint64_t)offset);
}

static void log_changed(const struct cas_digest *digest)
{
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(digest, hex);
        fs_log(LOG_ERR,
               "event=changed digest=%s cause=\"the blob was changed in the cache "
               "while it was open; the next open checks it\"",
               hex);
}

/* Opened by a worker before us: its descriptor died with it. -ESTALE: it is another file. */
static int reopen(struct fs_server *server, fuse_ino_t ino, const struct cas_digest *digest)
{
        struct cas_blob reads;
        struct cas_blob blob;

        if (!fs_node_reads(server->nodes, ino, &reads))
                return -ESTALE;

        int r = cas_store_open_blob(server->store, digest, &blob);

        if (r < 0)
                return r == -EUCLEAN ? -EIO : r;
        fs_node_give_backing(server->nodes, ino, &blob);
        return 0;
}

void fs_hit_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset)
{
        struct fs_server *server = fuse_req_userdata(req);
        struct fs_backing *backing = fs_node_backing(server->nodes, ino);
        struct cas_digest digest;
        int r = 0;

        if (!fs_node_digest(server->nodes, ino, &digest)) {
                r = -ESTALE;
        } else if (!backing) {
                r = reopen(server, ino, &digest);
                backing = r < 0 ? NULL : fs_node_backing(server->nodes, ino);
        }
        if (r == -EMFILE || r == -ENFILE) {
                fuse_reply_err(req, ENFILE);
        } else if (!backing || !cas_blob_intact(&backing->blob)) {
                if (r != -ESTALE)
                        log_changed(&digest);
                fuse_reply_err(req, EIO);
        } else {
                struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(clip(&backing->blob, size, offset));

                bytes.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
                bytes.buf[0].fd = backing->blob.fd;
                bytes.buf[0].pos = offset;
                fuse_reply_data(req, &bytes, 0);
        }
        fs_backing_unref(server->nodes, backing);
}
