/*
 * argv into struct fs_options. Opens nothing; only makes paths absolute, because
 * workers are started again and again, from another directory.
 */
#include "fs/options.h"

#include "cas/io.h"
#include "fetch/source.h"
#include "fetch/template.h"
#include "fetch/url.h"
#include "fs/log.h"
#include "fs/mount_options.h"
#include "fs/values.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char fs_options_usage[] =
    "usage: assetfs mount [OPTION]... {--origin URL | --catalog FILE}... MOUNTPOINT\n"
    "       assetfs reload MOUNTPOINT     a new worker, of the binary now installed\n"
    "       assetfs --help | --version\n"
    "\n"
    "Shows assets as MOUNTPOINT/<sha256>. The first open downloads and verifies one;\n"
    "from then on it is a local file.\n"
    "\n"
    "  --origin URL           where assets are: http://, https:// or file://, with {sha256}\n"
    "                         in it; may be repeated, tried in order\n"
    "  --catalog FILE         names, sizes and URLs of assets, JSON or SHA256SUMS; may be\n"
    "                         repeated\n"
    "  --cache DIR            where verified assets are kept (root: /var/cache/assetfs,\n"
    "                         else $XDG_CACHE_HOME/assetfs or ~/.cache/assetfs)\n"
    "  --max-asset-size SIZE  larger ones are refused (8G)\n"
    "  --max-downloads N      at once; the others wait (16)\n"
    "  --connections N        of one download, where the origin limits each (8)\n"
    "  --retries N            of a source that fails, by back-off; what made progress does\n"
    "                         not count (5)\n"
    "  --open-timeout SEC     how long an open waits for its download (1800)\n"
    "  --stall-timeout SEC    a transfer ends that is slower than --min-rate for so long (30)\n"
    "  --min-rate RATE        bytes a second (10K)\n"
    "  --ca FILE              certificates to trust, PEM, instead of the system's\n"
    "  --proxy URL            instead of http_proxy and https_proxy; no_proxy still counts\n"
    "  --deny-net CIDR        where no catalog and no redirect may lead, beside 169.254.0.0/16\n"
    "                         and fe80::/10; may be repeated; none: nor these two\n"
    "  --user NAME|UID        who downloads, as root (the cache's owner, else assetfs)\n"
    "  -o OPT,...             uid=, gid=, umask=: who may open, and so start downloads;\n"
    "                         passthrough=auto|on|off: the kernel reads cached assets itself;\n"
    "                         default_permissions: needed for idmapped mounts of the mount;\n"
    "                         allow_other, allow_root, noexec, noatime, context=, fsname=\n"
    "  -f                     stay in the foreground and log to stderr\n"
    "\n"
    "SIZE and RATE take K, M, G, T (powers of 1024). It ends by umount, fusermount3 -u,\n"
    "SIGTERM or SIGINT. Exit status: 0, 1 (failed), 2 (usage).\n";

enum {
        OPTION_CACHE = 256,
        OPTION_ORIGIN,
        OPTION_CATALOG,
        OPTION_MAX_ASSET_SIZE,
        OPTION_MAX_DOWNLOADS,
        OPTION_CONNECTIONS,
        OPTION_RETRIES,
        OPTION_CA,
        OPTION_PROXY,
        OPTION_DENY_NET,
        OPTION_STALL_TIMEOUT,
        OPTION_MIN_RATE,
        OPTION_OPEN_TIMEOUT,
        OPTION_USER,
        OPTION_HELP,
};

static const struct option long_options[] = {
    {"cache", required_argument, NULL, OPTION_CACHE},
    {"origin", required_argument, NULL, OPTION_ORIGIN},
    {"catalog", required_argument, NULL, OPTION_CATALOG},
    {"max-asset-size", required_argument, NULL, OPTION_MAX_ASSET_SIZE},
    {"max-downloads", required_argument, NULL, OPTION_MAX_DOWNLOADS},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"retries", required_argument, NULL, OPTION_RETRIES},
    {"deny-net", required_argument, NULL, OPTION_DENY_NET},
    {"ca", required_argument, NULL, OPTION_CA},
    {"proxy", required_argument, NULL, OPTION_PROXY},
    {"stall-timeout", required_argument, NULL, OPTION_STALL_TIMEOUT},
    {"min-rate", required_argument, NULL, OPTION_MIN_RATE},
    {"open-timeout", required_argument, NULL, OPTION_OPEN_TIMEOUT},
    {"user", required_argument, NULL, OPTION_USER},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

