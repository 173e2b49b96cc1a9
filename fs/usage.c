/*
 * The counting thread. It rests after each count for far longer than the count took, so
 * that a large cache that is watched every second costs a few percent of one disk.
 */
#include "fs/usage.h"

#include "fetch/clock.h"
#include "fetch/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define REST_MS    200 /* at least */
#define REST_TIMES 30  /* as long as it took */

struct fs_usage {
        const struct cas_store *store;
        pthread_t thread;
        atomic_bool stopping;

        pthread_mutex_t lock;
        pthread_cond_t changed; /* monotonic */
        bool asked;             /* lock */
        bool counted;           /* lock */
        struct cas_usage last;  /* lock */
};

/* Locked. Until there is reason to count (true) or to end. */
static bool wait_for_reason(struct fs_usage *usage, int64_t not_before_ms)
{
        struct timespec until = {.tv_sec = not_before_ms / 1000,
                                 .tv_nsec = not_before_ms % 1000 * 1000000};

        while (!atomic_load(&usage->stopping)) {
                if (!usage->asked)
                        pthread_cond_wait(&usage->changed, &usage->lock);
                else if (fetch_now_ms() < not_before_ms)
                        pthread_cond_timedwait(&usage->changed, &usage->lock, &until);
                else
                        return true;
        }
        return false;
}

static void *run(void *arg)
{
        struct fs_usage *usage = arg;
        int64_t not_before_ms = 0;

        pthread_setname_np(pthread_self(), "usage");
        pthread_mutex_lock(&usage->lock);
        while (wait_for_reason(usage, not_before_ms)) {
                struct cas_usage now;
                int64_t began_ms = fetch_now_ms();

                usage->asked = false;
                pthread_mutex_unlock(&usage->lock);

                int r = cas_usage_count(usage->store, &usage->stopping, &now);

                pthread_mutex_lock(&usage->lock);
                if (r == 0) {
                        usage->last = now;
                        usage->counted = true;
                }

                int64_t ended_ms = fetch_now_ms();
                int64_t rest_ms = REST_TIMES * (ended_ms - began_ms);

                not_before_ms = ended_ms + (rest_ms > REST_MS ? rest_ms : REST_MS);
        }
        pthread_mutex_unlock(&usage->lock);
        return NULL;
}

int fs_usage_new(const struct cas_store *store, struct fs_usage **ret)
{
        struct fs_usage *usage = calloc(1, sizeof(*usage));
        pthread_condattr_t monotonic;

        if (!usage)
                return -ENOMEM;
        usage->store = store;
        usage->asked = true;
        pthread_mutex_init(&usage->lock, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&usage->changed, &monotonic);
        pthread_condattr_destroy(&monotonic);

        int r = fetch_thread_start(&usage->thread, run, usage);

        if (r < 0) {
                free(usage);
                return r;
        }
        *ret = usage;
        return 0;
}

void fs_usage_free(struct fs_usage *usage)
{
        if (!usage)
                return;
        atomic_store(&usage->stopping, true);
        pthread_mutex_lock(&usage->lock);
        pthread_cond_signal(&usage->changed);
        pthread_mutex_unlock(&usage->lock);
        pthread_join(usage->thread, NULL);
        pthread_cond_destroy(&usage->changed);
        pthread_mutex_destroy(&usage->lock);
        free(usage);
}

void fs_usage_ask(struct fs_usage *usage)
{
        pthread_mutex_lock(&usage->lock);
        usage->asked = true;
        pthread_cond_signal(&usage->changed);
        pthread_mutex_unlock(&usage->lock);
}

bool fs_usage_look(struct fs_usage *usage, struct cas_usage *ret)
{
        pthread_mutex_lock(&usage->lock);

        bool counted = usage->counted;

        *ret = usage->last;
        usage->asked = true;
        pthread_cond_signal(&usage->changed);
        pthread_mutex_unlock(&usage->lock);
        return counted;
}
