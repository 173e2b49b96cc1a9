/*
 * Causes: setting, ranking, making them safe to print. Pure.
 */
#include "fetch/cause.h"

#include "cas/scrub.h"

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

void fetch_cause_set_verdict(struct fetch_cause *cause, const struct cas_verdict *verdict)
{
        const char *fate = verdict->kept ? "quarantined" : "removed";
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(&verdict->found, hex);
        if (verdict->error)
                fetch_cause_set(cause, FETCH_WRONG_BYTES, "the disk cannot read it (%s); %s",
                                strerror(-verdict->error), fate);
        else if (verdict->hashed > 0)
                fetch_cause_set(cause, FETCH_WRONG_BYTES, "its bytes have the SHA-256 %s; %s", hex,
                                fate);
        else
                fetch_cause_set(cause, FETCH_WRONG_BYTES,
                                "what stood in the cache was not this asset; %s", fate);
}

void fetch_cause_merge(struct fetch_cause *worst, const struct fetch_cause *other)
{
        bool stays = worst->kind >= FETCH_DISK; /* whatever the sources after it say */

        if (worst->kind == FETCH_OK || other->kind >= FETCH_DISK ||
            (!stays && other->kind < worst->kind))
                *worst = *other;
}

/* Behind a number of milliseconds or bytes, as curl counts them; NULL: there is none. */
static const char *behind_amount(const char *text)
{
        static const char *const units[] = {" ms", " milliseconds", " bytes", " out of"};
        const char *end = text + strspn(text, "0123456789");

        for (size_t i = 0; end > text && i < sizeof(units) / sizeof(units[0]); i++)
                if (strncmp(end, units[i], strlen(units[i])) == 0)
                        return end;
        return NULL;
}

bool fetch_cause_is_same_text(const char *one, const char *other)
{
        while (*one && *other) {
                const char *behind_one = behind_amount(one);
                const char *behind_other = behind_amount(other);

                if (behind_one && behind_other) {
                        one = behind_one;
                        other = behind_other;
                } else if (*one++ != *other++) {
                        return false;
                }
        }
        return *one == *other;
}

bool fetch_cause_is_sources(const struct fetch_cause *cause)
{
        return cause->kind < FETCH_DISK || cause->claimed;
}
