/*
 * gs:// URLs and the bucket's credential.
 */
#include "fetch/gs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fetch_gs_check(const char *url, const char **ret_why)
{
        (void)url;
        (void)ret_why;
        return 0;
}

char *fetch_gs_url(const struct fetch_origin *settings, const char *url)
{
        const char *endpoint =
            settings->endpoint ? settings->endpoint : "https://storage.googleapis.com";
        char *http_url;

        return asprintf(&http_url, "%s/%s", endpoint, url + strlen("gs://")) < 0 ? NULL : http_url;
}

int fetch_auth_of_gs(struct http_loop *loop, const char *url, const char *http_url,
                     struct fetch_auth **ret)
{
        (void)loop;
        (void)url;
        (void)http_url;
        *ret = NULL;
        return 0;
}
