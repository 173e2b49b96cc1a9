/*
 * Configuration files. inih splits the lines; but as Debian builds it, it tells neither their
 * numbers nor headings without keys, and skips what follows a heading. So it is fed line by
 * line, and each is looked at before. Opens nothing but the file.
 */
#include "fs/config.h"

#include "cas/io.h"
#include "fs/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES   (10 * 1024) /* a URL has at most 8 KiB */
#define NAME_BYTES   64          /* of an origin or catalog */
#define HEADINGS_MAX (FS_ORIGINS_MAX + FS_CATALOGS_MAX + 8)
#define BLANKS       " \t\r"

/* Debian's own: the room for a line, else 200 bytes. An inih without it is used as it is. */
extern int ini_max_line __attribute__((weak));

struct heading {
        char text[NAME_BYTES + 16];
};

struct parser {
        const char *path;
        const char *folder; /* of the file; NULL: the root */
        enum fs_config_part part;
        struct fs_options *options;
        struct fs_refusals *refusals;

        const char *rest; /* of the text */
        unsigned line;
        bool pending; /* inih has this line, and has not called for a key in it */

        const char *section; /* NULL: none yet, or one that was refused */
        unsigned section_line;
        uint64_t seen; /* settings, by their places in the table */
        struct heading headings[HEADINGS_MAX];
        unsigned heading_count;
};

__attribute__((format(printf, 3, 4))) static void refuse(struct parser *parser, unsigned line,
                                                         const char *format, ...)
{
        char words[700];
        va_list args;

        va_start(args, format);
        vsnprintf(words, sizeof(words), format, args);
        va_end(args);
        fs_refuse(parser->refusals, FS_USAGE_ERROR, "%s:%u: %s", parser->path, line, words);
}

/* The first setting of that section (NULL: of any) and that key (NULL: any). */
static const struct fs_setting *find(const char *section, const char *key)
{
        for (unsigned i = 0; i < fs_setting_count; i++)
                if ((!section || strcmp(fs_settings[i].section, section) == 0) &&
                    (!key || strcmp(fs_settings[i].key, key) == 0))
                        return &fs_settings[i];
        return NULL;
}

static uint64_t bit_of(const struct fs_setting *setting)
{
        return UINT64_C(1) << (setting - fs_settings);
}

/* May it be shown? Anything else may be a piece of a URL. */
static bool is_word(const char *text)
{
        return *text && strlen(text) <= NAME_BYTES &&
               text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "._- ")] == '\0';
}

/* Sections */

/* There may be several of these, each with a name and the one key that it needs. */
static bool is_named(const char *section)
{
        return strcmp(section, "origin") == 0 || strcmp(section, "catalog") == 0;
}

static void end_section(struct parser *parser)
{
        const struct fs_setting *needed;

        if (!parser->section || !is_named(parser->section))
                return;
        needed = find(parser->section, NULL);
        if (!(parser->seen & bit_of(needed)))
                refuse(parser, parser->section_line, "this %s has no %s", parser->section,
                       needed->key);
        for (unsigned i = 0; i < fs_setting_count; i++)
                if (strcmp(fs_settings[i].section, parser->section) == 0)
                        parser->seen &= ~bit_of(&fs_settings[i]);
}

/* Cuts "…" off the end of the heading, with the blanks before it. NULL: there is none. */
static char *cut_name(char *heading)
{
        char *quote = strchr(heading, '"');
        char *last = heading + strlen(heading) - 1;

        if (!quote || last == quote || *last != '"')
                return NULL;
        *last = '\0';
        for (char *end = quote; end >= heading && strchr("\"" BLANKS, *end); end--)
                *end = '\0';
        return quote + 1;
}

/* Is the heading, as it is to be shown, new? */
static bool remember(struct parser *parser, const struct heading *heading)
{
        for (unsigned i = 0; i < parser->heading_count; i++) {
                if (strcmp(parser->headings[i].text, heading->text) == 0) {
                        refuse(parser, parser->line, "[%s] a second time", heading->text);
                        return false;
                }
        }
        if (parser->heading_count == HEADINGS_MAX) {
                refuse(parser, parser->line, "too many sections");
                return false;
        }
        parser->headings[parser->heading_count++] = *heading;
        return true;
}

