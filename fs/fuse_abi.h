/*
 * The kernel's side of FUSE: its own header, and the few facts that the headers of an
 * older distribution do not have (include/uapi/linux/fuse.h of Linux 6.12).
 */
#ifndef FS_FUSE_ABI_H
#define FS_FUSE_ABI_H

#include <linux/fuse.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define FS_ABI_INIT_EXT (UINT32_C(1) << 30) /* in flags: flags2 counts */

/* In flags2, as offered in INIT and wanted in its reply. */
#define FS_ABI_PASSTHROUGH (UINT32_C(1) << 5) /* Linux 6.9 */
#define FS_ABI_ALLOW_IDMAP (UINT32_C(1) << 8) /* Linux 6.12; only with default_permissions */

#define FS_ABI_FOPEN_PASSTHROUGH (UINT32_C(1) << 7)

/* struct fuse_init_out up to where it ends for us; 64 bytes since protocol 7.23. */
struct fs_abi_init_out {
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

/* struct fuse_open_out, whose last field was padding. */
struct fs_abi_open_out {
        uint64_t fh;
        uint32_t open_flags;
        int32_t backing_id;
};

struct fs_abi_backing_map {
        int32_t fd;
        uint32_t flags;
        uint64_t padding;
};

/* On the session's descriptor, with CAP_SYS_ADMIN. The first returns the id, above 0. */
#define FS_ABI_BACKING_OPEN  _IOW(229, 1, struct fs_abi_backing_map)
#define FS_ABI_BACKING_CLOSE _IOW(229, 2, uint32_t)

#endif
