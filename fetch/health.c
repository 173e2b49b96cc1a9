/*
 * The servers that were bad lately: a small table, searched from end to end.
 */
#include "fetch/health.h"

#include <stdio.h>
#include <string.h>

void fetch_health_init(struct fetch_health *health)
{
        memset(health, 0, sizeof(*health));
        pthread_mutex_init(&health->lock, NULL);
}

void fetch_health_destroy(struct fetch_health *health)
{
        pthread_mutex_destroy(&health->lock);
}

/* Under the lock. NULL: nothing is held against it. */
static struct fetch_sick *find(struct fetch_health *health, const char *server)
{
        for (unsigned i = 0; i < FETCH_HEALTH_SERVERS; i++)
                if (strcmp(health->sick[i].server, server) == 0)
                        return &health->sick[i];
        return NULL;
}

/* Under the lock: an empty entry, or that which was bad longest ago. */
static struct fetch_sick *make_room(struct fetch_health *health)
{
        struct fetch_sick *oldest = &health->sick[0];

        for (unsigned i = 1; i < FETCH_HEALTH_SERVERS && oldest->server[0]; i++)
                if (!health->sick[i].server[0] || health->sick[i].since_ms < oldest->since_ms)
                        oldest = &health->sick[i];
        memset(oldest, 0, sizeof(*oldest));
        return oldest;
}

bool fetch_health_is_bad(struct fetch_health *health, const char *server, int64_t now_ms)
{
        pthread_mutex_lock(&health->lock);

        const struct fetch_sick *sick = find(health, server);
        bool bad = sick && sick->until_ms > now_ms;

        pthread_mutex_unlock(&health->lock);
        return bad;
}

bool fetch_health_note_bad(struct fetch_health *health, const char *server, int64_t now_ms,
                           int64_t *ret_ms)
{
        pthread_mutex_lock(&health->lock);

        struct fetch_sick *sick = find(health, server);
        bool was_bad = sick && sick->until_ms > now_ms;

        if (!sick) {
                sick = make_room(health);
                snprintf(sick->server, sizeof(sick->server), "%s", server);
        }
        if (!was_bad) {
                int64_t ms = FETCH_HEALTH_MS;

                for (unsigned i = 0; i < sick->times && ms < FETCH_HEALTH_MOST_MS; i++)
                        ms *= 2;
                sick->times++;
                sick->since_ms = now_ms;
                sick->until_ms = now_ms + ms;
                *ret_ms = ms;
        }
        pthread_mutex_unlock(&health->lock);
        return !was_bad;
}

bool fetch_health_note_good(struct fetch_health *health, const char *server)
{
        pthread_mutex_lock(&health->lock);

        struct fetch_sick *sick = find(health, server);

        if (sick)
                memset(sick, 0, sizeof(*sick));
        pthread_mutex_unlock(&health->lock);
        return sick;
}
