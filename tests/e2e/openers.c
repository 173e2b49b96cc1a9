/*
 * Openers: real processes that open a path and say how it went.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void opener_start(struct opener *opener, const char *path)
{
        int pipes[2];

        cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
        opener->pid = fork();
        cr_assert(opener->pid >= 0);
        if (opener->pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);

                int fd = open(path, O_RDONLY | O_CLOEXEC);
                int result = fd < 0 ? errno : 0;

                if (write(pipes[1], &result, sizeof(result)) < 0)
                        _exit(1);
                _exit(0);
        }
        close(pipes[1]);
        opener->result = pipes[0];
}

int opener_result(struct opener *opener, int timeout_ms)
{
        struct pollfd event = {.fd = opener->result, .events = POLLIN};
        int result = -1;

        if (poll(&event, 1, timeout_ms) == 1 &&
            read(opener->result, &result, sizeof(result)) != sizeof(result))
                result = -1;
        if (result >= 0) {
                close(opener->result);
                waitpid(opener->pid, NULL, 0);
        }
        return result;
}

bool opener_gone(struct opener *opener, int timeout_ms)
{
        int64_t deadline = now_ms() + timeout_ms;
        pid_t reaped;

        while ((reaped = waitpid(opener->pid, NULL, WNOHANG)) == 0 && now_ms() < deadline)
                sleep_ms(2);
        if (reaped == opener->pid)
                close(opener->result);
        return reaped == opener->pid;
}

char process_state(pid_t pid)
{
        char path[64];
        char state = '?';

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);

        FILE *file = fopen(path, "re");

        if (!file)
                return '?';
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
                state = '?';
        fclose(file);
        return state;
}

void opener_parked(const struct opener *opener)
{
        char path[64];
        int64_t deadline = now_ms() + SURELY_MS;
        char state;

        snprintf(path, sizeof(path), "/proc/%d/wchan", opener->pid);
        while (now_ms() < deadline) {
                char wchan[128] = "";
                int fd = open(path, O_RDONLY | O_CLOEXEC);

                if (fd >= 0 && read(fd, wchan, sizeof(wchan) - 1) < 0)
                        wchan[0] = '\0';
                if (fd >= 0)
                        close(fd);
                if (strstr(wchan, "request_wait") || strstr(wchan, "fuse"))
                        break;
                /* Where wchan is hidden: asleep in a syscall is as much as can be seen. */
                state = process_state(opener->pid);
                if (state == 'S' && (!wchan[0] || wchan[0] == '0'))
                        break;
                if (state == 'Z' || state == '?')
                        break; /* it did not have to wait */
                sleep_ms(2);
        }
        sleep_ms(30);
}
