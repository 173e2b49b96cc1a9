/*
 * Counting. Where it is shown is in fs/report_prom.c and fs/report_json.c.
 */
#include "fs/metrics.h"

#include <string.h>

#define MS INT64_C(1000)
#define S  INT64_C(1000000)

const int64_t fs_metrics_bounds[FS_BUCKETS] = {MS,       5 * MS, 10 * MS, 50 * MS,   100 * MS,
                                               250 * MS, S / 2,  S,       5 * S / 2, 5 * S,
                                               10 * S,   30 * S, 60 * S,  300 * S,   1800 * S};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void fs_metrics_observe(struct fs_histogram *histogram, int64_t microseconds)
{
        unsigned i = 0;

        while (i < FS_BUCKETS && microseconds > fs_metrics_bounds[i])
                i++;
        atomic_fetch_add(&histogram->counts[i], 1);
        atomic_fetch_add(&histogram->sum_us, (uint64_t)(microseconds > 0 ? microseconds : 0));
}

/* Written by a worker that may have died doing so. */
static uint32_t servers_in(const struct fs_metrics *metrics)
{
        uint32_t count = atomic_load(&metrics->server_count);

        return count < FS_SERVERS_COUNTED ? count : FS_SERVERS_COUNTED;
}

_Atomic uint64_t *fs_metrics_server(struct fs_metrics *metrics, const char *server)
{
        struct fs_server_bytes *found = NULL;

        pthread_mutex_lock(&lock);

        uint32_t count = servers_in(metrics);

        for (uint32_t i = 0; i < count && !found; i++)
                if (strncmp(metrics->servers[i].server, server, FETCH_SERVER_MAX) == 0)
                        found = &metrics->servers[i];
        if (!found) {
                found = &metrics->servers[count];
                if (count < FS_SERVERS_COUNTED) {
                        strncpy(found->server, server, FETCH_SERVER_MAX - 1);
                        atomic_store(&metrics->server_count, count + 1);
                }
        }
        pthread_mutex_unlock(&lock);
        return &found->bytes;
}

void fs_metrics_fail(struct fs_metrics *metrics, const struct fs_failure *failure)
{
        pthread_mutex_lock(&lock);
        metrics->failures[atomic_load(&metrics->failure_count) % FS_FAILURES_KEPT] = *failure;
        atomic_fetch_add(&metrics->failure_count, 1);
        pthread_mutex_unlock(&lock);
}

static void make_safe(char *text, size_t size)
{
        text[size - 1] = '\0';
        fetch_make_printable(text);
}

bool fs_metrics_failure(struct fs_metrics *metrics, unsigned index, struct fs_failure *ret)
{
        pthread_mutex_lock(&lock);

        uint64_t count = atomic_load(&metrics->failure_count);
        bool there = index < FS_FAILURES_KEPT && index < count;

        if (there)
                *ret = metrics->failures[(count - 1 - index) % FS_FAILURES_KEPT];
        pthread_mutex_unlock(&lock);
        if (there) {
                make_safe(ret->cause, sizeof(ret->cause));
                make_safe(ret->source, sizeof(ret->source));
        }
        return there;
}
