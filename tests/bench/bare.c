/*
 * bare FILE MOUNTPOINT: shows FILE as MOUNTPOINT/<its name>, read by FUSE passthrough
 * (Linux 6.9), until it is unmounted. The least that a libfuse server can do for an
 * open: the yardstick for ours. As root, because BACKING_OPEN wants CAP_SYS_ADMIN.
 *
 * Debian 12's libfuse does not know passthrough, so the INIT reply is amended on its
 * way out and the OPEN reply is written by hand; newer ones are served the same way.
 */
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_INO 2
#define FOREVER  1e9 /* seconds */

/* The parts of Linux 6.9's <linux/fuse.h> that Debian 12's is too old for. */
#define INIT_EXT         (1u << 30)
#define PASSTHROUGH      (1u << 5) /* of flags2 */
#define OPEN_PASSTHROUGH (1u << 7)

struct init_reply {
        struct fuse_out_header header;
        uint32_t major;
        uint32_t minor;
        uint32_t max_readahead;
        uint32_t flags;
        uint16_t max_background;
        uint16_t congestion_threshold;
        uint32_t max_write;
        uint32_t time_gran;
        uint16_t max_pages;
        uint16_t map_alignment;
        uint32_t flags2;
        uint32_t max_stack_depth;
        uint32_t unused[6];
};

struct open_reply {
        uint64_t fh;
        uint32_t flags;
        int32_t backing_id;
};

struct backing_map {
        int32_t fd;
        uint32_t flags;
        uint64_t padding;
};

#define BACKING_OPEN _IOW(229, 1, struct backing_map)

struct bare {
        const char *name;
        int file;
        int device; /* the session's /dev/fuse */
        int backing_id;
        uint64_t init; /* the unique of the INIT request */
};

static ssize_t device_read(int fd, void *buffer, size_t size, void *userdata)
{
        struct bare *bare = userdata;
        const struct fuse_in_header *request = buffer;
        ssize_t got = read(fd, buffer, size);

        if (got >= (ssize_t)sizeof(*request) && request->opcode == FUSE_INIT)
                bare->init = request->unique;
        return got;
}

static ssize_t device_write(int fd, struct iovec *iov, int count, void *userdata)
{
        struct bare *bare = userdata;
        const struct fuse_out_header *header = iov[0].iov_base;
        struct init_reply reply;
        size_t used = 0;

        if (!bare->init || header->unique != bare->init || header->error)
                return writev(fd, iov, count);
        bare->init = 0;
        memset(&reply, 0, sizeof(reply));
        for (int i = 0; i < count && used + iov[i].iov_len <= sizeof(reply); i++) {
                memcpy((char *)&reply + used, iov[i].iov_base, iov[i].iov_len);
                used += iov[i].iov_len;
        }
        reply.flags |= INIT_EXT;
        reply.flags2 |= PASSTHROUGH;
        reply.max_stack_depth = 1;
        reply.header.len = sizeof(reply);
        return write(fd, &reply, sizeof(reply)) < 0 ? -1 : (ssize_t)used;
}

static bool describe(const struct bare *bare, fuse_ino_t ino, struct stat *ret)
{
        if (ino == FUSE_ROOT_ID) {
                *ret = (struct stat){.st_ino = ino, .st_mode = S_IFDIR | 0555, .st_nlink = 2};
                return true;
        }
        return ino == FILE_INO && fstat(bare->file, ret) == 0;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
        const struct bare *bare = fuse_req_userdata(req);
        struct fuse_entry_param entry = {
            .ino = FILE_INO, .attr_timeout = FOREVER, .entry_timeout = FOREVER};

        if (parent == FUSE_ROOT_ID && strcmp(name, bare->name) == 0 &&
            describe(bare, entry.ino, &entry.attr))
                fuse_reply_entry(req, &entry);
        else
                fuse_reply_err(req, ENOENT);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        struct stat st;

        (void)fi;
        if (describe(fuse_req_userdata(req), ino, &st))
                fuse_reply_attr(req, &st, FOREVER);
        else
                fuse_reply_err(req, ENOENT);
}

/* The kernel wants the same id for as long as the inode is open: one is made and kept. */
static int backing_id(struct bare *bare)
{
        const struct backing_map map = {.fd = bare->file};

        if (!bare->backing_id)
                bare->backing_id = ioctl(bare->device, BACKING_OPEN, &map);
        if (bare->backing_id > 0)
                return bare->backing_id;
        fprintf(stderr, "bare: no passthrough here: %s\n", strerror(errno));
        bare->backing_id = 0;
        return -EIO;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        struct open_reply reply = {.flags = OPEN_PASSTHROUGH};

        (void)ino, (void)fi;
        reply.backing_id = backing_id(fuse_req_userdata(req));
        if (reply.backing_id < 0)
                fuse_reply_err(req, EIO);
        else
                fuse_reply_buf(req, (const char *)&reply, sizeof(reply));
}

static const struct fuse_lowlevel_ops ops = {
    .lookup = op_lookup,
    .getattr = op_getattr,
    .open = op_open,
};

/* 0 when it was unmounted. */
static int serve(struct bare *bare, const char *mountpoint)
{
        static const struct fuse_custom_io io = {.read = device_read, .writev = device_write};
        char *argv[] = {"bare", "-o", "ro,nosuid,nodev,allow_other,fsname=bare", NULL};
        struct fuse_args args = FUSE_ARGS_INIT(3, argv);
        struct fuse_session *session = fuse_session_new(&args, &ops, sizeof(ops), bare);
        int r = -1;

        fuse_opt_free_args(&args);
        if (!session)
                return -1;
        if (fuse_session_mount(session, mountpoint) == 0) {
                bare->device = fuse_session_fd(session);
                r = fuse_session_custom_io(session, &io, bare->device);
                if (r == 0)
                        r = fuse_session_loop(session);
                fuse_session_unmount(session);
        }
        fuse_session_destroy(session);
        return r;
}

int main(int argc, char **argv)
{
        struct bare bare = {0};

        if (argc != 3) {
                fprintf(stderr, "usage: bare FILE MOUNTPOINT\n");
                return 2;
        }

        const char *slash = strrchr(argv[1], '/');

        bare.name = slash ? slash + 1 : argv[1];
        bare.file = open(argv[1], O_RDONLY | O_CLOEXEC);
        if (bare.file < 0) {
                fprintf(stderr, "bare: %s: %s\n", argv[1], strerror(errno));
                return 1;
        }

        int r = serve(&bare, argv[2]);

        close(bare.file);
        return r == 0 ? 0 : 1;
}
