/*
 * open-cost PATH: what open, pread of 4 KiB and close of PATH cost together, in
 * nanoseconds: the median of batches, so that a busy moment of the machine drops out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCHES  21
#define BATCH_NS 25000000 /* about 0.5 s together */

static int64_t now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void cycle(const char *path)
{
        char block[4096];
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || pread(fd, block, sizeof(block), 0) < 0 || close(fd) < 0) {
                fprintf(stderr, "open-cost: %s: %s\n", path, strerror(errno));
                exit(1);
        }
}

static int64_t cost_of(const char *path, int cycles)
{
        int64_t start = now_ns();

        for (int i = 0; i < cycles; i++)
                cycle(path);
        return (now_ns() - start) / cycles;
}

static int compare(const void *a, const void *b)
{
        const int64_t *left = a;
        const int64_t *right = b;

        return (*left > *right) - (*left < *right);
}

int main(int argc, char **argv)
{
        int64_t costs[BATCHES];

        if (argc != 2) {
                fprintf(stderr, "usage: open-cost PATH\n");
                return 2;
        }
        cost_of(argv[1], 100); /* warms up */

        int64_t cost = cost_of(argv[1], 100);
        int cycles = cost > 0 ? (int)(BATCH_NS / cost) + 1 : BATCH_NS;

        for (int i = 0; i < BATCHES; i++)
                costs[i] = cost_of(argv[1], cycles);
        qsort(costs, BATCHES, sizeof(costs[0]), compare);
        printf("%lld\n", (long long)costs[BATCHES / 2]);
        return 0;
}
