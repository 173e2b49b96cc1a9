/*
 * The settings and their bounds. Opens nothing, and shows no secret of a URL.
 */
#include "fs/settings.h"

#include "fetch/catalog.h"
#include "fetch/gs.h"
#include "fetch/http.h"
#include "fetch/s3.h"
#include "fetch/source.h"
#include "fetch/template.h"
#include "fetch/url.h"
#include "fs/mount_options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* A URL without the secrets in it. */
static int refuse_url(struct fs_why *why, const char *url, const char *words)
{
        const char *separator = strstr(url, "://");
        const char *authority = separator ? separator + 3 : url;
        char shown[256];

        /* An '@' behind the host: what looks like one may be half of a password. */
        if (strchr(authority + strcspn(authority, "/?#"), '@'))
                return fs_value_refuse(why, "...", words);
        fetch_url_redact(url, shown, sizeof(shown));
        return fs_value_refuse(why, shown, words);
}

static int add_origin(struct fs_options *options, const char *url, struct fs_why *why)
{
        const char *words;

        options->asked = NULL;
        if (fetch_template_check(url, &words) < 0)
                return refuse_url(why, url, words);
        if (options->origin_count == FS_ORIGINS_MAX)
                return refuse_url(why, url, "too many origins");
        options->asked = &options->origins[options->origin_count++];
        options->asked->url = url;
        return 0;
}

/* 0 where it is a URL that a worker can ask for. */
static int check_catalog_url(const char *url, struct fs_why *why)
{
        enum fetch_scheme scheme;
        const char *words;

        if (fetch_url_check(url, &scheme, &words) < 0)
                return refuse_url(why, url, words);
        if (scheme == FETCH_SCHEME_GS
                ? fetch_gs_check(url, &words) < 0
                : scheme == FETCH_SCHEME_S3 && fetch_s3_check(url, &words) < 0)
                return refuse_url(why, url, words);
        if (scheme == FETCH_SCHEME_FILE || scheme == FETCH_SCHEME_OCI ||
            scheme == FETCH_SCHEME_OTHER)
                return refuse_url(why, url,
                                  "a catalog is a file, or comes by http://, https://, gs:// or "
                                  "s3://");
        return 0;
}

static int add_catalog(struct fs_options *options, const char *path, struct fs_why *why)
{
        int r = fetch_catalog_is_url(path) ? check_catalog_url(path, why) : 0;

        options->asked = NULL;
        if (r)
                return r;
        if (options->catalog_count == FS_CATALOGS_MAX)
                return fs_value_refuse(why, path, "too many catalogs");
        options->asked = &options->catalog_origins[options->catalog_count];
        options->asked->url = path;
        options->catalogs[options->catalog_count++] = path;
        return 0;
}

bool fs_setting_is_path(const struct fs_setting *setting, const char *value)
{
        return setting->is_path && !(setting->set == add_catalog && fetch_catalog_is_url(value));
}

static int set_catalog_refresh(struct fs_options *options, const char *text, struct fs_why *why)
{
        return fs_parse_number(text, 0, 604800, &options->catalog_refresh, why);
}

static int set_cache(struct fs_options *options, const char *path, struct fs_why *why)
{
        if (strlen(path) >= PATH_MAX)
                return fs_value_refuse(why, path, "not a path");
        options->cache = path;
        return 0;
}

static int set_verify(struct fs_options *options, const char *word, struct fs_why *why)
{
        static const char *const words[] = {[CAS_VERIFY_METADATA] = "metadata",
                                            [CAS_VERIFY_BOOT] = "boot",
                                            [CAS_VERIFY_ALWAYS] = "always"};

        for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                if (strcmp(word, words[i]) == 0) {
                        options->verify = (enum cas_verify)i;
                        return 0;
                }
        }
        return fs_value_refuse(why, word, "metadata, boot or always");
}

static int set_scrub_interval(struct fs_options *options, const char *text, struct fs_why *why)
{
        if (fs_parse_duration(text, &options->scrub_interval) < 0)
                return fs_value_refuse(why, text, "not a duration (0, 90, 12h, 7d, ...)");
        return 0;
}

static int set_user(struct fs_options *options, const char *user, struct fs_why *why)
{
        (void)why;
        options->user = user;
        return 0;
}

static int set_proxy(struct fs_options *options, const char *url, struct fs_why *why)
{
        const char *words;

        if (fetch_url_check_proxy(url, &words) < 0)
                return refuse_url(why, url, words);
        options->proxy = url;
        return 0;
}

