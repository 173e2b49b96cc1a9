/*
 * What becomes of an asset once it is there, the same on both sides of a comparison: it is
 * read whole, or a random tenth of it, as a micro-VM that boots reads its root filesystem.
 */
#pragma once

#include <stdint.h>

enum reading {
        READING_NOTHING,
        READING_ALL,
        READING_TENTH, /* pieces of 128 KiB to 1 MiB; the same ones for the same size */
};

/* Of CLOCK_MONOTONIC, in microseconds. */
int64_t reading_now_us(void);

/* "none", "all" or "tenth"; 0 or -EINVAL. */
int reading_parse(const char *word, enum reading *ret);

/* Reads the file as told; 0 or -errno. An end that is not where fstat says is -EIO. */
int reading_read(int fd, enum reading what);
