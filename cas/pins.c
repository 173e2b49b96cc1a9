/*
 * The pins directory, for the commands that change it beside a daemon and for whoever asks
 * before a blob goes. May touch nothing but pins/, and of the cache's root only makes that.
 */
#include "cas/pins.h"

#include "cas/io.h"
#include "cas/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_PAUSE_MS 10
#define DIRECTORY     (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* Only below what is a cache: a directory that is not one yet is given to the worker's user
 * while it is empty, and no longer. */
static int open_below(int root, char why[CAS_WHY])
{
        struct stat st;

        if (fstatat(root, "blobs/sha256", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return cas_why(-errno, why, "%s",
                               errno == ENOENT ? "not a cache" : strerror(errno));
        if (mkdirat(root, "pins", 0700) < 0 && errno != EEXIST && errno != EROFS)
                return cas_why(-errno, why, "cannot make pins: %s", strerror(errno));

        _cleanup_close_ int pins = openat(root, "pins", DIRECTORY);

        /* The directory itself may be as new as what will be in it. */
        if (pins < 0 || (fsync(root) < 0 && errno != EROFS))
                return cas_why(-errno, why, "cannot open pins: %s", strerror(errno));
        return cas_io_steal_fd(&pins);
}

int cas_pins_open(const char *cache, char why[CAS_WHY])
{
        _cleanup_close_ int root = open(cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        if (root < 0 && errno == EACCES)
                return cas_why(-EACCES, why, "it can be changed by root and by its owner");
        if (root < 0 || fstat(root, &st) < 0)
                return cas_why(-errno, why, "%s", strerror(errno));
        if (geteuid() != 0 && geteuid() != st.st_uid)
                return cas_why(-EACCES, why,
                               "the cache belongs to uid %u: run this as root or as it", st.st_uid);
        setfsgid(st.st_gid);
        setfsuid(st.st_uid);
        return open_below(root, why);
}

static int64_t now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(int ms)
{
        nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* An open description of its own: a lock belongs to one, and `pins_dir` is everybody's. By
 * polling, since a lock that is waited for cannot be given up without a signal. */
static int lock_for(int pins_dir, int kind, int timeout_ms)
{
        int64_t until_ms = now_ms() + timeout_ms;
        _cleanup_close_ int fd = openat(pins_dir, ".", DIRECTORY);

        if (fd < 0)
                return -errno;
        while (flock(fd, kind | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (now_ms() >= until_ms)
                        return -EBUSY;
                pause_ms(LOCK_PAUSE_MS);
        }
        return cas_io_steal_fd(&fd);
}

int cas_pins_lock_shared(int pins_dir)
{
        return lock_for(pins_dir, LOCK_SH, CAS_PINS_SHARED_MS);
}

static int find(int pins_dir, const char *hex)
{
        struct stat st;

        if (fstatat(pins_dir, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        return S_ISREG(st.st_mode);
}

static int add_one(int pins_dir, const char *hex)
{
        int found = find(pins_dir, hex);

        if (found != 0)
                return found < 0 ? found : 0;
        /* A link or a fifo makes way; a directory says EISDIR and is the operator's to look at. */
        if (unlinkat(pins_dir, hex, 0) < 0 && errno != ENOENT)
                return -errno;

        _cleanup_close_ int fd =
            openat(pins_dir, hex, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        return fd < 0 ? -errno : 1;
}

static int remove_one(int pins_dir, const char *hex)
{
        int found = find(pins_dir, hex);

        if (found <= 0)
                return found;
        if (unlinkat(pins_dir, hex, 0) < 0)
                return errno == ENOENT ? 0 : -errno;
        return 1;
}

static int change_some(int pins_dir, const struct cas_pins_work *work, size_t first,
                       int (*one)(int, const char *))
{
        _cleanup_close_ int lock = lock_for(pins_dir, LOCK_EX, CAS_PINS_EXCLUSIVE_MS);

        if (lock < 0)
                return lock;
        for (size_t i = first; i < work->count && i < first + CAS_PINS_BATCH; i++) {
                char hex[CAS_DIGEST_HEX + 1];

                cas_digest_format(&work->digests[i], hex);
                work->told(work->arg, &work->digests[i], one(pins_dir, hex));
        }
        return 0;
}

/* A name counts for evictors as soon as it is there; flushed is what was there already as
 * well, since who made it may have died before. */
static int change(int pins_dir, const struct cas_pins_work *work, int (*one)(int, const char *))
{
        for (size_t i = 0; i < work->count; i += CAS_PINS_BATCH) {
                int r = change_some(pins_dir, work, i, one);

                if (r < 0)
                        return r;
                if (work->count - i > CAS_PINS_BATCH)
                        pause_ms(2 * LOCK_PAUSE_MS); /* who polls gets a turn */
        }
        return fsync(pins_dir) < 0 && errno != EROFS ? -errno : 0;
}

int cas_pins_add(int pins_dir, const struct cas_pins_work *work)
{
        return change(pins_dir, work, add_one);
}

int cas_pins_remove(int pins_dir, const struct cas_pins_work *work)
{
        return change(pins_dir, work, remove_one);
}

int cas_pins_has(int pins_dir, const struct cas_digest *digest)
{
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(digest, hex);
        return find(pins_dir, hex);
}

int cas_pins_list(int pins_dir, int (*each)(void *arg, const struct cas_digest *), void *arg)
{
        return cas_store_list_dir(pins_dir, each, arg);
}
