/*
 * The log's lines as they arrive on stderr, which is a file here, and how many of them.
 */
#include "fs/log.h"
#include "fs/log_limit.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int terminal = -1; /* stderr as it was */
static int file = -1;

static void catch (void)
{
        terminal = dup(STDERR_FILENO);
        file = memfd_create("log", MFD_CLOEXEC);
        /* Or writes of several threads could overwrite each other there. */
        cr_assert(terminal >= 0 && fcntl(file, F_SETFL, O_APPEND) == 0);
        dup2(file, STDERR_FILENO);
}

TestSuite(fs_log, .init = catch, .timeout = 20);

/* All that was logged; stderr is the test's own again. */
static const char *caught(void)
{
        static char text[1 << 20];
        ssize_t got = pread(file, text, sizeof(text) - 1, 0);

        dup2(terminal, STDERR_FILENO);
        cr_assert(got >= 0);
        text[got] = '\0';
        return text;
}

static unsigned lines_with(const char *text, const char *words)
{
        unsigned count = 0;

        for (; (text = strstr(text, words)); text++)
                count++;
        return count;
}

Test(fs_log, a_line_has_journalds_priority)
{
        fs_log(LOG_ERR, "event=failed errno=%s", "EIO");
        fs_log(LOG_INFO, "event=mounted");
        cr_expect_str_eq(caught(), "<3>assetfs: event=failed errno=EIO\n"
                                   "<6>assetfs: event=mounted\n");
}

Test(fs_log, the_level_leaves_out_what_is_less_important)
{
        fs_log(LOG_DEBUG, "event=one");
        fs_log_set_level(LOG_WARNING);
        cr_expect_not(fs_log_wants(LOG_INFO));
        fs_log(LOG_INFO, "event=two");
        fs_log(LOG_WARNING, "event=three");
        fs_log_set_level(LOG_DEBUG);
        fs_log(LOG_DEBUG, "event=four");
        cr_expect_str_eq(caught(), "<4>assetfs: event=three\n<7>assetfs: event=four\n");
}

Test(fs_log, values_that_need_no_quotes_have_none)
{
        static const char *const plain[] = {"-", "https://host:1/a?...", "/var/cache", "a,b;'c'"};

        for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
                cr_expect_str_eq(fs_log_value(plain[i]).text, plain[i]);
}

Test(fs_log, values_cannot_be_taken_for_something_else)
{
        static const char *const values[][2] = {
            {"", "\"\""},
            {"HTTP 503", "\"HTTP 503\""},
            {"a=b", "\"a=b\""},
            {"\"", "\"\\\"\""},
            {"\\", "\"\\\\\""},
            {"x\" errno=OK \\", "\"x\\\" errno=OK \\\\\""},
            {"x\r\n \x1b[2J", "\"x?? ?[2J\""},
            {"gr\xc3\xbc\xc3\x9f", "gr????"},
        };

        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
                cr_expect_str_eq(fs_log_value(values[i][0]).text, values[i][1]);
}

/* However long, and whatever byte the cut falls on, it ends as a value does. */
Test(fs_log, a_long_value_is_cut_and_still_closed)
{
        static char text[5000];

        for (size_t spaces = 0; spaces < 4; spaces++) {
                memset(text, '"', sizeof(text) - 1);
                memset(text, ' ', spaces);

                struct fs_log_value value = fs_log_value(text);
                size_t length = strlen(value.text);

                cr_expect_lt(length, FS_LOG_VALUE_MAX);
                cr_expect_gt(length, FS_LOG_VALUE_MAX - 8);
                cr_expect_str_eq(value.text + length - 6, "\\\"...\"");
        }
        memset(text, 'x', sizeof(text) - 1);
        fs_log(LOG_ERR, "event=failed source=%s cause=%s errno=EIO", fs_log_value(text).text,
               fs_log_value(text).text);

        const char *line = caught();

        cr_expect(strstr(line, "x...\" errno=EIO\n") || strstr(line, "x... errno=EIO\n"), "%s",
                  line);
}

Test(fs_log, a_storm_of_one_event_is_cut_and_counted)
{
        for (int i = 0; i < 500; i++)
                fs_log(LOG_ERR, "event=failed digest=%d", i);
        fs_log(LOG_INFO, "event=fetched");
        fs_log_end();
        fs_log_end();

        const char *text = caught();
        unsigned left_out = 0;
        unsigned written = lines_with(text, "event=failed");
        const char *said = strstr(text, "<3>assetfs: event=suppressed of=failed lines=");

        cr_expect(written >= FS_LOG_BURST && written < 100, "%u", written);
        cr_expect(said && sscanf(strstr(said, "lines="), "lines=%u", &left_out) == 1);
        cr_expect_eq(written + left_out, 500);
        cr_expect_eq(lines_with(text, "event=suppressed"), 1, "once");
        cr_expect_eq(lines_with(text, "event=fetched"), 1, "another event has its own lines");
}

