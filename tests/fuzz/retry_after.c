/*
 * Retry-After, seconds and dates, at several moments.
 */
#include "fetch/header.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdbool.h>
#include <time.h>

/* What is asked again in other words has the same answer: a date, in the preferred form. */
static void check_date(int64_t date, int64_t now, int64_t ms)
{
        time_t seconds = (time_t)date;
        struct tm calendar;
        char plain[64];
        int64_t again;

        fuzz_expect(gmtime_r(&seconds, &calendar));
        fuzz_expect(strftime(plain, sizeof(plain), "%a, %d %b %Y %H:%M:%S GMT", &calendar));
        fuzz_expect(fetch_retry_after_parse(plain, now, &again) == 0);
        fuzz_expect(again == ms);
}

static void check_moment(const char *text, int64_t now, int64_t *last_ms)
{
        int64_t ms = -7;
        int r = fetch_retry_after_parse(text, now, &ms);

        if (r < 0) {
                fuzz_expect(r == -EINVAL && ms == -7 && *last_ms == -7);
                return;
        }
        fuzz_expect(ms >= 0 && ms <= FETCH_RETRY_AFTER_MAX_MS && ms % 1000 == 0);

        bool is_seconds = text[strspn(text, "0123456789 \t")] == '\0';

        /* Time goes on, so a date comes nearer. */
        if (*last_ms != -7)
                fuzz_expect(is_seconds ? ms == *last_ms : ms <= *last_ms);
        if (!is_seconds && ms > 0 && ms < FETCH_RETRY_AFTER_MAX_MS)
                check_date(now + ms / 1000, now, ms);
        *last_ms = ms;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        /* About the example of RFC 9110, 5.6.7, and one of our time. */
        static const int64_t moments[] = {INT64_MIN, -1,         0,          784111717,
                                          784111776, 1795564740, 1795564799, INT64_MAX};
        char *text = fuzz_text(data, size);
        int64_t last_ms = -7;

        for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++)
                check_moment(text, moments[i], &last_ms);
        free(text);
        return 0;
}
