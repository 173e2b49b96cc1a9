/*
 * The FUSE operations, each a few lines: who is meant, is it here, and if not,
 * who is asked. None of them waits for the network; those that would have to are
 * parked (fs/parked.h). A LOOKUP never is: while one waits, everybody else who
 * looks into the directory waits with it, unkillably.
 */
#include "fs/ops.h"

#include "fs/log_open.h"
#include "fs/parked.h"
#include "fs/report.h"
#include "fs/view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

int fs_errno_of_disk(int error)
{
        switch (-error) {
        case ENOSPC:
        case EDQUOT:
        case EROFS:
        case ENOMEM:
        case ESTALE:
                return -error;
        case EMFILE:
        case ENFILE:
                return ENFILE;
        default:
                return EIO;
        }
}

int fs_errno(const struct fetch_cause *cause)
{
        switch (cause->kind) {
        case FETCH_OK:
                return 0;
        case FETCH_WRONG_BYTES:
                return EBADMSG;
        case FETCH_TOO_BIG:
                return EFBIG;
        case FETCH_DENIED:
                return EACCES;
        case FETCH_STALLED:
                return ETIMEDOUT;
        case FETCH_UNREACHABLE:
                return EHOSTUNREACH;
        case FETCH_ORIGIN_FAILED:
                return EREMOTEIO;
        case FETCH_NOT_FOUND:
                return ENOENT;
        case FETCH_DISK:
                return fs_errno_of_disk(-cause->error);
        case FETCH_CANCELLED:
                return ECANCELED;
        }
        return EIO;
}

/* What stat_now() can say. */
enum {
        STAT_GUESS, /* the origin may know better */
        STAT_KNOWN, /* exact, or as good as it will get without asking */
};

/*
 * What can be said about an asset at once; *ret_timeout says how long the kernel may
 * believe it. Or -errno: the cache cannot be looked into, and that is no reason to ask
 * an origin for what may be there.
 */
static int stat_now(struct fs_server *server, fuse_ino_t ino, const struct cas_digest *digest,
                    struct stat *ret, double *ret_timeout)
{
        struct cas_blob blob;

        *ret_timeout = 0;
        if (fs_node_reads(server->nodes, ino, &blob)) {
                fs_node_set_told(server->nodes, ino, true);
                fs_view_stat_asset(server, digest, blob.size, blob.blocks, ret);
                return STAT_KNOWN;
        }

        int presence = cas_store_look(server->store, digest, &blob);

        fs_node_set_told(server->nodes, ino, presence == CAS_VERIFIED);
        if (presence < 0)
                return presence;
        if (presence != CAS_ABSENT) {
                fs_view_stat_asset(server, digest, blob.size, blob.blocks, ret);
                if (presence == CAS_VERIFIED)
                        *ret_timeout = FS_FOREVER;
                return STAT_KNOWN;
        }

        uint64_t size = fetch_known_size(server->fetch, digest);
        _cleanup_catalog_ struct fetch_catalog *catalog = fetch_catalogs_now(server->catalogs);
        bool listed = fetch_catalog_find(catalog, digest);

        /* One block: never 0, which tar -S would take for a hole. */
        fs_view_stat_asset(server, digest, size == CAS_SIZE_UNKNOWN ? 0 : size, 1, ret);
        return size != CAS_SIZE_UNKNOWN || listed ? STAT_KNOWN : STAT_GUESS;
}

static void refuse_look(fuse_req_t req, const struct cas_digest *digest, int error)
{
        fs_log_cache_failed(req, digest, error);
        fuse_reply_err(req, fs_errno_of_disk(error));
}

static void lookup_asset(fuse_req_t req, const struct cas_digest *digest)
{
        struct fs_server *server = fuse_req_userdata(req);
        struct fuse_entry_param entry = {.ino = fs_node_lookup(server->nodes, digest)};

        if (!entry.ino) {
                fuse_reply_err(req, ENOMEM);
                return;
        }

        int r = stat_now(server, entry.ino, digest, &entry.attr, &entry.attr_timeout);

        if (r < 0) {
                fs_node_forget(server->nodes, entry.ino, 1);
                refuse_look(req, digest, r);
                return;
        }
        entry.entry_timeout = entry.attr_timeout;
        if (fuse_reply_entry(req, &entry) == -ENOENT)
                fs_node_forget(server->nodes, entry.ino, 1);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
        const struct fs_server *server = fuse_req_userdata(req);
        struct fuse_entry_param entry = {.attr_timeout = FS_FOREVER, .entry_timeout = FS_FOREVER};
        struct cas_digest digest;

        if (strlen(name) > NAME_MAX) {
                fuse_reply_err(req, ENAMETOOLONG);
        } else if (parent == FUSE_ROOT_ID && cas_digest_parse(name, strlen(name), &digest) == 0) {
                lookup_asset(req, &digest);
        } else {
                entry.ino = fs_view_find(server, parent, name);
                /* What a name means changes at a reload. */
                if (entry.ino & FS_LINK)
                        entry.entry_timeout = entry.attr_timeout = 0;
                if (entry.ino && fs_view_stat(server, entry.ino, &entry.attr))
                        fuse_reply_entry(req, &entry);
                else
                        fuse_reply_err(req, ENOENT);
        }
}