Test(fs_log, what_matters_most_is_always_written)
{
        static const char *const always[] = {"mounted", "unmounted", "serving"};

        for (int i = 0; i < 200; i++) {
                fs_log(LOG_CRIT, "event=given-up");
                fs_log(LOG_INFO, "event=mounted mountpoint=/x");
                fs_log(LOG_INFO, "event=unmounted");
                fs_log(LOG_INFO, "event=serving worker=%d", i);
        }
        fs_log_end();

        const char *text = caught();

        for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
                char words[64];

                snprintf(words, sizeof(words), "event=%s", always[i]);
                cr_expect_eq(lines_with(text, words), 200, "%s", words);
        }
        cr_expect_eq(lines_with(text, "<2>assetfs: event=given-up\n"), 200);
        cr_expect_eq(lines_with(text, "suppressed"), 0);
}

static void *log_much(void *arg)
{
        for (int i = 0; i < 1000; i++)
                fs_log(LOG_WARNING, "event=thread-%s i=%d", (const char *)arg, i);
        return NULL;
}

Test(fs_log, threads_lose_no_line_uncounted)
{
        static const char *const names[] = {"a", "a", "b", "b"};
        pthread_t threads[4];
        unsigned lines = 0;
        unsigned count;

        for (int i = 0; i < 4; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, log_much, (void *)names[i]), 0);
        for (int i = 0; i < 200; i++)
                fs_log_tick();
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        fs_log_end();

        const char *text = caught();

        lines = lines_with(text, "event=thread-");
        for (const char *at = text; (at = strstr(at, " lines=")); at++)
                lines += sscanf(at, " lines=%u", &count) == 1 ? count : 0;
        cr_expect_eq(lines, 4000);
}

static const struct fs_log_bucket *due(struct fs_log_limits *limits, int64_t now_ms)
{
        return fs_log_limit_due(limits, now_ms, false);
}

#define TAKE(priority, ms) fs_log_limit_take(&limits, "failed", 6, priority, ms)

Test(fs_log, one_line_a_second_after_the_burst)
{
        static struct fs_log_limits limits;

        for (int i = 0; i < FS_LOG_BURST; i++)
                cr_expect(TAKE(LOG_INFO, 5000));
        cr_expect_not(TAKE(LOG_INFO, 5000));
        cr_expect_not(TAKE(LOG_ERR, 5999));
        cr_expect_null(due(&limits, 5999), "it has not calmed down");
        cr_expect(TAKE(LOG_INFO, 6000));
        cr_expect_not(TAKE(LOG_INFO, 6001));
        cr_expect_null(due(&limits, 6500));

        struct fs_log_bucket *bucket = fs_log_limit_due(&limits, 7001, false);

        cr_assert(bucket);
        cr_expect_str_eq(bucket->event, "failed");
        cr_expect_eq(bucket->lines, 3);
        cr_expect_eq(bucket->priority, LOG_ERR, "of the most important");
        fs_log_limit_said(&limits, bucket);
        cr_expect_null(due(&limits, 7001));
        /* A pause however long earns no more than one burst. */
        for (int i = 0; i < FS_LOG_BURST; i++)
                cr_expect(TAKE(LOG_INFO, 10000000));
        cr_expect_not(TAKE(LOG_INFO, 10000000));
}

Test(fs_log, a_storm_that_does_not_end_is_said_once_a_minute)
{
        static struct fs_log_limits limits;
        unsigned said = 0;
        unsigned passed = 0;

        for (int64_t ms = 0; ms < 5 * FS_LOG_SAY_MS; ms += 10) {
                struct fs_log_bucket *bucket;

                passed += TAKE(LOG_ERR, ms);
                if (ms % 1000 == 0 && (bucket = fs_log_limit_due(&limits, ms, false))) {
                        fs_log_limit_said(&limits, bucket);
                        said++;
                }
        }
        cr_expect(said >= 4 && said <= 5, "%u", said);
        cr_expect(passed >= FS_LOG_BURST + 298 && passed <= FS_LOG_BURST + 300, "%u", passed);
}

Test(fs_log, more_events_than_places_share_the_last)
{
        static struct fs_log_limits limits;
        char name[64];

        for (int round = 0; round < 2 * FS_LOG_BURST; round++)
                for (int i = 0; i < 2 * FS_LOG_EVENTS; i++) {
                        int length = snprintf(name, sizeof(name), "a-long-name-of-event-%d", i);

                        fs_log_limit_take(&limits, name, (size_t)length, LOG_INFO, 0);
                }
        cr_expect_eq(limits.count, FS_LOG_EVENTS);
        cr_expect_str_eq(limits.buckets[FS_LOG_EVENTS - 1].event, "others");
        cr_expect_gt(limits.suppressed, 0);
        for (struct fs_log_bucket *bucket; (bucket = fs_log_limit_due(&limits, 0, true));)
                fs_log_limit_said(&limits, bucket);
        cr_expect_eq(limits.suppressed, 0);
}
