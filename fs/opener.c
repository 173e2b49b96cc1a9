/*
 * /proc/TID/status, the lines of the signal sets.
 */
#include "fs/opener.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(signal) (UINT64_C(1) << ((signal)-1))

static const uint64_t noise = BIT(SIGURG) | BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGSTOP) |
                              BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU) | BIT(SIGWINCH) |
                              BIT(SIGPROF) | BIT(SIGVTALRM) | BIT(SIGIO);

/* Does `line` begin with `label`? Then the set behind it is added to *set. */
static void read_set(const char *line, const char *label, uint64_t *set)
{
        size_t length = strlen(label);

        if (strncmp(line, label, length) == 0)
                *set |= strtoull(line + length, NULL, 16);
}

#define LINE_BYTES 256 /* longer ones (Groups) come in pieces of digits, which match no label */

static FILE *open_status(pid_t tid)
{
        char path[32];

        snprintf(path, sizeof(path), "/proc/%d/status", tid);
        return tid > 0 ? fopen(path, "re") : NULL;
}

bool fs_opener_wants_out(pid_t tid)
{
        char line[LINE_BYTES];
        uint64_t pending = 0;
        uint64_t blocked = 0;

        FILE *status = open_status(tid);

        if (!status)
                return true;
        while (fgets(line, sizeof(line), status)) {
                read_set(line, "SigPnd:", &pending);
                read_set(line, "ShdPnd:", &pending);
                read_set(line, "SigBlk:", &blocked);
        }

        bool gone = ferror(status); /* ESRCH: it ended while we looked */

        fclose(status);
        return gone || (pending & ~blocked & ~noise);
}

pid_t fs_opener_process(pid_t tid)
{
        char line[LINE_BYTES];
        FILE *status = open_status(tid);
        pid_t process = tid;

        while (status && fgets(line, sizeof(line), status))
                if (strncmp(line, "Tgid:", 5) == 0)
                        process = (pid_t)strtol(line + 5, NULL, 10);
        if (status)
                fclose(status);
        return process;
}
