/*
 * Claiming a cache directory. What root does here it does to the directory itself,
 * which the operator named; what lies in it is the user's, and is touched only with
 * the user's own rights: a link that was put there leads nowhere the user cannot go.
 */
#include "cas/claim.h"

#include "cas/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOCK_TRIES    100
#define LOCK_PAUSE_US 20000

int cas_why(int error, char why[CAS_WHY], const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(why, CAS_WHY, format, args);
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

static bool is_empty(int directory)
{
        int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;
        bool empty = dir;

        if (!dir) {
                cas_io_close_at(&fd);
                return false;
        }
        while (empty && (entry = readdir(dir)))
                empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                        strcmp(entry->d_name, "lost+found") == 0;
        closedir(dir);
        return empty;
}

/* Did no link lead there? Whoever may put links on the way could make root give away any other
 * empty directory. */
static bool is_direct(const char *path, const struct stat *st)
{
        struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                               .resolve = RESOLVE_NO_SYMLINKS};
        struct stat found;
        _cleanup_close_ int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

        return fd >= 0 && fstat(fd, &found) == 0 && found.st_dev == st->st_dev &&
               found.st_ino == st->st_ino;
}

/* A directory that root made, or that an operator made as root, is given to the user. */
static int give_away(int fd, const char *path, uid_t uid, gid_t gid, struct stat *st)
{
        if (st->st_uid == uid || geteuid() != 0 || st->st_uid != 0 || !is_empty(fd) ||
            !is_direct(path, st))
                return 0;
        if (fchown(fd, uid, gid) < 0 || fchmod(fd, 0700) < 0 || fstat(fd, st) < 0)
                return -errno;
        return 0;
}

static int open_root(const char *path, uid_t uid, gid_t gid, char why[CAS_WHY])
{
        struct stat st;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT) {
                int r = make_path(path);

                if (r < 0)
                        return cas_why(r, why, "cannot make the cache directory: %s", strerror(-r));
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        if (fd < 0 || fstat(fd, &st) < 0)
                return cas_why(-errno, why, "cannot open the cache directory: %s", strerror(errno));

        if (st.st_mode & 022)
                return cas_why(-EPERM, why,
                               "the cache directory is writable by others (mode %04o): "
                               "make it 0700",
                               st.st_mode & 07777);

        int r = give_away(fd, path, uid, gid, &st);

        if (r < 0)
                return cas_why(r, why, "cannot give the cache directory to uid %u: %s", uid,
                               strerror(-r));
        if (st.st_uid != uid)
                return cas_why(-EPERM, why,
                               "the cache directory belongs to uid %u, the worker runs as uid %u",
                               st.st_uid, uid);
        return cas_io_steal_fd(&fd);
}

/* A pid for the message only; the lock is what counts. */
static int lock_holder(int fd)
{
        char text[16] = "";
        ssize_t got = cas_io_read_at(fd, text, sizeof(text) - 1, 0);

        return got > 0 ? atoi(text) : 0;
}

/*
 * Who took the lock may be gone, and its worker still on its way out, as when a service
 * manager starts us right after it was killed: that is worth a wait.
 */
static int lock(int fd)
{
        for (int tries = 0;; tries++) {
                if (flock(fd, LOCK_EX | LOCK_NB) == 0)
                        return 0;
                if (errno == EINTR)
                        continue;

                int error = errno;
                int holder = lock_holder(fd);

                if (error != EWOULDBLOCK || tries == LOCK_TRIES || holder <= 0 ||
                    kill(holder, 0) == 0 || errno != ESRCH)
                        return -error;
                usleep(LOCK_PAUSE_US);
        }
}

static int write_holder(int fd)
{
        char pid[16];
        int length = snprintf(pid, sizeof(pid), "%d\n", getpid());
        int r = ftruncate(fd, 0) < 0 ? -errno : cas_io_write_at(fd, pid, (size_t)length, 0);

        /* A full disk must not keep hits from being served. */
        return r == -ENOSPC || r == -EDQUOT ? 0 : r;
}

static int take_lock(int root, char why[CAS_WHY])
{
        int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        _cleanup_close_ int fd = openat(root, "lock", O_RDWR | O_CREAT | flags, 0600);
        bool writable = fd >= 0;
        struct stat st;

        if (fd < 0 && errno == EROFS)
                fd = openat(root, "lock", O_RDONLY | flags);
        if (fd < 0 || fstat(fd, &st) < 0)
                return cas_why(-errno, why, "cannot open the cache's lock: %s", strerror(errno));
        if (!S_ISREG(st.st_mode))
                return cas_why(-EINVAL, why, "the cache's lock is no regular file");
        int r = lock(fd);

        if (r == -EWOULDBLOCK)
                return cas_why(-EBUSY, why, "another assetfs (pid %d) uses this cache",
                               lock_holder(fd));
        if (r < 0)
                return cas_why(r, why, "cannot lock the cache: %s", strerror(-r));
        r = writable ? write_holder(fd) : 0;

        if (r < 0)
                return cas_why(r, why, "cannot write the cache's lock: %s", strerror(-r));
        return cas_io_steal_fd(&fd);
}

/* With the rights of the user, whoever we are. */
static int take_lock_as(int root, uid_t uid, gid_t gid, char why[CAS_WHY])
{
        gid_t own_gid = (gid_t)setfsgid(gid);
        uid_t own_uid = (uid_t)setfsuid(uid);
        int r = take_lock(root, why);

        setfsuid(own_uid);
        setfsgid(own_gid);
        return r;
}

int cas_claim_make(const char *path, uid_t uid, gid_t gid, struct cas_claim *ret, char why[CAS_WHY])
{
        _cleanup_close_ int root = open_root(path, uid, gid, why);

        if (root < 0)
                return root;

        int lock = take_lock_as(root, uid, gid, why);

        if (lock < 0)
                return lock;
        *ret = (struct cas_claim){cas_io_steal_fd(&root), lock};
        return 0;
}

void cas_claim_release(struct cas_claim *claim)
{
        cas_io_close_at(&claim->lock);
        cas_io_close_at(&claim->root);
        *claim = (struct cas_claim){-1, -1};
}
