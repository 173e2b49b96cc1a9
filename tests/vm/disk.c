/*
 * What a guest of check-vm needs to know about disks and no usual tool tells. May be run in
 * a virtual machine alone: it overwrites devices.
 *
 *   disk where FILE OFFSET          the 512-byte sector of its disk that holds this byte
 *   disk entries LOG [MARK]         how many entries dm-log-writes has written to LOG, or how
 *                                   many up to the one that "dmsetup message … mark MARK" made
 *   disk replay LOG DISK ENTRIES    makes DISK what it was after so many of them, from zeros
 *
 * The log's format is that of drivers/md/dm-log-writes.c: a superblock, then entries of one
 * sector, each followed by its data. An entry is logged once a flush has made it durable (or
 * it was written with FUA). So what is replayed up to any entry is what a disk with a
 * volatile cache holds that lost its power there, and kept nothing that it did not have to.
 */
#include <endian.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MAGIC   0x6a736677736872ull
#define DISCARD 4u
#define MARK    8u

struct super {
        uint64_t magic;
        uint64_t version;
        uint64_t entries;
        uint32_t sector_bytes;
};

struct entry {
        uint64_t sector;
        uint64_t sectors;
        uint64_t flags;
        uint64_t mark_bytes;
};

struct log {
        int fd;
        uint64_t entries;
        uint32_t sector_bytes;
        uint64_t offset; /* of the next entry */
        char text[4096]; /* a whole sector: the entry, and the name of a mark */
};

static int fail(const char *what)
{
        perror(what);
        return 1;
}

static bool read_at(int fd, void *bytes, size_t length, uint64_t offset)
{
        return pread(fd, bytes, length, (off_t)offset) == (ssize_t)length;
}

static bool log_open(struct log *log, const char *path)
{
        struct super super;

        *log = (struct log){.fd = open(path, O_RDONLY | O_CLOEXEC)};
        if (log->fd < 0 || !read_at(log->fd, &super, sizeof(super), 0))
                return false;
        log->entries = le64toh(super.entries);
        log->sector_bytes = le32toh(super.sector_bytes);
        log->offset = log->sector_bytes;
        return le64toh(super.magic) == MAGIC && le64toh(super.version) == 1 &&
               log->sector_bytes <= sizeof(log->text) && log->sector_bytes >= sizeof(struct entry);
}

/* The next entry; `ret_data` is where its data lie. */
static bool log_next(struct log *log, struct entry *ret, uint64_t *ret_data)
{
        struct entry raw;

        if (!read_at(log->fd, log->text, log->sector_bytes, log->offset))
                return false;
        memcpy(&raw, log->text, sizeof(raw));
        *ret = (struct entry){le64toh(raw.sector), le64toh(raw.sectors), le64toh(raw.flags),
                              le64toh(raw.mark_bytes)};
        *ret_data = log->offset + log->sector_bytes;
        log->offset = *ret_data;
        if (!(ret->flags & DISCARD))
                log->offset += ret->sectors * log->sector_bytes;
        return true;
}

static int print_entries(const char *path, const char *mark)
{
        struct log log;
        struct entry entry;
        uint64_t data;
        uint64_t count;

        if (!log_open(&log, path))
                return fail(path);
        for (count = 0; mark && count < log.entries; count++) {
                if (!log_next(&log, &entry, &data))
                        return fail(path);
                if (entry.flags & MARK &&
                    strncmp(log.text + sizeof(entry), mark, strlen(mark)) == 0)
                        break;
        }
        if (mark && count == log.entries) {
                fprintf(stderr, "%s: no mark %s\n", path, mark);
                return 1;
        }
        printf("%ju\n", (uintmax_t)(mark ? count + 1 : log.entries));
        return 0;
}

static bool zero(int disk, uint64_t offset, uint64_t length)
{
        uint64_t range[2] = {offset, length};

        return length == 0 || ioctl(disk, BLKZEROOUT, range) == 0;
}

static bool copy(int from, uint64_t source, int to, uint64_t target, uint64_t length)
{
        static char bytes[1 << 16];

        for (size_t piece; length > 0; length -= piece, source += piece, target += piece) {
                piece = length < sizeof(bytes) ? (size_t)length : sizeof(bytes);
                if (!read_at(from, bytes, piece, source) ||
                    pwrite(to, bytes, piece, (off_t)target) != (ssize_t)piece)
                        return false;
        }
        return true;
}

static int replay(const char *path, const char *device, uint64_t count)
{
        int disk = open(device, O_RDWR | O_CLOEXEC);
        struct log log;
        struct entry entry;
        uint64_t data;
        uint64_t size;

        if (!log_open(&log, path))
                return fail(path);
        if (disk < 0 || ioctl(disk, BLKGETSIZE64, &size) < 0 || !zero(disk, 0, size))
                return fail(device);
        for (uint64_t i = 0; i < count; i++) {
                if (!log_next(&log, &entry, &data))
                        return fail(path);

                uint64_t target = entry.sector * log.sector_bytes;
                uint64_t length = entry.sectors * log.sector_bytes;

                /* A discard of a raw file reads as zeros. */
                if (entry.flags & DISCARD ? !zero(disk, target, length)
                                          : !copy(log.fd, data, disk, target, length))
                        return fail(device);
        }
        return fsync(disk) < 0 || close(disk) < 0 ? fail(device) : 0;
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
        const char *verb = argc > 1 ? argv[1] : "";

        if (strcmp(verb, "where") == 0 && argc == 4)
                return print_where(argv[2], strtoull(argv[3], NULL, 10));
        if (strcmp(verb, "entries") == 0 && (argc == 3 || argc == 4))
                return print_entries(argv[2], argv[3]);
        if (strcmp(verb, "replay") == 0 && argc == 5)
                return replay(argv[2], argv[3], strtoull(argv[4], NULL, 10));
        fprintf(stderr, "usage: disk where|entries|replay ...\n");
        return 2;
}
