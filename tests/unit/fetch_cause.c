/*
 * Causes: which of several is reported, and that no foreign text forges a line.
 */
#include "fetch/cause.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(fetch_cause, .timeout = 20);

static struct fetch_cause of_kind(enum fetch_kind kind)
{
        struct fetch_cause cause = {0};

        fetch_cause_set(&cause, kind, "kind %d", kind);
        return cause;
}

Test(fetch_cause, the_first_in_rank_is_reported_in_either_order)
{
        for (int a = FETCH_WRONG_BYTES; a <= FETCH_NOT_FOUND; a++) {
                for (int b = a; b <= FETCH_NOT_FOUND; b++) {
                        struct fetch_cause high = of_kind((enum fetch_kind)a);
                        struct fetch_cause low = of_kind((enum fetch_kind)b);

                        fetch_cause_merge(&low, &high);
                        cr_expect_eq((int)low.kind, a);
                        low = of_kind((enum fetch_kind)b);
                        fetch_cause_merge(&high, &low);
                        cr_expect_eq((int)high.kind, a);
                }
        }
}

Test(fetch_cause, merge_keeps_the_words_with_the_kind)
{
        struct fetch_cause worst = {0};
        struct fetch_cause missing = of_kind(FETCH_NOT_FOUND);
        struct fetch_cause again = of_kind(FETCH_NOT_FOUND);

        missing.status = 404;
        strcpy(missing.source, "https://first/");
        strcpy(again.source, "https://second/");
        fetch_cause_merge(&worst, &missing);
        fetch_cause_merge(&worst, &again);
        cr_expect_eq(worst.kind, FETCH_NOT_FOUND);
        cr_expect_eq(worst.status, 404);
        cr_expect_str_eq(worst.source, "https://first/", "the first of its kind");
}

Test(fetch_cause, what_is_no_sources_fault_overrides_all)
{
        for (int kind = FETCH_OK; kind <= FETCH_NOT_FOUND; kind++) {
                struct fetch_cause worst = of_kind((enum fetch_kind)kind);
                struct fetch_cause disk = {0};

                fetch_cause_set_disk(&disk, ENOSPC, "write");
                fetch_cause_merge(&worst, &disk);
                cr_expect_eq(worst.kind, FETCH_DISK);
                cr_expect_eq(worst.error, ENOSPC);
        }
}

Test(fetch_cause, no_room_for_a_claimed_size_is_the_sources_and_stays)
{
        struct fetch_cause worst = {0};
        struct fetch_cause disk = {0};
        struct fetch_cause missing = of_kind(FETCH_NOT_FOUND);

        fetch_cause_set_disk(&disk, ENOSPC, "reserve");
        disk.claimed = true;
        cr_expect(fetch_cause_is_sources(&disk), "the next one may claim less");
        fetch_cause_merge(&worst, &disk);
        fetch_cause_merge(&worst, &missing);
        cr_expect_eq(worst.error, ENOSPC);
}

Test(fetch_cause, only_disk_and_cancellation_are_not_the_sources)
{
        for (int kind = FETCH_OK; kind <= FETCH_CANCELLED; kind++) {
                struct fetch_cause cause = {.kind = (enum fetch_kind)kind};

                cr_expect_eq(fetch_cause_is_sources(&cause), kind < FETCH_DISK);
        }
}

Test(fetch_cause, set_keeps_source_and_status_and_forgets_the_errno)
{
        struct fetch_cause cause = {.status = 503, .source = "https://host/"};

        fetch_cause_set_disk(&cause, EIO, "fsync");
        cr_expect_eq(cause.kind, FETCH_DISK);
        cr_expect_eq(cause.error, EIO);
        cr_expect_eq(strncmp(cause.text, "fsync: ", 7), 0, "%s", cause.text);
        fetch_cause_set(&cause, FETCH_ORIGIN_FAILED, "HTTP %d", 503);
        cr_expect_eq(cause.kind, FETCH_ORIGIN_FAILED);
        cr_expect_eq(cause.error, 0);
        cr_expect_eq(cause.status, 503);
        cr_expect_str_eq(cause.source, "https://host/");
        cr_expect_str_eq(cause.text, "HTTP 503");
}

Test(fetch_cause, long_words_are_cut)
{
        struct fetch_cause cause = {0};
        char words[1000];

        memset(words, 'x', sizeof(words) - 1);
        words[sizeof(words) - 1] = '\0';
        fetch_cause_set(&cause, FETCH_STALLED, "%s", words);
        cr_expect_eq(strlen(cause.text), FETCH_TEXT_MAX - 1);
        cr_expect_str_eq(cause.source, "");
}

Test(fetch_cause, fault_69_every_byte_that_is_not_printable_becomes_a_question_mark)
{
        for (int byte = 1; byte < 256; byte++) {
                char text[] = {'a', (char)byte, 'z', '\0'};

                fetch_make_printable(text);
                cr_expect_eq(text[0], 'a');
                cr_expect_eq(text[1], byte < ' ' || byte > '~' ? '?' : (char)byte, "%d", byte);
                cr_expect_eq(text[2], 'z');
        }
}

Test(fetch_cause, fault_69_a_header_of_the_origin_forges_no_line)
{
        struct fetch_cause cause = {0};

        fetch_cause_set(&cause, FETCH_ORIGIN_FAILED, "Location: %s", "x\r\nlevel=error\x1b[2J");
        cr_expect_str_eq(cause.text, "Location: x??level=error?[2J");
}

/* The words stand in quotes in a line of key=value pairs. */
Test(fetch_cause, fault_69_a_header_of_the_origin_forges_no_field)
{
        struct fetch_cause cause = {0};

        fetch_cause_set(&cause, FETCH_DENIED, "redirect: %s", "x\" errno=OK cause=\"\\");
        cr_expect_str_eq(cause.text, "redirect: x' errno=OK cause='?");
}

Test(fetch_cause, same_text_but_for_amounts)
{
        const char *one = "Failed to connect to h port 1 after 0 ms: Connection refused";

        cr_expect(fetch_cause_is_same_text(one, one));
        cr_expect(fetch_cause_is_same_text(
            one, "Failed to connect to h port 1 after 1234 ms: Connection refused"));
        cr_expect(fetch_cause_is_same_text(
            "Operation timed out after 600001 milliseconds with 5 out of 77 bytes received",
            "Operation timed out after 600013 milliseconds with 12 out of 77 bytes received"));
        cr_expect_not(fetch_cause_is_same_text(
            one, "Failed to connect to h port 2 after 0 ms: Connection refused"));
        cr_expect_not(fetch_cause_is_same_text("HTTP 401", "HTTP 403"));
        cr_expect_not(fetch_cause_is_same_text("c.json:12: x", "c.json:13: x"));
        cr_expect_not(fetch_cause_is_same_text("", one));
        cr_expect_not(fetch_cause_is_same_text("after 0 ms", "after 0 ms "));
        cr_expect_not(fetch_cause_is_same_text("after 0 ms", "after ms"));
}
