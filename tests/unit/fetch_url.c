/*
 * URLs: which are taken, what of them is shown, and file:// there and back.
 */
#include "fetch/url.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

TestSuite(fetch_url, .timeout = 20);

static void expect_refused(const char *url, const char *word)
{
        enum fetch_scheme scheme;
        const char *why = "";

        cr_expect_eq(fetch_url_check(url, &scheme, &why), -EINVAL, "%s", url);
        cr_expect_not_null(strstr(why, word), "%s: %s", url, why);
}

static void expect_shown(const char *url, const char *shown)
{
        char found[256];

        fetch_url_redact(url, found, sizeof(found));
        cr_expect_str_eq(found, shown);
}

Test(fetch_url, good_ones_and_their_schemes)
{
        static const struct {
                const char *url;
                enum fetch_scheme scheme;
        } good[] = {
            {"http://host/x", FETCH_SCHEME_HTTP},
            {"HTTP://HOST", FETCH_SCHEME_HTTP},
            {"https://host:8443/a/../b?c=d#e", FETCH_SCHEME_HTTPS},
            {"https://[2001:db8::1]/x", FETCH_SCHEME_HTTPS},
            {"https://host/mail@me", FETCH_SCHEME_HTTPS},
            {"file:///srv/x", FETCH_SCHEME_FILE},
            {"oci://registry/x", FETCH_SCHEME_OCI},
        };
        const char *why = "";

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                enum fetch_scheme scheme = FETCH_SCHEME_OTHER;

                cr_expect_eq(fetch_url_check(good[i].url, &scheme, &why), 0, "%s: %s", good[i].url,
                             why);
                cr_expect_eq(scheme, good[i].scheme, "%s", good[i].url);
        }
}

Test(fetch_url, what_is_no_url)
{
        static const char *const bad[] = {"",
                                          "x",
                                          "/srv/x",
                                          "host/x",
                                          "https://",
                                          "https:///",
                                          "http://host:99999/",
                                          "http://[::1/",
                                          "://host/"};

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                expect_refused(bad[i], "");
}

Test(fetch_url, fault_63_credentials)
{
        expect_refused("https://user:secret@host/", "credentials");
        expect_refused("https://user@host/", "credentials");
        expect_refused("https://:secret@host/", "credentials");
        expect_refused("oci://user:secret@host/", "credentials");
        expect_refused("http:///user:secret@host/", "");
}

Test(fetch_url, fault_69_control_bytes_spaces_and_foreign_bytes)
{
        expect_refused("https://host/a\nb", "control");
        expect_refused("https://host/a\x1b[31m", "control");
        expect_refused("https://host/a b", "control");
        expect_refused("https://host/a\x7f", "control");
        expect_refused("https://host/caf\xc3\xa9", "control");
        expect_refused("\thttps://host/", "control");
}

Test(fetch_url, longest_url)
{
        char *url = malloc(FETCH_URL_MAX + 2);
        enum fetch_scheme scheme;
        const char *why = "";

        cr_assert_not_null(url);
        memset(url, 'x', FETCH_URL_MAX + 1);
        memcpy(url, "https://host/", 13);
        url[FETCH_URL_MAX + 1] = '\0';
        expect_refused(url, "too long");
        url[FETCH_URL_MAX] = '\0';
        cr_expect_eq(fetch_url_check(url, &scheme, &why), 0, "%s", why);
        free(url);
}

Test(fetch_url, secrets_are_not_shown)
{
        expect_shown("https://host/x", "https://host/x");
        expect_shown("https://host", "https://host");
        expect_shown("https://user:secret@host/x", "https://host/x");
        expect_shown("https://a@b:secret@host/x@y", "https://host/x@y");
        expect_shown("https://host/x?token=secret", "https://host/x?...");
        expect_shown("https://host/x#secret", "https://host/x?...");
        expect_shown("https://host?user@secret", "https://host?...");
        expect_shown("", "");
}

