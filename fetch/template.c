/*
 * {sha256} in URLs. Pure.
 */
#include "fetch/template.h"

#include "fetch/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MARK "{sha256}"

int fetch_template_check(const char *template_url, const char **ret_why)
{
        static const struct cas_digest sample;
        enum fetch_scheme scheme;

        if (!strstr(template_url, MARK)) {
                *ret_why = "no {sha256} in it";
                return -EINVAL;
        }

        char *url = fetch_template_expand(template_url, &sample);

        if (!url) {
                *ret_why = "out of memory";
                return -EINVAL;
        }

        int r = fetch_url_check(url, &scheme, ret_why);

        free(url);
        if (r == 0 && scheme == FETCH_SCHEME_OTHER) {
                *ret_why = "only http://, https:// and file:// can be read";
                r = -EINVAL;
        }
        return r;
}

char *fetch_template_expand(const char *template_url, const struct cas_digest *digest)
{
        char hex[CAS_DIGEST_HEX + 1];
        size_t marks = 0;

        for (const char *mark = strstr(template_url, MARK); mark; mark = strstr(mark + 1, MARK))
                marks++;

        char *url = malloc(strlen(template_url) + marks * CAS_DIGEST_HEX + 1);
        char *end = url;

        if (!url)
                return NULL;
        cas_digest_format(digest, hex);
        while (*template_url) {
                if (strncmp(template_url, MARK, strlen(MARK)) == 0) {
                        end = stpcpy(end, hex);
                        template_url += strlen(MARK);
                } else {
                        *end++ = *template_url++;
                }
        }
        *end = '\0';
        return url;
}
