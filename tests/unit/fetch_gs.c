/*
 * gs:// URLs: what is one, and where it leads.
 */
#include "fetch/gs.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void forget_environment(void)
{
        unsetenv("STORAGE_EMULATOR_HOST");
}

TestSuite(fetch_gs, .init = forget_environment, .timeout = 20);

static const char *complaint(const char *url)
{
        const char *why = NULL;

        return fetch_gs_check(url, &why) == 0 ? NULL : why;
}

Test(fetch_gs, names)
{
        cr_expect_null(complaint("gs://bucket/{sha256}"));
        cr_expect_null(complaint("gs://a.b_c-9/path/to/{sha256}.img"));
        cr_expect_null(complaint("gs://bucket/..a/.b/c..?d#e"));
        cr_expect_null(complaint("gs://bucket//a//"));
        cr_expect_str_eq(complaint("gs://bucket"), "no object in the gs:// URL");
        cr_expect_str_eq(complaint("gs://bucket/"), "no object in the gs:// URL");
        cr_expect_str_eq(complaint("gs:///object"), "no bucket in the gs:// URL");
        cr_expect_str_eq(complaint("gs://ab/object"),
                         "the bucket's name has less than 3 letters, or too many");
        cr_expect(strstr(complaint("gs://{sha256}/object"), "has other than"));
        cr_expect(strstr(complaint("gs://Bucket/object"), "has other than"));
        cr_expect(strstr(complaint("gs://bucket:80/object"), "has other than"));
        cr_expect(strstr(complaint("gs://user@bucket/object"), "has other than"));
        cr_expect(strstr(complaint("gs://bucket?x/object"), "has other than"));
        cr_expect(strstr(complaint("gs://..a/object"), "begins with neither"));
}

/* Else an object of one bucket would be asked for in another. */
Test(fetch_gs, no_way_out_of_the_bucket)
{
        cr_expect(complaint("gs://bucket/.."));
        cr_expect(complaint("gs://bucket/../other/a"));
        cr_expect(complaint("gs://bucket/a/./b"));
        cr_expect(complaint("gs://bucket/a//.."));
        cr_expect(complaint("gs://bucket/%2e%2E/other/a"));
        cr_expect(complaint("gs://bucket/..%2fother/a"));
        cr_expect(complaint("gs://bucket/a/%2e%2E/b"));
        cr_expect(complaint("gs://bucket/a%2f../b"));
}

static void expect_url(const struct fetch_origin *settings, const char *url, const char *expected)
{
        char *leads = fetch_gs_url(settings, url);

        cr_expect_str_eq(leads, expected);
        free(leads);
}

Test(fetch_gs, urls)
{
        struct fetch_origin plain = {0};
        struct fetch_origin endpoint = {.endpoint = "https://storage.example:8443/"};

        expect_url(NULL, "gs://bucket/a/b", "https://storage.googleapis.com/bucket/a/b");
        expect_url(&plain, "gs://bucket/a", "https://storage.googleapis.com/bucket/a");
        expect_url(&endpoint, "gs://bucket/a", "https://storage.example:8443/bucket/a");
        expect_url(&plain, "gs://bucket/a?b#c%20+d:",
                   "https://storage.googleapis.com/bucket/a%3Fb%23c%20%2Bd%3A");
}

Test(fetch_gs, emulator)
{
        struct fetch_origin plain = {0};
        struct fetch_origin endpoint = {.endpoint = "https://storage.example"};

        setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:9023", 1);
        expect_url(&plain, "gs://bucket/a", "http://127.0.0.1:9023/bucket/a");
        expect_url(NULL, "gs://bucket/a", "http://127.0.0.1:9023/bucket/a");
        expect_url(&endpoint, "gs://bucket/a", "https://storage.example/bucket/a");
        setenv("STORAGE_EMULATOR_HOST", "https://emulator.example//", 1);
        expect_url(&plain, "gs://bucket/a", "https://emulator.example/bucket/a");
        setenv("STORAGE_EMULATOR_HOST", "", 1);
        expect_url(&plain, "gs://bucket/a", "https://storage.googleapis.com/bucket/a");
}

/* Nobody is asked for a token that could not be sent (there is no loop to ask by). */
Test(fetch_gs, no_token_by_http_to_others)
{
        static const char url[] = "http://storage.example/bucket/a";
        struct fetch_cause cause = {0};
        struct fetch_auth *auth;
        struct fetch_auth_pass *pass;

        cr_assert_eq(fetch_auth_of_gs(NULL, NULL, "gs://bucket/a", url, &auth), 0);
        pass = fetch_auth_take(auth, NULL, &cause);
        cr_assert(pass);
        cr_expect_null(pass->authorization, "anonymous first");
        cr_expect(pass->takes_gzip);
        cr_expect_null(fetch_auth_renew(auth, pass, url, NULL, &cause));
        cr_expect_eq(cause.kind, FETCH_DENIED);
        cr_expect(strstr(cause.text, "not sent by http"), "%s", cause.text);
        fetch_auth_pass_unref(pass);
        fetch_auth_free(auth);
}
