/*
 * Counting. What is no regular file takes no part in it.
 */
#include "cas/usage.h"

#include "cas/index.h"
#include "cas/io.h"
#include "cas/quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct count {
        uint64_t files;
        uint64_t bytes;
};

static int count_dir(int dir, const atomic_bool *cancelled, struct count *ret)
{
        int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *stream = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;
        int r = 0;

        *ret = (struct count){0};
        if (!stream) {
                r = -errno;
                cas_io_close_at(&fd);
                return r;
        }
        for (errno = 0; (entry = readdir(stream)); errno = 0) {
                struct stat st;

                if (atomic_load(cancelled)) {
                        r = -ECANCELED;
                        break;
                }
                /* What went away meanwhile is not there. */
                if (fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                    !S_ISREG(st.st_mode))
                        continue;
                ret->files++;
                ret->bytes += (uint64_t)st.st_blocks * 512;
        }
        if (r == 0)
                r = -errno;
        closedir(stream);
        return r;
}

int cas_usage_count(struct cas_store *store, const atomic_bool *cancelled, struct cas_usage *ret)
{
        struct cas_index_totals blobs = cas_index_total(cas_store_index(store));
        struct count staging = {0};
        struct count pins = {0};
        int r = count_dir(cas_store_ingest_dir(store), cancelled, &staging);

        if (r == 0)
                r = count_dir(cas_store_pins_dir(store), cancelled, &pins);
        if (r < 0)
                return r;
        *ret = (struct cas_usage){.blobs = blobs.blobs,
                                  .bytes = blobs.bytes + staging.bytes +
                                           cas_quarantine_bytes(cas_store_quarantine_dir(store)),
                                  .pins = pins.files};
        return 0;
}
