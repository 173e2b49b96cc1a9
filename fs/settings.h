/*
 * What can be set, and how: one table for the command line (fs/options.c) and for the
 * configuration file (fs/config.c), so that both know the same names and the same bounds.
 */
#ifndef FS_SETTINGS_H
#define FS_SETTINGS_H

#include "fs/options.h"
#include "fs/values.h"

struct fs_setting {
        const char *option;  /* the long option; "o" is -o */
        const char *section; /* where it stands in a file, */
        const char *key;     /* and how it is called there */
        bool is_path;
        bool fixed; /* a reload cannot change it */
        bool many;  /* each adds to those before */
        /* Keeps `value`, which has to live as long as the options. 0, or the exit status:
         * 2, or 1 where the machine is to blame; then `why` is set. */
        int (*set)(struct fs_options *options, const char *value, struct fs_why *why);
};

#define FS_SETTINGS_MAX 64

extern const struct fs_setting fs_settings[];
extern const unsigned fs_setting_count;

/* Is this value of it a path? A catalog's may be a URL. */
bool fs_setting_is_path(const struct fs_setting *setting, const char *value);

/* What holds where nothing is said. */
void fs_settings_defaults(struct fs_options *options);

#endif
