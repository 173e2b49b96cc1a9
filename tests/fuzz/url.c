/*
 * URLs: what is taken, what is shown of it, and that a user whom libcurl would send is
 * found and not shown.
 */
#include "fetch/url.h"

#include "tests/fuzz/fuzz.h"

#include <curl/curl.h>
#include <errno.h>

#define SECRET "Pl4nt3d"

static void check_shown(const char *url)
{
        char shown[64];
        char whole[512];

        memset(shown, '#', sizeof(shown));
        fetch_url_redact(url, shown, sizeof(shown) - 1);
        fetch_url_redact(url, whole, sizeof(whole));
        fuzz_expect(shown[sizeof(shown) - 1] == '#');
        fuzz_expect(memchr(shown, '\0', sizeof(shown) - 1));
        fuzz_expect(strncmp(whole, shown, strlen(shown)) == 0);
        for (const char *c = whole; *c; c++)
                fuzz_expect(*c >= ' ' && *c <= '~');
}

/* A secret where URLs have theirs, with the input before or behind it. */
static void check_secrets(const char *text)
{
        static const char *const around[][2] = {
            {"https://", ":" SECRET "@host/x"}, {"https://user:" SECRET, "@host/x"},
            {"https://host/", "?x=" SECRET},    {"https://host?" SECRET, ""},
            {"https://host/x#" SECRET, ""},     {"https://user:" SECRET "@", ""}};

        if (strstr(text, SECRET) || strpbrk(text, "/?#\\"))
                return;
        for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
                char *url = NULL;
                char shown[512];

                fuzz_expect(asprintf(&url, "%s%s%s", around[i][0], text, around[i][1]) > 0);
                fetch_url_redact(url, shown, sizeof(shown));
                fuzz_expect(!strstr(shown, SECRET));
                free(url);
        }
}

static void check_password(const char *text, const char *password)
{
        char *secret = NULL;
        char shown[512];

        fetch_url_redact(text, shown, sizeof(shown));
        fuzz_expect(asprintf(&secret, ":%s@", password) > 0);

        const char *found = strstr(text, secret);

        fuzz_expect(found);
        /* What stands in the path as well may be shown there. */
        if (!strstr(found + 1, secret))
                fuzz_expect(!strstr(shown, secret));
        free(secret);
}

/* libcurl's own reading, with the flags that a check has. */
static void check_user(const char *text)
{
        CURLU *parsed = curl_url();
        char *user = NULL;
        char *password = NULL;

        fuzz_expect(parsed);
        if (curl_url_set(parsed, CURLUPART_URL, text,
                         CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS) == CURLUE_OK) {
                if (curl_url_get(parsed, CURLUPART_USER, &user, 0) == CURLUE_OK)
                        fuzz_expect(fetch_url_has_user(text));
                if (curl_url_get(parsed, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK) {
                        fuzz_expect(fetch_url_has_user(text));
                        check_password(text, password);
                }
        }
        curl_free(user);
        curl_free(password);
        curl_url_cleanup(parsed);
}

static void check_taken(const char *text)
{
        enum fetch_scheme scheme = FETCH_SCHEME_OTHER;
        const char *why = NULL;
        int r = fetch_url_check(text, &scheme, &why);
        char *path = NULL;

        fuzz_expect(r == 0 || (r == -EINVAL && why && *why));
        fuzz_expect(r < 0 || (strlen(text) <= FETCH_URL_MAX && scheme == fetch_url_scheme(text)));
        r = fetch_url_to_path(text, &path);
        fuzz_expect(r == 0 ? path && *path == '/' && fetch_url_scheme(text) == FETCH_SCHEME_FILE
                           : r == -EINVAL && !path);
        free(path);

        why = NULL;
        r = fetch_url_check_proxy(text, &why);
        fuzz_expect(r == 0 || (r == -EINVAL && why && *why));
}

/* Every path is a URL of its own, and comes back from it unless it has control bytes. */
static void check_path(const char *text)
{
        enum fetch_scheme scheme;
        const char *why;
        char *path = NULL;
        char *url = NULL;
        char *back = NULL;

        fuzz_expect(asprintf(&path, "/%s", text) > 0);
        fuzz_expect(fetch_url_from_path(path, &url) == 0);
        if (strlen(url) <= FETCH_URL_MAX)
                fuzz_expect(fetch_url_check(url, &scheme, &why) == 0 &&
                            scheme == FETCH_SCHEME_FILE);
        if (fetch_url_to_path(url, &back) == 0)
                fuzz_expect(strcmp(path, back) == 0);
        else
                for (const char *c = path;; c++) {
                        fuzz_expect(*c); /* the reason */
                        if ((unsigned char)*c < ' ')
                                break;
                }
        free(back);
        free(url);
        free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *text = fuzz_text(data, size);

        check_shown(text);
        check_secrets(text);
        check_user(text);
        check_taken(text);
        check_path(text);
        free(text);
        return 0;
}
