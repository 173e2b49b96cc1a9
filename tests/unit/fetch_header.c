/*
 * Response headers: what is taken is taken to the letter, and what is refused leaves the
 * caller's values alone.
 */
#include "fetch/header.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(fetch_header, .timeout = 20);

#define DAY_MS FETCH_RETRY_AFTER_MAX_MS

/* The date of the examples in RFC 9110, 5.6.7. */
#define EXAMPLE INT64_C(784111777)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void expect_range(const char *text, uint64_t first, uint64_t last, uint64_t total)
{
        struct fetch_range range = {0};

        cr_expect(fetch_content_range_parse(text, &range), "%s", text);
        cr_expect_eq(range.first, first, "%s", text);
        cr_expect_eq(range.last, last, "%s", text);
        cr_expect_eq(range.total, total, "%s", text);
}

Test(fetch_header, content_ranges)
{
        expect_range("bytes 0-0/1", 0, 0, 1);
        expect_range("bytes 42-1233/1234", 42, 1233, 1234);
        expect_range("bytes 42-1233/*", 42, 1233, UINT64_MAX);
        expect_range("Bytes 42-1233/1234", 42, 1233, 1234);
        expect_range("BYTES 42-1233/* \t ", 42, 1233, UINT64_MAX);
        expect_range("bytes 007-0010/0011\t", 7, 10, 11);
}

Test(fetch_header, fault_27_ranges_beyond_4_gib)
{
        expect_range("bytes 4294967296-8589934591/8589934592", UINT64_C(1) << 32,
                     (UINT64_C(1) << 33) - 1, UINT64_C(1) << 33);
        expect_range("bytes 9223372036854775806-9223372036854775806/9223372036854775807",
                     INT64_MAX - 1, INT64_MAX - 1, INT64_MAX);
        expect_range("bytes 0-9223372036854775807/*", 0, INT64_MAX, UINT64_MAX);
}

Test(fetch_header, fault_06_what_is_no_content_range)
{
        static const char *const bad[] = {
            "",
            "bytes",
            "bytes ",
            "0-1/2",
            "byte 0-1/2",
            "bytess 0-1/2",
            "items 0-1/2",
            "bytes=0-1/2",
            "bytes  0-1/2",
            "bytes\t0-1/2",
            " bytes 0-1/2",
            "bytes 0 -1/2",
            "bytes 0- 1/2",
            "bytes 0-1 /2",
            "bytes 0-1/ 2",
            "bytes -1/2",
            "bytes 0-/2",
            "bytes 0/2",
            "bytes 0-1",
            "bytes 0-1/",
            "bytes 0-1/**",
            "bytes 0-1/*2",
            "bytes 0-1/2*",
            "bytes 0-1/2x",
            "bytes 0-1/2 x",
            "bytes 0-1/2\n",
            "bytes 0-1/2\r\n",
            "bytes 0-1/2, bytes 2-3/4",
            "bytes +0-1/2",
            "bytes 0-+1/2",
            "bytes 0-1/+2",
            "bytes 0--1/2",
            "bytes 0x0-1/2",
            "bytes 0-1/-1",
            "bytes */2",
            "bytes */*",
            /* not last, or not inside */
            "bytes 1-0/2",
            "bytes 0-2/2",
            "bytes 0-0/0",
            /* beyond INT64_MAX, UINT64_MAX, and 2^64 + 1, which wraps to 1 */
            "bytes 0-9223372036854775808/*",
            "bytes 0-1/9223372036854775808",
            "bytes 0-1/18446744073709551615",
            "bytes 18446744073709551617-1/2",
            "bytes 0-18446744073709551617/2",
            "bytes 0-1/99999999999999999999999999999999999999999999",
        };

        for (size_t i = 0; i < COUNT(bad); i++) {
                struct fetch_range range = {7, 8, 9};

                cr_expect_not(fetch_content_range_parse(bad[i], &range), "'%s'", bad[i]);
                cr_expect(range.first == 7 && range.last == 8 && range.total == 9, "'%s'", bad[i]);
        }
}

Test(fetch_header, fault_08_unsatisfied_ranges)
{
        static const struct {
                const char *text;
                uint64_t total;
        } good[] = {
            {"bytes */0", 0},
            {"bytes */1234", 1234},
            {"bYtEs */1234 \t", 1234},
            {"bytes */9223372036854775807", INT64_MAX},
        };

        for (size_t i = 0; i < COUNT(good); i++) {
                uint64_t total = 7;

                cr_expect(fetch_unsatisfied_range_parse(good[i].text, &total), "%s", good[i].text);
                cr_expect_eq(total, good[i].total, "%s", good[i].text);
        }
}

Test(fetch_header, what_is_no_unsatisfied_range)
{
        static const char *const bad[] = {
            "",          "bytes",      "bytes *",      "bytes */",
            "bytes */*", "bytes *1",   "bytes * /1",   "bytes */ 1",
            "bytes **1", "bytes  */1", "bytes */+1",   "bytes */-1",
            "*/1",       "items */1",  "bytes 0-0/1",  "bytes */9223372036854775808",
            "bytes /1",  "bytes */1x", "bytes */1\r\n"};

        for (size_t i = 0; i < COUNT(bad); i++) {
                uint64_t total = 7;

                cr_expect_not(fetch_unsatisfied_range_parse(bad[i], &total), "'%s'", bad[i]);
                cr_expect_eq(total, 7, "'%s'", bad[i]);
        }
}

