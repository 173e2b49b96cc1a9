/*
 * What a guest of check-vm needs to know about its disks and no usual tool tells. Reads alone.
 *
 *   disk where FILE OFFSET          the 512-byte sector of its disk that holds this byte
 */
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static int fail(const char *what)
{
        perror(what);
        return 1;
}

static int print_where(const char *path, uint64_t offset)
{
        union {
                struct fiemap map;
                char room[sizeof(struct fiemap) + sizeof(struct fiemap_extent)];
        } one = {.map = {.fm_start = offset,
                         .fm_length = 1,
                         .fm_flags = FIEMAP_FLAG_SYNC,
                         .fm_extent_count = 1}};
        const struct fiemap_extent *extent = one.map.fm_extents;
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || ioctl(fd, FS_IOC_FIEMAP, &one.map) < 0 || one.map.fm_mapped_extents != 1)
                return fail(path);
        printf("%ju\n", (uintmax_t)((extent->fe_physical + offset - extent->fe_logical) / 512));
        return 0;
}

int main(int argc, char **argv)
{
        if (argc == 4 && strcmp(argv[1], "where") == 0)
                return print_where(argv[2], strtoull(argv[3], NULL, 10));
        fprintf(stderr, "usage: disk where FILE OFFSET\n");
        return 2;
}
