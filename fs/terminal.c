/*
 * The terminal by its escapes: cursor up, erase to the end. Keeps no mode and hides no
 * cursor, so that there is nothing to restore. Knows nothing of what is shown.
 */
#include "fs/terminal.h"

#include "cas/io.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define UP           "\033[%uA"
#define ERASE_LINE   "\033[K"
#define ERASE_BEHIND "\033[J"

const char *fs_human_size(uint64_t bytes, char ret[FS_HUMAN])
{
        static const char units[] = "KMGTPE";
        double value = (double)bytes;
        size_t unit = 0;

        if (bytes < 1024) {
                snprintf(ret, FS_HUMAN, "%" PRIu64 " B", bytes);
                return ret;
        }
        /* 1023.95 would be written as 1024.0 of the smaller unit. */
        for (value /= 1024; value >= 1023.95 && units[unit + 1]; unit++)
                value /= 1024;
        snprintf(ret, FS_HUMAN, "%.1f %ciB", value, units[unit]);
        return ret;
}

const char *fs_human_seconds(uint64_t seconds, char ret[FS_HUMAN])
{
        uint64_t minutes = seconds / 60;
        uint64_t hours = minutes / 60;

        if (seconds < 60)
                snprintf(ret, FS_HUMAN, "%" PRIu64 " s", seconds);
        else if (minutes < 60)
                snprintf(ret, FS_HUMAN, "%" PRIu64 " min %02" PRIu64 " s", minutes, seconds % 60);
        else if (hours < 24)
                snprintf(ret, FS_HUMAN, "%" PRIu64 " h %02" PRIu64 " min", hours, minutes % 60);
        else
                snprintf(ret, FS_HUMAN, "%" PRIu64 " d %02" PRIu64 " h", hours / 24, hours % 24);
        return ret;
}

const char *fs_human_time(int64_t when, char ret[FS_HUMAN])
{
        time_t time = (time_t)when;
        struct tm tm;

        if (!localtime_r(&time, &tm) || !strftime(ret, FS_HUMAN, "%Y-%m-%d %H:%M:%S", &tm))
                snprintf(ret, FS_HUMAN, "-");
        return ret;
}

unsigned fs_percent(uint64_t part, uint64_t whole)
{
        if (part >= whole)
                return 100;
        return (unsigned)(100.0 * (double)part / (double)whole);
}

void fs_bar(FILE *out, unsigned width, uint64_t part, uint64_t whole)
{
        unsigned full = width * fs_percent(part, whole) / 100;

        putc('[', out);
        for (unsigned i = 0; i < width; i++)
                putc(i < full ? '#' : '-', out);
        putc(']', out);
}

bool fs_is_terminal(int fd)
{
        const char *term = getenv("TERM");

        return isatty(fd) && !(term && strcmp(term, "dumb") == 0);
}

void fs_screen_measure(struct fs_screen *screen)
{
        struct winsize size;

        screen->columns = 80;
        screen->rows = 24;
        if (ioctl(screen->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
                screen->columns = size.ws_col;
                screen->rows = size.ws_row < FS_SCREEN_ROWS ? size.ws_row : FS_SCREEN_ROWS;
        }
}

void fs_screen_open(struct fs_screen *screen, int fd)
{
        *screen = (struct fs_screen){.fd = fd};
        fs_screen_measure(screen);
}

/* To the first row of the last frame; a line that was longer than the terminal now is wide
 * has been wrapped. */
static void go_up(const struct fs_screen *screen, FILE *out)
{
        unsigned rows = 0;

        for (unsigned i = 0; i < screen->shown; i++)
                rows += screen->lengths[i] ? (screen->lengths[i] - 1) / screen->columns + 1 : 1;
        if (rows >= screen->rows)
                rows = screen->rows - 1;
        fputs("\r", out);
        if (rows > 0)
                fprintf(out, UP, rows);
}

static void put_line(struct fs_screen *screen, FILE *out, const char *line, size_t length)
{
        /* The last column stays free: some terminals wrap as soon as it is written. */
        if (length >= screen->columns)
                length = screen->columns - 1;
        fwrite(line, 1, length, out);
        fputs(ERASE_LINE "\n", out);
        screen->lengths[screen->shown++] = (unsigned)length;
}

static void put_lines(struct fs_screen *screen, FILE *out, const char *text)
{
        unsigned room = screen->rows > 1 ? screen->rows - 1 : 1; /* the cursor has the last */
        unsigned count = 0;

        for (const char *c = text; *c; c++)
                count += *c == '\n';
        screen->shown = 0;
        while (*text) {
                size_t length = strcspn(text, "\n");

                if (screen->shown + 1 == room && count > room) {
                        char more[32];

                        snprintf(more, sizeof(more), "(%u more lines)", count - screen->shown);
                        put_line(screen, out, more, strlen(more));
                        return;
                }
                put_line(screen, out, text, length);
                text += length + (text[length] == '\n');
        }
}

/* By one write where the terminal takes it, so that no half a frame is ever seen. */
static int write_all(int fd, const char *bytes, size_t length)
{
        while (length > 0) {
                ssize_t written = write(fd, bytes, length);

                if (written < 0 && errno != EINTR)
                        return -errno;
                if (written > 0) {
                        bytes += written;
                        length -= (size_t)written;
                }
        }
        return 0;
}

int fs_screen_draw(struct fs_screen *screen, const char *text)
{
        _cleanup_free_ char *bytes = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&bytes, &length);

        if (!out)
                return -ENOMEM;
        go_up(screen, out);
        put_lines(screen, out, text);
        fputs(ERASE_BEHIND, out);
        if (fclose(out) != 0)
                return -ENOMEM;
        return write_all(screen->fd, bytes, length);
}

int fs_screen_erase(struct fs_screen *screen)
{
        return screen->shown > 0 ? fs_screen_draw(screen, "") : 0;
}
