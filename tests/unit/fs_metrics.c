/*
 * Counting, in a memory that another process may have left in any state.
 */
#include "fs/metrics.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(fs_metrics, .timeout = 10);

static struct fs_metrics metrics;

Test(fs_metrics, values_fall_into_the_first_bucket_they_are_not_above)
{
        struct fs_histogram *histogram = &metrics.open_wait;

        fs_metrics_observe(histogram, fs_metrics_bounds[0]);
        fs_metrics_observe(histogram, fs_metrics_bounds[0] + 1);
        fs_metrics_observe(histogram, fs_metrics_bounds[FS_BUCKETS - 1] + 1);
        fs_metrics_observe(histogram, -5);
        cr_expect_eq(histogram->counts[0], 2);
        cr_expect_eq(histogram->counts[1], 1);
        cr_expect_eq(histogram->counts[FS_BUCKETS], 1);
        cr_expect_eq(histogram->sum_us,
                     (uint64_t)(2 * fs_metrics_bounds[0] + 2 + fs_metrics_bounds[FS_BUCKETS - 1]));
        for (int i = 1; i < FS_BUCKETS; i++)
                cr_expect_gt(fs_metrics_bounds[i], fs_metrics_bounds[i - 1]);
}

Test(fs_metrics, servers_are_counted_apart_until_there_are_too_many)
{
        char name[64];

        for (int i = 0; i < 2 * FS_SERVERS_COUNTED; i++) {
                snprintf(name, sizeof(name), "https://host-%d:443", i);
                atomic_fetch_add(fs_metrics_server(&metrics, name), 1);
                atomic_fetch_add(fs_metrics_server(&metrics, name), 1);
        }
        cr_expect_eq(metrics.server_count, FS_SERVERS_COUNTED);
        cr_expect_str_eq(metrics.servers[1].server, "https://host-1:443");
        cr_expect_eq(metrics.servers[1].bytes, 2);
        cr_expect_eq(metrics.servers[FS_SERVERS_COUNTED].bytes, 2 * FS_SERVERS_COUNTED);
}

Test(fs_metrics, a_count_that_cannot_be_does_no_harm)
{
        metrics.server_count = 4000000;
        atomic_fetch_add(fs_metrics_server(&metrics, "https://host:443"), 7);
        cr_expect_eq(metrics.servers[FS_SERVERS_COUNTED].bytes, 7);
}

Test(fs_metrics, the_last_failures_are_kept_the_latest_first)
{
        struct fs_failure failure = {0};
        struct fs_failure found;

        cr_expect_not(fs_metrics_failure(&metrics, 0, &found));
        for (int i = 0; i < FS_FAILURES_KEPT + 3; i++) {
                failure.error = i;
                fs_metrics_fail(&metrics, &failure);
        }
        cr_expect(fs_metrics_failure(&metrics, 0, &found));
        cr_expect_eq(found.error, FS_FAILURES_KEPT + 2);
        cr_expect(fs_metrics_failure(&metrics, FS_FAILURES_KEPT - 1, &found));
        cr_expect_eq(found.error, 3);
        cr_expect_not(fs_metrics_failure(&metrics, FS_FAILURES_KEPT, &found));
}

Test(fs_metrics, texts_of_a_worker_that_died_are_safe_to_show)
{
        struct fs_failure found;

        metrics.failure_count = 1;
        memset(metrics.failures[0].cause, '\033', sizeof(metrics.failures[0].cause));
        cr_assert(fs_metrics_failure(&metrics, 0, &found));
        cr_expect_eq(strlen(found.cause), sizeof(found.cause) - 1);
        cr_expect_null(strchr(found.cause, '\033'));
}
