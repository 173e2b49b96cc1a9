/*
 * Credentials: whom a pass is for, and when a file is read again.
 */
#include "fetch/auth.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_for(const char *one, const char *other)
{
        struct fetch_auth_pass pass = {.url = (char *)one};

        return fetch_auth_pass_is_for(&pass, other);
}

Test(fetch_auth, fault_17_for_one_server)
{
        const char *origin = "https://host/a/{sha256}";

        cr_expect(is_for(origin, "https://host/b?c"));
        cr_expect(is_for(origin, "https://HOST:443/"));
        cr_expect_not(is_for(origin, "https://host:444/"));
        cr_expect_not(is_for(origin, "http://host/"));
        cr_expect_not(is_for(origin, "http://host:443/"));
        cr_expect_not(is_for(origin, "https://host.example/"));
        cr_expect_not(is_for(origin, "https://other@host@else/"));
        cr_expect_not(is_for(origin, "https:/\\host/"));
        cr_expect_not(is_for(origin, "no URL"));
}

Test(fetch_auth, private_is_https_or_here)
{
        cr_expect(fetch_auth_is_private("https://host/{sha256}"));
        cr_expect(fetch_auth_is_private("http://127.0.0.1:8/{sha256}"));
        cr_expect(fetch_auth_is_private("http://[::1]/{sha256}"));
        cr_expect_not(fetch_auth_is_private("http://host/{sha256}"));
        cr_expect_not(fetch_auth_is_private("http://127.0.0.1.host/{sha256}"));
}

static void write_text(const char *path, const char *text)
{
        FILE *file = fopen(path, "w");

        cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

Test(fetch_auth, file_is_read_when_it_has_changed)
{
        char path[] = "/tmp/assetfs-auth.XXXXXX";
        struct fetch_auth_files files = {.token_file = path};
        struct fetch_cause cause = {0};
        struct fetch_auth *auth;

        close(mkstemp(path));
        cr_assert_eq(fetch_auth_of_files("https://host/{sha256}", &files, &auth), 0);
        cr_expect_null(fetch_auth_take(auth, &cause));
        cr_expect_eq(cause.kind, FETCH_DENIED);

        write_text(path, "one\nX-Forged: yes\n");
        cr_expect_null(fetch_auth_take(auth, &cause), "one word");

        write_text(path, "first\n");

        struct fetch_auth_pass *first = fetch_auth_take(auth, &cause);
        struct fetch_auth_pass *same = fetch_auth_take(auth, &cause);

        cr_assert(first);
        cr_expect_eq(cause.kind, FETCH_OK);
        cr_expect_str_eq(first->authorization, "Authorization: Bearer first");
        cr_expect_eq(first, same, "one for all");
        cr_expect_null(fetch_auth_renew(auth, first), "there is no other one");

        write_text(path, "another\n");

        struct fetch_auth_pass *next = fetch_auth_take(auth, &cause);

        cr_assert(next);
        cr_expect_str_eq(next->authorization, "Authorization: Bearer another");
        cr_expect_str_eq(first->authorization, "Authorization: Bearer first", "still whole");
        fetch_auth_pass_unref(first);
        fetch_auth_pass_unref(same);
        fetch_auth_pass_unref(next);
        fetch_auth_free(auth);
        unlink(path);
}
