/*
 * Proxies of the command line and the environment, and who is excepted from them.
 */
#include "fetch/proxy.h"

#include "fetch/net.h"
#include "fetch/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The first of the names that is set, and to something. */
static const char *first_set(const char *const *names)
{
        for (; *names; names++) {
                const char *value = getenv(*names);

                if (value && *value)
                        return value;
        }
        return NULL;
}

static int copy(const char *value, char **ret)
{
        *ret = value && *value ? strdup(value) : NULL;
        return value && *value && !*ret ? -ENOMEM : 0;
}

int fetch_proxies_init(struct fetch_proxies *ret, const char *option)
{
        static const char *const http[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
        static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                            NULL};
        static const char *const none[] = {"no_proxy", "NO_PROXY", NULL};
        struct fetch_proxies proxies = {0};

        if (copy(option ? option : first_set(http), &proxies.http) < 0 ||
            copy(option ? option : first_set(https), &proxies.https) < 0 ||
            copy(first_set(none), &proxies.no_proxy) < 0) {
                fetch_proxies_destroy(&proxies);
                return -ENOMEM;
        }
        *ret = proxies;
        return 0;
}

void fetch_proxies_destroy(struct fetch_proxies *proxies)
{
        free(proxies->http);
        free(proxies->https);
        free(proxies->no_proxy);
        *proxies = (struct fetch_proxies){0};
}

/* The URL's host as curl will ask for it, without the brackets of an IPv6 address; the caller
 * frees it by curl_free(). NULL: none, or no memory. */
static char *host_of(const char *url)
{
        CURLU *parsed = curl_url();
        char *host = NULL;

        if (parsed &&
            curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
                curl_url_get(parsed, CURLUPART_HOST, &host, 0);
        curl_url_cleanup(parsed);
        if (host && *host == '[') {
                size_t length = strcspn(host + 1, "]");

                memmove(host, host + 1, length);
                host[length] = '\0';
        }
        return host;
}

static bool address_of(const char *host, struct sockaddr_storage *ret)
{
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

        memset(ret, 0, sizeof(*ret));
        if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
                memcpy(ret, &v4, sizeof(v4));
        else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
                memcpy(ret, &v6, sizeof(v6));
        return ret->ss_family;
}

static size_t without_last_dot(const char *name, size_t length)
{
        return length > 0 && name[length - 1] == '.' ? length - 1 : length;
}

/* example.com holds example.com and www.example.com, and not an-example.com. */
static bool domain_has(const char *domain, size_t domain_length, const char *host)
{
        size_t length = without_last_dot(host, strlen(host));

        domain_length = without_last_dot(domain, domain_length);
        if (domain_length > 0 && *domain == '.') {
                domain++;
                domain_length--;
        }
        if (domain_length == 0 || domain_length > length)
                return false;

        size_t before = length - domain_length;

        return strncasecmp(host + before, domain, domain_length) == 0 &&
               (before == 0 || host[before - 1] == '.');
}

static bool net_has(const char *text, size_t length, const struct sockaddr_storage *address)
{
        char net_text[INET6_ADDRSTRLEN + 4];
        struct fetch_net net;

        if (length >= sizeof(net_text))
                return false;
        memcpy(net_text, text, length);
        net_text[length] = '\0';
        return fetch_net_parse_loosely(net_text, &net) == 0 &&
               fetch_net_has(&net, (const struct sockaddr *)address);
}

static bool is_excepted(const char *list, const char *host)
{
        static const char separators[] = ", \t";
        struct sockaddr_storage address;
        bool is_address = address_of(host, &address);

        for (list += strspn(list, separators); *list; list += strspn(list, separators)) {
                size_t length = strcspn(list, separators);

                if (length == 1 && *list == '*')
                        return true;
                if (is_address ? net_has(list, length, &address) : domain_has(list, length, host))
                        return true;
                list += length;
        }
        return false;
}

const char *fetch_proxy_for(const struct fetch_proxies *proxies, const char *url)
{
        enum fetch_scheme scheme = fetch_url_scheme(url);
        const char *proxy = scheme == FETCH_SCHEME_HTTP    ? proxies->http
                            : scheme == FETCH_SCHEME_HTTPS ? proxies->https
                                                           : NULL;

        if (!proxy || !proxies->no_proxy)
                return proxy;

        char *host = host_of(url);

        if (host && is_excepted(proxies->no_proxy, host))
                proxy = NULL;
        curl_free(host);
        return proxy;
}
