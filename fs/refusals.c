/*
 * Collects refusals. Says nothing before the end, unless it is to say all.
 */
#include "fs/refusals.h"

#include "fs/log.h"

#include <stdarg.h>
#include <stdio.h>

int fs_refuse(struct fs_refusals *refusals, int status, const char *format, ...)
{
        char line[sizeof(refusals->first)];
        char *text = refusals->count ? line : refusals->first;
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(line), format, args);
        va_end(args);
        if (refusals->say_all)
                fs_fail("%s", text);
        if (refusals->count++ == 0)
                refusals->status = status;
        return status;
}

int fs_refusals_end(const struct fs_refusals *refusals)
{
        if (refusals->count && !refusals->say_all)
                fs_fail("%s", refusals->first);
        return refusals->status;
}
