/*
 * Numbers as people read them, bars, and what is sent to a terminal to draw in place.
 */
#include "fs/terminal.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(fs_terminal, .timeout = 20);

Test(fs_terminal, sizes_have_one_digit_behind_the_point)
{
        static const struct {
                uint64_t bytes;
                const char *words;
        } cases[] = {{0, "0 B"},
                     {1023, "1023 B"},
                     {1024, "1.0 KiB"},
                     {1536, "1.5 KiB"},
                     {1048575, "1.0 MiB"},
                     {UINT64_C(8) << 30, "8.0 GiB"},
                     {UINT64_MAX, "16.0 EiB"}};
        char words[FS_HUMAN];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                cr_expect_str_eq(fs_human_size(cases[i].bytes, words), cases[i].words);
}

Test(fs_terminal, seconds_have_two_units_at_most)
{
        static const struct {
                uint64_t seconds;
                const char *words;
        } cases[] = {{0, "0 s"},           {59, "59 s"},
                     {65, "1 min 05 s"},   {3599, "59 min 59 s"},
                     {3720, "1 h 02 min"}, {86400 * 3 + 14400, "3 d 04 h"}};
        char words[FS_HUMAN];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                cr_expect_str_eq(fs_human_seconds(cases[i].seconds, words), cases[i].words);
}

Test(fs_terminal, bar_is_full_only_when_all_is_there)
{
        char *bytes = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&bytes, &length);

        cr_expect_eq(fs_percent(999999, 1000000), 99);
        cr_expect_eq(fs_percent(5, 5), 100);
        cr_expect_eq(fs_percent(0, 0), 100);
        cr_expect_eq(fs_percent(UINT64_MAX / 2, UINT64_MAX), 50);
        fs_bar(out, 10, 0, 5);
        fs_bar(out, 10, 4, 10);
        fs_bar(out, 10, 7, 5);
        fclose(out);
        cr_expect_str_eq(bytes, "[----------][####------][##########]");
        free(bytes);
}

static int terminal[2];

/* What the terminal gets for a frame. */
static const char *drawn(struct fs_screen *screen, const char *text)
{
        static char bytes[4096];

        cr_assert_eq(fs_screen_draw(screen, text), 0);

        ssize_t got = read(terminal[0], bytes, sizeof(bytes) - 1);

        bytes[got > 0 ? got : 0] = '\0';
        return bytes;
}

Test(fs_terminal, frame_is_drawn_over_the_last_one)
{
        struct fs_screen screen;

        cr_assert_eq(pipe(terminal), 0);
        fs_screen_open(&screen, terminal[1]);
        cr_expect(screen.columns == 80 && screen.rows == 24, "what a pipe is taken for");
        cr_expect_str_eq(drawn(&screen, "one\ntwo\n"), "\rone\033[K\ntwo\033[K\n\033[J");
        cr_expect_str_eq(drawn(&screen, "three\n"), "\r\033[2Athree\033[K\n\033[J");
        cr_expect_str_eq(drawn(&screen, ""), "\r\033[1A\033[J");
        cr_assert_eq(fs_screen_erase(&screen), 0); /* nothing is there: nothing is sent */
        cr_expect_str_eq(drawn(&screen, "x\n"), "\rx\033[K\n\033[J");
}

Test(fs_terminal, frame_never_leaves_the_terminal)
{
        struct fs_screen screen;

        cr_assert_eq(pipe(terminal), 0);
        fs_screen_open(&screen, terminal[1]);
        screen.columns = 6;
        screen.rows = 4;
        cr_expect_str_eq(drawn(&screen, "123456789\n2\n3\n"),
                         "\r12345\033[K\n2\033[K\n3\033[K\n\033[J");
        cr_expect_str_eq(drawn(&screen, "1\n2\n3\n4\n"),
                         "\r\033[3A1\033[K\n2\033[K\n(2 mo\033[K\n\033[J");
        /* Narrower now: the last line of the last frame takes two rows. */
        screen.columns = 4;
        screen.rows = 20;
        cr_expect_str_eq(drawn(&screen, "1\n"), "\r\033[4A1\033[K\n\033[J");
}