static void expect_wait(const char *text, int64_t now, int64_t ms)
{
        int64_t found = -7;

        cr_expect_eq(fetch_retry_after_parse(text, now, &found), 0, "'%s'", text);
        cr_expect_eq(found, ms, "'%s' is %lld ms", text, (long long)found);
}

Test(fetch_header, fault_21_retry_after_seconds)
{
        expect_wait("0", EXAMPLE, 0);
        expect_wait("1", EXAMPLE, 1000);
        expect_wait("120 \t", EXAMPLE, 120000);
        expect_wait("0120", EXAMPLE, 120000);
        expect_wait("86399", EXAMPLE, DAY_MS - 1000);
        expect_wait("86400", EXAMPLE, DAY_MS);
        expect_wait("86401", EXAMPLE, DAY_MS);
        expect_wait("9223372036854775807", EXAMPLE, DAY_MS);
        expect_wait("18446744073709551617", EXAMPLE, DAY_MS);
        expect_wait("99999999999999999999999999999999999999999", EXAMPLE, DAY_MS);
}

Test(fetch_header, fault_21_retry_after_dates)
{
        static const char *const same[] = {
            "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994", "Sun Nov 06 08:49:37 1994 \t"};

        for (size_t i = 0; i < COUNT(same); i++) {
                expect_wait(same[i], EXAMPLE, 0);
                expect_wait(same[i], EXAMPLE - 1, 1000);
                expect_wait(same[i], EXAMPLE - 90, 90000);
                expect_wait(same[i], EXAMPLE - 86401, DAY_MS);
                expect_wait(same[i], EXAMPLE + 1, 0);
        }
        expect_wait("Wed, 25 Nov 2026 00:00:00 GMT", 1795564799, 1000);
        expect_wait("Sat, 29 Feb 2020 23:59:60 GMT", 1583020799, 1000);
}

Test(fetch_header, retry_after_at_the_ends_of_time)
{
        expect_wait("Sun, 06 Nov 1994 08:49:37 GMT", INT64_MIN, DAY_MS);
        expect_wait("Sun, 06 Nov 1994 08:49:37 GMT", INT64_MAX, 0);
        expect_wait("Fri, 31 Dec 9999 23:59:59 GMT", EXAMPLE, DAY_MS);
        expect_wait("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0);
        expect_wait("Wed, 31 Dec 1969 23:59:59 GMT", 0, 0);
        expect_wait("1", INT64_MAX, 1000);
        expect_wait("1", INT64_MIN, 1000);
}

Test(fetch_header, what_is_no_retry_after)
{
        static const char *const bad[] = {
            "",
            " ",
            "-1",
            "+1",
            " 1",
            "1s",
            "1.5",
            "1 2",
            "1\r\n",
            "0x10",
            "1e3",
            "soon",
            /* curl_getdate() takes each of these */
            "Sun, 06 Nov 1994",
            "06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Sun, 06 Nov 1994 08:49:37 +0200",
            "Sun, 06 Nov 1994 08:49:37 GMT+2",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 gmt",
            "1994 06 Nov 08:49:37 GMT",
            "20040911 +0200",
            "EST Nov  6 08:49:37 1994",
            "Nov, 06 Sun 1994 08:49:37 GMT",
            /* the form is right, the date is none */
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            /* almost the form */
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06 Nov 1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Sun,  6 Nov 1994 08:49:37 GMT",
            " Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, 120",
            "Sun, dd Nov 1994 08:49:37 GMT",
            "Foo, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
        };

        for (size_t i = 0; i < COUNT(bad); i++) {
                int64_t ms = -7;

                cr_expect_eq(fetch_retry_after_parse(bad[i], EXAMPLE, &ms), -EINVAL, "'%s'",
                             bad[i]);
                cr_expect_eq(ms, -7, "'%s'", bad[i]);
        }
}

Test(fetch_header, entity_tags)
{
        static const char *const strong[] = {"\"\"",    "\"xyzzy\"", "\"W/\"",
                                             "\"a\\\"", "\"!#~\"",   "\"\x80\xff\""};
        static const char *const others[] = {
            "",         "\"",        "xyzzy",      "W/\"xyzzy\"",  "w/\"xyzzy\"",   "\"xyzzy",
            "xyzzy\"",  "'xyzzy'",   "\"a\"b\"",   "\"a\", \"b\"", "\"a b\"",       "\"a\tb\"",
            "\"a\nb\"", "\"a\x7f\"", "\"xyzzy\" ", " \"xyzzy\"",   "\"a\r\nX: b\"", "*"};

        for (size_t i = 0; i < COUNT(strong); i++)
                cr_expect(fetch_etag_is_strong(strong[i]), "%s", strong[i]);
        for (size_t i = 0; i < COUNT(others); i++)
                cr_expect_not(fetch_etag_is_strong(others[i]), "%s", others[i]);
}

Test(fetch_header, longest_entity_tag)
{
        char tag[FETCH_ETAG_MAX + 1];

        memset(tag, 'x', sizeof(tag));
        tag[0] = '"';
        tag[FETCH_ETAG_MAX - 2] = '"';
        tag[FETCH_ETAG_MAX - 1] = '\0';
        cr_expect(fetch_etag_is_strong(tag));
        tag[FETCH_ETAG_MAX - 2] = 'x';
        tag[FETCH_ETAG_MAX - 1] = '"';
        tag[FETCH_ETAG_MAX] = '\0';
        cr_expect_not(fetch_etag_is_strong(tag));
}
