/*
 * argv into struct fs_options. Only makes paths absolute, because workers are started again
 * and again, from another directory; opens nothing but the configuration file.
 */
#include "fs/options.h"

#include "cas/io.h"
#include "fs/config.h"
#include "fs/kept_config.h"
#include "fs/settings.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONG_OPTION 256 /* … and the setting's place in the table */
#define OPTION_HELP 'h'

/* An option of argv that waits for the file to be read before it. */
struct given {
        const struct fs_setting *setting;
        const char *value; /* kept */
};

struct reading {
        struct fs_options *options;
        struct fs_refusals *refusals;
        struct given given[FS_ARGUMENTS_MAX];
        size_t given_count;
};

const char *fs_options_keep_text(struct fs_options *options, const char *folder, const char *value)
{
        bool joined = folder && *value != '/';
        char *text;

        if (options->text_count == FS_TEXTS_MAX ||
            asprintf(&text, "%s%s%s", joined ? folder : "", joined ? "/" : "", value) < 0)
                return NULL;
        return options->texts[options->text_count++] = text;
}

/*
 * Keeps the option for the workers, and returns its value in the kept string; NULL after
 * a refusal. A path is made absolute.
 */
static const char *keep(struct reading *reading, const char *name, const char *value, bool is_path)
{
        _cleanup_free_ char *folder = is_path && *value != '/' ? getcwd(NULL, 0) : NULL;
        struct fs_options *options = reading->options;
        bool is_long = name[1] != '\0';
        char *kept;

        if (options->argument_count == FS_ARGUMENTS_MAX) {
                fs_refuse(reading->refusals, FS_USAGE_ERROR, "too many options");
                return NULL;
        }
        if (is_path && (!*value || (*value != '/' && !folder))) {
                fs_refuse(reading->refusals, FS_USAGE_ERROR, "%s%s %s: not a path",
                          is_long ? "--" : "-", name, value);
                return NULL;
        }
        if (asprintf(&kept, "%s%s%s%s%s%s", is_long ? "--" : "-", name,
                     is_long && *value ? "=" : "", folder ? folder : "", folder ? "/" : "",
                     value) < 0) {
                fs_refuse(reading->refusals, 1, "%s", strerror(ENOMEM));
                return NULL;
        }
        options->arguments[options->argument_count++] = kept;
        return kept + strlen(kept) - strlen(value) - (folder ? strlen(folder) + 1 : 0);
}

static int take_config(struct reading *reading, const char *path)
{
        if (reading->options->config)
                return fs_refuse(reading->refusals, FS_USAGE_ERROR, "-c %s: there is one already",
                                 path);
        reading->options->config = keep(reading, "c", path, true);
        return reading->options->config ? 0 : FS_USAGE_ERROR;
}

static int take_setting(struct reading *reading, const struct fs_setting *setting,
                        const char *value)
{
        const char *kept =
            keep(reading, setting->option, value, fs_setting_is_path(setting, value));

        if (!kept)
                return reading->refusals->status;
        reading->given[reading->given_count++] = (struct given){setting, kept};
        return 0;
}

static const struct fs_setting *find_setting(const char *option)
{
        for (unsigned i = 0; i < fs_setting_count; i++)
                if (fs_settings[i].option && strcmp(fs_settings[i].option, option) == 0)
                        return &fs_settings[i];
        return NULL;
}

static int take_option(struct reading *reading, int option, char **argv)
{
        switch (option) {
        case 'f':
                reading->options->foreground = true;
                return keep(reading, "f", "", false) ? 0 : FS_USAGE_ERROR;
        case 'c':
                return take_config(reading, optarg);
        case 'o':
                return take_setting(reading, find_setting("o"), optarg);
        case OPTION_HELP:
                return fputs(fs_options_usage, stdout) < 0 ? 1 : FS_OPTIONS_HELPED;
        case ':':
                return fs_refuse(reading->refusals, FS_USAGE_ERROR, "%s: a value is missing",
                                 argv[optind - 1]);
        case '?':
                return fs_refuse(reading->refusals, FS_USAGE_ERROR,
                                 "unknown option %.*s: see assetfs mount --help",
                                 (int)strcspn(argv[optind - 1], "="), argv[optind - 1]);
        default:
                return take_setting(reading, &fs_settings[option - LONG_OPTION], optarg);
        }
}

/* The long ones of the table, and --help. */
static void make_long_options(struct option *ret)
{
        for (unsigned i = 0; i < fs_setting_count; i++)
                if (fs_settings[i].option && fs_settings[i].option[1])
                        *ret++ = (struct option){fs_settings[i].option, required_argument, NULL,
                                                 LONG_OPTION + (int)i};
        *ret++ = (struct option){"help", no_argument, NULL, OPTION_HELP};
        *ret = (struct option){0};
}

static int read_arguments(struct reading *reading, int argc, char **argv)
{
        struct option long_options[FS_SETTINGS_MAX + 2];
        int option;
        int r = 0;

        make_long_options(long_options);
        optind = 0; /* glibc: start anew */
        opterr = 0;
        while (r == 0 && (option = getopt_long(argc, argv, ":fhc:o:", long_options, NULL)) != -1)
                r = take_option(reading, option, argv);
        return r;
}

