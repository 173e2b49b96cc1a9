/*
 * Many downloads in one world: each asset has sources of its own, named by modes of the
 * faulty origin, an errno that its open has to end with, and a history.
 *
 * The history is what the origin saw: for each GET the letter of the source, and, where it
 * was no GET from the start, "@" and the first byte of the range, and "?" for an If-Range:
 * "a b@350000 a@350000?". A redirect's target is no source and does not count.
 */
#ifndef TESTS_DOWNLOADS_H
#define TESTS_DOWNLOADS_H

#include "tests/e2e/world.h"

#define DOWNLOAD_SOURCES 3

/* No mode: a port where nobody listens. */
#define DOWNLOAD_DEAD "dead"

enum staging { STAGING_ANY, STAGING_KEPT, STAGING_GONE };

struct download {
        const char *sources[DOWNLOAD_SOURCES]; /* modes; NULL where there are fewer */
        int error;                             /* what the open ends with; 0: the right bytes */
        const char *history;                   /* or NULL: any */
        enum staging staging;                  /* after the open */
        size_t size;                           /* bytes of the asset */
        bool unsized;                          /* the catalog does not say so */
        unsigned seed;                         /* of what made the row, to be printed; or 0 */
        char hex[HEX];
};

/* Rows of a table. */
#define RIGHT(the_history, ...)                                                                    \
        {                                                                                          \
                .sources = {__VA_ARGS__}, .history = (the_history)                                 \
        }
#define FAILS(the_error, the_staging, the_history, ...)                                            \
        {                                                                                          \
                .sources = {__VA_ARGS__}, .error = (the_error), .staging = (the_staging),          \
                .history = (the_history)                                                           \
        }

/* Makes the assets, and a catalog of them; its path is valid as long as the world. */
const char *downloads_make(struct world *world, struct download *downloads, size_t count);

/* Opens all, up to `openers` at once, and checks each. */
void downloads_open(struct world *world, struct download *downloads, size_t count, int openers);

/* What the origin saw of it; valid until the next call. */
const char *download_history(const struct world *world, const struct download *download);

/* GETs in a history. */
int history_length(const char *history);

#endif
