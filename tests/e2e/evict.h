/*
 * Some assets of one size, a catalog that names them, and a world around them: for tests of
 * who makes room for whom. An asset is named by its number.
 */
#ifndef TESTS_EVICT_H
#define TESTS_EVICT_H

#include "tests/e2e/world.h"

#define EVICT_SIZE 1000000
#define EVICT_MANY 5

/* Of them three, and not four: whatever a file system adds to each. */
#define EVICT_THREE "--cache-size=3500000"

struct evict {
        struct world world;
        char hex[EVICT_MANY][HEX];
        char catalog[2 * WORLD_PATH]; /* names the sizes */
};

void evict_begin(struct evict *all);

/* Its cache is a tmpfs of 8 MiB. */
void evict_begin_on_tmpfs(struct evict *all);
void evict_end_on_tmpfs(struct evict *all);

/* With up to two more options, or NULL. */
void evict_mount(struct evict *all, const char *one, const char *two);

/* A number that status.json or metrics.prom has after `words`; -1 where it has none. */
int64_t evict_told(const struct evict *all, const char *name, const char *words);
bool evict_comes(const struct evict *all, const char *name, const char *words, int64_t value);

/* Opened and closed again, of which the daemon hears a moment later. */
int evict_opened(const struct evict *all, int which);

/* A failure is remembered for a moment. */
int evict_opened_at_last(const struct evict *all, int which);

/* Which of them lie in the cache: their numbers, in a string. */
const char *evict_cached(const struct evict *all);

/* As an earlier day would have left them. */
void evict_set_age(const struct evict *all, int which, int minutes);

/* Lines of an event of that asset. */
int evict_logged(const struct evict *all, const char *event, int which);

#endif