static void forget(struct fs_server *server, fuse_ino_t ino, uint64_t count)
{
        if (fs_is_asset(ino))
                fs_node_forget(server->nodes, ino, count);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
        forget(fuse_req_userdata(req), ino, count);
        fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
        for (size_t i = 0; i < count; i++)
                forget(fuse_req_userdata(req), forgets[i].ino, forgets[i].nlookup);
        fuse_reply_none(req);
}

/* The asset's digest; false after the errno was replied. */
static bool is_asset(fuse_req_t req, fuse_ino_t ino, struct cas_digest *ret)
{
        const struct fs_server *server = fuse_req_userdata(req);

        if (fs_is_asset(ino) && fs_node_digest(server->nodes, ino, ret))
                return true;
        fuse_reply_err(req, ESTALE);
        return false;
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        struct fs_server *server = fuse_req_userdata(req);
        struct cas_digest digest;
        struct stat st;
        double timeout;

        (void)fi;
        if (fs_view_stat(server, ino, &st)) {
                fuse_reply_attr(req, &st, ino & FS_LINK ? 0 : FS_FOREVER);
                return;
        }
        if (!is_asset(req, ino, &digest))
                return;

        int r = stat_now(server, ino, &digest, &st, &timeout);

        if (r < 0) {
                refuse_look(req, &digest, r);
                return;
        }
        if (r == STAT_GUESS) {
                fs_park_getattr(req, ino, &digest);
                return;
        }
        /* A catalogued asset of unknown size: asked for now, known to the next stat. */
        if (st.st_size == 0 && st.st_blocks == 1)
                fetch_size(server->fetch, &digest, NULL);
        fuse_reply_attr(req, &st, timeout);
}

void fs_answer_getattr(fuse_req_t req, fuse_ino_t ino, const struct cas_digest *digest,
                       const struct fetch_cause *cause, uint64_t size)
{
        struct fs_server *server = fuse_req_userdata(req);
        struct stat st;
        double timeout;

        if (cause->kind != FETCH_OK) {
                fuse_reply_err(req, fs_errno(cause));
                return;
        }
        /* It may have arrived while its size was asked for. */
        int r = stat_now(server, ino, digest, &st, &timeout);

        if (r < 0) {
                refuse_look(req, digest, r);
                return;
        }
        if (r == STAT_GUESS)
                fs_view_stat_asset(server, digest, size == CAS_SIZE_UNKNOWN ? 0 : size, 1, &st);
        fuse_reply_attr(req, &st, timeout);
}

static void refuse_for_disk(fuse_req_t req, const struct fs_hit *hit, int error)
{
        fs_log_cache_failed(req, &hit->digest, error);
        fs_hit_refuse(req, hit, fs_errno_of_disk(error));
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        struct fs_server *server = fuse_req_userdata(req);
        struct fs_hit hit = {
            .ino = ino, .fi = *fi, .unique = fs_journal_unique(), .replay = fs_journal_is_replay()};

        if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC)) {
                fuse_reply_err(req, EROFS);
                return;
        }
        if (fs_is_report(ino)) {
                fs_report_open(req, ino, fi);
                return;
        }
        if (!is_asset(req, ino, &hit.digest))
                return;

        struct fs_metrics *metrics = &server->memory->metrics;
        bool second = fs_node_was_sent_round(server->nodes, ino, fuse_req_ctx(req)->pid);
        int r = fs_hit_open(req, &hit);

        if (r == 0) {
                atomic_fetch_add(&metrics->hits, !second && !hit.replay);
                return;
        }
        hit.rehashed = r == -EKEYEXPIRED;
        if (r != -ENOENT && r != -EUCLEAN && !hit.rehashed) {
                refuse_for_disk(req, &hit, r);
        } else if (fi->flags & O_NONBLOCK) {
                fs_log_open_refused(req, &hit.digest, EAGAIN,
                                    "not cached or to be hashed, and O_NONBLOCK");
                fs_hit_refuse(req, &hit, EAGAIN);
        } else {
                if (hit.rehashed)
                        atomic_fetch_add(&metrics->hits, !second && !hit.replay);
                else
                        atomic_fetch_add(&metrics->misses, !hit.replay);
                fs_log_open_parked(req, &hit.digest);
                fs_park_open(req, &hit);
        }
}

