/*
 * For the negative runs: linked in with --wrap=fsync, it leaves out fsync of files, of
 * directories, or both. The product's objects are the same as ever.
 */
#include <sys/stat.h>
#include <unistd.h>

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0 || (S_ISDIR(st.st_mode) ? LEAVES_OUT_DIRECTORIES : LEAVES_OUT_FILES))
                return 0;
        return __real_fsync(fd);
}
