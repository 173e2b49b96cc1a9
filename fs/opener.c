/*
 * /proc/TID/status, the lines of the signal sets.
 */
#include "fs/opener.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIT(signal) (UINT64_C(1) << ((signal)-1))

static const uint64_t noise = BIT(SIGURG) | BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGSTOP) |
                              BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU) | BIT(SIGWINCH) |
                              BIT(SIGPROF) | BIT(SIGVTALRM) | BIT(SIGIO);

static uint64_t signal_set(const char *status, const char *label)
{
        const char *line = strstr(status, label);

        return line ? strtoull(line + strlen(label), NULL, 16) : 0;
}

bool fs_opener_wants_out(pid_t tid)
{
        char path[32];
        char status[4096];

        if (tid <= 0)
                return true;
        snprintf(path, sizeof(path), "/proc/%d/status", tid);

        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : read(fd, status, sizeof(status) - 1);

        if (fd >= 0)
                close(fd);
        if (got <= 0)
                return true;
        status[got] = '\0';

        uint64_t pending = signal_set(status, "\nSigPnd:") | signal_set(status, "\nShdPnd:");
        uint64_t blocked = signal_set(status, "\nSigBlk:");

        return pending & ~blocked & ~noise;
}
