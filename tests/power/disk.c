/*
 * The disk's process. One thread, so that between two requests the image stands still; it
 * must not touch the file system that lies on it, or both would wait for each other.
 */
#include "tests/power/disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIECE     4096
#define WAIT_MS   30000
#define DISK_NODE 2

/* Linux 5.6: who serves a disk must not wait for that disk when it wants memory. */
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

struct unflushed {
        struct unflushed *next;
        size_t offset;
        size_t length;
        char bytes[];
};

struct platter {
        struct disk *shared;
        char *now;     /* what the file system above reads */
        char *durable; /* what was flushed */
        bool *used;    /* pieces that are not all zero */
        struct unflushed *first;
        struct unflushed **last;
};

static void stat_of(const struct platter *platter, fuse_ino_t node, struct stat *st)
{
        *st = (struct stat){.st_ino = node, .st_nlink = 1};
        st->st_mode = node == DISK_NODE ? S_IFREG | 0600 : S_IFDIR | 0700;
        st->st_size = node == DISK_NODE ? (off_t)platter->shared->size : 0;
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
        struct fuse_entry_param entry = {.ino = DISK_NODE, .attr_timeout = 60, .entry_timeout = 60};

        if (parent != FUSE_ROOT_ID || strcmp(name, "disk") != 0) {
                fuse_reply_err(request, ENOENT);
                return;
        }
        stat_of(fuse_req_userdata(request), DISK_NODE, &entry.attr);
        fuse_reply_entry(request, &entry);
}

static void on_getattr(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *file)
{
        struct stat st;

        (void)file;
        stat_of(fuse_req_userdata(request), node, &st);
        fuse_reply_attr(request, &st, 60);
}

/* Past the page cache: a write is here before it is answered. */
static void on_open(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *file)
{
        (void)node;
        file->direct_io = 1;
        fuse_reply_open(request, file);
}

/* A piece at a time: of a write that was under way, any of them may have come. */
static void lose(struct platter *platter, char *image)
{
        struct disk *disk = platter->shared;

        disk->unflushed = disk->lost = 0;
        for (const struct unflushed *write = platter->first; write; write = write->next) {
                disk->unflushed++;
                for (size_t done = 0; done < write->length;) {
                        size_t offset = write->offset + done;
                        size_t length = PIECE - offset % PIECE;
                        bool lost = disk->loss == DISK_LOSES_ALL ||
                                    (disk->loss == DISK_LOSES_SOME && rand_r(&disk->seed) % 2);

                        if (length > write->length - done)
                                length = write->length - done;
                        if (!lost)
                                memcpy(image + offset, write->bytes + done, length);
                        disk->lost += lost;
                        done += length;
                }
        }
}

