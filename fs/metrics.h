/*
 * What is counted, in the session memory, so that it goes on growing when a worker dies.
 * Everything is a plain counter that is only added to; a worker that dies between two of
 * them leaves sums that are off by one event, and nothing worse.
 *
 * Threads: all functions from any. The lock is the process's own, since there is never more
 * than one worker.
 */
#ifndef FS_METRICS_H
#define FS_METRICS_H

#include "cas/digest.h"
#include "fetch/cause.h"
#include "fetch/health.h"
#include "fetch/phase.h"

#include <pthread.h>
#include <stdatomic.h>

#define FS_BUCKETS         15
#define FS_SERVERS_COUNTED 32 /* the rest is one */
#define FS_FAILURES_KEPT   16

/* Upper bounds in microseconds; a value is counted in the first bucket it is not above, or in
 * the one behind them all. */
extern const int64_t fs_metrics_bounds[FS_BUCKETS];

struct fs_histogram {
        _Atomic uint64_t counts[FS_BUCKETS + 1];
        _Atomic uint64_t sum_us;
};

struct fs_server_bytes {
        char server[FETCH_SERVER_MAX]; /* "scheme://host:port"; of the last one "" */
        _Atomic uint64_t bytes;
};

struct fs_failure {
        struct cas_digest digest;
        int64_t time_ms; /* of the wall clock */
        int64_t duration_ms;
        uint64_t bytes;
        int32_t error; /* errno, positive */
        char cause[FETCH_TEXT_MAX];
        char source[FETCH_SOURCE_MAX];
};

struct fs_metrics {
        _Atomic uint64_t hits;                           /* opens of what was here */
        _Atomic uint64_t misses;                         /* … and of what was not */
        _Atomic uint64_t downloads[FETCH_CANCELLED + 1]; /* by how they ended */
        _Atomic uint64_t revalidated;
        _Atomic uint64_t refused;
        _Atomic uint64_t evictions;
        _Atomic uint64_t evicted_bytes; /* of the disk */
        _Atomic uint64_t scrub_blobs;   /* hashed in the background, whatever was found */
        _Atomic uint64_t scrub_bytes;
        _Atomic uint64_t scrub_bad;
        struct fs_histogram open_wait; /* of misses */
        struct fs_histogram download;
        struct fs_histogram phases[FETCH_PHASES];

        /* The lock; the bytes need none. */
        struct fs_server_bytes servers[FS_SERVERS_COUNTED + 1];
        _Atomic uint32_t server_count;
        struct fs_failure failures[FS_FAILURES_KEPT];
        _Atomic uint64_t failure_count;
};

void fs_metrics_observe(struct fs_histogram *histogram, int64_t microseconds);

/* Where a server's bytes are counted. */
_Atomic uint64_t *fs_metrics_server(struct fs_metrics *metrics, const char *server);

/* Of the failures that are kept, the last one last. */
void fs_metrics_fail(struct fs_metrics *metrics, const struct fs_failure *failure);

/* The index-th latest, 0 the last; false where there is none. Its texts are safe to show,
 * whatever wrote them. */
bool fs_metrics_failure(struct fs_metrics *metrics, unsigned index, struct fs_failure *ret);

#endif
