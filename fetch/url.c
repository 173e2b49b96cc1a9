/*
 * URLs: check, take apart, redact. No network.
 */
#include "fetch/url.h"

#include "fetch/cause.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* CURLU_PATH_AS_IS keeps "..": the path that is shown is the path that is asked for. */
#define PARSE_FLAGS (CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS)

static bool url_has(CURLU *parsed, CURLUPart part)
{
        char *value = NULL;
        bool has = curl_url_get(parsed, part, &value, 0) == CURLUE_OK && value && *value;

        curl_free(value);
        return has;
}

static const char *complaint(CURLU *parsed, const char *url)
{
        if (strlen(url) > FETCH_URL_MAX)
                return "the URL is too long";
        for (const char *c = url; *c; c++)
                if (*c <= ' ' || *c > '~')
                        return "the URL contains a space, a control byte or a byte beyond ASCII";
        if (curl_url_set(parsed, CURLUPART_URL, url, PARSE_FLAGS) != CURLUE_OK)
                return "not a URL";
        if (url_has(parsed, CURLUPART_USER) || url_has(parsed, CURLUPART_PASSWORD))
                return "credentials do not belong in a URL";
        if (fetch_url_scheme(url) == FETCH_SCHEME_FILE) {
                if (!url_has(parsed, CURLUPART_PATH))
                        return "no path in the URL";
        } else if (!url_has(parsed, CURLUPART_HOST)) {
                return "no host in the URL";
        }
        return NULL;
}

int fetch_url_check(const char *url, enum fetch_scheme *ret_scheme, const char **ret_why)
{
        CURLU *parsed = curl_url();
        const char *why = parsed ? complaint(parsed, url) : "out of memory";

        curl_url_cleanup(parsed);
        if (why) {
                *ret_why = why;
                return -EINVAL;
        }
        *ret_scheme = fetch_url_scheme(url);
        return 0;
}

static const char *proxy_complaint(CURLU *parsed, const char *url)
{
        static const char *const schemes[] = {"http",   "https",   "socks4", "socks4a",
                                              "socks5", "socks5h", NULL};
        char *scheme = NULL;
        bool known = false;

        if (strlen(url) > FETCH_URL_MAX ||
            curl_url_set(parsed, CURLUPART_URL, url,
                         CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) != CURLUE_OK)
                return "not a URL";
        if (!strstr(url, "://"))
                known = true; /* curl takes it for http */
        else if (curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK)
                for (const char *const *name = schemes; *name; name++)
                        known |= strcasecmp(scheme, *name) == 0;
        curl_free(scheme);
        if (!known)
                return "only http://, https:// and socks proxies (4, 4a, 5, 5h)";
        return url_has(parsed, CURLUPART_HOST) ? NULL : "no host in the URL";
}

int fetch_url_check_proxy(const char *url, const char **ret_why)
{
        CURLU *parsed = curl_url();
        const char *why = parsed ? proxy_complaint(parsed, url) : "out of memory";

        curl_url_cleanup(parsed);
        if (!why)
                return 0;
        *ret_why = why;
        return -EINVAL;
}

enum fetch_scheme fetch_url_scheme(const char *url)
{
        if (strncasecmp(url, "https://", 8) == 0)
                return FETCH_SCHEME_HTTPS;
        if (strncasecmp(url, "http://", 7) == 0)
                return FETCH_SCHEME_HTTP;
        if (strncasecmp(url, "file://", 7) == 0)
                return FETCH_SCHEME_FILE;
        if (strncasecmp(url, "gs://", 5) == 0)
                return FETCH_SCHEME_GS;
        if (strncasecmp(url, "s3://", 5) == 0)
                return FETCH_SCHEME_S3;
        if (strncasecmp(url, "oci://", 6) == 0)
                return FETCH_SCHEME_OCI;
        return FETCH_SCHEME_OTHER;
}

/*
 * The authority of a URL (RFC 3986, 3.2), not terminated. Slashes before it as libcurl takes
 * them, which finds a user behind one or three as well as behind two.
 */
