/*
 * Values of options: read strictly. Refused, they say why in words that begin with the
 * value: who calls puts the option's name, or a file and a line, before them.
 */
#ifndef FS_VALUES_H
#define FS_VALUES_H

#include "cas/room.h"

#include <stdint.h>

#define FS_USAGE_ERROR 2 /* the exit status */

struct fs_why {
        char text[512];
};

/* "VALUE: WORDS" into `why`; FS_USAGE_ERROR. */
int fs_value_refuse(struct fs_why *why, const char *value, const char *words);

/* 1024, 10K, 8G …: powers of 1024. 0 or -EINVAL. */
int fs_parse_size(const char *text, uint64_t *ret);

/* What is to stay free of a disk: 10G, or 5%. 0 or -EINVAL. */
int fs_parse_free(const char *text, struct cas_bounds *ret);

/* A number from `least` to `most`, which may be written as a size. 0, or FS_USAGE_ERROR. */
int fs_parse_number(const char *text, unsigned least, unsigned most, unsigned *ret,
                    struct fs_why *why);

/* The same of a verb's option: a refusal is said on stderr, as "OPTION VALUE: WORDS". */
int fs_parse_option_number(const char *option, const char *text, unsigned least, unsigned most,
                           unsigned *ret);

/* Seconds, or a number with s, m, h, d or w behind it; a year at most. 0 or -EINVAL. */
int fs_parse_duration(const char *text, unsigned *ret);

#endif