static void cut(struct platter *platter)
{
        struct disk *disk = platter->shared;
        int fd = open(disk->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        char *image = MAP_FAILED;

        for (size_t i = 0; i < DISK_MARKS; i++)
                disk->marked[i] = atomic_load(&disk->marks[i]);
        if (fd >= 0 && ftruncate(fd, (off_t)disk->size) == 0)
                image = mmap(NULL, disk->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (image == MAP_FAILED)
                abort();
        for (size_t i = 0; i < disk->size / PIECE; i++)
                if (platter->used[i])
                        memcpy(image + i * PIECE, platter->durable + i * PIECE, PIECE);
        lose(platter, image);
        munmap(image, disk->size);
        close(fd);
        atomic_fetch_add(&disk->cuts, 1);
}

static void on_read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
                    struct fuse_file_info *file)
{
        struct platter *platter = fuse_req_userdata(request);
        size_t left = platter->shared->size - (size_t)offset;

        (void)node;
        (void)file;
        if (atomic_exchange(&platter->shared->at_once, false))
                cut(platter);
        fuse_reply_buf(request, platter->now + offset, size < left ? size : left);
}

static void count(struct platter *platter)
{
        if (atomic_load(&platter->shared->countdown) >= 0 &&
            atomic_fetch_sub(&platter->shared->countdown, 1) == 0)
                cut(platter);
}

static void on_write(fuse_req_t request, fuse_ino_t node, const char *bytes, size_t size,
                     off_t offset, struct fuse_file_info *file)
{
        struct platter *platter = fuse_req_userdata(request);
        struct unflushed *write = malloc(sizeof(*write) + size);

        (void)node;
        (void)file;
        if (!write)
                abort();
        *write = (struct unflushed){.offset = (size_t)offset, .length = size};
        memcpy(write->bytes, bytes, size);
        *platter->last = write;
        platter->last = &write->next;
        memcpy(platter->now + offset, bytes, size);
        count(platter); /* not answered yet: nobody was promised anything about it */
        fuse_reply_write(request, size);
}

static void on_fsync(fuse_req_t request, fuse_ino_t node, int data, struct fuse_file_info *file)
{
        struct platter *platter = fuse_req_userdata(request);

        (void)node;
        (void)data;
        (void)file;
        count(platter);
        while (platter->first) {
                struct unflushed *write = platter->first;

                memcpy(platter->durable + write->offset, write->bytes, write->length);
                for (size_t i = write->offset / PIECE;
                     i <= (write->offset + write->length - 1) / PIECE; i++)
                        platter->used[i] = true;
                platter->first = write->next;
                free(write);
        }
        platter->last = &platter->first;
        fuse_reply_err(request, 0);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = on_lookup,
    .getattr = on_getattr,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
};

static void *memory(size_t size, int flags)
{
        void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

        if (bytes == MAP_FAILED)
                abort();
        return bytes;
}

/* Only what the file has: most of a new file system is a hole. */
static void load(struct platter *platter, const char *from)
{
        int fd = open(from, O_RDONLY | O_CLOEXEC);
        off_t end = (off_t)platter->shared->size;

        for (off_t data = 0; (data = lseek(fd, data, SEEK_DATA)) >= 0 && data < end;) {
                off_t hole = lseek(fd, data, SEEK_HOLE);

                for (; data < hole; data += PIECE) {
                        if (pread(fd, platter->durable + data, PIECE, data) != PIECE)
                                abort();
                        memcpy(platter->now + data, platter->durable + data, PIECE);
                        platter->used[data / PIECE] = true;
                }
        }
        close(fd);
}

static int serve(struct disk *disk, const char *from)
{
        char *argv[] = {"disk", "-ofsname=power-disk", NULL};
        struct fuse_args args = FUSE_ARGS_INIT(2, argv);
        struct platter platter = {.shared = disk};

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
        platter.last = &platter.first;
        platter.now = memory(disk->size, MAP_PRIVATE | MAP_NORESERVE);
        platter.durable = memory(disk->size, MAP_PRIVATE | MAP_NORESERVE);
        platter.used = memory(disk->size / PIECE, MAP_PRIVATE);
        load(&platter, from);

        struct fuse_session *session =
            fuse_session_new(&args, &operations, sizeof(operations), &platter);

        if (!session || fuse_session_mount(session, disk->point) < 0)
                return 1;
        fuse_session_loop(session);
        fuse_session_unmount(session);
        return 0;
}

static bool wait_ms(unsigned ms)
{
        static const struct timespec moment = {0, 1000000};

        nanosleep(&moment, NULL);
        return ms < WAIT_MS;
}

struct disk *disk_start(const char *point, const char *from)
{
        struct disk *disk = memory(sizeof(*disk), MAP_SHARED);
        char path[sizeof(disk->point) + 8];
        struct stat st;
        unsigned waited = 0;

        cr_assert_eq(stat(from, &st), 0);
        disk->size = (size_t)st.st_size;
        atomic_init(&disk->countdown, -1);
        snprintf(disk->point, sizeof(disk->point), "%s", point);
        snprintf(path, sizeof(path), "%s/disk", point);
        cr_assert_eq(mkdir(point, 0700), 0);
        disk->process = fork();
        if (disk->process == 0)
                _exit(serve(disk, from));
        while (stat(path, &st) < 0)
                cr_assert(wait_ms(waited++), "no disk");
        return disk;
}

static void describe_cut(struct disk *disk, const char *image, enum disk_loss loss, unsigned seed)
{
        snprintf(disk->image, sizeof(disk->image), "%s", image);
        disk->loss = loss;
        disk->seed = seed;
}

bool disk_cut(struct disk *disk, const char *image, unsigned requests, enum disk_loss loss,
              unsigned seed)
{
        int before = atomic_load(&disk->cuts);
        unsigned waited = 0;

        describe_cut(disk, image, loss, seed);
        atomic_store(&disk->countdown, (int)requests);
        while (atomic_load(&disk->cuts) == before)
                if (!wait_ms(waited++))
                        return false;
        return true;
}

void disk_cut_now(struct disk *disk, const char *image, enum disk_loss loss, unsigned seed)
{
        char path[sizeof(disk->point) + 8];
        char piece[PIECE];

        snprintf(path, sizeof(path), "%s/disk", disk->point);

        int fd = open(path, O_RDONLY | O_CLOEXEC);

        describe_cut(disk, image, loss, seed);
        atomic_store(&disk->at_once, true);
        cr_assert_eq(pread(fd, piece, sizeof(piece), 0), PIECE);
        close(fd);
}

void disk_end(struct disk *disk)
{
        umount2(disk->point, MNT_DETACH);
        waitpid(disk->process, NULL, 0);
        munmap(disk, sizeof(*disk));
}
