/*
 * oci:// URLs: what they may look like, and the URLs of blobs that they stand for (OCI
 * distribution specification 1.1). Pure.
 */
#include "fetch/oci.h"

#include "fetch/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME         "oci://"
#define REPOSITORY_MAX 255 /* bytes, as registries have it */

static bool is_alnum(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* What may divide two words of a name: one dot, one or two underscores, any number of dashes.
 * Its length, or 0. */
static size_t divider_length(const char *at)
{
        if (*at == '.')
                return 1;
        if (*at == '_')
                return at[1] == '_' ? 2 : 1;
        return strspn(at, "-");
}

/* The grammar of a <name>: so it needs no encoding, and has no "..". */
static bool is_repository(const char *name)
{
        if (strlen(name) > REPOSITORY_MAX)
                return false;
        while (is_alnum(*name)) {
                while (is_alnum(*name))
                        name++;
                if (!*name)
                        return true;
                name += *name == '/' ? 1 : divider_length(name);
        }
        return false;
}

int fetch_oci_check(const char *url, const char **ret_why)
{
        const char *rest = fetch_url_behind_authority(url);
        enum fetch_scheme scheme;
        int r = fetch_url_check(url, &scheme, ret_why);

        if (r < 0)
                return r;
        if (strncmp(url, SCHEME, strlen(SCHEME)) != 0 || *rest != '/' || !rest[1])
                *ret_why = "not oci://registry/repository";
        else if (strchr(rest, '{'))
                *ret_why = "it takes no {sha256}: blobs are named by digest anyway";
        else if (strpbrk(rest, ":@"))
                *ret_why = "a repository without a tag or digest: all of its blobs are there";
        else if (!is_repository(rest + 1))
                *ret_why = "not a repository's name: lowercase letters and digits, divided by "
                           "'.', '_', '-' and '/'";
        else
                return 0;
        return -EINVAL;
}

int fetch_oci_split(const char *url, char **ret_registry, char **ret_repository)
{
        const char *registry = url + strlen(SCHEME);
        const char *rest = fetch_url_behind_authority(url);
        char *host = strndup(registry, (size_t)(rest - registry));
        char *name = strdup(rest + 1);

        if (!host || !name) {
                free(host);
                free(name);
                return -ENOMEM;
        }
        *ret_registry = host;
        *ret_repository = name;
        return 0;
}

char *fetch_oci_url(const struct fetch_origin *settings, const char *url,
                    const struct cas_digest *digest)
{
        char hex[CAS_DIGEST_HEX + 1];
        char *registry;
        char *repository;
        char *plain;
        char *ret = NULL;

        cas_digest_format(digest, hex);
        if (fetch_oci_split(url, &registry, &repository) < 0)
                return NULL;
        if (asprintf(&plain, "http://%s/v2/%s/blobs/sha256:%s", registry, repository, hex) < 0) {
                plain = NULL;
        } else if ((settings && settings->plain_http) || fetch_auth_is_private(plain)) {
                ret = plain;
                plain = NULL;
        } else if (asprintf(&ret, "https%s", plain + strlen("http")) < 0) {
                ret = NULL;
        }
        free(plain);
        free(registry);
        free(repository);
        return ret;
}