/* A usage error about a URL, without the secrets in it. */
static int url_error(const char *option, const char *url, const char *why)
{
        const char *separator = strstr(url, "://");
        const char *authority = separator ? separator + 3 : url;
        char shown[256];

        /* An '@' behind the host: what looks like one may be half of a password. */
        if (strchr(authority + strcspn(authority, "/?#"), '@'))
                return fs_usage_error(option, "...", why);
        fetch_url_redact(url, shown, sizeof(shown));
        return fs_usage_error(option, shown, why);
}

static int add_origin(struct fs_options *options, const char *url)
{
        const char *why;

        if (fetch_template_check(url, &why) < 0)
                return url_error("--origin", url, why);
        if (options->origin_count == FS_ORIGINS_MAX)
                return url_error("--origin", url, "too many origins");
        options->origins[options->origin_count++] = url;
        return 0;
}

static int add_catalog(struct fs_options *options, const char *path)
{
        if (options->catalog_count == FS_CATALOGS_MAX)
                return fs_usage_error("--catalog", path, "too many catalogs");
        options->catalogs[options->catalog_count++] = path;
        return 0;
}

static int set_cache(struct fs_options *options, const char *path)
{
        if (strlen(path) >= PATH_MAX)
                return fs_usage_error("--cache", path, "not a path");
        options->cache = path;
        return 0;
}

static int set_proxy(struct fs_options *options, const char *url)
{
        const char *why;

        if (fetch_url_check_proxy(url, &why) < 0)
                return url_error("--proxy", url, why);
        options->proxy = url;
        return 0;
}

static int add_deny_net(struct fs_options *options, const char *text)
{
        const char *why;

        if (strcmp(text, "none") == 0) {
                options->deny_net_count = 0;
                return 0;
        }
        if (options->deny_net_count == FS_DENY_NETS_MAX)
                return fs_usage_error("--deny-net", text, "too many networks");
        if (fetch_net_parse(text, &options->deny_nets[options->deny_net_count], &why) < 0)
                return fs_usage_error("--deny-net", text, why);
        options->deny_net_count++;
        return 0;
}

/* Where clouds keep the credentials of a machine, for whoever asks from it. */
static void deny_link_local(struct fs_options *options)
{
        add_deny_net(options, "169.254.0.0/16");
        add_deny_net(options, "fe80::/10");
}

static int set_ca(struct fs_options *options, const char *path)
{
        if (access(path, R_OK) < 0)
                return fs_fail("--ca %s: %s", path, strerror(errno));
        options->ca_file = path;
        return 0;
}

/*
 * Keeps the option for the workers, and returns its value in the kept string; NULL after
 * a complaint. A path is made absolute.
 */
static const char *keep(struct fs_options *options, const char *name, const char *value,
                        bool is_path)
{
        _cleanup_free_ char *folder = is_path && *value != '/' ? getcwd(NULL, 0) : NULL;
        bool is_long = name[1] != '\0';
        char *kept;

        if (options->argument_count == FS_ARGUMENTS_MAX) {
                fs_fail("too many options");
                return NULL;
        }
        if (is_path && (!*value || (*value != '/' && !folder))) {
                fs_usage_error(name, value, "not a path");
                return NULL;
        }
        if (asprintf(&kept, "%s%s%s%s%s%s", is_long ? "--" : "-", name,
                     is_long && *value ? "=" : "", folder ? folder : "", folder ? "/" : "",
                     value) < 0) {
                fs_fail("%s", strerror(ENOMEM));
                return NULL;
        }
        options->arguments[options->argument_count++] = kept;
        return kept + strlen(kept) - strlen(value) - (folder ? strlen(folder) + 1 : 0);
}

