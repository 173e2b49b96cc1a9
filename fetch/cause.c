/*
 * Causes: setting, ranking, making them safe to print. Pure.
 */
#include "fetch/cause.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void fetch_make_printable(char *text)
{
        for (; *text; text++)
                if (*text < ' ' || *text > '~')
                        *text = '?';
}

void fetch_make_quotable(char *text)
{
        fetch_make_printable(text);
        for (; *text; text++) {
                if (*text == '"')
                        *text = '\'';
                else if (*text == '\\')
                        *text = '?';
        }
}

void fetch_cause_set(struct fetch_cause *cause, enum fetch_kind kind, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(cause->text, sizeof(cause->text), format, args);
        va_end(args);
        fetch_make_quotable(cause->text);
        cause->kind = kind;
        cause->error = 0;
        cause->claimed = false;
        cause->final = false;
}

void fetch_cause_set_disk(struct fetch_cause *cause, int error, const char *doing)
{
        fetch_cause_set(cause, FETCH_DISK, "%s: %s", doing, strerror(error));
        cause->error = error;
}

void fetch_cause_merge(struct fetch_cause *worst, const struct fetch_cause *other)
{
        bool stays = worst->kind >= FETCH_DISK; /* whatever the sources after it say */

        if (worst->kind == FETCH_OK || other->kind >= FETCH_DISK ||
            (!stays && other->kind < worst->kind))
                *worst = *other;
}

bool fetch_cause_is_sources(const struct fetch_cause *cause)
{
        return cause->kind < FETCH_DISK || cause->claimed;
}
