/*
 * URLs as this room needs them: is it one, which scheme, which path, and what of
 * it may be shown. Parsing is libcurl's, so that what is checked is what is asked.
 */
#ifndef FETCH_URL_H
#define FETCH_URL_H

#include <stdbool.h>
#include <stddef.h>

enum fetch_scheme {
        FETCH_SCHEME_HTTP,
        FETCH_SCHEME_HTTPS,
        FETCH_SCHEME_FILE,
        FETCH_SCHEME_GS, /* these three: fetch/locate.h */
        FETCH_SCHEME_S3,
        FETCH_SCHEME_OCI,
        FETCH_SCHEME_OTHER, /* well-formed, but nothing here can read it */
};

#define FETCH_URL_MAX 8192 /* bytes: longer ones are refused */

/*
 * 0 and the scheme, or -EINVAL and in *ret_why (a fixed string) what is wrong with
 * it: not a URL, control bytes, no host, or a password in it, which every list of
 * processes would show.
 */
int fetch_url_check(const char *url, enum fetch_scheme *ret_scheme, const char **ret_why);

/*
 * The same for a proxy: http, https, socks4, socks4a, socks5, socks5h or no scheme, and a
 * host. It may hold a password; so show it by fetch_url_redact() only.
 */
int fetch_url_check_proxy(const char *url, const char **ret_why);

/* The scheme of a URL that is known to be well-formed. */
enum fetch_scheme fetch_url_scheme(const char *url);

/* Does it name a user, with or without a password? Empty ones count. */
bool fetch_url_has_user(const char *url);

/* Where the path of a URL begins; its query, its fragment or its end where it has none. */
const char *fetch_url_behind_authority(const char *url);

/* Is its host an IP address, and not a name? */
bool fetch_url_host_is_address(const char *url);

/* "scheme://host:port", with which servers are told apart; cut to `size` bytes. Holds no secret. */
void fetch_url_server(const char *url, char *ret, size_t size);

/* The URL without user, password, query and fragment, printable, cut to `size` bytes. */
void fetch_url_redact(const char *url, char *ret, size_t size);

/*
 * The name of a service's object, as it stands in a URL, for the path of another one: percent signs
 * before two hexadecimal digits are decoded, since URLs here have no blanks and no letters beyond
 * ASCII, and then everything is encoded that is no unreserved character and no slash, once and as
 * signatures want it. Dots are never encoded. The caller frees it. NULL without memory.
 */
char *fetch_url_encode_name(const char *name);

/* The decoded path of a file:// URL; the caller frees it. -EINVAL, -ENOMEM. */
int fetch_url_to_path(const char *url, char **ret);

/* file:// and the percent-encoded absolute path; the caller frees it. -ENOMEM. */
int fetch_url_from_path(const char *path, char **ret);

#endif
