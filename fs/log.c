/*
 * Where log lines go. The only file that writes to stderr or syslog.
 */
#include "fs/log.h"

#include "fetch/cause.h"
#include "fetch/clock.h"
#include "fs/log_limit.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Two of the longest values and what stands beside them. With prefix and newline no more than
 * PIPE_BUF, so that lines of several threads or processes do not mix in a pipe. */
#define LINE_MAX_BYTES 3072

static atomic_bool use_syslog;
static atomic_int level = LOG_INFO;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fs_log_limits limits; /* lock */

static void write_to_stderr(const char *line, size_t length)
{
        while (length > 0) {
                ssize_t done = write(STDERR_FILENO, line, length);

                if (done < 0 && errno != EINTR)
                        return; /* whom to tell? */
                if (done > 0) {
                        line += done;
                        length -= (size_t)done;
                }
        }
}

static void write_line(int priority, const char *line)
{
        char whole[LINE_MAX_BYTES + 32];
        int length;

        if (atomic_load(&use_syslog)) {
                syslog(priority, "%s", line);
                return;
        }
        if (isatty(STDERR_FILENO))
                length = snprintf(whole, sizeof(whole), "assetfs: %s\n", line);
        else
                length = snprintf(whole, sizeof(whole), "<%d>assetfs: %s\n", priority, line);
        write_to_stderr(whole, (size_t)length);
}

/* The name in "event=NAME …", which every format of ours begins with. */
static const char *event_of(const char *format, size_t *ret_length)
{
        const char *name = strncmp(format, "event=", 6) == 0 ? format + 6 : format;

        *ret_length = strcspn(name, " %");
        return name;
}

/* What an operator looks for first is there whatever else happened. */
static bool is_always_written(int priority, const char *event, size_t length)
{
        static const char *const always[] = {"mounted", "serving", "reloaded", "stopping",
                                             "unmounted"};

        if (priority <= LOG_CRIT)
                return true;
        for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
                if (strlen(always[i]) == length && memcmp(always[i], event, length) == 0)
                        return true;
        return false;
}

static bool is_within_limit(int priority, const char *format)
{
        size_t length;
        const char *event = event_of(format, &length);

        if (is_always_written(priority, event, length))
                return true;
        pthread_mutex_lock(&lock);

        bool may = fs_log_limit_take(&limits, event, length, priority, fetch_now_ms());

        pthread_mutex_unlock(&lock);
        return may;
}

bool fs_log_wants(int priority)
{
        return priority <= atomic_load(&level);
}

void fs_log_set_level(int priority)
{
        atomic_store(&level, priority);
}

void fs_log(int priority, const char *format, ...)
{
        char line[LINE_MAX_BYTES];
        va_list args;

        if (!fs_log_wants(priority) || !is_within_limit(priority, format))
                return;
        va_start(args, format);
        vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        fetch_make_printable(line);
        write_line(priority, line);
}

struct fs_log_value fs_log_value(const char *text)
{
        static const size_t room = FS_LOG_VALUE_MAX - sizeof("...\"");
        struct fs_log_value value = {""};
        bool quoted = *text == '\0' || strpbrk(text, " \"\\=");
        char *end = value.text;

        if (quoted)
                *end++ = '"';
        for (; *text; text++) {
                if ((size_t)(end - value.text) + 2 > room) {
                        end = stpcpy(end, "...");
                        break;
                }
                if (*text == '"' || *text == '\\')
                        *end++ = '\\';
                *end++ = *text;
        }
        if (quoted)
                *end++ = '"';
        *end = '\0';
        fetch_make_printable(value.text);
        return value;
}

/* The lines are written without the lock: whoever logs meanwhile does not wait for the disk. */
static void say_suppressed(bool all)
{
        for (;;) {
                char event[FS_LOG_EVENT_MAX];
                struct fs_log_bucket *bucket;
                unsigned lines = 0;
                int priority = LOG_INFO;

                pthread_mutex_lock(&lock);
                bucket = fs_log_limit_due(&limits, fetch_now_ms(), all);
                if (bucket) {
                        memcpy(event, bucket->event, sizeof(event));
                        lines = bucket->lines;
                        priority = bucket->priority;
                        fs_log_limit_said(&limits, bucket);
                }
                pthread_mutex_unlock(&lock);
                if (!bucket)
                        return;

                char line[128];

                snprintf(line, sizeof(line), "event=suppressed of=%s lines=%u", event, lines);
                write_line(priority, line);
        }
}

void fs_log_tick(void)
{
        say_suppressed(false);
}

void fs_log_end(void)
{
        say_suppressed(true);
}

void fs_log_to_syslog(void)
{
        openlog("assetfs", LOG_PID, LOG_DAEMON);
        atomic_store(&use_syslog, 1);
}

int fs_fail(const char *format, ...)
{
        char line[LINE_MAX_BYTES];
        va_list args;

        va_start(args, format);
        vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        fetch_make_printable(line);
        if (atomic_load(&use_syslog))
                syslog(LOG_ERR, "event=error cause=%s", fs_log_value(line).text);
        else
                fprintf(stderr, "assetfs: %s\n", line);
        return 1;
}