static int apply_arguments(struct reading *reading)
{
        struct fs_why why;

        for (size_t i = 0; i < reading->given_count; i++) {
                const struct given *given = &reading->given[i];
                int r = given->setting->set(reading->options, given->value, &why);

                if (r)
                        return fs_refuse(reading->refusals, r, "%s%s %s",
                                         given->setting->option[1] ? "--" : "-",
                                         given->setting->option, why.text);
        }
        return 0;
}

/* As root /var/cache/assetfs, else $XDG_CACHE_HOME/assetfs or ~/.cache/assetfs. */
static int default_cache(struct reading *reading)
{
        const char *home = getenv("HOME");
        const char *xdg = getenv("XDG_CACHE_HOME");
        char path[PATH_MAX];
        int length;

        if (reading->options->cache)
                return 0;
        if (geteuid() == 0)
                length = snprintf(path, sizeof(path), "/var/cache/assetfs");
        else if (xdg && *xdg == '/')
                length = snprintf(path, sizeof(path), "%s/assetfs", xdg);
        else if (home && *home == '/')
                length = snprintf(path, sizeof(path), "%s/.cache/assetfs", home);
        else
                return fs_refuse(reading->refusals, FS_USAGE_ERROR,
                                 "--cache: no home directory to choose a default from");
        if (length >= (int)sizeof(path))
                return fs_refuse(reading->refusals, FS_USAGE_ERROR,
                                 "--cache: the default path is too long");
        reading->options->cache = fs_options_keep_text(reading->options, NULL, path);
        return reading->options->cache ? 0 : fs_refuse(reading->refusals, 1, "too many values");
}

static int check(struct reading *reading, int argc, char **argv)
{
        struct fs_options *options = reading->options;
        const char *words = NULL;

        if (argc - optind < 1)
                words = "no mount point";
        else if (argc - optind > 1)
                words = "more than one mount point (URLs belong behind --origin)";
        else if (options->origin_count == 0 && options->catalog_count == 0)
                words = options->config ? "no origin and no catalog: there is nothing to show"
                                        : "no --origin and no --catalog: there is nothing to show";
        else if (strlen(argv[optind]) >= sizeof(options->mountpoint))
                words = "the mount point's path is too long";
        if (words)
                return fs_refuse(reading->refusals, FS_USAGE_ERROR, "%s", words);
        snprintf(options->mountpoint, sizeof(options->mountpoint), "%s", argv[optind]);
        return default_cache(reading);
}

/* From the file, or in a worker from what the supervisor has kept of it. */
static int read_config(struct reading *reading, int config_fd)
{
        struct fs_options *options = reading->options;

        if (!options->config)
                return 0;
        if (config_fd >= 0)
                return fs_kept_config_apply(config_fd, options, reading->refusals);
        if (fs_config_read(options->config, &options->config_text, reading->refusals) == 0)
                fs_config_apply(options->config, options->config_text, FS_CONFIG_ALL, options,
                                reading->refusals);
        return reading->refusals->status;
}

static int parse(int argc, char **argv, int config_fd, struct fs_options *ret,
                 struct fs_refusals *refusals)
{
        struct reading reading = {.options = ret, .refusals = refusals};
        int r;

        *ret = (struct fs_options){.of_worker = config_fd >= 0};
        fs_settings_defaults(ret);
        if ((r = read_arguments(&reading, argc, argv)) || (r = read_config(&reading, config_fd)) ||
            (r = apply_arguments(&reading)) || (r = check(&reading, argc, argv)))
                return r;
        return 0;
}

int fs_options_parse(int argc, char **argv, struct fs_options *ret)
{
        struct fs_refusals refusals = {0};
        int r = parse(argc, argv, -1, ret, &refusals);

        fs_refusals_end(&refusals);
        return r;
}

int fs_options_parse_worker(int argc, char **argv, int config_fd, struct fs_options *ret)
{
        struct fs_refusals refusals = {0};
        int r = parse(argc, argv, config_fd, ret, &refusals);

        fs_refusals_end(&refusals);
        return r;
}

int fs_options_arguments(const struct fs_options *options, const char *verb, const char **argv)
{
        int argc = 0;

        argv[argc++] = "assetfs";
        argv[argc++] = verb;
        for (size_t i = 0; i < options->argument_count; i++)
                argv[argc++] = options->arguments[i];
        argv[argc++] = options->mountpoint;
        argv[argc] = NULL;
        return argc;
}

int fs_options_renew(const struct fs_options *before, struct fs_options *ret,
                     struct fs_refusals *refusals)
{
        const char *argv[FS_ARGUMENTS_MAX + 4];
        int argc = fs_options_arguments(before, "mount", argv);

        /* getopt orders the pointers, and leaves the strings alone. */
        return parse(argc - 1, (char **)argv + 1, -1, ret, refusals);
}

void fs_options_free(struct fs_options *options)
{
        for (size_t i = 0; i < options->argument_count; i++)
                free(options->arguments[i]);
        for (size_t i = 0; i < options->text_count; i++)
                free(options->texts[i]);
        free(options->config_text);
        options->config_text = NULL;
        options->argument_count = 0;
        options->text_count = 0;
}
