/*
 * The order of the sources of a digest.
 */
#include "fetch/origin.h"

#include "tests/unit/scratch.h"

#define LISTED   "1111111111111111111111111111111111111111111111111111111111111111"
#define UNLISTED "2222222222222222222222222222222222222222222222222222222222222222"

TestSuite(fetch_origin, .init = scratch_make, .fini = scratch_remove, .timeout = 20);

static const struct fetch_origin templates[] = {{.url = "https://first/{sha256}"},
                                                {.url = "https://second/{sha256}"},
                                                {.url = "https://first/{sha256}"}};

static struct fetch_catalogs *catalogs_with(const char *text)
{
        struct fetch_catalog_text parsed = {
            .path = "catalog.json", .folder = "/", .bytes = (char *)text, .length = strlen(text)};
        struct fetch_catalogs *catalogs = NULL;
        struct fetch_catalog *catalog = NULL;
        char why[FETCH_CATALOG_WHY];

        cr_assert_eq(fetch_catalog_parse(&parsed, 1, &catalog, why), 0, "%s", why);
        cr_assert_eq(fetch_catalogs_new(catalog, &catalogs), 0);
        return catalogs;
}

static struct fetch_locator *locator_of(const struct fetch_origin *list, size_t count)
{
        const struct fetch_settings settings = {list, count, NULL, 0, NULL};
        struct fetch_locator *locator = NULL;

        cr_assert_eq(fetch_locator_new(&settings, NULL, &locator), 0);
        return locator;
}

static void expect_sources(const struct fetch_origins *origins, const char *hex,
                           const char *const *expected)
{
        struct cas_digest digest;
        size_t i = 0;

        cr_assert_eq(cas_digest_parse(hex, CAS_DIGEST_HEX, &digest), 0);

        struct fetch_source *sources = fetch_sources(origins, &digest);

        cr_assert_not_null(sources);
        for (; sources[i].url && expected[i]; i++)
                cr_expect_str_eq(sources[i].url, expected[i]);
        cr_expect(!sources[i].url && !expected[i], "%zu sources", i);
        fetch_sources_free(sources);
}

Test(fetch_origin, templates_in_order_and_none_twice)
{
        struct fetch_catalogs *catalogs = catalogs_with("{\"assets\": {}}");
        struct fetch_origins origins = {catalogs, templates, 3, locator_of(templates, 3)};

        expect_sources(
            &origins, UNLISTED,
            (const char *const[]){"https://first/" UNLISTED, "https://second/" UNLISTED, NULL});
        fetch_locator_free(origins.locator);
        fetch_catalogs_free(catalogs);
}

Test(fetch_origin, what_leads_nowhere_says_why)
{
        static const struct fetch_origin list[] = {{.url = "gs://bucket/{sha256}",
                                                    .endpoint = "http://far",
                                                    .files = {.token_file = "/t"}},
                                                   {.url = "https://first/{sha256}"}};
        struct fetch_catalogs *catalogs = catalogs_with(
            "{\"assets\": {\"a\": {\"sha256\": \"" LISTED "\", \"url\": \"ftp://a/b\"}}}");
        struct fetch_origins origins = {catalogs, list, 2, locator_of(list, 2)};
        struct cas_digest digest;

        cr_assert_eq(cas_digest_parse(LISTED, CAS_DIGEST_HEX, &digest), 0);

        struct fetch_source *sources = fetch_sources(&origins, &digest);

        cr_expect_str_eq(sources[0].why, "this scheme cannot be read");
        cr_expect(strstr(sources[1].why, "https:// alone"), "%s", sources[1].why);
        cr_expect_null(sources[2].why);
        fetch_sources_free(sources);
        fetch_locator_free(origins.locator);
        fetch_catalogs_free(catalogs);
}

Test(fetch_origin, catalog_comes_first)
{
        struct fetch_catalogs *catalogs = catalogs_with(
            "{\"assets\": {\"a\": {\"sha256\": \"" LISTED
            "\", \"urls\": [\"https://catalog/a\", \"https://second/" LISTED "\"]}}}");
        struct fetch_origins origins = {catalogs, templates, 3, locator_of(templates, 3)};

        expect_sources(&origins, LISTED,
                       (const char *const[]){"https://catalog/a", "https://second/" LISTED,
                                             "https://first/" LISTED, NULL});
        expect_sources(
            &origins, UNLISTED,
            (const char *const[]){"https://first/" UNLISTED, "https://second/" UNLISTED, NULL});
        fetch_locator_free(origins.locator);
        fetch_catalogs_free(catalogs);
}

/* By a proxy first, then without: two sources. A catalog's URL is the first of them. */
Test(fetch_origin, the_same_url_by_another_proxy)
{
        static const struct fetch_origin list[] = {
            {.url = "https://first/{sha256}", .proxy = "http://proxy"},
            {.url = "https://first/{sha256}", .proxy = ""},
            {.url = "https://first/{sha256}", .proxy = "http://proxy"}};
        struct fetch_catalogs *catalogs =
            catalogs_with("{\"assets\": {\"a\": {\"sha256\": \"" LISTED
                          "\", \"urls\": [\"https://first/" LISTED "\", \"https://other/\"]}}}");
        struct fetch_origins origins = {catalogs, list, 3, locator_of(list, 3)};
        struct cas_digest digest;

        cr_assert_eq(cas_digest_parse(LISTED, CAS_DIGEST_HEX, &digest), 0);

        struct fetch_source *sources = fetch_sources(&origins, &digest);

        cr_assert_not_null(sources);
        cr_expect_str_eq(sources[0].url, "https://first/" LISTED);
        cr_expect_str_eq(sources[0].proxy, "http://proxy");
        cr_expect_str_eq(sources[1].url, "https://other/");
        cr_expect_null(sources[1].proxy);
        cr_expect_str_eq(sources[2].url, "https://first/" LISTED);
        cr_expect_str_eq(sources[2].proxy, "");
        cr_expect_null(sources[3].url);
        fetch_sources_free(sources);
        fetch_locator_free(origins.locator);
        fetch_catalogs_free(catalogs);
}

Test(fetch_origin, no_source_is_an_empty_list)
{
        struct fetch_catalogs *catalogs =
            catalogs_with("{\"assets\": {\"a\": {\"sha256\": \"" LISTED "\"}}}");
        struct fetch_origins origins = {catalogs, NULL, 0, locator_of(NULL, 0)};

        expect_sources(&origins, LISTED, (const char *const[]){NULL});
        expect_sources(&origins, UNLISTED, (const char *const[]){NULL});
        fetch_locator_free(origins.locator);
        fetch_catalogs_free(catalogs);
        fetch_sources_free(NULL);
}
