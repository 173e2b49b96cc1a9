/*
 * The reads that both sides of a comparison do. Offsets come from a generator with a fixed
 * seed, so that they are the same on both, in every round.
 */
#include "tests/bench/reading.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE (1u << 20)
#define GRAIN (128u << 10) /* a piece is read for one to eight of these */

int64_t reading_now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

int reading_parse(const char *word, enum reading *ret)
{
        static const char *const words[] = {"none", "all", "tenth"}; /* as the enum */

        for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                if (strcmp(word, words[i]) == 0) {
                        *ret = (enum reading)i;
                        return 0;
                }
        }
        return -EINVAL;
}

/* xorshift64 */
static uint64_t next_random(uint64_t *state)
{
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

static int read_piece(int fd, char *buffer, uint64_t offset, uint64_t length)
{
        while (length > 0) {
                ssize_t got = pread(fd, buffer, length, (off_t)offset);

                if (got <= 0)
                        return got < 0 ? -errno : -EIO;
                offset += (uint64_t)got;
                length -= (uint64_t)got;
        }
        return 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

static int read_all(int fd, char *buffer, uint64_t size)
{
        int r = 0;

        for (uint64_t at = 0; r == 0 && at < size; at += PIECE)
                r = read_piece(fd, buffer, at, smaller(PIECE, size - at));
        return r;
}

/* Takes the pieces in a random order, none twice, until it has read a tenth. */
static int read_tenth(int fd, char *buffer, uint64_t size)
{
        uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
        uint64_t count = (size + PIECE - 1) / PIECE;
        uint64_t left = size / 10;
        uint64_t *pieces = calloc(count ? count : 1, sizeof(*pieces));
        int r = pieces ? 0 : -ENOMEM;

        for (uint64_t i = 0; pieces && i < count; i++)
                pieces[i] = i;
        for (uint64_t i = 0; r == 0 && i < count && left > 0; i++) {
                uint64_t other = i + next_random(&state) % (count - i);
                uint64_t at = pieces[other] * PIECE;
                uint64_t length = GRAIN * (1 + next_random(&state) % (PIECE / GRAIN));

                pieces[other] = pieces[i];
                length = smaller(length, smaller(left, size - at));
                r = read_piece(fd, buffer, at, length);
                left -= length;
        }
        free(pieces);
        return r;
}

int reading_read(int fd, enum reading what)
{
        struct stat st;

        if (what == READING_NOTHING)
                return 0;
        if (fstat(fd, &st) < 0)
                return -errno;

        char *buffer = malloc(PIECE);
        int r = -ENOMEM;

        if (buffer)
                r = what == READING_ALL ? read_all(fd, buffer, (uint64_t)st.st_size)
                                        : read_tenth(fd, buffer, (uint64_t)st.st_size);
        free(buffer);
        return r;
}
