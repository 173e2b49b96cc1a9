/*
 * {sha256} in URLs.
 */
#include "fetch/template.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

TestSuite(fetch_template, .timeout = 20);

static const struct cas_digest zero;

static void expect_expanded(const char *template_url, const char *url)
{
        char *found = fetch_template_expand(template_url, &zero);

        cr_assert_not_null(found);
        cr_expect_str_eq(found, url);
        free(found);
}

static void expect_refused(const char *template_url, const char *word)
{
        const char *why = "";

        cr_expect_eq(fetch_template_check(template_url, &why), -EINVAL, "%s", template_url);
        cr_expect_not_null(strstr(why, word), "%s: %s", template_url, why);
}

Test(fetch_template, every_mark_is_replaced)
{
        expect_expanded("https://h/{sha256}", "https://h/" ZEROS);
        expect_expanded("https://h/{sha256}/{sha256}.bin", "https://h/" ZEROS "/" ZEROS ".bin");
        expect_expanded("{sha256}{sha256}", ZEROS ZEROS);
        expect_expanded("", "");
}

Test(fetch_template, everything_else_stays)
{
        expect_expanded("https://h/{sha256", "https://h/{sha256");
        expect_expanded("https://h/{SHA256}", "https://h/{SHA256}");
        expect_expanded("https://h/{{sha256}}", "https://h/{" ZEROS "}");
        expect_expanded("https://h/{sha{sha256}256}", "https://h/{sha" ZEROS "256}");
}

Test(fetch_template, good_ones)
{
        static const char *const good[] = {
            "https://host/assets/{sha256}",    "http://127.0.0.1:8080/{sha256}",
            "http://[::1]/{sha256}",           "HTTPS://host/?name={sha256}&x=1",
            "file:///srv/assets/{sha256}",     "https://host?{sha256}",
            "https://host/{sha256}?a#{sha256}"};
        const char *why = "";

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                cr_expect_eq(fetch_template_check(good[i], &why), 0, "%s: %s", good[i], why);
}

Test(fetch_template, without_a_mark)
{
        expect_refused("https://host/assets/", "{sha256}");
        expect_refused("", "{sha256}");
}

Test(fetch_template, without_a_url)
{
        expect_refused("{sha256}", "");
        expect_refused("/srv/{sha256}", "");
        expect_refused("https://", "{sha256}");
        expect_refused("https:// host/{sha256}", "space");
}

/* In the host it would make another host, in the fragment another name of the same file. */
Test(fetch_template, mark_where_it_names_no_file)
{
        static const char *const bad[] = {
            "https://{sha256}/x",     "https://{sha256}.example/{sha256}",
            "https://h.{sha256}?x",   "http://host:{sha256}/",
            "http://host:8{sha256}/", "http://[::{sha256}]/",
            "http:///{sha256}/x",     "https://host/x#{sha256}",
            "file:///srv/x#{sha256}", "file:///srv/x?{sha256}",
            "https://host#/{sha256}"};

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                expect_refused(bad[i], "");
        expect_refused("https://{sha256}/x", "path");
        expect_refused("https://host/x#{sha256}", "path");
}

Test(fetch_template, scheme_that_cannot_be_read)
{
        expect_refused("ftp://host/{sha256}", "http://");
        expect_refused("docker://host/repository", "oci://");
        expect_refused("ftp://host/{sha256}", "http://");
}

Test(fetch_template, fault_63_credentials)
{
        expect_refused("https://user:secret@host/{sha256}", "credentials");
        expect_refused("https://user@host/{sha256}", "credentials");
}