/* libcurl takes one to three slashes; what it refuses is shown as well. */
Test(fetch_url, secrets_are_not_shown_however_many_slashes)
{
        expect_shown("http:/user:secret@host/x", "http:/host/x");
        expect_shown("http:///user:secret@host/x", "http:///host/x");
        expect_shown("http://///user:secret@host/x", "http://///host/x");
        expect_shown("http:user:secret@host/x", "host/x");
        expect_shown("user:secret@proxy:3128", "proxy:3128");
        cr_expect(fetch_url_has_user("http:/user:secret@host/x"));
        cr_expect(fetch_url_has_user("http:///user:secret@host/x"));
        cr_expect_not(fetch_url_has_user("http:///host/a@b"));
}

Test(fetch_url, a_scheme_in_the_query_begins_no_url)
{
        expect_shown("host/x?token=secret&to=http://other/", "host/x?...");
        expect_shown("host?token=secret&to=http://user@other/", "host?...");
        expect_shown("host/http://a@b", "host/http://a@b");
}

Test(fetch_url, the_path_of_a_file_has_no_user)
{
        expect_shown("file:///mail@me/x", "file:///mail@me/x");
        expect_shown("FILE:///a:b@c/x", "FILE:///a:b@c/x");
        cr_expect_not(fetch_url_has_user("file:///a:b@c/x"));
}

Test(fetch_url, users_are_found_where_curl_finds_them)
{
        cr_expect(fetch_url_has_user("https://user:secret@host/x"));
        cr_expect(fetch_url_has_user("https://user@host"));
        cr_expect(fetch_url_has_user("https://@host/"));
        cr_expect_not(fetch_url_has_user("https://host/a@b"));
        cr_expect_not(fetch_url_has_user("https://host?a@b"));
        cr_expect_not(fetch_url_has_user("https://host#a@b"));
}

Test(fetch_url, fault_69_shown_urls_are_printable)
{
        expect_shown("https://host/a\nlevel=0\x1b[2J\xff", "https://host/a?level=0?[2J?");
}

Test(fetch_url, shown_url_is_cut_to_the_room)
{
        char small[12];

        memset(small, '#', sizeof(small));
        fetch_url_redact("https://host/long/path", small, 10);
        cr_expect_str_eq(small, "https://h");
        cr_expect_eq(small[10], '#');
}

static void expect_path(const char *url, const char *path)
{
        char *found = NULL;

        cr_assert_eq(fetch_url_to_path(url, &found), 0, "%s", url);
        cr_expect_str_eq(found, path);
        free(found);
}

Test(fetch_url, paths_are_decoded_and_taken_as_they_are)
{
        expect_path("file:///srv/x", "/srv/x");
        expect_path("file:///a%20b%25", "/a b%");
        expect_path("file:///caf%C3%A9", "/caf\xc3\xa9");
        expect_path("file:///a/../b", "/a/../b");
        expect_path("file://localhost/srv", "/srv");
}

Test(fetch_url, no_path_is_cut_short_by_a_nul)
{
        char *path = NULL;

        cr_expect_eq(fetch_url_to_path("file:///etc/passwd%00.bin", &path), -EINVAL);
        cr_expect_null(path);
}

/* libcurl takes file:x as well, a path that depends on where the process stands. */
Test(fetch_url, no_path_is_relative_or_of_another_scheme)
{
        static const char *const bad[] = {"file:x/y", "file:+r/v//x", "file:/x", "http://host/x",
                                          "/x"};

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char *path = NULL;

                cr_expect_eq(fetch_url_to_path(bad[i], &path), -EINVAL, "%s", bad[i]);
                cr_expect_null(path, "%s: %s", bad[i], path);
        }
}

Test(fetch_url, every_byte_of_a_path_comes_back)
{
        char path[256] = "/";
        size_t length = 1;
        char *url = NULL;
        enum fetch_scheme scheme;
        const char *why = "";

        for (int byte = ' '; byte < 256; byte++)
                path[length++] = (char)byte;
        path[length] = '\0';
        cr_assert_eq(fetch_url_from_path(path, &url), 0);
        cr_expect_eq(fetch_url_check(url, &scheme, &why), 0, "%s: %s", url, why);
        expect_path(url, path);
        free(url);
}
