/*
 * Where an object of S3 is, by HTTP. Pure: the environment is read, no file and no server; so
 * a profile's region signs requests, but is in no host's name.
 */
#include "fetch/s3.h"

#include "cas/io.h"
#include "fetch/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEME     "s3://"
#define BUCKET_MAX 255 /* bytes: of buckets from before 2018, and of other servers */
#define KEY_MAX    1024

/* "." and ".." as parts of a key: on the way some library would take them for a path's. */
static bool has_dots(const char *encoded)
{
        _cleanup_free_ char *name = fetch_url_encode_name(encoded);
        const char *key = name ? name : "";

        while (*key) {
                size_t length = strcspn(key, "/");

                if ((length == 1 || length == 2) && strncmp(key, "..", length) == 0)
                        return true;
                key += length + (key[length] == '/');
        }
        return false;
}

int fetch_s3_check(const char *url, const char **ret_why)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789.-_";
        const char *bucket = url + strlen(SCHEME);
        size_t length;
        const char *key;

        *ret_why = NULL;
        if (strncasecmp(url, SCHEME, strlen(SCHEME)) != 0) {
                *ret_why = "not a URL of the kind s3://bucket/key";
                return -EINVAL;
        }
        length = strspn(bucket, letters);
        key = bucket + length + 1;
        if (length == 0 || length > BUCKET_MAX || *bucket == '.' || *bucket == '-')
                *ret_why = "no bucket in the URL";
        else if (bucket[length] && bucket[length] != '/')
                *ret_why = "not a bucket's name";
        else if (!bucket[length] || !*key)
                *ret_why = "no key in the URL";
        else if (strlen(key) > KEY_MAX)
                *ret_why = "the key is too long";
        else if (has_dots(key))
                *ret_why = "a key with . or .. in it cannot be asked for";
        return *ret_why ? -EINVAL : 0;
}

/* The first variable that says something, or NULL. */
static const char *environment(const char *name, const char *other)
{
        const char *value = getenv(name);

        if (value && *value)
                return value;
        value = other ? getenv(other) : NULL;
        return value && *value ? value : NULL;
}

static const char *endpoint_of(const struct fetch_origin *settings)
{
        const char *ignored = getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");

        if (settings && settings->endpoint)
                return settings->endpoint;
        if (ignored && strcasecmp(ignored, "true") == 0)
                return NULL;
        return environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
}

/* Not as part of a host's name: a wildcard certificate is for one label, and names have small
 * letters alone. */
static bool needs_path(const char *bucket, size_t length)
{
        for (size_t i = 0; i < length; i++)
                if (bucket[i] == '.' || bucket[i] == '_' || (bucket[i] >= 'A' && bucket[i] <= 'Z'))
                        return true;
        return length > 63;
}

/* "https://host", with the bucket in it or behind it, without a slash at its end. */
static char *server_of(const struct fetch_origin *settings, const char *bucket, int length)
{
        const char *endpoint = endpoint_of(settings);
        const char *region = settings && settings->region
                                 ? settings->region
                                 : environment("AWS_REGION", "AWS_DEFAULT_REGION");
        const char *suffix = region && strncmp(region, "cn-", 3) == 0 ? ".cn" : "";
        bool host = settings && settings->host_style && !needs_path(bucket, (size_t)length);
        bool path = (settings && settings->path_style) || needs_path(bucket, (size_t)length);
        char *server = NULL;
        int r;

        if (endpoint) {
                int end = (int)strlen(endpoint);
                const char *mark = strstr(endpoint, "://");
                int head = mark ? (int)(mark + 3 - endpoint) : 0;

                while (end > head && endpoint[end - 1] == '/')
                        end--;
                if (host)
                        r = asprintf(&server, "%.*s%.*s.%.*s", head, endpoint, length, bucket,
                                     end - head, endpoint + head);
                else
                        r = asprintf(&server, "%.*s/%.*s", end, endpoint, length, bucket);
        } else if (path) {
                r = asprintf(&server, "https://s3%s%s.amazonaws.com%s/%.*s", region ? "." : "",
                             region ? region : "", suffix, length, bucket);
        } else {
                r = asprintf(&server, "https://%.*s.s3%s%s.amazonaws.com%s", length, bucket,
                             region ? "." : "", region ? region : "", suffix);
        }
        return r < 0 ? NULL : server;
}

char *fetch_s3_url(const struct fetch_origin *settings, const char *url)
{
        const char *bucket = url + strlen(SCHEME);
        const char *key = bucket + strcspn(bucket, "/");
        char *server = server_of(settings, bucket, (int)(key - bucket));
        /* What is signed is the path as it stands in the request: encoded as S3 encodes it, so
         * that both sides read the same. */
        char *path = fetch_url_encode_name(key);
        char *whole = NULL;

        if (server && path && asprintf(&whole, "%s%s", server, path) < 0)
                whole = NULL;
        free(path);
        free(server);
        return whole;
}
