/*
 * Which servers were bad lately: the others are asked first. It is no ban, so nothing has
 * to be undone by hand: a server that nobody can replace is asked as ever, and one good
 * download, or time, clears its name.
 *
 * Bounded: the server that was bad longest ago makes room.
 * Threads: all functions from any thread. Lock: its own, innermost.
 */
#ifndef FETCH_HEALTH_H
#define FETCH_HEALTH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define FETCH_SERVER_MAX     300 /* bytes of "scheme://host:port", with the NUL */
#define FETCH_HEALTH_SERVERS 64
#define FETCH_HEALTH_MS      10000 /* bad for so long; twice that each time it happens again */
#define FETCH_HEALTH_MOST_MS 160000

struct fetch_health {
        pthread_mutex_t lock;
        struct fetch_sick {
                char server[FETCH_SERVER_MAX]; /* "" where unused */
                int64_t until_ms;
                int64_t since_ms;
                unsigned times;
        } sick[FETCH_HEALTH_SERVERS]; /* lock */
};

void fetch_health_init(struct fetch_health *health);
void fetch_health_destroy(struct fetch_health *health);

bool fetch_health_is_bad(struct fetch_health *health, const char *server, int64_t now_ms);

/* It failed. true: it counts as bad from now on and did not before; *ret_ms: for how long. */
bool fetch_health_note_bad(struct fetch_health *health, const char *server, int64_t now_ms,
                           int64_t *ret_ms);

/* It did well. true: it counted as bad until now. */
bool fetch_health_note_good(struct fetch_health *health, const char *server);

#endif
