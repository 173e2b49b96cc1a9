/*
 * Which proxy a URL goes through. Decided here and not left to libcurl, by its documented
 * rules, because whether there is one decides more than the route: behind a proxy the
 * proxy looks up the name, so that no address is ours to judge (fetch/net.h).
 *
 * The environment is read once. http_proxy counts in lower case only: HTTP_PROXY is what a
 * CGI gets from a client's header (CVE-2016-5385). Does not log: a proxy's URL may hold a
 * password.
 */
#ifndef FETCH_PROXY_H
#define FETCH_PROXY_H

struct fetch_proxies {
        char *http; /* for http:// URLs, or NULL: none; the other for https:// */
        char *https;
        char *no_proxy; /* hosts that are asked directly, or NULL */
};

/*
 * `option`: the proxy of all URLs, "" for none, or NULL: that of the environment
 * (http_proxy, https_proxy, HTTPS_PROXY, else all_proxy, ALL_PROXY). no_proxy, else
 * NO_PROXY, counts in each case. An empty variable is none. 0, -ENOMEM.
 */
int fetch_proxies_init(struct fetch_proxies *ret, const char *option);
void fetch_proxies_destroy(struct fetch_proxies *proxies); /* accepts zeroes */

/*
 * The proxy's URL, as it was given, or NULL: direct. It is valid until
 * fetch_proxies_destroy(). Any thread may ask. Where the URL's host cannot be found out it
 * is not excepted from the proxy.
 */
const char *fetch_proxy_for(const struct fetch_proxies *proxies, const char *url);

#endif