static int parse_option(struct fs_options *options, int option, const char *value, char **argv)
{
        switch (option) {
        case 'f':
                options->foreground = true;
                return 0;
        case 'o':
                return fs_mount_options_parse(options, value);
        case OPTION_CACHE:
                return set_cache(options, value);
        case OPTION_ORIGIN:
                return add_origin(options, value);
        case OPTION_CATALOG:
                return add_catalog(options, value);
        case OPTION_MAX_ASSET_SIZE:
                if (fs_parse_size(value, &options->max_asset_size) == 0 && options->max_asset_size)
                        return 0;
                return fs_usage_error("--max-asset-size", value, "not a size (1024, 10K, 8G, ...)");
        case OPTION_MAX_DOWNLOADS:
                return fs_parse_number("--max-downloads", value, 1, 1024, &options->max_downloads);
        case OPTION_CONNECTIONS:
                return fs_parse_number("--connections", value, 1, FETCH_CONNECTIONS_MOST,
                                       &options->connections);
        case OPTION_RETRIES:
                return fs_parse_number("--retries", value, 0, 100, &options->retries);
        case OPTION_DENY_NET:
                return add_deny_net(options, value);
        case OPTION_CA:
                return set_ca(options, value);
        case OPTION_PROXY:
                return set_proxy(options, value);
        case OPTION_STALL_TIMEOUT:
                return fs_parse_number("--stall-timeout", value, 1, 86400, &options->stall_timeout);
        case OPTION_MIN_RATE:
                return fs_parse_number("--min-rate", value, 1, 1u << 30, &options->min_rate);
        case OPTION_OPEN_TIMEOUT:
                return fs_parse_number("--open-timeout", value, 1, 604800, &options->open_timeout);
        case OPTION_USER:
                options->user = value;
                return 0;
        case OPTION_HELP:
                return fputs(fs_options_usage, stdout) < 0 ? 1 : FS_OPTIONS_HELPED;
        case ':':
                fs_fail("%s: a value is missing", argv[optind - 1]);
                return FS_USAGE_ERROR;
        default:
                fs_fail("unknown option %.*s: see assetfs --help",
                        (int)strcspn(argv[optind - 1], "="), argv[optind - 1]);
                return FS_USAGE_ERROR;
        }
}

/* As root /var/cache/assetfs, else $XDG_CACHE_HOME/assetfs or ~/.cache/assetfs. */
static int default_cache(struct fs_options *options)
{
        const char *home = getenv("HOME");
        const char *xdg = getenv("XDG_CACHE_HOME");
        char path[PATH_MAX];
        int length;

        if (options->cache)
                return 0;
        if (geteuid() == 0)
                length = snprintf(path, sizeof(path), "/var/cache/assetfs");
        else if (xdg && *xdg == '/')
                length = snprintf(path, sizeof(path), "%s/assetfs", xdg);
        else if (home && *home == '/')
                length = snprintf(path, sizeof(path), "%s/.cache/assetfs", home);
        else
                return fs_fail("--cache: no home directory to choose a default from"),
                       FS_USAGE_ERROR;
        if (length >= (int)sizeof(path))
                return fs_fail("--cache: the default path is too long"), FS_USAGE_ERROR;
        options->cache = keep(options, "cache", path, true);
        return options->cache ? 0 : FS_USAGE_ERROR;
}

static int check(struct fs_options *options, int argc, char **argv)
{
        if (argc - optind != 1) {
                if (argc - optind < 1)
                        fs_fail("no mount point");
                else
                        fs_fail("more than one mount point (URLs belong behind --origin)");
                return FS_USAGE_ERROR;
        }
        if (options->origin_count == 0 && options->catalog_count == 0) {
                fs_fail("no --origin and no --catalog: there is nothing to show");
                return FS_USAGE_ERROR;
        }
        if (strlen(argv[optind]) >= sizeof(options->mountpoint)) {
                fs_fail("the mount point's path is too long");
                return FS_USAGE_ERROR;
        }
        snprintf(options->mountpoint, sizeof(options->mountpoint), "%s", argv[optind]);
        return default_cache(options);
}

/* The option as it was meant: its name, and what kind of value it has. */
static int take_option(struct fs_options *options, int option, int index, char **argv)
{
        char letter[] = {(char)option, '\0'};
        bool is_path = option == OPTION_CACHE || option == OPTION_CATALOG || option == OPTION_CA;
        const char *value = NULL;

        if (option == 'h')
                option = OPTION_HELP;
        if (option != OPTION_HELP && option != '?' && option != ':') {
                value = keep(options, option < OPTION_CACHE ? letter : long_options[index].name,
                             optarg ? optarg : "", is_path);
                if (!value)
                        return FS_USAGE_ERROR;
        }
        return parse_option(options, option, value, argv);
}

int fs_options_parse(int argc, char **argv, struct fs_options *ret)
{
        int index = 0;
        int option;

        *ret = (struct fs_options){
            .allow_other = geteuid() == 0,
            .max_asset_size = UINT64_C(8) << 30,
            .max_downloads = 16,
            .connections = 8,
            .retries = 5,
            .stall_timeout = 30,
            .open_timeout = 1800,
            .min_rate = 10 * 1024,
        };
        deny_link_local(ret);
        optind = 0; /* glibc: start anew */
        opterr = 0;
        while ((option = getopt_long(argc, argv, ":fho:", long_options, &index)) != -1) {
                int r = take_option(ret, option, index, argv);

                if (r)
                        return r;
        }
        return check(ret, argc, argv);
}

void fs_options_free(struct fs_options *options)
{
        for (size_t i = 0; i < options->argument_count; i++)
                free(options->arguments[i]);
        options->argument_count = 0;
}
