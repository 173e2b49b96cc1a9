/*
 * Texts one after the other, each string with its length before it. The head is
 * written last and cleared first.
 */
#include "fs/snapshot.h"

#include "cas/io.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_MOST (256u << 20) /* bytes; a worker may have written anything */

struct head {
        uint64_t valid;
        uint64_t count;
};

static int put(int fd, const char *bytes, uint64_t length, uint64_t *offset)
{
        int r = cas_io_write_at(fd, &length, sizeof(length), *offset);

        if (r == 0)
                r = cas_io_write_at(fd, bytes, length, *offset + sizeof(length));
        *offset += sizeof(length) + length;
        return r;
}

int fs_snapshot_write(int fd, const struct fetch_catalog_text *texts, size_t count)
{
        uint64_t offset = sizeof(struct head);
        struct head head = {0, count};
        int r = cas_io_write_at(fd, &head, sizeof(head), 0);

        for (size_t i = 0; r == 0 && i < count; i++) {
                const struct fetch_catalog_text *text = &texts[i];

                r = put(fd, text->path, strlen(text->path), &offset);
                if (r == 0)
                        r = put(fd, text->folder, strlen(text->folder), &offset);
                if (r == 0)
                        r = put(fd, text->bytes, text->length, &offset);
        }
        if (r == 0 && ftruncate(fd, (off_t)offset) < 0)
                r = -errno;
        if (r == 0) {
                head.valid = 1;
                r = cas_io_write_at(fd, &head, sizeof(head), 0);
        }
        return r;
}

int fs_snapshot_copy(int fd)
{
        _cleanup_close_ int copy = memfd_create("assetfs-catalogs", MFD_CLOEXEC);
        off_t offset = 0;
        ssize_t sent = 1;
        struct stat st;

        if (copy < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size > COPY_MOST)
                return -EFBIG;
        while (sent > 0 && offset < st.st_size)
                sent = sendfile(copy, fd, &offset, (size_t)(st.st_size - offset));
        return sent < 0 ? -errno : cas_io_steal_fd(&copy);
}

static int read_all(int fd, void *bytes, uint64_t length, uint64_t offset)
{
        ssize_t got = cas_io_read_at(fd, bytes, length, offset);

        if (got < 0)
                return (int)got;
        return (uint64_t)got == length ? 0 : -ENODATA;
}

/* A string of at most `most` bytes, with a NUL behind it. */
static int get(int fd, uint64_t most, char **ret, size_t *ret_length, uint64_t *offset)
{
        uint64_t length;
        int r = read_all(fd, &length, sizeof(length), *offset);

        if (r < 0)
                return r;
        if (length > most)
                return -ENODATA;
        *ret = malloc(length + 1);
        if (!*ret)
                return -ENOMEM;
        (*ret)[length] = '\0';
        *ret_length = length;
        *offset += sizeof(length);
        r = read_all(fd, *ret, length, *offset);
        *offset += length;
        return r;
}

int fs_snapshot_read(int fd, size_t count, struct fetch_catalog_text *ret)
{
        uint64_t offset = sizeof(struct head);
        struct head head;
        int r = read_all(fd, &head, sizeof(head), 0);

        for (size_t i = 0; i < count; i++)
                ret[i] = (struct fetch_catalog_text){0};
        if (r == 0 && (head.valid != 1 || head.count != count))
                r = -ENODATA;
        for (size_t i = 0; r == 0 && i < count; i++) {
                size_t length;

                r = get(fd, PATH_MAX, &ret[i].path, &length, &offset);
                if (r == 0)
                        r = get(fd, PATH_MAX, &ret[i].folder, &length, &offset);
                if (r == 0)
                        r = get(fd, FETCH_CATALOG_TEXT, &ret[i].bytes, &ret[i].length, &offset);
        }
        if (r < 0)
                fetch_catalog_texts_free(ret, count);
        return r;
}
