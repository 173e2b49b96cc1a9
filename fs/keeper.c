/*
 * The keeper's thread. It rests after each count for far longer than the count took, so
 * that a large cache that is watched every second costs a few percent of one disk.
 */
#include "fs/keeper.h"

#include "cas/room.h"
#include "fetch/clock.h"
#include "fetch/thread.h"
#include "fs/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define REST_MS    200 /* at least */
#define REST_TIMES 30  /* as long as it took */

#define TRIM_MS       60000            /* how often the bounds are seen to */
#define SCAN_EVERY_MS (24 * 3600000LL) /* how often the disk is looked at for what came by hand */

struct fs_keeper {
        struct cas_store *store;
        pthread_t thread;
        atomic_bool stopping;

        pthread_mutex_t lock;
        pthread_cond_t changed; /* monotonic */
        bool asked;             /* lock */
        bool counted;           /* lock */
        struct cas_usage last;  /* lock */
};

struct schedule {
        int64_t count_ms; /* not before */
        int64_t trim_ms;
        int64_t scan_ms;
};

/* Locked. Until something is to be done (true) or it ends. */
static bool wait_for_work(struct fs_keeper *keeper, const struct schedule *schedule)
{
        while (!atomic_load(&keeper->stopping)) {
                int64_t next_ms = schedule->trim_ms;

                if (keeper->asked && schedule->count_ms < next_ms)
                        next_ms = schedule->count_ms;
                if (fetch_now_ms() >= next_ms)
                        return true;

                struct timespec until = {.tv_sec = next_ms / 1000,
                                         .tv_nsec = next_ms % 1000 * 1000000};

                pthread_cond_timedwait(&keeper->changed, &keeper->lock, &until);
        }
        return false;
}

/* Which blobs there are, and whether they are within the bounds. */
static void keep(struct fs_keeper *keeper, struct schedule *schedule)
{
        struct cas_freed freed;

        if (fetch_now_ms() >= schedule->scan_ms) {
                int r = cas_store_scan(keeper->store, &keeper->stopping);

                if (r < 0 && r != -ECANCELED)
                        fs_log(LOG_ERR, "event=scan cause=%s", fs_log_value(strerror(-r)).text);
                schedule->scan_ms = fetch_now_ms() + SCAN_EVERY_MS;
        }
        cas_room_trim(keeper->store, NULL, &keeper->stopping,
                      &freed); /* what it evicts is told one by one */
        schedule->trim_ms = fetch_now_ms() + TRIM_MS;
}

static void count(struct fs_keeper *keeper, struct schedule *schedule)
{
        struct cas_usage now;
        int64_t began_ms = fetch_now_ms();
        int r = cas_usage_count(keeper->store, &keeper->stopping, &now);
        int64_t ended_ms = fetch_now_ms();
        int64_t rest_ms = REST_TIMES * (ended_ms - began_ms);

        pthread_mutex_lock(&keeper->lock);
        if (r == 0) {
                keeper->last = now;
                keeper->counted = true;
        }
        pthread_mutex_unlock(&keeper->lock);
        schedule->count_ms = ended_ms + (rest_ms > REST_MS ? rest_ms : REST_MS);
}

static void *run(void *arg)
{
        struct fs_keeper *keeper = arg;
        struct schedule schedule = {0};

        pthread_setname_np(pthread_self(), "keeper");
        pthread_mutex_lock(&keeper->lock);
        while (wait_for_work(keeper, &schedule)) {
                bool asked = keeper->asked;

                keeper->asked = false;
                pthread_mutex_unlock(&keeper->lock);
                if (fetch_now_ms() >= schedule.trim_ms)
                        keep(keeper, &schedule);
                if (asked)
                        count(keeper, &schedule);
                pthread_mutex_lock(&keeper->lock);
        }
        pthread_mutex_unlock(&keeper->lock);
        cas_store_set_keeper(keeper->store, false);
        return NULL;
}

int fs_keeper_new(struct cas_store *store, struct fs_keeper **ret)
{
        struct fs_keeper *keeper = calloc(1, sizeof(*keeper));
        pthread_condattr_t monotonic;

        if (!keeper)
                return -ENOMEM;
        keeper->store = store;
        keeper->asked = true;
        pthread_mutex_init(&keeper->lock, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&keeper->changed, &monotonic);
        pthread_condattr_destroy(&monotonic);

        cas_store_set_keeper(store, true);
        *ret = keeper; /* its thread may evict, and who is told of that asks for a count */

        int r = fetch_thread_start(&keeper->thread, run, keeper);

        if (r < 0) {
                cas_store_set_keeper(store, false);
                free(keeper);
                *ret = NULL;
                return r;
        }
        return 0;
}

void fs_keeper_free(struct fs_keeper *keeper)
{
        if (!keeper)
                return;
        atomic_store(&keeper->stopping, true);
        pthread_mutex_lock(&keeper->lock);
        pthread_cond_signal(&keeper->changed);
        pthread_mutex_unlock(&keeper->lock);
        pthread_join(keeper->thread, NULL);
        pthread_cond_destroy(&keeper->changed);
        pthread_mutex_destroy(&keeper->lock);
        free(keeper);
}

void fs_keeper_ask(struct fs_keeper *keeper)
{
        pthread_mutex_lock(&keeper->lock);
        keeper->asked = true;
        pthread_cond_signal(&keeper->changed);
        pthread_mutex_unlock(&keeper->lock);
}

bool fs_keeper_look(struct fs_keeper *keeper, struct cas_usage *ret)
{
        pthread_mutex_lock(&keeper->lock);

        bool counted = keeper->counted;

        *ret = keeper->last;
        keeper->asked = true;
        pthread_cond_signal(&keeper->changed);
        pthread_mutex_unlock(&keeper->lock);
        return counted;
}
