/*
 * {sha256} in URLs. Pure.
 */
#include "fetch/template.h"

#include "fetch/gs.h"
#include "fetch/oci.h"
#include "fetch/s3.h"
#include "fetch/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MARK "{sha256}"

/* Does another digest make another path, or at least another query, of the same host? */
static bool marks_are_placed(const char *template_url)
{
        const char *mark = strstr(template_url, MARK);
        const char *path = fetch_url_behind_authority(template_url);
        bool is_file = fetch_url_scheme(template_url) == FETCH_SCHEME_FILE;

        return mark >= path && mark < path + strcspn(path, is_file ? "?#" : "#");
}

/* Blobs of a registry are named by their digests: there is nothing to mark. */
static int check_repository(const char *url, const char **ret_why)
{
        enum fetch_scheme scheme;

        return fetch_url_check(url, &scheme, ret_why) < 0 ? -EINVAL : fetch_oci_check(url, ret_why);
}

static const char cannot_be_read[] =
    "only http://, https://, gs://, s3://, oci:// and file:// can be read";

int fetch_template_check(const char *template_url, const char **ret_why)
{
        static const struct cas_digest sample;
        enum fetch_scheme scheme;

        if (fetch_url_scheme(template_url) == FETCH_SCHEME_OCI)
                return check_repository(template_url, ret_why);
        if (!strstr(template_url, MARK)) {
                *ret_why = strstr(template_url, "://") &&
                                   fetch_url_scheme(template_url) == FETCH_SCHEME_OTHER
                               ? cannot_be_read
                               : "no {sha256} in it";
                return -EINVAL;
        }

        char *url = fetch_template_expand(template_url, &sample);

        if (!url) {
                *ret_why = "out of memory";
                return -EINVAL;
        }

        int r = fetch_url_check(url, &scheme, ret_why);

        if (r == 0 && scheme == FETCH_SCHEME_GS)
                r = fetch_gs_check(url, ret_why);
        if (r == 0 && scheme == FETCH_SCHEME_S3)
                r = fetch_s3_check(url, ret_why);
        free(url);
        if (r < 0)
                return r;
        if (scheme == FETCH_SCHEME_OTHER) {
                *ret_why = cannot_be_read;
                return -EINVAL;
        }
        if (!marks_are_placed(template_url)) {
                *ret_why = "{sha256} has to be in the path or the query";
                return -EINVAL;
        }
        return 0;
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
