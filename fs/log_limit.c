/*
 * A token bucket for each event. Pure: no clock, no output.
 */
#include "fs/log_limit.h"

#include <string.h>
#include <syslog.h>

#define LINE_MS 1000 /* what one line costs; a bucket gains one for each ms that passes */

static int64_t capacity_ms(int priority)
{
        return (priority == LOG_DEBUG ? FS_LOG_DEBUG_BURST : FS_LOG_BURST) * (int64_t)LINE_MS;
}

static struct fs_log_bucket *find(struct fs_log_limits *limits, const char *event, size_t length,
                                  int priority, int64_t now_ms)
{
        struct fs_log_bucket *bucket = limits->buckets;

        if (length >= FS_LOG_EVENT_MAX)
                length = FS_LOG_EVENT_MAX - 1;
        for (unsigned i = 0; i < limits->count; i++, bucket++)
                if (strncmp(bucket->event, event, length) == 0 && bucket->event[length] == '\0')
                        return bucket;
        if (limits->count == FS_LOG_EVENTS)
                return bucket - 1;
        *bucket = (struct fs_log_bucket){.filled_ms = now_ms, .tokens_ms = capacity_ms(priority)};
        if (++limits->count == FS_LOG_EVENTS)
                event = "others", length = strlen("others");
        memcpy(bucket->event, event, length);
        return bucket;
}

bool fs_log_limit_take(struct fs_log_limits *limits, const char *event, size_t length, int priority,
                       int64_t now_ms)
{
        struct fs_log_bucket *bucket = find(limits, event, length, priority, now_ms);
        int64_t most = capacity_ms(priority);

        bucket->tokens_ms += now_ms - bucket->filled_ms;
        bucket->filled_ms = now_ms;
        if (bucket->tokens_ms > most)
                bucket->tokens_ms = most;
        if (bucket->tokens_ms >= LINE_MS) {
                bucket->tokens_ms -= LINE_MS;
                return true;
        }
        if (bucket->lines == 0) {
                bucket->since_ms = now_ms;
                bucket->priority = priority;
        }
        if (priority < bucket->priority)
                bucket->priority = priority;
        bucket->lines++;
        limits->suppressed++;
        return false;
}

struct fs_log_bucket *fs_log_limit_due(struct fs_log_limits *limits, int64_t now_ms, bool all)
{
        for (unsigned i = 0; i < limits->count && limits->suppressed > 0; i++) {
                struct fs_log_bucket *bucket = &limits->buckets[i];
                /* While lines come faster than tokens there is never a whole one to be seen. */
                bool calm = bucket->tokens_ms + now_ms - bucket->filled_ms >= LINE_MS;

                if (bucket->lines > 0 &&
                    (all || calm || now_ms - bucket->since_ms >= FS_LOG_SAY_MS))
                        return bucket;
        }
        return NULL;
}

void fs_log_limit_said(struct fs_log_limits *limits, struct fs_log_bucket *bucket)
{
        limits->suppressed -= bucket->lines;
        bucket->lines = 0;
}
