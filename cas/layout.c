/*
 * Opening a cache: make what is missing, refuse what is unsafe, take the lock,
 * sweep staging that a crash left. May touch only what the layout names; other
 * things that lie in the cache (lost+found, a stray file) are left alone.
 */
#include "cas/layout.h"

#include "cas/io.h"
#include "cas/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(printf, 3, 4))) static int fail(int error, char why[CAS_STORE_WHY],
                                                      const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(why, CAS_STORE_WHY, format, args);
        va_end(args);
        return error;
}

/* Makes every directory of `path`; parents 0755, the last one 0700. */
static int make_path(const char *path)
{
        char part[PATH_MAX];
        size_t length = strlen(path);

        if (length == 0)
                return -ENOENT;
        if (length >= sizeof(part))
                return -ENAMETOOLONG;
        memcpy(part, path, length + 1);
        while (length > 1 && part[length - 1] == '/')
                part[--length] = '\0';
        for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(part, 0755) < 0 && errno != EEXIST && errno != EROFS)
                        return -errno;
                *slash = '/';
        }
        return mkdir(part, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_root(const char *path, char why[CAS_STORE_WHY])
{
        struct stat st;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT) {
                int r = make_path(path);

                if (r < 0)
                        return fail(r, why, "cannot make the cache directory: %s", strerror(-r));
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        if (fd < 0 || fstat(fd, &st) < 0)
                return fail(-errno, why, "cannot open the cache directory: %s", strerror(errno));
        if (st.st_uid != geteuid())
                return fail(-EPERM, why,
                            "the cache directory belongs to uid %u, assetfs runs as uid %u",
                            st.st_uid, geteuid());
        if (st.st_mode & 022)
                return fail(-EPERM, why,
                            "the cache directory is writable by others (mode %04o): "
                            "make it 0700",
                            st.st_mode & 07777);
        return cas_io_steal_fd(&fd);
}

static int open_directory(int root, const char *name, char why[CAS_STORE_WHY])
{
        int fd = -1;

        if (mkdirat(root, name, 0700) == 0 || errno == EEXIST || errno == EROFS)
                fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return fail(-errno, why, "cannot open %s in the cache: %s", name, strerror(errno));
        return fd;
}

/* A pid for the message only; the lock is what counts. */
static int lock_holder(int fd)
{
        char text[16] = "";
        ssize_t got = cas_io_read_at(fd, text, sizeof(text) - 1, 0);

        return got > 0 ? atoi(text) : 0;
}

static int take_lock(int root, char why[CAS_STORE_WHY])
{
        int flags = O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        _cleanup_close_ int fd = openat(root, "lock", O_RDWR | flags, 0600);
        bool writable = fd >= 0;
        char pid[16];

        if (fd < 0 && errno == EROFS)
                fd = openat(root, "lock", O_RDONLY | (flags & ~O_CREAT));
        if (fd < 0)
                return fail(-errno, why, "cannot open the cache's lock: %s", strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return fail(-errno, why, "cannot lock the cache: %s", strerror(errno));
                return fail(-EBUSY, why, "another assetfs (pid %d) uses this cache",
                            lock_holder(fd));
        }
        if (writable) {
                int length = snprintf(pid, sizeof(pid), "%d\n", getpid());
                int r = ftruncate(fd, 0) < 0 ? -errno : cas_io_write_at(fd, pid, (size_t)length, 0);

                /* A full disk must not keep hits from being served. */
                if (r < 0 && r != -ENOSPC && r != -EDQUOT)
                        return fail(r, why, "cannot write the cache's lock: %s", strerror(-r));
                r = cas_record_probe(fd);
                if (r < 0 && r != -ENOSPC && r != -EDQUOT)
                        return fail(r, why,
                                    "the cache's file system keeps no extended attributes (%s); "
                                    "choose another one",
                                    strerror(-r));
        }
        return cas_io_steal_fd(&fd);
}

/* Staging of a process that is gone: "<64 hex>.*", regular files. The lock is ours. */
static void sweep_ingest(int ingest)
{
        int fd = openat(ingest, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;

        if (!dir) {
                cas_io_close_at(&fd);
                return;
        }
        while ((entry = readdir(dir))) {
                struct cas_digest digest;

                if (strlen(entry->d_name) > CAS_DIGEST_HEX &&
                    entry->d_name[CAS_DIGEST_HEX] == '.' &&
                    cas_digest_parse(entry->d_name, CAS_DIGEST_HEX, &digest) == 0)
                        unlinkat(ingest, entry->d_name, 0);
        }
        closedir(dir);
}

static int open_all(const char *path, struct cas_layout *layout, char why[CAS_STORE_WHY])
{
        if ((layout->root = open_root(path, why)) < 0)
                return layout->root;
        if ((layout->lock = take_lock(layout->root, why)) < 0)
                return layout->lock;

        _cleanup_close_ int parent = open_directory(layout->root, "blobs", why);
        _cleanup_close_ int pins = open_directory(layout->root, "pins", why);

        if (parent < 0)
                return parent;
        if (pins < 0)
                return pins;
        if ((layout->blobs = open_directory(parent, "sha256", why)) < 0)
                return layout->blobs;
        if ((layout->ingest = open_directory(layout->root, "ingest", why)) < 0)
                return layout->ingest;
        if ((layout->quarantine = open_directory(layout->root, "quarantine", why)) < 0)
                return layout->quarantine;
        sweep_ingest(layout->ingest);
        return 0;
}

int cas_layout_open(const char *path, struct cas_layout *ret, char why[CAS_STORE_WHY])
{
        struct cas_layout layout = {-1, -1, -1, -1, -1};
        int r = open_all(path, &layout, why);

        if (r < 0) {
                cas_layout_close(&layout);
                return r;
        }
        *ret = layout;
        return 0;
}

void cas_layout_close(struct cas_layout *layout)
{
        cas_io_close_at(&layout->quarantine);
        cas_io_close_at(&layout->ingest);
        cas_io_close_at(&layout->blobs);
        cas_io_close_at(&layout->lock);
        cas_io_close_at(&layout->root);
}
