/*
 * Which proxy, of which variable, and for which host none. One test asks libcurl itself,
 * so that what is decided here is what it would have decided.
 */
#include "fetch/proxy.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void clear_environment(void)
{
        static const char *const names[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                            "HTTPS_PROXY", "all_proxy",  "ALL_PROXY",
                                            "no_proxy",    "NO_PROXY"};

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                unsetenv(names[i]);
}

TestSuite(fetch_proxy, .init = clear_environment, .timeout = 20);

static void expect(const struct fetch_proxies *proxies, const char *url, const char *proxy)
{
        const char *found = fetch_proxy_for(proxies, url);

        cr_expect_str_eq(found ? found : "direct", proxy, "%s: %s", url, found);
}

static void expect_now(const char *option, const char *url, const char *proxy)
{
        struct fetch_proxies proxies;

        cr_assert_eq(fetch_proxies_init(&proxies, option), 0);
        expect(&proxies, url, proxy);
        fetch_proxies_destroy(&proxies);
}

Test(fetch_proxy, none)
{
        expect_now(NULL, "http://host/x", "direct");
        expect_now(NULL, "https://host/x", "direct");
        expect_now("", "https://host/x", "direct");
}

Test(fetch_proxy, each_scheme_has_its_variable)
{
        setenv("http_proxy", "http://a:1", 1);
        setenv("https_proxy", "http://b:1", 1);
        expect_now(NULL, "http://host/x", "http://a:1");
        expect_now(NULL, "HTTP://host/x", "http://a:1");
        expect_now(NULL, "https://host/x", "http://b:1");
        expect_now(NULL, "file:///x", "direct");
        expect_now(NULL, "oci://host/x", "direct");
        unsetenv("http_proxy");
        expect_now(NULL, "http://host/x", "direct");
        expect_now(NULL, "https://host/x", "http://b:1");
}

/* CVE-2016-5385: a client of a CGI chooses HTTP_PROXY. */
Test(fetch_proxy, upper_case_counts_but_for_http)
{
        setenv("HTTP_PROXY", "http://evil:1", 1);
        expect_now(NULL, "http://host/x", "direct");
        expect_now(NULL, "https://host/x", "direct");
        setenv("HTTPS_PROXY", "http://b:1", 1);
        expect_now(NULL, "https://host/x", "http://b:1");
        setenv("https_proxy", "http://c:1", 1);
        expect_now(NULL, "https://host/x", "http://c:1");
        setenv("ALL_PROXY", "http://d:1", 1);
        expect_now(NULL, "http://host/x", "http://d:1");
        setenv("all_proxy", "http://e:1", 1);
        expect_now(NULL, "http://host/x", "http://e:1");
        expect_now(NULL, "https://host/x", "http://c:1");
}

Test(fetch_proxy, empty_variables_are_none)
{
        setenv("http_proxy", "", 1);
        setenv("https_proxy", "", 1);
        expect_now(NULL, "http://host/x", "direct");
        setenv("all_proxy", "http://a:1", 1);
        expect_now(NULL, "http://host/x", "http://a:1");
        expect_now(NULL, "https://host/x", "http://a:1");
        setenv("no_proxy", "", 1);
        setenv("NO_PROXY", "host", 1);
        expect_now(NULL, "http://host/x", "direct");
}

Test(fetch_proxy, option_wins)
{
        setenv("http_proxy", "http://a:1", 1);
        setenv("https_proxy", "http://a:1", 1);
        setenv("all_proxy", "http://a:1", 1);
        expect_now("socks5h://b:1", "http://host/x", "socks5h://b:1");
        expect_now("socks5h://b:1", "https://host/x", "socks5h://b:1");
        expect_now("", "https://host/x", "direct");
        setenv("no_proxy", "host", 1);
        expect_now("b:1", "https://host/x", "direct");
        expect_now("b:1", "https://other/x", "b:1");
}

Test(fetch_proxy, read_once)
{
        struct fetch_proxies proxies;
        char option[] = "http://a:1";

        setenv("no_proxy", "host", 1);
        cr_assert_eq(fetch_proxies_init(&proxies, option), 0);
        memset(option, 'x', sizeof(option) - 1);
        setenv("no_proxy", "other", 1);
        expect(&proxies, "http://host/x", "direct");
        expect(&proxies, "http://other/x", "http://a:1");
        fetch_proxies_destroy(&proxies);
        fetch_proxies_destroy(&proxies);
}

