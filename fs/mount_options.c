/*
 * -o OPT,…. Looks up users and groups, and opens nothing else.
 */
#include "fs/mount_options.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_id(const char *text, bool group, unsigned *ret)
{
        const struct passwd *user;
        const struct group *found;
        unsigned long value;
        char *end;

        /* A number first: a lookup may ask the network, and the supervisor must not wait. */
        errno = 0;
        value = strtoul(text, &end, 10);
        if (end != text && !*end) {
                *ret = (unsigned)value;
                return errno || value >= UINT_MAX ? -EINVAL : 0;
        }
        user = group ? NULL : getpwnam(text);
        found = group ? getgrnam(text) : NULL;
        if (!user && !found)
                return -EINVAL;
        *ret = user ? user->pw_uid : found->gr_gid;
        return 0;
}

/* Options that are the kernel's or fusermount3's; ours always include ro, nosuid and nodev. */
static bool is_passed_on(const char *option)
{
        static const char *const known[] = {"allow_other", "allow_root", "ro",      "nosuid",
                                            "nodev",       "noexec",     "noatime", NULL};

        for (const char *const *name = known; *name; name++)
                if (strcmp(option, *name) == 0)
                        return true;
        return strncmp(option, "context=", 8) == 0 || strncmp(option, "fsname=", 7) == 0;
}

static int parse_passthrough(struct fs_options *options, const char *option, struct fs_why *why)
{
        static const char *const words[] = {"auto", "on", "off"}; /* as the enum */

        for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                if (strcmp(option + strlen("passthrough="), words[i]) == 0) {
                        options->passthrough = (enum fs_passthrough)i;
                        return 0;
                }
        }
        return fs_value_refuse(why, option, "auto, on or off");
}

static int parse_mount_option(struct fs_options *options, const char *option, struct fs_why *why)
{
        char *end;

        options->restricted |= strncmp(option, "uid=", 4) == 0 || strncmp(option, "gid=", 4) == 0 ||
                               strncmp(option, "umask=", 6) == 0 ||
                               strcmp(option, "default_permissions") == 0;
        if (strcmp(option, "default_permissions") == 0)
                return 0;
        if (strncmp(option, "passthrough=", 12) == 0)
                return parse_passthrough(options, option, why);
        if (strncmp(option, "uid=", 4) == 0)
                return parse_id(option + 4, false, &options->uid) == 0
                           ? 0
                           : fs_value_refuse(why, option, "no such user");
        if (strncmp(option, "gid=", 4) == 0)
                return parse_id(option + 4, true, &options->gid) == 0
                           ? 0
                           : fs_value_refuse(why, option, "no such group");
        if (strncmp(option, "umask=", 6) == 0) {
                unsigned long value = strtoul(option + 6, &end, 8);

                if (!option[6] || *end || value > 0777)
                        return fs_value_refuse(why, option, "not an octal mask");
                options->umask = (mode_t)value;
                return 0;
        }
        if (!is_passed_on(option))
                return fs_value_refuse(why, option, "unknown option");

        size_t used = strlen(options->fuse_options);
        size_t room = sizeof(options->fuse_options) - used;

        if (strlen(option) + 2 > room)
                return fs_value_refuse(why, option, "too long");
        snprintf(options->fuse_options + used, room, ",%s", option);
        return 0;
}

int fs_mount_options_parse(struct fs_options *options, const char *list, struct fs_why *why)
{
        char *copy = strdup(list);
        char *rest;
        int r = copy ? 0 : 1;

        for (char *option = copy ? strtok_r(copy, ",", &rest) : NULL; option && r == 0;
             option = strtok_r(NULL, ",", &rest))
                r = parse_mount_option(options, option, why);
        if (!copy)
                fs_value_refuse(why, list, strerror(ENOMEM));
        free(copy);
        return r;
}
