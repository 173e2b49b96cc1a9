/*
 * What people see on a terminal: numbers as they read them, progress bars, and a few
 * lines that are drawn again in place. Nothing of the terminal is changed but these
 * lines, and each frame ends on a line of its own: whoever is ended by a signal leaves
 * nothing behind that would have to be restored.
 *
 * Text is expected to be printable ASCII (fetch_make_printable).
 */
#ifndef FS_TERMINAL_H
#define FS_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define FS_HUMAN 32 /* bytes of a number in words, with its NUL */

/* "1.5 MiB": powers of 1024. Returns `ret`. */
const char *fs_human_size(uint64_t bytes, char ret[FS_HUMAN]);

/* "12 s", "3 min 05 s", "1 h 02 min", "3 d 04 h". Returns `ret`. */
const char *fs_human_seconds(uint64_t seconds, char ret[FS_HUMAN]);

/* "2025-11-25 09:14:02", local time, of unix seconds. Returns `ret`. */
const char *fs_human_time(int64_t when, char ret[FS_HUMAN]);

/* 0 to 100; 100 only when all of it is there, and where there is nothing to do. */
unsigned fs_percent(uint64_t part, uint64_t whole);

/* "[####------]", `width` columns between the brackets. */
void fs_bar(FILE *out, unsigned width, uint64_t part, uint64_t whole);

/* A terminal that understands escapes. */
bool fs_is_terminal(int fd);

#define FS_SCREEN_ROWS 256 /* more are not used */

struct fs_screen {
        int fd;
        unsigned columns; /* as last measured */
        unsigned rows;
        unsigned shown;                   /* lines of the frame that is there */
        unsigned lengths[FS_SCREEN_ROWS]; /* of these */
};

void fs_screen_open(struct fs_screen *screen, int fd);

/* Measures again: people resize. To be called before a frame is made. */
void fs_screen_measure(struct fs_screen *screen);

/* Draws the lines of `text` over those of the last frame. Lines are cut to the width, and what
 * is more than the height is counted instead. 0 or -errno. */
int fs_screen_draw(struct fs_screen *screen, const char *text);

/* Takes the frame away, for lines that stay. */
int fs_screen_erase(struct fs_screen *screen);

#endif
