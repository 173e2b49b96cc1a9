/*
 * `assetfs mount`: becomes the supervisor, in the background unless -f, and returns when
 * the mount answers.
 */
#include "fs/cmd.h"

#include "cas/io.h"
#include "fs/log.h"
#include "fs/options.h"
#include "fs/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void in_foreground(void *arg)
{
        (void)arg;
}

/* The mount answers: the terminal is let go, and whoever waits for us may go on. */
static void in_background(void *arg)
{
        int *ready = arg;
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        fs_log_to_syslog();
        for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
                dup2(null, fd);
        if (write(*ready, "", 1) < 0)
                fs_log(LOG_ERR, "event=ready cause=%s", fs_log_value(strerror(errno)).text);
        close(*ready);
}

/* Waits until the child's mount answers (0) or it has failed and said why (its status). */
static int wait_for_child(pid_t child, int ready)
{
        char byte;
        ssize_t got;
        int status;

        do
                got = read(ready, &byte, 1);
        while (got < 0 && errno == EINTR);
        if (got == 1)
                return 0;
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return fs_fail("waiting: %s", strerror(errno));
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
                return WEXITSTATUS(status);
        return fs_fail("the daemon ended before the mount answered");
}

static int run_in_background(struct fs_options *options)
{
        int ready[2];
        pid_t child;

        if (pipe2(ready, O_CLOEXEC) < 0 || (child = fork()) < 0)
                return fs_fail("cannot start: %s", strerror(errno));
        if (child > 0) {
                close(ready[1]);
                return wait_for_child(child, ready[0]);
        }
        close(ready[0]);
        setsid();
        return fs_supervise(options, in_background, &ready[1]);
}

/* Standard descriptors exist, nothing else is inherited. */
static void clean_descriptors(void)
{
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        close_range(STDERR_FILENO + 1, ~0U, 0);
}

int cmd_mount(int argc, char **argv)
{
        static struct fs_options options; /* tens of KiB */
        int status;

        clean_descriptors();
        signal(SIGCHLD, SIG_DFL); /* ignored, it would be inherited, and children reap themselves */
        umask(022);
        status = fs_options_parse(argc, argv, &options);
        if (status == 0)
                fs_log_set_level(options.log_level);
        if (status == 0)
                status = options.foreground ? fs_supervise(&options, in_foreground, NULL)
                                            : run_in_background(&options);
        fs_options_free(&options);
        return status == FS_OPTIONS_HELPED ? 0 : status;
}