static const char *authority_of(const char *url, size_t *ret_length)
{
        const char *colon = url + strcspn(url, ":/?#");
        const char *authority = url;

        if (fetch_url_scheme(url) == FETCH_SCHEME_FILE)
                authority = colon + strlen("://");
        else if (strncmp(colon, ":/", 2) == 0)
                authority = colon + 1 + strspn(colon + 1, "/");
        *ret_length = strcspn(authority, "/?#");
        return authority;
}

const char *fetch_url_behind_authority(const char *url)
{
        size_t length;
        const char *authority = authority_of(url, &length);

        return authority + length;
}

bool fetch_url_has_user(const char *url)
{
        size_t length;
        const char *authority = authority_of(url, &length);

        return memchr(authority, '@', length);
}

bool fetch_url_host_is_address(const char *url)
{
        CURLU *parsed = curl_url();
        char *host = NULL;
        struct in_addr v4;
        bool is = false;

        /* curl has brought odd forms, such as 0x7f.1, into the usual one; v6 is in brackets. */
        if (parsed && curl_url_set(parsed, CURLUPART_URL, url, PARSE_FLAGS) == CURLUE_OK &&
            curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
                is = *host == '[' || inet_pton(AF_INET, host, &v4) == 1;
        curl_free(host);
        curl_url_cleanup(parsed);
        return is;
}

void fetch_url_server(const char *url, char *ret, size_t size)
{
        size_t length;
        const char *authority = authority_of(url, &length);
        const char *at = memrchr(authority, '@', length);
        const char *host = at ? at + 1 : authority;

        snprintf(ret, size, "%.*s%.*s", (int)(authority - url), url,
                 (int)(authority + length - host), host);
        fetch_make_quotable(ret);
}

void fetch_url_redact(const char *url, char *ret, size_t size)
{
        size_t authority_length;
        const char *authority = authority_of(url, &authority_length);
        size_t head = (size_t)(authority - url);
        const char *at = memrchr(authority, '@', authority_length);
        const char *shown = at ? at + 1 : authority;
        size_t length = strcspn(shown, "?#");

        snprintf(ret, size, "%.*s%.*s%s", (int)head, url, (int)length, shown,
                 shown[length] ? "?..." : "");
        fetch_make_printable(ret);
}

int fetch_url_to_path(const char *url, char **ret)
{
        if (fetch_url_scheme(url) != FETCH_SCHEME_FILE)
                return -EINVAL; /* libcurl takes file:x as well, which is no absolute path */

        CURLU *parsed = curl_url();
        char *path = NULL;
        int r = -EINVAL;

        if (!parsed)
                return -ENOMEM;
        /* Decoding refuses %00 and other control bytes: no path is cut short by one. */
        if (curl_url_set(parsed, CURLUPART_URL, url, PARSE_FLAGS) == CURLUE_OK &&
            curl_url_get(parsed, CURLUPART_PATH, &path, CURLU_URLDECODE) == CURLUE_OK) {
                *ret = strdup(path);
                r = *ret ? 0 : -ENOMEM;
        }
        curl_free(path);
        curl_url_cleanup(parsed);
        return r;
}

/* RFC 3986, 2.3, and the separator. */
static char *encode(char *end, char c)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789-._~/";

        if (c && strchr(plain, c)) {
                *end = c;
                return end + 1;
        }
        return end + sprintf(end, "%%%02X", (unsigned char)c);
}

int fetch_url_from_path(const char *path, char **ret)
{
        char *url = malloc(sizeof("file://") + 3 * strlen(path));

        if (!url)
                return -ENOMEM;

        char *end = stpcpy(url, "file://");

        for (; *path; path++)
                end = encode(end, *path);
        *end = '\0';
        *ret = url;
        return 0;
}

char *fetch_url_encode_name(const char *name)
{
        char *ret = malloc(3 * strlen(name) + 1);
        char *end = ret;
        unsigned byte;

        for (; ret && *name; name++) {
                if (*name == '%' && isxdigit((unsigned char)name[1]) &&
                    isxdigit((unsigned char)name[2]) && sscanf(name + 1, "%2x", &byte) == 1) {
                        end = encode(end, (char)byte);
                        name += 2;
                } else {
                        end = encode(end, *name);
                }
        }
        if (ret)
                *end = '\0';
        return ret;
}
