/*
 * s3:// URLs and the bucket's credential.
 */
#include "fetch/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fetch_s3_check(const char *url, const char **ret_why)
{
        (void)url;
        (void)ret_why;
        return 0;
}

char *fetch_s3_url(const struct fetch_origin *settings, const char *url)
{
        const char *endpoint = settings->endpoint ? settings->endpoint : "https://s3.amazonaws.com";
        char *http_url;

        return asprintf(&http_url, "%s/%s", endpoint, url + strlen("s3://")) < 0 ? NULL : http_url;
}

int fetch_auth_of_s3(const struct fetch_origin *settings, struct http_loop *loop, const char *url,
                     const char *http_url, struct fetch_auth **ret)
{
        (void)settings;
        (void)loop;
        (void)url;
        (void)http_url;
        *ret = NULL;
        return 0;
}
