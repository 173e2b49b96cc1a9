/*
 * WWW-Authenticate: which challenge is taken, and what spoils one.
 */
#include "fetch/challenge.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(fetch_challenge, .timeout = 20);

static void expect_bearer(const char *lines, const char *realm, const char *service)
{
        struct fetch_challenge found;

        cr_assert(fetch_challenge_find(lines, &found), "%s", lines);
        cr_expect_eq(found.scheme, FETCH_CHALLENGE_BEARER, "%s", lines);
        cr_expect_str_eq(found.realm, realm, "%s", lines);
        cr_expect_str_eq(found.service, service, "%s", lines);
}

static void expect_basic(const char *lines)
{
        struct fetch_challenge found;

        cr_expect(fetch_challenge_find(lines, &found), "%s", lines);
        cr_expect_eq(found.scheme, FETCH_CHALLENGE_BASIC, "%s", lines);
}

static void expect_none(const char *lines)
{
        struct fetch_challenge found;

        cr_expect_not(fetch_challenge_find(lines, &found), "%s", lines);
        cr_expect_eq(found.scheme, FETCH_CHALLENGE_NONE, "%s", lines);
}

Test(fetch_challenge, as_registries_say_it)
{
        expect_bearer("Bearer realm=\"https://auth.example.com/token\",service=\"registry.example."
                      "com\",scope=\"repository:team/models:pull\"\n",
                      "https://auth.example.com/token", "registry.example.com");
        expect_bearer("bearer REALM = \"https://a/b?c=d\" , error=invalid_token", "https://a/b?c=d",
                      "");
        expect_bearer("Bearer service=plain, realm=\"r\"", "r", "plain");
        expect_bearer("Bearer realm=\"a \\\"b\\\" \\\\\"", "a \"b\" \\", "");
        expect_basic("Basic realm=\"Registry, with comma\"\n");
        expect_basic("BASIC realm=x, charset=\"UTF-8\"");
        expect_basic("Basic");
}

Test(fetch_challenge, the_best_of_several)
{
        const char *both = "Basic realm=\"x\", Bearer realm=\"r\", service=\"s\", Digest "
                           "realm=\"d\", nonce=\"n\"";

        expect_bearer(both, "r", "s");
        expect_bearer("Bearer realm=\"r\",service=\"s\", Basic realm=\"x\"", "r", "s");
        expect_bearer("Basic realm=\"x\"\nBearer realm=\"r\"\n", "r", "");
        expect_bearer("Bearer realm=\"one\"\nBearer realm=\"two\"\n", "one", "");
        expect_bearer("Negotiate YWJj==, Bearer realm=\"r\"", "r", "");
        expect_bearer("NTLM, Negotiate ,, Bearer realm=\"r\" ,", "r", "");
        expect_basic("Negotiate\nBasic realm=\"x\"");
        expect_basic("Bearer service=\"no realm\", Basic realm=x");
}

Test(fetch_challenge, fault_65_malformed_spoils_its_own_line)
{
        expect_none("");
        expect_none("\n\n");
        expect_none("Negotiate");
        expect_none("Bearer");
        expect_none("Bearer realm=\"\"");
        expect_none("Bearer realm=\"not ended");
        expect_none("Bearer realm=\"escape at the end\\");
        expect_none("Bearer realm=\"a\nb\"");
        expect_none("Bearer realm=\"a\tb\"");
        expect_none("Bearer realm=\"r\" service=\"no comma\"");
        expect_none("Bearer realm=\"one\", realm=\"two\"");
        expect_none("Bearer realm=https://not/quoted");
        expect_none("Bearer, realm=");
        expect_none("\"Bearer\" realm=\"r\"");
        expect_none("Bearer/ realm=\"r\"");
        expect_basic("Basic realm=x, Bearer realm=\"r");
        expect_basic("Bearer realm=\"r\nBasic realm=x");
}

Test(fetch_challenge, fault_65_values_are_bounded)
{
        char line[FETCH_CHALLENGE_REALM_MAX + 32];
        struct fetch_challenge found;
        int head = snprintf(line, sizeof(line), "Bearer realm=\"");

        memset(line + head, 'a', FETCH_CHALLENGE_REALM_MAX - 1);
        strcpy(line + head + FETCH_CHALLENGE_REALM_MAX - 1, "\"");
        cr_expect(fetch_challenge_find(line, &found));
        cr_expect_eq(strlen(found.realm), FETCH_CHALLENGE_REALM_MAX - 1);
        strcpy(line + head + FETCH_CHALLENGE_REALM_MAX - 1, "a\"");
        expect_none(line);
}

static bool may_lead(const char *url, const char *realm)
{
        const char *why = NULL;
        int r = fetch_challenge_check_realm(realm, url, &why);

        cr_expect_eq(r < 0, why != NULL, "%s to %s", url, realm);
        return r == 0;
}

Test(fetch_challenge, fault_17_where_a_login_may_be_sent)
{
        const char *tls = "https://registry.example.com/v2/";
        const char *plain = "http://registry.example.com/v2/";
        const char *here = "http://127.0.0.1:5000/v2/";

        cr_expect(may_lead(tls, "https://auth.example.com/token"));
        cr_expect(may_lead(plain, "https://auth.example.com/token"));
        cr_expect(may_lead(here, "https://auth.example.com/token"));
        cr_expect_not(may_lead(tls, "http://auth.example.com/token"));
        cr_expect_not(may_lead(tls, "http://127.0.0.1/token"));
        cr_expect(may_lead(plain, "http://auth.example.com/token"));
        cr_expect(may_lead(here, "http://localhost/token"));
        cr_expect_not(may_lead(here, "http://auth.example.com/token"));
        cr_expect_not(may_lead(tls, "https://joe@auth.example.com/token"));
        cr_expect_not(may_lead(tls, "file:///etc/passwd"));
        cr_expect_not(may_lead(plain, "oci://auth.example.com/token"));
        cr_expect_not(may_lead(tls, "/token"));
        cr_expect_not(may_lead(tls, "https://auth.example.com/to ken"));
}
