/*
 * Where URLs lead, and whose settings and credentials they go by.
 */
#include "fetch/locate.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cas_digest digest = {.bytes = {0xab}};

static const struct fetch_origin origins[] = {
    {.url = "https://host/{sha256}", .files = {.token_file = "/token"}},
    {.url = "s3://bucket/first/{sha256}", .endpoint = "https://first", .path_style = true},
    {.url = "s3://bucket/second/{sha256}", .endpoint = "https://second", .path_style = true},
    {.url = "gs://private/{sha256}", .files = {.token_file = "/token"}},
    {.url = "gs://open/{sha256}", .endpoint = "http://far", .files = {.token_file = "/token"}},
    {.url = "https://proxied/{sha256}", .proxy = "http://proxy:1"},
};

static const struct fetch_origin catalogs[] = {
    {.url = "/etc/catalog.json"},
    {.url = "s3://listed/catalog.json", .endpoint = "https://third", .path_style = true},
    {.url = "s3://bucket/catalog.json", .endpoint = "https://fourth", .path_style = true},
};

static struct fetch_locator *locator;

static void begin(void)
{
        const struct fetch_settings settings = {
            .origins = origins,
            .origin_count = sizeof(origins) / sizeof(origins[0]),
            .catalogs = catalogs,
            .catalog_count = sizeof(catalogs) / sizeof(catalogs[0])};

        cr_assert_eq(fetch_locator_new(&settings, NULL, &locator), 0);
}

static void end(void)
{
        fetch_locator_free(locator);
}

TestSuite(fetch_locate, .init = begin, .fini = end, .timeout = 20);

/* Leads there; returns the credential. */
static struct fetch_auth *expect(const struct fetch_origin *origin, const char *url,
                                 const char *begins)
{
        struct fetch_location location;
        const char *why = "";

        cr_assert_eq(fetch_locate(locator, origin, url, &digest, &location, &why), 0, "%s: %s", url,
                     why);
        cr_expect(strncmp(location.url, begins, strlen(begins)) == 0, "%s: %s", url, location.url);
        free(location.url);
        return location.auth;
}

static void expect_nowhere(const struct fetch_origin *origin, const char *url, const char *word)
{
        struct fetch_location location;
        const char *why = "";

        cr_expect_eq(fetch_locate(locator, origin, url, &digest, &location, &why), -EINVAL, "%s",
                     url);
        cr_expect(strstr(why, word), "%s: %s", url, why);
}

Test(fetch_locate, http_and_files_lead_to_themselves)
{
        cr_expect_null(expect(NULL, "https://host/x", "https://host/x"), "a catalog's, without");
        cr_expect_null(expect(&origins[5], "https://proxied/x", "https://proxied/x"));
        cr_expect_null(expect(NULL, "file:///srv/x", "file:///srv/x"));
        expect_nowhere(NULL, "ftp://host/x", "scheme");
}

Test(fetch_locate, an_origin_has_one_credential_for_all_of_its_assets)
{
        struct fetch_auth *auth = expect(&origins[0], "https://host/x", "https://host/x");

        cr_assert(auth);
        cr_expect_eq(auth, expect(&origins[0], "https://host/y", "https://host/y"));
        cr_expect_str_eq(auth->url, "https://host/x");
}

Test(fetch_locate, a_bucket_has_one_credential_and_an_origins_settings)
{
        struct fetch_auth *first = expect(&origins[1], "s3://bucket/first/x", "https://first/");
        struct fetch_auth *second = expect(&origins[2], "s3://bucket/second/x", "https://second/");

        cr_assert(first);
        cr_expect_neq(first, second, "another server");
        cr_expect_eq(first, expect(&origins[1], "s3://bucket/first/y", "https://first/"));
        cr_expect_eq(first, expect(NULL, "s3://bucket/else", "https://first/"), "of a catalog");
        cr_expect_neq(first, expect(NULL, "s3://other/x", "https://"));
        expect(NULL, "s3://listed/x", "https://third/");
}

Test(fetch_locate, a_file_may_be_the_credential_of_a_bucket)
{
        cr_expect(expect(&origins[3], "gs://private/x", "https://"));
        expect_nowhere(&origins[4], "gs://open/x", "https:// alone");
}

Test(fetch_locate, what_the_environment_says_of_servers_may_be_none)
{
        setenv("STORAGE_EMULATOR_HOST", "ftp://far", 1);
        expect_nowhere(NULL, "gs://bucket/x", "STORAGE_EMULATOR_HOST");
        setenv("AWS_ENDPOINT_URL", "far:9000", 1);
        expect_nowhere(NULL, "s3://elsewhere/x", "AWS_ENDPOINT_URL");
        unsetenv("STORAGE_EMULATOR_HOST");
        unsetenv("AWS_ENDPOINT_URL");
}

Test(fetch_locate, a_proxy_comes_along)
{
        struct fetch_location location;
        const char *why;

        cr_assert_eq(
            fetch_locate(locator, &origins[5], "https://proxied/x", &digest, &location, &why), 0);
        cr_expect_str_eq(location.proxy, "http://proxy:1");
        free(location.url);
}

Test(fetch_locate, a_repository_names_blobs_and_no_catalog)
{
        struct fetch_location location;
        const char *why;

        expect(NULL, "oci://registry.example/team/image",
               "https://registry.example/v2/team/image/blobs/sha256:ab");
        cr_expect_eq(
            fetch_locate(locator, NULL, "oci://registry.example/team/image", NULL, &location, &why),
            -EINVAL);
}

/* A catalog that comes by URL could name them without end. */
Test(fetch_locate, many_buckets_of_a_catalog_leave_room_for_the_operators)
{
        struct fetch_location location;
        char url[64];
        const char *why = "";
        int i = 0;

        do {
                snprintf(url, sizeof(url), "gs://bucket-%d/x", i);
        } while (fetch_locate(locator, NULL, url, &digest, &location, &why) == 0 &&
                 (free(location.url), ++i < 10000));
        cr_expect_lt(i, 10000);
        expect_nowhere(NULL, url, "too many");
        cr_expect(expect(&origins[1], "s3://bucket/first/x", "https://first/"));
        cr_expect(expect(&origins[0], "https://host/x", "https://host/x"));
}
