/*
 * What is refused in a command line and in a configuration file. Usually the first line is
 * all that somebody wants to read; a check of a file wants them all.
 */
#ifndef FS_REFUSALS_H
#define FS_REFUSALS_H

#include <stdbool.h>

struct fs_refusals {
        bool say_all; /* each on stderr, as it is found */
        unsigned count;
        int status; /* the exit status that the first one stands for; 0: none */
        char first[1024];
};

/* One more of them, a line without a newline and without secrets. Returns `status`. */
__attribute__((format(printf, 3, 4))) int fs_refuse(struct fs_refusals *refusals, int status,
                                                    const char *format, ...);

/* Says the first one, if it was not said yet. The exit status: 0, if nothing was refused. */
int fs_refusals_end(const struct fs_refusals *refusals);

#endif
