/*
 * oci:// URLs: which are refused, and where the others lead.
 */
#include "fetch/oci.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(fetch_oci, .timeout = 20);

static const struct cas_digest zero;

#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"

static void expect_url(const char *url, bool plain_http, const char *expected)
{
        struct fetch_origin settings = {.url = url, .plain_http = plain_http};
        const char *why = "";
        char *led;

        cr_expect_eq(fetch_oci_check(url, &why), 0, "%s: %s", url, why);
        led = fetch_oci_url(&settings, url, &zero);
        cr_assert(led);
        cr_expect_str_eq(led, expected);
        free(led);
}

static void expect_refused(const char *url, const char *words)
{
        const char *why = "";

        cr_expect_lt(fetch_oci_check(url, &why), 0, "%s", url);
        cr_expect(strstr(why, words), "%s: %s", url, why);
}

Test(fetch_oci, blobs)
{
        expect_url("oci://registry.example.com/team/models", false,
                   "https://registry.example.com/v2/team/models/blobs/sha256:" ZERO);
        expect_url("oci://registry.example.com:5000/a", false,
                   "https://registry.example.com:5000/v2/a/blobs/sha256:" ZERO);
        expect_url("oci://Registry/a.b_c__d---e/0", false,
                   "https://Registry/v2/a.b_c__d---e/0/blobs/sha256:" ZERO);
}

Test(fetch_oci, plain_http_for_this_machine_or_when_asked_for)
{
        expect_url("oci://127.0.0.1:5000/a", false,
                   "http://127.0.0.1:5000/v2/a/blobs/sha256:" ZERO);
        expect_url("oci://localhost/a", false, "http://localhost/v2/a/blobs/sha256:" ZERO);
        expect_url("oci://[::1]:5000/a", false, "http://[::1]:5000/v2/a/blobs/sha256:" ZERO);
        expect_url("oci://127.0.0.1.example.com/a", false,
                   "https://127.0.0.1.example.com/v2/a/blobs/sha256:" ZERO);
        expect_url("oci://registry/a", true, "http://registry/v2/a/blobs/sha256:" ZERO);
}

Test(fetch_oci, refused)
{
        expect_refused("oci://registry", "oci://registry/repository");
        expect_refused("oci://registry/", "oci://registry/repository");
        expect_refused("oci:///a", "");
        expect_refused("oci://registry:port/a", "URL");
        expect_refused("oci://joe:secret@registry/a", "credentials");
        expect_refused("oci://registry/a/{sha256}", "{sha256}");
        expect_refused("oci://registry/a:latest", "tag");
        expect_refused("oci://registry/a@sha256:" ZERO, "digest");
        expect_refused("oci://registry/A", "lowercase");
        expect_refused("oci://registry/a/", "lowercase");
        expect_refused("oci://registry//a", "lowercase");
        expect_refused("oci://registry/a/../b", "lowercase");
        expect_refused("oci://registry/a..b", "lowercase");
        expect_refused("oci://registry/a___b", "lowercase");
        expect_refused("oci://registry/a-", "lowercase");
        expect_refused("oci://registry/a%2fb", "lowercase");
        expect_refused("oci://registry/a?b", "lowercase");
        expect_refused("oci://registry/a#b", "lowercase");
        expect_refused("oci://registry?a", "");

        char long_name[300] = "oci://registry/";
        const char *why;

        memset(long_name + strlen(long_name), 'a', 255);
        cr_expect_eq(fetch_oci_check(long_name, &why), 0);
        strcat(long_name, "a");
        expect_refused(long_name, "name");
}
