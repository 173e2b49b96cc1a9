/*
 * The wrapped calls. May touch nothing but its own counters: what is passed on is what the
 * store gave.
 */
#include "tests/torture/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

#define SITES_MOST 256

static const char *const names[] = {
#define NAME(name) #name,
    FAULTS_CALLS(NAME)
#undef NAME
};

static struct fault wanted; /* set while no other thread calls */
static bool without_rename; /* likewise */
static atomic_bool counting;
static atomic_bool hit;
static atomic_uint counts[FAULTS_CALL_COUNT];
static void *sites[FAULTS_CALL_COUNT][SITES_MOST]; /* whence each call came */

const char *faults_name(enum faults_call call)
{
        return names[call];
}

void faults_start(const struct fault *fault, bool no_rename)
{
        wanted = *fault;
        without_rename = no_rename;
        for (size_t i = 0; i < FAULTS_CALL_COUNT; i++)
                atomic_store(&counts[i], 0);
        atomic_store(&hit, false);
        atomic_store(&counting, true);
}

bool faults_stop(void)
{
        atomic_store(&counting, false);
        return atomic_load(&hit);
}

unsigned faults_count(enum faults_call call)
{
        return atomic_load(&counts[call]);
}

bool faults_is_new_site(enum faults_call call, unsigned nth)
{
        if (nth > SITES_MOST)
                return true;
        for (unsigned i = 0; i < nth - 1; i++)
                if (sites[call][i] == sites[call][nth - 1])
                        return false;
        return true;
}

/* Is this the call that fails? */
static bool is_it(enum faults_call call, void *site)
{
        if (!atomic_load(&counting))
                return false;

        unsigned nth = atomic_fetch_add(&counts[call], 1) + 1;

        if (nth <= SITES_MOST)
                sites[call][nth - 1] = site;
        if (nth != wanted.nth || call != wanted.call)
                return false;
        atomic_store(&hit, true);
        return true;
}

static bool fails_at(enum faults_call call, void *site)
{
        if (!is_it(call, site))
                return false;
        errno = wanted.error;
        return true;
}

#define SITE        __builtin_return_address(0)
#define fails(call) fails_at(call, SITE)

#define WRAP(type, failed, name, params, args)                                                     \
        type __real_##name params;                                                                 \
        type __wrap_##name params;                                                                 \
        type __wrap_##name params                                                                  \
        {                                                                                          \
                return fails(FAULTS_##name) ? (failed) : __real_##name args;                       \
        }

WRAP(DIR *, NULL, fdopendir, (int fd), (fd))
WRAP(struct dirent64 *, NULL, readdir64, (DIR * dir), (dir))
WRAP(int, -1, fstatat64, (int dir, const char *name, struct stat64 *st, int flags),
     (dir, name, st, flags))
WRAP(int, -1, fstat64, (int fd, struct stat64 *st), (fd, st))
WRAP(int, -1, fstatvfs64, (int fd, struct statvfs64 *st), (fd, st))
WRAP(int, -1, faccessat, (int dir, const char *name, int mode, int flags), (dir, name, mode, flags))
WRAP(int, -1, mkdirat, (int dir, const char *name, mode_t mode), (dir, name, mode))
WRAP(int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, -1, unlinkat, (int dir, const char *name, int flags), (dir, name, flags))
WRAP(int, -1, linkat, (int from, const char *a, int to, const char *b, int flags),
     (from, a, to, b, flags))
WRAP(int, -1, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(int, -1, fchmodat, (int dir, const char *name, mode_t mode, int flags),
     (dir, name, mode, flags))
WRAP(int, -1, futimens, (int fd, const struct timespec times[2]), (fd, times))
WRAP(int, -1, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags),
     (fd, name, value, size, flags))
WRAP(ssize_t, -1, fgetxattr, (int fd, const char *name, void *value, size_t size),
     (fd, name, value, size))
WRAP(int, -1, flock, (int fd, int operation), (fd, operation))
WRAP(int, -1, dup3, (int fd, int to, int flags), (fd, to, flags))
WRAP(int, -1, fallocate64, (int fd, int mode, off64_t offset, off64_t size),
     (fd, mode, offset, size))
WRAP(int, -1, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP(int, -1, fsync, (int fd), (fd))
WRAP(ssize_t, -1, pread64, (int fd, void *bytes, size_t size, off64_t at), (fd, bytes, size, at))

int __real_renameat2(int from, const char *a, int to, const char *b, unsigned flags);
int __wrap_renameat2(int from, const char *a, int to, const char *b, unsigned flags);
int __wrap_renameat2(int from, const char *a, int to, const char *b, unsigned flags)
{
        if (fails(FAULTS_renameat2))
                return -1;
        if (atomic_load(&counting) && without_rename) {
                errno = EINVAL;
                return -1;
        }
        return __real_renameat2(from, a, to, b, flags);
}

/* What is read or written by a variable argument is passed on as the kernel takes it. */
#define MODE_OF(flags, mode)                                                                       \
        do {                                                                                       \
                va_list args;                                                                      \
                                                                                                   \
                va_start(args, flags);                                                             \
                mode = (flags)&O_CREAT ? va_arg(args, mode_t) : 0;                                 \
                va_end(args);                                                                      \
        } while (0)

int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...)
{
        mode_t mode;

        MODE_OF(flags, mode);
        return fails(FAULTS_openat64) ? -1 : __real_openat64(dir, name, flags, mode);
}

int __real_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...)
{
        mode_t mode;

        MODE_OF(flags, mode);
        return fails(FAULTS_open64) ? -1 : __real_open64(name, flags, mode);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
        va_list args;

        va_start(args, command);

        void *arg = va_arg(args, void *);

        va_end(args);
        return fails(FAULTS_fcntl64) ? -1 : __real_fcntl64(fd, command, arg);
}

/* How much of `size` is written, or -1. */
static ssize_t part_of_write(enum faults_call call, void *site, size_t size)
{
        if (!is_it(call, site))
                return (ssize_t)size;
        if (wanted.error == FAULTS_SHORT)
                return (ssize_t)(size / 2);
        errno = wanted.error;
        return -1;
}

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off64_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off64_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
        ssize_t part = part_of_write(FAULTS_pwrite64, SITE, size);

        return part < 0 ? -1 : __real_pwrite64(fd, bytes, (size_t)part, at);
}

/* A part is that of the first buffer. */
ssize_t __real_pwritev64(int fd, const struct iovec *parts, int count, off64_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off64_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
        ssize_t part = part_of_write(FAULTS_pwritev64, SITE, parts[0].iov_len);

        if (part < 0)
                return -1;
        return (size_t)part < parts[0].iov_len
                   ? __real_pwrite64(fd, parts[0].iov_base, (size_t)part, at)
                   : __real_pwritev64(fd, parts, count, at);
}

/* What _FORTIFY_SOURCE makes of pread. */
ssize_t __wrap___pread64_chk(int fd, void *bytes, size_t size, off64_t at, size_t room);
ssize_t __wrap___pread64_chk(int fd, void *bytes, size_t size, off64_t at, size_t room)
{
        if (size > room)
                __builtin_trap();
        return fails(FAULTS_pread64) ? -1 : __real_pread64(fd, bytes, size, at);
}
