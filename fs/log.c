/*
 * Where log lines go. The only file that writes to stderr or syslog.
 */
#include "fs/log.h"

#include "fetch/cause.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static atomic_bool use_syslog;

void fs_log(int priority, const char *format, ...)
{
        char line[LINE_MAX_BYTES];
        va_list args;

        va_start(args, format);
        vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        fetch_make_printable(line);
        if (atomic_load(&use_syslog))
                syslog(priority, "%s", line);
        else if (isatty(STDERR_FILENO))
                fprintf(stderr, "assetfs: %s\n", line);
        else
                fprintf(stderr, "<%d>assetfs: %s\n", priority, line);
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
                syslog(LOG_ERR, "%s", line);
        else
                fprintf(stderr, "assetfs: %s\n", line);
        return 1;
}
