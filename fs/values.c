/*
 * Values of options. Opens nothing.
 */
#include "fs/values.h"

#include "fs/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FS_DURATION_MOST (366u * 86400)

int fs_value_refuse(struct fs_why *why, const char *value, const char *words)
{
        snprintf(why->text, sizeof(why->text), "%.250s: %s", value, words);
        return FS_USAGE_ERROR;
}

int fs_parse_size(const char *text, uint64_t *ret)
{
        static const char units[] = "KMGT";
        char *end;

        if (*text < '0' || *text > '9')
                return -EINVAL;
        errno = 0;

        uint64_t value = strtoull(text, &end, 10);
        const char *unit = *end ? strchr(units, *end) : NULL;
        unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

        if (errno || (*end && (!unit || end[1])) || value > (uint64_t)INT64_MAX >> shift)
                return -EINVAL;
        *ret = value << shift;
        return 0;
}

int fs_parse_free(const char *text, struct cas_bounds *ret)
{
        unsigned percent = 0;
        uint64_t size = 0;
        size_t digits = strspn(text, "0123456789");

        if (strcmp(text + digits, "%") == 0 && digits > 0 && digits <= 2) {
                for (size_t i = 0; i < digits; i++)
                        percent = percent * 10 + (unsigned)(text[i] - '0');
        } else if (fs_parse_size(text, &size) < 0) {
                return -EINVAL;
        }
        ret->keep_free = size;
        ret->keep_free_percent = percent;
        return 0;
}

int fs_parse_duration(const char *text, unsigned *ret)
{
        static const struct {
                char unit;
                unsigned seconds;
        } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
        unsigned scale = 1;
        char *end;

        if (*text < '0' || *text > '9')
                return -EINVAL;

        unsigned long long value = strtoull(text, &end, 10);

        if (*end) {
                size_t i = 0;

                while (i < sizeof(units) / sizeof(units[0]) && units[i].unit != *end)
                        i++;
                if (i == sizeof(units) / sizeof(units[0]) || end[1])
                        return -EINVAL;
                scale = units[i].seconds;
        }
        if (value > FS_DURATION_MOST / scale)
                return -EINVAL;
        *ret = (unsigned)value * scale;
        return 0;
}

int fs_parse_number(const char *text, unsigned least, unsigned most, unsigned *ret,
                    struct fs_why *why)
{
        uint64_t value;

        if (fs_parse_size(text, &value) < 0 || value < least || value > most) {
                char words[64];

                snprintf(words, sizeof(words), "not a number from %u to %u", least, most);
                return fs_value_refuse(why, text, words);
        }
        *ret = (unsigned)value;
        return 0;
}

int fs_parse_option_number(const char *option, const char *text, unsigned least, unsigned most,
                           unsigned *ret)
{
        struct fs_why why;
        int status = fs_parse_number(text, least, most, ret, &why);

        if (status)
                fs_fail("%s %s", option, why.text);
        return status;
}
