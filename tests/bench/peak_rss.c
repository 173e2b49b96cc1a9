/*
 * peak-rss PID: samples the resident memory of PID and its children, a daemon and its
 * worker, until it is told to end by SIGTERM; prints the largest sum, in KiB. Not the
 * processes' own VmHWM: their peaks are not of one moment.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INTERVAL_NS 50000000

/* 0 for a process that is gone. */
static long resident_kib(long pid)
{
        char path[64];
        char line[256];
        long kib = 0;

        snprintf(path, sizeof(path), "/proc/%ld/status", pid);

        FILE *status = fopen(path, "re");

        while (status && fgets(line, sizeof(line), status))
                if (sscanf(line, "VmRSS: %ld", &kib) == 1)
                        break;
        if (status)
                fclose(status);
        return kib;
}

static long family_kib(long pid)
{
        char path[64];
        long sum = resident_kib(pid);
        long child;

        snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", pid, pid);

        FILE *children = fopen(path, "re");

        while (children && fscanf(children, "%ld", &child) == 1)
                sum += resident_kib(child);
        if (children)
                fclose(children);
        return sum;
}

int main(int argc, char **argv)
{
        const struct timespec interval = {.tv_nsec = INTERVAL_NS};
        long pid = argc == 2 ? atol(argv[1]) : 0;
        long peak = 0;
        sigset_t ends;

        if (pid <= 0) {
                fprintf(stderr, "usage: peak-rss PID\n");
                return 2;
        }
        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        sigprocmask(SIG_BLOCK, &ends, NULL);
        do {
                long now = family_kib(pid);

                peak = now > peak ? now : peak;
        } while (sigtimedwait(&ends, NULL, &interval) < 0);
        printf("%ld\n", peak);
        return 0;
}
