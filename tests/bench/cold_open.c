/*
 * cold-open [-r none|all|tenth] PATH: how long the open of PATH takes, and the reading of
 * what it asks for, in microseconds. An own program, since a shell's open is timed with
 * the shell.
 */
#include "tests/bench/reading.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
        enum reading what = READING_NOTHING;
        bool usage = false;
        int option;

        while ((option = getopt(argc, argv, "r:")) >= 0)
                usage |= option != 'r' || reading_parse(optarg, &what) < 0;
        if (usage || optind + 1 != argc) {
                fprintf(stderr, "usage: cold-open [-r none|all|tenth] PATH\n");
                return 2;
        }

        int64_t start = reading_now_us();
        int fd = open(argv[optind], O_RDONLY | O_CLOEXEC);
        int r = fd < 0 ? -errno : reading_read(fd, what);
        int64_t took = reading_now_us() - start;

        if (r < 0) {
                fprintf(stderr, "cold-open: %s: %s\n", argv[optind], strerror(-r));
                return 1;
        }
        printf("%lld\n", (long long)took);
        return 0;
}