void fs_answer_open(fuse_req_t req, const struct fs_hit *hit, const struct fetch_cause *cause)
{
        int r;

        if (cause->kind != FETCH_OK) {
                fs_log_open_refused(req, &hit->digest, fs_errno(cause), cause->text);
                fs_hit_refuse(req, hit, fs_errno(cause));
                return;
        }
        r = fs_hit_open(req, hit);
        if (r < 0)
                refuse_for_disk(req, hit, r);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
        if (fs_is_report(ino))
                fs_report_read(req, ino, size, offset, fi);
        else
                fs_hit_read(req, ino, size, offset);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        struct fs_server *server = fuse_req_userdata(req);

        if (fs_is_report(ino)) {
                fs_report_release(req, fi);
                return;
        }
        fs_node_release(server->nodes, fi->fh);
        fuse_reply_err(req, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
        const struct fs_server *server = fuse_req_userdata(req);
        struct statvfs st;
        int r = cas_store_statvfs(server->store, &st);

        (void)ino;
        if (r < 0) {
                fuse_reply_err(req, fs_errno_of_disk(r));
                return;
        }
        st.f_namemax = NAME_MAX;
        fuse_reply_statfs(req, &st);
}

static void op_init(void *userdata, struct fuse_conn_info *connection)
{
        (void)userdata;
        /* Requests are small: only replies are worth a splice. */
        connection->want &= ~(unsigned)FUSE_CAP_SPLICE_READ;
        connection->want |= connection->capable & FUSE_CAP_SPLICE_WRITE;
        /* The bytes of a digest do not change; the page cache is dropped where we say so. */
        connection->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
        /* Nothing is ever written: so a request fits into a slot of the journal. */
        connection->max_write = 4096;
}

/*
 * The mount is read-only, so the kernel refuses changes with EROFS before they come
 * here; these answer the same where somebody remounted it read-write.
 */
static void ro_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
        (void)ino, (void)attr, (void)to_set, (void)fi;
        fuse_reply_err(req, EROFS);
}

static void ro_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
        (void)parent, (void)name, (void)mode, (void)device;
        fuse_reply_err(req, EROFS);
}

static void ro_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
        (void)parent, (void)name, (void)mode;
        fuse_reply_err(req, EROFS);
}

static void ro_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
        (void)parent, (void)name;
        fuse_reply_err(req, EROFS);
}

static void ro_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
        (void)target, (void)parent, (void)name;
        fuse_reply_err(req, EROFS);
}

static void ro_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags)
{
        (void)parent, (void)name, (void)new_parent, (void)new_name, (void)flags;
        fuse_reply_err(req, EROFS);
}

static void ro_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
        (void)ino, (void)new_parent, (void)new_name;
        fuse_reply_err(req, EROFS);
}

static void ro_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
        (void)parent, (void)name, (void)mode, (void)fi;
        fuse_reply_err(req, EROFS);
}

static void ro_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                        size_t size, int flags)
{
        (void)ino, (void)name, (void)value, (void)size, (void)flags;
        fuse_reply_err(req, EROFS);
}

static void ro_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
        (void)ino, (void)name;
        fuse_reply_err(req, EROFS);
}

const struct fuse_lowlevel_ops fs_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .open = op_open,
    .read = op_read,
    .release = op_release,
    .statfs = op_statfs,
    .readlink = fs_view_readlink,
    .opendir = fs_view_opendir,
    .readdir = fs_view_readdir,
    .releasedir = fs_view_releasedir,
    .getxattr = fs_xattr_get,
    .listxattr = fs_xattr_list,
    .setattr = ro_setattr,
    .mknod = ro_mknod,
    .mkdir = ro_mkdir,
    .unlink = ro_remove,
    .rmdir = ro_remove,
    .symlink = ro_symlink,
    .rename = ro_rename,
    .link = ro_link,
    .create = ro_create,
    .setxattr = ro_setxattr,
    .removexattr = ro_removexattr,
};
