/*
 * Making and mapping the session memory. What is in it is the business of
 * fs/journal.c (requests), fs/node.c (nodes and handles) and fs/watchdog.c (beats).
 */
#include "fs/memory.h"

#include "cas/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x46744173u /* "sAtF" */

/* NULL with errno. */
static struct fs_memory *map(int fd)
{
        void *memory =
            mmap(NULL, sizeof(struct fs_memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        return memory == MAP_FAILED ? NULL : memory;
}

int fs_memory_make(int *ret_fd, struct fs_memory **ret)
{
        _cleanup_close_ int fd = memfd_create("assetfs-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct fs_memory *memory;

        if (fd < 0 || ftruncate(fd, sizeof(*memory)) < 0)
                return -errno;
        /* Who shortened it would kill those who have it mapped. */
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        memory = map(fd);
        if (!memory)
                return -errno;
        memory->version = FS_MEMORY_VERSION;
        memory->magic = MAGIC;
        *ret_fd = cas_io_steal_fd(&fd);
        *ret = memory;
        return 0;
}

int fs_memory_attach(int fd, struct fs_memory **ret)
{
        uint32_t head[2];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (pread(fd, head, sizeof(head), 0) != sizeof(head) || head[0] != MAGIC)
                return -EINVAL;
        if (head[1] != FS_MEMORY_VERSION || (uint64_t)st.st_size != sizeof(struct fs_memory))
                return -EPROTO;

        struct fs_memory *memory = map(fd);

        if (!memory)
                return -errno;
        *ret = memory;
        return 0;
}

void fs_memory_detach(struct fs_memory *memory)
{
        if (memory)
                munmap(memory, sizeof(*memory));
}

#ifdef ASSETFS_KILL_POINTS
#include <signal.h>
#include <stdlib.h>

void fs_kill_point(struct fs_memory *memory)
{
        const char *first = getenv("ASSETFS_KILL_AT");
        const char *every = getenv("ASSETFS_KILL_EVERY");

        if (!first || !every)
                return;

        uint32_t point = atomic_fetch_add(&memory->kill_points, 1) + 1;
        uint32_t at = (uint32_t)atoi(first);

        if (point >= at && (point - at) % (uint32_t)atoi(every) == 0)
                kill(getpid(), SIGKILL);
}
#endif
