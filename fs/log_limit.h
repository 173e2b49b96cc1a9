/*
 * How many lines of one event the log takes: some at once, then one a second, so that
 * a launcher that crashes in a loop does not fill the disk. What is left out is counted,
 * and said once the event has calmed down, or once a minute while it does not.
 *
 * Time is what the caller says it is, monotonic milliseconds. Does not log, does not
 * lock: the caller holds its own.
 */
#ifndef FS_LOG_LIMIT_H
#define FS_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_LOG_BURST       64    /* lines of one event at once */
#define FS_LOG_DEBUG_BURST 1024  /* whoever asks for these wants to see them */
#define FS_LOG_SAY_MS      60000 /* of one event's lines that go on being left out */

#define FS_LOG_EVENTS    64 /* of more than these, the rest share the last place */
#define FS_LOG_EVENT_MAX 24 /* bytes of a name, with the NUL */

struct fs_log_bucket {
        char event[FS_LOG_EVENT_MAX];
        int64_t filled_ms; /* when the tokens were counted last */
        int64_t tokens_ms; /* a line costs 1000 */
        int64_t since_ms;  /* the first of the lines left out */
        unsigned lines;    /* left out, and not said yet */
        int priority;      /* of the most important of them */
};

struct fs_log_limits {
        struct fs_log_bucket buckets[FS_LOG_EVENTS];
        unsigned count;
        unsigned suppressed; /* lines that were left out of all of them, and not said yet */
};

/* May this line of the event be written? If not, it is counted. */
bool fs_log_limit_take(struct fs_log_limits *limits, const char *event, size_t length, int priority,
                       int64_t now_ms);

/* One event whose left out lines are to be said now (`all`: however it is doing), or NULL. The
 * caller says them and sets `lines` to 0 by fs_log_limit_said(). */
struct fs_log_bucket *fs_log_limit_due(struct fs_log_limits *limits, int64_t now_ms, bool all);
void fs_log_limit_said(struct fs_log_limits *limits, struct fs_log_bucket *bucket);

#endif