/* Of one origin or catalog, whatever the environment and no_proxy say of others. */
static int set_origin_proxy(struct fs_options *options, const char *url, struct fs_why *why)
{
        struct fetch_origin *origin = options->asked;
        bool none = strcmp(url, "none") == 0;
        const char *words;

        if (!origin)
                return 0;
        if (origin->url[0] == '/' || fetch_url_scheme(origin->url) == FETCH_SCHEME_FILE)
                return refuse_url(why, url, "a file needs no proxy");
        if (!none && fetch_url_check_proxy(url, &words) < 0)
                return refuse_url(why, url, words);
        origin->proxy = none ? "" : url;
        return 0;
}

static int add_deny_net(struct fs_options *options, const char *text, struct fs_why *why)
{
        const char *words;

        if (strcmp(text, "none") == 0) {
                options->deny_net_count = 0;
                return 0;
        }
        if (options->deny_net_count == FS_DENY_NETS_MAX)
                return fs_value_refuse(why, text, "too many networks");
        if (fetch_net_parse(text, &options->deny_nets[options->deny_net_count], &words) < 0)
                return fs_value_refuse(why, text, words);
        options->deny_net_count++;
        return 0;
}

/* A worker finds out by itself, as the user that has to read it. */
static int set_ca(struct fs_options *options, const char *path, struct fs_why *why)
{
        if (!options->of_worker && access(path, R_OK) < 0) {
                fs_value_refuse(why, path, strerror(errno));
                return 1;
        }
        options->ca_file = path;
        return 0;
}

static int set_log_level(struct fs_options *options, const char *word, struct fs_why *why)
{
        static const struct {
                const char *word;
                int priority;
        } levels[] = {
            {"error", LOG_ERR}, {"warning", LOG_WARNING}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}};

        for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
                if (strcmp(word, levels[i].word) == 0) {
                        options->log_level = levels[i].priority;
                        return 0;
                }
        }
        return fs_value_refuse(why, word, "error, warning, info or debug");
}

static int set_cache_size(struct fs_options *options, const char *text, struct fs_why *why)
{
        uint64_t size;

        if (fs_parse_size(text, &size) < 0 || size == 0)
                return fs_value_refuse(why, text, "not a size (1024, 10K, 8G, ...)");
        options->bounds.cache_size = size;
        return 0;
}

/* A size, or a part of the disk. The last one given counts. */
static int set_keep_free(struct fs_options *options, const char *text, struct fs_why *why)
{
        int r = fs_parse_free(text, &options->bounds);

        return r < 0 ? fs_value_refuse(why, text, "not a size (10G, ...) and not 0% to 99%") : 0;
}

static int set_max_asset_size(struct fs_options *options, const char *text, struct fs_why *why)
{
        uint64_t size;

        if (fs_parse_size(text, &size) < 0 || size == 0)
                return fs_value_refuse(why, text, "not a size (1024, 10K, 8G, ...)");
        options->max_asset_size = size;
        return 0;
}

static int set_max_downloads(struct fs_options *options, const char *text, struct fs_why *why)
{
        return fs_parse_number(text, 1, 1024, &options->max_downloads, why);
}

static int set_connections(struct fs_options *options, const char *text, struct fs_why *why)
{
        return fs_parse_number(text, 1, FETCH_CONNECTIONS_MOST, &options->connections, why);
}

static int set_retries(struct fs_options *options, const char *text, struct fs_why *why)
{
        return fs_parse_number(text, 0, 100, &options->retries, why);
}

static int set_open_timeout(struct fs_options *options, const char *text, struct fs_why *why)
{
        return fs_parse_number(text, 1, 604800, &options->open_timeout, why);
}

static int set_stall_timeout(struct fs_options *options, const char *text, struct fs_why *why)
{
        return fs_parse_number(text, 1, 86400, &options->stall_timeout, why);
}

static int set_min_rate(struct fs_options *options, const char *text, struct fs_why *why)
{
        return fs_parse_number(text, 1, 1u << 30, &options->min_rate, why);
}

static bool is_of(const struct fetch_origin *origin, enum fetch_scheme scheme)
{
        return fetch_url_scheme(origin->url) == scheme;
}

