/*
 * EINTR-safe, errno-safe system calls. Knows nothing of blobs.
 */
#include "cas/io.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void cas_io_close_at(const int *fd)
{
        int saved = errno;

        if (*fd >= 0)
                close(*fd);
        errno = saved;
}

void cas_io_free_at(void *memory)
{
        int saved = errno;

        free(*(void **)memory);
        errno = saved;
}

int cas_io_steal_fd(int *fd)
{
        int stolen = *fd;

        *fd = -1;
        return stolen;
}

int cas_io_write_at(int fd, const void *bytes, size_t length, uint64_t offset)
{
        const char *next = bytes;

        while (length > 0) {
                ssize_t written = pwrite(fd, next, length, (off_t)offset);

                if (written < 0 && errno == EINTR)
                        continue;
                if (written < 0)
                        return -errno;
                if (written == 0)
                        return -EIO;
                next += written;
                length -= (size_t)written;
                offset += (uint64_t)written;
        }
        return 0;
}

ssize_t cas_io_read_at(int fd, void *bytes, size_t length, uint64_t offset)
{
        for (;;) {
                ssize_t got = pread(fd, bytes, length, (off_t)offset);

                if (got >= 0)
                        return got;
                if (errno != EINTR)
                        return -errno;
        }
}