/* What stands between the brackets; it may be changed. */
static void begin_section(struct parser *parser, char *inner)
{
        const char *name = cut_name(inner);
        const struct fs_setting *any = find(inner, NULL);
        struct heading heading;

        if (!any) {
                refuse(parser, parser->line, "unknown section%s%s%s", is_word(inner) ? " [" : "",
                       is_word(inner) ? inner : "", is_word(inner) ? "]" : "");
        } else if (is_named(inner) && (!name || !is_word(name))) {
                refuse(parser, parser->line,
                       "[%s \"NAME\"] needs a name, of letters, digits, . _ - and spaces", inner);
        } else if (!is_named(inner) && name) {
                refuse(parser, parser->line, "[%s] has no name", inner);
        } else {
                snprintf(heading.text, sizeof(heading.text), name ? "%s \"%s\"" : "%s", inner,
                         name);
                if (remember(parser, &heading))
                        parser->section = any->section;
        }
}

static void take_heading(struct parser *parser, const char *line, size_t length)
{
        char inner[2 * NAME_BYTES + 16];

        end_section(parser);
        parser->section = NULL;
        parser->section_line = parser->line;
        if (line[length - 1] != ']' || length > sizeof(inner)) {
                refuse(parser, parser->line, "a heading is [section] or [section \"NAME\"], alone");
                return;
        }
        snprintf(inner, sizeof(inner), "%.*s", (int)length - 2, line + 1);
        begin_section(parser, inner);
}

/* Keys */

static void set(struct parser *parser, const struct fs_setting *setting, const char *value)
{
        const char *kept = fs_options_keep_text(
            parser->options, fs_setting_is_path(setting, value) ? parser->folder : NULL, value);
        struct fs_why why = {"too many values"};
        int r = kept ? setting->set(parser->options, kept, &why) : 1;

        if (r)
                fs_refuse(parser->refusals, r, "%s:%u: %s %s", parser->path, parser->line,
                          setting->key, why.text);
}

static void refuse_key(struct parser *parser, const char *key)
{
        const struct fs_setting *elsewhere = find(NULL, key);

        if (!is_word(key))
                refuse(parser, parser->line, "unknown key in [%s]", parser->section);
        else if (elsewhere)
                refuse(parser, parser->line, "unknown key '%s' in [%s]: it belongs to [%s]", key,
                       parser->section, elsewhere->section);
        else
                refuse(parser, parser->line, "unknown key '%s' in [%s]", key, parser->section);
}

/* inih's call for each "key = value". Always goes on: 1. */
static int take_key(void *arg, const char *cut_section, const char *key, const char *value)
{
        struct parser *parser = arg;
        const struct fs_setting *setting = parser->section ? find(parser->section, key) : NULL;

        (void)cut_section;
        parser->pending = false;
        if (!parser->section && !parser->section_line)
                refuse(parser, parser->line, "a key before the first [section]");
        if (!parser->section) /* … or in one that was refused: that was said */
                return 1;
        if (!setting)
                refuse_key(parser, key);
        else if (!value || !*value)
                refuse(parser, parser->line, "%s has no value", key);
        else if (strchr("\"'", *value))
                refuse(parser, parser->line, "%s: a value stands without quotes", key);
        else if (!setting->many && (parser->seen & bit_of(setting)))
                refuse(parser, parser->line, "%s a second time", key);
        else if (is_named(parser->section) && setting != find(parser->section, NULL) &&
                 !(parser->seen & bit_of(find(parser->section, NULL))))
                refuse(parser, parser->line, "%s stands behind %s", key,
                       find(parser->section, NULL)->key);
        else if (parser->part & (setting->fixed ? FS_CONFIG_FIXED : FS_CONFIG_FREE))
                set(parser, setting, value);
        if (setting)
                parser->seen |= bit_of(setting);
        return 1;
}

/* Lines */

static void end_line(struct parser *parser)
{
        if (parser->pending)
                refuse(parser, parser->line, "neither [section] nor key = value");
        parser->pending = false;
}