/* Of the services the server may be named below; fetch_locate() looks at that one. */
static bool may_have_credential(const struct fetch_origin *origin)
{
        return is_of(origin, FETCH_SCHEME_GS) || is_of(origin, FETCH_SCHEME_S3) ||
               is_of(origin, FETCH_SCHEME_OCI) || fetch_auth_is_private(origin->url);
}

static const char no_secret_there[] = "a credential goes by https:// alone, or to loopback";

/* For the url above it, if it is one that a secret may be sent to. */
static int set_credential(struct fs_options *options, const char *path, const char **ret,
                          struct fs_why *why)
{
        const struct fetch_origin *origin = options->asked;

        if (origin->url[0] == '/' || is_of(origin, FETCH_SCHEME_FILE))
                return refuse_url(why, origin->url, "a file needs no credential");
        if (!may_have_credential(origin))
                return refuse_url(why, origin->url, no_secret_there);
        if (origin->endpoint && !fetch_auth_is_private(origin->endpoint))
                return refuse_url(why, origin->endpoint, no_secret_there);
        *ret = path;
        return 0;
}

static int set_token_file(struct fs_options *options, const char *path, struct fs_why *why)
{
        struct fetch_origin *origin = options->asked;

        if (origin && origin->files.netrc_file)
                return fs_value_refuse(why, path, "there is a netrc-file already");
        return origin ? set_credential(options, path, &origin->files.token_file, why) : 0;
}

static int set_netrc_file(struct fs_options *options, const char *path, struct fs_why *why)
{
        struct fetch_origin *origin = options->asked;

        if (origin && origin->files.token_file)
                return fs_value_refuse(why, path, "there is a token-file already");
        return origin ? set_credential(options, path, &origin->files.netrc_file, why) : 0;
}

static int set_client_cert(struct fs_options *options, const char *path, struct fs_why *why)
{
        struct fetch_origin *origin = options->asked;

        return origin ? set_credential(options, path, &origin->files.client_cert, why) : 0;
}

static int set_client_key(struct fs_options *options, const char *path, struct fs_why *why)
{
        struct fetch_origin *origin = options->asked;

        if (origin && !origin->files.client_cert)
                return fs_value_refuse(why, path, "it stands behind client-cert");
        return origin ? set_credential(options, path, &origin->files.client_key, why) : 0;
}

/* The server of a service: no path, which would be half of an object's. */
static int set_endpoint(struct fs_options *options, const char *url, struct fs_why *why)
{
        struct fetch_origin *origin = options->asked;
        enum fetch_scheme scheme;
        const char *words;

        if (!origin)
                return 0;
        if (!is_of(origin, FETCH_SCHEME_GS) && !is_of(origin, FETCH_SCHEME_S3))
                return fs_value_refuse(why, url, "an endpoint is for gs:// and s3:// alone");
        if (fetch_url_check(url, &scheme, &words) < 0)
                return refuse_url(why, url, words);
        if ((scheme != FETCH_SCHEME_HTTP && scheme != FETCH_SCHEME_HTTPS) ||
            *fetch_url_behind_authority(url))
                return refuse_url(why, url, "an endpoint is https://HOST[:PORT], or http://");
        if (fetch_auth_files_has(&origin->files) && !fetch_auth_is_private(url))
                return refuse_url(why, url, no_secret_there);
        origin->endpoint = url;
        return 0;
}

static int set_region(struct fs_options *options, const char *region, struct fs_why *why)
{
        struct fetch_origin *origin = options->asked;

        if (!origin)
                return 0;
        if (!is_of(origin, FETCH_SCHEME_S3))
                return fs_value_refuse(why, region, "a region is for s3:// alone");
        if (!*region || region[strspn(region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                              "0123456789-_")])
                return fs_value_refuse(why, region, "not the name of a region");
        origin->region = region;
        return 0;
}

static int set_flag(struct fs_options *options, enum fetch_scheme scheme, const char *word,
                    bool *flag, struct fs_why *why)
{
        bool yes = strcmp(word, "yes") == 0;

        if (!is_of(options->asked, scheme))
                return fs_value_refuse(why, word,
                                       scheme == FETCH_SCHEME_S3 ? "this is for s3:// alone"
                                                                 : "this is for oci:// alone");
        if (!yes && strcmp(word, "no") != 0)
                return fs_value_refuse(why, word, "yes or no");
        *flag = yes;
        return 0;
}

