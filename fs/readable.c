/*
 * Options into directories. Opens nothing.
 */
#include "fs/readable.h"

#include "fetch/adc.h"
#include "fetch/catalog.h"
#include "fetch/docker_config.h"
#include "fetch/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "{sha256}"

/* Takes the directory of `path`, which is freed here. false without memory. */
static bool add_folder(struct fs_readable *readable, size_t *count, char *path)
{
        char *slash = path ? strrchr(path, '/') : NULL;

        if (!path)
                return false;
        if (!slash) {
                free(path);
                return true;
        }
        slash[slash == path ? 1 : 0] = '\0';
        readable->paths[(*count)++] = path;
        return true;
}

/* The path of a file:// template up to the digest, or to the directory it names. */
static bool add_origin(struct fs_readable *readable, size_t *count, const char *template_url)
{
        const char *mark = strstr(template_url, MARK);
        char *url;
        char *path = NULL;
        int r;

        if (fetch_url_scheme(template_url) != FETCH_SCHEME_FILE || !mark)
                return true;
        url = strndup(template_url, (size_t)(mark - template_url));
        if (!url)
                return false;
        r = fetch_url_to_path(url, &path);
        free(url);
        return r == -EINVAL || add_folder(readable, count, path);
}

static bool add_credentials(struct fs_readable *readable, size_t *count,
                            const struct fetch_auth_files *files)
{
        const char *const paths[] = {files->token_file, files->netrc_file, files->client_cert,
                                     files->client_key};
        bool ok = true;

        for (size_t i = 0; ok && i < sizeof(paths) / sizeof(paths[0]); i++)
                if (paths[i])
                        ok = add_folder(readable, count, strdup(paths[i]));
        return ok;
}

/* An origin does, or a catalog may name what is there. */
static bool may_use(const struct fs_options *options, enum fetch_scheme scheme)
{
        bool may = options->catalog_count > 0;

        for (size_t i = 0; i < options->origin_count; i++)
                may |= fetch_url_scheme(options->origins[i].url) == scheme;
        return may;
}

/* Where logins of registries are. */
static bool add_logins(struct fs_readable *readable, size_t *count,
                       const struct fs_options *options)
{
        struct fetch_docker_config config;
        bool ok = true;

        if (!may_use(options, FETCH_SCHEME_OCI))
                return true;
        if (fetch_docker_config_init(&config) < 0)
                return false;
        for (size_t i = 0; ok && i < FETCH_DOCKER_FILES; i++)
                if (config.paths[i])
                        ok = add_folder(readable, count, strdup(config.paths[i]));
        fetch_docker_config_free(&config);
        return ok;
}

/* Where the credentials lie that gs:// may want. */
static bool add_google(struct fs_readable *readable, size_t *count,
                       const struct fs_options *options)
{
        bool named;
        char *path = may_use(options, FETCH_SCHEME_GS) ? fetch_adc_path(&named) : NULL;

        if (path && *path == '/')
                return add_folder(readable, count, path);
        free(path);
        return true;
}

/* What AWS's variables name, and its files at home. */
#define AWS_FOLDERS 5
static bool add_aws(struct fs_readable *readable, size_t *count, const struct fs_options *options)
{
        static const char *const names[] = {"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE",
                                            "AWS_WEB_IDENTITY_TOKEN_FILE",
                                            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"};
        const char *home = getenv("HOME");
        char *path = NULL;
        bool wanted = may_use(options, FETCH_SCHEME_S3);
        bool ok = true;

        for (size_t i = 0; ok && wanted && i < sizeof(names) / sizeof(names[0]); i++) {
                const char *named = getenv(names[i]);

                if (named && named[0] == '/')
                        ok = add_folder(readable, count, strdup(named));
        }
        if (!ok || !wanted || !home || home[0] != '/')
                return ok;
        return asprintf(&path, "%s/.aws/config", home) >= 0 && add_folder(readable, count, path);
}

int fs_readable_find(const struct fs_options *options, struct fs_readable *ret)
{
        const char *const environment[] = {getenv("SSL_CERT_FILE"), getenv("CURL_CA_BUNDLE")};
        const char *directory = getenv("SSL_CERT_DIR");
        size_t most = 5 * options->catalog_count + 5 * options->origin_count + 6 +
                      FETCH_DOCKER_FILES + AWS_FOLDERS;
        size_t count = 0;
        bool ok = (ret->paths = calloc(most, sizeof(char *)));

        for (size_t i = 0; ok && i < options->catalog_count; i++)
                ok = fetch_catalog_is_url(options->catalogs[i]) ||
                     add_folder(ret, &count, strdup(options->catalogs[i]));
        for (size_t i = 0; ok && i < options->origin_count; i++)
                ok = add_origin(ret, &count, options->origins[i].url);
        for (size_t i = 0; ok && i < options->origin_count; i++)
                ok = add_credentials(ret, &count, &options->origins[i].files);
        for (size_t i = 0; ok && i < options->catalog_count; i++)
                ok = add_credentials(ret, &count, &options->catalog_origins[i].files);
        if (ok)
                ok = add_logins(ret, &count, options);
        if (ok && options->ca_file)
                ok = add_folder(ret, &count, strdup(options->ca_file));
        for (size_t i = 0; ok && i < 2; i++)
                if (environment[i] && environment[i][0] == '/')
                        ok = add_folder(ret, &count, strdup(environment[i]));
        if (ok && directory && directory[0] == '/')
                ok = (ret->paths[count++] = strdup(directory));
        ok = ok && add_google(ret, &count, options);
        ok = ok && add_aws(ret, &count, options);
        if (!ok) {
                fs_readable_free(ret);
                return -ENOMEM;
        }
        return 0;
}

void fs_readable_free(struct fs_readable *readable)
{
        for (char **path = readable->paths; path && *path; path++)
                free(*path);
        free(readable->paths);
        readable->paths = NULL;
}