/* The next line without blanks around it and without a comment. false: there is none. */
static bool cut_line(struct parser *parser, const char **ret, size_t *ret_length)
{
        const char *line = parser->rest;
        size_t length = strcspn(line, "\n");
        size_t blanks;

        if (!*line)
                return false;
        parser->line++;
        parser->rest = line + length + (line[length] == '\n');
        blanks = strspn(line, BLANKS);
        line += blanks;
        length -= blanks;
        for (size_t i = 0; i < length; i++)
                if (strchr("#;", line[i]) && (i == 0 || strchr(BLANKS, line[i - 1])))
                        length = i;
        while (length && strchr(BLANKS, line[length - 1]))
                length--;
        *ret = line;
        *ret_length = length;
        return true;
}

static bool has_control_bytes(const char *line, size_t length)
{
        for (size_t i = 0; i < length; i++)
                if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f)
                        return true;
        return false;
}

/* inih's fgets(): one line that has a key in it, perhaps. */
static char *next_line(char *buffer, int room, void *arg)
{
        struct parser *parser = arg;
        const char *line;
        size_t length;

        for (end_line(parser); cut_line(parser, &line, &length); end_line(parser)) {
                if (length == 0)
                        continue;
                if (has_control_bytes(line, length)) {
                        refuse(parser, parser->line, "a control byte");
                } else if (length >= (size_t)room - 2) {
                        refuse(parser, parser->line, "longer than %d bytes", room - 3);
                } else if (*line == '[') {
                        take_heading(parser, line, length);
                } else {
                        memcpy(buffer, line, length);
                        buffer[length] = '\0';
                        parser->pending = true;
                        return buffer;
                }
        }
        return NULL;
}

void fs_config_apply(const char *path, const char *text, enum fs_config_part part,
                     struct fs_options *options, struct fs_refusals *refusals)
{
        _cleanup_free_ char *folder = strdup(path);
        struct parser parser = {.path = path,
                                .folder = folder,
                                .part = part,
                                .options = options,
                                .refusals = refusals,
                                .rest = strncmp(text, "\xef\xbb\xbf", 3) ? text : text + 3};
        char *slash = folder ? strrchr(folder, '/') : NULL;

        if (!folder) {
                fs_refuse(refusals, 1, "%s: %s", path, strerror(ENOMEM));
                return;
        }
        if (slash)
                *slash = '\0';
        if (&ini_max_line)
                ini_max_line = LINE_BYTES;
        /* Its own errors are lines that have no key: end_line() names each. */
        if (ini_parse_stream(next_line, &parser, take_key, &parser) < 0)
                fs_refuse(refusals, 1, "%s: %s", path, strerror(ENOMEM));
        end_section(&parser);
}

/* The file */

static const char *complaint(const struct stat *st)
{
        if (!S_ISREG(st->st_mode))
                return "not a regular file";
        if (st->st_size > FS_CONFIG_BYTES)
                return "larger than 1 MiB";
        if (geteuid() == 0 && (st->st_mode & 022))
                return "others than its owner can write it";
        return NULL;
}

int fs_config_read(const char *path, char **ret, struct fs_refusals *refusals)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        const char *words;
        struct stat st;
        int status = 0;
        ssize_t got;
        char *text;

        if (fd < 0 || fstat(fd, &st) < 0)
                return fs_refuse(refusals, 1, "%s: %s", path, strerror(errno));
        words = complaint(&st);
        if (words)
                return fs_refuse(refusals, FS_USAGE_ERROR, "%s: %s", path, words);
        text = calloc(1, FS_CONFIG_BYTES + 2);
        got = text ? cas_io_read_at(fd, text, FS_CONFIG_BYTES + 1, 0) : -ENOMEM;
        if (got < 0)
                status = fs_refuse(refusals, 1, "%s: %s", path, strerror((int)-got));
        else if (got > FS_CONFIG_BYTES) /* it has grown */
                status = fs_refuse(refusals, FS_USAGE_ERROR, "%s: larger than 1 MiB", path);
        else if (strlen(text) != (size_t)got)
                status = fs_refuse(refusals, FS_USAGE_ERROR, "%s: a NUL byte: not a text", path);
        else
                *ret = text;
        if (status)
                free(text);
        return status;
}
