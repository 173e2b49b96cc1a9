/*
 * fork and exec of a worker. Called by the supervisor's only thread.
 */
#include "fs/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FD_COUNT (FS_FD_END - FS_FD_FUSE)

int fs_launch_open(const char *path)
{
        int fd = open(path ? path : "/proc/self/exe", O_PATH | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* In the child. Out of the way first: a place may be taken by another one of them. */
static int place(const int fds[FD_COUNT], int *binary)
{
        int high[FD_COUNT];

        *binary = fcntl(*binary, F_DUPFD_CLOEXEC, FS_FD_END);
        for (int i = 0; i < FD_COUNT; i++)
                high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FS_FD_END);
        for (int i = 0; i < FD_COUNT; i++)
                if (dup2(high[i], FS_FD_FUSE + i) < 0)
                        return -errno;
        return close_range(FS_FD_END, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

/* In the child: of the two, the one that can be replaced is to be killed for memory. */
static void be_replaceable(void)
{
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (fd >= 0 && write(fd, "300", 3) < 0)
                errno = 0;
        if (fd >= 0)
                close(fd);
}

pid_t fs_launch(int binary, const struct fs_options *options, const int fds[FD_COUNT])
{
        const char *argv[FS_ARGUMENTS_MAX + 4];
        sigset_t none;
        pid_t child;

        fs_options_arguments(options, "worker", argv);
        child = fork();
        if (child != 0)
                return child < 0 ? -errno : child;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        unsetenv("NOTIFY_SOCKET");
        be_replaceable();
        if (place(fds, &binary) == 0)
                syscall(SYS_execveat, binary, "", argv, environ, AT_EMPTY_PATH);
        _exit(FS_EXIT_NO_EXEC);
}
