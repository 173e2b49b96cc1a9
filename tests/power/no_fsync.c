/*
 * For the negative runs: linked in with --wrap, it leaves out fsync of files, of directories,
 * or both. The product's objects are the same as ever.
 *
 * xfs writes a file's bytes out when it is truncated, even to the size that it has (ext4 does
 * not). The ingest truncates each file before its fsync, and the directory's fsync flushes the
 * disk, so that there a file loses nothing for lack of its own. Where files are left out, so is
 * that truncation: or nobody would know whether the test sees lost bytes on xfs.
 */
#include <sys/stat.h>
#include <unistd.h>

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);

int __wrap_fsync(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0 || (S_ISDIR(st.st_mode) ? LEAVES_OUT_DIRECTORIES : LEAVES_OUT_FILES))
                return 0;
        return __real_fsync(fd);
}

int __wrap_ftruncate64(int fd, off_t size)
{
        struct stat st;

        if (LEAVES_OUT_FILES && fstat(fd, &st) == 0 && st.st_size == size)
                return 0;
        return __real_ftruncate64(fd, size);
}
