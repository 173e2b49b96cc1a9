/*
 * Of gs:// what others write: URLs of objects, in catalogs, and the answers of who gives
 * tokens. A URL that is taken leads to the object of that name and to no other; a token that is
 * taken is one word.
 */
#include "fetch/gs.h"
#include "fetch/adc.h"
#include "fetch/auth.h"
#include "fetch/url.h"
#include "tests/fuzz/fuzz.h"

#include <curl/curl.h>

#define SERVER "https://storage.example"

static void check_url(const char *url)
{
        static const struct fetch_origin settings = {.endpoint = SERVER};
        enum fetch_scheme scheme;
        const char *why = NULL;
        char *http_url;
        char *asked;
        char *named;
        int asked_length;
        int named_length;

        if (fetch_url_check(url, &scheme, &why) < 0 || scheme != FETCH_SCHEME_GS)
                return;
        if (fetch_gs_check(url, &why) < 0) {
                fuzz_expect(why);
                return;
        }
        http_url = fetch_gs_url(&settings, url);
        fuzz_expect(http_url && strncmp(http_url, SERVER "/", sizeof(SERVER)) == 0);
        fuzz_expect(!strpbrk(http_url, "?#@ "));
        fuzz_expect(!strstr(http_url, "/../") && !strstr(http_url, "/./"));
        asked = curl_easy_unescape(NULL, http_url + sizeof(SERVER), 0, &asked_length);
        named = curl_easy_unescape(NULL, url + strlen("gs://"), 0, &named_length);
        fuzz_expect(asked && named && asked_length == named_length &&
                    memcmp(asked, named, (size_t)named_length) == 0);
        curl_free(asked);
        curl_free(named);
        free(http_url);
}

static void check_file(const char *text)
{
        struct fetch_adc adc;
        const char *why = NULL;

        if (fetch_adc_parse(text, &adc, &why) < 0) {
                fuzz_expect(why);
                return;
        }
        fuzz_expect(fetch_auth_is_private(adc.token_uri));
        fuzz_expect(adc.key ? adc.email != NULL : adc.client_id && adc.refresh_token);
        fetch_adc_free(&adc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *text = fuzz_text(data, size);
        char *token = NULL;
        int64_t life_s = 0;
        char words[64];

        check_url(text);
        check_file(text);
        if (fetch_adc_answer(text, &token, &life_s) == 0) {
                fuzz_expect(fetch_auth_is_token(token) && life_s > 0);
                free(token);
        }
        fetch_adc_complaint(text, words, sizeof(words));
        fuzz_expect(strlen(words) < sizeof(words));
        free(text);
        return 0;
}