static int set_path_style(struct fs_options *options, const char *word, struct fs_why *why)
{
        struct fetch_origin *origin = options->asked;

        int r = origin ? set_flag(options, FETCH_SCHEME_S3, word, &origin->path_style, why) : 0;

        if (origin && r == 0)
                origin->host_style = !origin->path_style;
        return r;
}

static int set_plain_http(struct fs_options *options, const char *word, struct fs_why *why)
{
        struct fetch_origin *origin = options->asked;

        return origin ? set_flag(options, FETCH_SCHEME_OCI, word, &origin->plain_http, why) : 0;
}

#define PATH  .is_path = true
#define FIXED .fixed = true
#define MANY  .many = true

const struct fs_setting fs_settings[] = {
    {"user", "mount", "user", FIXED, .set = set_user},
    {"ca", "mount", "ca", PATH, .set = set_ca},
    {"proxy", "mount", "proxy", .set = set_proxy},
    {"deny-net", "mount", "deny-net", MANY, .set = add_deny_net},
    {"log-level", "mount", "log-level", .set = set_log_level},
    {"o", "mount", "options", FIXED, .set = fs_mount_options_parse},
    {"cache", "cache", "cache", PATH, FIXED, .set = set_cache},
    {"cache-size", "cache", "cache-size", .set = set_cache_size},
    {"keep-free", "cache", "keep-free", .set = set_keep_free},
    {"verify", "cache", "verify", .set = set_verify},
    {"scrub-interval", "cache", "scrub-interval", .set = set_scrub_interval},
    {"max-asset-size", "limits", "max-asset-size", .set = set_max_asset_size},
    {"max-downloads", "limits", "max-downloads", .set = set_max_downloads},
    {"connections", "limits", "connections", .set = set_connections},
    {"retries", "limits", "retries", .set = set_retries},
    {"open-timeout", "limits", "open-timeout", .set = set_open_timeout},
    {"stall-timeout", "limits", "stall-timeout", .set = set_stall_timeout},
    {"min-rate", "limits", "min-rate", .set = set_min_rate},
    {"catalog-refresh", "limits", "catalog-refresh", .set = set_catalog_refresh},
    {"origin", "origin", "url", .set = add_origin},
    /* Of one origin or catalog each, and so in the file alone. */
    {NULL, "origin", "token-file", PATH, .set = set_token_file},
    {NULL, "origin", "netrc-file", PATH, .set = set_netrc_file},
    {NULL, "origin", "client-cert", PATH, .set = set_client_cert},
    {NULL, "origin", "client-key", PATH, .set = set_client_key},
    {NULL, "origin", "endpoint", .set = set_endpoint},
    {NULL, "origin", "region", .set = set_region},
    {NULL, "origin", "path-style", .set = set_path_style},
    {NULL, "origin", "plain-http", .set = set_plain_http},
    {NULL, "origin", "proxy", .set = set_origin_proxy},
    {"catalog", "catalog", "file", PATH, .set = add_catalog},
    {NULL, "catalog", "token-file", PATH, .set = set_token_file},
    {NULL, "catalog", "netrc-file", PATH, .set = set_netrc_file},
    {NULL, "catalog", "client-cert", PATH, .set = set_client_cert},
    {NULL, "catalog", "client-key", PATH, .set = set_client_key},
    {NULL, "catalog", "endpoint", .set = set_endpoint},
    {NULL, "catalog", "region", .set = set_region},
    {NULL, "catalog", "path-style", .set = set_path_style},
    {NULL, "catalog", "proxy", .set = set_origin_proxy},
};

const unsigned fs_setting_count = sizeof(fs_settings) / sizeof(fs_settings[0]);

_Static_assert(sizeof(fs_settings) / sizeof(fs_settings[0]) <= FS_SETTINGS_MAX, "bits of a set");

void fs_settings_defaults(struct fs_options *options)
{
        struct fs_why why = {""};

        options->allow_other = geteuid() == 0;
        options->log_level = LOG_INFO;
        options->bounds.cache_size = CAS_SIZE_UNLIMITED;
        options->max_asset_size = UINT64_C(8) << 30;
        options->max_downloads = 16;
        options->connections = 8;
        options->retries = 5;
        options->stall_timeout = 30;
        options->open_timeout = 1800;
        options->catalog_refresh = 300;
        options->min_rate = 10 * 1024;
        /* Where clouds keep the credentials of a machine, for whoever asks from it. */
        add_deny_net(options, "169.254.0.0/16", &why);
        add_deny_net(options, "fe80::/10", &why);
}
