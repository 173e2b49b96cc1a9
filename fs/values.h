/*
 * Values of options: read strictly, refused with one line that names the option.
 */
#ifndef FS_VALUES_H
#define FS_VALUES_H

#include <stdint.h>

#define FS_USAGE_ERROR 2 /* the exit status */

/* Says "OPTION VALUE: why" on stderr; FS_USAGE_ERROR. */
int fs_usage_error(const char *option, const char *value, const char *why);

/* 1024, 10K, 8G …: powers of 1024. 0 or -EINVAL. */
int fs_parse_size(const char *text, uint64_t *ret);

/* A number from `least` to `most`, which may be written as a size. 0, or FS_USAGE_ERROR. */
int fs_parse_number(const char *option, const char *text, unsigned least, unsigned most,
                    unsigned *ret);

#endif
