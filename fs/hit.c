/*
 * Hits: reads are spliced from the cache file's descriptor, and the page cache is
 * kept from one open to the next as long as it is of the same file.
 */
#include "fs/hit.h"

#include "fs/log.h"

#include <errno.h>
#include <unistd.h>

/*
 * The kernel may hold size 0 from before the download, and an OPEN's reply cannot
 * correct it: a reader that trusts it (sendfile, copy_file_range) copies nothing and
 * calls that success. ESTALE makes the kernel look the path up once more and open
 * again, by itself; that lookup brings the size.
 */
static bool sent_round(fuse_req_t req, fuse_ino_t ino, bool ended_miss)
{
        struct fs_server *server = fuse_req_userdata(req);

        if (!fs_node_send_round(server->nodes, ino, fuse_req_ctx(req)->pid, ended_miss))
                return false;
        /* For those who open without a lookup: fstat at least asks again. */
        fuse_lowlevel_notify_inval_inode(server->session, ino, -1, 0);
        fuse_reply_err(req, ESTALE);
        return true;
}

int fs_hit_open(fuse_req_t req, fuse_ino_t ino, const struct cas_digest *digest,
                struct fuse_file_info *fi, bool ended_miss)
{
        struct fs_server *server = fuse_req_userdata(req);
        struct cas_blob blob;
        bool same;
        int r = cas_store_open_blob(server->store, digest, &blob);

        if (r < 0)
                return r;
        if (sent_round(req, ino, ended_miss)) {
                close(blob.fd);
                return 0;
        }
        r = fs_node_open(server->nodes, ino, &blob, &same);
        if (r < 0)
                return r;

        /* Another file under the name may mean other bytes in the page cache: drop them. */
        fi->keep_cache = same;
        fi->noflush = 1;
        if (fuse_reply_open(req, fi) == -ENOENT)
                fs_node_release(server->nodes, ino); /* the opener is gone */
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

void fs_hit_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset)
{
        struct fs_server *server = fuse_req_userdata(req);
        struct fs_backing *backing = fs_node_backing(server->nodes, ino);

        if (!backing) {
                fuse_reply_err(req, ESTALE);
                return;
        }
        if (!cas_blob_intact(&backing->blob)) {
                struct cas_digest digest;
                char hex[CAS_DIGEST_HEX + 1] = "?";

                if (fs_node_digest(server->nodes, ino, &digest))
                        cas_digest_format(&digest, hex);
                fs_log(LOG_ERR,
                       "event=changed digest=%s cause=\"the blob was changed in the cache "
                       "while it was open; the next open checks it\"",
                       hex);
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
