/*
 * HTTP header values: Content-Range, Retry-After, ETag. Pure: no transfer, no clock.
 */
#include "fetch/header.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* Nothing but optional whitespace is left. */
static bool at_end(const char *text)
{
        return text[strspn(text, " \t")] == '\0';
}

/* Takes 1*DIGIT off the text. strtoull() would also take a sign and leading spaces. */
static bool take_number(const char **text, uint64_t *ret)
{
        const char *c = *text;
        uint64_t number = 0;

        for (; is_digit(*c); c++) {
                uint64_t digit = (uint64_t)(*c - '0');

                if (number > ((uint64_t)INT64_MAX - digit) / 10)
                        return false;
                number = 10 * number + digit;
        }
        if (c == *text)
                return false;
        *text = c;
        *ret = number;
        return true;
}

static bool take_byte(const char **text, char byte)
{
        if (**text != byte)
                return false;
        (*text)++;
        return true;
}

/* Names of range units have no case (RFC 9110, 14.1). */
static bool take_unit(const char **text)
{
        static const char unit[] = "bytes ";

        if (strncasecmp(*text, unit, strlen(unit)) != 0)
                return false;
        *text += strlen(unit);
        return true;
}

bool fetch_content_range_parse(const char *text, struct fetch_range *ret)
{
        struct fetch_range range = {.total = UINT64_MAX};

        if (!take_unit(&text) || !take_number(&text, &range.first) || !take_byte(&text, '-') ||
            !take_number(&text, &range.last) || !take_byte(&text, '/'))
                return false;
        if (!take_byte(&text, '*') && !take_number(&text, &range.total))
                return false;
        if (!at_end(text) || range.first > range.last || range.last >= range.total)
                return false;
        *ret = range;
        return true;
}

bool fetch_unsatisfied_range_parse(const char *text, uint64_t *ret_total)
{
        uint64_t total;

        if (!take_unit(&text) || !take_byte(&text, '*') || !take_byte(&text, '/') ||
            !take_number(&text, &total) || !at_end(text))
                return false;
        *ret_total = total;
        return true;
}

/* Takes one of the names off the text, its first `length` letters, or all of it if 0. */
static bool take_name(const char **text, const char *const *names, size_t length)
{
        for (; *names; names++) {
                size_t letters = length ? length : strlen(*names);

                if (strncmp(*text, *names, letters) != 0)
                        continue;
                *text += letters;
                return true;
        }
        return false;
}

/*
 * In a form, 'a' is the short name of a day, 'A' the long one, 'b' a month, 'd' a digit, '_'
 * a digit or a space; the rest is itself. Case matters (RFC 9110, 5.6.7).
 */
static bool has_form(const char *text, const char *form)
{
        static const char *const days[] = {"Sunday",   "Monday", "Tuesday",  "Wednesday",
                                           "Thursday", "Friday", "Saturday", NULL};
        static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
                                             "Aug", "Sep", "Oct", "Nov", "Dec", NULL};

        for (; *form; form++) {
                bool taken;

                if (*form == 'a' || *form == 'A')
                        taken = take_name(&text, days, *form == 'a' ? 3 : 0);
                else if (*form == 'b')
                        taken = take_name(&text, months, 0);
                else if (*form == 'd' || (*form == '_' && *text != ' '))
                        taken = is_digit(*text) && take_byte(&text, *text);
                else
                        taken = take_byte(&text, *form == '_' ? ' ' : *form);
                if (!taken)
                        return false;
        }
        return at_end(text);
}

/*
 * curl_getdate() knows the calendar, but guesses: it takes a lone number for a date, and a
 * word for a zone. So it is asked about the forms of HTTP alone.
 */
static bool take_date(const char *text, int64_t *ret)
{
        static const char *const forms[] = {
            "a, dd b dddd dd:dd:dd GMT", /* IMF-fixdate */
            "A, dd-b-dd dd:dd:dd GMT",   /* RFC 850 */
            "a b _d dd:dd:dd dddd",      /* asctime() */
        };

        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
                if (!has_form(text, forms[i]))
                        continue;
                *ret = curl_getdate(text, NULL);
                return *ret != -1;
        }
        return false;
}

int fetch_retry_after_parse(const char *text, int64_t now, int64_t *ret_ms)
{
        const uint64_t most = FETCH_RETRY_AFTER_MAX_MS / 1000;
        size_t digits = strspn(text, "0123456789");
        uint64_t seconds;
        int64_t date;

        if (digits > 0 && at_end(text + digits)) {
                /* A number that is too large to be one is still a long time. */
                if (!take_number(&text, &seconds))
                        seconds = most;
        } else if (take_date(text, &date)) {
                seconds = date > now ? (uint64_t)date - (uint64_t)now : 0;
        } else {
                return -EINVAL;
        }
        *ret_ms = (int64_t)(seconds < most ? seconds : most) * 1000;
        return 0;
}

bool fetch_etag_is_strong(const char *text)
{
        size_t length = strnlen(text, FETCH_ETAG_MAX);

        if (length < 2 || length == FETCH_ETAG_MAX || text[0] != '"' || text[length - 1] != '"')
                return false;
        for (size_t i = 1; i < length - 1; i++) {
                unsigned char c = (unsigned char)text[i];

                if (c <= ' ' || c == '"' || c == 0x7f)
                        return false;
        }
        return true;
}
