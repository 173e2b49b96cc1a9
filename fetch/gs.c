/*
 * Names of objects into URLs. Asks nobody.
 */
#include "fetch/gs.h"

#include "cas/io.h"
#include "fetch/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME_LENGTH (sizeof("gs://") - 1)
#define SERVER        "https://storage.googleapis.com"
#define BUCKET_MIN    3
#define BUCKET_MAX    222

/* Not "..", which would lead to another bucket; as the provider advises against either. */
static bool has_dot_segment(const char *object)
{
        _cleanup_free_ char *name = fetch_url_encode_name(object);

        if (!name)
                return true; /* nobody can tell */
        for (const char *segment = name; segment; segment = strchr(segment, '/')) {
                segment += *segment == '/';

                size_t length = strcspn(segment, "/");

                if (length > 0 && length <= 2 && strspn(segment, ".") >= length)
                        return true;
        }
        return false;
}

int fetch_gs_check(const char *url, const char **ret_why)
{
        const char *bucket = url + SCHEME_LENGTH;
        size_t length = strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-_.");
        const char *why = NULL;

        if (bucket[length] != '/' && bucket[length] != '\0')
                why = "the bucket's name has other than a-z, 0-9, '-', '_' and '.'";
        else if (length == 0)
                why = "no bucket in the gs:// URL";
        else if (length < BUCKET_MIN || length > BUCKET_MAX)
                why = "the bucket's name has less than 3 letters, or too many";
        else if (strspn(bucket, ".-_") > 0)
                why = "the bucket's name begins with neither a letter nor a digit";
        else if (bucket[length] == '\0' || bucket[length + 1] == '\0')
                why = "no object in the gs:// URL";
        else if (has_dot_segment(bucket + length + 1))
                why = "a part of the object's name is '.' or '..'";
        if (!why)
                return 0;
        *ret_why = why;
        return -EINVAL;
}

/* "scheme://host[:port]", a slash at its end cut off; *ret_scheme is what to put before it. */
static const char *server_of(const struct fetch_origin *settings, const char **ret_scheme,
                             int *ret_length)
{
        const char *emulator = getenv("STORAGE_EMULATOR_HOST");
        const char *server = SERVER;
        size_t length;

        if (settings && settings->endpoint)
                server = settings->endpoint;
        else if (emulator && *emulator)
                server = emulator;
        *ret_scheme = strstr(server, "://") ? "" : "http://";
        length = strlen(server);
        while (length > 0 && server[length - 1] == '/')
                length--;
        *ret_length = (int)length;
        return server;
}

char *fetch_gs_url(const struct fetch_origin *settings, const char *url)
{
        _cleanup_free_ char *name = fetch_url_encode_name(url + SCHEME_LENGTH);
        const char *scheme;
        int length;
        const char *server = server_of(settings, &scheme, &length);
        char *ret;

        return !name || asprintf(&ret, "%s%.*s/%s", scheme, length, server, name) < 0 ? NULL : ret;
}