static const struct {
        const char *no_proxy;
        const char *host;
        bool direct;
} exceptions[] = {
    {"example.com", "example.com", true},
    {"example.com", "EXAMPLE.com", true},
    {"Example.COM", "example.com", true},
    {"example.com", "www.example.com", true},
    {"example.com", "a.b.example.com", true},
    {"example.com", "anexample.com", false},
    {"example.com", "example.com.org", false},
    {"example.com", "com", false},
    {".example.com", "example.com", true},
    {".example.com", "www.example.com", true},
    {".example.com", "anexample.com", false},
    {"www.example.com", "example.com", false},
    {"example.com.", "example.com", true},
    {"example.com", "www.example.com.", true},
    {"*.example.com", "www.example.com", false},
    {".", "example.com", false},
    {",", "example.com", false},
    {" ", "example.com", false},
    {"*", "example.com", true},
    {"*", "192.0.2.1", true},
    {"*", "[::1]", true},
    {"a,b,example.com", "example.com", true},
    {"a, b, example.com", "example.com", true},
    {"a,,b,example.com,", "b", true},
    {"example.com , b", "b", true},
    {"\texample.com", "example.com", true},
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.11", false},
    {"0.2.1", "192.0.2.1", false},
    {"2.1", "192.0.2.1", false},
    {"192.0.2.0/24", "192.0.2.200", true},
    {"192.0.2.77/24", "192.0.2.200", true},
    {"192.0.2.0/24", "192.0.3.1", false},
    {"192.0.2.0/33", "192.0.2.1", false},
    {"192.0.2.1/32", "192.0.2.1", true},
    {"192.0.2.0/24", "host", false},
    {"::1", "[::1]", true},
    {"::1", "[0:0::1]", true},
    {"::1", "[::2]", false},
    {"localhost", "127.0.0.1", false},
    {"127.0.0.1", "localhost", false},
    {"127.0.0.1", "2130706433", true},
    {"127.0.0.1", "0x7f.1", true},
};

#define EXCEPTIONS (sizeof(exceptions) / sizeof(exceptions[0]))

Test(fetch_proxy, no_proxy)
{
        char url[128];

        setenv("all_proxy", "http://a:1", 1);
        for (size_t i = 0; i < EXCEPTIONS; i++) {
                struct fetch_proxies proxies;

                setenv("no_proxy", exceptions[i].no_proxy, 1);
                snprintf(url, sizeof(url), "https://%s:8443/x", exceptions[i].host);
                cr_assert_eq(fetch_proxies_init(&proxies, NULL), 0);
                cr_expect_eq(!fetch_proxy_for(&proxies, url), exceptions[i].direct, "'%s' and %s",
                             exceptions[i].no_proxy, url);
                fetch_proxies_destroy(&proxies);
        }
}

Test(fetch_proxy, spaces_separate)
{
        setenv("all_proxy", "http://a:1", 1);
        setenv("no_proxy", "a b  192.0.2.0/24", 1);
        expect_now(NULL, "http://b/x", "direct");
        expect_now(NULL, "http://192.0.2.9/x", "direct");
        expect_now(NULL, "http://c/x", "http://a:1");
}

#define PROXY_ADDRESS 0x7f00004d /* 127.0.0.77 */

/* Nobody is asked anything: the socket is refused before there is one. */
static curl_socket_t see_address(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
        const struct sockaddr_in *v4 = (const void *)&address->addr;

        (void)purpose;
        *(bool *)arg = address->family != AF_INET || v4->sin_addr.s_addr != htonl(PROXY_ADDRESS);
        return CURL_SOCKET_BAD;
}

/* Does libcurl go there past its proxy? */
static bool is_direct_for_curl(const char *host)
{
        char url[128];
        char resolve[128];
        bool direct = false;
        CURL *easy = curl_easy_init();

        cr_assert_not_null(easy);
        snprintf(url, sizeof(url), "https://%s:8443/x", host);
        snprintf(resolve, sizeof(resolve), "%s:8443:192.0.2.1", host);

        struct curl_slist *list = *host == '[' ? NULL : curl_slist_append(NULL, resolve);

        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_RESOLVE, list);
        curl_easy_setopt(easy, CURLOPT_PROXY, "http://127.0.0.77:1");
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, see_address);
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &direct);
        cr_expect_eq(curl_easy_perform(easy), CURLE_COULDNT_CONNECT, "%s", url);
        curl_easy_cleanup(easy);
        curl_slist_free_all(list);
        return direct;
}

Test(fetch_proxy, no_proxy_as_libcurl_takes_it)
{
        for (size_t i = 0; i < EXCEPTIONS; i++) {
                setenv("no_proxy", exceptions[i].no_proxy, 1);
                cr_expect_eq(is_direct_for_curl(exceptions[i].host), exceptions[i].direct,
                             "'%s' and %s", exceptions[i].no_proxy, exceptions[i].host);
        }
}

/* curl takes /0 for the address alone, an asterisk only where it stands alone, and before 8.0
 * IPv6 as text. */
Test(fetch_proxy, what_libcurl_takes_otherwise)
{
        setenv("all_proxy", "http://a:1", 1);
        setenv("no_proxy", "0.0.0.0/0", 1);
        expect_now(NULL, "http://192.0.2.9/x", "direct");
        setenv("no_proxy", "host, *", 1);
        expect_now(NULL, "http://other/x", "direct");
        setenv("no_proxy", "2001:db8::/32", 1);
        expect_now(NULL, "http://[2001:db8:7::1]/x", "direct");
        expect_now(NULL, "http://[2001:db9::1]/x", "http://a:1");
}

Test(fetch_proxy, what_is_no_url_is_not_excepted)
{
        setenv("no_proxy", "*", 1);
        expect_now("http://a:1", "http://[::1/x", "http://a:1");
}
